//! Which statements of two versions correspond.
//!
//! After GumTree (Falleri, Morandat, Blanc, Martinez, Monperrus: Fine-grained and accurate source code differencing,
//! ASE 2014): equal subtrees top-down by hash; containers bottom-up by what they share; recovery inside matched
//! containers. Differences: containers are compared by bags of weighted words beside matched descendants, so that a
//! consistent renaming does not hide them, and recovery aligns whole blocks optimally. Time O(n log n + c² w + Σ bₛ·bₜ)
//! for n nodes, c unmatched containers of w words, blocks of b statements; space O(n + w·statements).

use std::collections::{BTreeSet, HashMap};

use crate::analysis::treediff::align::align;
use crate::analysis::treediff::features::{Bags, dice};
use crate::analysis::treediff::tree::{Access, Kind, NodeId, Tree};
use crate::analysis::treediff::twins::Rival;

/// Containers less alike than this do not correspond.
const ALIKE_CONTAINERS: f64 = 0.42;
/// Statements less alike than this do not correspond.
pub(super) const ALIKE_STATEMENTS: f64 = 0.5;
/// Branches whose conditions are less alike than this ask something else.
const ALIKE_CONDITIONS: f64 = 0.5;
/// `with torch.no_grad()` says little: blocks less alike than this are different ones.
const ALIKE_BODIES: f64 = 0.2;
/// Functions of different names whose bodies are less alike than this are different ones.
const ALIKE_FUNCTIONS: f64 = 0.4;
/// Beyond this many pairs of containers only those with matched descendants in common are compared.
const MAX_PAIRS: usize = 250_000;

/// Correspondence of statements, arms, blocks and the module.
#[derive(Debug, Clone)]
pub struct Matching {
    pub(super) forward: Vec<Option<NodeId>>,
    pub(super) backward: Vec<Option<NodeId>>,
    rivals: HashMap<NodeId, Rival>,
}

impl Matching {
    /// The target's node for one of the source.
    pub fn target(&self, source: NodeId) -> Option<NodeId> {
        self.forward[source]
    }

    /// The source's node for one of the target.
    pub fn source(&self, target: NodeId) -> Option<NodeId> {
        self.backward[target]
    }

    /// What could take part in a source node's pair as well.
    pub fn rival(&self, source: NodeId) -> Option<Rival> {
        self.rivals.get(&source).copied()
    }

    /// All pairs, in the source's order.
    pub fn pairs(&self) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        self.forward.iter().enumerate().filter_map(|(source, target)| Some((source, (*target)?)))
    }
}

/// Matches `source` against `target`; statements for which `ignored` holds, and all in them, have no counterpart.
pub fn match_trees(source: &Tree, target: &Tree, ignored: &dyn Fn(NodeId) -> bool) -> Matching {
    let mut hidden = vec![false; source.nodes.len()];
    for id in source.statements().filter(|id| ignored(*id)) {
        hidden[source.subtree(id)].fill(true);
    }
    let (forward, backward) = (vec![None; source.nodes.len()], vec![None; target.nodes.len()]);
    let found = Matching { forward, backward, rivals: HashMap::new() };
    let bags = (Bags::of(source, &HashMap::new()), Bags::of(target, &HashMap::new()));
    let bound = (bound(source), bound(target));
    let mut matcher = Matcher { source, target, hidden, bags, bound, found };
    matcher.link(0, 0);
    matcher.equal_subtrees(5);
    matcher.definitions();
    matcher.containers();
    for round in 0..2 {
        matcher.recover();
        matcher.loops_by_role();
        matcher.moved_blocks();
        matcher.equal_subtrees(3);
        matcher.equal_but_for_self();
        matcher.align_unwrapped();
        if round == 0 {
            // What is matched tells names; under their new names more statements are alike.
            matcher.bags.0 = Bags::of(source, &matcher.names());
            matcher.containers();
        }
    }
    matcher.settle_renamed();
    matcher.settle_twins();
    matcher.found.rivals = matcher.rivals();
    matcher.found
}

pub(super) struct Matcher<'a> {
    pub(super) source: &'a Tree,
    pub(super) target: &'a Tree,
    pub(super) hidden: Vec<bool>,
    bags: (Bags, Bags),
    bound: (Vec<Bound>, Vec<Bound>),
    pub(super) found: Matching,
}

/// The variables that a simple statement binds, each with whether nothing else in its block does.
type Bound = Vec<(String, bool)>;

impl Matcher<'_> {
    pub(super) fn free(&self, a: NodeId) -> bool {
        self.found.forward[a].is_none() && !self.hidden[a]
    }

    pub(super) fn free_target(&self, b: NodeId) -> bool {
        self.found.backward[b].is_none()
    }

    /// Links two nodes and their blocks of the same role.
    pub(super) fn link(&mut self, a: NodeId, b: NodeId) {
        self.set(a, b);
        let pairs: Vec<(NodeId, NodeId)> = self
            .source
            .blocks(a)
            .filter_map(|x| {
                let y = self.target.blocks(b).find(|y| self.target.node(*y).text == self.source.node(x).text)?;
                Some((x, y))
            })
            .collect();
        for (x, y) in pairs {
            self.set(x, y);
        }
    }

    pub(super) fn set(&mut self, a: NodeId, b: NodeId) {
        if self.free(a) && self.free_target(b) {
            self.found.forward[a] = Some(b);
            self.found.backward[b] = Some(a);
        }
    }

    /// Links two equal subtrees node by node.
    pub(super) fn link_equal(&mut self, a: NodeId, b: NodeId) {
        for (x, y) in self.source.subtree(a).zip(self.target.subtree(b)) {
            let kind = self.source.node(x).kind;
            if kind.is_statement() || matches!(kind, Kind::Arm | Kind::Block) {
                self.set(x, y);
            }
        }
    }

    /// Statements of at least `size` nodes that occur once in what is left of either version.
    fn equal_subtrees(&mut self, size: usize) {
        let mut order: Vec<NodeId> = self.source.statements().filter(|id| self.free(*id)).collect();
        order.sort_by_key(|id| std::cmp::Reverse(self.source.subtree(*id).len()));
        let mut targets: HashMap<u64, Vec<NodeId>> = HashMap::new();
        for id in self.target.statements().filter(|id| self.free_target(*id)) {
            targets.entry(self.target.node(id).hash).or_default().push(id);
        }
        let mut sources: HashMap<u64, Vec<NodeId>> = HashMap::new();
        for id in &order {
            sources.entry(self.source.node(*id).hash).or_default().push(*id);
        }
        for id in order {
            if !self.free(id)
                || self.source.subtree(id).len() < size
                || self.hidden[self.source.subtree(id)].contains(&true)
            {
                continue;
            }
            let hash = self.source.node(id).hash;
            let ours = sources[&hash].iter().filter(|a| self.free(**a)).take(2).count();
            let mut theirs = targets.get(&hash).into_iter().flatten().copied().filter(|b| self.free_target(*b));
            if let (1, Some(b), None) = (ours, theirs.next(), theirs.next()) {
                self.link_equal(id, b);
            }
        }
    }

    /// Functions and classes of the same qualified name, then of the same name alone.
    fn definitions(&mut self) {
        for qualified in [true, false] {
            let name = |tree: &Tree, id: NodeId| -> (Kind, String) {
                let mut parts = vec![tree.node(id).text.clone()];
                if qualified {
                    parts.extend(
                        tree.ancestors(id).filter(|a| tree.node(*a).kind.is_scope()).map(|a| tree.node(a).text.clone()),
                    );
                }
                (tree.node(id).kind, parts.join("."))
            };
            let definition = |tree: &Tree, id: NodeId| matches!(tree.node(id).kind, Kind::Function | Kind::Class);
            let mut targets: HashMap<(Kind, String), Vec<NodeId>> = HashMap::new();
            for id in self.target.statements().filter(|b| definition(self.target, *b) && self.free_target(*b)) {
                targets.entry(name(self.target, id)).or_default().push(id);
            }
            let sources: Vec<NodeId> =
                self.source.statements().filter(|a| definition(self.source, *a) && self.free(*a)).collect();
            for a in sources {
                let candidates = targets.get(&name(self.source, a)).cloned().unwrap_or_default();
                let best = candidates
                    .into_iter()
                    .filter(|b| self.free_target(*b))
                    .max_by(|x, y| self.whole(a, *x).total_cmp(&self.whole(a, *y)));
                // A constructor of another class is not this one.
                if let Some(b) =
                    best.filter(|b| qualified || !self.source.node(a).text.starts_with("__") || self.whole(a, *b) > 0.6)
                {
                    self.link(a, b);
                }
            }
        }
    }

    fn whole(&self, a: NodeId, b: NodeId) -> f64 {
        dice(&self.bags.0.whole[a], &self.bags.1.whole[b])
    }

    fn header(&self, a: NodeId, b: NodeId) -> f64 {
        dice(&self.bags.0.header[a], &self.bags.1.header[b])
    }

    /// Compound statements, best pairs first.
    fn containers(&mut self) {
        let list = |tree: &Tree, free: &dyn Fn(NodeId) -> bool| -> Vec<NodeId> {
            tree.statements().filter(|id| tree.node(*id).kind.is_compound() && free(*id)).collect()
        };
        let sources = list(self.source, &|id| self.free(id));
        let targets = list(self.target, &|id| self.free_target(id));
        let few = sources.len().saturating_mul(targets.len()) <= MAX_PAIRS;
        let mut pairs = Vec::new();
        for a in &sources {
            for b in &targets {
                if self.source.node(*a).kind != self.target.node(*b).kind {
                    continue;
                }
                let shared = self.shared(*a, *b);
                if !few && shared == 0.0 {
                    continue;
                }
                let score = self.container_score(*a, *b, shared);
                if score >= ALIKE_CONTAINERS && self.same_condition(*a, *b) && !self.emptied(*a) {
                    pairs.push((score, a.abs_diff(*b), *a, *b));
                }
            }
        }
        pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        for (_, _, a, b) in pairs {
            if self.free(a) && self.free_target(b) {
                self.link(a, b);
            }
        }
    }

    /// Branches on different conditions do not correspond, unless they do the same; nor do `with` blocks and
    /// functions of other names that do something else.
    fn same_condition(&self, a: NodeId, b: NodeId) -> bool {
        match self.source.node(a).kind {
            Kind::Branch if self.emptied(a) => self.header(a, b) == 1.0,
            Kind::Branch => self.header(a, b) >= ALIKE_CONDITIONS || self.whole(a, b) >= 0.7,
            Kind::Function if same_words(&self.source.node(a).text, &self.target.node(b).text) => true,
            Kind::Function => self.same_body(a, b, ALIKE_FUNCTIONS),
            Kind::With => self.same_body(a, b, ALIKE_BODIES),
            _ => true,
        }
    }

    fn same_body(&self, a: NodeId, b: NodeId, least: f64) -> bool {
        dice(&self.bags.0.body[a], &self.bags.1.body[b]) >= least || self.shared(a, b) >= least
    }

    /// Whether a branch or a `with` stands in the source only for what is hidden in it.
    fn emptied(&self, a: NodeId) -> bool {
        let leaf = |id: &NodeId| self.source.node(*id).kind.is_statement() && !self.source.node(*id).kind.is_compound();
        matches!(self.source.node(a).kind, Kind::Branch | Kind::With)
            && self.source.subtree(a).filter(leaf).all(|id| self.hidden[id])
    }

    fn container_score(&self, a: NodeId, b: NodeId, shared: f64) -> f64 {
        let around = |tree: &Tree, id: NodeId| tree.ancestors(id).find(|x| tree.node(*x).kind.is_compound());
        let context = match (around(self.source, a), around(self.target, b)) {
            (Some(x), Some(y)) if self.found.forward[x] == Some(y) => 1.0,
            (Some(x), Some(y)) if self.source.node(x).kind == self.target.node(y).kind => 0.6,
            (None, None) => 1.0,
            _ => 0.3,
        };
        0.5 * self.whole(a, b).max(shared) + 0.3 * self.header(a, b) + 0.2 * context
    }

    /// The share of statements below either that already correspond.
    fn shared(&self, a: NodeId, b: NodeId) -> f64 {
        let statements =
            |tree: &Tree, id: NodeId| tree.subtree(id).skip(1).filter(|x| tree.node(*x).kind.is_statement()).count();
        let common = self
            .source
            .subtree(a)
            .skip(1)
            .filter(|x| self.source.node(*x).kind.is_statement())
            .filter(|x| self.found.forward[*x].is_some_and(|y| self.target.contains(b, y)))
            .count();
        let all = statements(self.source, a) + statements(self.target, b);
        #[expect(clippy::cast_precision_loss, reason = "counts of statements in one file")]
        if all == 0 { 0.0 } else { 2.0 * common as f64 / all as f64 }
    }

    /// Aligns what is left in all pairs of matched blocks, from the module inwards.
    fn recover(&mut self) {
        let mut work: Vec<(NodeId, NodeId)> = self.found.pairs().collect();
        work.reverse();
        self.recover_all(work);
    }

    /// As [`Self::recover`], in one pair alone.
    pub(super) fn recover_in(&mut self, a: NodeId, b: NodeId) {
        self.recover_all(vec![(a, b)]);
    }

    fn recover_all(&mut self, mut work: Vec<(NodeId, NodeId)>) {
        while let Some((a, b)) = work.pop() {
            let new =
                if self.source.node(a).kind == Kind::Block { self.align_blocks(a, b) } else { self.align_arms(a, b) };
            for (x, y) in new {
                self.link(x, y);
                work.extend(self.source.blocks(x).filter_map(|block| Some((block, self.found.forward[block]?))));
                work.push((x, y));
            }
        }
    }

    fn align_arms(&self, a: NodeId, b: NodeId) -> Vec<(NodeId, NodeId)> {
        let arms = |tree: &Tree, id: NodeId| -> Vec<NodeId> {
            tree.node(id).children.iter().copied().filter(|c| tree.node(*c).kind == Kind::Arm).collect()
        };
        let ours: Vec<NodeId> = arms(self.source, a).into_iter().filter(|x| self.free(*x)).collect();
        let theirs: Vec<NodeId> = arms(self.target, b).into_iter().filter(|y| self.free_target(*y)).collect();
        let alike = |i: usize, j: usize| {
            let (x, y) = (ours[i], theirs[j]);
            if self.source.node(x).children.len() != self.target.node(y).children.len() {
                return 0.0;
            }
            0.2 + self.header(x, y) + self.whole(x, y)
        };
        align(ours.len(), theirs.len(), alike).into_iter().map(|(i, j)| (ours[i], theirs[j])).collect()
    }

    fn align_blocks(&self, a: NodeId, b: NodeId) -> Vec<(NodeId, NodeId)> {
        let (ours, theirs) = (&self.source.node(a).children, &self.target.node(b).children);
        align(ours.len(), theirs.len(), |i, j| self.statement_score(ours[i], theirs[j]))
            .into_iter()
            .map(|(i, j)| (ours[i], theirs[j]))
            .filter(|(x, y)| self.free(*x) && self.free_target(*y))
            .collect()
    }

    /// What variables are called in the target, by majority over matched statements of equal shape.
    pub(super) fn names(&self) -> HashMap<String, String> {
        let mut votes: HashMap<(&str, &str), usize> = HashMap::new();
        let simple = |a: NodeId| self.source.node(a).kind.is_statement() && !self.source.node(a).kind.is_compound();
        for (a, b) in self.found.pairs().filter(|(a, _)| simple(*a)) {
            if self.source.node(a).shape == self.target.node(b).shape {
                for (x, y) in self.source.subtree(a).zip(self.target.subtree(b)) {
                    if self.source.node(x).kind == Kind::Name {
                        *votes.entry((&self.source.node(x).text, &self.target.node(y).text)).or_default() += 1;
                    }
                }
            }
        }
        let mut votes: Vec<_> = votes.into_iter().collect();
        votes.sort_unstable_by_key(|((from, to), count)| (*count, from == to, *from, *to));
        votes.into_iter().map(|((from, to), _)| (from.to_owned(), to.to_owned())).collect()
    }

    /// How much two statements of one block are alike; 0 where they cannot correspond.
    pub(super) fn statement_score(&self, x: NodeId, y: NodeId) -> f64 {
        if self.found.forward[x] == Some(y) {
            return 2.0;
        }
        if !self.free(x) || !self.free_target(y) {
            return 0.0;
        }
        let (p, q) = (self.source.node(x), self.target.node(y));
        if p.hash == q.hash {
            return 1.5;
        }
        if p.kind != q.kind || !self.same_condition(x, y) {
            return 0.0;
        }
        let mut score = self.whole(x, y);
        if p.kind.is_compound() {
            score = 0.6 * score + 0.4 * self.header(x, y) + 0.1;
        } else if p.shape == q.shape {
            score += 0.2;
        } else if p.label == q.label {
            score += 0.05;
        }
        if self.binds_same(x, y) {
            score += 0.15;
        }
        match () {
            () if score >= ALIKE_STATEMENTS => score,
            // However a value is computed now: nothing else in either block gives it its name.
            () if p.kind == Kind::Simple && self.binds_alone(x, y) => ALIKE_STATEMENTS,
            () => 0.0,
        }
    }

    /// Whether two statements bind the same variables, or one some more, and no other statement beside them does.
    fn binds_alone(&self, x: NodeId, y: NodeId) -> bool {
        let (ours, theirs) = (&self.bound.0[x], &self.bound.1[y]);
        let (fewer, more) = if ours.len() < theirs.len() { (ours, theirs) } else { (theirs, ours) };
        let found = |name: &String| more.iter().find(|(other, _)| other == name);
        !fewer.is_empty() && fewer.iter().all(|(name, alone)| *alone && found(name).is_some_and(|(_, alone)| *alone))
    }

    fn binds_same(&self, x: NodeId, y: NodeId) -> bool {
        let bound = |tree: &Tree, id: NodeId| -> Vec<String> {
            tree.header(id)
                .into_iter()
                .filter(|n| tree.node(*n).access.binds())
                .map(|n| tree.node(n).name.clone())
                .collect()
        };
        let ours = bound(self.source, x);
        !ours.is_empty() && ours == bound(self.target, y)
    }

    /// Code that went into another block as a whole (into `main`, into a helper, out of a `with`): where at least
    /// two statements of a block have gone to one other block, the rest is aligned with it too.
    fn moved_blocks(&mut self) {
        let blocks: Vec<NodeId> =
            (0..self.source.nodes.len()).filter(|id| self.source.node(*id).kind == Kind::Block).collect();
        for a in blocks {
            let mut votes: HashMap<NodeId, usize> = HashMap::new();
            for child in &self.source.node(a).children {
                if let Some(block) = self.found.forward[*child].and_then(|y| self.target.node(y).parent) {
                    *votes.entry(block).or_default() += 1;
                }
            }
            let mut votes: Vec<(NodeId, usize)> = votes.into_iter().filter(|(_, count)| *count >= 2).collect();
            votes.sort_by_key(|(block, count)| (std::cmp::Reverse(*count), *block));
            for (b, _) in votes.into_iter().take(3) {
                for (x, y) in self.align_blocks(a, b) {
                    self.link(x, y);
                }
            }
        }
    }
}

/// Whether two names are made of the same words: `train_epoch` and `_train_epoch`.
fn same_words(a: &str, b: &str) -> bool {
    let words = |name: &str| -> BTreeSet<String> {
        name.split('_').filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    words(a) == words(b)
}

/// What each simple statement of a tree binds. O(n d) for blocks nested d deep.
fn bound(tree: &Tree) -> Vec<Bound> {
    let mut found = vec![Bound::new(); tree.nodes.len()];
    for block in (0..tree.nodes.len()).filter(|id| tree.node(*id).kind == Kind::Block) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for node in tree.subtree(block).map(|id| tree.node(id)).filter(|node| node.access == Access::Bind) {
            *counts.entry(&node.name).or_default() += 1;
        }
        for id in tree.node(block).children.iter().filter(|id| tree.node(**id).kind == Kind::Simple) {
            let names = tree.subtree(*id).map(|id| tree.node(id)).filter(|node| node.access == Access::Bind);
            found[*id] = names.map(|node| (node.name.clone(), counts.get(node.name.as_str()) == Some(&1))).collect();
        }
    }
    found
}
