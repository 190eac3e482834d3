"""When to take checkpoints."""
import time

#: Snapshots may stall the training thread for this share of the time.
_TOLERANCE = 0.01


class Adaptive:
    """Decides which iterations are materialised, by what snapshots have cost against the time that passed.

    After Flor (Garcia et al., VLDB 2021, section 4.2): a checkpoint is taken if its cost stays within the tolerated
    share of the time. The first iteration is always materialised, since nothing is known before.
    """

    def __init__(self, mode):
        self.always = mode == "all"
        self._never = mode == "off"
        self.materialise = False
        self._start = self._spent = self._unit = self._unit_start = self._last = self._limit = 0

    def enter(self):
        self._start = self._last = time.perf_counter_ns()

    def begin_iteration(self, snapshots):
        now = time.perf_counter_ns()
        if self.materialise:
            self._unit = self._spent - self._unit_start
        elapsed, expected = now - self._start, now - self._last
        self._limit = _TOLERANCE * (elapsed + expected)
        within = self._spent + self._unit <= self._limit
        possible = not (self._never or snapshots.gone or snapshots.stopped)
        self.materialise = possible and (self.always or self._spent == 0 or within)
        self._last, self._unit_start = now, self._spent

    def has_room(self):
        """Whether one more snapshot in this iteration keeps within what was allowed when it began."""
        return self.always or self._spent <= self._limit

    def add(self, stall_ns):
        self._spent += stall_ns

    def timed(self, work):
        start = time.perf_counter_ns()
        result = work()
        self.add(time.perf_counter_ns() - start)
        return result
