//! Sums of one name that add up different things: `total` of a training's losses and `total` of the parameters' norms.

use std::collections::BTreeSet;

use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::checks::adds;
use crate::analysis::propagate::reach::{Definitions, carrier, reaching};
use crate::analysis::propagate::unit::PURE;
use crate::analysis::treediff::{Kind, NodeId, Tree};

impl Work<'_, '_> {
    /// The lines, in the source and in the target, that add different things to what a statement reads and to the variable
    /// of the target that it would read.
    pub(super) fn another_sum(&self, path: &str, theirs: &str, id: NodeId) -> Option<(u32, u32)> {
        let (session, ours, there) = (self.session, self.source(), &self.session.target.tree);
        let place = ours.statement_of(id).and_then(|statement| ours.place(statement))?;
        if !ours.binders(path).iter().any(|id| adds(ours, *id).is_some()) {
            return None;
        }
        let sums = |tree: &Tree, found: Definitions| -> Vec<NodeId> {
            let sums = found.into_iter().filter(|id| adds(tree, *id).is_some());
            sums.map(|id| carrier(tree, id)).collect()
        };
        let was = sums(ours, session.definitions_at(path, place));
        let is = sums(there, reaching(there, theirs, (self.point.block, self.point.index), &|_| false));
        let around = |tree: &Tree, id: NodeId| {
            let mut outer = tree.ancestors(id).take_while(|id| !tree.node(*id).kind.is_scope());
            outer.find(|id| tree.node(*id).kind == Kind::Loop)
        };
        let other = |a: NodeId, b: NodeId| {
            let (x, y) = (around(ours, a), around(there, b));
            let same_loop = x.is_some() && x.and_then(|x| session.counterpart(x)) == y;
            !same_loop && session.counterpart(a).is_none() && words(ours, a).is_disjoint(&words(there, b))
        };
        let (first, last) = (was.first().copied()?, is.first().copied()?);
        let all = was.iter().all(|a| is.iter().all(|b| other(*a, *b)));
        let line = |id: NodeId| session.source.lines.line(ours.node(id).range.start);
        all.then(|| (line(first), session.target.lines.line(there.node(last).range.start)))
    }
}

/// The words of what an assignment adds, and of the loop around it.
fn words(tree: &Tree, statement: NodeId) -> BTreeSet<&str> {
    let value = tree.node(statement).children.last().map(|id| tree.subtree(*id)).unwrap_or_default();
    let named = value.filter(|id| matches!(tree.node(*id).kind, Kind::Name | Kind::Member));
    named.map(|id| tree.node(id).text.as_str()).filter(|word| !PURE.contains(word)).collect()
}
