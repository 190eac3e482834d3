"""The two shared buffers in which state crosses to and from the recorder, and the copies into them.

A buffer is a memory file that both processes hold. It is grown when needed and then reused: its pages stay mapped, so that
a snapshot costs the training thread one copy at memory speed. Tensors on a CUDA device are copied on a stream of their own
into the same buffer, registered as pinned memory; the training stream waits for the copy on the device, the training
thread does not.
"""
import mmap
import os

from . import _kinds

_ALIGNMENT = 64
#: Grown by at least this factor, so that slowly growing state does not remap each time.
_GROWTH = 1.25


class Buffer:
    """One shared memory file. ``busy`` while the recorder reads it."""

    def __init__(self, number, fd):
        self.number = number
        self.busy = False
        self._fd = fd
        self._map = None
        self._pinned = None

    def reserve(self, size):
        """Makes room for ``size`` bytes and gives the memory."""
        if self._map is None or len(self._map) < size:
            self._unpin()
            size = max(mmap.PAGESIZE, int(size * _GROWTH))
            size += -size % mmap.PAGESIZE
            os.ftruncate(self._fd, size)
            # The old mapping goes when nothing refers to it any more.
            self._map = mmap.mmap(self._fd, size)
        return self._map

    def view(self):
        """The memory as the other process left it."""
        size = os.fstat(self._fd).st_size
        if self._map is None or len(self._map) != size:
            self._map = mmap.mmap(self._fd, size)
        return memoryview(self._map)

    def pin(self, torch):
        """Registers the memory with CUDA, once for each mapping. Without it copies are right, only slower."""
        if self._pinned is None:
            whole = torch.frombuffer(self._map, dtype=torch.uint8)
            failed = torch.cuda.cudart().cudaHostRegister(whole.data_ptr(), len(whole), 0)
            self._pinned = (torch, whole, int(failed) == 0)

    def _unpin(self):
        if self._pinned is not None:
            torch, whole, registered = self._pinned
            self._pinned = None
            if registered:
                torch.cuda.synchronize()
                torch.cuda.cudart().cudaHostUnregister(whole.data_ptr())


class Layout:
    """Places the skeleton and the buffers of a capture one after another."""

    def __init__(self, skeleton, sources):
        self.skeleton = (0, len(skeleton))
        at = len(skeleton)
        self.places = []
        for kind, value in sources:
            at += -at % _ALIGNMENT
            size = _size(kind, value)
            item, is_float = _item(value)
            self.places.append((at, size, item, is_float))
            at += size
        self.size = at


def _size(kind, value):
    return value.numel() * value.element_size() if kind == "tensor" else value.nbytes


def _item(value):
    """Bytes of one number, and whether it is a floating-point number."""
    if _kinds.is_tensor(value):
        if value.dtype.is_complex:
            return value.element_size() // 2, True
        return value.element_size(), value.dtype.is_floating_point
    size = value.dtype.itemsize // 2 if value.dtype.kind == "c" else value.dtype.itemsize
    return min(size, 255), value.dtype.kind in "fc"


def copy(buffer, layout, skeleton, sources):
    """Copies a capture into the buffer. Gives the CUDA events to wait for before another process may read it."""
    memory = buffer.reserve(layout.size)
    memory[: len(skeleton)] = skeleton
    streams = {}
    for (kind, value), (offset, size, _, _) in zip(sources, layout.places):
        if size == 0:
            continue
        if kind == "array":
            numpy = _kinds.numpy()
            target = numpy.frombuffer(memory, dtype=value.dtype, count=value.size, offset=offset)
            target.reshape(value.shape)[...] = value
            continue
        torch = _kinds.torch()
        source = value.detach()
        target = torch.frombuffer(memory, dtype=value.dtype, count=source.numel(), offset=offset).view(source.shape)
        if not value.is_cuda:
            target.copy_(source)
            continue
        if value.device not in streams:
            buffer.pin(torch)
            streams[value.device] = _side_stream(torch, value.device)
        with torch.cuda.stream(streams[value.device]):
            target.copy_(source, non_blocking=True)
    events = []
    for device, stream in streams.items():
        # What training does next on this device waits until the copy has read the tensors.
        _kinds.torch().cuda.current_stream(device).wait_stream(stream)
        events.append(stream.record_event())
    return events


_streams = {}


def _side_stream(torch, device):
    """The device's stream for copies; it starts after what training has queued so far."""
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    _streams[device].wait_stream(torch.cuda.current_stream(device))
    return _streams[device]
