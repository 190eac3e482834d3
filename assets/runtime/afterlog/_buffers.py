"""The two shared buffers in which state crosses to and from the recorder, and the copies into them.

A buffer is a memory file that both processes hold. It is grown when needed and then reused, so that a snapshot costs the
training thread one copy at memory speed. Most of what lies in this process's memory is written as to any file: to map the
file would cost a page fault for every 4 KiB of a fresh buffer, and memory that is short is then an error, no signal.

Tensors on a CUDA device are copied on a stream of their own into the same buffer, mapped and registered as pinned memory; the
training stream waits for the copy on the device, the training thread does not (``_transfer`` has the order).
"""
import ctypes
import mmap
import os

from . import _cuda, _kinds, _memory, _transfer

_ALIGNMENT = 64
#: So many pieces are written by one call of the system, which takes 1,024 at most.
_PIECES = 1000
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
        """Makes room for ``size`` bytes."""
        if os.fstat(self._fd).st_size < size:
            size = max(mmap.PAGESIZE, int(size * _GROWTH))
            size += -size % mmap.PAGESIZE
            os.ftruncate(self._fd, size)

    def map(self):
        """The memory itself."""
        size = os.fstat(self._fd).st_size
        if self._map is None or len(self._map) < size:
            self._unpin()
            # The old mapping goes when nothing refers to it any more.
            self._map = mmap.mmap(self._fd, size)
        return self._map

    def growth(self, size):
        """The bytes by which it grows for that size."""
        has = os.fstat(self._fd).st_size
        return 0 if has >= size else int(size * _GROWTH) - has

    def write(self, pieces):
        """Writes pieces, [(offset, memory)] in order of their offsets."""
        queue, start, end = [], 0, 0
        for offset, memory in pieces:
            if offset - end > _ALIGNMENT:
                # Something that is not written so lies between.
                self._write(queue, start)
                queue, start, end = [], offset, offset
            if offset > end:
                queue.append(memoryview(bytes(offset - end)))
            queue.append(memoryview(memory).cast("B"))
            end = offset + len(queue[-1])
        self._write(queue, start)

    def _write(self, queue, at):
        begun = 0
        while begun < len(queue):
            written = os.pwritev(self._fd, queue[begun : begun + _PIECES], at)
            at += written
            while begun < len(queue) and written >= len(queue[begun]):
                written -= len(queue[begun])
                begun += 1
            if written:
                queue[begun] = queue[begun][written:]

    def view(self):
        """The memory as the other process left it."""
        return memoryview(self.map())

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
    buffer.reserve(layout.size)
    pieces, others = [(0, skeleton)], []
    for (kind, value), (offset, size, _, _) in zip(sources, layout.places):
        if size:
            memory = _in_memory(kind, value, size)
            if memory is None:
                others.append((kind, value, offset))
            else:
                pieces.append((offset, memory))
    buffer.write(pieces)
    return _copy_mapped(buffer, others) if others else None


def _in_memory(kind, value, size):
    """The memory of a tensor or an array that lies in it whole and in order; None of any other."""
    if kind == "array":
        plain = type(value) is _kinds.numpy().ndarray and value.flags.c_contiguous
        address = value.__array_interface__["data"][0] if plain else None
    else:
        torch = _kinds.torch()
        plain = type(value) in (torch.Tensor, torch.nn.Parameter) and value.device.type == "cpu" and value.is_contiguous()
        # Views whose numbers are worked out when they are read.
        plain = plain and not (hasattr(value, "is_conj") and (value.is_conj() or value.is_neg()))
        address = value.data_ptr() if plain else None
    return (ctypes.c_char * size).from_address(address) if address else None


def _copy_mapped(buffer, sources):
    memory = buffer.map()
    on_devices = []
    for kind, value, offset in sources:
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
