"""The two shared buffers in which state crosses to and from the recorder, and the copies into them.

A buffer is a memory file that both processes hold. It is grown when needed and then reused: its pages stay mapped, so that
a snapshot costs the training thread one copy at memory speed. Tensors on a CUDA device are copied on a stream of their own
into the same buffer, registered as pinned memory; the training stream waits for the copy on the device, the training
thread does not (``_transfer`` has the order).
"""
import mmap
import os

from . import _cuda, _kinds, _memory, _transfer

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

    def growth(self, size):
        """The bytes by which it grows for that size."""
        has = 0 if self._map is None else len(self._map)
        return 0 if has >= size else int(size * _GROWTH) - has

    def view(self):
        """The memory as the other process left it."""
        size = os.fstat(self._fd).st_size
        if self._map is None or len(self._map) != size:
            self._map = mmap.mmap(self._fd, size)
        return memoryview(self._map)

    def pin(self, kind):
        """Registers the memory with devices of this kind, once for each mapping."""
        if self._pinned is None:
            self._pinned = (kind, kind.register(self._map))

    def _unpin(self):
        # Before the mapping goes. No copy into it is under way: then the buffer would not be free.
        if self._pinned is not None:
            (kind, registered), self._pinned = self._pinned, None
            if registered is not None:
                kind.unregister(registered)


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
    """Copies a capture into the buffer. Gives the transfer to wait for before another process may read it, or None."""
    _memory.check(layout.size, buffer.growth(layout.size))
    memory = buffer.reserve(layout.size)
    memory[: len(skeleton)] = skeleton
    on_devices = []
    for (kind, value), (offset, size, _, _) in zip(sources, layout.places):
        if size == 0:
            continue
        if kind == "array":
            numpy = _kinds.numpy()
            target = numpy.frombuffer(memory, dtype=value.dtype, count=value.size, offset=offset)
            target.reshape(value.shape)[...] = value
            continue
        source = value.detach()
        torch = _kinds.torch()
        target = torch.frombuffer(memory, dtype=value.dtype, count=source.numel(), offset=offset).view(source.shape)
        if value.is_cuda:
            on_devices.append((value.device, source, target))
        else:
            target.copy_(source)
    return _from_devices(buffer, _gpu(), on_devices) if on_devices else None


def _from_devices(buffer, gpu, copies):
    buffer.pin(gpu)
    # If even the end of what was begun cannot be waited for, the buffer is never used again.
    buffer.busy = True
    try:
        return _transfer.queue(gpu, copies)
    except _transfer.Abandoned as error:
        buffer.busy = False
        raise error.reason


_gpus = []


def _gpu():
    if not _gpus:
        _gpus.append(_cuda.Cuda(_kinds.torch()))
    return _gpus[0]
