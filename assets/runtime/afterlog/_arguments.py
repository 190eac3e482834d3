"""Arguments from the command line: ``name=value``, ``--name value``, ``--name=value``, ``--kwargs name=value ...``."""
import json
import sys


def from_command_line(name, default):
    """The argument's value typed by its default; the default where the command line does not give it."""
    text = _find(name, sys.argv[1:])
    if text is None:
        return default
    try:
        return _typed(text, default)
    except ValueError:
        expected = type(default).__name__
        sys.stderr.write("%s: error: argument %s: %r is not of type %s\n" % (sys.argv[0], name, text, expected))
        sys.exit(2)


def _find(name, words):
    found = None
    for at, word in enumerate(words):
        if word.startswith(name + "="):
            found = word[len(name) + 1 :]
        elif word.startswith("--" + name + "="):
            found = word[len(name) + 3 :]
        elif word == "--" + name and at + 1 < len(words):
            found = words[at + 1]
    return found


def _typed(text, default):
    if isinstance(default, bool):
        truth = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in truth:
            raise ValueError(text)
        return truth[text.lower()]
    if isinstance(default, int):
        return int(text)
    if isinstance(default, float):
        return float(text)
    if isinstance(default, (list, tuple, dict)):
        value = json.loads(text)
        return tuple(value) if isinstance(default, tuple) else value
    if default is None:
        for parse in (int, float):
            try:
                return parse(text)
            except ValueError:
                pass
    return text
