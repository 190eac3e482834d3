"""Takes snapshots of variables and hands them to the recorder; loads them back in replay."""
import collections
import itertools
import marshal
import os
import select
import socket
import sys
import threading
import time

# As they are now: a script may put others in their place.
from json import dumps, loads

from . import _buffers, _frames, _kinds, _process
from ._capture import Capture
from ._kinds import NotCapturable
from ._restore import Restore

#: Trees are marshalled in the last version whose bytes depend on nothing but the values.
_MARSHAL = 2
#: The tree of a variable without a value.
_UNBOUND = marshal.dumps(("unbound",), _MARSHAL)
#: Where the digests of the tables of objects stand among the variables.
_WALKS = "walks"
#: At the end of a script, its last checkpoints are waited for this long where the recorder does not take them, in seconds.
_PATIENCE = 60.0
#: Memory shared by views of views takes a pass for each of them.
_MAX_PASSES = 4


class AnotherPath(Exception):
    """Nothing was restored: the process does not hold the objects that the run held."""


class Unreadable(Exception):
    """A checkpoint is not there, or damaged."""


class Control:
    """JSON lines to and from the recorder or the replay worker."""

    def __init__(self, fd):
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._received = b""
        #: What the other side has not taken yet: it may be busy, or stopped, and training is not to wait for it.
        self._outgoing = b""
        #: The journal's thread sends too.
        self._sending = threading.Lock()

    def forked(self):
        """In a forked child: what is still to be sent is the parent's to send."""
        self._outgoing = b""
        # Whoever held it is no thread of this process.
        self._sending = threading.Lock()
        self._socket.close()

    def send(self, message):
        with self._sending:
            self._outgoing += dumps(message).encode() + b"\n"
            self._push(0.0)

    def push(self, patience=0.0):
        """Sends what the other side takes, without waiting for it longer than that many seconds."""
        # Another thread that is at it does the same.
        if self._outgoing and self._sending.acquire(blocking=bool(patience)):
            try:
                self._push(patience)
            finally:
                self._sending.release()

    def _push(self, patience):
        while self._outgoing:
            if patience:
                select.select([], [self._socket], [], patience)
            try:
                sent = self._socket.send(self._outgoing, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            self._outgoing = self._outgoing[sent:]

    def receive(self, wait):
        """The next message; None if there is none (yet). Raises ConnectionError when the other side is gone."""
        while b"\n" not in self._received:
            if wait and self._outgoing:
                # Its answer may be to what it has not got yet.
                self.push(_PATIENCE)
            if not wait and not select.select([self._socket], [], [], 0)[0]:
                return None
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the other process is gone")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return loads(line)


def variables(plan, frame, prefix=""):
    """The loop's change set in the frame that runs it: [(key, value)], with UNBOUND for what has no value."""
    variables = [(variable["scope"], variable["name"]) for variable in plan["changes"]]
    values = zip(variables, _frames.read(frame, variables))
    return [("%s%s:%s" % (prefix, *name), value) for name, value in values]


class Snapshots:
    """Both directions of the exchange of state over the shared buffers."""

    def __init__(self, control, buffers):
        self._control = control
        self._buffers = buffers
        self._waiting = collections.deque()
        self._sending = threading.Lock()
        self._owed_ns = 0
        self._sequence = 0
        self.gone = False
        self.stopped = None
        #: Why copies from a device never ended.
        self.failed = None

    def take(self, message, roots, tables, wait, affords=None, held=None):
        """Captures the variables and sends them. Gives False where both buffers are still being read.

        ``message`` holds what identifies the snapshot; with ``wait`` a busy buffer is waited for. ``affords`` is asked
        whether so many bytes may be copied; ``held`` tells where variables that are not captured hold objects that are.
        """
        try:
            return self._take(message, roots, tables, wait, affords, held)
        except Exception:
            raise
        except BaseException:
            # Interrupted half-way: what the recorder was told, and which buffer is whose, is not known any more.
            self.gone = True
            raise

    def _take(self, message, roots, tables, wait, affords, held):
        buffer = self._free(wait)
        if buffer is None:
            return False
        start = time.perf_counter_ns()
        capture, trees, missing = _encode(roots, Capture(tables, held=held))
        owners, apart = set(), set()
        for _ in range(_MAX_PASSES):
            more = capture.sharing()
            if not any(more):
                break
            owners |= more[0]
            apart |= more[1]
            capture, trees, missing = _encode(roots, Capture(tables, owners, apart, held))
        shared = capture.shared_storages()
        index = {key: (data, uses, capture.entries[key], shared.get(key, {})) for key, (data, uses) in trees.items()}
        index[_WALKS] = {tag: table.digest for tag, table in tables}
        skeleton = marshal.dumps(index, _MARSHAL)
        layout = _buffers.Layout(skeleton, capture.buffers)
        if affords is not None and not affords(layout.size):
            return False
        transfer = _buffers.copy(buffer, layout, skeleton, capture.buffers)
        buffer.busy = True
        message.update(
            seq=self._sequence,
            buffer=buffer.number,
            skeleton=layout.skeleton,
            buffers=layout.places,
            trees=_places(skeleton, trees),
            uses={key: uses for key, (_, uses) in trees.items()},
            missing=missing,
            bytes=layout.size,
        )
        self._sequence += 1
        # Training on a device waited for the copies before: known only now, and paid for here.
        owed, self._owed_ns = self._owed_ns, 0
        message["stall_ns"] = time.perf_counter_ns() - start + owed
        self._waiting.append((message, transfer))
        if transfer is None:
            self.send_ready()
        return True

    def send_ready(self):
        """Sends what has been copied whole. Called by the journal's thread too, which waits for a device's copies."""
        # One at a time: messages that two threads write at once would be mixed up.
        with self._sending:
            self._push(0.0)
            while self._waiting:
                message, transfer = self._waiting.popleft()
                try:
                    if transfer is not None:
                        self._owed_ns += transfer.wait()
                    self._control.send(message)
                except OSError:
                    self.gone = True
                except Exception as error:  # noqa: BLE001 - a failed device: its buffer stays taken, nothing half copied is kept
                    self.failed = self.stopped = "%s: %s" % (type(error).__name__, error)

    def forked(self):
        """In a forked child, which is not the run."""
        self.gone = True
        self._waiting.clear()
        self._sending = threading.Lock()
        self._control.forked()

    def finish(self):
        """Sends everything, at the script's end."""
        self.send_ready()
        with self._sending:
            self._push(_PATIENCE)

    def _push(self, patience):
        try:
            self._control.push(patience)
        except OSError:
            self.gone = True

    def _free(self, wait):
        """A buffer that nobody reads, after taking in the recorder's answers."""
        while not self.gone:
            waiting = wait and not self.stopped and all(buffer.busy for buffer in self._buffers)
            if waiting:
                self.send_ready()
            try:
                answer = self._control.receive(waiting)
            except OSError:
                self.gone = True
                break
            if answer is None:
                break
            self._buffers[answer["buffer"]].busy = False
            if answer.get("stop"):
                self.stopped = answer.get("reason") or "the recorder stopped"
        free = [buffer for buffer in self._buffers if not buffer.busy]
        return free[0] if free and not self.gone else None

    def compare(self, message, roots, tables):
        """Sends the variables to be compared with a checkpoint; gives the worker's answer."""
        self.take(message, roots, tables, True)
        answer = self._control.receive(True)
        self._buffers[answer["buffer"]].busy = False
        return answer

    def report(self, message):
        self._control.send(message)

    def load(self, seq, frames, tables, fail):
        """Restores a checkpoint. ``frames`` are the frames to bind variables in, by prefix of their keys; ``fail`` is called
        when something is asked for later that a checkpoint does not hold.

        Raises AnotherPath where that cannot be done, before anything has been.
        """
        self._control.send({"t": "load", "seq": seq})
        answer = self._control.receive(True)
        if answer["t"] != "loaded":
            raise Unreadable(answer.get("reason"))
        memory = self._buffers[answer["buffer"]].view()
        offset, size = answer["skeleton"]
        index = marshal.loads(memory[offset : offset + size])
        walks = index.pop(_WALKS, {})
        for tag, table in tables:
            # Objects are told by their place in these walks: in another order each would be restored into another one.
            if walks.get(tag, table.digest) != table.digest:
                raise AnotherPath("other objects are there than in the run")
        for tag, place in [entry for part in index.values() for entry in part[2].values()]:
            if tag == _kinds.BESIDE and dict(tables)[tag].get(place) is None:
                raise AnotherPath("what other variables hold is not what they held in the run")
        buffers = [memory[offset : offset + size] for offset, size in answer["buffers"]]
        unbound = [_variable(key) for key, part in index.items() if part[0] == _UNBOUND]
        for prefix, frame in frames.items():
            if not _frames.can_unbind(frame, [name for within, name in unbound if within == prefix]):
                raise AnotherPath("a variable is there that was not in the run")
        if not _frames.can_bind([_variable(key)[1] for key in index if key != _WALKS]):
            raise AnotherPath("a module is not there that was there in the run")
        entries = {key: part[2] for key, part in index.items()}
        shared = {key: part[3] for key, part in index.items()}
        restore = Restore(tables, entries, shared, buffers, fail)
        bound = {prefix: {} for prefix in frames}
        process_last = []
        # Settings first: of libraries that the run had imported by then, and that may do anything when they are.
        for key, (data, uses, _, _) in sorted(index.items(), key=lambda entry: not entry[0].startswith("process:")):
            value = restore.variable(key, marshal.loads(data), uses)
            prefix, (scope, name) = _variable(key)
            if _process.is_process_state(scope):
                _process.import_for(key, value)
                process_last.append((key, value))
            elif scope != "object":
                bound[prefix][scope, name] = value
        for prefix, values in bound.items():
            _frames.bind(frames[prefix], values)
        for key, value in process_last:
            _process.restore(key, value)


def _variable(key):
    """The prefix, and the scope and name, in a variable's key."""
    prefix, _, variable = key.rpartition("/")
    scope, _, name = variable.partition(":")
    return prefix, (scope, name)


def _encode(roots, capture):
    """The capture of all variables, their trees with the buffers each uses, and those that cannot be captured."""
    trees, missing = {}, []
    for key, value in roots:
        try:
            tree, uses = capture.variable(key, value)
            trees[key] = (marshal.dumps(tree, _MARSHAL), uses)
        except NotCapturable as error:
            missing.append((key, str(error)))
        except ValueError as error:
            missing.append((key, "it is nested too deeply: %s" % error))
    return capture, trees, missing


def _places(skeleton, trees):
    """Where each variable's tree lies in the skeleton. Trees are stored whole, in order."""
    places, at = {}, 0
    for key, (data, _) in trees.items():
        at = skeleton.index(data, at)
        places[key] = (at, len(data))
        at += len(data)
    return places


def process_facts():
    """What identifies the process, for the journal's start."""
    return {
        "unix_ms": int(time.time() * 1000),
        "pid": os.getpid(),
        "python": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "processor_ns": _processor_ns(),
    }


def _processor_ns():
    """Processor time of this process and of those that it has waited for."""
    children = os.times()
    return time.process_time_ns() + int(1e9 * (children.children_user + children.children_system))


def _processor():
    """The processor's name; None where the system does not give it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in itertools.islice(file, 64):
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return os.uname().machine


def environment_facts():
    """Versions of the imported packages, threads and devices, for the journal's end."""
    packages = {}
    for name, module in list(sys.modules.items()):
        version = None if "." in name or module is None else module.__dict__.get("__version__")
        if isinstance(version, str):
            packages[name] = version
    facts = {"packages": packages, "threads": None, "devices": [], "processor_ns": _processor_ns()}
    torch = _kinds.torch()
    if torch is not None:
        facts["threads"] = torch.get_num_threads()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            facts["devices"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return facts
