//! What a statement is about, as a weighted bag of its words: robust against renaming, moving and re-indenting.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::analysis::treediff::tree::{Kind, NodeId, Tree};

/// Sorted by feature; the second number is its weight.
pub(super) type Bag = Vec<(u64, u32)>;

/// The bags of all nodes that are statements or arms: of the header alone, of all of it, and of all but the header.
pub(super) struct Bags {
    pub(super) header: Vec<Bag>,
    pub(super) whole: Vec<Bag>,
    /// Of what stands in a `with` block or a function; empty elsewhere.
    pub(super) body: Vec<Bag>,
}

impl Bags {
    /// `renamed` gives what a variable is called on the other side.
    pub(super) fn of(tree: &Tree, renamed: &HashMap<String, String>) -> Self {
        Self::visible(tree, renamed, &vec![false; tree.nodes.len()])
    }

    /// As [`Bags::of`], as if what is hidden was not there.
    pub(super) fn visible(tree: &Tree, renamed: &HashMap<String, String>, hidden: &[bool]) -> Self {
        let mut header = vec![Bag::new(); tree.nodes.len()];
        let mut whole = vec![Bag::new(); tree.nodes.len()];
        let mut body = vec![Bag::new(); tree.nodes.len()];
        for (id, bag) in header.iter_mut().enumerate() {
            let kind = tree.node(id).kind;
            if !hidden[id] && (kind.is_statement() || kind == Kind::Arm) {
                *bag = merged(tree.header(id).into_iter().filter_map(|node| feature(tree, node, renamed)).collect());
            }
        }
        for id in (0..tree.nodes.len()).rev() {
            let kind = tree.node(id).kind;
            if kind.is_statement() || matches!(kind, Kind::Arm | Kind::Block | Kind::Module) {
                let mut all: Bag = Bag::new();
                for child in &tree.node(id).children {
                    all.extend(whole[*child].iter().copied());
                }
                if matches!(kind, Kind::With | Kind::Function) {
                    body[id] = merged(all.clone());
                }
                all.extend(header[id].iter().copied());
                whole[id] = merged(all);
            }
        }
        Self { header, whole, body }
    }
}

/// Calls and attributes say most: they survive a renaming of variables.
fn feature(tree: &Tree, id: NodeId, renamed: &HashMap<String, String>) -> Option<(u64, u32)> {
    let node = tree.node(id);
    let called =
        node.parent.is_some_and(|p| tree.node(p).kind == Kind::Call && tree.node(p).children.first() == Some(&id));
    let weight = match node.kind {
        Kind::Member if called => 4,
        Kind::Name if called => 4,
        Kind::Member | Kind::Literal => 3,
        Kind::Name | Kind::Parameter => 2,
        Kind::Function | Kind::Class => 6,
        Kind::Block | Kind::Arm | Kind::Module | Kind::Call => return None,
        _ => 1,
    };
    let mut hash = DefaultHasher::new();
    // A member and a name of one spelling are the same thing here: `self.optimizer` and `optimizer`.
    let class = matches!(node.kind, Kind::Member | Kind::Name | Kind::Parameter);
    let text =
        Some(&node.text).filter(|_| node.kind == Kind::Name).and_then(|name| renamed.get(name)).unwrap_or(&node.text);
    (if class { 0 } else { node.label }, text).hash(&mut hash);
    Some((hash.finish(), weight))
}

fn merged(mut bag: Bag) -> Bag {
    bag.sort_unstable();
    let mut merged: Bag = Vec::with_capacity(bag.len());
    for (feature, weight) in bag {
        match merged.last_mut() {
            Some(last) if last.0 == feature => last.1 += weight,
            _ => merged.push((feature, weight)),
        }
    }
    merged
}

/// Twice what two bags share, over what both hold: 0 to 1. O(n + m).
pub fn dice(a: &[(u64, u32)], b: &[(u64, u32)]) -> f64 {
    let total = |bag: &[(u64, u32)]| bag.iter().map(|(_, weight)| u64::from(*weight)).sum::<u64>();
    let (mut i, mut j, mut common) = (0, 0, 0u64);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.0.cmp(&y.0) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                common += u64::from(x.1.min(y.1));
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    let all = total(a) + total(b);
    #[expect(clippy::cast_precision_loss, reason = "counts of words in one file")]
    if all == 0 { 0.0 } else { 2.0 * common as f64 / all as f64 }
}
