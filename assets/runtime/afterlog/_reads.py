"""Notices when a replay reads a file that is not what the run read: one that a run has written since, and not the replay.

A script that keeps its best weights in a file finds there what the run, or a later one, left at its end. Files that were
changed while nothing trained are the user's: whether they are what they were, the values must tell.
"""
import os
import site
import stat
import sys
import time

from ._guard import watch_torch


#: The mode of what may be written without being opened for it.
_DATABASE = "a database"


#: Files that were read for this process before it was forked.
earlier = []


def watch(started_ms, training_ms, tell):
    """Tells of each such file once, from now on."""
    reads = Reads(started_ms, training_ms, tell)
    watch_torch(reads)
    sys.addaudithook(reads)
    for path in earlier:
        reads("open", (path, "r", 0))
    return reads


class Reads:
    """The audit hook."""

    def __init__(self, started_ms, training_ms, tell):
        self._started, self._training = started_ms, training_ms
        # Where the guard sees torch's writes, it alone does.
        self._ours_from = time.time() * 1000 if os.environ.get("AFTERLOG_GUARD") else float("inf")
        self._tell, self._told, self._own = tell, set(), set()
        #: Files of a run's that this replay has added to.
        self._stale = set()
        #: Files that this replay has made or written anew.
        self._anew = set()
        home = os.path.expanduser("~")
        # Installed code and its caches; the runtime itself.
        places = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(__file__), "/proc", "/sys", "/dev", "/etc"]
        places += [os.path.join(home, ".cache"), os.path.join(home, ".config"), os.path.join(home, ".local")]
        try:
            places += site.getsitepackages()
        except AttributeError:
            pass
        self._elsewhere = tuple(os.path.realpath(place).rstrip("/") + "/" for place in places if place not in ("/", ""))
        # The script is the version's with a statement added.
        self._own.add(os.path.realpath(sys.argv[1]))

    def __call__(self, event, arguments):
        if event == "open":
            self._opened(*arguments)
        elif event == "os.rename":
            self._renamed(*arguments[:2])
        elif event == "sqlite3.connect":
            self._opened(arguments[0], _DATABASE, 0)

    def restored(self):
        """What was not executed may have gone on writing to the files that this replay has written anew."""
        self._own -= self._anew
        self._stale |= self._anew

    def perform(self, check, *arguments):
        check(*arguments)

    def _opened(self, path, mode, flags):
        if isinstance(path, int):
            return
        try:
            self._check(os.path.realpath(os.fsdecode(path)), flags or 0, mode or "")
        except (OSError, ValueError, TypeError):
            pass

    def _check(self, place, flags, mode):
        writes = flags & (os.O_WRONLY | os.O_RDWR) or any(letter in mode for letter in "wax+")
        try:
            status = os.stat(place)
        except OSError:
            if writes:
                self._own.add(place)
                self._anew.add(place)
            return
        if flags & os.O_TRUNC or "w" in mode and not flags:
            self._stale.discard(place)
            self._own.add(place)
            self._anew.add(place)
            return
        stale = place not in self._own and self._is_stale(place, status)
        if mode == _DATABASE and not stale:
            self._own.add(place)
            self._anew.add(place)
        if stale and flags & os.O_WRONLY:
            # What is there stays there, but looks new from now on.
            self._stale.add(place)
        elif stale and place not in self._told:
            self._told.add(place)
            why = "it holds what this replay wrote, and not all that the run did"
            written = "it was written by a run, after this one began"
            self._tell("rely on %s: %s" % (place, why if place in self._stale else written))

    def _is_stale(self, place, status):
        if place in self._stale:
            return True
        ignored = place.endswith(".pyc") or place.startswith(self._elsewhere)
        return not ignored and stat.S_ISREG(status.st_mode) and self._is_of_a_run(status.st_mtime * 1000)

    def _is_of_a_run(self, written):
        if not self._started < written < self._ours_from:
            return False
        return any(start <= written <= end for start, end in self._training)

    def _renamed(self, source, target):
        try:
            source, target = (os.path.realpath(os.fsdecode(path)) for path in (source, target))
        except (TypeError, ValueError):
            return
        if source in self._own:
            self._own.add(target)
            self._anew.add(target)
        else:
            self._own.discard(target)
