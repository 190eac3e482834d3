"""Runs a script as ``__main__`` under afterlog's recorder.

``python launch.py SCRIPT ARGS...`` behaves as ``python SCRIPT ARGS...`` does: argv, ``sys.path``, tracebacks and exit code
are the script's own. Whatever fails here that is ours is said in one line, and the script runs unrecorded.
"""
import os
import sys


def _begin():
    """Starts recording or replaying, as the environment asks; gives what compiles the script, and what to call at its end."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    try:
        if sys.version_info < (3, 8):
            raise ImportError("Python 3.8 or newer is needed, this is %d.%d" % sys.version_info[:2])
        import afterlog._start as start

        return start.begin(dict(os.environ))
    except Exception as error:  # noqa: BLE001 - training goes on whatever is wrong with us
        sys.stderr.write("afterlog: not recording: %s: %s\n" % (type(error).__name__, error))
        return _compile, lambda *ending: None
    finally:
        del sys.path[0]
        for name in [name for name in os.environ if name.startswith("AFTERLOG_")]:
            del os.environ[name]
        # Child processes that import afterlog find it inert, and silent about it.
        os.environ["AFTERLOG_CHILD"] = "1"


def _main(main=None):
    """Runs the script; ``main`` is an empty module, if there is one already that libraries may know as ``__main__``."""
    import types

    written, module = sys.argv[1], os.environ.get("AFTERLOG_MODULE")
    # The session knows the script's code by this name.
    script = sys.argv[1] = os.path.join(os.getcwd(), written) if module else _file_name(written)
    compiled, end = _begin()
    sys.argv = [script if module else written] + sys.argv[2:]
    # A script finds its own folder first and the runtime after it, as if the runtime were installed; a module the current
    # folder.
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.getcwd() if module else os.path.dirname(os.path.realpath(script))
    main = main or types.ModuleType("__main__")
    main.__dict__.update(__file__=script, __builtins__=__builtins__, __cached__=None)
    sys.modules["__main__"] = main
    try:
        if module:
            _be_module(main, module)
        with open(script, "rb") as file:
            code = compiled(file.read(), script)
        exec(code, main.__dict__)
    except SystemExit as leaving:
        end(leaving.code, None, None)
        raise
    except BaseException as error:  # noqa: BLE001 - reported exactly as python reports it, then the same exit code
        trace = _of_script(error.__traceback__)
        end(1, error, trace)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        if isinstance(error, KeyboardInterrupt):
            # Python then ends by the signal itself, so that a shell loop around it stops too; it has been reported.
            sys.excepthook = lambda *reported: None
            raise
        sys.exit(1)
    end(0, None, None)


def _be_module(main, name):
    """Makes ``__main__`` what ``python -m NAME`` makes it: relative imports and spawned processes go by its spec."""
    import importlib.util

    spec = importlib.util.find_spec(name)
    if spec is not None:
        main.__dict__.update(__spec__=spec, __loader__=spec.loader, __package__=spec.parent, __cached__=spec.cached)


def _compile(source, script):
    return compile(source, script, "exec", dont_inherit=True)


def _of_script(trace):
    """A traceback without our own frames: those above the script's, and of loops that stand between."""
    ours = os.path.dirname(os.path.abspath(__file__)) + os.sep
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(ours):
            kept.append(trace)
        trace = trace.tb_next
    for entry, following in zip(kept, kept[1:] + [None]):
        entry.tb_next = following
    return kept[0] if kept else None


def _file_name(script):
    """The script's ``__file__`` and name in tracebacks: as written, but absolute from Python 3.9 on."""
    return script if sys.version_info < (3, 9) else os.path.join(os.getcwd(), script)


if __name__ == "__main__":
    _main()
