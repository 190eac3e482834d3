//! Which definitions of a variable reach a place: a forward analysis over structured code. O(n) a place.
//!
//! A path, `losses` or `self.losses`, is defined by whatever binds its base and by assignments to it or to what holds
//! it. What is only changed in place keeps its definition.

use std::collections::{BTreeSet, HashMap};

use crate::analysis::propagate::events::SAME;
use crate::analysis::propagate::scope::owner;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// The nodes that give a path its value: names, parameters, imports, functions, members.
pub(super) type Definitions = BTreeSet<NodeId>;

/// A place: before the statement at an index of a block.
pub(super) type Place = (NodeId, usize);

/// The definitions of `path` that reach a place. `skipped` statements are as if they were not there.
pub(super) fn reaching(tree: &Tree, path: &str, place: Place, skipped: &dyn Fn(NodeId) -> bool) -> Definitions {
    let inside = std::iter::once(place.0).chain(tree.ancestors(place.0));
    let scope = inside.into_iter().find(|id| tree.node(*id).kind.is_scope()).unwrap_or(0);
    let base = path.split('.').next().unwrap_or(path);
    let home = owner(tree, scope, base);
    let mut by_carrier: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for id in definitions(tree, scope, path).filter(|id| !skipped(*id)) {
        by_carrier.entry(carrier(tree, id)).or_default().push(id);
    }
    // What an outer scope binds may have any of its values when it is read here.
    let start: Definitions = if home == scope {
        by_carrier.get(&scope).into_iter().flatten().copied().collect()
    } else {
        definitions(tree, home, base).filter(|id| !skipped(*id)).collect()
    };
    let mut flow =
        Flow { tree, by_carrier, place, found: Definitions::new(), leaving: Vec::new(), seen: HashMap::new() };
    for block in tree.blocks(scope) {
        flow.block(block, Some(start.clone()));
    }
    flow.found
}

/// The statement, arm or function whose header holds a definition.
pub(super) fn carrier(tree: &Tree, definition: NodeId) -> NodeId {
    std::iter::once(definition)
        .chain(tree.ancestors(definition))
        .find(|id| tree.node(*id).kind.is_statement() || tree.node(*id).kind == Kind::Arm)
        .unwrap_or(0)
}

/// The definitions of a path in the header of a statement, an arm or a function.
pub(super) fn defined_by(tree: &Tree, carrier: NodeId, path: &str) -> Option<NodeId> {
    tree.header(carrier).into_iter().find(|id| defines(tree, *id, path))
}

/// All definitions of a path in one scope.
fn definitions<'t>(tree: &'t Tree, scope: NodeId, path: &'t str) -> impl Iterator<Item = NodeId> + 't {
    let base = path.split('.').next().unwrap_or(path);
    let of_scope = tree.uses(base).iter().copied().filter(move |id| tree.scope(*id) == scope);
    of_scope.flat_map(move |id| with_members(tree, id)).filter(move |id| defines(tree, *id, path))
}

/// A node, and the members that start with it: `a`, `a.b` and `a.b.c` of `a.b.c`.
pub(super) fn with_members(tree: &Tree, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    let further = move |id: &NodeId| {
        let parent = tree.node(*id).parent?;
        (tree.node(parent).kind == Kind::Member).then_some(parent)
    };
    std::iter::successors(Some(id), further)
}

pub(super) fn defines(tree: &Tree, id: NodeId, path: &str) -> bool {
    let node = tree.node(id);
    if node.access.binds() {
        return path.strip_prefix(node.name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    }
    let holds = |stored: &str| path.strip_prefix(stored).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    node.kind == Kind::Member && tree.path(id).is_some_and(|stored| holds(&stored)) && is_stored(tree, id)
}

/// Whether a member is what an assignment assigns to.
pub(super) fn is_stored(tree: &Tree, id: NodeId) -> bool {
    let mut at = id;
    loop {
        let Some(parent) = tree.node(at).parent else { return false };
        match tree.node(parent).kind {
            Kind::Other => at = parent,
            Kind::Simple => {
                let children = &tree.node(parent).children;
                return children.len() > 1 && children.last() != Some(&at);
            }
            _ => return false,
        }
    }
}

/// The state is `None` where nothing arrives.
struct Flow<'a> {
    tree: &'a Tree,
    by_carrier: HashMap<NodeId, Vec<NodeId>>,
    place: Place,
    found: Definitions,
    /// What leaves the iterations of the loops around by `break` and `continue`.
    leaving: Vec<Definitions>,
    /// What loops leave of what they were given: each is run through twice, those within it with the same again.
    seen: HashMap<(NodeId, Definitions), Option<Definitions>>,
}

impl Flow<'_> {
    fn block(&mut self, block: NodeId, mut state: Option<Definitions>) -> Option<Definitions> {
        let tree = self.tree;
        let children = &tree.node(block).children;
        for index in 0..=children.len() {
            if self.place == (block, index) {
                self.found.extend(state.iter().flatten());
            }
            if let Some(child) = children.get(index) {
                state = state.and_then(|state| self.statement(*child, state));
            }
        }
        state
    }

    fn defined(&self, carrier: NodeId, state: Definitions) -> Definitions {
        self.by_carrier.get(&carrier).map_or(state, |own| own.iter().copied().collect())
    }

    fn statement(&mut self, id: NodeId, state: Definitions) -> Option<Definitions> {
        let tree = self.tree;
        match tree.node(id).kind {
            Kind::Return | Kind::Raise => None,
            Kind::Break => {
                if let Some(leaving) = self.leaving.last_mut() {
                    leaving.extend(state);
                }
                None
            }
            Kind::With => {
                let state = self.defined(id, state);
                tree.blocks(id).try_fold(state, |state, block| self.block(block, Some(state)))
            }
            // What leaves from an `else` leaves the loop around.
            Kind::Loop if tree.blocks(id).count() > 1 => self.repeat(id, state),
            Kind::Loop => {
                let key = (id, state);
                if let Some(end) = self.seen.get(&key) {
                    return end.clone();
                }
                let end = self.repeat(id, key.1.clone());
                self.seen.insert(key, end.clone());
                end
            }
            Kind::Branch => self.branch(id, state),
            Kind::Try => self.attempt(id, state),
            _ => Some(self.defined(id, state)),
        }
    }

    /// A loop is taken to run at least once: what it computes in both versions would else compete with what was there
    /// before. Sets of definitions only grow, and what the first iteration leaves is all that others start with.
    fn repeat(&mut self, id: NodeId, state: Definitions) -> Option<Definitions> {
        let tree = self.tree;
        let block = |slot: &str| tree.blocks(id).find(|b| tree.node(*b).text == slot);
        let (mut next, mut end, mut left) = (state.clone(), None, Definitions::new());
        // What comes of two sets together comes of each: the second time nothing but what is new goes round, which is
        // much the same however the loop was reached, and known in `seen` then.
        for _ in 0..2 {
            self.leaving.push(Definitions::new());
            let start = self.defined(id, next);
            join(&mut end, block("0").map_or(Some(start.clone()), |body| self.block(body, Some(start))));
            left.extend(self.leaving.pop().unwrap_or_default());
            next = end.iter().flatten().chain(&left).copied().filter(|id| !state.contains(id)).collect();
            if next.is_empty() {
                break;
            }
        }
        // What leaves by `break` or `continue` is not told apart.
        if !left.is_empty() {
            end.get_or_insert_default().extend(&left);
        }
        let after = block("1").map_or(end.clone(), |other| self.block(other, end));
        if left.is_empty() {
            return after;
        }
        let mut after = after.unwrap_or_default();
        after.extend(left);
        Some(after)
    }

    fn branch(&mut self, id: NodeId, state: Definitions) -> Option<Definitions> {
        let tree = self.tree;
        let state = self.defined(id, state);
        let (mut end, mut exhaustive) = (None, false);
        for block in tree.blocks(id) {
            join(&mut end, self.block(block, Some(state.clone())));
        }
        for arm in arms(tree, id) {
            let start = self.defined(arm, state.clone());
            for block in tree.blocks(arm) {
                exhaustive |= tree.node(arm).children.first() == Some(&block);
                join(&mut end, self.block(block, Some(start.clone())));
            }
        }
        if !exhaustive {
            join(&mut end, Some(state));
        }
        end
    }

    /// A handler may start with what any statement of the body has left.
    fn attempt(&mut self, id: NodeId, state: Definitions) -> Option<Definitions> {
        let tree = self.tree;
        let block = |slot: &str| tree.blocks(id).find(|b| tree.node(*b).text == slot);
        let mut during = state.clone();
        let body = block("0");
        let own = self.by_carrier.iter().filter(|(c, _)| body.is_some_and(|body| tree.contains(body, **c)));
        during.extend(own.flat_map(|(_, own)| own.iter().copied()));
        let mut end = body.map_or(Some(state.clone()), |body| self.block(body, Some(state)));
        if let Some(other) = block("1") {
            end = self.block(other, end);
        }
        for handler in arms(tree, id) {
            let start = self.defined(handler, during.clone());
            let handled = tree.blocks(handler).try_fold(start, |state, block| self.block(block, Some(state)));
            join(&mut end, handled);
        }
        let Some(last) = block("2") else { return end };
        if tree.contains(last, self.place.0) {
            join(&mut end, Some(during));
        }
        self.block(last, end)
    }
}

fn arms(tree: &Tree, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    tree.node(id).children.iter().copied().filter(|child| tree.node(*child).kind == Kind::Arm)
}

fn join(end: &mut Option<Definitions>, other: Option<Definitions>) {
    if let Some(other) = other {
        end.get_or_insert_default().extend(other);
    }
}

/// What a call, a subscript or a chain of methods that give the same object starts with.
pub(super) fn root(tree: &Tree, mut id: NodeId) -> NodeId {
    loop {
        let node = tree.node(id);
        let Some(first) = node.children.first().copied() else { return id };
        let callee = tree.node(first);
        let same = node.kind == Kind::Call && callee.kind == Kind::Member && SAME.contains(&callee.text.as_str());
        id = match node.kind {
            Kind::Other if is_item(tree, id) => first,
            Kind::Call if same => callee.children.first().copied().unwrap_or(id),
            Kind::Member if tree.path(id).is_none() => first,
            _ => return id,
        };
    }
}

/// `a[b]`
pub(super) fn is_item(tree: &Tree, id: NodeId) -> bool {
    let node = tree.node(id);
    let bound = |id: &NodeId| tree.node(*id).access.binds();
    node.kind == Kind::Other && node.children.len() == 2 && node.text.is_empty() && !node.children.iter().any(bound)
}

/// Whether a member or an entry is itself what an assignment gives a value.
pub(super) fn is_stored_itself(tree: &Tree, id: NodeId) -> bool {
    let inner = tree.node(id).parent.is_some_and(|parent| {
        let parent = tree.node(parent);
        parent.kind == Kind::Member || is_item(tree, tree.node(id).parent.unwrap_or(id))
    });
    !inner && is_stored(tree, id)
}
