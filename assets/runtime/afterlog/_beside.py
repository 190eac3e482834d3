"""What variables beside a change set hold of what it leads to.

Two things follow for a checkpoint of the change set. An object in it that others hold too, such as the last row of a list of rows,
must after a restore be that very object and no copy: it is noted by its place in their variable. And an object that the
change set led to once and leads to no longer, since its variable was bound anew, is in no checkpoint: it must be what it
was when the main loop began.
"""
import types
import zlib

from . import _entries, _kinds

#: Objects that are looked at in one variable, items of one container, and objects in all that the change sets lead to.
_MOST_IN_ONE, _WHOLE, _MOST = 5_000, 4_096, 500_000


class Held:
    """While a capture is made: where the variables beside the change sets hold an object."""

    def __init__(self, look, variables, entries):
        self._look, self._variables, self._entries = look, variables, entries
        self._places, self._numbers, self._items = None, {}, None

    def place_of(self, value):
        """Prefix and name of a variable, the object's number in it, and what the way there looks like; None if no variable
        is known to hold it.
        """
        at = self._variable_of(value)
        if at is not None and at not in self._numbers:
            objects = _objects(self._variables[at], self._entries, self._look.parts)
            self._numbers[at] = {id(known): (number, way) for number, (known, way) in enumerate(objects)}
        found = None if at is None else self._numbers[at].get(id(value))
        return self._item(value) if found is None else (*at, *found)

    def is_held(self, value):
        """Whether a variable beside the change sets holds this object, which is theirs."""
        return self._look.frontier.get(id(value)) is value

    def _variable_of(self, value):
        if self._look.seen.get(id(value)) is not value:
            return None
        if self._places is None:
            self._places = {identity: at for at, identity in enumerate(self._look.seen)}
        at = self._look.variable_at(self._places[id(value)])
        return at if at in self._variables else None

    def _item(self, value):
        """The place of what is an item of a variable that holds too many to look at each: its index, counted below zero."""
        if self._items is None:
            self._items = {}
            for at, items in self._variables.items():
                if type(items) in (list, tuple) and _WHOLE < len(items) <= _MOST:
                    places = ((id(item), (*at, ~index, len(items))) for index, item in enumerate(items) if type(item) not in _kinds.ATOMS)
                    self._items.update(places)
        return self._items.get(id(value))


class Holders:
    """While a checkpoint is restored: the objects at such places, as a table of entries."""

    #: They are found by name, and not in an order that must be the run's.
    digest = b""

    def __init__(self, namespaces, entries, parts):
        #: Gives the variables beside the change sets: [(prefix, name, value)].
        self._namespaces, self._entries = namespaces, entries
        #: What an object leads to, as the audit sees it.
        self._parts = parts
        self._variables, self._objects = None, {}

    def get(self, place):
        if self._variables is None:
            self._variables = told_apart(self._namespaces())
        *at, number, way = place
        at = tuple(at)
        if number < 0:
            items = self._variables.get(at)
            return items[~number] if type(items) in (list, tuple) and len(items) == way else None
        if at not in self._objects:
            known = at in self._variables
            self._objects[at] = _objects(self._variables[at], self._entries, self._parts) if known else []
        found, led = self._objects[at][number] if number < len(self._objects[at]) else (None, None)
        # On another way that number is another object's.
        return found if led == way else None


def told_apart(variables):
    """By prefix and name: the values of the variables that no other shares these with."""
    found, twice = {}, set()
    for prefix, name, value in variables:
        if (prefix, name) in found:
            twice.add((prefix, name))
        found[prefix, name] = value
    return {at: value for at, value in found.items() if at not in twice}


def _objects(root, entries, parts):
    """The objects that a variable leads to, in an order that is the same in each process, each with a checksum of the kinds
    of objects up to it; without those of the change sets, and what they lead to.

    It goes only where the audit goes too: what that does not look at, such as what a library keeps to be faster the next
    time, may be something else in another process.
    """
    seen, way, stack = {}, 0, [root]
    while stack and len(seen) < _MOST_IN_ONE:
        value = stack.pop()
        if isinstance(value, _kinds.ATOMS) or id(value) in seen or _is_known(value, entries):
            continue
        kind = _kinds.container_kind(value)
        # Sets have another order in each process.
        is_left = kind in (set, frozenset) or kind is not None and kind.__len__(value) > _WHOLE
        inner = [] if is_left else [part for part in parts(value) if type(part) not in _kinds.ATOMS]
        form = (value.shape, value.dtype) if _kinds.is_tensor(value) or _kinds.is_array(value) else None
        way = zlib.crc32(("%s %d %s" % (type(value).__qualname__, len(inner), form)).encode("utf-8", "replace"), way)
        seen[id(value)] = value, way
        stack.extend(reversed(inner))
    return list(seen.values())


def _is_known(value, entries):
    return any(table.number_of(value) is not None for table in entries)


class Remembered:
    """What objects that the change sets lead to were at some time, of those that other variables hold: when the main loop
    began, or, of those that are no part of what was ``earlier``, when a block did.
    """

    def __init__(self, look, entries, earlier=None):
        self._entries, self._earlier, self._shallow = entries, earlier, {}
        stack = list(look.frontier.values())
        while stack and len(self._shallow) < _MOST:
            value = stack.pop()
            if isinstance(value, _kinds.ATOMS) or id(value) in self._shallow or earlier and earlier.holds(value):
                continue
            self._shallow[id(value)] = look.shallow(value)
            stack.extend(_entries.children(value))

    def holds(self, value):
        """Whether this was among the objects then. An object at the address of one that is gone was not."""
        return self._entries.number_of(value) is not None

    def lost(self, look, roots):
        """Whether other variables hold an object that the change set led to, that it leads to no more, and that is not
        what it was.
        """
        direct = {id(value) for _, value in roots}
        waiting = [value for value in look.frontier.values() if id(value) not in direct]
        if not waiting:
            return False
        reached = _entries.walk(roots).numbers
        seen = set()
        while waiting:
            value = waiting.pop()
            if isinstance(value, _kinds.ATOMS) or id(value) in reached or id(value) in seen:
                continue
            seen.add(id(value))
            if not (isinstance(value, tuple) or _is_plain_code(value) or self._is_as_it_was(value, look)):
                return True
            waiting.extend(_entries.children(value))
        return False

    def _is_as_it_was(self, value, look):
        if self._earlier is not None and self._earlier.holds(value):
            return self._earlier._is_as_it_was(value, look)
        return self.holds(value) and self._shallow.get(id(value)) == look.shallow(value)


def _is_plain_code(value):
    if isinstance(value, types.FunctionType):
        return not value.__closure__ and not value.__dict__
    return isinstance(value, (type, types.ModuleType))
