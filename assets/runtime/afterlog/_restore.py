"""Restores captured variables: objects that existed before in place, others anew. The inverse of ``_capture``."""
import collections
import pickle

from . import _kinds

_KINDS = {"list": list, "dict": dict, "set": set, "deque": collections.deque, "bytearray": bytearray}


class RestoreError(Exception):
    """The process is not in the state in which this capture can be restored: it has taken another path."""


class Restore:
    """Decodes the trees of one capture.

    ``tables`` are this process's ``Entries`` by tag; ``entries`` and ``shared`` are the captured ones by variable;
    ``buffers`` are memoryviews.
    """

    def __init__(self, tables, entries, shared, buffers):
        self._tables = dict(tables)
        self._entries = entries
        self._shared = shared
        self._all_buffers = buffers
        self._buffers = []
        self._memo = {}
        self._storages = {}
        self._key = None

    def variable(self, key, tree, uses):
        self._key = key
        self._buffers = [self._all_buffers[number] for number in uses]
        return self._value(tree)

    def _live(self, number, cls):
        """This process's object for that node, or None if it has to be made."""
        entry = self._entries[self._key].get(number)
        if entry is None:
            return None
        tag, place = entry
        table = self._tables.get(tag)
        live = table.get(place) if table is not None and place < len(table.objects) else None
        if live is None:
            return None
        if cls is not None and type(live) is not cls:
            raise RestoreError("expected a %s, found a %s" % (cls.__name__, type(live).__name__))
        return live

    def _value(self, node):
        if type(node) is not tuple:
            return node
        return getattr(self, "_" + node[0])(*node[1:])

    def _ref(self, key, number):
        return self._memo[self._key if key is None else key, number]

    def _tuple(self, reference, items):
        values = [self._value(item) for item in items]
        return tuple(values) if reference is None else _kinds.class_from(reference)._make(values)

    def _same(self, number):
        live = self._live(number, None)
        if live is None:
            raise RestoreError("an object that was there at the loop's begin is gone")
        self._memo[self._key, number] = live
        return live

    def _method(self, number, owner):
        live = self._same(number)
        self._value(owner)
        return live

    def _function(self, number, cells, attributes):
        live = self._same(number)
        for cell, content in zip(live.__closure__ or (), cells):
            if content is not None:
                cell.cell_contents = self._value(content[0])
        return self._with(live, attributes)

    def _class(self, reference):
        return _kinds.class_from(reference)

    def _pickle(self, number, data):
        value = pickle.loads(data)
        self._memo[self._key, number] = value
        return value

    def _rng(self, number, state):
        live = self._same(number)
        _kinds.set_generator_state(live, self._value(state))
        return live

    def _list(self, number, reference, items, extra, attributes):
        value = self._container("list", number, reference)
        value[:] = [self._value(item) for item in items]
        return self._with(value, attributes)

    def _set(self, number, reference, items, extra, attributes):
        value = self._container("set", number, reference)
        restored = [self._value(item) for item in items]
        value.clear()
        value.update(restored)
        return self._with(value, attributes)

    def _deque(self, number, reference, items, extra, attributes):
        value = self._container("deque", number, reference, maxlen=extra)
        restored = [self._value(item) for item in items]
        value.clear()
        value.extend(restored)
        return self._with(value, attributes)

    def _bytearray(self, number, reference, items, extra, attributes):
        value = self._container("bytearray", number, reference)
        value[:] = items
        return self._with(value, attributes)

    def _dict(self, number, reference, items, extra, attributes):
        value = self._container("dict", number, reference)
        if isinstance(value, collections.defaultdict):
            value.default_factory = self._value(extra)
        restored = [(self._value(key), self._value(item)) for key, item in items]
        value.clear()
        # Also for subclasses: their own __setitem__ may do more than set.
        setter = collections.OrderedDict if isinstance(value, collections.OrderedDict) else dict
        for key, item in restored:
            setter.__setitem__(value, key, item)
        return self._with(value, attributes)

    def _container(self, kind, number, reference, **arguments):
        cls = _KINDS[kind] if reference is None else _kinds.class_from(reference)
        value = self._live(number, cls)
        if value is None:
            value = cls(**arguments) if reference is None else cls.__new__(cls)
            if isinstance(value, collections.deque) and reference is not None:
                value.__init__(**arguments)
        self._memo[self._key, number] = value
        return value

    def _object(self, number, reference, attributes):
        cls = _kinds.class_from(reference)
        value = self._live(number, cls)
        if value is None:
            value = cls.__new__(cls)
        self._memo[self._key, number] = value
        return self._with(value, attributes, exactly=True)

    def _with(self, value, attributes, exactly=False):
        restored = [(name, self._value(node)) for name, node in attributes]
        slots = set(_kinds.slots_of(type(value))) if exactly else ()
        if exactly:
            for name in [name for name in getattr(value, "__dict__", ()) if name not in dict(restored)]:
                del value.__dict__[name]
        for name, item in restored:
            if name in slots:
                object.__setattr__(value, name, item)
            else:
                value.__dict__[name] = item
        return value

    def _tensor(self, number, reference, shape, device, buffer, requires_grad, grad, attributes):
        torch = _kinds.torch()
        dtype, size, stride = shape
        dtype = getattr(torch, dtype.replace("torch.", ""))
        cls = torch.Tensor if reference is None else _kinds.class_from(reference)
        value = self._live(number, cls)
        with torch.no_grad():
            fits = value is not None and list(value.shape) == size and value.dtype == dtype
            if not fits or str(value.device) != device:
                fresh = self._fresh(torch, number, dtype, size, stride, device)
                if value is not None:
                    value.data = fresh
                else:
                    value = fresh if reference is None else torch.Tensor._make_subclass(cls, fresh, requires_grad)
            if buffer is not None:
                value.data.copy_(torch.frombuffer(self._buffers[buffer], dtype=dtype).view(size))
        self._memo[self._key, number] = value
        if value.is_leaf and value.requires_grad != requires_grad:
            value.requires_grad_(requires_grad)
        if value.is_leaf and (grad is not None or value.grad is not None):
            value.grad = self._value(grad)
        return self._with(value, attributes)

    def _fresh(self, torch, number, dtype, size, stride, device):
        """A new tensor of that form; tensors that shared memory share it again."""
        shared = self._shared[self._key].get(number)
        if shared is not None:
            identity, count, offset = shared
            if identity not in self._storages:
                blank = torch.zeros(count, dtype=torch.uint8, device=device)
                self._storages[identity] = blank.untyped_storage() if hasattr(blank, "untyped_storage") else blank.storage()
            plain = torch.empty(0, dtype=dtype, device=device)
            return plain.set_(self._storages[identity], offset, tuple(size), tuple(stride))
        # The order of strides decides the order of sums, and so the last bits of results.
        if _is_dense(size, stride):
            return torch.empty_strided(tuple(size), tuple(stride), dtype=dtype, device=device)
        return torch.empty(size, dtype=dtype, device=device)

    def _array(self, number, dtype, shape, buffer, items, base):
        numpy = _kinds.numpy()
        live = self._live(number, None)
        if items is not None:
            value = live if live is not None and list(live.shape) == shape else numpy.empty(shape, dtype=object)
            self._memo[self._key, number] = value
            value.ravel()[:] = [self._value(item) for item in items]
            return value
        kind = numpy.dtype(dtype) if isinstance(dtype, str) else pickle.loads(dtype)
        if base is not None:
            under, start, strides = base
            value = numpy.ndarray(shape, kind, self._value(under).view(numpy.uint8).reshape(-1), start, strides)
            self._memo[self._key, number] = value
            return value
        saved = numpy.empty(shape, dtype=kind)
        if buffer is not None:
            saved = numpy.frombuffer(self._buffers[buffer], dtype=kind).reshape(shape)
        fits = live is not None and list(live.shape) == shape and live.dtype == kind and live.flags.writeable
        if fits:
            value = live
            value[...] = saved
        else:
            value = saved.copy()
        self._memo[self._key, number] = value
        return value


def _is_dense(size, stride):
    """Whether a tensor's elements fill a stretch of memory without gaps or overlaps."""
    expected = 1
    for step, length in sorted((step, length) for step, length in zip(stride, size) if length != 1):
        if step != expected:
            return False
        expected *= length
    return True
