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
    state: State,
    /// Bound anywhere in the place's own scope, unless declared to be outer.
    own: HashSet<&'a str>,
}

type State = HashMap<String, Bound>;

impl<'a> Visible<'a> {
    /// Before the statement at `index` of `block`.
    pub(super) fn at(tree: &'a Tree, block: NodeId, index: usize) -> Self {
        let scope = tree.scope(block);
        let mut state = State::new();
        if tree.node(scope).kind == Kind::Function {
            for id in tree.header(scope).into_iter().filter(|id| tree.node(*id).kind == Kind::Parameter) {
                state.insert(tree.node(id).name.clone(), Bound::Yes);
            }
        }
        let mut path: Vec<NodeId> =
            std::iter::once(block).chain(tree.ancestors(block)).take_while(|id| *id != scope).collect();
        path.reverse();
        for (step, id) in path.iter().enumerate() {
            let next = path.get(step + 1).copied();
            enter(tree, *id, next, if *id == block { Some(index) } else { None }, &mut state);
        }
        Self { tree, scope, state, own: bound_in(tree, scope) }
    }

    /// Whether `name` has a value here.
    pub(super) fn get(&self, name: &str) -> Bound {
        if self.own.contains(name) || self.scope == 0 {
            if let Some(bound) = self.state.get(name) {
                return *bound;
            }
            if self.tree.node(self.scope).kind == Kind::Function {
                return Bound::No;
            }
        }
        for outer in self.tree.ancestors(self.scope).filter(|id| self.tree.node(*id).kind != Kind::Class) {
            if self.tree.node(outer).kind.is_scope() && bound_in(self.tree, outer).contains(name) {
                return Bound::Yes;
            }
        }
        let declared = || self.tree.nodes.iter().any(|n| n.access == Access::Outer && n.name == name);
        if BUILTINS.split(' ').any(|builtin| builtin == name) || (self.scope != 0 && declared()) {
            return Bound::Yes;
        }
        // Somebody's `from x import *` may bind anything, and what the scope reads without our seeing its definition
        // is there as surely for us.
        if bound_in(self.tree, 0).contains("*") || self.is_foreign(name) { Bound::Yes } else { Bound::No }
    }

    /// Whether the place's own scope reads a name that nothing in the file binds.
    fn is_foreign(&self, name: &str) -> bool {
        let nodes = &self.tree.nodes;
        let bound = || nodes.iter().any(|n| n.name == name && (n.access.binds() || n.access == Access::Inner));
        let mut reads = self.tree.subtree(self.scope).filter(|id| nodes[*id].access.reads() && nodes[*id].name == name);
        reads.any(|id| self.tree.scope(id) == self.scope) && !bound()
    }

    /// Whether the place's own scope binds `name` anywhere.
    pub(super) fn owns(&self, name: &str) -> bool {
        self.own.contains(name)
    }
}

/// The scope that a name belongs to when it is used in `scope`.
pub(super) fn owner(tree: &Tree, scope: NodeId, name: &str) -> NodeId {
    std::iter::once(scope)
        .chain(tree.ancestors(scope).filter(|id| tree.node(*id).kind != Kind::Class))
        .find(|id| tree.node(*id).kind.is_scope() && bound_in(tree, *id).contains(name))
        .unwrap_or(0)
}

/// The names that a scope binds, parameters included.
pub(super) fn bound_in(tree: &Tree, scope: NodeId) -> HashSet<&str> {
    let mut bound = HashSet::new();
    let mut outer = HashSet::new();
    let mut at = scope + 1;
    while at < tree.node(scope).end {
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
fn enter(tree: &Tree, id: NodeId, next: Option<NodeId>, index: Option<usize>, state: &mut State) {
    let node = tree.node(id);
    if node.kind == Kind::Block {
        let end = index.unwrap_or_else(|| node.children.iter().position(|c| Some(*c) == next).unwrap_or(0));
        for child in node.children.iter().take(end) {
            execute(tree, *child, state);
        }
        return;
    }
    match node.kind {
        Kind::Try => {
            // A handler sees what the body may have bound; `else` and `finally` likewise.
            let body = tree.blocks(id).next();
            if let Some(body) = body.filter(|body| Some(*body) != next) {
                let mut after = state.clone();
                run(tree, body, &mut after);
                let sure = next.is_some_and(|n| tree.node(n).kind == Kind::Block && tree.node(n).text == "1");
                *state = if sure { after } else { join(&[after, state.clone()]) };
            }
        }
        Kind::Loop => {
            bind_header(tree, id, state);
            let body = next.into_iter().flat_map(|block| tree.subtree(block));
            for name in body.filter(|n| tree.node(*n).access.binds()).map(|n| tree.node(n).name.clone()) {
                state.entry(name).or_insert(Bound::Maybe);
            }
        }
        _ => bind_header(tree, id, state),
    }
}

fn bind_header(tree: &Tree, id: NodeId, state: &mut State) {
    for node in tree.header(id).into_iter().map(|id| tree.node(id)) {
        match node.access {
            Access::Bind | Access::Update => _ = state.insert(node.name.clone(), Bound::Yes),
            Access::Unbind => _ = state.remove(&node.name),
            Access::None | Access::Read | Access::Outer | Access::Inner => {}
        }
    }
}

/// Runs a block; false if its end is never reached.
fn run(tree: &Tree, block: NodeId, state: &mut State) -> bool {
    tree.node(block).children.iter().all(|child| execute(tree, *child, state))
}

/// Runs a statement; false if what follows it is never reached.
fn execute(tree: &Tree, id: NodeId, state: &mut State) -> bool {
    let node = tree.node(id);
    match node.kind {
        Kind::Function | Kind::Class => _ = state.insert(node.name.clone(), Bound::Yes),
        Kind::Return | Kind::Raise | Kind::Break => return false,
        Kind::With => {
            bind_header(tree, id, state);
            return tree.blocks(id).all(|block| run(tree, block, state));
        }
        Kind::Loop => {
            let before = state.clone();
            bind_header(tree, id, state);
            for block in tree.blocks(id) {
                run(tree, block, state);
            }
            *state = join(&[before, std::mem::take(state)]);
        }
        Kind::Branch => return branch(tree, id, state),
        Kind::Try => return attempt(tree, id, state),
        _ => bind_header(tree, id, state),
    }
    true
}

fn branch(tree: &Tree, id: NodeId, state: &mut State) -> bool {
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
            exhaustive |= tree.node(arm).children.first() == Some(&block);
        }
        if run(tree, block, &mut end) {
            ends.push(end);
        }
    }
    if !exhaustive {
        ends.push(std::mem::take(state));
    }
    *state = join(&ends);
    !ends.is_empty()
}

fn attempt(tree: &Tree, id: NodeId, state: &mut State) -> bool {
    let before = state.clone();
    let block = |slot: &str| tree.blocks(id).find(|b| tree.node(*b).text == slot);
    let mut ends = Vec::new();
    if block("0").is_none_or(|body| run(tree, body, state)) && block("1").is_none_or(|other| run(tree, other, state)) {
        ends.push(state.clone());
    }
    let during = join(&[before, state.clone()]);
    for handler in tree.node(id).children.iter().copied().filter(|c| tree.node(*c).kind == Kind::Arm) {
        let mut end = during.clone();
        bind_header(tree, handler, &mut end);
        if tree.blocks(handler).all(|body| run(tree, body, &mut end)) {
            ends.push(end);
        }
    }
    *state = join(&ends);
    let last = block("2").is_none_or(|last| run(tree, last, state));
    last && !ends.is_empty()
}

/// What holds where several paths meet.
fn join(ends: &[State]) -> State {
    let mut joined = State::new();
    for name in ends.iter().flat_map(HashMap::keys) {
        let least = ends.iter().map(|end| end.get(name).copied().unwrap_or(Bound::No)).min();
        joined.insert(name.clone(), if least == Some(Bound::Yes) { Bound::Yes } else { Bound::Maybe });
    }
    joined
}
