"""When the ranks of a run take checkpoints: all of them at the same iterations, without a word between them.

Rank 0 decides as a single process does, but for an iteration that is still to come, and writes its number into a file that
all ranks hold. Each rank reads there what was decided; nobody waits for anybody. Ranks that average their gradients are at
most an iteration apart, and so they all read it in time; one that is further ahead takes a checkpoint less.
"""
import os

from ._adaptive import Adaptive

#: So long ahead it is decided, in nanoseconds, and at least one iteration.
_AHEAD_NS = 250_000_000
_NUMBER = 8
#: Another rank may exceed what is tolerated by this factor: it stalls while rank 0 does, and all wait for each other anyway.
_SLACK = 2


class Together(Adaptive):
    """Decides for one rank. ``fd`` is the file with what rank 0, which ``leads``, has decided: iterations in order."""

    def __init__(self, mode, fd, leads):
        super().__init__(mode)
        self._fd, self._leads = fd, leads
        #: How many decisions were written, and read; the last that was read, and the last written.
        self._written = self._read = 0
        self._next = self._promised = -1

    def is_due(self, index):
        """Whether this iteration is to be asked about however soon it comes."""
        while self._next < index:
            try:
                number = os.pread(self._fd, _NUMBER, _NUMBER * self._read)
            except OSError:
                # The script has closed all files that it did not open.
                return False
            if len(number) < _NUMBER:
                return False
            self._next = int.from_bytes(number, "little")
            self._read += 1
        return self._next == index

    def begin_iteration(self, snapshots, now, index, length):
        super().begin_iteration(snapshots, now, index, length)
        if self.always or self.never:
            return
        # Not before it is known what a checkpoint costs.
        if self._leads and self._unit and self._is_possible(snapshots):
            self._decide(now, index, length)
        if not self.is_early:
            spends = self._spent <= self._limit * (1 if self._leads else _SLACK)
            self.materialise = self._is_possible(snapshots) and self.is_due(index) and (self._leads or spends)

    def rests(self, now):
        # What is decided is decided ahead.
        return 0

    def _decide(self, now, index, length):
        """Writes down an iteration to come, if by then there is time for its checkpoint and for those decided before."""
        elapsed = now - self._start
        ahead = 1 + (int(_AHEAD_NS * index / elapsed) if elapsed else 0)
        target = index + ahead if length < 0 else min(index + ahead, length)
        # Those that were not come to yet.
        waiting = self._written - self._read + (self._next > index)
        if target > max(index, self._promised) and self._is_within((1 + waiting) * self._unit, target == length):
            try:
                os.pwrite(self._fd, target.to_bytes(_NUMBER, "little"), _NUMBER * self._written)
            except OSError:
                return
            self._written += 1
            self._promised = target
