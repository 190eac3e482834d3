"""What is called without a call that the code shows: handlers of signals, and those of loggers; and what loggers are set to.

No variable holds them. What of loggers can be put back belongs to the settings of the process; for the rest, the audit holds
it against what it was when the loop began. Handlers of installed libraries are left out, and loggers that they make later:
they do so whenever they are first used, and a script sees nothing of it.
"""
import functools
import os
import sys
import sysconfig
import types

# Without the names that ``signal`` makes of every number, each time that it is asked.
import _signal

_STANDARD = (os.path.dirname(os.__file__) + os.sep, sysconfig.get_paths()["stdlib"] + os.sep)
_TIMERS = (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF)
#: What a logger is set to that nobody has set.
_USUAL = (0, True, False, (), ())
#: By logger: how it was set when the main loop began, its handlers, and their levels.
_begun = {}
#: How the loggers of libraries were set that were there then: level, whether they hand on, whether they are off.
_libraries_begun = {}
#: By the first part of a logger's name: whether that is an installed library.
_libraries = {}


def enter():
    """The main loop begins."""
    _begun.clear()
    for name, logger in _loggers():
        handlers = tuple(logger.handlers)
        levels = tuple(handler.level for handler in handlers)
        _begun[name] = (logger.level, logger.propagate, logger.disabled, handlers, levels)
    _libraries_begun.clear()
    _libraries_begun.update((name, _switches(logger)) for name, logger in _loggers(of_libraries=True))


def look(look):
    """Adds to a look of the audit's what cannot be put back."""
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        is_ignored = type(handler) is int and handler == _signal.SIG_IGN
        if is_ignored or callable(handler) and not _is_of_library(handler):
            look.variable((0, "", "the handler of signal %d" % number), handler)
    timers = [(left > 0, interval) for left, interval in map(_signal.getitimer, _TIMERS)]
    look.variable((0, "", "a timer"), timers)
    look.variable((0, "", "blocked signals"), sorted(_signal.pthread_sigmask(_signal.SIG_BLOCK, ())))
    for name, logger in _loggers():
        # Which of those of the beginning it still has is put back.
        others = [handler for handler in logger.handlers if _described(name, handler)[0] == "other"]
        parts = list(logger.filters)
        for handler in (*_begun.get(name, _USUAL)[3], *others):
            parts += [handler, handler.formatter, *handler.filters]
        if parts:
            parts = [id(part) if _is_of_library(part) else part for part in parts]
            look.variable((0, "", "what handles records of the logger %s" % (name or "root")), parts)


def read():
    """How those loggers are set that are set otherwise than when the main loop began."""
    found = []
    for name, logger in _loggers():
        handlers = tuple(_described(name, handler) for handler in logger.handlers)
        facts = (logger.level, logger.propagate, logger.disabled, handlers)
        if facts != _facts_begun(name):
            found.append((name, *facts))
    return tuple(sorted(found))


def write(wanted):
    """The inverse of ``read``."""
    known = {name: facts for name, *facts in wanted}
    logging = sys.modules.get("logging")
    for name in {*known, *(name for name, *_ in read())}:
        logger = logging.getLogger(name) if name else logging.root
        level, logger.propagate, logger.disabled, handlers = known.get(name) or _facts_begun(name)
        logger.setLevel(level)
        if ("other",) not in handlers:
            logger.handlers[:] = [_handler(logging, name, logger.handlers, handler) for handler in handlers]


def read_of_libraries():
    """How those loggers of libraries are set that were there when the main loop began, and set otherwise."""
    now = ((name, _switches(logger)) for name, logger in _loggers(of_libraries=True))
    return tuple(sorted((name, *facts) for name, facts in now if facts != _libraries_begun.get(name, facts)))


def write_of_libraries(wanted):
    """The inverse of ``read_of_libraries``."""
    known = {name: facts for name, *facts in wanted}
    logging = sys.modules.get("logging")
    for name in {*known, *(name for name, *_ in read_of_libraries())}:
        logger = logging.getLogger(name)
        level, logger.propagate, logger.disabled = known.get(name) or _libraries_begun[name]
        logger.setLevel(level)


def _switches(logger):
    return logger.level, logger.propagate, logger.disabled


def _facts_begun(name):
    level, propagates, is_disabled, _, levels = _begun.get(name, _USUAL)
    return level, propagates, is_disabled, tuple(("was", index, level) for index, level in enumerate(levels))


def _loggers(of_libraries=False):
    """Those that are the script's, by name, or those of libraries; the root of all has none."""
    logging = sys.modules.get("logging")
    if not hasattr(logging, "root"):
        return []
    # Another thread may be making one.
    made = list(logging.root.manager.loggerDict.items())
    named = [(name, logger) for name, logger in made if isinstance(logger, logging.Logger)]
    found = [(name, logger) for name, logger in named if _is_library(name.partition(".")[0]) == of_libraries]
    return found if of_libraries else [("", logging.root), *found]


def _described(name, handler):
    """A logger's handler: which one it had when the loop began, or how to make it; ("other",) where that is not known."""
    for index, was in enumerate(_begun.get(name, _USUAL)[3]):
        if was is handler:
            return ("was", index, handler.level)
    logging = sys.modules["logging"]
    if type(handler) is logging.NullHandler and not handler.filters:
        return ("null", handler.level)
    # What ``basicConfig`` makes, which whoever logs first calls.
    streams = [stream for stream in ("stderr", "stdout") if getattr(handler, "stream", None) is getattr(sys, stream)]
    form = _form(logging, handler.formatter)
    if type(handler) is not logging.StreamHandler or handler.filters or not streams or form is None:
        return ("other",)
    return ("stream", handler.level, streams[0], form)


def _form(logging, formatter):
    if formatter is None:
        return ()
    style = getattr(formatter, "_style", None)
    styles = [key for key, (kind, _) in logging._STYLES.items() if kind is type(style)]
    if type(formatter) is not logging.Formatter or not styles or getattr(style, "_defaults", None):
        return None
    return (formatter._fmt, formatter.datefmt, styles[0])


def _handler(logging, name, handlers, described):
    """The handler that ``_described`` told of."""
    kind, *facts = described
    if kind == "was":
        handler, level = _begun[name][3][facts[0]], facts[1]
    else:
        # Where this process has made it already, it is the one that others hold.
        known = (handler for handler in handlers if _described(name, handler) == described)
        handler, level = next(known, None), facts[0]
        if handler is None and kind == "null":
            handler = logging.NullHandler()
        elif handler is None:
            handler = logging.StreamHandler(getattr(sys, facts[1]))
            handler.setFormatter(logging.Formatter(*facts[2]) if facts[2] else None)
    handler.setLevel(level)
    return handler


def _is_library(name):
    """Whether a module of this name is there, and was installed."""
    if name not in _libraries:
        module = sys.modules.get(name)
        if module is None or name == "__main__":
            return False
        names = object.__getattribute__(module, "__dict__") if isinstance(module, types.ModuleType) else {}
        path = names.get("__file__") or next(iter(names.get("__path__") or ()), None)
        _libraries[name] = not isinstance(path, str) or _is_installed(path)
    return _libraries[name]


def _is_of_library(value):
    """Whether what is called, or asked, is a library's."""
    while isinstance(value, (types.MethodType, functools.partial)):
        value = value.__func__ if isinstance(value, types.MethodType) else value.func
    if isinstance(value, types.FunctionType):
        return _is_installed(value.__code__.co_filename)
    return _is_library((getattr(type(value), "__module__", None) or "builtins").partition(".")[0])


def _is_installed(path):
    return path.startswith(_STANDARD) or "site-packages" in path or "dist-packages" in path
