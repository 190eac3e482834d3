"""What kinds of objects there are, as capture and restore see them. torch and NumPy only if the script imported them."""
import collections
import copyreg
import enum
import fcntl
import functools
import io
import os
import random
import sys
import threading
import types
import weakref

#: Stands for the value of a variable that has none.
UNBOUND = object()
#: The tag, among a capture's entries, of objects that are found by where variables beside the change sets hold them.
BESIDE = "o"
ATOMS = (type(None), bool, int, float, complex, str, bytes)
#: A method of a type that is written in C, such as ``zip.__next__``.
WRAPPER = type(len.__call__)
#: What keeps something that is no part of whoever holds it: attributes of a class, variables of a module, results.
KEEPERS = (type, types.ModuleType, functools._lru_cache_wrapper)
#: Never part of the state: code, not data. Captured as a reference to the same object.
CODE = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    WRAPPER,
    property,
    staticmethod,
    classmethod,
)
LOCKS = (type(threading.Lock()), type(threading.RLock()))
#: State that Python cannot show or that belongs to the process.
LIVE = (
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.FrameType,
    types.TracebackType,
    io.IOBase,
    threading.Thread,
    *LOCKS,
    type(iter([])),
    type(iter(())),
    type(iter({})),
    type(iter(range(0))),
    zip,
    map,
    filter,
    enumerate,
)


#: Modules whose objects take values and give none back: a replay keeps its own.
_SINK_MODULES = ("logging", "wandb", "mlflow", "tensorboard", "tensorboardX", "torch.utils.tensorboard", "tqdm", "comet_ml")
#: What was found of modules' names: every object of a state is asked for its class's.
_is_sink_module = {}


def is_free(lock):
    """Whether nobody holds this lock. One that the same thread may take again does not say so otherwise before Python 3.14."""
    return repr(lock).startswith("<unlocked")


def is_sink(value):
    """Whether the object only takes what a script writes: a file open for writing, a logger, an experiment tracker."""
    if isinstance(value, io.IOBase):
        try:
            return value.writable() and not value.readable()
        except ValueError:
            return False
    module = getattr(type(value), "__module__", None)
    if type(module) is not str:
        return False
    if module not in _is_sink_module:
        _is_sink_module[module] = any(module == sink or module.startswith(sink + ".") for sink in _SINK_MODULES)
    return _is_sink_module[module]


def position_of(sink):
    """Where the next byte goes that is written to a plain file, or before it is compressed; None of anything else, and of the
    process' own streams. Raises NotCapturable where only writing tells.
    """
    try:
        raw = _raw(sink)
        if type(raw) is io.FileIO:
            return None if raw.closed or raw.fileno() <= 2 or not raw.seekable() else sink.tell()
        counter = _counter_of(raw)
        if counter is None or raw.closed:
            return None
        if raw is not sink:
            # To ask would have it write what it has not compressed yet, and the script's file would be another.
            raise NotCapturable("a text file that is compressed")
        return getattr(raw, counter)
    except NotCapturable:
        raise
    except Exception:  # noqa: BLE001 - it may stand on an object of the script's
        return None


def set_position(sink, position):
    """The inverse of ``position_of``. What was written up to there is not known: nothing stands in its place."""
    raw = _raw(sink)
    if type(raw) is not io.FileIO:
        # To go there would compress as much nothing.
        setattr(raw, _counter_of(raw), position)
        return
    sink.flush()
    size = os.fstat(sink.fileno()).st_size
    # What is written at the end goes where the run's end was: what stands behind it was written later.
    if size < position or size > position and fcntl.fcntl(sink.fileno(), fcntl.F_GETFL) & os.O_APPEND:
        os.truncate(sink.fileno(), position)
    sink.seek(position)


def _raw(sink):
    """What a file object stands on."""
    raw = sink.buffer if type(sink) is io.TextIOWrapper else sink
    return raw.raw if type(raw) is io.BufferedWriter else raw


#: Of files that compress: module, class, and the attribute that counts what was written.
_COMPRESSING = (("gzip", "GzipFile", "offset"), ("bz2", "BZ2File", "_pos"), ("lzma", "LZMAFile", "_pos"))


def _counter_of(raw):
    for module, name, counter in _COMPRESSING:
        if type(raw) is getattr(sys.modules.get(module), name, None) and type(vars(raw).get(counter)) is int:
            return counter
    return None


class NotCapturable(Exception):
    """Says which part of a variable cannot be captured and why."""


def torch():
    """The torch module if it is fully imported, else None."""
    module = sys.modules.get("torch")
    return module if module is not None and hasattr(module, "Tensor") and hasattr(module, "optim") else None


def numpy():
    """The numpy module if it is fully imported, else None."""
    module = sys.modules.get("numpy")
    return module if module is not None and hasattr(module, "ndarray") and hasattr(module, "random") else None


def is_tensor(value):
    module = torch()
    return module is not None and isinstance(value, module.Tensor)


def is_leaf(tensor):
    """Whether no graph leads to a tensor. Of a view of what was changed since, PyTorch may refuse to say so by an error."""
    try:
        return tensor.is_leaf
    except RuntimeError:
        return False


def is_held(tensor):
    """Whether a tensor's memory holds all its elements: it may have been given back, to be filled again before its use."""
    _, size = _storage_of(tensor)
    last = sum((count - 1) * step for count, step in zip(tensor.shape, tensor.stride()))
    return not tensor.numel() or (tensor.storage_offset() + last + 1) * tensor.element_size() <= size


def is_array(value):
    module = numpy()
    return module is not None and isinstance(value, module.ndarray)


def memory_of(value):
    """Where the memory begins that an array or a plain tensor shows numbers of; None if that cannot be told."""
    if is_tensor(value):
        # Of others there is more to see than numbers.
        is_plain = type(value) is torch().Tensor and value.layout == torch().strided
        if not is_plain or value.requires_grad or value.grad_fn is not None or value.grad is not None:
            return None
        return _storage_of(value)[0]
    if not is_array(value) or type(value) is not numpy().ndarray or value.dtype.hasobject:
        return None
    while is_array(value.base):
        value = value.base
    if value.base is None:
        return "cpu", value.__array_interface__["data"][0]
    return _storage_of(value.base)[0] if is_tensor(value.base) else None


def memory_held(value):
    """The same of an array or a tensor that shows the whole of it."""
    if is_tensor(value):
        if value.layout != torch().strided or not is_held(value):
            return None
        memory, size = _storage_of(value)
        return memory if size == value.numel() * value.element_size() else None
    return memory_of(value) if is_array(value) and value.base is None else None


def geometry(value):
    """How an array or a tensor lies in its memory."""
    if is_tensor(value):
        return value.data_ptr(), str(value.dtype), tuple(value.shape), value.stride()
    return value.__array_interface__["data"], value.dtype.str, value.shape, value.strides


def _storage_of(tensor):
    """Where a tensor's memory begins, and its size in bytes."""
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    size = storage.nbytes() if callable(getattr(storage, "nbytes", None)) else len(storage) * tensor.element_size()
    return (str(tensor.device), storage.data_ptr()), size


def is_dataset(value):
    """Whether this is a torch data set: its large tensors are taken as constant."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(value, data.Dataset)


def generator_state(value):
    """The state of a random number generator object, or None for anything else."""
    if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
        return value.getstate()
    module = torch()
    if module is not None and isinstance(value, module.Generator):
        return value.get_state()
    module = numpy()
    if module is not None:
        if isinstance(value, module.random.Generator):
            return _state_of_bits(value.bit_generator)
        if isinstance(value, module.random.BitGenerator):
            return _state_of_bits(value)
        if isinstance(value, module.random.SeedSequence):
            return {_CHILDREN: value.n_children_spawned}
        if isinstance(value, module.random.RandomState):
            return value.get_state(legacy=False)
    return None


def set_generator_state(value, state):
    """The inverse of ``generator_state``, in place."""
    module = numpy()
    if isinstance(value, random.Random):
        value.setstate(state)
    elif module is not None and isinstance(value, module.random.Generator):
        _set_state_of_bits(value.bit_generator, state)
    elif module is not None and isinstance(value, module.random.BitGenerator):
        _set_state_of_bits(value, state)
    elif is_seed_sequence(value):
        _spawn(value, state[_CHILDREN])
    else:
        value.set_state(state)


#: In the state of a generator: how many others were made from its seeds, each of which gets others.
_CHILDREN = "n_children_spawned"


def is_seed_sequence(value):
    module = numpy()
    return module is not None and isinstance(value, module.random.SeedSequence)


def _seeds_of(bits):
    return getattr(bits, "seed_seq", None) or getattr(bits, "_seed_seq", None)


def _state_of_bits(bits):
    count = getattr(_seeds_of(bits), _CHILDREN, 0)
    return {**bits.state, _CHILDREN: count} if count else bits.state


def _set_state_of_bits(bits, state):
    state = dict(state)
    count = state.pop(_CHILDREN, 0)
    if hasattr(_seeds_of(bits), _CHILDREN):
        _spawn(_seeds_of(bits), count)
    bits.state = state


def _spawn(seeds, count):
    """Has seeds make as many children as they had made; they can make no fewer."""
    if seeds.n_children_spawned > count:
        raise ValueError("seeds have made more children than in the run")
    if seeds.n_children_spawned < count:
        seeds.spawn(count - seeds.n_children_spawned)


_CONTAINERS = (list, dict, set, collections.deque, bytearray, tuple, frozenset)


def container_kind(value):
    """The built-in container that this is or derives from, or None."""
    cls = type(value)
    if cls in _CONTAINERS:
        return cls
    for kind in _CONTAINERS:
        if isinstance(value, kind):
            return kind
    return None


def items_of(value, kind):
    """A container's items, without the methods of its class: they may do more, as a list that shuffles when iterated over."""
    if kind is dict:
        return list((collections.OrderedDict if isinstance(value, collections.OrderedDict) else dict).items(value))
    return list(kind.__iter__(value))


def is_plain_object(value):
    """Whether all of an object's state is in its attributes: a class written in Python without hidden C state."""
    cls = type(value)
    if isinstance(value, enum.Enum) or not (hasattr(value, "__dict__") or hasattr(cls, "__slots__")):
        return False
    if not all(base in (object, types.SimpleNamespace) or is_written_in_python(base) for base in cls.__mro__):
        return False
    if cls.__reduce_ex__ is object.__reduce_ex__ and cls.__reduce__ in _USUAL:
        return True
    return _is_more_than_pickled(value, cls)


_USUAL = (object.__reduce__, types.SimpleNamespace.__reduce__)


def _is_more_than_pickled(value, cls):
    """Whether an object that is pickled in a way of its own may hold more than that tells. Not what is compared by value,
    as a path is, nor what is found by its name.
    """
    if cls.__hash__ is not object.__hash__:
        return False
    try:
        return type(value.__reduce_ex__(4)) is not str
    except Exception:  # noqa: BLE001 - it is not to be pickled: that is said where it is tried
        return False


def is_named(value):
    """Whether pickling gives the name by which every process has this very object, such as a member of an enumeration: what
    it keeps is then in no capture of it.
    """
    if isinstance(value, enum.Enum):
        return True
    cls = type(value)
    if not any(_is_own(reduce) for reduce in (cls.__reduce_ex__, cls.__reduce__)):
        return False
    if is_tensor(value) or is_array(value) or is_sink(value) or cls in copyreg.dispatch_table:
        return False
    try:
        return type(value.__reduce_ex__(4)) is str
    except Exception:  # noqa: BLE001 - as above
        return False


def _is_own(reduce):
    """Whether this is a way of its own to pickle. Those of torch give copies, and may write much to tell."""
    return type(reduce) is types.FunctionType and not (reduce.__module__ or "").startswith("torch.")


#: Py_TPFLAGS_HEAPTYPE, and Py_TPFLAGS_IMMUTABLETYPE, which types made in C carry since Python 3.10.
_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8


def is_written_in_python(cls):
    """Whether a class was made by Python's ``class``, or as that does it."""
    if not cls.__flags__ & _HEAP_TYPE or (sys.version_info >= (3, 10) and cls.__flags__ & _IMMUTABLE_TYPE):
        return False
    # Classes made by binding generators look like Python's but hold C++ objects.
    return not type(cls).__name__.startswith(("pybind11", "nb_"))


def slots_of(cls):
    """Names of all slots of a class and its bases."""
    known = _slots.get(id(cls))
    # The id may have been reused since by another class.
    if known is None or known[0]() is not cls:
        known = _slots[id(cls)] = (weakref.ref(cls), _find_slots(cls))
    return known[1]


_slots = {}


def _find_slots(cls):
    names = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        slots = (slots,) if isinstance(slots, str) else slots
        for name in slots:
            if name not in ("__dict__", "__weakref__"):
                mangled = name.startswith("__") and not name.endswith("__")
                names.append("_%s%s" % (base.__name__.lstrip("_"), name) if mangled else name)
    return names


def class_reference(cls):
    """A class as module and qualified name, if that leads back to it."""
    module, name = getattr(cls, "__module__", None), getattr(cls, "__qualname__", None)
    target = sys.modules.get(module)
    for part in (name or "").split("."):
        target = getattr(target, part, None)
    if target is not cls:
        raise NotCapturable("its class %s is not reachable by name" % (name,))
    return (module, name)


def class_from(reference):
    """The class that ``class_reference`` named."""
    module, name = reference
    target = sys.modules[module]
    for part in name.split("."):
        target = getattr(target, part)
    return target
