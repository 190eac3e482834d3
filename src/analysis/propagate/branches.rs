//! Values that one version chooses by an expression and the other by a branch, and further arms in which the target
//! computes its value: `lr = a if decay else b` against `if decay: lr = a` and `else: lr = b`.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::callers::Origin;
use crate::analysis::propagate::fits::function;
use crate::analysis::propagate::made::is_begun;
use crate::analysis::propagate::reach::{carrier, is_stored, reaching};
use crate::analysis::treediff::{Kind, NodeId, Tree};

impl Session<'_> {
    /// Whether a definition of one version is one way of a choice that a definition of the other makes: the same value, on
    /// the same condition.
    pub(super) fn is_chosen(tree: &Tree, id: NodeId, other: &Tree, origins: &[Origin]) -> bool {
        let at = carrier(tree, id);
        let mut made = origins.iter().map(|(_, id)| carrier(other, *id));
        // Either of them may be the one that branches.
        made.any(|made| {
            branches_as(tree, at, other, made).unwrap_or(false) || branches_as(other, made, tree, at).unwrap_or(false)
        })
    }

    /// Whether a definition of one version stands in another arm of a branch than one that has a counterpart among those
    /// of the other: either of them reaches the place, never both. `own`: those of its version.
    pub(super) fn is_other_arm(&self, is_source: bool, id: NodeId, own: &[Origin], others: &[Origin]) -> bool {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let (theirs, ours) = if is_source { (ours, theirs) } else { (theirs, ours) };
        let at = carrier(theirs, id);
        let known = |other: NodeId| {
            let was = if is_source { self.counterpart(other) } else { self.matching.source(other) };
            // An expression that chooses gives what the arms give together, or something else.
            let alike = |was: NodeId| is_choice(ours, was) == is_choice(theirs, other);
            was.is_some_and(|was| alike(was) && others.iter().any(|(_, id)| carrier(ours, *id) == was))
        };
        let others = own.iter().map(|(_, id)| carrier(theirs, *id)).filter(|other| *other != at);
        others.filter(|other| known(*other)).any(|other| {
            let around = theirs.ancestors(at).find(|outer| theirs.contains(*outer, other));
            // Each is in an arm of its own.
            let is_arm = |id: NodeId| {
                let block = theirs.ancestors(id).take_while(|outer| Some(*outer) != around).last();
                block.is_some_and(|block| matches!(theirs.node(block).kind, Kind::Block | Kind::Arm))
            };
            around.is_some_and(|outer| theirs.node(outer).kind == Kind::Branch) && is_arm(at) && is_arm(other)
        })
    }

    /// Whether a definition only begins a variable, as another scope of the other version begins the attribute that is read
    /// there: `best = 0` of a script, and `self.best = 0` of a constructor.
    pub(super) fn is_begun_in_both(tree: &Tree, id: NodeId, other: &Tree, origins: &[Origin]) -> bool {
        let at = carrier(tree, id);
        let Some(value) = assigned(tree, at).filter(|_| is_begun(tree, at)) else { return false };
        let begins = |path: &str, member: NodeId| {
            let statement = carrier(other, member);
            let same = assigned(other, statement).is_some_and(|v| other.node(v).hash == tree.node(value).hash);
            same && other.path(member).as_deref() == Some(path) && is_stored(other, member)
        };
        origins.iter().map(|(path, _)| path.as_str()).filter(|path| path.starts_with("self.")).any(|path| {
            let members = other.uses("self").iter().filter_map(|id| other.node(*id).parent);
            members.into_iter().any(|member| begins(path, member))
        })
    }

    /// The origins of what a definition takes from a function of the file that gives back one of its variables.
    pub(super) fn returned(&self, is_source: bool, origin: Origin) -> Vec<Origin> {
        let source = if is_source { self.source } else { self.target };
        let tree = &source.tree;
        let at = carrier(tree, origin.1);
        let known = if is_source { self.counterpart(at) } else { self.matching.source(at) };
        let found = || {
            let node = tree.node(at);
            let ([targets, value], Kind::Simple, "") = (node.children.as_slice(), node.kind, node.text.as_str()) else {
                return None;
            };
            let callee = tree.node(*value).children.first().filter(|_| tree.node(*value).kind == Kind::Call)?;
            let function = function(tree, &tree.path(*callee)?)?;
            let own = |id: &NodeId| tree.node(*id).kind == Kind::Return && tree.scope(*id) == function;
            let mut returns = tree.subtree(function).filter(own);
            let (Some(only), None) = (returns.next(), returns.next()) else { return None };
            let given = tree.node(only).children.first().copied()?;
            let (names, values) = (&tree.node(*targets).children, &tree.node(given).children);
            let value = match names.iter().position(|id| *id == origin.1) {
                None if *targets == origin.1 => given,
                Some(at) if names.len() == values.len() && tree.node(given).kind == Kind::Other => values[at],
                _ => return None,
            };
            let variable = tree.path(value)?;
            let rest = origin.0.strip_prefix(tree.path(origin.1)?.as_str())?.to_owned();
            let path = variable + &rest;
            let found = reaching(tree, &path, tree.place(only)?, &|_| false);
            (!found.is_empty()).then(|| found.into_iter().map(|id| (path.clone(), id)).collect::<Vec<Origin>>())
        };
        if known.is_some() { vec![origin] } else { found().unwrap_or_else(|| vec![origin]) }
    }
}

/// Whether an assignment stands in a branch whose two arms assign what an expression chooses between, each on the condition
/// on which that does; `None` where there is no such branch, or no such expression.
fn branches_as(tree: &Tree, at: NodeId, other: &Tree, choice: NodeId) -> Option<bool> {
    let node = other.node(assigned(other, choice)?);
    let ([body, test, rest], true) = (node.children.as_slice(), is_choice(other, choice)) else { return None };
    let holder = tree.node(tree.node(at).parent?).parent?;
    let is_else = tree.node(holder).kind == Kind::Arm;
    let branch = tree.node(if is_else { tree.node(holder).parent? } else { holder });
    let [asked, first, arm] = branch.children.as_slice() else { return None };
    let [last] = tree.node(*arm).children.as_slice() else { return None };
    let two = branch.kind == Kind::Branch && [first, last].iter().all(|id| tree.node(**id).kind == Kind::Block);
    let same = |a: NodeId, b: NodeId| tree.node(a).hash == other.node(b).hash;
    let variable = |id: NodeId| tree.node(tree.node(id).children[0]).hash;
    let assigns = |block: NodeId, value: NodeId| {
        let mut statements = tree.node(block).children.iter().filter(|id| assigned(tree, **id).is_some());
        let last = statements.rfind(|id| variable(**id) == variable(at));
        last.and_then(|id| assigned(tree, *id)).is_some_and(|given| same(given, value))
    };
    assigned(tree, at)?;
    Some(two && same(*asked, *test) && assigns(*first, *body) && assigns(*last, *rest))
}

/// Whether an assignment assigns one of two values, on a condition.
fn is_choice(tree: &Tree, statement: NodeId) -> bool {
    let value = assigned(tree, statement).map(|id| tree.node(id));
    value.is_some_and(|node| node.kind == Kind::Other && node.text == "if" && node.children.len() == 3)
}

/// What a simple assignment to one target assigns.
fn assigned(tree: &Tree, statement: NodeId) -> Option<NodeId> {
    let node = tree.node(statement);
    let plain = node.kind == Kind::Simple && node.children.len() == 2 && node.text.is_empty();
    node.children.last().copied().filter(|_| plain)
}
