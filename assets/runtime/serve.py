"""Imports once what several scripts import at their top, and forks a process for each segment that asks for one.

``python serve.py SOCKET WHAT`` is started by the coordinator of a replay in a view of the file system that nobody can write
to. A worker sends its segment's files and namespaces; the process forked for it joins them, becomes what a fresh start of
``launch.py`` would be, and runs the script. Where it cannot be the same, the worker is told why and starts Python afresh.
"""
import os
import sys

import launch
import afterlog._replay
import afterlog._start

# A fresh start has them under another name, or not at all.
del sys.modules["launch"]
#: What a fresh start has imported before the script.
_BEFORE = frozenset(name.partition(".")[0] for name in sys.modules)

import json  # noqa: E402
import socket  # noqa: E402
import types  # noqa: E402

from afterlog import _become, _forks, _preload  # noqa: E402


def _serve():
    """Returns in each forked process when it is ready to run its script, with the script's ``__main__``."""
    asked, what, server = socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]), os.getpid()
    afterlog._replay.die_with_parent(what["parent"])
    asked.set_inheritable(False)
    launcher = os.path.join(os.path.dirname(sys.argv[0]), "launch.py")
    # Libraries may keep it: it is the script's later.
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    script = os.path.join(os.getcwd(), what["script"]) if what["module"] else launch._file_name(what["script"])
    main.__dict__.update(__file__=script, __builtins__=__builtins__, __cached__=None)
    preloaded = _preload.Preloaded(what["root"], what["imports"], what["later"], _BEFORE)
    request, answers, files = _forks.Server(asked, preloaded.unfit).next_request()
    try:
        _become.segment(request, files, preloaded, launcher, server)
    except _become.Different as different:
        _forks.tell(answers, {"t": "afresh", "reason": str(different)})
        os._exit(0)
    _forks.tell(answers, {"t": "started", "process": os.getpid()})
    answers.close()
    return main


launch._main(_serve())
