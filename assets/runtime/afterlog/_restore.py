"""Restores captured variables: objects that existed before in place, others anew. The inverse of ``_capture``."""
import array
import collections
import functools
import os
import pickle
import types
import weakref

from . import _kinds, _moved

_KINDS = {"list": list, "dict": dict, "set": set, "deque": collections.deque, "bytearray": bytearray}


class RestoreError(Exception):
    """The process is not in the state in which this capture can be restored: it has taken another path."""


class Restore:
    """Decodes the trees of one capture.

    ``tables`` are this process's ``Entries`` by tag; ``entries`` and ``shared`` are the captured ones by variable;
    ``buffers`` are memoryviews. ``fail`` ends the process with a reason: scripts catch exceptions.
    """

    def __init__(self, tables, entries, shared, buffers, fail):
        self._fail = fail
        self._tables = dict(tables)
        self._entries = entries
        self._shared = shared
        self._all_buffers = buffers
        self._buffers = []
        self._memo = {}
        self._key = None
        self._storages = self._living_storages()
        #: Address of a living tensor's memory: what was captured of it. No two that were apart may share it.
        self._claimed = {}

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
        live = None if table is None else table.get(place)
        if live is None:
            return None
        if cls is not None and type(live) is not cls:
            if tag == _kinds.BESIDE:
                return None
            raise RestoreError("expected a %s, found a %s" % (cls.__name__, type(live).__name__))
        return live

    def _living_storages(self):
        """Memory that tensors share, where one of them exists here: the others are to lie in the memory of that one."""
        storages = {}
        for key, numbers in self._shared.items():
            self._key = key
            for number, (identity, count, offset) in numbers.items():
                live = self._live(number, None)
                if live is None or not _kinds.is_tensor(live) or identity in storages:
                    continue
                storage = _storage(live)
                if storage.nbytes() == count and live.storage_offset() == offset:
                    storages[identity] = storage
        return storages

    def _unbound(self):
        return _kinds.UNBOUND

    def _value(self, node):
        if type(node) is not tuple:
            return _moved.there(node) if _moved.pairs else node
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
        if isinstance(live, _kinds.LOCKS) and not _kinds.is_free(live):
            raise RestoreError("a lock is held that was free in the run")
        self._memo[self._key, number] = live
        return live

    def _file(self, number, position):
        live = self._same(number)
        _kinds.set_position(live, position)
        return live

    def _environment(self, number):
        self._memo[self._key, number] = os.environ
        return os.environ

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
        live = self._live(number, None)
        # A mark, told by its identity alone.
        value = live if type(live) is object else _moved.there(pickle.loads(data))
        self._memo[self._key, number] = value
        return value

    def _bound(self, number, owner, name):
        owner = self._value(owner)
        value = getattr(owner, name)
        self._memo[self._key, number] = value
        return value

    def _rebound(self, number, owner, function):
        value = types.MethodType(self._value(function), self._value(owner))
        self._memo[self._key, number] = value
        return value

    def _partial(self, number, function, arguments, keywords):
        value = self._live(number, functools.partial)
        if value is None:
            value = functools.partial(_nothing)
        self._memo[self._key, number] = value
        state = (self._value(function), self._value(arguments), self._value(keywords))
        value.__setstate__(state + (value.__dict__ or None,))
        return value

    def _weak(self, number, target):
        # Of one object there is one such reference, whoever asks for it.
        value = self._memo[self._key, number] = weakref.ref(self._value(target))
        return value

    def _numbers(self, number, code, data):
        value = self._live(number, array.array)
        if value is None:
            value = array.array(code)
        del value[:]
        value.frombytes(data)
        self._memo[self._key, number] = value
        return value

    def _rng(self, number, state):
        live = self._same(number)
        _kinds.set_generator_state(live, self._value(state))
        return live

    def _list(self, number, reference, items, extra, attributes):
        value = self._container("list", number, reference)
        # Here and below: not by methods of a class of the script's, which may do more.
        list.__setitem__(value, slice(None), [self._value(item) for item in items])
        return self._with(value, attributes)

    def _set(self, number, reference, items, extra, attributes):
        value = self._container("set", number, reference)
        restored = [self._value(item) for item in items]
        set.clear(value)
        set.update(value, restored)
        return self._with(value, attributes)

    def _deque(self, number, reference, items, extra, attributes):
        value = self._container("deque", number, reference, maxlen=extra)
        restored = [self._value(item) for item in items]
        collections.deque.clear(value)
        collections.deque.extend(value, restored)
        return self._with(value, attributes)

    def _bytearray(self, number, reference, items, extra, attributes):
        value = self._container("bytearray", number, reference)
        bytearray.__setitem__(value, slice(None), items)
        return self._with(value, attributes)

    def _dict(self, number, reference, items, extra, attributes):
        value = self._container("dict", number, reference)
        if isinstance(value, collections.defaultdict):
            value.default_factory = self._value(extra)
        restored = [(self._value(key), self._value(item)) for key, item in items]
        native = collections.OrderedDict if isinstance(value, collections.OrderedDict) else dict
        native.clear(value)
        for key, item in restored:
            native.__setitem__(value, key, item)
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
        graph = requires_grad == "graph"
        requires_grad = requires_grad is True
        with torch.no_grad():
            fits = value is not None and list(value.shape) == size and value.dtype == dtype
            if not fits or str(value.device) != device or not self._lies_right(value, number):
                fresh = self._fresh(torch, number, dtype, size, stride, device)
                if value is not None:
                    value.data = fresh
                else:
                    value = fresh if reference is None else torch.Tensor._make_subclass(cls, fresh, requires_grad)
            if buffer is not None:
                value.data.copy_(torch.frombuffer(self._buffers[buffer], dtype=dtype).view(size))
        if graph and value.grad_fn is None:
            if self._live(number, None) is not None:
                raise RestoreError("a tensor has become part of a graph")
            value = _without_graph(torch, value, self._shared[self._key].get(number) is not None, self._fail)
        self._memo[self._key, number] = value
        if value.is_leaf and value.requires_grad != requires_grad:
            value.requires_grad_(requires_grad)
        if value.is_leaf and (grad is not None or value.grad is not None):
            value.grad = self._value(grad)
        elif grad is not None:
            value.retain_grad()
            value.grad = self._value(grad)
        return self._with(value, attributes)

    def _lies_right(self, value, number):
        """Whether a living tensor shares its memory with those that it shared it with when it was captured."""
        shared = self._shared[self._key].get(number)
        identity = (self._key, number) if shared is None else shared[0]
        storage = _storage(value)
        if shared is not None and identity in self._storages:
            wanted = self._storages[identity]
            return storage.data_ptr() == wanted.data_ptr() and value.storage_offset() == shared[2]
        return self._claimed.setdefault((str(value.device), storage.data_ptr()), identity) == identity

    def _fresh(self, torch, number, dtype, size, stride, device):
        """A new tensor of that form; tensors that shared memory share it again."""
        shared = self._shared[self._key].get(number)
        if shared is not None:
            identity, count, offset = shared
            if identity not in self._storages:
                self._storages[identity] = _storage(torch.zeros(count, dtype=torch.uint8, device=device))
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
            under = self._value(under)
            under = under.detach().numpy() if _kinds.is_tensor(under) else under
            flat = under.ravel("K").view(numpy.uint8)
            if not numpy.shares_memory(flat, under):
                raise RestoreError("a view of an array with gaps")
            value = numpy.ndarray(shape, kind, flat, start, strides)
            self._memo[self._key, number] = value
            return value
        saved = numpy.empty(shape, dtype=kind)
        if buffer is not None:
            saved = numpy.frombuffer(self._buffers[buffer], dtype=kind).reshape(shape)
        if live is not None and list(live.shape) == shape and live.dtype == kind:
            value = live
            _fill(value, saved)
        else:
            value = saved.copy()
        self._memo[self._key, number] = value
        return value


def _fill(array, saved):
    """Puts numbers where they lie, since others may see them there, into an array that only its script may not write to, too."""
    if array.flags.writeable:
        array[...] = saved
    elif array.tobytes() != saved.tobytes():
        try:
            array.flags.writeable = True
        except ValueError as error:
            raise RestoreError("an array that nobody may write to") from error
        array[...] = saved
        array.flags.writeable = False


def _is_dense(size, stride):
    """Whether a tensor's elements fill a stretch of memory without gaps or overlaps."""
    expected = 1
    for step, length in sorted((step, length) for step, length in zip(stride, size) if length != 1):
        if step != expected:
            return False
        expected *= length
    return True


def _storage(tensor):
    return tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()


def _nothing():
    """What a partial function calls until it is restored."""


def _without_graph(torch, value, is_shared, fail):
    """A tensor that requires gradients, as it did; when one is asked for, the graph behind it is gone, and the replay ends."""

    class Lost(torch.autograd.Function):
        @staticmethod
        def forward(context, leaf):
            return leaf.view_as(leaf) if is_shared else leaf.clone()

        @staticmethod
        def backward(context, gradient):
            fail("gradients are asked for through a tensor of which only the value was restored")

    with torch.enable_grad():
        return Lost.apply(value.detach().requires_grad_())
