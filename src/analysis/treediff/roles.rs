//! Loops that have been rewritten until they share little, but still are the only ones of their kind where they stand.

use std::collections::{HashMap, HashSet};

use crate::analysis::treediff::matching::Matcher;
use crate::analysis::treediff::tree::{Kind, NodeId, Tree};

/// Words of a loop's header that say nothing about what it goes over.
const PLAIN: &[&str] = &["self", "range", "enumerate", "tqdm", "zip", "len", "iter", "list", "data", "in"];

impl Matcher<'_> {
    /// Links loops that are left over in two corresponding functions or loops, if they go over the same things by the
    /// words in their headers and no other loop there does: `while self.epoch < self.max_epochs` and
    /// `for epoch_idx in range(self.max_epochs)`.
    pub(super) fn loops_by_role(&mut self) {
        let owner = |tree: &Tree, id: NodeId| {
            let around = |id: &NodeId| tree.node(*id).kind.is_scope() || tree.node(*id).kind == Kind::Loop;
            tree.ancestors(id).find(around).unwrap_or(0)
        };
        let loops =
            |tree: &Tree| -> Vec<NodeId> { tree.statements().filter(|id| tree.node(*id).kind == Kind::Loop).collect() };
        let ours: Vec<NodeId> = loops(self.source).into_iter().filter(|a| self.free(*a)).collect();
        let theirs: Vec<NodeId> = loops(self.target).into_iter().filter(|b| self.free_target(*b)).collect();
        let told = |tree: &Tree, list: &[NodeId]| -> HashMap<NodeId, (NodeId, HashSet<String>)> {
            list.iter().map(|id| (*id, (owner(tree, *id), words(tree, *id)))).collect()
        };
        let (of_ours, of_theirs) = (told(self.source, &ours), told(self.target, &theirs));
        let fits = |a: NodeId, b: NodeId| {
            let ((around, words), (other, others)) = (&of_ours[&a], &of_theirs[&b]);
            self.found.forward[*around] == Some(*other) && !words.is_disjoint(others)
        };
        let mut pairs = Vec::new();
        for a in &ours {
            let mut candidates = theirs.iter().copied().filter(|b| fits(*a, *b));
            if let (Some(b), None) = (candidates.next(), candidates.next())
                && ours.iter().filter(|other| fits(**other, b)).count() == 1
            {
                pairs.push((*a, b));
            }
        }
        for (a, b) in pairs {
            self.link(a, b);
            let blocks: Vec<(NodeId, NodeId)> =
                self.source.blocks(a).filter_map(|block| Some((block, self.found.forward[block]?))).collect();
            blocks.into_iter().for_each(|(x, y)| self.recover_in(x, y));
        }
    }
}

/// The words of the names in a loop's header.
fn words(tree: &Tree, id: NodeId) -> HashSet<String> {
    let mut found = HashSet::new();
    for text in tree.header(id).into_iter().map(|node| tree.node(node).text.to_lowercase()) {
        let words = text.split('_').map(|word| word.strip_suffix('s').unwrap_or(word));
        found.extend(words.filter(|word| word.len() > 1 && !PLAIN.contains(word)).map(str::to_owned));
    }
    found
}
