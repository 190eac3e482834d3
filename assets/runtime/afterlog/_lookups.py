"""Notices when a replay asks for a file's existence: one that iterations which were not executed may have made, or removed.

Opening a file and listing a folder raise audit events. To ask whether there is a file raises none: those calls of ``os``
are replaced here, as long as the replay lasts.
"""
import functools
import os
import pathlib
import sys
import sysconfig

#: Where code of these modules asks, their caller wants to know.
_HELPERS = frozenset(["genericpath", "posixpath", "ntpath", "glob", "fnmatch", "pathlib"])
_LISTERS = _HELPERS | {"os"}
#: Functions of these that say nothing of times.
_WHETHER = frozenset(["exists", "isfile", "isdir", "getsize", "is_file", "is_dir", "glob", "rglob", "glob1", "iglob"])


def watch(asked):
    """Calls ``asked(path, is_there)`` where a file is asked for by its path, or what it is when it is open."""
    stat, access, fstat = os.stat, os.access, os.fstat

    def watched_fstat(fd):
        status = fstat(fd)
        asked("/proc/self/fd/%d" % fd, True)
        return status

    def watched_stat(path, *arguments, **named):
        if isinstance(path, int):
            return watched_fstat(path)
        try:
            status = stat(path, *arguments, **named)
        except (FileNotFoundError, NotADirectoryError):
            if not named.get("dir_fd"):
                asked(path, False)
            raise
        if not named.get("dir_fd"):
            asked(path, True)
        return status

    def watched_access(path, *arguments, **named):
        is_allowed = access(path, *arguments, **named)
        if not named.get("dir_fd"):
            asked(path, is_allowed)
        return is_allowed

    os.stat, os.access = _stands_for(stat, watched_stat), _stands_for(access, watched_access)
    os.fstat = _stands_for(fstat, watched_fstat)
    # Up to Python 3.10 paths keep this function.
    keeper = getattr(pathlib, "_NormalAccessor", None)
    if keeper is not None:
        keeper.stat = staticmethod(os.stat)


def _stands_for(original, replacement):
    functools.update_wrapper(replacement, original)
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if original in able:
            able.add(replacement)
    return replacement


def is_for_script(lists=False):
    """Whether the call at hand is the script's or a library's, and not one that we, or Python's own library, make ourselves."""
    helpers = _LISTERS if lists else _HELPERS
    frame = sys._getframe(1)
    while frame is not None and _module(frame) in _WATCHERS:
        frame = frame.f_back
    while frame is not None and _module(frame).partition(".")[0] in helpers:
        frame = frame.f_back
    if frame is None or _module(frame).partition(".")[0] == __package__:
        return False
    file = frame.f_code.co_filename
    return not file.startswith((_STANDARD, "<frozen ")) or file.startswith(_INSTALLED)


def asks_whether_there():
    """Whether the call at hand is for nothing but whether a file is there, what it is or how large."""
    frame = sys._getframe(1)
    while frame is not None and _module(frame) in _WATCHERS:
        frame = frame.f_back
    while frame is not None and _module(frame).partition(".")[0] in _HELPERS:
        if frame.f_code.co_name in _WHETHER:
            return True
        frame = frame.f_back
    return False


def is_program_of_script():
    """Whether a program is started by the script, and not by a library, to read what it prints."""
    frame = sys._getframe(2)
    while frame is not None and _module(frame) != "subprocess":
        frame = frame.f_back
    if frame is None or frame.f_locals.get("c2pread", -1) == -1:
        return False
    while frame is not None and _module(frame).partition(".")[0] in ("subprocess", "os", "asyncio"):
        frame = frame.f_back
    return frame is not None and not frame.f_code.co_filename.startswith((_STANDARD, "<frozen ", *_INSTALLED))


def _module(frame):
    name = frame.f_globals.get("__name__")
    return name if type(name) is str else ""


_WATCHERS = (__name__, __package__ + "._reads")
_STANDARD = sysconfig.get_path("stdlib") + os.sep
_INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib"))
