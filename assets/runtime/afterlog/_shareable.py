"""Whether a process that is forked where the main loop is entered would have something else than one that is started anew.

A run finds out for itself, so that its replays need not try in vain; what can only be found out by trying, `_prefix` does.
"""
import os
import sys
import threading


def open_files():
    """The numbers of the files that are open, and where they lead to."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add((fd, os.readlink("/proc/self/fd/" + fd)))
        except OSError:
            # That of the listing itself.
            pass
    return {(fd, place) for fd, place in found if place != "/dev/null" and place != "/dev/urandom"}


def why_files(files):
    """Names files that were opened or closed since these, in words, or None. A forked process would share their positions."""
    new = {place for _, place in open_files() ^ files}
    return "%s is open before the main loop" % ", ".join(sorted(new)[:3]) if new else None


def why_devices():
    torch = sys.modules.get("torch")
    cuda = torch is not None and getattr(torch, "cuda", None)
    return "CUDA is initialised before the main loop" if cuda and cuda.is_initialized() else None


def why_threads():
    """Names a thread that a forked process would not have, in words, or None. Ours, and those of tqdm's bars, are seen to."""
    bars = getattr(getattr(sys.modules.get("tqdm.std"), "tqdm", None), "monitor", None)
    known = (threading.main_thread(), bars)
    others = [thread for thread in threading.enumerate() if thread not in known and thread.name != "afterlog-journal"]
    return "the thread %s was started before the main loop" % others[0].name if others else None


class Told:
    """Writes for the replays of a run, where its main loop is first entered, why nothing may be forked there."""

    def __init__(self, place):
        self._place, self._files = place, open_files()

    def look(self):
        files, self._files = self._files, None
        if files is None:
            return
        try:
            why = why_files(files) or why_devices() or why_threads()
            if why:
                with open(self._place, "w", encoding="utf-8") as file:
                    file.write(why)
        except Exception:  # noqa: BLE001, S110 - replays find out for themselves
            pass
