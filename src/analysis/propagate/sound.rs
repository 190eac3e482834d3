//! Whether every name that was brought into a target has a value where it is read: checked on the result, whatever way
//! the statements came there.

use std::collections::HashMap;

use crate::analysis::propagate::insert::Edit;
use crate::analysis::propagate::scope::{Bound, Visible, is_builtin};
use crate::analysis::propagate::unsure::under_what;
use crate::analysis::python::Source;
use crate::analysis::treediff::{NodeId, Tree};

/// A name that an edit reads without a value, or perhaps without one.
pub(super) struct Lacking {
    /// The edit, by its index.
    pub(super) edit: usize,
    pub(super) name: String,
    /// It has a value on some paths.
    pub(super) perhaps: bool,
    /// On which ones.
    pub(super) path: String,
}

/// The names that edits read and that have no value for sure. `edits` stand in the order of their offsets. O(n) for each
/// statement in an edit.
pub(super) fn lacking(source: &Source<'_>, target: &Source<'_>, result: &Source<'_>, edits: &[Edit]) -> Vec<Lacking> {
    let tree = &result.tree;
    let mut found: Vec<Lacking> = Vec::new();
    let mut shift = 0;
    for (at, edit) in edits.iter().enumerate() {
        let range = edit.offset + shift..edit.offset + shift + edit.text.len();
        shift += edit.text.len();
        let mut known: HashMap<NodeId, Visible<'_>> = HashMap::new();
        let first = tree.nodes.partition_point(|node| node.range.start < range.start);
        let inside = |id: &NodeId| range.contains(&tree.node(*id).range.start) && tree.node(*id).access.reads();
        for id in (first..tree.nodes.len()).take_while(|id| tree.node(*id).range.start < range.end).filter(inside) {
            let name = tree.node(id).name.as_str();
            let bound = bound(target, tree, &mut known, id, name);
            let perhaps = bound == Bound::Maybe;
            let new = bound != Bound::Yes && !found.iter().any(|one| one.edit == at && one.name == name);
            let is_told = || perhaps && (is_known(target, tree, id, name) || is_perhaps(source, edit.order, name));
            if new && !is_told() {
                let place = tree.statement_of(id).and_then(|statement| tree.place(statement)).filter(|_| perhaps);
                let path = place.map(|place| under_what(result, name, place)).unwrap_or_default();
                found.push(Lacking { edit: at, name: name.to_owned(), perhaps, path });
            }
        }
    }
    found
}

fn bound<'r>(
    target: &Source<'_>,
    tree: &'r Tree,
    known: &mut HashMap<NodeId, Visible<'r>>,
    id: NodeId,
    name: &str,
) -> Bound {
    if tree.binders(name).is_empty() {
        let reads = |id: &NodeId| target.tree.node(*id).access.reads();
        let foreign = is_builtin(name) || tree.binds(0, "*") || target.tree.uses(name).iter().any(reads);
        return if foreign { Bound::Yes } else { Bound::No };
    }
    let Some(statement) = tree.statement_of(id) else { return Bound::Yes };
    // What a statement gives a value itself is told apart elsewhere.
    let own =
        |id: NodeId| tree.node(id).name == name && tree.node(id).access == crate::analysis::treediff::Access::Bind;
    let (Some((block, index)), false) = (tree.place(statement), tree.header(statement).into_iter().any(own)) else {
        return Bound::Yes;
    };
    known.entry(statement).or_insert_with(|| Visible::at(tree, block, index)).get(name)
}

/// Whether the target gives a name a value there itself: its paths have been looked at.
fn is_known(target: &Source<'_>, tree: &Tree, id: NodeId, name: &str) -> bool {
    let scope = tree.node(tree.scope(id));
    target.tree.binders(name).iter().any(|id| {
        let home = target.tree.node(target.tree.scope(*id));
        (home.kind, &home.text) == (scope.kind, &scope.text)
    })
}

/// Whether a name has a value on some paths only where a statement of the source stands.
fn is_perhaps(source: &Source<'_>, statement: NodeId, name: &str) -> bool {
    let place = source.tree.place(statement);
    place.is_some_and(|(block, index)| Visible::at(&source.tree, block, index).get(name) == Bound::Maybe)
}
