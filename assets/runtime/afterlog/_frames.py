"""Finding the frame that runs a loop, and reading and binding its variables."""
import ctypes
import itertools
import sys

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


def read(frame, variables):
    """Values of variables, [(scope, name)], in order; UNBOUND for those without. A scope is local, nonlocal or global."""
    local = frame.f_locals
    values = [(frame.f_globals if scope == "global" else local).get(name, UNBOUND) for scope, name in variables]
    release(frame)
    return values


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
    local = {name: value for (scope, name), value in values.items() if scope != "global"}
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


def can_unbind(frame, variables):
    """Whether variables, [(scope, name)], can be unbound: none of a function's from outside since Python 3.13."""
    if sys.version_info < (3, 13) or frame.f_locals is frame.f_globals:
        return True
    return not any(scope != "global" and name in frame.f_locals for scope, name in variables)


def _update(names, values):
    for name, value in values.items():
        if value is not UNBOUND:
            names[name] = value
        elif name in names:
            del names[name]
