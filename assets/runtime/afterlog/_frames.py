"""Finding the frame that runs a loop, and reading and binding its variables."""
import ctypes
import sys

UNBOUND = object()


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


def read(frame, scope, name):
    """A variable's value or UNBOUND. ``scope`` is local, nonlocal or global."""
    names = frame.f_globals if scope == "global" else frame.f_locals
    return names.get(name, UNBOUND)


def bind(frame, values):
    """Binds variables, given as {(scope, name): value}, in a running frame."""
    local = {name: value for (scope, name), value in values.items() if scope != "global"}
    frame.f_globals.update({name: value for (scope, name), value in values.items() if scope == "global"})
    if not local:
        return
    if frame.f_locals is frame.f_globals:
        frame.f_globals.update(local)
        return
    names = frame.f_locals
    for name, value in local.items():
        names[name] = value
    if sys.version_info < (3, 13):
        # Until 3.13 a function's f_locals is a copy, which this call writes back.
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
