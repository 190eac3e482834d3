"""Imports once what several scripts import at their top, and forks a process for each segment that asks for one.

``python serve.py SOCKET WHAT`` is started by the coordinator of a replay in a view of the file system that nobody can write
to. A worker sends its segment's files and namespaces; the process forked for it joins them, becomes what a fresh start of
``launch.py`` would be, and runs the script. Where it cannot be the same, the worker is told why and starts Python afresh.
"""
import os
import sys

import launch
import afterlog._replay
import afterlog._start

# A fresh start has them under another name, or not at all.
del sys.modules["launch"]
#: What a fresh start has imported before the script.
_BEFORE = frozenset(name.partition(".")[0] for name in sys.modules)

import array  # noqa: E402
import json  # noqa: E402
import select  # noqa: E402
import socket  # noqa: E402
import types  # noqa: E402

from afterlog import _become, _preload  # noqa: E402

#: Without descriptors of processes (Python 3.8) their ends are looked for so often, in milliseconds.
_POLL = 5
_MAX_FILES = 16
_MAX_REQUEST = 1 << 20


class _Server:
    def __init__(self, asked, preloaded):
        self._asked, self._preloaded = asked, preloaded
        #: Of each process that runs: the socket on which its worker waits, and its descriptor.
        self._running = {}
        self._poll = select.poll()
        self._poll.register(asked, select.POLLIN)

    def next_request(self):
        """Serves; returns in each forked process, with what it was asked for, and in the server's own never."""
        while True:
            patient = not self._running or all(end is not None for _, end in self._running.values())
            ready = {fd: event for fd, event in self._poll.poll(None if patient else _POLL)}
            for pid, (answers, end) in list(self._running.items()):
                if answers.fileno() in ready:
                    # Its worker is gone.
                    _kill(pid)
                if end is None or end in ready:
                    self._ended(pid)
            if self._asked.fileno() in ready:
                data, files = _receive(self._asked)
                if not data:
                    os._exit(0)
                request = self._begin(json.loads(data), files)
                if request is not None:
                    return request

    def _begin(self, request, files):
        answers, files = socket.socket(fileno=files[0]), files[1:]
        if self._preloaded.unfit:
            _tell(answers, {"t": "afresh", "reason": self._preloaded.unfit})
            answers.close()
            _close(files)
            return None
        pid = _preload.fork()
        if pid == 0:
            self._asked.close()
            for other, end in self._running.values():
                other.close()
                _close([] if end is None else [end])
            return request, answers, files
        _close(files)
        end = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        self._running[pid] = answers, end
        self._poll.register(answers, select.POLLHUP)
        if end is not None:
            self._poll.register(end, select.POLLIN)
        return None

    def _ended(self, pid):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == 0:
            return
        answers, end = self._running.pop(pid)
        self._poll.unregister(answers)
        _tell(answers, {"t": "ended", "status": status})
        answers.close()
        if end is not None:
            self._poll.unregister(end)
            os.close(end)


def _receive(connection):
    room = socket.CMSG_SPACE(_MAX_FILES * array.array("i").itemsize)
    data, ancillary, _, _ = connection.recvmsg(_MAX_REQUEST, room)
    numbers = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    for number in numbers:
        os.set_inheritable(number, False)
    return data, list(numbers)


def _tell(answers, message):
    try:
        answers.send(json.dumps(message).encode())
    except OSError:
        # The worker has been killed.
        pass


def _kill(pid):
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass


def _close(files):
    for fd in files:
        os.close(fd)


def _serve():
    """Returns in each forked process when it is ready to run its script, with the script's ``__main__``."""
    asked, what, server = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]), os.getpid()
    afterlog._replay.die_with_parent(what["parent"])
    asked.set_inheritable(False)
    launcher = os.path.join(os.path.dirname(sys.argv[0]), "launch.py")
    # Libraries may keep it: it is the script's later.
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    script = os.path.join(os.getcwd(), what["script"]) if what["module"] else launch._file_name(what["script"])
    main.__dict__.update(__file__=script, __builtins__=__builtins__, __cached__=None)
    preloaded = _preload.Preloaded(what["root"], what["imports"], what["later"], _BEFORE)
    request, answers, files = _Server(asked, preloaded).next_request()
    try:
        _become.segment(request, files, preloaded, launcher, server)
    except _become.Different as different:
        _tell(answers, {"t": "afresh", "reason": str(different)})
        os._exit(0)
    _tell(answers, {"t": "started"})
    answers.close()
    return main


launch._main(_serve())
