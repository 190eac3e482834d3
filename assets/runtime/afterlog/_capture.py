"""Captures variables as trees of built-ins with tensors and arrays out of band.

A tree's node is an atom itself or a tuple whose first item is its tag. Objects with an identity are numbered within their
variable; aliases and cycles are references to an earlier node. Beside the trees stands each object's *entry*: its place
among the objects that existed when the main loop (or the block) began, found by walking the same variables in the same
order. Replay walks them too, and so knows which of its own objects is which; those are restored in place, so that whoever
else refers to them sees the restored state. Objects made since are made anew. Entries are no part of the trees, so that
equal states have equal trees however they came about.
"""
import array
import collections
import copyreg
import enum
import functools
import io
import marshal
import os
import pickle
import types
import weakref

from . import _kinds, _moved, _process
from ._entries import contents, is_bound_builtin
from ._kinds import NotCapturable

#: Tensors and lists of a data set beyond this size are taken as constant.
DATASET_CONSTANT = 4096
#: Where Python's own library lies, and those of its modules whose objects say nothing of how training goes on.
_STANDARD, _PLUMBING = os.path.dirname(os.__file__) + os.sep, ("_thread", "logging", "threading", "weakref")


class Capture:
    """Encodes variables into trees that share one numbering of nodes and one list of buffers."""

    def __init__(self, entries, owners=(), apart=(), held=None):
        #: ids of arrays whose views are captured as views, and of tensors and arrays that cannot be captured for the memory
        #: that they share: what `sharing` found in an earlier pass.
        self._owners, self._apart = frozenset(owners), frozenset(apart)
        #: Arrays that stand for themselves, by the address of the memory that they lie in: [(array, entry)].
        self._arrays = {}
        #: Tables of objects to refer to, most recent first: [(tag, Entries)].
        self._tables = entries
        #: What is asked where others hold an object: `_beside.Held`.
        self._held = held
        #: id of each object captured so far: (variable, number within it).
        self._nodes = {}
        self._keep = []
        #: ids of objects that were there when the loop began, and will be made anew.
        self._remade = set()
        #: Sources of the out-of-band buffers, in order: ("tensor", t) or ("array", a).
        self.buffers = []
        #: variable: {number: (tag, entry)}.
        self.entries = {}
        #: Memory of tensors: [(variable, number, bytes, offset)] each.
        self._storages = {}
        self._constant = 0
        #: Variables of the environment that are kept nowhere: [(name, value)].
        self._secrets = _process.secrets()
        self._key, self._count, self._uses = None, 0, []
        #: The variable's own value.
        self._value = None

    def variable(self, key, value):
        """The tree of one variable and the buffers it uses, in the order of their places in it. Raises NotCapturable."""
        begun = self._begin()
        self._key, self._count, self._uses, self.entries[key] = key, 0, [], {}
        try:
            if isinstance(value, (types.ModuleType, type)):
                # Named here because something of it may be changed, and that is no part of any variable.
                raise NotCapturable("a %s" % type(value).__name__)
            self._value = value
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
        place = None if self._held is None else self._held.place_of(value)
        if place is not None:
            # Trees do not depend on it: what others hold is compared with the run's too.
            self.entries[self._key][number] = (_kinds.BESIDE, place)
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
            return _moved.back(value) if _moved.pairs else value
        if value is _kinds.UNBOUND:
            return ("unbound",)
        known = self._nodes.get(id(value))
        if known is not None:
            key, number = known
            return ("ref", None if key == self._key else key, number)
        if type(value) in (dict, list):
            # Most objects of a large state are these.
            return self._container(value, type(value), type(value))
        if isinstance(value, tuple) and (type(value) is tuple or hasattr(value, "_make")):
            reference = None if type(value) is tuple else _kinds.class_reference(type(value))
            return ("tuple", reference, [self._node(item) for item in _kinds.items_of(value, tuple)])
        if isinstance(value, _kinds.CODE):
            return self._code(value)
        if type(value) is type(os.environ):
            return self._environment(value)
        if _kinds.is_tensor(value):
            return self._tensor(value)
        if _kinds.is_array(value):
            return self._array(value)
        state = _kinds.generator_state(value)
        # Seeds that were made since are known to no generator that is captured.
        if state is not None and (self._is_known(value) or not _kinds.is_seed_sequence(value)):
            number, entry = self._number(value)
            if entry is None:
                raise NotCapturable("a %s made inside the loop" % type(value).__name__)
            return ("rng", number, self._node(state))
        if _kinds.is_sink(value):
            number, entry = self._number(value)
            if entry is not None:
                # Of a variable only: what an object with tensors holds is compared, and how far it has written may differ.
                position = _kinds.position_of(value) if value is self._value else None
                return ("same", number) if position is None else ("file", number, position)
        if isinstance(value, _kinds.LIVE):
            raise NotCapturable("a %s cannot be captured" % type(value).__name__)
        if _kinds.is_dataset(value):
            self._constant += 1
            try:
                return self._container_or_object(value)
            finally:
                self._constant -= 1
        return self._container_or_object(value)

    def _environment(self, value):
        """By its name: what the loop makes of it is the process', and what else is in it stays there."""
        if value is not os.environ:
            raise NotCapturable("a copy of the environment")
        return ("environment", self._number(value)[0])

    def _container_or_object(self, value):
        kind = _kinds.container_kind(value)
        cls = type(value)
        if kind in (list, dict, set, collections.deque, bytearray):
            return self._container(value, kind, cls)
        if cls is functools.partial:
            number, _ = self._number(value)
            return ("partial", number, self._node(value.func), self._node(value.args), self._node(value.keywords))
        if cls is weakref.ref and value.__callback__ is None and self._is_known(value()):
            # A recurrent network of torch's has one of each of its weights.
            number, _ = self._number(value)
            return ("weak", number, self._node(value()))
        if cls is array.array:
            number, _ = self._number(value)
            return ("numbers", number, value.typecode, value.tobytes())
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
            # A key may be a tensor: as text only where it is short.
            name = str(name) if type(name) in _kinds.ATOMS else type(name).__name__
            raise NotCapturable(".%s: %s" % (name, error)) from None

    def _container(self, value, kind, cls):
        number, entry = self._number(value)
        reference = None if cls is kind else _kinds.class_reference(cls)
        if self._constant and kind.__len__(value) > DATASET_CONSTANT and entry is not None:
            return ("same", number)
        if kind is bytearray:
            items = bytes(value)
        elif kind is dict:
            if any(_is_same_text(dict.get(value, name), secret) for name, secret in self._secrets):
                raise NotCapturable("a copy of the environment")
            items = [(self._node(key), self._part(item, key)) for key, item in _kinds.items_of(value, dict)]
        elif kind is set:
            items = self._items_of_set(value)
        else:
            items = _kinds.items_of(value, kind)
            if _moved.pairs or not all(type(item) in _kinds.ATOMS for item in items):
                items = [self._node(item) for item in items]
        extra = None
        if kind is collections.deque:
            extra = value.maxlen
        elif isinstance(value, collections.defaultdict):
            extra = None if value.default_factory is None else self._node(value.default_factory)
        attributes = self._attributes(value) if reference and getattr(value, "__dict__", None) else []
        return (kind.__name__, number, reference, items, extra, attributes)

    def _items_of_set(self, value):
        """A set's items in an order in which adding them gives a set with the order of this one."""
        order = _kinds.items_of(value, set)
        if not all(type(item) in _kinds.ATOMS for item in order):
            # Their order follows from where they lie in memory, and is another one in each process anyway.
            return sorted((self._node(item) for item in order), key=lambda node: marshal.dumps(node, 2))
        for items in (sorted(order, key=lambda item: marshal.dumps(item, 2)), order):
            if list(set(items)) == order:
                return items
        raise NotCapturable("the order of a set cannot be made again")

    def _code(self, value):
        """Functions, classes, modules: the same object again, by entry or by name."""
        if isinstance(value, type):
            try:
                return ("class", _kinds.class_reference(value))
            except NotCapturable:
                pass
        number, entry = self._number(value)
        if isinstance(value, types.MethodType) or is_bound_builtin(value):
            return self._method(value, number, entry)
        if entry is None:
            return ("pickle", number, self._pickle(value))
        if not isinstance(value, types.FunctionType) or not (value.__closure__ or value.__dict__):
            return ("same", number)
        begun = self._begin()
        try:
            return ("function", number, self._cells(value), self._attributes(value))
        except NotCapturable:
            if not _is_of_library(value):
                raise
            self._forget(begun)
            return ("same", number)

    def _method(self, value, number, entry):
        """A bound method: bound to the same object again, not to a copy of it."""
        owner = self._node(value.__self__)
        if entry is not None and id(value.__self__) not in self._remade:
            return ("method", number, owner)
        name = _name_of_method(value)
        if name is None:
            return ("rebound", number, owner, self._node(value.__func__))
        return ("bound", number, owner, name)

    def _cells(self, value):
        """What a function's closure holds; None where a variable is not bound yet."""
        cells = []
        for cell in value.__closure__ or ():
            try:
                cells.append((self._cell(cell.cell_contents),))
            except ValueError:
                cells.append(None)
        return cells

    def _cell(self, value):
        if isinstance(value, _kinds.LOCKS) and id(value) not in self._nodes:
            # How often it is held is nowhere to be put back. Most are held only while a function runs.
            was_free = not any(id(value) in table.locked for _, table in self._tables)
            if was_free and _kinds.is_free(value) and self._is_known(value):
                return ("same", self._number(value)[0])
        return self._node(value)

    def _tensor(self, value):
        module = _kinds.torch()
        if value.layout != module.strided or value.is_quantized or value.device.type not in ("cpu", "cuda"):
            raise NotCapturable("a %s tensor on %s" % (value.layout, value.device.type))
        number, entry = self._number(value)
        if entry is None and ("tensor", self._key, number) in self._apart:
            raise NotCapturable("a tensor that shares its memory with an array")
        if self._constant and value.numel() > DATASET_CONSTANT and entry is not None:
            return ("same", number)
        if not _kinds.is_held(value):
            raise NotCapturable("a tensor whose memory was given back")
        has_graph = value.grad_fn is not None
        has_grad = not has_graph or getattr(value, "retains_grad", False)
        grad = None if not has_grad or value.grad is None else self._node(value.grad)
        cls = type(value)
        reference = None if cls is module.Tensor else _kinds.class_reference(cls)
        attributes = [] if reference is None or not value.__dict__ else self._attributes(value)
        buffer = self._buffer(("tensor", value)) if value.numel() else None
        self._note_storage(number, value)
        shape = (str(value.dtype), list(value.shape), list(value.stride()))
        # The graph that a tensor comes from is not captured: restored, it says so when it is asked for gradients.
        requires_grad = "graph" if has_graph else bool(value.requires_grad)
        return ("tensor", number, reference, shape, str(value.device), buffer, requires_grad, grad, attributes)

    def _note_storage(self, number, value):
        storage = value.untyped_storage() if hasattr(value, "untyped_storage") else value.storage()
        size = storage.nbytes() if callable(getattr(storage, "nbytes", None)) else len(storage) * value.element_size()
        place = (value.device, storage.data_ptr())
        self._storages.setdefault(place, []).append((self._key, number, size, value.storage_offset()))

    def sharing(self):
        """What another pass must know about memory that arrays share: (owners, apart) as `Capture` takes them."""
        owners, apart = set(), set()
        tensors = {place[1]: known for place, known in self._storages.items() if place[0].type == "cpu"}
        for address, arrays in self._arrays.items():
            made = [array for array, entry in arrays if entry is None]
            if address in tensors:
                apart.update(id(array) for array in made)
                captured = [(key, number) for key, number, _, _ in tensors[address] if key in self.entries]
                apart.update(("tensor", key, number) for key, number in captured if number not in self.entries[key])
            elif made and len(arrays) > 1:
                owners.update(id(_owner(array)) for array, _ in arrays)
        return owners - self._owners, apart - self._apart

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
        if type(value) is not _kinds.numpy().ndarray and (
            entry is None or hasattr(value, "mask") or getattr(value, "__dict__", None)
        ):
            raise NotCapturable("a %s cannot be captured" % type(value).__name__)
        if entry is None and id(value) in self._apart:
            raise NotCapturable("an array that shares its memory with a tensor")
        base, owner = None, value.base
        if entry is None and (id(owner) in self._owners or _kinds.is_tensor(owner) or _lies_in_tensor(owner)):
            # A view of what is captured too: again a view of it.
            under = owner.detach().numpy() if _kinds.is_tensor(owner) else owner
            start = value.__array_interface__["data"][0] - _lowest(under)
            base = (self._node(owner), start, list(value.strides))
        else:
            address = _owner(value).__array_interface__["data"][0]
            self._arrays.setdefault(address, []).append((value, entry))
        dtype = value.dtype.str if value.dtype.names is None else pickle.dumps(value.dtype, 4)
        buffer = None
        if value.size and base is None:
            buffer = self._buffer(("array", value))
        return ("array", number, dtype, list(value.shape), buffer, None, base)

    def _pickled(self, value):
        number, entry = self._number(value)
        if entry is not None and type(value).__hash__ is None:
            # Whoever else refers to it would keep the old one.
            raise NotCapturable("a %s cannot be restored in place" % type(value).__name__)
        pickled = self._pickle(_moved.back(value) if _moved.pairs else value)
        if isinstance(value, enum.Enum) and type(value._value_) not in _kinds.ATOMS and pickle.loads(pickled) is not value:
            raise NotCapturable("a %s whose value is not found again" % type(value).__name__)
        if entry is not None and type(value).__hash__ is object.__hash__ and not _is_found_by_name(value):
            if self._held is not None and self._held.is_held(value):
                raise NotCapturable("a %s that others hold cannot be restored in place" % type(value).__name__)
            self._remade.add(id(value))
        return ("pickle", number, pickled)

    def _is_known(self, value):
        """Whether this object can be referred to from elsewhere."""
        return id(value) in self._nodes or any(table.number_of(value) is not None for _, table in self._tables)

    def _pickle(self, value):
        file = io.BytesIO()
        try:
            _Pickler(file, value, self._is_known).dump(value)
            return file.getvalue()
        except NotCapturable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever pickling raises is the reason
            raise NotCapturable("a %s cannot be pickled: %s" % (type(value).__name__, error)) from None


class _Pickler(pickle.Pickler):
    """Refuses to copy what others may refer to: they would go on with another object."""

    def __init__(self, file, root, is_known):
        super().__init__(file, 4)
        self._root, self._is_known, self._package = root, is_known, _package(root)

    def persistent_id(self, value):
        if value is self._root or type(value) in _kinds.ATOMS or not self._is_shared(value):
            return None
        raise _kinds.NotCapturable("a %s that others may hold too" % type(value).__name__)

    def _is_shared(self, value):
        if isinstance(value, _kinds.CODE) or not self._is_known(value):
            return False
        if _kinds.is_tensor(value):
            return True
        if _package(value) == self._package and self._package not in ("__main__", "builtins"):
            return False
        return _kinds.is_plain_object(value) or isinstance(value, (list, dict, set, collections.deque, bytearray))


def _is_found_by_name(value):
    """Whether unpickling gives this very object again."""
    # A mark is told by its identity alone, and kept.
    if type(value) is object:
        return True
    # As pickle asks: NumPy's functions, for one, are in the table and know no other way.
    reduce = copyreg.dispatch_table.get(type(value))
    return type(value.__reduce_ex__(4) if reduce is None else reduce(value)) is str


def _is_of_library(value, depth=4):
    """Whether this is a function of a library around which there is nothing of the script's, such as a lock."""
    if isinstance(value, _kinds.LOCKS):
        return _kinds.is_free(value)
    if isinstance(value, (*_kinds.ATOMS, *_kinds.KEEPERS)):
        return True
    if not isinstance(value, types.FunctionType):
        return type(value).__module__ in _PLUMBING
    path = value.__code__.co_filename
    is_installed = path.startswith(_STANDARD) or "site-packages" in path or "dist-packages" in path
    around = [part for cell in value.__closure__ or () for part in contents(cell)] + list(value.__dict__.values())
    return is_installed and depth > 0 and all(_is_of_library(part, depth - 1) for part in around)


def _is_same_text(value, text):
    return type(value) is str and value == text


def _package(value):
    return (getattr(type(value), "__module__", None) or "").partition(".")[0]


def _owner(value):
    """The array at the bottom of views."""
    while _kinds.is_array(value.base):
        value = value.base
    return value


def _name_of_method(value):
    """The name by which its object gives this method; None for a function that was bound to an object by hand."""
    if not isinstance(value, types.MethodType) or isinstance(value.__self__, type):
        return value.__name__
    attributes = (entry for base in type(value.__self__).__mro__ for entry in base.__dict__.items())
    return next((name for name, held in attributes if held is value.__func__), None)


def _lies_in_tensor(value):
    return _kinds.is_array(value) and _kinds.is_tensor(_owner(value).base)


def _lowest(value):
    """The address of an array's first byte in memory, which is not its first element's where strides are negative."""
    address = value.__array_interface__["data"][0]
    return address + sum((size - 1) * stride for size, stride in zip(value.shape, value.strides) if stride < 0)
