"""When the state of a recorded run is captured, and what of it: starts of iterations of the main loop, and ends of blocks."""
import time

from . import _audit, _beside, _entries, _process, _snapshot

#: To execute a block again that takes less than this costs less than to restore its end.
_CHEAP_NS = 500_000
#: So many ends of a block are taken in an iteration whatever they cost.
_ALWAYS_TAKEN = 2
#: Iterations that begin so soon after one that was looked at are left alone, in nanoseconds: the calls for their blocks
#: would cost more than all checkpoints of a loop whose iterations take a millisecond.
_APART_NS = 100_000_000
#: Nor are those that begin before there is time for a checkpoint, but for one in so many nanoseconds: how long its blocks take
#: is to be known.
_LONGEST_NS = 1_000_000_000
#: So many variables are named in a note.
_NAMED = 3


class Main:
    """The main loop while it runs."""

    def __init__(self, plan, frame):
        self.plan = plan
        self.frame = frame
        self.entries = None
        #: What the audit saw when the loop began, and what variables beside the change set held of it.
        self.before = self.remembered = None
        self.iteration = 0
        #: How often each block ran in this iteration.
        self.blocks = {}


class Checkpoints:
    """Takes them. ``note(text)`` tells, once, why there are none; ``main`` is the main loop while it runs."""

    def __init__(self, journal, snapshots, adaptive, root, note):
        self._journal, self._snapshots, self._note = journal, snapshots, note
        self._adaptive = adaptive
        #: Whether an iteration is to be asked about however soon it comes; None where none ever is.
        self._is_due = getattr(adaptive, "is_due", None)
        self.audit = _audit.Audit(root)
        self.main = None
        #: What the script has named besides its variables.
        self.objects = {}
        #: Of blocks: how often they came to their end and how long that took in all, where they were looked at.
        self._times = {}
        #: Until when no iteration is looked at.
        self._next_look = 0

    def enter(self, plan, frame):
        """The main loop begins."""
        self.main = Main(plan, frame)
        self._adaptive.enter()
        try:
            _process.enter()
            self.main.entries = self._adaptive.timed(lambda: _entries.walk(self.roots()))
        except Exception as error:  # noqa: BLE001 - then there are no checkpoints, and training goes on
            self._note("no checkpoints: %s: %s" % (type(error).__name__, error))

    def begin_iteration(self, index, length):
        """Captures the state before the item of iteration ``index`` is fetched, if this iteration is materialised; gives
        whether its blocks are to be told of. The loop's ``length`` is below zero where it is not known.
        """
        main, now = self.main, time.perf_counter_ns()
        main.iteration = index
        if now < self._next_look and index != length and not (self._is_due and self._is_due(index)):
            return False
        main.blocks = {}
        self._adaptive.begin_iteration(self._snapshots, now, index, length)
        rests = min(max(self._adaptive.rests(now), _APART_NS), _LONGEST_NS)
        self._next_look = 0 if self._adaptive.is_trying else now + rests
        if main.entries is None or self._adaptive.never:
            return True
        loops, tables = [(main.plan, main.frame)], [("m", main.entries)]
        # The first iteration's start is what the script does before the loop; replay executes that.
        if index == 0:
            main.before = self._look_before(loops, [main.entries])
            main.remembered = None if main.before is None else main.before[1]
        elif self._adaptive.materialise:
            held = self._seen(loops, tables, main.before, self.roots)
            if held is not None:
                self._capture({"at": "iteration_start"}, self.roots, tables, held)
        return True

    def took(self, plan, nanoseconds):
        """Told how long a block ran."""
        times = self._times.setdefault(plan["key"], [0, 0])
        times[0] += 1
        times[1] += nanoseconds

    def enter_block(self, plan, frame):
        """What `end_block` needs at the block's end."""
        main = self.main
        occurrence = main.blocks.get(plan["key"], 0)
        main.blocks[plan["key"]] = occurrence + 1
        entries = before = None
        if (
            self._adaptive.materialise
            and main.entries is not None
            and plan["never_skip"] is None
            and not self._is_cheap(plan)
            and (occurrence < _ALWAYS_TAKEN or self._adaptive.has_room())
        ):
            entries = self._adaptive.timed(lambda: self._walk_block(plan, frame))
            if entries is not None:
                before = self._look_before([(main.plan, main.frame), (plan, frame)], [entries, main.entries])
        return occurrence, entries, before

    def _is_cheap(self, plan):
        calls, ran = self._times.get(plan["key"], (0, 0))
        return ran < calls * _CHEAP_NS and not self._adaptive.always

    def end_block(self, plan, frame, state):
        occurrence, entries, before = state
        loops = [(self.main.plan, self.main.frame), (plan, frame)]
        if entries is None or self._is_cheap(plan):
            return
        tables = [("b", entries), ("m", self.main.entries)]
        held = self._seen(loops, tables, before, lambda: self.roots(plan, frame))
        if held is not None:
            kind = {"at": "block_end", "block": plan["key"], "occurrence": occurrence}
            self._capture(kind, lambda: self.roots(plan, frame), tables, held)

    def _look_before(self, loops, entries):
        """What the audit sees beside the change sets, and what of their objects others hold; None if there is nothing to
        hold against it later.
        """
        if self.audit.has_failed(loops[-1][0]["key"]):
            return None

        def look():
            look = self.audit.look(loops, entries)
            return look.fingerprints, _beside.Remembered(look, entries[0], self.main.remembered)

        try:
            return self._adaptive.timed(look)
        except Exception as error:  # noqa: BLE001 - then there is no checkpoint, and training goes on
            self._note("a checkpoint was not taken: %s: %s" % (type(error).__name__, error))
            return None

    def _seen(self, loops, tables, before, roots):
        """As `_seen_or_raise`; None where that raised."""
        try:
            return self._seen_or_raise(loops, tables, before, roots)
        except Exception as error:  # noqa: BLE001 - as in `_look_before`
            self._note("a checkpoint was not taken: %s: %s" % (type(error).__name__, error))
            return None

    def _seen_or_raise(self, loops, tables, before, roots):
        """What others hold of the state, if the innermost of the loops has changed nothing but its change set since the
        audit saw ``before``; else None.
        """
        plan, entries = loops[-1][0], [table for _, table in tables]
        if before is None or self.audit.has_failed(plan["key"]):
            return None
        secrets = _process.changed_secrets()
        if secrets:
            self.audit.fail(plan["key"])
            names = ", ".join(secrets[:_NAMED]) + " and others" * (len(secrets) > _NAMED)
            what = "%s sets %s in the environment, which may be secret: there is no checkpoint of it"
            self._note(what % (self.main.plan["name"], names))
            return None
        after = self._adaptive.timed(lambda: self.audit.look(loops, entries))
        fingerprints, remembered = before
        changed = self.audit.changed(plan["key"], fingerprints, after.fingerprints)
        then = "begin at the first iteration" if plan["is_main"] else "always execute it"
        if changed:
            names = ", ".join(changed[:_NAMED]) + " and others" * (len(changed) > _NAMED)
            self._note("%s changes %s, which its code does not show: replays %s" % (plan["name"], names, then))
            return None
        if self._adaptive.timed(lambda: remembered.lost(after, roots())):
            self.audit.fail(plan["key"])
            self._note(
                "%s changes something that another variable still holds, and binds its own anew: replays %s"
                % (plan["name"], then)
            )
            return None
        return _beside.Held(after, _beside.told_apart(self.audit.beside(loops)), entries)

    def _walk_block(self, plan, frame):
        try:
            return _entries.walk(self.roots(plan, frame))
        except Exception as error:  # noqa: BLE001 - then this block has no checkpoint, and training goes on
            self._note("no checkpoint of %s: %s: %s" % (plan["name"], type(error).__name__, error))
            return None

    def _capture(self, kind, roots, tables, held):
        if self._adaptive.materialise:
            self._adaptive.timed(lambda: self._take(kind, roots, tables, held))

    def _take(self, kind, roots, tables, held):
        position = [[self.main.plan["name"], self.main.iteration]]
        message = {
            "t": "snapshot",
            "kind": kind,
            "iteration": self.main.iteration,
            "position": position,
        }
        try:
            all_roots = roots() + _process.roots()
            taken = self._snapshots.take(message, all_roots, tables, self._adaptive.always, self._adaptive.affords, held)
            if taken:
                self._adaptive.copied(message["bytes"], message["stall_ns"])
                self._journal.snapshot(message["seq"], message["stall_ns"])
        except Exception as error:  # noqa: BLE001 - a checkpoint less, and training goes on
            self._note("a checkpoint was not taken: %s: %s" % (type(error).__name__, error))
        if self._snapshots.gone:
            self._note("the recorder is gone: no checkpoints from here on")

    def roots(self, block=None, frame=None):
        """The state at this point: [(key, value)]. The main loop's change set, a block's own, the named objects."""
        main = self.main
        roots = _snapshot.variables(main.plan, main.frame)
        if block is not None and frame is not main.frame:
            roots += _snapshot.variables(block, frame, "block/")
        return roots + [("object:" + name, value) for name, value in sorted(self.objects.items())]
