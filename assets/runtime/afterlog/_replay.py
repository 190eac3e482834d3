"""Re-executes some iterations of the main loop from checkpoints, as ordered (`SegmentOrder` in src/model/plan.rs)."""
import json
import os
import signal
import sys
from json import dumps

from . import _adaptive, _arguments, _beside, _entries, _handsfree, _journal, _moved, _process, _reads, _snapshot, _statement
from ._kinds import BESIDE
from ._session import SKIP, Session, _how, _length, _scalar


_PR_SET_PDEATHSIG = 1


def die_with_parent(parent):
    """Has the kernel end this process when the one that started it is gone: a replay is of no use to anyone then."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        # An interpreter without ctypes: the script goes on until it next needs its states.
        pass
    if os.getppid() != parent:
        os._exit(70)


class Replay(Session):
    """Every line that runs, runs in the state in which it ran in the record: nothing is executed in between."""

    def __init__(self, journal, snapshots, plan, root, order):
        super().__init__(journal, snapshots, plan, root, _adaptive.Adaptive("off"))
        self._order = order
        _moved.set_pairs(order["moved"])
        self._script = sys.argv[1]
        self._recorded = {name: _value(value) for name, value in order["args"]}
        self._step = None
        #: Whether the script ended with an error of the system, such as for a file that is not there.
        self._lacks_a_file = False
        #: Where it does for several segments what comes before the main loop: a `_prefix.Prefix`.
        self.prefix = None
        if order["watches"]:
            self.statements = _statement.Statements(order["inserted"], self._checkpoints.audit, self.changes_training)
        self.reads = _reads.watch(order, self.refused, self.read_changed)

    def _argument(self, name, default):
        if name in self._recorded:
            recorded = _moved.there(self._recorded[name])
            return tuple(recorded) if isinstance(default, tuple) and isinstance(recorded, list) else recorded
        return _arguments.from_command_line(name, default)

    def _main_loop(self, name, iterable, plan, frame):
        if self.prefix is not None:
            # From here on in a process of each segment's own.
            self._order = self.prefix.fork()
            self.prefix = None
        steps, stop = self._order["steps"], self._order["stop"]
        self._journal.enter(str(name), plan["key"], _length(iterable))
        self._stack.append((name, None))
        self._enter_main(plan, frame)
        main = self._checkpoints.main
        if stop == "at_main_loop":
            self._finish()
        in_order = all(step["iteration"] == at and step["restore"] is None for at, step in enumerate(steps))
        iterator = iter(iterable) if in_order else None
        is_while = type(iterable) is _handsfree.Turns
        if iterator is None and not is_while and not (hasattr(iterable, "__getitem__") and hasattr(iterable, "__len__")):
            self._fail("the main loop's iterable cannot be entered in the middle")
        how = _journal.EARLY
        try:
            for step in steps:
                index = step["iteration"]
                self._step, main.iteration, main.blocks = step, index, {}
                if step["restore"] is not None:
                    self._load(step["restore"], {"": frame}, [("m", main.entries)])
                try:
                    value = next(iterator) if iterator is not None else iterable[index]
                except (StopIteration, IndexError):
                    self._fail("the main loop ended before iteration %d" % index)
                if is_while:
                    self._begin_later(iterable, 0, name, index)
                    iterable.leave = lambda: self._fail("the main loop ended before iteration %d" % main.iteration)
                else:
                    self._stack[:] = [(name, index)]
                    self._journal.iterate(index, _scalar(value, index))
                yield value
                self.reads.settle()
                self._snapshots.report({"t": "step", "iteration": index})
            if stop == "after_last_step":
                # Not a `break` of the script's: what follows is not executed.
                self._journal.exit(_journal.SKIPPED)
                self._finish()
            if is_while:
                # The condition is evaluated once more, as it was when the run left the loop.
                iterable.leave = None
                iterable.begin = lambda _: self._fail("the main loop goes on after its last iteration")
                yield ()
            how = _journal.EXHAUSTED
        finally:
            self._leave_main(_how(iterable, how))

    def _is_added(self, frame):
        main = self._checkpoints.main
        inserted, last = self._order["inserted"], None if main is None else main.frame
        while frame is not None:
            if frame.f_code.co_filename == self._script:
                line = frame.f_lineno
                if any(first <= line <= end for first, end in inserted):
                    return True
            if frame is last:
                return False
            frame = frame.f_back
        return False

    def _enter_block(self, plan, frame):
        main, step = self._checkpoints.main, self._step
        key = plan["key"]
        occurrence = main.blocks.get(key, 0)
        main.blocks[key] = occurrence + 1

        def wanted(entries):
            for entry in entries:
                if entry["block"] == key and entry["occurrence"] == occurrence:
                    return entry
            return None

        skip, expect = wanted(step["skip"]), wanted(step["expect"])
        if skip is None and expect is None:
            return None
        tables = [("b", _entries.walk(self._checkpoints.roots(plan, frame))), ("m", main.entries)]
        if skip is None:
            return expect, tables
        try:
            beside = self._beside(tables, (plan, frame))
            self._snapshots.load(skip["checkpoint"], {"": main.frame, "block": frame}, tables + beside, self._fail)
        except _snapshot.AnotherPath:
            # Something that cannot be captured is not there: executing the block is right all the same.
            return None
        except Exception as error:  # noqa: BLE001 - as in `_load`
            self._cannot_restore(skip["checkpoint"], error)
        self.reads.restored()
        self._journal.restored(skip["checkpoint"])
        self._journal.enter(str(plan["name"]), key, -1)
        self._journal.exit(_journal.SKIPPED)
        return SKIP

    def _beside(self, tables, *block):
        """The table of the objects that variables beside the change sets hold."""
        main, audit = self._checkpoints.main, self._checkpoints.audit
        loops = [(main.plan, main.frame), *block]
        entries = [table for _, table in tables]
        return [(BESIDE, _beside.Holders(lambda: audit.beside(loops), entries, audit.parts()))]

    def _end_block(self, plan, frame, state):
        if state is not None:
            expect, tables = state
            self._compare(expect, self._checkpoints.roots(plan, frame), tables)

    def _compare(self, expect, roots, tables):
        message = {"t": "compare", "checkpoint": expect["checkpoint"]}
        answer = self._snapshots.compare(message, roots + _process.roots(), tables)
        self._journal.state(
            dumps(
                {
                    "block": expect["block"],
                    "occurrence": expect["occurrence"],
                    "checkpoint": expect["checkpoint"],
                    "equal": answer["equal"],
                    "different": answer["different"],
                }
            )
        )

    def forked(self):
        if self.prefix is None or not self.prefix.forks:
            super().forked()

    def go_on(self):
        """In the process forked for a segment: it is the run's now."""
        self._pid = os.getpid()

    def end(self, code, error, trace):
        self.reads.settle()
        self._lacks_a_file = isinstance(error, OSError)
        super().end(code, error, trace)

    def _facts(self):
        # Where it fails for want of a file that what was skipped makes, the coordinator has everything executed.
        return dict(super()._facts(), bereft=self._lacks_a_file and self.reads.bereft)

    def refused(self, what):
        """Notes what the guard did not allow; the script may go on without it."""
        self._journal.state(dumps({"refused": what}))

    def changes_training(self, what):
        """Notes what an added statement does, where that counts: what comes after the loop changes no training."""
        if self._checkpoints.main is not None or not self._main_was:
            self.refused(what)

    def read_changed(self, path, differs=False):
        """Notes a file that may not be what the run read, or is not."""
        self._journal.state(dumps({"changed": path, "differs": differs}))

    def _load(self, seq, frames, tables):
        try:
            self._snapshots.load(seq, frames, tables + self._beside(tables), self._fail)
            self.reads.restored()
            self._journal.restored(seq)
        except Exception as error:  # noqa: BLE001 - a script may catch everything; it must not go on in a wrong state
            self._cannot_restore(seq, error)

    def _cannot_restore(self, seq, error):
        # Then it is done again without it: see the coordinator. A statement may lead to objects that the run did not walk.
        self._fail("checkpoint %d cannot be restored: %s: %s" % (seq, type(error).__name__, error), unreadable=seq)

    def _fail(self, reason, **facts):
        self._journal.end(dumps(dict(facts, exit_code=70, exception=reason, traceback=None)))
        self._leave(70)

    def _finish(self):
        self.reads.settle()
        self._journal.end(dumps(dict(self._facts(), exit_code=0)))
        self._leave(0)

    def _leave(self, code):
        """Ends the process here: what the script would do next is not wanted."""
        self._journal.flush()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        os._exit(code)


def _value(tagged):
    """A value from its JSON in the order: see src/model/value.rs."""
    kind, value = tagged["kind"], tagged.get("value")
    if kind == "float":
        import struct

        return struct.unpack(">d", bytes.fromhex(value))[0]
    if kind == "big_int":
        return int(value)
    if kind == "json":
        return json.loads(value)
    return value
