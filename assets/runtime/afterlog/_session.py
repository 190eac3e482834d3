"""One recorded or replayed process: the calls of the API while it runs.

``Session`` records; ``_replay.Replay`` derives from it and enters the main loop where it is told to.
"""
import os
import sys
import threading
import traceback
from contextlib import contextmanager
from json import dumps

from . import _arguments, _checkpoints, _frames, _handsfree, _journal, _snapshot, _values

_MAX_TRACEBACK = 20_000
#: Ends the key of a loop that only a statement added for a replay runs.
_ADDED = "+"
#: The state of a block whose end was restored.
SKIP = object()


class Block:
    """A block while it runs."""

    def __init__(self, plan, frame, state, start):
        self.plan, self.frame, self.state, self.start = plan, frame, state, start

    def is_running(self):
        inside = self.plan["first_line"] <= self.frame.f_lineno <= self.plan["last_line"]
        return inside and _frames.is_running(self.frame)


class Session:
    def __init__(self, journal, snapshots, plan, root, adaptive):
        self._journal = journal
        self._snapshots = snapshots
        _frames.modules = _frames.Modules(root)
        self._loops = {}
        script = sys.argv[1]
        for loop in plan["loops"]:
            path = os.path.join(root, loop["file"])
            names = {path, os.path.realpath(path), loop["file"]}
            if os.path.realpath(script) == os.path.realpath(path):
                # The script may be written with "..", and its code is named as it is written.
                names.add(script)
            for name in names:
                self._loops.setdefault(name, []).append(loop)
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        self._stack = []
        self._main_was = False
        #: Whether nothing is to be done about blocks now.
        self.leaves_blocks = True
        self._arguments = {}
        #: Called with the main loop's frame when it begins.
        self.on_main = None
        #: Looked at then in a record: a `_shareable.Told`.
        self.shareable = None
        #: The block that is running.
        self.block = None
        #: What watches statements that were added; in a record there are none.
        self.statements = None
        self._checkpoints = _checkpoints.Checkpoints(journal, snapshots, adaptive, root, self._note_once)
        #: The `while` loops that are running, by their frame: generators and coroutines take turns with others.
        self._whiles = {}
        self._said = set()

    # The calls of the API.

    def arg(self, name, default=None):
        """The value of ``name=value`` or ``--name value`` on the command line, typed by the default, or the default."""
        value = self._argument(name, default)
        if name not in self._arguments:
            self._arguments[name] = value
            self._journal.argument(str(name), _values.encode(value))
        return value

    def loop(self, name, iterable):
        """Iterates over ``iterable`` as the loop ``name``: what is logged inside has its iteration as position."""
        if threading.get_ident() != self._thread or os.getpid() != self._pid:
            yield from iterable
            return
        plan, frame = self._find(name)
        if plan is not None and plan["is_main"] and not self._stack and not self._main_was:
            self._main_was = True
            yield from self._main_loop(name, iterable, plan, frame)
        elif plan is not None and self._is_added(frame):
            yield from self._iterate(name, iterable, plan["key"] + _ADDED)
        else:
            yield from self._iterate(name, iterable, None if plan is None else plan["key"])

    @contextmanager
    def iteration(self, name, index, value=None):
        """One iteration of the loop ``name``, for loops that are not a ``for``: a ``while`` with a counter."""
        if threading.get_ident() != self._thread or os.getpid() != self._pid:
            yield value
            return
        self._journal.enter(str(name), None, -1)
        self._stack.append((name, index))
        try:
            self._journal.iterate(int(index), None if value is None else _scalar(value, index))
            yield value
        finally:
            self._stack.pop()
            self._journal.exit(_journal.EXHAUSTED)

    def checkpointing_class(session):  # noqa: N805 - the class below has a self of its own
        class checkpointing:  # noqa: N801 - used as a function and as a context manager
            """Names objects whose state belongs to the checkpoints."""

            def __init__(self, **objects):
                self._names = list(objects)
                session._checkpoints.objects.update(objects)

            def __enter__(self):
                return self

            def __exit__(self, *exception):
                for name in self._names:
                    session._checkpoints.objects.pop(name, None)

        return checkpointing

    # Loops.

    def _iterate(self, name, iterable, key):
        """A loop of which only the position is kept."""
        journal, stack = self._journal, self._stack
        journal.enter(str(name), key, _length(iterable))
        depth = len(stack)
        stack.append((name, None))
        how = _journal.EARLY
        try:
            for index, value in enumerate(iterable):
                if type(iterable) is _handsfree.Turns:
                    self._begin_later(iterable, depth, name, index)
                else:
                    stack[depth] = (name, index)
                    journal.iterate(index, _scalar(value, index))
                yield value
            how = _journal.EXHAUSTED
        finally:
            del stack[depth:]
            journal.exit(_how(iterable, how))

    def _begin_later(self, turns, depth, name, index):
        """Has an iteration of a `while` begin when its condition is known to hold."""

        def begin(value):
            self._stack[depth:] = [(name, index)]
            self._journal.iterate(index, _scalar(value, index))

        turns.begin = begin

    def _main_loop(self, name, iterable, plan, frame):
        length, is_while = _length(iterable), type(iterable) is _handsfree.Turns
        journal, stack, checkpoints = self._journal, self._stack, self._checkpoints
        journal.enter(str(name), plan["key"], length)
        stack.append((name, None))
        self._enter_main(plan, frame)
        how = _journal.EARLY
        try:
            iterator, index = iter(iterable), 0
            while True:
                self.block = None
                self.leaves_blocks = not checkpoints.begin_iteration(index, length)
                try:
                    value = next(iterator)
                except StopIteration:
                    how = _journal.EXHAUSTED
                    return
                if is_while:
                    self._begin_later(iterable, 0, name, index)
                else:
                    stack[:] = ((name, index),)
                    # What says no more than the index is not kept; here, since calls are what a short iteration feels.
                    said = None if type(value) is int and value == index else _values.scalar(value)
                    journal.iterate(index, said)
                yield value
                index += 1
        finally:
            self._leave_main(_how(iterable, how))

    def _enter_main(self, plan, frame):
        self._checkpoints.enter(plan, frame)
        self.leaves_blocks = False
        if self.on_main is not None:
            self.on_main(frame)
        if self.shareable is not None:
            self.shareable.look()

    def _leave_main(self, how):
        self._checkpoints.main = self.block = None
        self.leaves_blocks = True
        self._stack.clear()
        self._journal.exit(how)

    def enter_wrapped(self, plan, frame, iterable):
        """What is iterated over in place of ``iterable`` in a loop that the script does not name; of a `while` it is None."""
        turns = None if plan["wrap"]["counter"] is None else _handsfree.Turns(plan, frame)
        if turns is not None:
            iterable = turns
        if threading.get_ident() != self._thread or os.getpid() != self._pid:
            return iterable
        name = plan["name"]
        if self._is_added(frame):
            generator = self._iterate(name, iterable, plan["key"] + _ADDED)
            return generator if turns is None else self._while(turns, generator)
        if plan["is_main"] and not self._stack and not self._main_was:
            self._main_was = True
            generator = self._main_loop(name, iterable, plan, frame)
        else:
            generator = self._iterate(name, iterable, plan["key"])
        return _handsfree.Sized(generator, iterable) if turns is None else self._while(turns, generator)

    def _while(self, turns, generator):
        key = id(turns.frame), turns.plan["key"]
        turns.close = generator.close
        self._whiles[key] = turns
        try:
            yield from generator
        finally:
            generator.close()
            if self._whiles.get(key) is turns:
                del self._whiles[key]

    def turn(self, plan, frame, holds):
        """Told when a `while` loop's condition has been evaluated."""
        if threading.get_ident() == self._thread and os.getpid() == self._pid:
            turns = self._whiles.get((id(frame), plan["key"]))
            if turns is not None:
                turns.turn(holds)

    def _is_added(self, frame):
        """Whether a statement that the run did not have leads to this frame. In a record there is none."""
        return False

    def begin_block(self, plan, frame):
        """Whether the block that begins here is to be executed; if not, its end has been restored."""
        if threading.get_ident() != self._thread or os.getpid() != self._pid:
            return True
        if self.block is not None and not self.block.is_running():
            # It was left by an exception or a `return`.
            self.block = None
        if self._checkpoints.main is None or len(self._stack) != 1 or self.block is not None or self._is_added(frame):
            return True
        state = self._enter_block(plan, frame)
        if state is SKIP:
            return False
        self.block = Block(plan, frame, state, self._journal.now())
        return True

    def end_block(self, plan, frame):
        """Told when a block has come to its end."""
        block = self.block
        if block is None or block.plan is not plan or block.frame is not frame or threading.get_ident() != self._thread:
            return
        self.block = None
        now = self._journal.now()
        if not _has_positions(plan):
            self._journal.passed(plan["name"], plan["key"], block.start, now)
        self._checkpoints.took(plan, now - block.start)
        self._end_block(plan, frame, block.state)

    def _enter_block(self, plan, frame):
        """What `_end_block` needs at the block's end; SKIP if it was restored and is not to be executed."""
        return self._checkpoints.enter_block(plan, frame)

    def _end_block(self, plan, frame, state):
        self._checkpoints.end_block(plan, frame, state)

    def _find(self, name):
        """The plan's entry for the loop that is being entered, and the frame that runs it."""
        frame = _frames.of_file(self._loops, 3)
        if frame is None:
            return None, None
        found = None
        for loop in self._loops[frame.f_code.co_filename]:
            inside = loop["first_line"] <= frame.f_lineno <= loop["last_line"]
            # Of loops of one name around this line, the innermost.
            if loop["name"] == name and inside and (found is None or loop["first_line"] >= found["first_line"]):
                found = loop
        return found, frame

    def _argument(self, name, default):
        return _arguments.from_command_line(name, default)

    def _note_once(self, text):
        if text not in self._said:
            self._said.add(text)
            self._journal.note(text)

    # The end.

    def forked(self):
        """In a forked child: it is not the run."""
        self._journal.silence()
        self._snapshots.forked()
        self._pid = -1

    def end(self, code, error, trace):
        """Notes how the script ended. Never raises."""
        if os.getpid() != self._pid:
            return
        try:
            self._snapshots.finish()
            if self._snapshots.failed:
                self._note_once("no checkpoints from then on: copying from a device failed: %s" % self._snapshots.failed)
            facts = self._facts()
            facts["exit_code"] = code if isinstance(code, int) else 0 if code is None else 1
            if error is not None:
                text = "".join(traceback.format_exception(type(error), error, trace))
                facts["exception"] = "%s: %s" % (type(error).__name__, error)
                facts["traceback"] = text[-_MAX_TRACEBACK:]
            self._journal.end(dumps(facts))
            self._journal.flush()
        except Exception:  # noqa: BLE001, S110 - the recorder sees from the exit status how it ended
            pass

    def _facts(self):
        """What is noted of every end."""
        return dict(_snapshot.environment_facts(), t_ns=self._journal.now())


def _length(iterable):
    try:
        return len(iterable)
    except Exception:  # noqa: BLE001 - any iterable will do
        return -1


def _has_positions(plan):
    """Whether the loop's iterations are kept."""
    return plan.get("wrap") is None or plan["wrap"]["has_positions"]


def _how(iterable, how):
    """How a loop ended: of a `while` its condition says whether it ran to its end."""
    return _journal.EXHAUSTED if type(iterable) is _handsfree.Turns and iterable.is_over else how


def _scalar(value, index):
    """The iterated value's bytes where it says more than the index."""
    if type(value) is int and value == index:
        return None
    return _values.scalar(value)
