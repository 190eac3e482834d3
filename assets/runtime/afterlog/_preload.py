"""Imports what scripts import at their top, and finds out whether a process forked afterwards is as good as a fresh one.

It is not where importing did more than to define things: started threads, drew random numbers, printed, opened files, looked
at the command line. What importing looked at in the project is kept, to be compared with each version's own.
"""
import hashlib
import importlib.util
import os
import random
import stat
import sys
import tempfile
import threading
import warnings

from . import _seeds, _shareable

#: Larger files of the project are not compared but taken for different, in bytes.
_MOST_COMPARED = 1 << 20
#: Trackers, which the runtime sees to while they are imported.
_TRACKERS = ("mlflow", "wandb")
#: How something is looked at: whether it is there, and what it is; or what is in it.
_KIND, _CONTENT = 0, 1
#: Events that tell of a program being started.
_STARTS = ("subprocess.Popen", "os.posix_spawn", "os.system", "os.fork", "os.exec", "os.spawn")
#: Programs that look at the system only: `ctypes.util.find_library` and `platform` ask them.
_OF_THE_SYSTEM = ("ldconfig", "uname")


class Preloaded:
    """What was imported. ``unfit`` says why nothing may be forked from this process, or is None."""

    def __init__(self, root, imports, later, before):
        self._roots = _folders(root)
        #: ``sys.path`` as the interpreter made it.
        self.path = list(sys.path)
        for name in [name for name in os.environ if name.startswith("AFTERLOG_")]:
            del os.environ[name]
        #: What importing looked at in the project, and how: {(path, how): what was there}.
        self.looked = {}
        #: Other files that importing opened, but for installed code.
        self.opened = set()
        self.unfit = None
        installed = _folders(sys.prefix) + _folders(sys.base_prefix)
        self._installed = tuple(folder for folder in installed if not self._roots[-1].startswith(folder))
        self._watching, self._started, self._missing = True, False, _Missing()
        os.environ["AFTERLOG_CHILD"] = "1"
        loaded = set(sys.modules)
        try:
            self._load(imports, later)
        except BaseException as error:  # noqa: BLE001 - the script will come to it itself
            self.unfit = "importing failed: %s: %s" % (type(error).__name__, error)
        self._watching = False
        new = {name: module for name, module in list(sys.modules.items()) if name not in loaded}
        #: First parts of the names that a module of the project must not have: a fresh start would have found that one.
        self.names = {name.partition(".")[0] for name in sys.modules} - before | self._missing.names
        try:
            self.unfit = self.unfit or self._why_unfit(new)
        except Exception as error:  # noqa: BLE001 - a library that is not what it seems
            self.unfit = "%s: %s" % (type(error).__name__, error)
        self.looked = {(path, how): there(path, how) for path, how in self.looked.items()}

    def _load(self, imports, later):
        seeds = len(sys.meta_path)
        _seeds.plant(0)
        planted = sys.meta_path[: len(sys.meta_path) - seeds]
        sys.meta_path.append(self._missing)
        self._arguments = sys.argv = _Arguments(sys.argv[:1])
        self._files, self._shared = _shareable.open_files(), _shared_memory()
        # The script's folder is first otherwise, and it is each version's own.
        installed = self.path if getattr(sys.flags, "safe_path", False) else self.path[1:]
        sys.path[:] = self._kept_path = [entry for entry in installed if not self.is_projects(entry)]
        sys.addaudithook(self._look)
        real, find = (os.stat, os.lstat), tempfile._get_default_tempdir
        os.stat, os.lstat = (self._looking(function) for function in real)
        # Nothing can be written here to try it out; the segment does, in its own view.
        tempfile._get_default_tempdir = _temporary_folder
        try:
            for name, members in imports:
                if name.partition(".")[0] in _TRACKERS:
                    break
                __import__(name, {}, {}, members, 0)
            if later and importlib.util.find_spec(later):
                __import__(later)
        finally:
            os.stat, os.lstat = real
            tempfile._get_default_tempdir = find
            sys.meta_path.remove(self._missing)
            for finder in planted:
                if finder in sys.meta_path:
                    sys.meta_path.remove(finder)

    def is_projects(self, path):
        """Whether a path leads to something that a version may have of its own."""
        place = os.path.abspath(path) + os.sep
        if place.startswith(self._installed) or os.sep + "site-packages" + os.sep in place:
            return False
        return place.startswith(self._roots) or os.path.realpath(place).startswith(self._roots)

    def _looking(self, function):
        def look(path, *arguments, **named):
            self._note(path, _KIND)
            return function(path, *arguments, **named)

        return look

    def _look(self, event, arguments):
        if self._watching:
            if event in ("open", "os.listdir", "os.scandir"):
                self._note(arguments[0], _CONTENT)
            elif event in _STARTS and os.path.basename(str(arguments[0] if arguments else "")) not in _OF_THE_SYSTEM:
                self._started = True

    def _note(self, path, how):
        if self._watching and not isinstance(path, int):
            self._watching = False
            try:
                place = os.path.abspath(os.fsdecode("." if path is None else path))
                if self.is_projects(place):
                    self.looked[place] = max(how, self.looked.get(place, how))
                if how == _CONTENT and not place.startswith(self._installed):
                    self.opened.add(place)
            except (OSError, TypeError, ValueError):
                pass
            self._watching = True

    def _why_unfit(self, new):
        """In words, or None."""
        if self._started:
            return "importing starts programs"
        if any(name.partition(".")[0] in _TRACKERS for name in sys.modules):
            return "a tracker is imported by other modules"
        for name, module in new.items():
            origin = getattr(module, "__dict__", {}).get("__file__")
            # `multiprocessing` gives the script's own module a second name.
            if module is not sys.modules["__main__"] and isinstance(origin, str) and self.is_projects(origin):
                return "%s is a module of the project" % name
        if sys.path != self._kept_path:
            return "importing changes sys.path"
        # Two references: the attribute here and the one in `sys`; and the argument of the call.
        if self._arguments.used or sys.getrefcount(self._arguments) > 3:
            return "importing looks at the command line"
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if os.fstat(1).st_size or os.fstat(2).st_size:
            return "importing prints"
        if not _untouched_generators():
            return "importing draws random numbers"
        if _shareable.open_files() != self._files or _shared_memory() != self._shared:
            return "importing opens files or shares memory"
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            return "importing initialises CUDA"
        return _why_not_forked()


def _temporary_folder():
    found = [folder for folder in tempfile._candidate_tempdir_list() if os.path.isdir(folder)]
    return found[0] if found else os.getcwd()


def _folders(path):
    """A folder as it is written and as it is, as beginnings of what is in it."""
    return os.path.abspath(path) + os.sep, os.path.realpath(path) + os.sep


def _why_not_forked():
    """Forks once: pools that are ready for it have ended their threads then."""
    if threading.active_count() > 1:
        return "importing starts threads"
    pid = fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    try:
        os.waitpid(-1, os.WNOHANG)
        return "importing starts processes"
    except ChildProcessError:
        pass
    return "importing starts threads" if len(os.listdir("/proc/self/task")) > 1 else None


def fork():
    with warnings.catch_warnings():
        # Of threads: whether there are any that matter is found out here.
        warnings.simplefilter("ignore")
        return os.fork()


def there(path, how):
    """What is at a place, to be compared."""
    try:
        status = os.stat(path)
        if how == _KIND:
            return stat.S_IFMT(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return ["folder", sorted(os.listdir(path))]
        if status.st_size > _MOST_COMPARED:
            return ["large", path, os.getpid()]
        with open(path, "rb") as file:
            return ["file", hashlib.sha256(file.read()).hexdigest()]
    except OSError as error:
        return ["none", type(error).__name__]


def _untouched_generators():
    """Whether the generators are as `_seeds.plant` made them."""
    if random.getstate() != random.Random(0).getstate():
        return False
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    if numpy is not None:
        now, fresh = numpy.get_state(), numpy.RandomState(0).get_state()
        if any(str(a) != str(b) for a, b in zip(now, fresh)) or now[1].tobytes() != fresh[1].tobytes():
            return False
    if torch is not None:
        return torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(0).get_state())
    return True


def _shared_memory():
    """Memory that forked processes would share: locks of `multiprocessing`, for one."""
    with open("/proc/self/maps") as file:
        return {line.split(None, 1)[1].rstrip() for line in file if line.split(None, 2)[1].startswith("rw-s")}


class _Missing:
    """Asked last of all finders: notes the names of modules that nobody found."""

    def __init__(self):
        self.names = set()

    def find_spec(self, name, path=None, target=None):
        if path is None:
            self.names.add(name)
        return None


def _noticing(name):
    original = getattr(list, name)

    def look(self, *arguments):
        self.used = True
        return original(self, *arguments)

    return look


#: A command line that notices being looked at.
_Arguments = type(
    "_Arguments",
    (list,),
    dict(
        {name: _noticing(name) for name in ("__getitem__", "__iter__", "__len__", "__contains__", "__repr__", "copy", "index")},
        used=False,
    ),
)


def forget_project(preloaded):
    """Folders of the project that were listed hold something else in the version."""
    for entry in list(sys.path_importer_cache):
        if preloaded.is_projects(entry):
            del sys.path_importer_cache[entry]
    importlib.invalidate_caches()
