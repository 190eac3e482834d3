"""Makes loops that a script does not name known to the session: their iterables are wrapped in the syntax tree.

Lines and columns stay, and so do tracebacks, ``inspect.getsource`` and line-based tools. Compiled files on disk are neither
read nor written for what is changed here.
"""
import ast
import builtins
import importlib.machinery
import os
import sys

#: What the changed code calls; a name that no script uses.
_HOOK = "__afterlog_loop__"


class Sized:
    """Iterates as a generator does and knows its length where the sequence does: for progress bars around it."""

    def __init__(self, generator, iterable):
        self._generator = generator
        self._iterable = iterable

    def __iter__(self):
        return self._generator

    def __len__(self):
        return len(self._iterable)


class HandsFree:
    """Compiles the files that hold such loops. ``enter(plan, frame, iterable)`` gives what is iterated over instead."""

    def __init__(self, plan, root, script, enter):
        self._plans = [loop for loop in plan["loops"] if loop.get("wrap")]
        self._script = os.path.realpath(script)
        self._files = {}
        for number, loop in enumerate(self._plans):
            path = os.path.realpath(os.path.join(root, loop["file"]))
            self._files.setdefault(path, {})[tuple(loop["wrap"]["span"])] = number
        if not self._files:
            return
        plans, frame_of = self._plans, sys._getframe

        def hook(number, iterable):
            return enter(plans[number], frame_of(1), iterable)

        setattr(builtins, _HOOK, hook)
        if any(path != self._script for path in self._files):
            sys.meta_path.insert(0, _Finder(self))

    def compile(self, source, name, path=None):
        """Code of a file, changed if it holds loops of the plan."""
        spans = self._files.get(self._script if path is None else os.path.realpath(path))
        if not spans:
            return compile(source, name, "exec", dont_inherit=True)
        tree = compile(source, name, "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        for loop in ast.walk(tree):
            if isinstance(loop, ast.For):
                loop.iter = _Wrapper(spans).visit(loop.iter)
        return compile(tree, name, "exec", dont_inherit=True)

    def holds(self, path):
        return os.path.realpath(path) in self._files


class _Wrapper(ast.NodeTransformer):
    def __init__(self, spans):
        self._spans = spans

    def visit(self, node):
        span = (
            getattr(node, "lineno", None),
            getattr(node, "col_offset", None),
            getattr(node, "end_lineno", None),
            getattr(node, "end_col_offset", None),
        )
        number = self._spans.get(span)
        if number is None or not isinstance(node, ast.expr):
            return self.generic_visit(node)
        function = ast.copy_location(ast.Name(_HOOK, ast.Load()), node)
        constant = ast.copy_location(ast.Constant(number), node)
        return ast.copy_location(ast.Call(function, [constant, node], []), node)


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
