"""The journal's writer: twin of src/store/journal. Events are queued by the training thread and appended by another.

A queue entry is one or more whole events, so a frame never splits one. What is not yet flushed when the process is
killed is lost: at most the last 100 ms.
"""
import os
import struct
import threading
import time
import zlib
from collections import deque

_HEADER = b"AFTRLOG\n" + struct.pack("<II", 1, 0)
#: Each time the training gives way to another thread, and finds its caches cold afterwards.
_FLUSH_SECONDS = 0.1
#: A frame takes at most this many queue entries, so that a flood of logs does not build one giant frame.
_FRAME_ENTRIES = 100_000
#: So many entries are kept for a disk that is full; from then on the journal ends, rather than memory.
_MOST_QUEUED = 1_000_000
#: As for a full disk, where one write has not come to its end for so many seconds.
_HANGS = 10.0
NO_KEY = 0xFFFFFFFF

EXHAUSTED, EARLY, SKIPPED = 0, 1, 2

_name = struct.Struct("<BII").pack
_enter = struct.Struct("<BIIqQ").pack
_iterate = struct.Struct("<BQQ").pack
_exit = struct.Struct("<BBQ").pack
_named = struct.Struct("<BI").pack
_text = struct.Struct("<BI").pack
_two = struct.Struct("<BQQ").pack
_line = struct.Struct("<BBI").pack


def _nothing(event):
    """In place of a journal's ``append``: what is lost is lost from here on, whole."""


class Journal:
    """Appends events to an open file. ``append`` takes encoded events and is safe from any thread."""

    def __init__(self, fd):
        self._queue = deque()
        self._lock = threading.Lock()
        self._file_lock = threading.Lock()
        #: When the write that is under way began.
        self._writing = None
        self._start_ns = time.monotonic_ns()
        self.ids = {}
        #: Another number wherever the position is another.
        self.moves = 0
        #: What is called besides flushing, in the flushing thread.
        self.chores = []
        self.append = self._queue.append
        self.open(fd)

    def open(self, fd):
        """Has what is queued, now and later, appended to this file."""
        self._fd = fd
        if os.fstat(fd).st_size == 0:
            os.write(fd, _HEADER)
        thread = threading.Thread(target=self._run, name="afterlog-journal", daemon=True)
        thread.start()

    def now(self):
        """Nanoseconds since this journal was opened."""
        return time.monotonic_ns() - self._start_ns

    def intern(self, name):
        """The number of a name, introduced in the journal on first use."""
        number = self.ids.get(name)
        if number is None:
            with self._lock:
                number = self.ids.get(name)
                if number is None:
                    text = name.encode("utf-8", "replace")
                    number = len(self.ids)
                    self.append(_name(1, number, len(text)) + text)
                    # Only now may others use the number: its introduction is already queued.
                    self.ids[name] = number
        return number

    def enter(self, name, key, length):
        key = NO_KEY if key is None else self.intern(key)
        self.moves += 1
        self.append(_enter(2, self.intern(name), key, length, self.now()))

    def iterate(self, index, value_bytes):
        if len(self._queue) > _MOST_QUEUED:
            self._look_after_memory()
        event = _iterate(3, index, time.monotonic_ns() - self._start_ns)
        self.moves += 1
        self.append(event if value_bytes is None else event + b"\x04" + value_bytes)

    def exit(self, how):
        self.moves += 1
        self.append(_exit(5, how, self.now()))

    def passed(self, name, key, start, end):
        """A loop of which no iteration is kept, told when it has ended."""
        self.moves += 1
        entered = _enter(2, self.intern(name), self.intern(key), -1, start)
        self.append(entered + _exit(5, EXHAUSTED, end))

    def log(self, name, value_bytes):
        self.append(_named(6, self.intern(name)) + value_bytes)

    def argument(self, name, value_bytes):
        self.append(_named(7, self.intern(name)) + value_bytes)

    def note(self, text):
        self._tagged(8, text)

    def line(self, stream, data):
        """A line of text that was printed, encoded."""
        if len(self._queue) > _MOST_QUEUED:
            self._look_after_memory()
        self.append(_line(16, stream, len(data)) + data)

    def snapshot(self, seq, stall_ns):
        self.append(_two(9, seq, stall_ns))

    def start(self, json_text):
        self._tagged(10, json_text)

    def end(self, json_text):
        self._tagged(11, json_text)

    def restored(self, seq):
        self.append(_two(13, seq, self.now()))

    def state(self, json_text):
        self._tagged(14, json_text)

    def _look_after_memory(self):
        """Ends a journal with too much queued where its disk hangs: the thread that writes is then in no state to."""
        begun = self._writing
        if begun is not None and time.monotonic() - begun > _HANGS:
            self.append = _nothing

    def _tagged(self, tag, text):
        data = text.encode("utf-8", "replace")
        self.append(_text(tag, len(data)) + data)

    def flush(self):
        """Writes everything queued so far, and not what threads that never stop go on to queue meanwhile."""
        with self._file_lock:
            left = len(self._queue)
            while left:
                entries = [self._queue.popleft() for _ in range(min(left, _FRAME_ENTRIES))]
                left -= len(entries)
                payload = b"".join(entries)
                frame = memoryview(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
                self._writing = time.monotonic()
                try:
                    while frame:
                        frame = frame[os.write(self._fd, frame) :]
                except BaseException:
                    # Half a frame is none, and what it holds is still to be written when there is room again.
                    self._take_back(len(payload) + 8 - len(frame))
                    self._queue.extendleft(reversed(entries))
                    raise
                finally:
                    self._writing = None

    def close(self):
        """Writes what can be written when the process ends. Never raises."""
        try:
            self.flush()
        except OSError:
            # The recorder sees that the journal has no end, and says so.
            pass

    def _take_back(self, written):
        if written:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)

    def silence(self):
        """Forgets everything from now on: for a forked child, which is not the run."""
        self._queue = deque()
        self.append = _nothing
        self._file_lock = threading.Lock()
        self._lock = threading.Lock()
        self.chores = []

    def _run(self):
        while True:
            time.sleep(_FLUSH_SECONDS)
            try:
                for chore in list(self.chores):
                    try:
                        chore()
                    except Exception:  # noqa: BLE001, S110 - the journal is kept whatever becomes of the checkpoints
                        pass
                if self._queue:
                    self.flush()
            except OSError:
                # The disk is full or gone: training goes on, and what can be written later is still queued in order.
                if len(self._queue) > _MOST_QUEUED:
                    self.append = _nothing
                time.sleep(1.0)
