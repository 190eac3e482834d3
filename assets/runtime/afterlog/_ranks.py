"""How a process that a launcher started (torchrun, accelerate) joins the run: it tells the recorder its rank and is handed
its open files.
"""
import array
import json
import os
import socket

#: So long the recorder may take to answer before the script goes on without it, in seconds.
_PATIENCE = 10
_MAX_FILES = 8
#: Rank and number of processes, as launchers tell them: torchrun and accelerate, Open MPI, MPICH and Intel MPI, Slurm.
_VARIABLES = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)


class NotWanted(Exception):
    """The recorder keeps no record of this process, and says why."""


def join(environment):
    """The process's files as ``_start`` takes them, with its ``rank`` and the one that all ranks hold."""
    rank, world = _place(environment)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection:
        connection.settimeout(_PATIENCE)
        connection.connect(environment["AFTERLOG_SOCKET"])
        connection.sendall(json.dumps({"rank": rank, "world": world, "pid": os.getpid()}).encode() + b"\n")
        room = socket.CMSG_SPACE(_MAX_FILES * array.array("i").itemsize)
        data, ancillary, _, _ = connection.recvmsg(1 << 16, room)
    numbers = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    if not data:
        raise NotWanted("the recorder is gone")
    said = json.loads(data)
    if "refused" in said:
        raise NotWanted(said["refused"])
    # In the order in which the recorder sends them; what comes last is only to be held open.
    events, output, control, first, second, agreed, *rest = numbers
    said.update(rank=rank, world=world, events=events, output=output, control=control, buffers=[first, second])
    said.update(agreed=agreed, keep=rest)
    return said


def _place(environment):
    """This process's rank and the number of processes; a process that no launcher numbered is the only one."""
    outer = json.loads(environment.get("AFTERLOG_OUTER", "{}"))
    for rank, world in _VARIABLES:
        value = environment.get(rank, "")
        # What was set before the launcher began numbers other processes than its own.
        if value.isdigit() and outer.get(rank) != value:
            count = environment.get(world, "")
            return int(value), int(count) if count.isdigit() else 1
    return 0, 1


def seed(planted, rank):
    """Each rank draws numbers of its own, as processes that the system seeds do."""
    return (planted + rank * 0x9E3779B97F4A7C15) % (1 << 63)
