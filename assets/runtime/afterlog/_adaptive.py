"""When to take checkpoints."""
import gc
import time

#: Looking at the state and copying it may stall the training thread for this share of the time. Training pays about as much
#: again afterwards, since what it had in the caches is gone; the runtime's calls and threads make up the rest of one per cent.
_TOLERANCE = 0.003
#: Bytes a nanosecond that are copied, before it was measured: into memory that is touched for the first time.
_FIRST_RATE = 1.5
#: From so many bytes on the time that they took says how fast copying is.
_TELLING = 1 << 22
#: Nanoseconds that the first checkpoint may take however young the training is, and in how many iterations it is tried.
_FLOOR, _EARLY = 20_000_000, 2
#: By this share of what is tolerated the state at the end of the loop may exceed it.
_AT_END = 0.2
#: States whose sizes differ by less than this factor cost about the same.
_ALIKE = 1.5


class Adaptive:
    """Decides which iterations are materialised, by what snapshots have cost against the time that passed.

    After Flor (Garcia et al., VLDB 2021, section 4.2): a checkpoint is taken if its cost stays within the tolerated share of
    the time. What it costs is what the last one did; before the first one it follows from the size of the state.
    """

    def __init__(self, mode):
        self.always = mode == "all"
        self.never = mode == "off"
        self.materialise = False
        #: Whether every iteration is asked about: where all are materialised, and at first.
        self.is_trying = True
        #: Whether this iteration is tried because nothing is known yet.
        self.is_early = False
        self._start = self._spent = self._unit = self._unit_start = self._last = self._limit = 0
        self._iterations = self._refused = self._largest = 0
        self._rate = _FIRST_RATE

    def enter(self):
        self._start = self._last = time.perf_counter_ns()

    def begin_iteration(self, snapshots, now, index, length):
        """Decides about the iteration that begins ``now``; between it and the one before, others may have been left out.
        After the last, when ``index`` is the loop's ``length``, there is only its start.
        """
        if self.materialise:
            self._unit = self._spent - self._unit_start + self._refused
        elapsed, expected = now - self._start, now - self._last
        self._limit = _TOLERANCE * (elapsed + expected)
        # Not before one was tried is it known what a checkpoint costs.
        self.is_early = self._iterations < _EARLY and not self._largest and not self._refused
        wanted = self.always or self.is_early or self._is_within(self._unit, index == length)
        self.materialise = wanted and self._is_possible(snapshots)
        self._iterations += 1
        self.is_trying = self.always or self._iterations < _EARLY
        self._refused = 0
        self._last, self._unit_start = now, self._spent

    def rests(self, now):
        """For how many nanoseconds no iteration would be materialised, but for the state at the loop's end."""
        if self.materialise:
            # What that costs is known at the next one.
            return 0
        # As `_limit`, where the last iteration that was asked about began now.
        affordable = ((self._spent + self._unit) / _TOLERANCE + self._start + now) / 2
        return max(affordable - now, 0)

    def _is_possible(self, snapshots):
        return not (self.never or snapshots.gone or snapshots.stopped)

    def _is_within(self, cost, is_over):
        # The state at the end is asked for more often than others: it may go a little over.
        return self._spent + cost <= self._limit * (1 + _AT_END if is_over else 1)

    def has_room(self):
        """Whether one more snapshot in this iteration keeps within what was allowed when it began."""
        return self.always or self._spent <= self._limit

    def affords(self, size):
        """Whether ``size`` bytes may be copied, where that is more than ever before."""
        if self.always or size <= _ALIKE * self._largest:
            return True
        copying = size / self._rate
        allowed = _TOLERANCE * (time.perf_counter_ns() - self._start) - self._spent
        if copying <= (allowed if self._largest else max(allowed, _FLOOR)):
            return True
        self._refused = copying
        return False

    def copied(self, size, stall_ns):
        """Learns from ``size`` bytes that were copied in that time."""
        self._largest = max(size, self._largest)
        if size >= _TELLING:
            self._rate = size / max(stall_ns, 1)

    def add(self, stall_ns):
        self._spent += stall_ns

    def timed(self, work):
        """What ``work`` gives; its time counts as a stall."""
        start = time.perf_counter_ns()
        collects = gc.isenabled()
        # Walking the state makes many small objects: a collection would be set off, and look at all that the process holds.
        gc.disable()
        try:
            return work()
        finally:
            if collects:
                gc.enable()
            self.add(time.perf_counter_ns() - start)
