"""Whether a statement that was added for a replay changes the training that it looks at: draws random numbers, takes from an
iterator, steps something.

A run that had it all along would have gone on differently after each time that it was executed. A replay that restores the
run's states does not, and so its values are not that run's: they are marked. What is seen here is what the audit sees.
"""
import ast
import sys
import time
import types

from . import _frames, _process

#: So often each statement's effects on variables are looked at whatever that takes, and then for this share of the time.
_FIRST, _SHARE = 3, 0.1
#: After so many times without a draw, generators are looked at each of so many times only.
_OFTEN, _THEN = 10_000, 16
#: These only bind names.
_LEFT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Global, ast.Nonlocal)
_NAMED = 3
_MISSING = object()


class Statements:
    """The added statements of a script. ``tell(what)`` is called, once each, with what one of them does."""

    def __init__(self, lines, audit, tell):
        self._lines, self._audit, self._tell = lines, audit, tell
        #: Names that they bind themselves, and by line what they name, each as the parts of a dotted name.
        self._own, self._named = set(), {}
        self._begun = time.perf_counter()
        self._spent, self._times, self._before, self._told = 0.0, {}, {}, set()

    def holds(self, node):
        """Whether this is such a statement; notes what it binds."""
        if not isinstance(node, ast.stmt) or not any(first <= node.lineno <= last for first, last in self._lines):
            return False
        parts = list(ast.walk(node))
        # What a comprehension goes over with is gone with it.
        passing = {id(name) for part in parts if isinstance(part, ast.comprehension) for name in ast.walk(part.target)}
        inner = {id(part.value) for part in parts if isinstance(part, ast.Attribute)}
        for part in parts:
            if isinstance(part, (ast.Name, ast.Attribute)) and isinstance(part.ctx, ast.Load):
                if id(part) not in inner:
                    self._named.setdefault(node.lineno, set()).update(_dotted(part))
            elif isinstance(part, ast.Name) and id(part) not in passing:
                self._own.add(part.id)
            elif isinstance(part, (ast.FunctionDef, ast.ClassDef)):
                self._own.add(part.name)
        return True

    def watches(self, node):
        """Whether it may do something that a loop goes on with."""
        return not isinstance(node, _LEFT)

    def join(self, first, line):
        """The statement at a line follows that at the ``first`` line, or one joined to it: both are watched as one."""
        self._named.setdefault(first, set()).update(self._named.pop(line, ()))

    def begin(self, line):
        """The statement at that line, with those joined to it, is about to be executed."""
        start = time.perf_counter()
        if line in self._before:
            # What undoes the beginning may have been left out.
            self._say("was left by an exception")
        self._times[line] = times = self._times.get(line, 0) + 1
        generators = names = None
        if times <= _OFTEN or times % _THEN == 0:
            generators = _process.generators()
        if times <= _FIRST or self._spent < _SHARE * (start - self._begun):
            names = self._audit.everything(sys._getframe(1), self._own)
            self._look_for_hidden(sys._getframe(1), line)
        self._before[line] = generators, names
        self._spent += time.perf_counter() - start

    def end(self, line):
        """It was executed."""
        start = time.perf_counter()
        generators, names = self._before.pop(line, (None, None))
        if generators is not None and not _process.are_equal(generators, _process.generators()):
            self._say("draws random numbers")
        elif names is not None:
            after = self._audit.everything(sys._getframe(1), self._own)
            changed = [prefix + name for at, prefix, name in names if names[at, prefix, name] != after.get((at, prefix, name))]
            if changed:
                others = " and others" * (len(changed) > _NAMED)
                self._say("changes %s%s" % (", ".join(sorted(changed)[:_NAMED]), others))
            # Of what one binds, the next may take.
            self._look_for_hidden(sys._getframe(1), line)
        self._spent += time.perf_counter() - start

    def _look_for_hidden(self, frame, line):
        """Tells of what the statement may take from unseen: such as a ``zip``, or a file that is read."""
        named = []
        for name, *attributes in self._named.get(line, ()):
            value = frame.f_locals.get(name, frame.f_globals.get(name, _MISSING))
            if value is not _MISSING:
                named += _leads_to(name, value, attributes)
        _frames.release(frame)
        hidden = self._audit.hidden(named, self._own)
        if hidden:
            self._say("may take from %s, which does not show it" % ", ".join(sorted(hidden)[:_NAMED]))

    def _say(self, what):
        if what not in self._told:
            self._told.add(what)
            self._tell("take the values as the run's, since the statement %s: a run that had it would have gone on otherwise" % what)


def _dotted(node):
    """The parts of a name such as ``a.b.c``, if it is one."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [(node.id, *reversed(parts))] if isinstance(node, ast.Name) else []


def _leads_to(name, value, attributes):
    """What a dotted name stands for, [(name, value)], as far as no class is asked: it may do anything. Then the object that it
    is asked about, and the function that it is, if so.
    """
    for attribute in attributes:
        try:
            held = object.__getattribute__(value, "__dict__").get(attribute, _MISSING)
        except AttributeError:
            held = _MISSING
        if held is _MISSING:
            of_classes = (vars(cls)[attribute] for cls in type(value).__mro__ if attribute in vars(cls))
            held = next(of_classes, _MISSING)
            if held is _MISSING or hasattr(type(held), "__get__"):
                is_function = isinstance(held, types.FunctionType)
                return [(name, value)] + [("%s.%s" % (name, attribute), held)] * is_function
        name, value = "%s.%s" % (name, attribute), held
    return [(name, value)]
