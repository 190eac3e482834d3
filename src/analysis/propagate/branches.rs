//! Values that one version chooses by an expression and the other by a branch, and further arms in which the target
//! computes its value: `lr = a if decay else b` against `if decay: lr = a` and `else: lr = b`.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::callers::Origin;
use crate::analysis::propagate::fits::function;
use crate::analysis::propagate::made::is_begun;
use crate::analysis::propagate::reach::{carrier, is_stored, reaching};
use crate::analysis::treediff::{Kind, NodeId, Tree};

impl Session<'_> {
    /// Whether a definition of one version is one way of a choice that a definition of the other makes.
    pub(super) fn is_chosen(tree: &Tree, id: NodeId, other: &Tree, origins: &[Origin]) -> bool {
        let Some(value) = assigned(tree, carrier(tree, id)) else { return false };
        let hash = tree.node(value).hash;
        origins.iter().filter_map(|(_, id)| assigned(other, carrier(other, *id))).any(|choice| {
            let node = other.node(choice);
            let chooses = node.kind == Kind::Other && node.text == "if";
            chooses && node.children.iter().any(|way| other.node(*way).hash == hash)
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
            was.is_some_and(|was| others.iter().any(|(_, id)| carrier(ours, *id) == was))
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

/// What a simple assignment to one target assigns.
fn assigned(tree: &Tree, statement: NodeId) -> Option<NodeId> {
    let node = tree.node(statement);
    let plain = node.kind == Kind::Simple && node.children.len() == 2 && node.text.is_empty();
    node.children.last().copied().filter(|_| plain)
}
