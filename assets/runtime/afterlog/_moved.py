"""Paths that a replay is told are elsewhere now: what a state says of the old place is about the new one, and the other way
round where a state is compared with the record.
"""
import sys

#: What a variable was in the run, and what the user set instead: [(was, is now)].
pairs = []


def set_pairs(moved):
    # A word without a slash may be anything.
    pairs[:] = [(was.rstrip("/"), now.rstrip("/")) for was, now in moved if "/" in was.rstrip("/") and now.rstrip("/")]


def there(value):
    """A value of the run's, as it is here."""
    return _moved(value, pairs)


def back(value):
    """A value of this process', as it was in the run."""
    return _moved(value, [(was, now) for now, was in pairs])


def _moved(value, pairs):
    # Not imported for a script that has not done so.
    pathlib = sys.modules.get("pathlib")
    if pathlib is not None and isinstance(value, pathlib.PurePath):
        text = str(value)
        moved = _moved(text, pairs)
        return value if moved == text else type(value)(moved)
    if type(value) is str:
        for was, now in pairs:
            if value == was or value.startswith(was + "/"):
                return now + value[len(was) :]
    return value
