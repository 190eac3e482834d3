"""Which objects there are at some moment, by numbers that another process in the same state gives them too."""
import collections
import functools
import hashlib
import types
import weakref

from . import _kinds


class Entries:
    """The objects that existed at some moment, numbered by walking variables in order.

    Objects that cannot be referred to weakly (lists, dicts) are kept alive; tensors, modules and the like are not.
    """

    def __init__(self):
        self.numbers = {}
        self.objects = []
        #: What kinds of objects were found in which order: equal in a process that is in the same state.
        self.digest = b""
        #: Those that keep something that no capture of them holds, by id.
        self.keepers = {}
        #: ids of the locks that somebody held.
        self.locked = set()
        self._memory = None

    def add(self, value):
        number = len(self.objects)
        if type(value) in (dict, list):
            # Most objects of a large state are these, and cannot be referred to weakly.
            reference = functools.partial(_itself, value)
        else:
            try:
                reference = weakref.ref(value)
            except TypeError:
                reference = functools.partial(_itself, value)
        self.objects.append(reference)
        self.numbers[id(value)] = number

    def number_of(self, value):
        """The object's number, or None if it did not exist then."""
        number = self.numbers.get(id(value))
        # The id may have been reused since by another object.
        return number if number is not None and self.objects[number]() is value else None

    def may_change(self, value):
        """Whether the object existed then, and a capture of it holds what it keeps."""
        return self.number_of(value) is not None and id(value) not in self.keepers

    def holder(self, memory):
        """The one array or tensor among the objects that holds this memory, whole; None if there is none, or are several."""
        if self._memory is None:
            # None is known to hold any where one of them cannot be asked.
            self._memory, found = {}, {}
            for number, reference in enumerate(self.objects):
                # Lists and dicts cannot be referred to weakly, arrays and tensors can.
                value = reference() if isinstance(reference, weakref.ref) else None
                held = None if value is None else _kinds.memory_held(value)
                if held is not None:
                    found[held] = None if held in found else number
            self._memory = found
        number = self._memory.get(memory)
        found = None if number is None else self.get(number)
        return found if found is not None and _kinds.memory_held(found) == memory else None

    def get(self, number):
        """The object of that number; None if there is none (any more)."""
        return self.objects[number]() if number < len(self.objects) else None


def walk(variables):
    """Numbers every object with an identity that the variables, [(key, value)], lead to."""
    entries = Entries()
    kinds = []
    stack = [value for _, value in reversed(variables) if value is not _kinds.UNBOUND]
    while stack:
        value = stack.pop()
        if isinstance(value, _kinds.ATOMS) or id(value) in entries.numbers:
            continue
        kind = _kinds.container_kind(value)
        if kind is tuple:
            stack.extend(reversed(_kinds.items_of(value, kind)))
            continue
        entries.add(value)
        is_named = kind is None and _kinds.is_named(value)
        if is_named or isinstance(value, _kinds.KEEPERS):
            entries.keepers[id(value)] = value
        elif type(value) in _kinds.LOCKS and not _kinds.is_free(value):
            entries.locked.add(id(value))
        kinds.append(type(value).__qualname__)
        stack.extend(() if is_named else reversed(_children(value, kind)))
    entries.digest = hashlib.blake2b("\n".join(kinds).encode("utf-8", "replace"), digest_size=16).digest()
    return entries


def children(value):
    """What any object leads to, in a fixed order; nothing of sets, which have none."""
    kind = _kinds.container_kind(value)
    if kind is tuple:
        return _kinds.items_of(value, kind)
    return [] if kind is None and _kinds.is_named(value) else _children(value, kind)


def _children(value, kind):
    """What an object leads to, in a fixed order."""
    if type(value) is list:
        return [item for item in value if type(item) not in _kinds.ATOMS]
    if type(value) is dict:
        return [part for item in value.items() for part in item if type(part) not in _kinds.ATOMS]
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if is_bound_builtin(value):
        return [value.__self__]
    if type(value) is functools.partial:
        return [value.func, value.args, value.keywords, value.__dict__]
    if isinstance(value, types.FunctionType):
        return [value.__dict__] + [item for cell in value.__closure__ or () for item in contents(cell)]
    if isinstance(value, _kinds.CODE + _kinds.LIVE) or _kinds.is_sink(value):
        return []
    if _kinds.is_tensor(value):
        return [value.grad] if _kinds.is_leaf(value) and value.grad is not None else []
    children = []
    if kind is dict:
        for key, item in _kinds.items_of(value, dict):
            children.append(key)
            children.append(item)
    elif kind in (list, collections.deque):
        children.extend(item for item in _kinds.items_of(value, kind) if type(item) not in _kinds.ATOMS)
    if hasattr(value, "__dict__"):
        children.append(value.__dict__)
    if not isinstance(value, _kinds.CODE):
        for name in _kinds.slots_of(type(value)):
            if hasattr(value, name):
                children.append(getattr(value, name))
    return children


def _itself(value):
    return value


def contents(cell):
    """What a function's closure holds in a cell: nothing yet, or one value."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def is_bound_builtin(value):
    """Whether this is a method of a built-in object: ``items.append``, ``iterator.__next__``."""
    if not isinstance(value, (types.BuiltinFunctionType, _kinds.WRAPPER)):
        return False
    return not isinstance(value.__self__, (types.ModuleType, type, type(None)))
