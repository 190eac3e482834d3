"""Forks a process for each segment whose worker asks for one, tells the worker what becomes of it, and ends it with its worker.

A worker sends what it wants and the open files for it over a socket, first of all one on which it is answered.
"""
import json
import os
import select
import socket
import struct

from . import _preload

#: Without descriptors of processes (Python 3.8) their ends are looked for so often, in milliseconds.
_POLL = 5
_MAX_FILES = 16
_MAX_REQUEST = 1 << 20


class Server:
    """``unfit`` says why nothing may be forked from this process, or is None."""

    def __init__(self, asked, unfit):
        self._asked, self._unfit, self._number = asked, unfit, os.getpid()
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
        if not files:
            # This process may have no more open files: whoever asks sees that there is no answer.
            return None
        answers, files = socket.socket(fileno=files[0]), files[1:]
        if self._unfit or request.get("waits"):
            # Whoever waits asks for a process as soon as it knows where.
            answer = {"t": "afresh", "reason": self._unfit} if self._unfit else {"t": "ready", "process": os.getpid()}
            tell(answers, answer)
            answers.close()
            _close(files)
            return None
        try:
            pid = _preload.fork()
        except Exception as error:  # noqa: BLE001 - of the memory, mostly; those that run are not to end with it
            if os.getpid() != self._number:
                os._exit(70)
            tell(answers, {"t": "afresh", "reason": "%s: %s" % (type(error).__name__, error)})
            answers.close()
            _close(files)
            return None
        if pid == 0:
            self._asked.close()
            for other, end in self._running.values():
                other.close()
                _close([] if end is None else [end])
            return request, answers, files
        _close(files)
        end = _descriptor(pid)
        self._running[pid] = answers, end
        self._poll.register(answers, select.POLLHUP)
        if end is not None:
            self._poll.register(end, select.POLLIN)
        return None

    def _ended(self, pid):
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            # Something else took its status: its journal tells how it ended.
            ended, status = pid, 0
        if ended == 0:
            return
        answers, end = self._running.pop(pid)
        self._poll.unregister(answers)
        tell(answers, {"t": "ended", "status": status})
        answers.close()
        if end is not None:
            self._poll.unregister(end)
            os.close(end)


def refuse(asked, reason, stays):
    """Tells who has asked, at least one, that nothing is forked here, and ends: whoever asks later sees that it has.

    ``stays`` is whether it would be so again the next time.
    """
    data, files = _receive(asked)
    while data:
        if files:
            tell(socket.socket(fileno=files[0]), {"t": "afresh", "reason": reason, "stays": stays})
            _close(files[1:])
        try:
            data, files = _receive(asked, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
    os._exit(0)


def _descriptor(pid):
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _receive(connection, flags=0):
    each = struct.calcsize("i")
    data, ancillary, _, _ = connection.recvmsg(_MAX_REQUEST, socket.CMSG_SPACE(_MAX_FILES * each), flags)
    numbers = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers += struct.unpack("%di" % (len(content) // each), content[: len(content) - len(content) % each])
    for number in numbers:
        os.set_inheritable(number, False)
    return data, numbers


def tell(answers, message):
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
