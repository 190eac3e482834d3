"""Captures variables as trees of built-ins with tensors and arrays out of band.

A tree's node is an atom itself or a tuple whose first item is its tag. Objects with an identity are numbered within their
variable; aliases and cycles are references to an earlier node. Beside the trees stands each object's *entry*: its place
among the objects that existed when the main loop (or the block) began, found by walking the same variables in the same
order. Replay walks them too, and so knows which of its own objects is which; those are restored in place, so that whoever
else refers to them sees the restored state. Objects made since are made anew. Entries are no part of the trees, so that
equal states have equal trees however they came about.
"""
import collections
import marshal
import pickle
import types
import weakref

from . import _kinds
from ._kinds import NotCapturable

#: Tensors and lists of a data set beyond this size are taken as constant.
DATASET_CONSTANT = 4096


class Entries:
    """The objects that existed at some moment, numbered by walking variables in order.

    Objects that cannot be referred to weakly (lists, dicts) are kept alive; tensors, modules and the like are not.
    """

    def __init__(self):
        self.numbers = {}
        self.objects = []

    def add(self, value):
        number = len(self.objects)
        try:
            reference = weakref.ref(value)
        except TypeError:
            reference = (lambda strong: lambda: strong)(value)
        self.objects.append(reference)
        self.numbers[id(value)] = number

    def number_of(self, value):
        """The object's number, or None if it did not exist then."""
        number = self.numbers.get(id(value))
        # The id may have been reused since by another object.
        return number if number is not None and self.objects[number]() is value else None

    def get(self, number):
        return self.objects[number]()


def walk(roots):
    """Numbers every object with an identity that the variables lead to."""
    entries = Entries()
    stack = list(reversed(list(roots)))
    while stack:
        value = stack.pop()
        if isinstance(value, _kinds.ATOMS) or id(value) in entries.numbers:
            continue
        kind = _kinds.container_kind(value)
        if kind in (tuple, frozenset):
            stack.extend(reversed(list(value)))
            continue
        entries.add(value)
        stack.extend(reversed(_children(value, kind)))
    return entries


def _children(value, kind):
    """What an object leads to, in a fixed order."""
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if isinstance(value, types.FunctionType):
        return [value.__dict__] + [item for cell in value.__closure__ or () for item in _contents(cell)]
    if isinstance(value, _kinds.CODE + _kinds.LIVE) or _kinds.is_sink(value):
        return []
    if _kinds.is_tensor(value):
        return [value.grad] if value.is_leaf and value.grad is not None else []
    children = []
    if kind is dict:
        for key, item in value.items():
            children.append(key)
            children.append(item)
    elif kind in (list, collections.deque):
        children.extend(item for item in value if type(item) not in _kinds.ATOMS)
    if hasattr(value, "__dict__"):
        children.append(value.__dict__)
    if not isinstance(value, _kinds.CODE):
        for name in _kinds.slots_of(type(value)):
            if hasattr(value, name):
                children.append(getattr(value, name))
    return children


def _contents(cell):
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


class Capture:
    """Encodes variables into trees that share one numbering of nodes and one list of buffers."""

    def __init__(self, entries):
        #: Tables of objects to refer to, most recent first: [(tag, Entries)].
        self._tables = entries
        #: id of each object captured so far: (variable, number within it).
        self._nodes = {}
        self._keep = []
        #: Sources of the out-of-band buffers, in order: ("tensor", t) or ("array", a).
        self.buffers = []
        #: variable: {number: (tag, entry)}.
        self.entries = {}
        #: Memory of tensors: [(variable, number, bytes, offset)] each.
        self._storages = {}
        self._constant = 0
        self._key, self._count, self._uses = None, 0, []

    def variable(self, key, value):
        """The tree of one variable and the buffers it uses, in the order of their places in it. Raises NotCapturable."""
        begun = self._begin()
        self._key, self._count, self._uses, self.entries[key] = key, 0, [], {}
        try:
            tree = self._node(value)
            return tree, self._uses
        except RecursionError:
            reason = "it is nested too deeply"
        except NotCapturable as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a property of the user's may raise anything
            reason = "%s: %s" % (type(error).__name__, error)
        self._forget(begun)
        del self.entries[key]
        raise NotCapturable(reason)

    def _begin(self):
        return len(self._nodes), len(self._keep), len(self.buffers), len(self._uses)

    def _forget(self, begun):
        """Drops what was captured since, so that nothing refers to a node that is not there."""
        nodes, keep, buffers, uses = begun
        for added in list(self._nodes)[nodes:]:
            del self._nodes[added]
        del self._keep[keep:], self.buffers[buffers:], self._uses[uses:]

    def _number(self, value):
        """A new node's number within its variable, and the entry of its object."""
        number = self._count
        self._count += 1
        self._nodes[id(value)] = (self._key, number)
        self._keep.append(value)
        for tag, table in self._tables:
            entry = table.number_of(value)
            if entry is not None:
                self.entries[self._key][number] = (tag, entry)
                return number, entry
        return number, None

    def _buffer(self, source):
        """The place, within the variable, of a new buffer."""
        self.buffers.append(source)
        return self._use(len(self.buffers) - 1)

    def _use(self, number):
        if number not in self._uses:
            self._uses.append(number)
        return self._uses.index(number)

    def _node(self, value):
        if type(value) in _kinds.ATOMS:
            return value
        known = self._nodes.get(id(value))
        if known is not None:
            key, number = known
            return ("ref", None if key == self._key else key, number)
        if isinstance(value, tuple) and (type(value) is tuple or hasattr(value, "_make")):
            reference = None if type(value) is tuple else _kinds.class_reference(type(value))
            return ("tuple", reference, [self._node(item) for item in value])
        if isinstance(value, _kinds.CODE):
            return self._code(value)
        if _kinds.is_tensor(value):
            return self._tensor(value)
        if _kinds.is_array(value):
            return self._array(value)
        state = _kinds.generator_state(value)
        if state is not None:
            number, entry = self._number(value)
            if entry is None:
                raise NotCapturable("a %s made inside the loop" % type(value).__name__)
            return ("rng", number, self._node(state))
        if _kinds.is_sink(value):
            number, entry = self._number(value)
            if entry is not None:
                return ("same", number)
        if isinstance(value, _kinds.LIVE):
            raise NotCapturable("a %s cannot be captured" % type(value).__name__)
        if _kinds.is_dataset(value):
            self._constant += 1
            try:
                return self._container_or_object(value)
            finally:
                self._constant -= 1
        return self._container_or_object(value)

    def _container_or_object(self, value):
        kind = _kinds.container_kind(value)
        cls = type(value)
        if kind in (list, dict, set, collections.deque, bytearray):
            return self._container(value, kind, cls)
        if kind is None and _kinds.is_plain_object(value):
            number, entry = self._number(value)
            return ("object", number, _kinds.class_reference(cls), self._attributes(value))
        if getattr(cls, "__module__", "").startswith("torch.utils.data") and getattr(value, "_iterator", None):
            raise NotCapturable("a data loader whose worker processes live on")
        return self._pickled(value)

    def _attributes(self, value):
        attributes = []
        for name, item in getattr(value, "__dict__", {}).items():
            if name == "_iterator" and item is not None:
                raise NotCapturable("a data loader whose worker processes live on")
            attributes.append((name, self._part(item, name)))
        for name in _kinds.slots_of(type(value)):
            if hasattr(value, name):
                attributes.append((name, self._part(getattr(value, name), name)))
        return attributes

    def _part(self, value, name):
        try:
            return self._node(value)
        except NotCapturable as error:
            raise NotCapturable(".%s: %s" % (name, error)) from None

    def _container(self, value, kind, cls):
        number, entry = self._number(value)
        reference = None if cls is kind else _kinds.class_reference(cls)
        if self._constant and len(value) > DATASET_CONSTANT and entry is not None:
            return ("same", number)
        if kind is bytearray:
            items = bytes(value)
        elif kind is dict:
            items = [(self._node(key), self._part(item, str(key))) for key, item in value.items()]
        elif kind is set:
            # Sorted by their bytes: the order inside a set is no part of its state.
            items = sorted((self._node(item) for item in value), key=lambda node: marshal.dumps(node, 2))
        elif all(type(item) in _kinds.ATOMS for item in value):
            items = list(value)
        else:
            items = [self._node(item) for item in value]
        extra = None
        if kind is collections.deque:
            extra = value.maxlen
        elif isinstance(value, collections.defaultdict):
            extra = None if value.default_factory is None else self._node(value.default_factory)
        attributes = self._attributes(value) if reference and getattr(value, "__dict__", None) else []
        return (kind.__name__, number, reference, items, extra, attributes)

    def _code(self, value):
        """Functions, classes, modules: the same object again, by entry or by name."""
        if isinstance(value, type):
            try:
                return ("class", _kinds.class_reference(value))
            except NotCapturable:
                pass
        number, entry = self._number(value)
        if entry is None:
            return ("pickle", number, self._pickle(value))
        begun = self._begin()
        try:
            if isinstance(value, types.MethodType):
                return ("method", number, self._node(value.__self__))
            if isinstance(value, types.FunctionType) and (value.__closure__ or value.__dict__):
                return ("function", number, self._cells(value), self._attributes(value))
        except NotCapturable:
            # As for any code: the same again. What it holds may be out of reach for good reasons (a lock of a library).
            self._forget(begun)
        return ("same", number)

    def _cells(self, value):
        """What a function's closure holds; None where a variable is not bound yet."""
        cells = []
        for cell in value.__closure__ or ():
            try:
                cells.append((self._node(cell.cell_contents),))
            except ValueError:
                cells.append(None)
        return cells

    def _tensor(self, value):
        module = _kinds.torch()
        if value.layout != module.strided or value.is_quantized or value.device.type not in ("cpu", "cuda"):
            raise NotCapturable("a %s tensor on %s" % (value.layout, value.device.type))
        number, entry = self._number(value)
        if self._constant and value.numel() > DATASET_CONSTANT and entry is not None:
            return ("same", number)
        has_graph = value.grad_fn is not None
        grad = None if has_graph or value.grad is None else self._node(value.grad)
        cls = type(value)
        reference = None if cls is module.Tensor else _kinds.class_reference(cls)
        attributes = [] if reference is None or not value.__dict__ else self._attributes(value)
        buffer = self._buffer(("tensor", value)) if value.numel() else None
        self._note_storage(number, value)
        shape = (str(value.dtype), list(value.shape), list(value.stride()))
        requires_grad = bool(value.requires_grad) and not has_graph
        return ("tensor", number, reference, shape, str(value.device), buffer, requires_grad, grad, attributes)

    def _note_storage(self, number, value):
        storage = value.untyped_storage() if hasattr(value, "untyped_storage") else value.storage()
        size = storage.nbytes() if callable(getattr(storage, "nbytes", None)) else len(storage) * value.element_size()
        place = (value.device, storage.data_ptr())
        self._storages.setdefault(place, []).append((self._key, number, size, value.storage_offset()))

    def shared_storages(self):
        """{variable: {number: (storage, bytes, offset)}} for tensors that share memory with another one captured."""
        shared = {}
        for identity, tensors in enumerate(self._storages.values()):
            tensors = [tensor for tensor in tensors if tensor[0] in self.entries]
            if len(tensors) > 1:
                for key, number, size, offset in tensors:
                    shared.setdefault(key, {})[number] = (identity, size, offset)
        return shared

    def _array(self, value):
        number, entry = self._number(value)
        if self._constant and value.size > DATASET_CONSTANT and entry is not None:
            return ("same", number)
        if value.dtype.hasobject:
            items = [self._node(item) for item in value.ravel().tolist()]
            return ("array", number, None, list(value.shape), None, items, None)
        base = None
        if entry is None and _kinds.is_array(value.base) and id(value.base) in self._nodes:
            # A view of an array that is captured too: again a view of it.
            start = value.__array_interface__["data"][0] - value.base.__array_interface__["data"][0]
            base = (self._node(value.base), start, list(value.strides))
        dtype = value.dtype.str if value.dtype.names is None else pickle.dumps(value.dtype, 4)
        buffer = None
        if value.size and base is None:
            buffer = self._buffer(("array", value))
        return ("array", number, dtype, list(value.shape), buffer, None, base)

    def _pickled(self, value):
        number, _ = self._number(value)
        return ("pickle", number, self._pickle(value))

    def _pickle(self, value):
        try:
            return pickle.dumps(value, 4)
        except Exception as error:  # noqa: BLE001 - whatever pickling raises is the reason
            raise NotCapturable("a %s cannot be pickled: %s" % (type(value).__name__, error)) from None
