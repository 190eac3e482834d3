"""How much memory may still be taken: what the machine has to spare, within what the process's control groups allow."""
import os

#: Of what is to spare, checkpoints leave this share to training.
_LEFT = 0.2
#: Less than this is not worth asking for, in bytes.
_SMALL = 64 << 20
_GROUPS = "/sys/fs/cgroup"


class TooLarge(Exception):
    """Says what does not fit."""


def check(size, growth):
    """Raises TooLarge where a state of that size, for which the shared buffer has to grow by so much, would take memory from
    training: the recorder holds it once more while it stores it.
    """
    if size + growth > _SMALL and size + growth > (1 - _LEFT) * spare():
        raise TooLarge("a state of %.1f GB does not fit into the memory that is free" % (size / 1e9))


def spare():
    """Bytes that can still be taken before something has to give way; a large number where that cannot be told."""
    found = [_fields("/proc/meminfo").get("MemAvailable", 1 << 50)]
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _in_groups(_GROUPS, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            found += _in_groups(_GROUPS + "/memory", path, *names)
    return min(found)


def _in_groups(root, path, limit, usage, cache):
    """What each group from this one up has to spare. What it could drop from its cache is to spare too."""
    path = path.strip("/")
    while True:
        folder = os.path.join(root, path)
        most, used = _number(os.path.join(folder, limit)), _number(os.path.join(folder, usage))
        if most is not None and used is not None:
            yield most - used + _fields(os.path.join(folder, "memory.stat")).get(cache, 0)
        if not path:
            return
        path = os.path.dirname(path)


def _fields(path):
    """Lines `name value`, or `name: value kB`, as a dictionary of bytes."""
    fields = {}
    for line in _lines(path):
        words = line.replace(":", " ").split()
        if len(words) > 1 and words[1].isdigit():
            fields[words[0]] = int(words[1]) * (1024 if words[-1] == "kB" else 1)
    return fields


def _number(path):
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
