"""Makes a process that the fork server has forked what a fresh start in its worker's place would be."""
import ctypes
import json
import os
import sys
import tempfile

from . import _preload, _reads, _replay

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_PR_SET_DUMPABLE = 4
_CAPABILITIES_VERSION = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


class Different(Exception):
    """A fresh start would not be the same."""


def segment(request, files, preloaded, launcher, server):
    """Takes over the worker's files and place; afterwards ``launch.py`` can begin.

    Raises ``Different`` before anything of the segment's was touched.
    """
    events, output, control, first, second, *asked = enter(request, files, server)
    os.chdir(request["cwd"])
    _compare(preloaded, _first_folder(request))
    _compare_devices(request["environment"])
    streams(output)
    _reads.earlier.extend(preloaded.opened)
    sys.path[:] = preloaded.path
    _preload.forget_project(preloaded)
    del os.environ["AFTERLOG_CHILD"]
    os.environ.update(request["environment"])
    os.environ["AFTERLOG_PARENT"] = str(server)
    table = {"events": events, "output": output, "control": control, "buffers": [first, second], "keep": []}
    if asked:
        # It is to execute what comes before the main loop, for several segments.
        table["asked"] = asked[0]
    os.environ["AFTERLOG_FDS"] = json.dumps(table)
    sys.argv = [launcher, request["script"]] + request["args"]
    if hasattr(sys, "orig_argv"):
        # The server's own three words last.
        sys.orig_argv[-3:] = sys.argv
    _show([sys.executable, *sys.argv])
    main = sys.modules["__main__"]
    if "__mp_main__" in sys.modules:
        sys.modules["__mp_main__"] = main


def enter(request, files, server):
    """Joins the worker's group and its view of the file system; gives the other files that it sent."""
    user, mounts, *others = files
    try:
        os.setpgid(0, request["group"])
    except OSError:
        # The worker is gone, and nobody waits for an answer.
        os._exit(70)
    _join(user, _CLONE_NEWUSER)
    _join(mounts, _CLONE_NEWNS)
    os.close(user)
    os.close(mounts)
    if os.geteuid() != 0:
        _give_up_capabilities()
    # Joining took away what a program has that was started normally: the right to look at itself.
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    # And undid this.
    _replay.die_with_parent(server)
    return others


def _join(namespace, kind):
    if _libc.setns(namespace, kind) != 0:
        raise Different("the isolated view cannot be joined: %s" % os.strerror(ctypes.get_errno()))


def _give_up_capabilities():
    """Joining a namespace of one's own gives all of them within it; starting a program there does not."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise Different("capabilities cannot be given up: %s" % os.strerror(ctypes.get_errno()))


def _first_folder(request):
    """What `launch.py` will put first on the path, if anything."""
    if getattr(sys.flags, "safe_path", False):
        return []
    module = "AFTERLOG_MODULE" in request["environment"]
    return [os.getcwd() if module else os.path.dirname(os.path.realpath(request["script"]))]


def _compare(preloaded, first):
    if tempfile.tempdir is not None and tempfile._get_default_tempdir() != tempfile.tempdir:
        raise Different("importing took %s for temporary files, which cannot be written" % tempfile.tempdir)
    for (path, how), was in preloaded.looked.items():
        if _preload.there(path, how) != was:
            raise Different("importing looks at %s, which differs in this version" % path)
    for folder in first + [entry for entry in preloaded.path if preloaded.is_projects(entry)]:
        try:
            entries = os.listdir(folder)
        except OSError:
            continue
        for entry in entries:
            name, _, ending = entry.partition(".")
            if name in preloaded.names and (ending.startswith("py") or ending.endswith("so") or not ending):
                raise Different("the project has a module of the name %s" % name)


def _compare_devices(environment):
    """The devices that the segment may see are its own, and libraries ask for theirs once."""
    visible = "CUDA_VISIBLE_DEVICES"
    torch = sys.modules.get("torch")
    if torch is None:
        return
    # Whoever has asked the driver cannot fork: torch says so of itself in the child.
    forked_badly = getattr(torch.cuda, "_is_in_bad_fork", None)
    if torch.cuda.is_initialized() or forked_badly is not None and forked_badly():
        raise Different("importing counts the GPUs, and the segment has its own")
    if environment.get(visible) != os.environ.get(visible) and getattr(torch.cuda, "_cached_device_count", None) is not None:
        raise Different("importing counts the GPUs, and the segment has its own")


def _show(words):
    """Has lists of processes show the segment's command line, as far as there is room in place of the server's."""
    try:
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        # Counted from the third on: see proc(5).
        start, end = int(fields[48 - 3]), int(fields[49 - 3])
        shown = b"".join(os.fsencode(word) + b"\0" for word in words)[: end - start - 1]
        memory = os.open("/proc/self/mem", os.O_WRONLY)
        try:
            os.pwrite(memory, shown.ljust(end - start, b"\0"), start)
        finally:
            os.close(memory)
    except (OSError, ValueError, IndexError):
        pass


def streams(output):
    """Puts nothing in place of standard input, and a file in place of the outputs."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(output, 1)
    os.dup2(output, 2)
