//! Which names are bound at a place: a forward analysis of definite assignment over structured code. O(n) a place.

use std::collections::{HashMap, HashSet};

use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

/// Names that every Python module sees.
const BUILTINS: &str = "abs aiter all any anext ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex copyright credits delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash help hex id input int isinstance issubclass iter len license list locals map max memoryview min next object oct open ord pow print property quit range repr reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip __import__ __name__ __file__ __doc__ __builtins__ NotImplemented Ellipsis True False None BaseException Exception ArithmeticError AssertionError AttributeError EOFError FileNotFoundError FloatingPointError ImportError IndexError KeyError KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError OSError IOError OverflowError RuntimeError StopIteration SyntaxError SystemExit TypeError UnicodeDecodeError ValueError Warning UserWarning DeprecationWarning ZeroDivisionError unicode xrange raw_input long";

/// Whether a name has a value at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    No,
    /// On some paths.
    Maybe,
    /// On every path.
    Yes,
}

/// The names visible at one place.
pub(super) struct Visible<'a> {
    tree: &'a Tree,
    scope: NodeId,
    /// Bound so far in the place's own scope.
    state: State<'a>,
}

type State<'a> = HashMap<&'a str, Bound>;

/// What leaves the iterations of the loops around, innermost last.
type Leaving<'a> = Vec<Vec<State<'a>>>;

/// Calls after which nothing runs.
const EXITS: [&str; 3] = ["exit", "_exit", "quit"];

impl<'a> Visible<'a> {
    /// Before the statement at `index` of `block`.
    pub(super) fn at(tree: &'a Tree, block: NodeId, index: usize) -> Self {
        let scope = tree.scope(block);
        let mut state = State::new();
        if tree.node(scope).kind == Kind::Function {
            for id in tree.header(scope).into_iter().filter(|id| tree.node(*id).kind == Kind::Parameter) {
                state.insert(&tree.node(id).name, Bound::Yes);
            }
        }
        let mut path: Vec<NodeId> =
            std::iter::once(block).chain(tree.ancestors(block)).take_while(|id| *id != scope).collect();
        path.reverse();
        for (step, id) in path.iter().enumerate() {
            let next = path.get(step + 1).copied();
            enter(tree, *id, next, if *id == block { Some(index) } else { None }, &mut state);
        }
        Self { tree, scope, state }
    }

    /// Whether `name` has a value here.
    pub(super) fn get(&self, name: &str) -> Bound {
        if self.owns(name) || self.scope == 0 {
            if let Some(bound) = self.state.get(name) {
                return *bound;
            }
            if self.tree.node(self.scope).kind == Kind::Function {
                return Bound::No;
            }
        }
        for outer in self.tree.ancestors(self.scope).filter(|id| self.tree.node(*id).kind != Kind::Class) {
            if self.tree.binds(outer, name) {
                return Bound::Yes;
            }
        }
        let declared = || self.tree.uses(name).iter().any(|id| self.tree.node(*id).access == Access::Outer);
        if is_builtin(name) || (self.scope != 0 && declared()) {
            return Bound::Yes;
        }
        // What the scope reads without our seeing its definition is there as surely for us; somebody's
        // `from x import *` may bind anything.
        match () {
            () if self.is_foreign(name) => Bound::Yes,
            () if self.tree.binds(0, "*") => Bound::Maybe,
            () => Bound::No,
        }
    }

    /// Whether nothing but a `from x import *` can give `name` its value here.
    pub(super) fn by_star_alone(&self, name: &str) -> bool {
        !self.tree.binds(0, name) && !self.owns(name) && self.get(name) == Bound::Maybe
    }

    /// Whether the place's own scope reads a name that nothing in the file binds.
    fn is_foreign(&self, name: &str) -> bool {
        let uses = || self.tree.uses(name).iter().copied();
        let access = |id: NodeId| self.tree.node(id).access;
        uses().any(|id| access(id).reads() && self.tree.scope(id) == self.scope)
            && !uses().any(|id| access(id).binds() || access(id) == Access::Inner)
    }

    /// Whether the place's own scope binds `name` anywhere.
    pub(super) fn owns(&self, name: &str) -> bool {
        self.tree.binds(self.scope, name)
    }
}

/// Whether every Python module sees a name.
pub(super) fn is_builtin(name: &str) -> bool {
    BUILTINS.split(' ').any(|builtin| builtin == name)
}

/// Whether what follows a statement is ever reached.
pub(super) fn ends(tree: &Tree, id: NodeId) -> bool {
    execute(tree, id, &mut State::new(), &mut vec![Vec::new()])
}

/// The scope that a name belongs to when it is used in `scope`.
pub(super) fn owner(tree: &Tree, scope: NodeId, name: &str) -> NodeId {
    std::iter::once(scope)
        .chain(tree.ancestors(scope).filter(|id| tree.node(*id).kind != Kind::Class))
        .find(|id| tree.binds(*id, name))
        .unwrap_or(0)
}

/// The names that a block binds for the scope it stands in.
fn bound_in(tree: &Tree, block: NodeId) -> HashSet<&str> {
    let mut bound = HashSet::new();
    let mut outer = HashSet::new();
    let mut at = block + 1;
    while at < tree.node(block).end {
        let node = tree.node(at);
        match node.access {
            Access::Bind | Access::Update => _ = bound.insert(node.name.as_str()),
            Access::Outer => _ = outer.insert(node.name.as_str()),
            Access::None | Access::Read | Access::Unbind | Access::Inner => {}
        }
        // A nested scope binds its own name only.
        at = if node.kind.is_scope() { node.end } else { at + 1 };
    }
    bound.retain(|name| !outer.contains(name));
    bound
}

/// What is bound on the way into `id`, a block or an owner of blocks, towards `next`.
fn enter<'a>(tree: &'a Tree, id: NodeId, next: Option<NodeId>, index: Option<usize>, state: &mut State<'a>) {
    let node = tree.node(id);
    if node.kind == Kind::Block {
        let end = index.unwrap_or_else(|| node.children.iter().position(|c| Some(*c) == next).unwrap_or(0));
        for child in node.children.iter().take(end) {
            execute(tree, *child, state, &mut vec![Vec::new()]);
        }
        return;
    }
    match node.kind {
        Kind::Try => {
            // A handler sees what the body may have bound; `else` and `finally` likewise.
            let body = tree.blocks(id).next();
            if let Some(body) = body.filter(|body| Some(*body) != next) {
                let mut after = state.clone();
                run(tree, body, &mut after, &mut vec![Vec::new()]);
                let sure = next.is_some_and(|n| tree.node(n).kind == Kind::Block && tree.node(n).text == "1");
                *state = if sure { after } else { join(&[after, state.clone()]) };
            }
        }
        Kind::Loop => {
            bind_header(tree, id, state);
            for name in tree.blocks(id).flat_map(|block| bound_in(tree, block)) {
                state.entry(name).or_insert(Bound::Maybe);
            }
        }
        _ => bind_header(tree, id, state),
    }
}

fn bind_header<'a>(tree: &'a Tree, id: NodeId, state: &mut State<'a>) {
    for at in tree.header(id) {
        let node = tree.node(at);
        match node.access {
            Access::Bind | Access::Update if perhaps(tree, id, at) => {
                _ = state.entry(&node.name).or_insert(Bound::Maybe)
            }
            Access::Bind | Access::Update => _ = state.insert(&node.name, Bound::Yes),
            Access::Unbind => _ = state.remove(node.name.as_str()),
            Access::None | Access::Read | Access::Outer | Access::Inner => {}
        }
    }
}

/// Whether a part of a statement's header is executed on some paths only: `b` in `a and b`, in `b if a else c`, in
/// `[b for a in c]`.
fn perhaps(tree: &Tree, statement: NodeId, at: NodeId) -> bool {
    let mut inner = at;
    for outer in tree.ancestors(at).take_while(|outer| *outer != statement) {
        let node = tree.node(outer);
        match node.text.as_str() {
            "and" | "or" if node.kind == Kind::Other && node.children.first() != Some(&inner) => return true,
            "if" | "for" if node.kind == Kind::Other => return true,
            _ => inner = outer,
        }
    }
    false
}

/// Runs a block; false if its end is never reached.
fn run<'a>(tree: &'a Tree, block: NodeId, state: &mut State<'a>, leaving: &mut Leaving<'a>) -> bool {
    tree.node(block).children.iter().all(|child| execute(tree, *child, state, leaving))
}

/// Runs a statement; false if what follows it is never reached.
fn execute<'a>(tree: &'a Tree, id: NodeId, state: &mut State<'a>, leaving: &mut Leaving<'a>) -> bool {
    let node = tree.node(id);
    match node.kind {
        Kind::Function | Kind::Class => _ = state.insert(&node.name, Bound::Yes),
        Kind::Return | Kind::Raise => return false,
        Kind::Break => {
            if let Some(innermost) = leaving.last_mut().filter(|_| node.text != "continue") {
                innermost.push(state.clone());
            }
            return false;
        }
        Kind::With => {
            bind_header(tree, id, state);
            let before = state.clone();
            let ends = tree.blocks(id).all(|block| run(tree, block, state, leaving));
            // What `contextlib.suppress` is given may leave the block anywhere.
            let suppresses = tree.header(id).into_iter().any(|id| tree.node(id).text == "suppress");
            if suppresses {
                *state = join(&[before, std::mem::take(state)]);
            }
            return ends || suppresses;
        }
        Kind::Loop => return repeat(tree, id, state, leaving),
        Kind::Branch => return branch(tree, id, state, leaving),
        Kind::Try => return attempt(tree, id, state, leaving),
        _ => bind_header(tree, id, state),
    }
    !exits(tree, id)
}

/// `sys.exit()`, `assert False`
fn exits(tree: &Tree, id: NodeId) -> bool {
    let [only] = tree.node(id).children.as_slice() else { return false };
    let (only, statement) = (tree.node(*only), tree.node(id));
    let callee = only.children.first().filter(|_| only.kind == Kind::Call).map(|callee| tree.node(*callee));
    let called = callee.is_some_and(|callee| EXITS.contains(&callee.text.as_str()));
    statement.kind == Kind::Simple && (called || statement.text == "assert" && only.text == "False")
}

fn repeat<'a>(tree: &'a Tree, id: NodeId, state: &mut State<'a>, leaving: &mut Leaving<'a>) -> bool {
    let block = |slot: &str| tree.blocks(id).find(|b| tree.node(*b).text == slot);
    let test = tree.node(id).children.first().map(|test| tree.node(*test));
    let endless = test.is_some_and(|test| ["True", "1"].contains(&test.text.as_str()) && test.access == Access::None);
    let before = state.clone();
    bind_header(tree, id, state);
    leaving.push(Vec::new());
    if let Some(body) = block("0") {
        // An earlier iteration may have bound what this one has not yet.
        bound_in(tree, body).into_iter().for_each(|name| _ = state.entry(name).or_insert(Bound::Maybe));
        run(tree, body, state, leaving);
    }
    let mut ends = leaving.pop().unwrap_or_default();
    if !endless {
        let mut done = join(&[before, std::mem::take(state)]);
        if block("1").is_none_or(|other| run(tree, other, &mut done, leaving)) {
            ends.push(done);
        }
    }
    *state = join(&ends);
    !ends.is_empty()
}

fn branch<'a>(tree: &'a Tree, id: NodeId, state: &mut State<'a>, leaving: &mut Leaving<'a>) -> bool {
    bind_header(tree, id, state);
    let mut ends = Vec::new();
    let mut exhaustive = false;
    let arms = tree.node(id).children.iter().copied().filter(|c| tree.node(*c).kind == Kind::Arm);
    let own = tree.blocks(id).map(|block| (block, id));
    let further = arms.flat_map(|arm| tree.blocks(arm).map(move |block| (block, arm)));
    for (block, arm) in own.chain(further) {
        let mut end = state.clone();
        if arm != id {
            bind_header(tree, arm, &mut end);
            exhaustive |= takes_the_rest(tree, arm, block);
        }
        if run(tree, block, &mut end, leaving) {
            ends.push(end);
        }
    }
    if !exhaustive {
        ends.push(std::mem::take(state));
    }
    *state = join(&ends);
    !ends.is_empty()
}

/// `else:`, `case _:`
fn takes_the_rest(tree: &Tree, arm: NodeId, block: NodeId) -> bool {
    match tree.node(arm).children.as_slice() {
        [first, ..] if *first == block => true,
        [pattern, second] => {
            *second == block && tree.node(*pattern).text == "_" && tree.node(*pattern).kind == Kind::Other
        }
        _ => false,
    }
}

fn attempt<'a>(tree: &'a Tree, id: NodeId, state: &mut State<'a>, leaving: &mut Leaving<'a>) -> bool {
    let before = state.clone();
    let block = |slot: &str| tree.blocks(id).find(|b| tree.node(*b).text == slot);
    let mut ends = Vec::new();
    if block("0").is_none_or(|body| run(tree, body, state, leaving))
        && block("1").is_none_or(|other| run(tree, other, state, leaving))
    {
        ends.push(state.clone());
    }
    let during = join(&[before, state.clone()]);
    for handler in tree.node(id).children.iter().copied().filter(|c| tree.node(*c).kind == Kind::Arm) {
        let mut end = during.clone();
        bind_header(tree, handler, &mut end);
        if tree.blocks(handler).all(|body| run(tree, body, &mut end, leaving)) {
            // `except … as e` takes the name away again.
            let caught = tree.node(handler);
            if caught.access.binds() {
                end.remove(caught.name.as_str());
            }
            ends.push(end);
        }
    }
    *state = join(&ends);
    let last = block("2").is_none_or(|last| run(tree, last, state, leaving));
    last && !ends.is_empty()
}

/// What holds where several paths meet.
fn join<'a>(ends: &[State<'a>]) -> State<'a> {
    let mut joined = State::new();
    for name in ends.iter().flat_map(|end| end.keys().copied()) {
        joined.entry(name).or_insert_with(|| {
            let least = ends.iter().map(|end| end.get(name).copied().unwrap_or(Bound::No)).min();
            if least == Some(Bound::Yes) { Bound::Yes } else { Bound::Maybe }
        });
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::python::Source;

    /// What `v` is before the statement `here()`.
    fn bound(text: &str) -> Bound {
        let source = Source::parse(text);
        assert_eq!(source.problems, Vec::<String>::new(), "{text}");
        let here = source.tree.uses("here").iter().find_map(|id| source.tree.statement_of(*id)).expect("a place");
        let (block, index) = source.tree.place(here).expect("in a block");
        Visible::at(&source.tree, block, index).get("v")
    }

    #[test]
    fn a_name_is_bound_where_python_would_find_it() {
        for (expected, text) in [
            (Bound::Yes, "v = 1\nhere()"),
            (Bound::No, "here()\nv = 1"),
            (Bound::No, "v = 1\ndel v\nhere()"),
            (Bound::Maybe, "v = 1\nif a:\n    del v\nhere()"),
            (Bound::Maybe, "if a:\n    v = 1\nhere()"),
            (Bound::Yes, "if a:\n    v = 1\nelse:\n    v = 2\nhere()"),
            (Bound::Yes, "if a:\n    v = 1\nelse:\n    raise b\nhere()"),
            (Bound::Yes, "if a:\n    v = 1\nelse:\n    sys.exit(1)\nhere()"),
            (Bound::Yes, "if a:\n    v = 1\nelse:\n    assert False\nhere()"),
            (Bound::Maybe, "if a:\n    v = 1\nelse:\n    assert b\nhere()"),
            (Bound::Maybe, "for a in b:\n    v = 1\nhere()"),
            (Bound::Maybe, "for a in b:\n    here()\n    v = 1"),
            (Bound::Maybe, "for v in b:\n    pass\nhere()"),
            (Bound::Yes, "for v in b:\n    here()"),
            (Bound::Yes, "for a in b:\n    v = 1\n    break\nelse:\n    v = 2\nhere()"),
            (Bound::Yes, "while True:\n    v = 1\n    if v:\n        break\nhere()"),
            (Bound::Maybe, "while True:\n    if a:\n        break\n    v = 1\nhere()"),
            (
                Bound::Yes,
                "while True:\n    try:\n        v = f()\n        break\n    except E:\n        continue\nhere()",
            ),
            (Bound::Maybe, "try:\n    v = f()\nexcept E:\n    pass\nhere()"),
            (Bound::Yes, "try:\n    v = f()\nfinally:\n    g()\nhere()"),
            (Bound::Maybe, "try:\n    v = f()\nfinally:\n    here()"),
            (Bound::Yes, "try:\n    v = f()\nexcept E:\n    raise\nelse:\n    here()"),
            (Bound::Yes, "try:\n    f()\nexcept E as v:\n    here()"),
            (Bound::Maybe, "v = 1\ntry:\n    f()\nexcept E as v:\n    pass\nhere()"),
            (Bound::Yes, "with f() as v:\n    here()"),
            (Bound::Maybe, "with suppress(E):\n    v = f()\nhere()"),
            (Bound::Yes, "match a:\n    case 1:\n        v = 1\n    case _:\n        v = 2\nhere()"),
            (Bound::Maybe, "match a:\n    case 1:\n        v = 1\n    case _ if b:\n        v = 2\nhere()"),
            (Bound::Yes, "match a:\n    case [*v]:\n        here()"),
            (Bound::Maybe, "if a and (v := f()):\n    pass\nhere()"),
            (Bound::Maybe, "a = [(v := b) for b in c]\nhere()"),
            (Bound::Yes, "if (v := f()) and a:\n    pass\nhere()"),
            (Bound::Maybe, "a = (v := b) if c else d\nhere()"),
            (Bound::No, "a = [v for v in c]\nhere()"),
            (Bound::No, "a = lambda v: v\nhere()"),
            (Bound::No, "for a in b:\n    def f():\n        v = 1\n    here()"),
            (Bound::No, "for a in b:\n    class C:\n        v = 1\n    here()"),
            (Bound::No, "class C:\n    v = 1\n    def f(self):\n        here()"),
            (Bound::Yes, "class C:\n    v = 1\n    here()"),
            (Bound::No, "v = 1\ndef f():\n    here()\n    v = 2"),
            (Bound::Yes, "def f():\n    global v\n    here()"),
            (Bound::Yes, "def f(v):\n    def g():\n        here()"),
            (Bound::Maybe, "from a import *\nhere()"),
            (Bound::Yes, "from a import *\nhere()\nprint(v)"),
        ] {
            assert_eq!(bound(text), expected, "{text}");
        }
    }
}
