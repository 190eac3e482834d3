"""Holds what a loop changes against its change set, while the run goes on.

A checkpoint holds the change set that was read off the code. What the loop changes beside it, through code that cannot be
read (``exec``, a dispatch table, a C extension), is in no checkpoint, and a replay that skipped the loop would go on without
it. So before a checkpoint is kept, all other variables of the project are held against what they were when the loop was
entered, and where one has changed, the checkpoint is not taken. Data beyond some size is sampled: see `_marks`.
"""
import bisect
import collections
import functools
import itertools
import os
import stat
import sys
import types

from . import _frames, _handlers, _kinds, _marks

#: Values that are looked at in one variable, and in all together.
_MOST_IN_ONE, _MOST = 5_000, 500_000
#: A loop that failed so often is not looked at again: it has no checkpoints from then on.
_FAILURES = 3
_MISSING = object()
#: Where Python's own library lies.
_STANDARD = os.path.dirname(os.__file__) + os.sep
#: What has one of these gives something else each time that it is asked.
_TAKEN_FROM = ("__next__", "read", "recv", "fetchone", "get_nowait")
_BUILT_IN = (list, tuple, dict, set, frozenset, bytearray, collections.deque)


class Audit:
    """Of one run: which modules are the project's, which loops failed."""

    def __init__(self, root):
        self._root = os.path.realpath(root) + os.sep
        self._ours = os.path.realpath(os.path.dirname(__file__))
        #: Names of the modules that were looked at, in order, and of those among them that are the project's.
        self._known, self._projects = [], []
        #: Whether one of those asks a cache how often it was used; None as long as nobody wanted to know.
        self._asks_caches = None
        self._real_folders = {}
        self._failures = collections.Counter()

    def has_failed(self, key):
        """Whether the loop was found so often to change what cannot be seen that it gets no checkpoints any more."""
        return self._failures[key] >= _FAILURES

    def look(self, loops, entries):
        """Looks at all variables but the change sets of ``loops``, [(plan, frame)], the main loop first.

        ``entries`` are tables of the objects that the change sets lead to: those may change, but not what classes, modules
        and caches among them keep, since no checkpoint holds that.
        """
        look = self._look(entries)
        for prefix, frame, names, changes in self._namespaces(loops):
            for name, value in list(names.items()):
                if name not in changes and not name.startswith("__"):
                    look.variable((id(names if frame is None else frame), prefix, name), value)
            if frame is not None:
                _frames.release(frame)
        for keeper in {place: keeper for table in entries for place, keeper in table.keepers.items()}.values():
            name = getattr(keeper, "__name__", "a cache") if isinstance(keeper, _kinds.KEEPERS) else type(keeper).__qualname__
            look.variable((id(keeper), "", name), keeper)
        _handlers.look(look)
        return look

    def beside(self, loops):
        """The variables that are in no change set: [(prefix, name, value)]."""
        found = []
        for prefix, frame, names, changes in self._namespaces(loops):
            beside = [name for name in names if name not in changes and not name.startswith("__")]
            found += [(prefix, name, names[name]) for name in beside]
            if frame is not None:
                _frames.release(frame)
        return found

    def everything(self, frame, own):
        """Fingerprints of all variables of the project and of the functions that are running, but for those that the code of
        ``frame`` has under one of the names ``own``: elsewhere such a name stands for something else.
        """
        place = id(frame.f_globals if frame.f_locals is frame.f_globals else frame)
        look = self._look(())
        found = [(prefix, names) for prefix, names in self._modules()]
        modules = {id(names) for _, names in found}
        while frame is not None:
            if id(frame.f_globals) in modules and frame.f_locals is not frame.f_globals:
                for name, value in list(frame.f_locals.items()):
                    if id(frame) != place or name not in own:
                        look.variable((id(frame), frame.f_code.co_name + ".", name), value)
                _frames.release(frame)
            frame = frame.f_back
        for prefix, names in found:
            for name, value in list(names.items()):
                if not (id(names) == place and name in own or name.startswith("__")):
                    look.variable((id(names), prefix, name), value)
        return look.fingerprints

    def parts(self):
        """Gives what an object leads to, as `look` goes on from it."""
        return self._look(()).parts

    def hidden(self, named, own):
        """Names of what is taken from unseen, such as a ``zip`` or a file that is read: among ``named``, [(name, value)], and
        what is called or asked through them, but for the variables named ``own``.
        """
        look = self._look(())
        found, seen, stack = set(), set(), list(named)
        while stack and len(seen) < _MOST_IN_ONE:
            name, value = stack.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            called = look.called(name, value)
            if called is not None:
                stack += called
            elif name.partition(".")[0] not in own:
                if look.is_hidden(value):
                    found.add(name)
                stack += look.attributes(name, value)
        return found

    def changed(self, key, before, after):
        """Names of the variables that are not what they were; notes a failure of the loop if there are any."""
        places = {place for place in {*before, *after} if before.get(place, _MISSING) != after.get(place, _MISSING)}
        self._failures[key] += bool(places)
        return sorted(prefix + name for _, prefix, name in places)

    def fail(self, key):
        """Notes a failure of the loop."""
        self._failures[key] += 1

    def _look(self, entries):
        return _Look(entries, {id(names) for _, names in self._modules()}, self._is_of_project, self._are_caches_asked)

    def _are_caches_asked(self):
        if self._asks_caches is None:
            files = [names.get("__file__") for _, names in self._modules()]
            self._asks_caches = any(_marks.has_word(file, b"cache_info") for file in files)
        return self._asks_caches

    def _namespaces(self, loops):
        """Where to look: [(prefix of the names, frame, variables, names that are in a change set)]; modules have no frame."""
        found = []
        (_, main), (_, frame) = loops[0], loops[-1]
        between = set()
        while frame is not None and frame is not main:
            between.add(frame)
            frame = frame.f_back
        frames = {frame: set() for _, frame in loops}
        modules = {id(names): (prefix, None, names, set()) for prefix, names in self._modules()}
        for plan, frame in loops:
            modules.setdefault(id(frame.f_globals), ("", None, frame.f_globals, set()))
            for variable in plan["changes"]:
                if variable["scope"] == "module":
                    names, name = _frames.elsewhere(variable["name"])
                    modules.get(id(names), (None, None, None, set()))[3].add(name)
                    continue
                is_global = variable["scope"] == "global" or frame.f_locals is frame.f_globals
                (modules[id(frame.f_globals)][3] if is_global else frames[frame]).add(variable["name"])
        for frame in {**frames, **dict.fromkeys(between)}:
            # Frames of libraries hold what their functions do, not the script's state.
            if id(frame.f_globals) in modules and frame.f_locals is not frame.f_globals:
                found.append((frame.f_code.co_name + ".", frame, frame.f_locals, frames.get(frame, ())))
        return found + list(modules.values())

    def _modules(self):
        """Prefix and variables of each module of the project."""
        names = list(sys.modules)
        if self._known != names:
            # Another thread may be importing.
            modules, known = dict(sys.modules), set(self._known)
            projects = {name for name in modules if (name in self._projects if name in known else self._is_of_project(modules[name]))}
            self._known, self._projects = list(modules), [name for name in modules if name in projects]
            self._asks_caches = None
        # In the order in which they were imported, each once: torch has the script go by another name, too.
        found = {}
        for name in self._projects:
            module = sys.modules.get(name)
            if module is not None:
                found.setdefault(id(module), ("" if name == "__main__" else name + ".", vars(module)))
        return list(found.values())

    def _is_of_project(self, module):
        # Modules that load themselves when asked for something are not asked.
        is_module = isinstance(module, types.ModuleType)
        path = object.__getattribute__(module, "__dict__").get("__file__") if is_module else None
        # A virtual environment may lie in the project. Of most modules the path tells enough: their files are not looked at.
        if not isinstance(path, str) or _is_installed(path):
            return False
        if path.startswith(_STANDARD) and not path.startswith(self._root):
            return False
        real = self._real_path(path)
        # A link in it may lead elsewhere.
        inside = (real.startswith(self._root) or path.startswith(self._root)) and not real.startswith(self._ours)
        return inside and not _is_installed(real)

    def _real_path(self, path):
        """As ``os.path.realpath``, which looks at every folder above a file anew: of thousands of modules that takes long."""
        folder, _, name = path.rpartition(os.sep)
        if not folder or name in ("", ".", "..") or _is_link(path):
            return os.path.realpath(path)
        real = self._real_folders.get(folder)
        if real is None:
            real = self._real_folders[folder] = self._real_path(folder).rstrip(os.sep) + os.sep
        return real + name


class _Look:
    """Fingerprints of values: equal as long as nothing that they lead to has changed. Good within one process only."""

    def __init__(self, entries, project, is_of_project, are_caches_asked):
        self._entries = entries
        self._are_caches_asked = are_caches_asked
        #: ids of the namespaces of the project's modules, and whether a module that is not among them is one all the same.
        self._project, self._is_module_of_project = project, is_of_project
        #: By variable, (namespace, prefix, name).
        self.fingerprints = {}
        #: Every object that was looked at, in order, by its id: kept, so that no other object gets the same id meanwhile.
        self.seen = {}
        #: Objects of the change sets that these variables lead to, by id.
        self.frontier = {}
        #: Where in that order each variable begins: how many were seen before it, and its prefix and name.
        self._begins, self._names = [], []
        self._left = _MOST

    def variable(self, at, value):
        self._begins.append(len(self.seen))
        self._names.append(at[1:])
        self.fingerprints[at] = self._at(value)

    def variable_at(self, position):
        """Prefix and name of the variable that led to what was seen there."""
        return self._names[bisect.bisect(self._begins, position) - 1]

    def shallow(self, value):
        """A fingerprint of an object without what it leads to, which counts by its identity."""
        try:
            token, children = self._one(value)
            return hash((type(value), token, _identities(children)))
        except Exception:  # noqa: BLE001 - as in `_at`; it equals no other
            return object()

    def parts(self, value):
        """What an object leads to: all that its fingerprint is made of, and nothing else."""
        try:
            if _kinds.is_tensor(value):
                # Its numbers lead nowhere, and need not be read.
                return [value.grad] if _kinds.is_leaf(value) else []
            return [] if _kinds.is_array(value) and not value.dtype.hasobject else self._one(value)[1]
        except Exception:  # noqa: BLE001 - as in `_at`
            return []

    def _at(self, value):
        tokens, stack = [], [value]
        while stack and len(tokens) < _MOST_IN_ONE and self._left > 0:
            self._left -= 1
            value = stack.pop()
            if type(value) in _kinds.ATOMS:
                # Numbers by text: 0.0 and -0.0 are equal, NaN equals nothing, and -1 and -2 have the same hash.
                tokens.append((type(value), value if isinstance(value, (str, bytes)) else repr(value)))
            elif id(value) in self.seen:
                tokens.append(("known", id(value)))
            elif self._may_change(value):
                tokens.append(("known", id(value)))
                self.frontier[id(value)] = value
            else:
                self.seen[id(value)] = value
                window = self._window(value) if self._entries else None
                if window is not None:
                    tokens.append(window)
                    continue
                try:
                    token, children = self._one(value)
                except Exception:  # noqa: BLE001 - a property of the user's may raise anything
                    token, children = ("opaque", id(value)), ()
                tokens.append((type(value), token))
                stack.extend(reversed(children))
        return hash(tuple(tokens))

    def _may_change(self, value):
        return any(table.may_change(value) for table in self._entries)

    def _window(self, value):
        """What an array or a tensor is that shows numbers of one that may change: which, and where they lie in that one, whose
        numbers are restored in place. None of anything else.
        """
        try:
            memory = _kinds.memory_of(value)
            held = [] if memory is None else [table.holder(memory) for table in self._entries]
            holders = {id(holder): holder for holder in held if holder is not None}
            if len(holders) != 1:
                return None
            (holder,) = holders.values()
            self.frontier[id(holder)] = holder
            return ("window", id(value), id(holder), _kinds.geometry(value), _kinds.geometry(holder))
        except Exception:  # noqa: BLE001 - a tensor of another kind may refuse to be asked
            return None

    def _one(self, value):
        """What an object is by itself, and what it leads to."""
        if type(value) in _BUILT_IN:
            return _marks.container(value, type(value))
        if _kinds.is_tensor(value):
            return _marks.tensor(value), [value.grad] if _kinds.is_leaf(value) else []
        if _kinds.is_array(value):
            return _marks.array(value)
        state = _kinds.generator_state(value)
        if state is not None:
            return repr(state.tolist() if hasattr(state, "tolist") else state), ()
        if isinstance(value, types.FunctionType):
            return id(value), self._function(value)
        if isinstance(value, functools._lru_cache_wrapper):
            return _marks.cache(value, self._are_caches_asked), [value.__wrapped__]
        if isinstance(value, types.MethodType):
            return id(value.__func__), [value.__self__]
        if isinstance(value, types.BuiltinFunctionType):
            return id(value), [] if isinstance(value.__self__, types.ModuleType) else [value.__self__]
        if type(value) is functools.partial:
            return None, [value.func, value.args, value.keywords]
        if isinstance(value, type):
            return id(value), self._class(value)
        if isinstance(value, (staticmethod, classmethod)):
            return None, [value.__func__]
        if type(value) is types.ModuleType:
            return id(value), self._module(value)
        if value is os.environ:
            # It belongs to every checkpoint.
            return id(value), ()
        if isinstance(value, (types.GeneratorType, enumerate, itertools.count)):
            return _iterator(value)
        if _kinds.is_sink(value) or isinstance(value, _kinds.CODE + _kinds.LIVE):
            return (id(value), _hint(value)), ()
        return self._object(value)

    def _object(self, value):
        kind = _kinds.container_kind(value)
        token, children = (None, []) if kind is None else _marks.container(value, kind)
        is_ours = self._is_of_project(type(value))
        for name, item in getattr(value, "__dict__", {}).items():
            # What a library works out again when it is gone.
            if is_ours or not (name.startswith("_") and ("cache" in name or name == "_inverted_")):
                children += (name, item)
        for name in _kinds.slots_of(type(value)):
            if hasattr(value, name):
                children += (name, getattr(value, name))
        if kind is None and not children:
            return id(value), ()
        return token, children

    def _is_of_project(self, cls):
        module = sys.modules.get(cls.__module__)
        if module is None:
            # Of a module that the script made by itself.
            return _kinds.is_written_in_python(cls)
        return id(vars(module)) in self._project

    def is_hidden(self, value):
        """Whether something is taken from an object of which the fingerprint says only which object it is."""
        if not any(hasattr(type(value), name) for name in _TAKEN_FROM) or _kinds.is_sink(value):
            return False
        try:
            token, children = self._one(value)
        except Exception:  # noqa: BLE001 - as in `_at`
            return True
        return not children and token in (id(value), (id(value), None))

    def called(self, name, value):
        """What a function reads around it, or what something that is called calls: [(name, value)]. None of anything else."""
        if type(value) is types.FunctionType:
            if id(value.__globals__) not in self._project:
                return []
            code, names = value.__code__, value.__globals__
            cells = zip(code.co_freevars, value.__closure__ or ())
            around = [(inner, cell.cell_contents) for inner, cell in cells if _is_bound(cell)]
            return around + [(inner, names[inner]) for inner in code.co_names if inner in names]
        if type(value) is types.MethodType:
            return [(name, value.__func__), (name, value.__self__)]
        if type(value) is types.BuiltinFunctionType or type(value) is _kinds.WRAPPER:
            return [(name, value.__self__)]
        if type(value) is functools.partial:
            return [(name, part) for part in (value.func, *value.args, *value.keywords.values())]
        return None

    def attributes(self, name, value):
        """What an object of a class of the project holds under names, or a small container: [(name, value)]."""
        if type(value) in (list, tuple, dict):
            held = [] if len(value) > _marks.SAMPLE else list(value.values() if type(value) is dict else value)
            return [(name, item) for item in held]
        held = getattr(value, "__dict__", {}) if self._is_of_project(type(value)) else {}
        return [("%s.%s" % (name, inner), part) for inner, part in list(held.items())]

    def _function(self, value):
        if id(value.__globals__) not in self._project:
            return []
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_bound(cell)]
        return [value.__defaults__, value.__kwdefaults__, dict(value.__dict__), *cells]

    def _module(self, value):
        """What a module holds that is looked at nowhere else: one that the script made by itself."""
        names = vars(value)
        name = names.get("__name__")
        is_found = sys.modules.get(name) is value and ("." in name or "__file__" in names)
        is_made = names.get("__spec__") is None and not is_found
        if id(names) in self._project or not (is_made or self._is_module_of_project(value)):
            return []
        return [part for name, item in names.items() if not name.startswith("__") for part in (name, item)]

    def _class(self, value):
        if not self._is_of_project(value):
            return []
        return [part for name, item in vars(value).items() if not name.startswith("__") for part in (name, item)]


def _identities(values):
    atoms = _kinds.ATOMS
    return tuple(
        _identities(value) if type(value) is tuple else (type(value), repr(value)) if type(value) in atoms else id(value)
        for value in values
    )


def _is_installed(path):
    return "site-packages" in path or "dist-packages" in path


def _is_link(path):
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_bound(cell):
    try:
        cell.cell_contents
    except ValueError:
        return False
    return True


def _hint(value):
    """How far an iterator of Python's own has come; nothing of anything else."""
    hint = getattr(type(value), "__length_hint__", None)
    return None if hint is None else hint(value)


def _iterator(value):
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        if frame is None:
            return None, ()
        values = list(frame.f_locals.values())
        _frames.release(frame)
        return frame.f_lasti, values
    if isinstance(value, itertools.count):
        return repr(value), ()
    _, (iterator, count) = value.__reduce__()
    return count, [iterator]
