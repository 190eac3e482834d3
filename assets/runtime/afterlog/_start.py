"""Starts the session of a recorded or replayed process from what the recorder or the replay worker has set up."""
import atexit
import fcntl
import json
import os
import resource
import struct
import sys

from . import _activate, _adaptive, _buffers, _flordb, _foreign, _handsfree, _journal, _lines, _output, _parameters
from . import _ranks, _seeds, _session, _shareable, _snapshot, _together, _values

#: `select` takes no numbers of files from here on.
_SELECTABLE = 1024
#: So many numbers below the limit are taken for our files.
_OURS = 16


def begin(environment):
    """Starts the session that the environment asks for; gives what compiles the script, and what to call at its end."""
    launched = "AFTERLOG_SOCKET" in environment
    fds = _ranks.join(environment) if launched else json.loads(environment["AFTERLOG_FDS"])
    _move_away(fds)
    with open(environment["AFTERLOG_PLAN"], encoding="utf-8") as file:
        plan = json.load(file)
    replay = environment["AFTERLOG_MODE"] == "replay"
    prefix = None
    if "asked" in fds:
        from . import _prefix as prefix
    journal = _journal.Journal(fds["events"]) if prefix is None else prefix.Kept(fds["events"])
    buffers = [_buffers.Buffer(number, fd) for number, fd in enumerate(fds["buffers"])]
    snapshots = _snapshot.Snapshots(_snapshot.Control(fds["control"]), buffers)
    root = environment["AFTERLOG_ROOT"]
    if replay:
        from . import _replay

        _replay.die_with_parent(int(environment["AFTERLOG_PARENT"]))
        with open(environment["AFTERLOG_ORDER"], encoding="utf-8") as file:
            session = _replay.Replay(journal, snapshots, plan, root, json.load(file))
    else:
        mode = environment.get("AFTERLOG_CHECKPOINTS", "adaptive")
        session = _session.Session(journal, snapshots, plan, root, _adaptive_of(fds, mode))
    _flordb.executable = environment.get("AFTERLOG_EXE")
    _flordb.flush = journal.flush
    budget = _lines.Budget(journal)
    # A replay's output goes there by itself.
    session.kept = _output.tee(None if replay else fds["output"], [_lines.Lines(budget, stream) for stream in (1, 2)])
    rank = fds.get("rank", 0)
    _seeds.plant(_ranks.seed(int(environment["AFTERLOG_SEED"]), rank))
    if prefix is None:
        journal.start(json.dumps(dict(_snapshot.process_facts(), rank=rank, world=fds.get("world", 1))))
        journal.flush()
    journal.chores.append(snapshots.send_ready)
    atexit.register(journal.close)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=session.forked)
    parameters = None if replay else _parameters.Parameters(journal, root, session._arguments)
    foreign = _foreign.Foreign(journal, root, session._note_once, parameters, replay)
    if parameters is not None:
        session.on_main = parameters.look
        if rank == 0:
            # As in src/store/layout.rs.
            session.shareable = _shareable.Told(os.path.join(os.path.dirname(environment["AFTERLOG_PLAN"]), "unshared.txt"))
    _activate(
        log=make_log(journal, foreign),
        arg=session.arg,
        loop=session.loop,
        iteration=session.iteration,
        checkpointing=session.checkpointing_class(),
    )
    if environment.get("AFTERLOG_GUARD"):
        from . import _guard

        _guard.install(environment["AFTERLOG_GUARD"], session.refused)
    foreign.install()
    if prefix is not None:
        session.prefix = prefix.Prefix(session, journal, fds)
    hands_free = _handsfree.HandsFree(plan, root, sys.argv[1], session)
    return hands_free.compile, session.end


def _adaptive_of(fds, mode):
    if fds.get("world", 1) == 1:
        return _adaptive.Adaptive(mode)
    return _together.Together(mode, fds["agreed"], fds["rank"] == 0)


def _move_away(fds):
    """Gives our files numbers that a script's own files do not get, even where it closes all that it did not open.

    Its next file would otherwise have our journal's number, and our journal would go on into its file.
    """
    limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _SELECTABLE)

    def moved(fd):
        try:
            # Not inherited by the script's children.
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(limit - _OURS, 0))
        except (OSError, ValueError):
            os.set_inheritable(fd, False)
            return fd
        os.close(fd)
        return high

    for name in ("events", "output", "control", "agreed"):
        if name in fds:
            fds[name] = moved(fds[name])
    for name in ("buffers", "keep"):
        fds[name] = [moved(fd) for fd in fds.get(name, [])]
    if "asked" in fds:
        # Last: a process that is forked here has the others under the numbers of one that is not.
        fds["asked"] = moved(fds["asked"])


def make_log(journal, foreign):
    """The ``log`` call; a float costs one packed record and one append to a queue."""
    watching, here, own = foreign.watching, foreign.here, foreign.own
    ids = journal.ids
    pack = struct.Struct("<BIBd").pack
    failed = set()

    def note_failure(name, error):
        told = _text(name)
        if told not in failed:
            failed.add(told)
            journal.note("a value of %s was not logged: %s: %s" % (told, type(error).__name__, _text(error)))

    def log(name, value):
        """Logs a named value at the current position and returns it. Never raises."""
        try:
            if watching:
                if type(value) is float and name not in here:
                    own[name] = journal.moves, value
                elif foreign.is_known(name, value):
                    # Another library has just logged the same.
                    return value
            if type(value) is float:
                try:
                    journal.append(pack(6, ids[name], 3, value))
                    return value
                except KeyError:
                    pass
            journal.log(str(name), _values.encode(value))
        except Exception as error:  # noqa: BLE001 - logging must not break training
            note_failure(name, error)
        return value

    return log


def _text(value):
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a class of the script's may do anything
        return "a %s" % type(value).__name__
