"""Refuses a replay's writes outside its scratch copy of the project, where it has no file system view of its own.

Everything that Python's own calls do to files is announced by audit events (PEP 578), and refused in time. Native code
announces nothing: the kernel refuses its writes where it can (``kernel``), and without that no program may be started.
A file of the user's that the scratch copy only links to is replaced by a copy of it just before it is written.
"""
import errno
import filecmp
import importlib.machinery
import json
import os
import shutil
import stat
import sys
import threading

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STORE = ".afterlog"


class Refused(PermissionError):
    """What a replay tried could reach the user's files."""


def install(order, tell):
    """Guards this process from now on. ``tell`` is called with each refusal, once."""
    guard = Guard(json.loads(order), tell)
    # The version's own modules, whatever path the user's settings or an editable installation found today's under.
    sys.path[:] = [guard.own_folder(entry) for entry in sys.path]
    # Compiled files would be written beside modules everywhere.
    sys.dont_write_bytecode = True
    guard.watch_calls_without_events()
    watch_torch(guard)
    sys.addaudithook(guard)


class Guard:
    """The audit hook."""

    def __init__(self, order, tell):
        self._tree, self._root = os.path.realpath(order["tree"]), os.path.realpath(order["root"])
        self._places = [self._tree, os.path.realpath(order["temporary"]), "/dev", "/proc"]
        self._kernel = order["kernel"]
        self._tell, self._told = tell, set()
        #: What the guard itself does raises events too.
        self._own = threading.local()
        self._copying = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: setattr(self, "_copying", threading.Lock()))
        programs = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn")
        attributes, changes = ("os.chmod", "os.chown", "os.utime"), ("os.truncate", "os.setxattr", "os.removexattr")
        self._checks = dict.fromkeys(programs, self._program)
        self._checks.update(dict.fromkeys(attributes, self._attributed))
        self._checks.update(dict.fromkeys(changes, self._changed))
        self._checks.update(dict.fromkeys(("os.remove", "os.rmdir"), self._removed))
        self._checks.update(dict.fromkeys(("os.listdir", "os.scandir"), self._listed))
        self._checks.update(
            {
                "open": self._opened,
                "os.mkdir": self._made,
                "os.rename": self._renamed,
                "os.link": self._linked,
                "os.symlink": lambda source, link, folder=-1: self._put(link, folder),
                "sqlite3.connect": self._database,
            }
        )

    def __call__(self, event, arguments):
        check = self._checks.get(event)
        if check is not None:
            self.perform(check, *arguments)

    def perform(self, check, *arguments):
        """Calls a check unless it is the guard itself that acts."""
        if getattr(self._own, "acts", False):
            return
        self._own.acts = True
        try:
            check(*arguments)
        finally:
            self._own.acts = False

    def own_folder(self, entry):
        """The scratch copy's folder for one of the project's, where the version has files of its own in it."""
        real = os.path.realpath(entry)
        if not (entry and _is_within(real, self._root)) or _is_within(real, os.path.join(self._root, _STORE)):
            return entry
        here = os.path.join(self._tree, os.path.relpath(real, self._root))
        return here if os.path.isdir(here) and not os.path.islink(here) else entry

    def watch_calls_without_events(self):
        """``os.open`` says nothing of its ``dir_fd``, and multiprocessing nothing of the programs it starts."""
        original = os.open

        def open(path, flags, mode=0o777, *, dir_fd=None):  # noqa: A001 - named as what it replaces
            if dir_fd is None:
                return original(path, flags, mode)
            self.perform(self._opened, _in_folder(path, dir_fd), None, flags)
            acts, self._own.acts = getattr(self._own, "acts", False), True
            try:
                return original(path, flags, mode, dir_fd=dir_fd)
            finally:
                self._own.acts = acts

        os.open = open
        os.supports_dir_fd.add(open)
        if not self._kernel:
            import _posixsubprocess

            _posixsubprocess.fork_exec = lambda *arguments: self.perform(self._program)

    # One check for each kind of event. Arguments are the event's.

    def _opened(self, path, mode, flags):
        if isinstance(path, int):
            return
        if (flags or 0) & _WRITING or any(letter in "wax+" for letter in mode or ""):
            self._changed(path, truncated=(flags or 0) & os.O_TRUNC)
        else:
            self._read(_text(path))

    def _attributed(self, path, *rest):
        """Mode, owner or times: the last argument is the folder that the path starts from."""
        self._changed(path if isinstance(path, int) else _in_folder(path, rest[-1]))

    def _changed(self, path, *_, truncated=False):
        """Something is written through this path, links followed."""
        if isinstance(path, int) and not _has_name(path):
            return
        path = _text(path)
        place = _place(path)
        if _is_within(place, "/dev"):
            return
        for _ in range(40):
            if not (self._is_ours(place) and os.path.islink(place)):
                break
            target = _place(os.path.join(os.path.dirname(place), os.readlink(place)))
            if _is_within(place, self._tree) and not self._is_ours(target) and self._is_the_users(target):
                self._copy(target, place, truncated)
                return
            place = target
        if not self._is_ours(place):
            self._refuse("write to %s" % path)

    def _removed(self, path, folder=-1):
        place = _place(_in_folder(path, folder))
        if os.path.lexists(place) and not self._is_ours(place):
            self._refuse("remove %s" % place)

    def _made(self, path, mode=0, folder=-1):
        if not os.path.lexists(_place(_in_folder(path, folder))):
            self._put(path, folder)

    def _renamed(self, source, target, source_folder=-1, target_folder=-1):
        self._removed(source, source_folder)
        self._put(target, target_folder)

    def _linked(self, source, target, source_folder=-1, target_folder=-1):
        # The new name would lead to the same bytes.
        self._changed(_in_folder(source, source_folder))
        self._put(target, target_folder)

    def _put(self, path, folder):
        place = _place(_in_folder(path, folder))
        if not self._is_ours(place):
            self._refuse("create %s" % place)

    def _listed(self, path=None, *_):
        if path is not None and not isinstance(path, int):
            real = os.path.realpath(_text(path))
            if self._is_the_users(real) and self.own_folder(real) != real:
                self._refuse("list %s, which holds today's files at this path" % real)

    def _read(self, path):
        real = os.path.realpath(path)
        # A link in the scratch copy was put there, or moved, for what it leads to.
        if self._is_ours(_place(path)) or not self._is_the_users(real, missing=True):
            return
        here = os.path.join(self._tree, os.path.relpath(real, self._root))
        if os.path.realpath(here) == real or not (os.path.isfile(real) or os.path.isfile(here)):
            return
        if os.path.basename(os.path.dirname(real)) == "__pycache__":
            raise FileNotFoundError(errno.ENOENT, "compiled from another version", path)
        if not (os.path.isfile(real) and os.path.isfile(here) and filecmp.cmp(real, here, shallow=False)):
            self._refuse("read %s, which is not the version's file at this path" % path)

    def _database(self, database, *_):
        text = _text(database)
        if text.startswith("file:"):
            from urllib.parse import unquote

            text, _, settings = text[5:].partition("?")
            if any(word in settings for word in ("mode=ro", "mode=memory", "immutable=1")):
                return
            text = unquote(text)
        if text in ("", ":memory:"):
            return
        # SQLite reads what the kernel does not let it write.
        if self._is_ours(_place(text)) or not self._kernel:
            self._changed(text)

    def _program(self, *_):
        if not self._kernel:
            self._refuse("start another program, whose writes could not be refused here")

    # What is where.

    def _is_ours(self, place):
        return any(_is_within(place, folder) for folder in self._places)

    def _is_the_users(self, path, missing=False):
        """Whether this is in the project as the user sees it."""
        real = os.path.realpath(path)
        inside = _is_within(real, self._root) and not _is_within(real, os.path.join(self._root, _STORE))
        return inside and (missing or os.path.exists(real))

    def _copy(self, source, place, truncated):
        with self._copying:
            if not os.path.islink(place):
                return
            if not os.path.isfile(source):
                self._refuse("write to %s" % source)
            copy = place + ".afterlog-copy"
            if truncated:
                open(copy, "wb").close()
            else:
                shutil.copyfile(source, copy)
            shutil.copymode(source, copy)
            os.replace(copy, place)

    def _refuse(self, what):
        if what not in self._told:
            self._told.add(what)
            self._tell(what)
        said = "afterlog: a replay may not %s: it must leave your files alone" % what
        raise Refused(errno.EACCES, said)


def watch_torch(guard):
    """Lets the guard see ``torch.save``, which opens files natively, now or when torch is imported."""
    finder, module = _TorchFinder(guard), sys.modules.get("torch.serialization")
    if module is None:
        sys.meta_path.insert(0, finder)
    else:
        finder.watch(module)


class _TorchFinder:
    def __init__(self, guard):
        self._guard = guard

    def find_spec(self, name, path=None, target=None):
        if name != "torch.serialization":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (execute(module), self.watch(module))[0]
        return spec

    def watch(self, module):
        guard, writer = self._guard, getattr(module, "_open_zipfile_writer_file", None)
        if writer is None:
            return
        original = writer.__init__

        def __init__(self, name, *arguments, **named):
            if isinstance(name, (str, bytes, os.PathLike)):
                guard.perform(guard._opened, name, "wb", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            original(self, name, *arguments, **named)

        writer.__init__ = __init__


def _text(path):
    """A path as text; of an open file, the path that it was opened by."""
    return os.readlink("/proc/self/fd/%d" % path) if isinstance(path, int) else os.fsdecode(path)


def _has_name(fd):
    """Whether an open file is one that others can open: no pipe, no socket, no shared memory."""
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 0


def _in_folder(path, folder):
    path = _text(path)
    return path if folder in (-1, None) else os.path.join(_text(folder), path)


def _place(path):
    """Where a name stands, whatever it links to: its folder with all links followed, and the name."""
    folder, name = os.path.split(path)
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(folder), name)


def _is_within(path, folder):
    return path == folder or path.startswith(folder.rstrip("/") + "/")
