"""Tells the session of loops and blocks, by changes to the syntax tree: what a ``for`` iterates over is wrapped, a ``while``
becomes a ``for`` over nothing, for ever, that is left when the condition no longer holds, and a block becomes the body of
an ``if``, which replay may leave out, with a call at its end.

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

#: What the changed code calls, where a loop is entered, where a condition was evaluated, where a block begins and where it
#: has ended; names that no script uses.
_ENTER, _TURN, _BEGIN, _END = ("__afterlog_%s__" % what for what in ("loop", "turn", "begin", "end"))
#: Around a statement that was added for a replay.
_BEFORE, _AFTER = "__afterlog_before__", "__afterlog_after__"


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
        #: Whether the condition did not hold, what is called then, and what ends the loop's position.
        self.is_over, self.leave, self.close = False, None, None

    def __iter__(self):
        return itertools.repeat(())

    def __getitem__(self, index):
        return ()

    def turn(self, holds):
        if holds:
            counter, *attributes = self.plan["wrap"]["counter"].split(".")
            local, outer = _frames.read(self.frame, [("local", counter), ("global", counter)])
            value = outer if local is _frames.UNBOUND else local
            for name in attributes:
                value = _held(value, name)
            self.begin(value)
        else:
            self.is_over = True
            if self.leave is not None:
                self.leave()
            # What an `else` does is no part of the last iteration.
            self.close()


def _held(value, name):
    """An attribute that an object holds itself: to ask for any other may execute what the class defines."""
    try:
        return dict.get(object.__getattribute__(value, "__dict__"), name, _frames.UNBOUND)
    except Exception:  # noqa: BLE001 - it holds none in such a way
        return _frames.UNBOUND


class HandsFree:
    """Compiles the files that hold such loops and blocks. ``session.enter_wrapped(plan, frame, iterable)`` gives what is
    iterated over instead, ``session.turn(plan, frame, holds)`` is told of each turn of a ``while``; ``session.begin_block(plan,
    frame)`` says whether a block is executed, unless ``session.leaves_blocks`` says that all are, and
    ``session.end_block(plan, frame)`` is told when ``session.block`` may have come to its end.
    """

    def __init__(self, plan, root, script, session):
        plans, frame_of = plan["loops"], sys._getframe
        self._script = os.path.realpath(script)
        self._files = {}
        #: The statements that were added to the script, where these are watched.
        self._statements = session.statements
        for number, loop in enumerate(plans):
            path = os.path.realpath(os.path.join(root, loop["file"]))
            places = self._files.setdefault(path, _Places())
            wrap = loop.get("wrap")
            if wrap and wrap["has_positions"]:
                places.wrapped[tuple(wrap["span"])] = number
            if loop["is_block"]:
                places.blocks[loop["first_line"], loop["column"]] = number
        if self._statements is not None:
            self._files.setdefault(self._script, _Places()).statements = self._statements
            setattr(builtins, _BEFORE, self._statements.begin)
            setattr(builtins, _AFTER, self._statements.end)
        if not self._files:
            return

        def enter(number, iterable):
            return session.enter_wrapped(plans[number], frame_of(1), iterable)

        def turn(number, condition):
            holds = bool(condition)
            session.turn(plans[number], frame_of(1), holds)
            return holds

        def begin(number):
            return session.leaves_blocks or session.begin_block(plans[number], frame_of(1))

        def end(number):
            if session.block is not None:
                session.end_block(plans[number], frame_of(1))

        for name, hook in ((_ENTER, enter), (_TURN, turn), (_BEGIN, begin), (_END, end)):
            setattr(builtins, name, hook)
        if any(path != self._script for path in self._files):
            sys.meta_path.insert(0, _Finder(self))

    def compile(self, source, name, path=None):
        """Code of a file, changed if it holds loops or blocks of the plan."""
        places = self._files.get(self._script if path is None else os.path.realpath(path))
        if places is None:
            return compile(source, name, "exec", dont_inherit=True)
        tree = compile(source, name, "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        try:
            return compile(_Loops(places).visit(tree), name, "exec", dont_inherit=True)
        except (SyntaxError, RecursionError):
            # Python nests loops in each other to some depth only.
            return compile(source, name, "exec", dont_inherit=True)

    def holds(self, path):
        return os.path.realpath(path) in self._files


class _Places:
    """What is changed in a file: numbers of loops and blocks by where they stand."""

    def __init__(self):
        #: By first line and column, last line and column of the iterable or the condition.
        self.wrapped = {}
        #: By the line and column where the statement begins.
        self.blocks = {}
        #: Those that are watched: a `_statement.Statements`.
        self.statements = None


class _Loops(ast.NodeTransformer):
    def __init__(self, places):
        self._spans, self._blocks, self._statements = places.wrapped, places.blocks, places.statements
        #: The calls around added statements, by their id.
        self._before, self._after = {}, {}
        #: How many statements around catch exceptions.
        self._catching = 0

    def visit(self, node):
        if self._statements is not None and self._statements.holds(node):
            # What is in it is added too, and watched as a part of it.
            watched, self._statements = self._statements, None
            node = self._visit(node)
            self._statements = watched
            if not watched.watches(node):
                return node
            around = [ast.copy_location(ast.Expr(_call(name, node.lineno, node)), node) for name in (_BEFORE, _AFTER)]
            self._before[id(around[0])], self._after[id(around[1])] = around
            return [around[0], node, around[1]]
        return self._visit(node)

    def generic_visit(self, node):
        catches = bool(getattr(node, "handlers", None))
        self._catching += catches
        node = super().generic_visit(node)
        self._catching -= catches
        # Where the script goes on after an exception, what an earlier one did is not undone by a later one.
        joins = self._statements is not None and not catches and not self._catching
        for _, body in ast.iter_fields(node) if joins else ():
            if isinstance(body, list) and any(id(part) in self._after for part in body):
                self._join(body)
        return node

    def _join(self, body):
        """Watches added statements side by side as one: what one of them changes for the next, the last may undo."""
        first, joined = None, []
        for at, part in enumerate(body):
            if id(part) in self._before:
                beside = joined and id(joined[-1]) in self._after
                if beside and not _may_leave(joined[-2]) and not _may_leave(body[at + 1]):
                    joined.pop()
                    self._statements.join(first, part.lineno)
                    continue
                first = part.lineno
            elif id(part) in self._after:
                part.value.args[0].value = first
            joined.append(part)
        body[:] = joined

    def _visit(self, node):
        number = self._blocks.get((node.lineno, node.col_offset)) if isinstance(node, ast.stmt) else None
        node = super().visit(node)
        if number is None:
            return node
        end = ast.copy_location(ast.Expr(_call(_END, number, node)), node)
        return ast.copy_location(ast.If(_call(_BEGIN, number, node), [node, end], []), node)

    def visit_For(self, node):
        node.iter = _Iterable(self._spans).visit(node.iter)
        return self.generic_visit(node)

    def visit_While(self, node):
        self.generic_visit(node)
        test = node.test
        number = self._spans.get(_span(test))
        if number is None or _leaves(node.orelse):
            return node
        # Whatever the session makes of it, the condition alone ends the loop.
        leave = ast.If(ast.UnaryOp(ast.Not(), _call(_TURN, number, test, test)), [*node.orelse, ast.Break()], [])
        nothing = ast.copy_location(ast.Constant(None), test)
        each = ast.For(ast.Tuple([], ast.Store()), _call(_ENTER, number, test, nothing), [leave, *node.body], [], None)
        for part in (leave, leave.test, leave.test.op, leave.body[-1], each.target):
            ast.copy_location(part, test)
        return ast.copy_location(each, node)


def _may_leave(node):
    """Whether what follows an added statement may not be executed though it did not fail."""
    return any(isinstance(part, (ast.Return, ast.Break, ast.Continue)) for part in ast.walk(node))


def _leaves(statements):
    """Whether a `break` or `continue` among them is one of the loop around them."""
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Break, ast.Continue)):
            return True
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            # Its own are in its body.
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return False


class _Iterable(ast.NodeTransformer):
    """Wraps the part of a ``for`` statement's iterable that the plan names."""

    def __init__(self, spans):
        self._spans = spans

    def visit(self, node):
        number = self._spans.get(_span(node))
        if number is None or not isinstance(node, ast.expr):
            return self.generic_visit(node)
        return _call(_ENTER, number, node, node)


def _span(node):
    return tuple(getattr(node, name, None) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"))


def _call(function, number, place, *arguments):
    """A call of a hook, at the place of a node."""
    name = ast.copy_location(ast.Name(function, ast.Load()), place)
    constant = ast.copy_location(ast.Constant(number), place)
    return ast.copy_location(ast.Call(name, [constant, *arguments], []), place)


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
