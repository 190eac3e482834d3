//! Statements that are equal once `self.optimizer` and `optimizer` are one: code that went into a class, or out of one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::analysis::treediff::matching::Matcher;
use crate::analysis::treediff::tree::{Kind, NodeId, Tree};

/// Smaller statements are alike by chance.
const LEAST: usize = 7;

impl Matcher<'_> {
    /// Links simple statements of which either version has only one that is left over.
    pub(super) fn equal_but_for_self(&mut self) {
        let simple = |tree: &Tree, id: NodeId| tree.node(id).kind == Kind::Simple && tree.subtree(id).len() >= LEAST;
        let mut groups: HashMap<u64, (Vec<NodeId>, Vec<NodeId>)> = HashMap::new();
        for id in self.source.statements().filter(|id| simple(self.source, *id) && self.free(*id)) {
            groups.entry(without_self(self.source, id)).or_default().0.push(id);
        }
        for id in self.target.statements().filter(|id| simple(self.target, *id) && self.free_target(*id)) {
            groups.entry(without_self(self.target, id)).or_default().1.push(id);
        }
        let mut pairs: Vec<(NodeId, NodeId)> = groups
            .into_values()
            .filter_map(|(a, b)| if let ([a], [b]) = (a.as_slice(), b.as_slice()) { Some((*a, *b)) } else { None })
            .collect();
        pairs.sort_unstable();
        pairs.into_iter().for_each(|(a, b)| self.link(a, b));
    }
}

/// Equal for statements that differ in nothing but whether a variable is an attribute of `self`. O(n).
pub fn without_self(tree: &Tree, id: NodeId) -> u64 {
    let mut hash = DefaultHasher::new();
    feed(tree, id, &mut hash);
    hash.finish()
}

fn feed(tree: &Tree, id: NodeId, hash: &mut DefaultHasher) {
    let node = tree.node(id);
    let own = |child: &NodeId| tree.node(*child).kind == Kind::Name && tree.node(*child).text == "self";
    if node.kind == Kind::Name || node.kind == Kind::Member && node.children.iter().any(own) {
        (0_u16, &node.text, 0_usize).hash(hash);
        return;
    }
    (node.label, &node.text, node.children.len()).hash(hash);
    node.children.iter().for_each(|child| feed(tree, *child, hash));
}
