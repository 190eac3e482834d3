//! Statements of which a version has several alike: which is which is told by what stands beside them, or not at all.

use std::collections::{HashMap, HashSet};

use crate::analysis::treediff::features::{Bag, Bags, dice};
use crate::analysis::treediff::matching::Matcher;
use crate::analysis::treediff::tree::{Kind, NodeId, Tree};

/// Groups with more pairs than this are data.
const MAX_PAIRS: usize = 4096;
/// A compound statement that is less alike by this is another one.
const MARGIN: f64 = 0.05;

/// What is alike in the source and in the target.
type Sides = (Vec<NodeId>, Vec<NodeId>);

impl Matcher<'_> {
    /// Pairs equal statements anew, best neighbours first. A pair is replaced, never lost.
    pub(super) fn settle_twins(&mut self) {
        // The neighbours of twins may be twins that the round before has settled.
        for _ in 0..3 {
            self.settle_round();
        }
    }

    /// Simple statements that are the same under new names, though they have been paired with others.
    pub(super) fn settle_renamed(&mut self) {
        let shown = vec![false; self.target.nodes.len()];
        let ours = Bags::visible(self.source, &self.names(), &self.hidden).whole;
        let theirs = Bags::visible(self.target, &HashMap::new(), &shown).whole;
        let simple = |tree: &Tree, id: NodeId| !tree.node(id).kind.is_compound();
        let mut same: HashMap<(u64, &Bag), Sides> = HashMap::new();
        for id in self.source.statements().filter(|id| simple(self.source, *id) && !self.hidden[*id]) {
            same.entry((self.source.node(id).shape, &ours[id])).or_default().0.push(id);
        }
        for id in self.target.statements().filter(|id| simple(self.target, *id)) {
            same.entry((self.target.node(id).shape, &theirs[id])).or_default().1.push(id);
        }
        let mut pairs: Vec<(NodeId, NodeId)> = (same.values())
            .filter_map(|(a, b)| if let ([a], [b]) = (a.as_slice(), b.as_slice()) { Some((*a, *b)) } else { None })
            .filter(|(a, b)| self.found.forward[*a] != Some(*b))
            // What is at home in both versions was edited, and has not changed places with its like elsewhere.
            .filter(|(a, b)| {
                let (was, of) = (self.found.forward[*a], self.found.backward[*b]);
                let settled = was.is_some_and(|was| self.at_home(*a, was)) || of.is_some_and(|of| self.at_home(of, *b));
                self.at_home(*a, *b) || !settled
            })
            .collect();
        pairs.sort_unstable();
        let (mut left, mut lost) = (Vec::new(), Vec::new());
        for (a, b) in &pairs {
            lost.extend(self.found.forward[*a].take());
            left.extend(self.found.backward[*b].take());
        }
        for b in lost {
            self.found.backward[b] = None;
        }
        for a in left {
            self.found.forward[a] = None;
        }
        for (a, b) in pairs {
            self.set(a, b);
        }
    }

    fn settle_round(&mut self) {
        let definition = |kind: Kind| matches!(kind, Kind::Function | Kind::Class);
        let hidden = |id: NodeId| self.hidden[self.source.subtree(id)].contains(&true);
        let mut groups: HashMap<u64, Sides> = HashMap::new();
        for id in self.source.statements().filter(|id| !definition(self.source.node(*id).kind) && !hidden(*id)) {
            groups.entry(self.source.node(id).hash).or_default().0.push(id);
        }
        for id in self.target.statements().filter(|id| !definition(self.target.node(*id).kind)) {
            groups.entry(self.target.node(id).hash).or_default().1.push(id);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_unstable();
        let several = groups.iter().filter(|(ours, theirs)| ours.len().max(theirs.len()) > 1);
        let twins: HashSet<NodeId> = several.flat_map(|(ours, _)| ours.iter().copied()).collect();
        for (mut ours, mut theirs) in groups {
            ours.retain(|a| self.found.forward[*a].is_none_or(|b| theirs.contains(&b)));
            theirs.retain(|b| self.found.backward[*b].is_none_or(|a| ours.contains(&a)));
            let pairs = ours.len() * theirs.len();
            if ours.len().max(theirs.len()) > 1 && (1..=MAX_PAIRS).contains(&pairs) {
                self.settle(&ours, &theirs, &twins);
            }
        }
    }

    fn settle(&mut self, ours: &[NodeId], theirs: &[NodeId], twins: &HashSet<NodeId>) {
        let mut pairs = Vec::new();
        for (a, b) in ours.iter().flat_map(|a| theirs.iter().map(move |b| (*a, *b))) {
            let linked = self.found.forward[a] == Some(b);
            // A neighbour of which there is only one says more.
            let near = self.beside(a, b, &|id| if twins.contains(&id) { 1 } else { 4 });
            if linked || near >= 2 {
                // At home and then beside its neighbours; what is linked stays if nothing speaks for another.
                let score = 4 * near + 20 * usize::from(self.at_home(a, b)) + usize::from(linked);
                pairs.push((std::cmp::Reverse(score), a, b));
            }
        }
        pairs.sort_unstable();
        let kept = |m: &Self| m.found.pairs().count();
        let (before, saved) = (kept(self), self.found.clone());
        for id in ours.iter().flat_map(|a| self.source.subtree(*a)) {
            if let Some(b) = self.found.forward[id].take() {
                self.found.backward[b] = None;
            }
        }
        for (_, a, b) in pairs {
            if self.free(a) && self.free_target(b) {
                self.link_equal(a, b);
            }
        }
        if kept(self) < before {
            self.found = saved;
        }
    }

    fn at_home(&self, a: NodeId, b: NodeId) -> bool {
        let (p, q) = (self.source.node(a).parent, self.target.node(b).parent);
        p.and_then(|p| self.found.forward[p]) == q
    }

    /// The weight of the neighbours of two statements that correspond; one that both lack weighs 1.
    fn beside(&self, a: NodeId, b: NodeId, weight: &dyn Fn(NodeId) -> usize) -> usize {
        let (Some((p, i)), Some((q, j))) = (self.source.place(a), self.target.place(b)) else { return 0 };
        let ours = &self.source.node(p).children;
        let theirs = &self.target.node(q).children;
        let near = |x: Option<&NodeId>, y: Option<&NodeId>| match (x, y) {
            (Some(x), Some(y)) if self.found.forward[*x] == Some(*y) => weight(*x),
            (None, None) => 1,
            _ => 0,
        };
        let shown = |id: &&NodeId| !self.hidden[**id];
        near(ours[..i].iter().rev().find(shown), theirs[..j].last())
            + near(ours[i + 1..].iter().find(shown), theirs.get(j + 1))
    }

    /// For each source node whose counterpart could as well be another: that other's node and whether it is in the
    /// target. Only statements that correspond to nothing are rivals.
    pub(super) fn rivals(&self) -> HashMap<NodeId, Rival> {
        let bags = (
            Bags::visible(self.source, &self.names(), &self.hidden),
            Bags::visible(self.target, &HashMap::new(), &vec![false; self.target.nodes.len()]),
        );
        let free = |tree: &Tree, is_free: &dyn Fn(NodeId) -> bool| -> HashMap<u64, Vec<NodeId>> {
            let mut groups: HashMap<u64, Vec<NodeId>> = HashMap::new();
            let definition = |kind: Kind| matches!(kind, Kind::Function | Kind::Class | Kind::Import);
            for id in tree.statements().filter(|id| is_free(*id) && !definition(tree.node(*id).kind)) {
                groups.entry(group(tree, id)).or_default().push(id);
            }
            groups
        };
        let (ours, theirs) = (free(self.source, &|id| self.free(id)), free(self.target, &|id| self.free_target(id)));
        let mut found = HashMap::new();
        for (a, b) in self.found.pairs().filter(|(a, _)| self.source.node(*a).kind.is_statement()) {
            let compound = self.source.node(a).kind.is_compound();
            let alike = |x: NodeId, y: NodeId| if compound { dice(&bags.0.whole[x], &bags.1.whole[y]) } else { 1.0 };
            let (same, near, home) = (alike(a, b), self.beside(a, b, &|_| 2), self.at_home(a, b));
            let rival = |x: NodeId, y: NodeId| {
                // Both neighbours of a compound statement, one of a simple one, decide for the pair.
                let decided = self.beside(x, y, &|_| 2) < near && (near >= 3 || !compound);
                (self.at_home(x, y) || !home) && !decided && alike(x, y) >= same - MARGIN
            };
            let mut there = theirs.get(&group(self.source, a)).into_iter().flatten().copied();
            let mut origins = ours.get(&group(self.target, b)).into_iter().flatten().copied();
            if let Some(y) = there.find(|y| rival(a, *y)) {
                found.insert(a, Rival::InTarget(y));
            } else if let Some(x) = origins.find(|x| rival(*x, b)) {
                found.insert(a, Rival::InSource(x));
            }
        }
        found
    }
}

/// Compound statements of a kind, and equal simple ones, may be taken for each other.
fn group(tree: &Tree, id: NodeId) -> u64 {
    let node = tree.node(id);
    if node.kind.is_compound() { node.kind as u64 } else { node.hash }
}

/// A statement that could take part in a pair as well as the one that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    InSource(NodeId),
    InTarget(NodeId),
}
