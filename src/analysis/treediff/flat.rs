//! Simple statements that a version has in a further block (an accumulation guard, a `with`, a loop over parts of a
//! batch) and the other one beside it.

use crate::analysis::treediff::align::align;
use crate::analysis::treediff::matching::{ALIKE_STATEMENTS, Matcher};
use crate::analysis::treediff::tree::{Kind, NodeId, Tree};

/// Statements that have changed places and are less alike than this do not correspond.
const ALIKE_MOVED: f64 = 0.6;
/// Beyond this many on either side they are data.
const MOST_MOVED: usize = 64;

impl Matcher<'_> {
    /// Aligns corresponding blocks anew, as if what only one version wraps were not wrapped. O(n·m) for blocks of n and m
    /// statements with what is wrapped in them.
    pub(super) fn align_unwrapped(&mut self) {
        let blocks: Vec<(NodeId, NodeId)> =
            self.found.pairs().filter(|(a, _)| self.source.node(*a).kind == Kind::Block).collect();
        for (a, b) in blocks {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let wrapped = unwrap(self.source, a, &|id| self.free(id), &mut ours)
                | unwrap(self.target, b, &|id| self.free_target(id), &mut theirs);
            let simple = |tree: &Tree, id: NodeId| tree.node(id).kind == Kind::Simple;
            let left = ours.iter().any(|id| simple(self.source, *id) && self.free(*id))
                && theirs.iter().any(|id| simple(self.target, *id) && self.free_target(*id));
            if !left {
                continue;
            }
            if !wrapped {
                self.link_moved(&ours, &theirs);
                continue;
            }
            let alike = |i: usize, j: usize| {
                let (x, y) = (ours[i], theirs[j]);
                let linked = self.found.forward[x] == Some(y);
                let score = if linked || simple(self.source, x) { self.statement_score(x, y) } else { 0.0 };
                // That nothing else binds its name tells nothing across blocks.
                if score > ALIKE_STATEMENTS { score } else { 0.0 }
            };
            let pairs = align(ours.len(), theirs.len(), alike).into_iter().map(|(i, j)| (ours[i], theirs[j]));
            let new: Vec<(NodeId, NodeId)> = pairs.filter(|(x, y)| self.free(*x) && self.free_target(*y)).collect();
            new.into_iter().for_each(|(x, y)| self.link(x, y));
            self.link_moved(&ours, &theirs);
        }
    }

    /// Links simple statements of corresponding blocks that have changed places, where either is the other's best.
    fn link_moved(&mut self, ours: &[NodeId], theirs: &[NodeId]) {
        let simple = |tree: &Tree, id: NodeId| tree.node(id).kind == Kind::Simple;
        let left: Vec<NodeId> =
            ours.iter().copied().filter(|id| simple(self.source, *id) && self.free(*id)).take(MOST_MOVED).collect();
        let there: Vec<NodeId> = (theirs.iter().copied())
            .filter(|id| simple(self.target, *id) && self.free_target(*id))
            .take(MOST_MOVED)
            .collect();
        let mut pairs: Vec<(f64, NodeId, NodeId)> = Vec::new();
        for x in &left {
            pairs.extend(
                there.iter().map(|y| (self.statement_score(*x, *y), *x, *y)).filter(|pair| pair.0 > ALIKE_MOVED),
            );
        }
        let best = |(score, x, y): &&(f64, NodeId, NodeId)| {
            let others = pairs.iter().filter(|other| (other.1 == *x) != (other.2 == *y));
            others.into_iter().all(|other| other.0 < *score)
        };
        let found: Vec<(NodeId, NodeId)> = pairs.iter().filter(best).map(|(_, x, y)| (*x, *y)).collect();
        found.into_iter().for_each(|(x, y)| self.link(x, y));
    }
}

/// The statements of a block, with those in compound statements for which `free` holds in their place; whether there are
/// such.
fn unwrap(tree: &Tree, block: NodeId, free: &dyn Fn(NodeId) -> bool, found: &mut Vec<NodeId>) -> bool {
    let mut any = false;
    for child in tree.node(block).children.iter().copied() {
        let kind = tree.node(child).kind;
        if !kind.is_compound() || kind.is_scope() || !free(child) {
            found.push(child);
            continue;
        }
        any = true;
        let arms = tree.node(child).children.iter().copied().filter(|id| tree.node(*id).kind == Kind::Arm);
        let owners: Vec<NodeId> = std::iter::once(child).chain(arms).collect();
        for inner in owners.into_iter().flat_map(|owner| tree.blocks(owner)) {
            unwrap(tree, inner, free, found);
        }
    }
    any
}
