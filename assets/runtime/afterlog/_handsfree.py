"""Makes loops that a script does not name known to the session, in the syntax tree: what a ``for`` iterates over is wrapped,
and a ``while`` becomes a ``for`` over nothing, for ever, that is left when the condition no longer holds.

Lines and columns stay, and so do tracebacks, ``inspect.getsource`` and line-based tools. Compiled files on disk are neither
read nor written for what is changed here.
"""
import ast
import builtins
import importlib.machinery
import itertools
import os
import sys

from . import _frames

#: What the changed code calls, where a loop is entered and where a condition was evaluated; names that no script uses.
_ENTER, _TURN = "__afterlog_loop__", "__afterlog_turn__"


class Sized:
    """Iterates as a generator does and knows its length where the sequence does: for progress bars around it."""

    def __init__(self, generator, iterable):
        self._generator = generator
        self._iterable = iterable

    def __iter__(self):
        return self._generator

    def __len__(self):
        return len(self._iterable)


class Turns:
    """What a ``while`` loop iterates over. An iteration begins when its condition has been evaluated and holds."""

    def __init__(self, plan, frame):
        self.plan, self.frame = plan, frame
        #: Called with the counter's value when the next iteration begins.
        self.begin = None
        #: Whether the condition did not hold, and what is called then.
        self.is_over, self.leave = False, None

    def __iter__(self):
        return itertools.repeat(())

    def __getitem__(self, index):
        return ()

    def turn(self, holds):
        if holds:
            counter = self.plan["wrap"]["counter"]
            local, outer = _frames.read(self.frame, [("local", counter), ("global", counter)])
            self.begin(outer if local is _frames.UNBOUND else local)
        else:
            self.is_over = True
            if self.leave is not None:
                self.leave()


class HandsFree:
    """Compiles the files that hold such loops. ``session.enter_wrapped(plan, frame, iterable)`` gives what is iterated over
    instead, ``session.turn(plan, holds)`` is told of each turn of a ``while``.
    """

    def __init__(self, plan, root, script, session):
        self._plans = [loop for loop in plan["loops"] if loop.get("wrap")]
        self._script = os.path.realpath(script)
        self._files = {}
        for number, loop in enumerate(self._plans):
            path = os.path.realpath(os.path.join(root, loop["file"]))
            self._files.setdefault(path, {})[tuple(loop["wrap"]["span"])] = number
        if not self._files:
            return
        plans, frame_of = self._plans, sys._getframe

        def enter(number, iterable):
            return session.enter_wrapped(plans[number], frame_of(1), iterable)

        def turn(number, condition):
            holds = bool(condition)
            session.turn(plans[number], holds)
            return holds

        setattr(builtins, _ENTER, enter)
        setattr(builtins, _TURN, turn)
        if any(path != self._script for path in self._files):
            sys.meta_path.insert(0, _Finder(self))

    def compile(self, source, name, path=None):
        """Code of a file, changed if it holds loops of the plan."""
        spans = self._files.get(self._script if path is None else os.path.realpath(path))
        if not spans:
            return compile(source, name, "exec", dont_inherit=True)
        tree = compile(source, name, "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        tree = _Loops(spans).visit(tree)
        return compile(tree, name, "exec", dont_inherit=True)

    def holds(self, path):
        return os.path.realpath(path) in self._files


class _Loops(ast.NodeTransformer):
    def __init__(self, spans):
        self._spans = spans

    def visit_For(self, node):
        node.iter = _Iterable(self._spans).visit(node.iter)
        return self.generic_visit(node)

    def visit_While(self, node):
        self.generic_visit(node)
        test = node.test
        number = self._spans.get(_span(test))
        if number is None:
            return node
        leave = ast.If(ast.UnaryOp(ast.Not(), _call(_TURN, number, test)), [ast.Break()], [])
        nothing = ast.copy_location(ast.Constant(None), test)
        each = ast.For(ast.Tuple([], ast.Store()), _call(_ENTER, number, nothing), [leave, *node.body], [], None)
        for part in (leave, leave.test, leave.test.op, leave.body[0], each.target):
            ast.copy_location(part, test)
        return ast.copy_location(each, node)


class _Iterable(ast.NodeTransformer):
    """Wraps the part of a ``for`` statement's iterable that the plan names."""

    def __init__(self, spans):
        self._spans = spans

    def visit(self, node):
        number = self._spans.get(_span(node))
        if number is None or not isinstance(node, ast.expr):
            return self.generic_visit(node)
        return _call(_ENTER, number, node)


def _span(node):
    return tuple(getattr(node, name, None) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"))


def _call(function, number, argument):
    """A call of a hook, at the place of its argument."""
    name = ast.copy_location(ast.Name(function, ast.Load()), argument)
    constant = ast.copy_location(ast.Constant(number), argument)
    return ast.copy_location(ast.Call(name, [constant, argument], []), argument)


class _Finder:
    """Finds the project's modules that hold loops as Python does, and has them compiled here."""

    def __init__(self, hands_free):
        self._hands_free = hands_free

    def find_spec(self, name, path=None, target=None):
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not spec.has_location or type(spec.loader) is not importlib.machinery.SourceFileLoader:
            return None
        if not self._hands_free.holds(spec.origin):
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path)
        spec.loader.hands_free = self._hands_free
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    hands_free = None

    def get_code(self, fullname):
        return self.hands_free.compile(self.get_data(self.path), self.path, self.path)
