"""Notices when a replay reads a file that is not what the run read: one that a run has written since, and not the replay;
or one that is not there, since the iterations that made it were not executed.

A script that keeps its best weights in a file finds there what the run, or a later one, left at its end. Files that were
changed while nothing trained are the user's: whether they are what they were, the values must tell. Of small ones that nobody
changed while the run went on it is known what they held: that counts then, and no time does.
"""
import fcntl
import hashlib
import os
import site
import stat
import sys
import time

from . import _lookups, _moved
from ._guard import _STORE, watch_torch


#: As it is before it is watched.
_stat = os.stat
#: The mode of what may be written without being opened for it.
_DATABASE = "a database"
#: Where only safe hashes are allowed, this one is for telling files apart.
_NOT_FOR_SECURITY = {"usedforsecurity": False} if sys.version_info >= (3, 9) else {}
#: So many bytes written to a pipe at once are not mixed with another process' (PIPE_BUF), with some room.
_ATOMIC = 4000
#: From here on files have numbers that are not a script's.
_HIGH = 200


#: Files that were read for this process before it was forked.
earlier = []


def watch(order, tell, notice):
    """Tells of each such file once, from now on. ``notice`` is called with those that the user has changed since, and
    whether it is known that they hold something else."""
    reads = Reads(order, tell, notice)
    watch_torch(reads)
    sys.addaudithook(reads)
    for path in earlier:
        reads("open", (path, "r", 0))
    _lookups.watch(reads.asked)
    return reads


def _pipe():
    """A pipe that neither waits nor takes a number that a script's own files get."""
    ends = []
    for end in os.pipe():
        try:
            ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH))
            os.close(end)
        except OSError:
            # So many files are not allowed.
            ends.append(end)
        os.set_blocking(ends[-1], False)
    return ends


class Reads:
    """The audit hook."""

    def __init__(self, order, tell, notice):
        self._started, self._training = order["started_ms"], order["training_ms"]
        #: What files held while the run went on, and what they were found to hold.
        self._held, self._hashes = order["held"], {}
        self._notice = notice
        self._begun = time.time() * 1000
        # Where the guard sees torch's writes, it alone does.
        self._ours_from = time.time() * 1000 if os.environ.get("AFTERLOG_GUARD") else float("inf")
        self._telling, self._told, self._own, self._noticed = tell, set(), set(), {}
        #: What processes forked from this one tell, as those that load data do.
        self._pid, (self._from_children, self._to_parent) = os.getpid(), _pipe()
        #: Files of a run's that this replay has added to.
        self._stale = set()
        #: Files that this replay has made or written anew.
        self._anew = set()
        #: Whether anything that the run executed has been left out, and what has been looked for in vain since then.
        self._entered, self._missed = False, set()
        #: Whether it was without something since then that the whole script, executed anew, might find as the run did.
        self.bereft = False
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
        elif event == "os.mkdir":
            self._made(arguments[0])
        elif self._entered and event == "subprocess.Popen":
            self._started_program(arguments[1])
        elif event in ("os.listdir", "os.scandir"):
            if event == "os.scandir" and self._held:
                self._scanned(arguments[0])
            if self._entered:
                self._listed(arguments[0])

    def ignore(self, path):
        """A file of ours."""
        self._own.add(os.path.realpath(path))

    def go_on(self):
        """In a process that was forked to go on as the replay: others' pipe is not its own."""
        for end in (self._from_children, self._to_parent):
            os.close(end)
        self._pid, (self._from_children, self._to_parent) = os.getpid(), _pipe()

    def restored(self):
        """What was not executed may have gone on writing to the files that this replay has written anew."""
        self._own -= self._anew
        self._stale |= self._anew
        self._entered = True

    def _tell(self, what):
        if os.getpid() == self._pid:
            self.bereft |= self._entered
            self._telling(what)
            return
        try:
            os.write(self._to_parent, what.encode("utf-8", "replace")[:_ATOMIC] + b"\n")
        except OSError:
            pass

    def settle(self):
        """Tells of what was looked for in vain, unless the replay has made a folder there: that is what it asked for."""
        if os.getpid() != self._pid:
            # What it has to tell is told: nobody would hear it here.
            return
        try:
            while True:
                said = os.read(self._from_children, 1 << 16).decode("utf-8", "replace")
                for what in sorted(set(said.splitlines()) - self._told):
                    self._told.add(what)
                    self._tell(what)
        except OSError:
            pass
        self._settle_missed()

    def _settle_missed(self):
        for place in sorted(self._missed - self._told):
            self._told.add(place)
            self._tell("rely on %s, which is not here: what was not executed may have made it" % place)
        self._missed.clear()

    def asked(self, path, is_there):
        """Somebody asks whether a file is there."""
        if isinstance(path, int) or not (is_there or self._entered):
            return
        try:
            place = os.path.realpath(os.fsdecode(path))
            if is_there:
                self._found(place)
            else:
                self._missing(place)
        except (OSError, ValueError, TypeError):
            pass

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
            status = _stat(place)
        except OSError:
            if writes:
                self._own.add(place)
                self._anew.add(place)
            elif self._entered:
                self._missing(place)
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
        elif stale:
            self._tell_of(place)

    def _tell_of(self, place):
        if place not in self._told:
            self._told.add(place)
            why = "it was written by a run, after this one began"
            if place in self._stale:
                why = "it holds what this replay wrote, and not all that the run did"
            elif self._noticed.get(place):
                why = "it does not hold what it held in the run"
            elif place in self._noticed:
                why = "it has changed since the run began"
            self._tell("rely on %s: %s" % (place, why))

    def _found(self, place):
        if place in self._own:
            return
        status = _stat(place)
        is_stale = self._is_stale(place, status)
        if not is_stale and self._is_touched(place, status) and not _lookups.asks_whether_there():
            # When it was changed may be what the script wants to know.
            is_stale = True
            self._noticed.setdefault(place, False)
        if is_stale and _lookups.is_for_script():
            self._tell_of(place)

    def _scanned(self, path):
        """The entries that this gives tell times, and nobody sees who asks them."""
        try:
            folder = os.path.realpath("." if path is None else os.fsdecode(path))
            touched = [place for place in self._held if os.path.dirname(place) == _moved.back(folder)]
            touched = [os.path.join(folder, os.path.basename(place)) for place in touched]
            touched = [place for place in touched if place not in self._own and self._is_touched(place, _stat(place))]
        except (OSError, TypeError, ValueError):
            return
        if touched and _lookups.is_for_script():
            self._noticed.setdefault(touched[0], False)
            self._tell_of(touched[0])

    def _missing(self, place):
        if place not in self._own and not self._is_ignored(place) and _lookups.is_for_script():
            self._missed.add(place)
            if os.getpid() != self._pid:
                self._settle_missed()

    def _made(self, path):
        try:
            place = os.path.realpath(os.fsdecode(path))
            _stat(place)
        except FileNotFoundError:
            self._missed.discard(place)
            self._own.add(place)
            self._anew.add(place)
        except (OSError, TypeError, ValueError):
            pass

    def _listed(self, path):
        try:
            place = os.path.realpath("." if path is None else os.fsdecode(path))
            changed = _stat(place).st_mtime * 1000 > self._started
        except (OSError, TypeError, ValueError):
            return
        if changed and not (place in self._own or self._is_ignored(place)) and _lookups.is_for_script(lists=True):
            if place not in self._told:
                self._told.add(place)
                self._tell("rely on what lies in %s: what was not executed may have put more there" % place)

    def _started_program(self, command):
        """What a program prints may follow from files that are not as they were in the run: nobody sees what it reads."""
        if not _lookups.is_program_of_script():
            return
        name = os.fsdecode(command if isinstance(command, (str, bytes)) else list(command)[0]).partition("\n")[0][:80]
        if name not in self._told:
            self._told.add(name)
            self._tell("rely on what %s says, which may read files that were not written again" % name)

    def _is_ignored(self, place):
        # As the standard library looks for the source of code that has none.
        nameless = os.path.basename(place).startswith("<")
        is_elsewhere = place.startswith(self._elsewhere) and not place.startswith("/dev/shm/")
        # What this replay itself keeps, as its output, and what is kept of others.
        is_of_store = os.sep + _STORE + os.sep in place
        return nameless or place.endswith(".pyc") or is_elsewhere or is_of_store

    def _is_stale(self, place, status):
        if place in self._stale:
            return True
        if self._is_ignored(place) or not stat.S_ISREG(status.st_mode):
            return False
        held = self._held_at(place)
        if held is not None:
            differs = self._differs(place, status, held)
            if differs and place not in self._noticed:
                self._noticed[place] = True
                self._notice(place, True)
            return differs
        changed = status.st_mtime * 1000
        if self._is_of_a_run(changed):
            return True
        if not self._started < changed < self._begun:
            return False
        if place not in self._noticed:
            self._noticed[place] = False
            self._notice(place)
        return True

    def _held_at(self, place):
        # Where a folder is elsewhere now, what the run's own held counts.
        return self._held.get(_moved.back(place))

    def _is_touched(self, place, status):
        held = self._held_at(place)
        return held is not None and status.st_mtime_ns != held["modified_ns"]

    def _differs(self, place, status, held):
        """Whether a file holds something else than it did while the run went on."""
        if status.st_size != held["bytes"]:
            return True
        # Copies and archives keep times.
        key = place, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
        if key not in self._hashes:
            # Opening it tells of it once more.
            self._hashes[key] = held["hash"]
            with open(place, "rb") as file:
                data = file.read(status.st_size + 1)
            self._hashes[key] = hashlib.sha1(b"blob %d\0" % len(data) + data, **_NOT_FOR_SECURITY).hexdigest()
        return self._hashes[key] != held["hash"]

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
