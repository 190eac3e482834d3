"""Has what comes before the main loop executed once for several segments of a run: the process that did it forks one for each.

It does so where the main loop is entered. What is forked joins its worker's view of the file system, which has what
was written until then, takes over the worker's files, and goes on as a process that was started for that segment alone.
Where it could find anything else than such a process (threads, open files, memory or children that it would share, a
process id that was looked at), nothing is forked, and the worker is told why.
"""
import ctypes
import gc
import json
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback

from . import _become, _flordb, _forks, _journal, _preload, _reads, _shareable, _snapshot

#: Modules that may ask for the process id: they ask again when they need it, or it is seen to here.
_MAY_ASK = frozenset(["afterlog", "logging", "tempfile", "random", "multiprocessing", "threading"])
#: Through these others ask: `multiprocessing.current_process().pid`.
_ASKS_FOR = ("multiprocessing.process", "ident")
#: So long the threads of pools may take to end, in seconds.
_PATIENCE = 1.0
#: What may be there a moment longer, by how it is called.
_PASSING = ("pipe:", "QueueFeederThread")
#: So many events may be kept for each segment's journal.
_MOST_EVENTS = 100_000
#: Libraries with threads for OpenMP, by the beginnings of their names; and what has them end their threads.
_POOLS, _HARD = ("libgomp", "libomp", "libiomp"), 2


class Kept(_journal.Journal):
    """A journal that keeps its events until it is that of a segment."""

    def open(self, fd):
        self.fd = fd

    def flush(self):
        """Nothing: no segment has begun."""

    def begin(self, facts):
        """Writes from now on, what was kept first."""
        self.__class__ = _journal.Journal
        self.start(facts)
        # It comes first.
        self._queue.rotate(1)
        self.open(self.fd)
        self.flush()

    def kept(self):
        return len(self._queue)


class Prefix:
    def __init__(self, session, journal, fds):
        self._session, self._journal, self._fds = session, journal, fds
        #: Whether it is this that forks: what is forked is the run's, and no child of the script's.
        self.forks = False
        self._files, self._shared = _shareable.open_files(), _shared_memory()
        #: The names of modules that looked at the process id.
        self._asking = set()
        self._real = [(os, "getpid", os.getpid), (threading, "get_native_id", threading.get_native_id)]
        for module, name, function in self._real:
            setattr(module, name, self._watching(function))
        #: Which signals the script blocks, and whether it ignores that children end.
        self._blocked, self._ignores = None, False

    def _watching(self, function):
        """Whoever keeps the number of this process would take each segment's for a child."""
        asking, frame_of = self._asking, sys._getframe

        def watched():
            frame = frame_of(1)
            if (frame.f_globals.get("__name__"), frame.f_code.co_name) == _ASKS_FOR and frame.f_back is not None:
                frame = frame.f_back
            name = str(frame.f_globals.get("__name__"))
            if name.partition(".")[0] not in _MAY_ASK:
                asking.add(name)
            return function()

        return watched

    def fork(self):
        """Serves; returns in each forked process, with its segment's order, and in this process never."""
        try:
            return self._fork()
        except BaseException:  # noqa: BLE001 - the script is not to see it
            try:
                traceback.print_exc()
            finally:
                os._exit(70)

    def _fork(self):
        for module, name, function in self._real:
            setattr(module, name, function)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        drawn, took, self.forks = random.getstate(), self._journal.now(), True
        unfit, stays = self._why_unfit()
        number, asked = os.getpid(), socket.socket(fileno=self._fds["asked"])
        if unfit:
            # Its memory is kept for nobody.
            _forks.refuse(asked, unfit, stays)
        request, answers, files = _forks.Server(asked, None).next_request()
        try:
            order = self._become(request, files, number)
        except (_become.Different, OSError) as different:
            _forks.tell(answers, {"t": "afresh", "reason": str(different)})
            os._exit(0)
        # Python seeds it in each forked process.
        random.setstate(drawn)
        # It has waited for this segment to begin, and nothing took that long.
        self._journal._start_ns = time.monotonic_ns() - took
        self._journal.begin(json.dumps(dict(_snapshot.process_facts(), rank=0, world=1)))
        self._session.go_on()
        self._let_children_end()
        _forks.tell(answers, {"t": "started", "process": os.getpid()})
        answers.close()
        return order

    def _become(self, request, files, number):
        folder = os.getcwd()
        events, output, control, first, second = _become.enter(request, files, number)
        os.chdir(folder)
        _become.streams(output)
        ours = self._fds
        numbers = [ours["events"], ours["output"], ours["control"], *ours["buffers"]]
        for fd, own in zip((events, output, control, first, second), numbers):
            # Under the numbers that the objects here know.
            os.dup2(fd, own, inheritable=False)
            os.close(fd)
        self._renumber(number)
        place = request["environment"]["AFTERLOG_ORDER"]
        # No file of the script's.
        self._session.reads.ignore(place)
        with open(place, encoding="utf-8") as file:
            return json.load(file)

    def _renumber(self, number):
        """Has what knows this process by its number know the new one."""
        self._session.reads.go_on()
        _flordb.flush = self._journal.flush
        process, util = (sys.modules.get("multiprocessing." + name) for name in ("process", "util"))
        known = list(getattr(util, "_finalizer_registry", {}).values())
        if process is not None:
            # Those that have ended are asked about, too. No class is asked: it may do anything.
            known += [found for found in gc.get_objects() if process.BaseProcess in type(found).__mro__]
        for found in known:
            for name in ("_pid", "_parent_pid"):
                if found.__dict__.get(name) == number:
                    found.__dict__[name] = os.getpid()

    def _why_unfit(self):
        """In words, or None; and whether it is so whenever the script comes to its main loop."""
        try:
            why = self._once_passing_ended() or self._why_changed()
            if why:
                return why, True
            self._keep_children()
            return self._why_threads(), False
        except Exception as error:  # noqa: BLE001 - a library that is not what it seems, or no memory
            return "%s: %s" % (type(error).__name__, error), False

    def _once_passing_ended(self):
        """Queues of `multiprocessing`, as a loader has them, are given up by a thread that ends a moment after."""
        until = time.monotonic() + _PATIENCE
        while True:
            why = self._why_shared() or _shareable.why_threads()
            passes = why and any(word in why for word in _PASSING)
            if not passes or time.monotonic() > until:
                return why
            time.sleep(0.01)

    def _keep_children(self):
        """How they end is for the server to know: what the script does with its own is not done with these."""
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        self._ignores = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
        if self._ignores:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _let_children_end(self):
        if self._ignores:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)

    def _why_shared(self):
        """What a forked process would share with others, or would not have."""
        if threading.current_thread() is not threading.main_thread():
            return "the main loop is not in the main thread"
        why = _shareable.why_devices() or _shareable.why_files(self._files)
        if why:
            return why
        if not _shared_memory() <= self._shared:
            return "memory is shared before the main loop"
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return "a process that was started before the main loop is still there"
        except ChildProcessError:
            pass
        if any(any(signal.getitimer(kind)) for kind in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)):
            return "a timer runs before the main loop"
        return None

    def _why_threads(self):
        _end_progress_bars()
        torch = sys.modules.get("torch")
        threads = torch and torch.get_num_threads()
        _end_pools()
        if torch and torch.get_num_threads() != threads:
            return "torch computes with another number of threads in a forked process"
        pid = _preload.fork()
        if pid == 0:
            # Pools that are ready for it have ended their threads.
            os._exit(0)
        os.waitpid(pid, 0)
        until = time.monotonic() + _PATIENCE
        while len(os.listdir("/proc/self/task")) > 1:
            if time.monotonic() > until:
                return "threads were started before the main loop"
            time.sleep(0.002)
        return None

    def _why_changed(self):
        if self._asking:
            return "%s looks at the process id before the main loop" % sorted(self._asking)[0]
        if self._journal.kept() > _MOST_EVENTS:
            return "too much is logged before the main loop"
        return None


def _shared_memory():
    """What is mapped so that other processes see what is written there, or this one what they write."""
    with open("/proc/self/maps") as file:
        maps = [line.split(None, 5) for line in file]
    return {(fields[1], *fields[3:]) for fields in maps if fields[1][3] == "s" and not fields[-1].startswith("/usr/")}


def _end_progress_bars():
    """The thread that redraws slow bars of tqdm; the next bar starts it again."""
    tqdm = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    monitor = getattr(tqdm, "monitor", None)
    if monitor is not None:
        monitor.exit()
        tqdm.monitor = None


def _end_pools():
    """Ends the threads of OpenMP, which do not survive a fork and would be waited for; they are started again when needed."""
    with open("/proc/self/maps") as file:
        mapped = {line.split(None, 5)[5].strip() for line in file if len(line.split(None, 5)) > 5}
    for path in mapped:
        if os.path.basename(path).startswith(_POOLS):
            pause = getattr(ctypes.CDLL(path), "omp_pause_resource_all", None)
            if pause is not None:
                pause(_HARD)
