//! Conditions that are around a statement in both versions, and may ask something else in the target: told, so that
//! nobody takes what runs every fiftieth step for what runs every hundredth.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::Work;
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree, without_self};

/// Longer conditions are cut where they are told.
const MAX_WORDS: usize = 60;
/// A comparison, and the one that holds where it does not.
const OPPOSITES: &[(&str, &str)] = &[("==", "!="), ("is", "is not"), ("in", "not in"), ("<", ">="), (">", "<=")];

impl Work<'_, '_> {
    /// Notes a condition at the place that has a counterpart around the statement and asks something else; one that asks
    /// the opposite is a doubt.
    /// `way`: the blocks around the statement; `there`: those around the place.
    pub(super) fn check_conditions(&mut self, way: &[NodeId], there: &[NodeId]) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        for block in there.iter().copied() {
            let Some(was) = session.matching.source(block).filter(|was| way.contains(was)) else { continue };
            let (asked, asks) = (tests(ours, was), tests(theirs, block));
            let other = match asked.len() == asks.len() {
                true => asked.iter().zip(&asks).find(|(a, b)| !session.is_same_test(**a, **b)).map(|(a, b)| (*a, *b)),
                // Arms came or went before this one.
                false => asked.last().copied().zip(asks.last().copied()),
            };
            let Some((a, b)) = other else { continue };
            let opposite = asked.len() == asks.len() && session.is_opposite(a, b);
            match opposite {
                true => self.adapted.context.push(session.told_opposite(a, b)),
                false => self.adapted.changes.push(session.told_condition(a, b)),
            }
        }
    }

    /// Notes what is asked around the statement by a condition that is another one in the target, though it stands in its
    /// stead.
    pub(super) fn check_other_condition(&mut self, was: NodeId, is: NodeId) {
        let session = self.session;
        let last = |tree: &Tree, owner: NodeId| {
            let block = tree.blocks(owner).next()?;
            Some((tests(tree, block).len(), tests(tree, block).last().copied()?))
        };
        let pair = last(&session.source.tree, was).zip(last(&session.target.tree, is));
        let Some(((before, a), (now, b))) = pair else { return };
        if before != now || !session.is_same_test(a, b) {
            self.adapted.changes.push(session.told_condition(a, b));
        }
    }
}

impl Session<'_> {
    fn told_opposite(&self, a: NodeId, b: NodeId) -> String {
        let (here, there) = (line_of(self.target, b), line_of(self.source, a));
        format!("line {here} asks the opposite of line {there} of the source")
    }

    fn told_condition(&self, a: NodeId, b: NodeId) -> String {
        let (is, was) = (words(self.target, b), words(self.source, a));
        let (here, there) = (line_of(self.target, b), line_of(self.source, a));
        match self.is_same_test(a, b) {
            true => format!("other conditions come before `{is}` of line {here} than at line {there} of the source"),
            false => format!("the condition at line {here} is `{is}`, in the source `{was}`"),
        }
    }

    /// What two corresponding branches ask otherwise.
    pub(super) fn asked_otherwise(&self, owner: NodeId, there: NodeId) -> Option<String> {
        let last = |tree: &Tree, owner: NodeId| tree.blocks(owner).next().and_then(|block| tests(tree, block).pop());
        let (a, b) = last(&self.source.tree, owner).zip(last(&self.target.tree, there))?;
        (!self.is_same_test(a, b)).then(|| self.told_condition(a, b))
    }

    /// Whether two expressions ask the same, but for what variables are called.
    fn is_same_test(&self, a: NodeId, b: NodeId) -> bool {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        if without_self(ours, a) == without_self(theirs, b) {
            return true;
        }
        let (x, y) = (ours.node(a), theirs.node(b));
        if let (Some(from), Some(to)) = (ours.path(a), theirs.path(b)) {
            let last = |path: &str| path.rsplit('.').next().map(str::to_lowercase);
            let renamed =
                || self.renames.of_path(&from, a, theirs.scope(b), None).iter().any(|(known, _)| *known == to);
            return last(&from) == last(&to) || renamed();
        }
        (x.label, &x.text, x.children.len()) == (y.label, &y.text, y.children.len())
            && x.children.iter().zip(&y.children).all(|(a, b)| self.is_same_test(*a, *b))
    }

    /// Whether one of two expressions holds where the other does not.
    fn is_opposite(&self, a: NodeId, b: NodeId) -> bool {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let ((negated, a), (other, b)) = (without_not(ours, a), without_not(theirs, b));
        if self.is_same_test(a, b) {
            return negated != other;
        }
        let (x, y) = (ours.node(a), theirs.node(b));
        let opposite = OPPOSITES.iter().any(|(is, not)| {
            (x.text.as_str(), y.text.as_str()) == (*is, *not) || (y.text.as_str(), x.text.as_str()) == (*is, *not)
        });
        opposite
            && negated == other
            && x.label == y.label
            && x.children.len() == y.children.len()
            && x.children.iter().zip(&y.children).all(|(a, b)| self.is_same_test(*a, *b))
    }
}

fn line_of(source: &Source<'_>, id: NodeId) -> u32 {
    source.lines.line(source.tree.node(id).range.start)
}

/// An expression without the `not` before it, and whether there is one.
fn without_not(tree: &Tree, id: NodeId) -> (bool, NodeId) {
    let (mut id, mut negated) = (id, false);
    while let (Kind::Other, "not", [inner]) = (tree.node(id).kind, &*tree.node(id).text, &*tree.node(id).children) {
        (id, negated) = (*inner, !negated);
    }
    (negated, id)
}

/// What is asked before a block runs: the condition of its branch, and those of the arms up to its own.
fn tests(tree: &Tree, block: NodeId) -> Vec<NodeId> {
    let Some(owner) = tree.node(block).parent else { return Vec::new() };
    let branch = if tree.node(owner).kind == Kind::Arm { tree.node(owner).parent.unwrap_or(0) } else { owner };
    let nested = |id: &NodeId| matches!(tree.node(*id).kind, Kind::Block | Kind::Arm);
    let asked = |id: NodeId| tree.node(id).children.iter().copied().filter(move |child| !nested(child));
    match tree.node(branch).kind {
        Kind::Branch => {}
        // What a handler handles.
        Kind::Try if branch != owner => return asked(owner).collect(),
        _ => return Vec::new(),
    }
    let arms = tree.node(branch).children.iter().copied().filter(|id| tree.node(*id).kind == Kind::Arm && *id <= owner);
    asked(branch).chain(arms.flat_map(asked)).collect()
}

/// An expression on one line, cut where it is long.
pub(super) fn words(source: &Source<'_>, id: NodeId) -> String {
    let text = source.text.get(source.tree.node(id).range.clone()).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MAX_WORDS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
