"""What the audit takes of values that hold much, without what it leads to: of containers, arrays and tensors, and of caches.

Large ones are sampled: data of gigabytes would take longer to look at than the loop that it is for.
"""
import ctypes
import marshal

from . import _kinds

#: Containers and arrays of more items than this are judged by their length and `SAMPLE` items evenly apart.
WHOLE, SAMPLE = 4096, 256


def _sample(items):
    """Everything, or some of it, evenly apart, of what can be sliced."""
    return items if len(items) <= WHOLE else items[:: len(items) // SAMPLE]


def tensor(value):
    facts = (tuple(value.shape), value.dtype, value.requires_grad, _version(value))
    if value.device.type != "cpu" or value.layout != _kinds.torch().strided or not value.is_contiguous():
        # To read it would wait for the device; PyTorch counts the writes to it.
        return facts + (id(value),)
    if not _kinds.is_held(value):
        return facts + ("not held", id(value))
    if type(value) not in (_kinds.torch().Tensor, _kinds.torch().nn.Parameter):
        return facts + (value.data_ptr(), repr(_sample(value.detach().view(-1)).tolist()))
    if value.numel() > WHOLE:
        kept = value.detach().view(-1)[:: value.numel() // SAMPLE].contiguous()
    else:
        kept = value
    return facts + (value.data_ptr(), _bytes(kept))


def _bytes(tensor):
    """What lies in a tensor's memory: to make numbers of it takes a hundred times as long."""
    address = tensor.data_ptr()
    return ctypes.string_at(address, tensor.numel() * tensor.element_size()) if address else b""


def _version(value):
    try:
        return value._version
    except RuntimeError:
        # A tensor of inference mode.
        return None


def array(value):
    facts = (value.shape, value.dtype.str)
    if value.dtype.hasobject:
        return facts, list(_sample(value.ravel()))
    if value.size <= WHOLE:
        return facts + (value.tobytes(),), ()
    return facts + (value.flat[:: value.size // SAMPLE].tobytes(),), ()


def container(value, kind):
    if kind is bytearray:
        return (len(value), bytes(_sample(value))), []
    items = _kinds.items_of(value, kind)
    count = len(items)
    if count > WHOLE:
        items = items[:: count // SAMPLE]
    children = [part for item in items for part in item] if kind is dict else items
    for item in children:
        if type(item) not in _kinds.ATOMS:
            return count, children
    # The most common by far: numbers and texts, taken as bytes at once.
    return (count, marshal.dumps(children, 2)), []


def cache(value, is_asked):
    """A cache of results. What is only found in it leaves it as it was, unless ``is_asked`` says that somebody counts that, or
    results go some time: those that were asked for least lately.
    """
    hits, misses, most, size = value.cache_info()
    return (misses, size) if most is None and not is_asked() else (hits, misses, most, size)


def has_word(path, word):
    """Whether a file holds this, or cannot be read."""
    try:
        with open(path, "rb") as file:
            return word in file.read()
    except (OSError, TypeError):
        return True
