"""Finding the frame that runs a loop, and reading and binding its variables."""
import ctypes
import itertools
import os
import sys
import types

from . import _kinds

UNBOUND = _kinds.UNBOUND


def of_file(files, depth):
    """The nearest frame, from ``depth`` callers up, whose code comes from one of ``files``; None if there is none."""
    frame = sys._getframe(depth)
    while frame is not None and frame.f_code.co_filename not in files:
        frame = frame.f_back
    return frame


def is_running(frame):
    """Whether the frame is among this thread's callers."""
    caller = sys._getframe(1)
    while caller is not None and caller is not frame:
        caller = caller.f_back
    return caller is frame


#: In place of a variable of a module that is not imported, or more than once: like any module, it cannot be captured.
_NOWHERE = types.ModuleType("nowhere")


class Modules:
    """Modules of a project by where their files lie in it: ``package.part`` is ``package/part.py``."""

    def __init__(self, root):
        self._root = root
        #: By place: how many modules there were when it was looked for, and its module.
        self._found = {}

    def variables(self, place):
        """A module's variables; None if it is not imported, or more than once."""
        count, module = self._found.get(place, (None, None))
        if count != len(sys.modules):
            module = self._find(place)
            self._found[place] = len(sys.modules), module
        return None if module is None else vars(module)

    def _find(self, place):
        path = os.path.join(self._root, *place.split(".")) + ".py"
        file, found, exactly = os.path.realpath(path), {}, {}
        # A link goes by its own name; its module may have been loaded by either.
        names = tuple({os.path.basename(path), os.path.basename(file)})
        for module in list(sys.modules.values()):
            # Modules that load themselves when asked for something are not asked.
            held = object.__getattribute__(module, "__dict__") if isinstance(module, types.ModuleType) else {}
            path_of = held.get("__file__")
            if isinstance(path_of, str) and path_of.endswith(names) and os.path.realpath(path_of) == file:
                found[id(module)] = module
                if path_of == path:
                    exactly[id(module)] = module
        # Of one file there may be several modules, by links.
        found = exactly or found
        return next(iter(found.values())) if len(found) == 1 else None


#: Those of the project that is recorded or replayed, as soon as it is known.
modules = Modules("")


def read(frame, variables):
    """Values of variables, [(scope, name)], in order; UNBOUND for those without. A scope is local, nonlocal, global or module."""
    local, values = frame.f_locals, []
    for scope, name in variables:
        names = local if scope in ("local", "nonlocal") else frame.f_globals
        if scope == "module":
            names, name = elsewhere(name)
        values.append(_NOWHERE if names is None else names.get(name, UNBOUND))
    release(frame)
    return values


def elsewhere(name):
    """Where a variable of another module is bound, None for nowhere, and its name there."""
    place, _, name = name.rpartition(".")
    return modules.variables(place), name


def release(frame):
    """Called after each look at a frame's ``f_locals``: until Python 3.13 a function's are a copy that lives as long as the
    frame, and would keep the last batch and what was computed from it through the next one.
    """
    if sys.version_info >= (3, 13) or frame.f_locals is frame.f_globals:
        return
    names = frame.f_locals
    for name in [name for name, value in names.items() if _takes_memory(value)]:
        del names[name]


def _takes_memory(value, depth=1):
    # Exactly these: a class of the script's may do anything when it is iterated over.
    if type(value) in (list, tuple, dict):
        items = itertools.islice(value.values() if type(value) is dict else value, 4)
        return depth > 0 and any(_takes_memory(item, depth - 1) for item in items)
    if _kinds.is_tensor(value):
        # Parameters live on anyway.
        return not (_kinds.is_leaf(value) and value.requires_grad)
    return _kinds.is_array(value)


def bind(frame, values):
    """Binds variables, given as {(scope, name): value}, in a running frame; those that are UNBOUND it unbinds."""
    for (scope, name), value in values.items():
        if scope == "module":
            names, name = elsewhere(name)
            _update(names, {name: value})
    local = {name: value for (scope, name), value in values.items() if scope in ("local", "nonlocal")}
    _update(frame.f_globals, {name: value for (scope, name), value in values.items() if scope == "global"})
    if not local:
        return
    if frame.f_locals is frame.f_globals:
        _update(frame.f_globals, local)
        return
    names = frame.f_locals
    _update(names, local)
    if sys.version_info < (3, 13):
        # Until 3.13 a function's f_locals is a copy, which this call writes back, and clears what is not there.
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(1))


def can_bind(variables):
    """Whether there are the modules of those of these variables, [(scope, name)], that are another module's."""
    return all(scope != "module" or elsewhere(name)[0] is not None for scope, name in variables)


def can_unbind(frame, variables):
    """Whether variables, [(scope, name)], can be unbound: none of a function's from outside since Python 3.13."""
    if sys.version_info < (3, 13) or frame.f_locals is frame.f_globals:
        return True
    return not any(scope in ("local", "nonlocal") and name in frame.f_locals for scope, name in variables)


def _update(names, values):
    for name, value in values.items():
        if value is not UNBOUND:
            names[name] = value
        elif name in names:
            del names[name]
