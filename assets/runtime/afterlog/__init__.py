"""Hindsight logging for model training.

Under ``afterlog run`` these calls record; under plain ``python`` they work and record nothing. Standard library only.
"""
from contextlib import contextmanager as _contextmanager

from . import _arguments, _inert

__all__ = ["arg", "checkpointing", "iteration", "log", "loop"]


def log(name, value):
    """Logs a named value at the current position and returns it. Never raises."""
    _inert.say_once()
    return value


def arg(name, default=None):
    """The value of ``name=value`` or ``--name value`` on the command line, typed by the default, or the default."""
    _inert.say_once()
    return _arguments.from_command_line(name, default)


def loop(name, iterable):
    """Iterates over ``iterable`` as the loop ``name``: what is logged inside has its iteration as position."""
    _inert.say_once()
    return iter(iterable)


@_contextmanager
def iteration(name, index, value=None):
    """One iteration of the loop ``name``, for loops that are not a ``for``: a ``while`` with a counter."""
    _inert.say_once()
    yield value


class checkpointing:  # noqa: N801 - used as a function and as a context manager
    """Names objects whose state belongs to the checkpoints: ``with checkpointing(model=model, optimizer=optimizer):``."""

    def __init__(self, **objects):
        _inert.say_once()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None


def _activate(**calls):
    """Puts a session's calls in place of the inert ones, before the script imports them."""
    globals().update(calls)
