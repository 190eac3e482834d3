"""Sees what a script logs through other libraries: each scalar becomes a value like one of ``afterlog.log``.

A library is looked for when it is imported, and its logging calls are wrapped then: whatever the script imports from it
later is the wrapped call. The library does what it would have done; nothing is kept but the value's bytes.
"""
import functools
import importlib.machinery
import os
import sys
import threading

from . import _kinds, _libraries, _values

_PLAIN = (bool, int, float, str, type(None))
#: Nested dicts are looked into this deep.
_DEPTH = 4


class _Inside(threading.local):
    """Whether this thread is within such a call: what the library calls in turn is the same value again."""

    active = False


class Foreign:
    """Takes in what the wrapped calls are given. ``parameters`` takes settings, or is None; ``replay`` keeps trackers off."""

    def __init__(self, journal, root, note, parameters, replay):
        self._journal, self._note = journal, note
        self._root = os.path.realpath(root) + os.sep
        self._ours = os.path.realpath(os.path.dirname(__file__)) + os.sep
        self._main = threading.get_ident()
        self._inside = _Inside()
        self.parameters = parameters
        self.replay = replay
        self._installed = os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep
        #: What was logged at this position: {name: (bytes, who logged it)}.
        self._at, self.here = -1, {}
        #: What ``afterlog.log`` has logged of names that are not there: {name: (position, float)}.
        self.own = {}
        #: Filled when a library is there: then ``afterlog.log`` notes what it logs in ``own``, and asks of names in ``here``.
        self.watching = []

    def install(self):
        """Wraps the calls of libraries that are there already, and of others when they are imported."""
        for name in _libraries.HOOKS:
            if name in sys.modules:
                self._hook(sys.modules[name])
        sys.meta_path.insert(0, _Finder(self._hook))

    def _hook(self, module):
        try:
            _libraries.HOOKS[module.__name__](self, module)
        except Exception as error:  # noqa: BLE001 - another version of the library: its calls are then not seen
            self._note("what %s logs is not seen: %s: %s" % (module.__name__, type(error).__name__, error))

    # For the libraries' hooks.

    def values(self, owner, attribute, source, given, calls_back=False):
        """Wraps a call that logs; ``given(arguments, named)`` tells what: (name, value) pairs. One that ``calls_back`` is
        made by a framework, and calls what the script has handed to it.
        """

        def take(arguments, named):
            for name, value in given(arguments, named):
                self.log(source, name, value)

        if self._wrap(owner, attribute, take, calls_back) and not self.watching:
            self.watching.append(True)

    def settings(self, owner, attribute, given):
        """Wraps a call that is given settings, as ``values`` does."""
        parameters = self.parameters
        if parameters is not None:
            self._wrap(owner, attribute, lambda arguments, named: parameters.take(given(arguments, named)))

    def replace(self, owner, attribute, make):
        """Puts ``make(original)`` in place of a call, if it is there."""
        original = getattr(owner, attribute, None)
        if original is not None:
            setattr(owner, attribute, functools.wraps(original)(make(original)))

    def _wrap(self, owner, attribute, take, calls_back=False):
        original = owner.__dict__.get(attribute)
        if not callable(original):
            return False
        inside, failed, frame_of, frameworks = self._inside, self._failed, sys._getframe, _libraries.FRAMEWORKS

        @functools.wraps(original)
        def wrapper(*arguments, **named):
            if inside.active or not calls_back and _package(frame_of(1)) in frameworks:
                return original(*arguments, **named)
            inside.active = not calls_back
            try:
                try:
                    take(arguments, named)
                except Exception as error:  # noqa: BLE001 - looking on must not break training
                    failed(attribute, error)
                return original(*arguments, **named)
            finally:
                inside.active = False

        setattr(owner, attribute, wrapper)
        return True

    def _failed(self, what, error):
        self._note("a value of %s was not logged: %s: %s" % (what, type(error).__name__, error))

    # Values.

    def log(self, source, name, value, depth=_DEPTH):
        """Logs a scalar, or those of a dict under dotted names."""
        if isinstance(value, dict):
            if depth:
                # A class of the script's may do anything when it is asked itself.
                for key, inner in list(dict.items(value)):
                    if type(key) in _PLAIN:
                        self.log(source, "%s.%s" % (name, key), inner, depth - 1)
            return
        if threading.get_ident() != self._main and not self._is_the_scripts():
            return
        try:
            data = _scalar(value)
        except Exception as error:  # noqa: BLE001 - a tensor without a value, say; the others have theirs
            self._failed(name, error)
            return
        if data is not None and not self._is_known(source, name, data):
            self._journal.log(name, data)

    def pairs(self, data, prefix=""):
        """The items of a dict of values."""
        if not isinstance(data, dict):
            return []
        return [(prefix + str(key), value) for key, value in list(dict.items(data)) if type(key) in _PLAIN]

    def is_known(self, name, value):
        """Whether another library has just logged this very value: asked by ``afterlog.log``."""
        here = self._now()
        if type(value) is float and name not in here:
            self.own[name] = self._at, value
            return False
        data = _scalar(value)
        return data is not None and self._is_known("afterlog", str(name), data)

    def _now(self):
        if self._at != self._journal.moves:
            self._at = self._journal.moves
            self.here.clear()
        return self.here

    def _is_known(self, source, name, data):
        here = self._now()
        known = here.get(name)
        at, own = self.own.get(name, (None, None))
        if known is None and at == self._at:
            known = _values.encode(own), {"afterlog"}
        if known is not None and source not in known[1] and (data == known[0] or source == _libraries.BAR):
            known[1].add(source)
            return True
        here[name] = (data, {source})
        return False

    def _is_the_scripts(self):
        """Whether the project's code made the call, rather than a thread of a library's own."""
        frame = sys._getframe(1)
        while frame is not None:
            path = frame.f_code.co_filename
            if not (path.startswith("<") or any(part in path for part in self._installed)):
                path = os.path.realpath(path)
                # Our own frames lie in the project's folder too.
                if path.startswith(self._root) and not path.startswith(self._ours):
                    return True
            frame = frame.f_back
        return False


def _package(frame):
    name = frame.f_globals.get("__name__")
    return name.partition(".")[0] if type(name) is str else None


def _scalar(value):
    """The bytes of a scalar, of whatever library; None for anything else."""
    if type(value) in _PLAIN:
        return _values.encode(value)
    if _kinds.is_tensor(value):
        return _values.encode(value) if value.numel() == 1 else None
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return _values.encode(value) if value.size == 1 and not value.dtype.hasobject else None
    return None


class _Finder:
    """Has each such module hooked when it has been executed."""

    def __init__(self, hook):
        self._hook = hook
        self._searching = _Inside()

    def find_spec(self, name, path=None, target=None):
        if name not in _libraries.HOOKS or self._searching.active:
            return None
        self._searching.active = True
        try:
            spec = _find(name, path, target)
        finally:
            self._searching.active = False
        execute = getattr(spec and spec.loader, "exec_module", None)
        if execute is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader.exec_module = lambda module: (execute(module), self._hook(module))[0]
        return spec


def _find(name, path, target):
    """As everybody else finds it."""
    for finder in list(sys.meta_path):
        spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec
    return None
