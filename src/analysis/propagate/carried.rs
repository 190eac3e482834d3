//! Assignments that give a variable what it holds already, on another device: `x = x.cuda()`. Where one version does so
//! and the other does not, what reads the variable reads the same value.

use std::collections::BTreeSet;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::reach::{Definitions, Place, carrier, reaching};
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// Methods that give the object's value elsewhere, and functions that give that of their first argument.
const CARRIES: &[&str] = &["to", "cuda", "cpu", "contiguous"];
const WRAPS: &[&str] = &["Variable", "as_tensor", "to_device"];
/// Functions that give a model that computes the same, in several places; its attributes are others.
const SPREADS: &[&str] = &["DataParallel", "DistributedDataParallel", "DDP", "compile"];

/// Whether the assignment that holds a definition only carries what the variable held before.
pub(super) fn is_carried(tree: &Tree, path: &str, definition: NodeId) -> bool {
    let node = tree.node(carrier(tree, definition));
    let ([targets, value], Kind::Simple, "") = (node.children.as_slice(), node.kind, node.text.as_str()) else {
        return false;
    };
    if *targets == definition {
        return is_same(tree, path, definition, *value);
    }
    let (names, values) = (&tree.node(*targets).children, &tree.node(*value).children);
    let at = names.iter().position(|id| *id == definition).filter(|_| names.len() == values.len());
    at.is_some_and(|at| tree.node(*value).kind == Kind::Other && is_same(tree, path, definition, values[at]))
}

/// `path`: what is read of it.
fn is_same(tree: &Tree, path: &str, definition: NodeId, mut value: NodeId) -> bool {
    let known = tree.path(definition).unwrap_or_default();
    let attribute = path.strip_prefix(known.as_str()).unwrap_or_default().trim_start_matches('.');
    let of_any = || ["", "parameters", "train", "eval", "training", "zero_grad", "modules"].contains(&attribute);
    while tree.node(value).kind == Kind::Call {
        let callee = tree.node(tree.node(value).children[0]);
        let object = callee.children.first().copied();
        let given = tree.node(value).children.get(1).and_then(|list| tree.node(*list).children.first().copied());
        let inner = match callee.kind {
            Kind::Member if CARRIES.contains(&callee.text.as_str()) => object,
            // The losses of several devices are one loss.
            Kind::Member if callee.text == "mean" && given.is_none() && known.contains("loss") => object,
            Kind::Member | Kind::Name if WRAPS.contains(&callee.text.as_str()) => given,
            Kind::Member | Kind::Name if SPREADS.contains(&callee.text.as_str()) && of_any() => given,
            _ => None,
        };
        let Some(inner) = inner else { return false };
        value = inner;
        if tree.path(value).is_some() {
            return tree.path(value) == tree.path(definition);
        }
    }
    false
}

impl Session<'_> {
    /// Definitions of a path of the source, or of the target, with those before them in place of what only one version
    /// carries elsewhere.
    pub(super) fn carried_from(
        &self,
        is_source: bool,
        path: &str,
        found: Definitions,
        skipped: &dyn Fn(NodeId) -> bool,
    ) -> Definitions {
        let tree = if is_source { &self.source.tree } else { &self.target.tree };
        let (mut open, mut seen, mut ends) =
            (found.into_iter().collect::<Vec<_>>(), BTreeSet::new(), Definitions::new());
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let before = tree.place(carrier(tree, id)).filter(|_| self.is_carried_alone(is_source, path, id));
            match before {
                Some(place) => open.extend(reaching(tree, path, place, skipped)),
                None => _ = ends.insert(id),
            }
        }
        ends
    }

    /// Whether only this version carries a value elsewhere by a definition.
    pub(super) fn is_carried_alone(&self, is_source: bool, path: &str, id: NodeId) -> bool {
        let tree = if is_source { &self.source.tree } else { &self.target.tree };
        let at = carrier(tree, id);
        let known = if is_source { self.counterpart(at) } else { self.matching.source(at) };
        known.is_none() && is_carried(tree, path, id)
    }

    /// The definitions of a path that reach a place of the target.
    pub(super) fn definitions_there(&self, path: &str, place: Place) -> Definitions {
        let found = reaching(&self.target.tree, path, place, &|_| false);
        self.carried_from(false, path, found, &|_| false)
    }
}
