"""Settings that a script gets without ``afterlog.arg``: the run's arguments all the same.

From the command line (argparse and what builds on it, tyro), from what it tells its experiment tracker, and from the
objects that it keeps them in when training begins. Nothing that may be a secret is kept.
"""
import os
import pathlib
import re
import sys

from . import _frames, _kinds, _values

#: Names of secrets, whatever they hold; and names of secrets where they hold text: not so `max_tokens` or `num_keys`.
_SECRET = re.compile("SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SECRET_TEXT = re.compile("TOKEN(?!I)|KEY|AUTH", re.IGNORECASE)
#: What objects with settings are called, or their classes.
_SETTINGS = re.compile(r"(^|_|\b)(args?|arguments|cfg|conf|config|configuration|hparams?|hyper_?param\w*|opts?|options|params|settings)$|(Config|Args|Arguments|Params|Settings|Options)$")
_PLAIN = (bool, int, float, str, type(None))
_DEPTH = 4
#: Longer lists are no settings.
_ITEMS = 100


class Parameters:
    """Puts settings into the journal, the first of each name. ``taken`` holds what ``afterlog.arg`` gave."""

    def __init__(self, journal, root, taken):
        self._journal, self._root, self._taken = journal, os.path.realpath(root) + os.sep, taken
        self._known = set()

    def take(self, settings, prefix="", depth=_DEPTH):
        """Takes a dict, a namespace or a dataclass."""
        if not isinstance(settings, dict):
            settings = _fields(settings)
        for name, value in list(dict.items(settings)):
            if type(name) is not str or name.startswith("_"):
                continue
            name = prefix + name
            value = _plain(value)
            if type(value) is dict or _has_fields(value):
                if depth and not _SECRET.search(name):
                    self.take(value, name + ".", depth - 1)
            elif not _is_secret(name, value) and _is_setting(value) and name not in self._known:
                self._known.add(name)
                if name not in self._taken:
                    self._journal.argument(name, _values.encode(value))

    def of_parser(self, parse):
        """``ArgumentParser.parse_known_args`` that takes what a parse of the script's own command line gives."""

        def parse_known_args(parser, args=None, namespace=None, *further, **named):
            result = parse(parser, args, namespace, *further, **named)
            if args is None or self._tried(lambda: list(args) == sys.argv[1:]):
                self._tried(lambda: self.take(result[0]))
            return result

        return parse_known_args

    def of_result(self, function):
        """A function whose result holds the settings."""

        def called(*arguments, **named):
            result = function(*arguments, **named)
            self._tried(lambda: self.take(result))
            return result

        return called

    def look(self, frame):
        """Takes the settings among the variables of the main loop's frame, in objects or dicts that are called so."""

        def found():
            for names in (frame.f_globals, frame.f_locals):
                for name, value in list(names.items()):
                    kind = type(value)
                    called_so = _SETTINGS.search(name) or _has_fields(value) and _SETTINGS.search(kind.__name__)
                    if not called_so or name.startswith("_"):
                        continue
                    if kind is dict and all(type(key) is str for key in value) or self._is_own(kind):
                        yield value

        for value in self._tried(lambda: list(found())) or []:
            self._tried(lambda: self.take(value))  # noqa: B023 - called at once
        _frames.release(frame)

    def _is_own(self, kind):
        """Whether it is a namespace, or a dataclass of the project's."""
        if kind.__module__ in ("argparse", "types") and kind.__name__ in ("Namespace", "SimpleNamespace"):
            return True
        if "__dataclass_fields__" not in kind.__dict__:
            return False
        module = sys.modules.get(kind.__module__)
        path = os.path.realpath(getattr(module, "__file__", None) or "")
        return path.startswith(self._root) and os.sep + "site-packages" + os.sep not in path

    def _tried(self, take):
        try:
            return take()
        except Exception:  # noqa: BLE001 - the script has its settings, whatever we make of them
            return None


def _fields(value):
    """The attributes of a namespace or a dataclass; none of its methods is run."""
    try:
        fields = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return fields if type(fields) is dict else {}


def _has_fields(value):
    kind = type(value)
    return "__dataclass_fields__" in kind.__dict__ or kind.__name__ == "Namespace" and kind.__module__ == "argparse"


def _plain(value):
    """Paths and devices as text."""
    if isinstance(value, pathlib.PurePath):
        return str(value)
    torch = _kinds.torch()
    if torch is not None and isinstance(value, (torch.device, torch.dtype)):
        return str(value)
    return value


def _is_setting(value):
    if type(value) in (list, tuple):
        return len(value) <= _ITEMS and all(type(item) in _PLAIN for item in value)
    return type(value) in _PLAIN


def _is_secret(name, value):
    if _SECRET.search(name):
        return True
    holds_text = type(value) is str or type(value) in (list, tuple) and any(type(item) is str for item in value)
    return bool(holds_text and _SECRET_TEXT.search(name))
