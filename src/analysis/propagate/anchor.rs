//! Where in the target a statement of the source could stand: beside the counterparts of its neighbours.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::insert::first_index;
use crate::analysis::treediff::{Kind, NodeId, Rival, Tree};

/// A place: before the statement at `index` of `block`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) block: NodeId,
    pub(super) index: usize,
    pub(super) score: f64,
    pub(super) reason: String,
    /// The source's statement whose counterpart leads here.
    pub(super) anchor: NodeId,
}

/// Below this a place is shown as uncertain.
pub(super) const SURE: f64 = 1.0;

impl Session<'_> {
    /// Places for the statement `node` of the source, best first.
    pub(super) fn points(&self, node: NodeId) -> Vec<Point> {
        let Some((block, index)) = self.source.tree.place(node) else { return Vec::new() };
        let home = self.matching.target(block);
        let siblings = &self.source.tree.node(block).children;
        let mut points = Vec::new();
        let before = siblings[..index].iter().rev().filter(|id| !self.is_moving(**id));
        for (rank, (sibling, found)) in
            before.enumerate().filter_map(|(rank, id)| Some((rank, (*id, self.counterpart(*id)?)))).take(3)
        {
            self.beside(&mut points, sibling, found, true, rank, home);
        }
        let after = siblings[index + 1..].iter().filter(|id| !self.is_moving(**id));
        for (rank, (sibling, found)) in
            after.enumerate().filter_map(|(rank, id)| Some((rank, (*id, self.counterpart(*id)?)))).take(3)
        {
            self.beside(&mut points, sibling, found, false, rank, home);
        }
        if let Some(home) = home {
            let last = index + 1 >= siblings.len();
            let end = self.end_of(home);
            let index = if index == 0 && !last { 0 } else { end };
            // In the middle of a block, with nothing of it in the target, any place in it is a guess.
            let guess = !points.iter().any(|point| point.block == home) && self.is_between(node);
            let score = match () {
                () if siblings.iter().all(|id| self.is_moving(*id)) => 2.2,
                () if guess => 0.9,
                () => 1.2,
            };
            let (mut reason, anchor) = (self.words_for_block(home), self.source.tree.node(block).parent.unwrap_or(0));
            if guess {
                reason.push_str(", where nothing that stands beside it in the source is");
            }
            points.push(Point { block: home, index, score, reason, anchor });
        }
        for point in &mut points {
            point.index = point.index.max(first_index(self.target, point.block));
        }
        self.agree(&mut points);
        points.retain(|point| self.is_reached(point));
        points.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut seen = Vec::new();
        points.retain(|point| {
            let new = !seen.contains(&(point.block, point.index));
            seen.push((point.block, point.index));
            new
        });
        points
    }

    /// Whether other statements come before and after one in its block, and it matters between which it stands.
    fn is_between(&self, node: NodeId) -> bool {
        let tree = &self.source.tree;
        let Some((block, index)) = tree.place(node) else { return false };
        let siblings = &tree.node(block).children;
        let leaves = |id: &NodeId| matches!(tree.node(*id).kind, Kind::Return | Kind::Raise | Kind::Break);
        let others = |list: &[NodeId]| list.iter().any(|id| !self.is_moving(*id) && !leaves(id));
        let own = |id: NodeId| self.source.calls.iter().any(|call| call.callee == tree.node(id).range);
        let plain = |id: NodeId| match tree.node(id).kind {
            Kind::Member => own(id),
            Kind::Call => tree.node(id).children.first().is_some_and(|callee| own(*callee)),
            _ => true,
        };
        let constant = |id: NodeId| {
            let node = tree.node(id);
            let at = |index| self.definitions_at(&node.name, (block, index));
            !node.access.reads() || at(0) == at(siblings.len())
        };
        others(&siblings[..index])
            && others(&siblings[index + 1..])
            && !tree.subtree(node).all(|id| plain(id) && constant(id))
    }

    /// Whether a statement of the source is itself to be written into the target.
    pub(super) fn is_moving(&self, node: NodeId) -> bool {
        self.wanted.iter().any(|wanted| self.source.tree.contains(node, *wanted)) && self.counterpart(node).is_none()
    }

    pub(super) fn counterpart(&self, node: NodeId) -> Option<NodeId> {
        self.matching.target(node)
    }

    fn beside(
        &self,
        points: &mut Vec<Point>,
        ours: NodeId,
        theirs: NodeId,
        after: bool,
        rank: usize,
        home: Option<NodeId>,
    ) {
        let Some((block, index)) = self.target.tree.place(theirs) else { return };
        #[expect(clippy::cast_precision_loss, reason = "a rank among siblings")]
        let near = if after { 2.0 } else { 1.8 } / (1.0 + 0.5 * rank as f64);
        let line = self.target.lines.line(self.target.tree.node(theirs).range.start);
        let word = if after { "after" } else { "before" };
        let same = self.source.tree.node(ours).hash == self.target.tree.node(theirs).hash;
        let what = if same { "the same statement" } else { "the counterpart of its neighbour" };
        let reason = format!("{word} {what} at line {line}");
        let at_home = if home == Some(block) { 2.0 } else { 0.0 };
        let sure = if same { 0.3 } else { 0.0 };
        points.push(Point {
            block,
            index: if after { index + 1 } else { index },
            score: near + at_home + sure,
            reason,
            anchor: ours,
        });
    }

    /// Anchors on both sides that name one gap support each other.
    fn agree(&self, points: &mut [Point]) {
        let places: Vec<(NodeId, usize)> = points.iter().map(|p| (p.block, p.index)).collect();
        for (at, point) in points.iter_mut().enumerate() {
            let same = places.iter().enumerate().filter(|(i, place)| *i != at && **place == (point.block, point.index));
            if same.count() > 0 {
                point.score += 1.0;
            }
        }
    }

    /// After a `return` nothing runs.
    fn is_reached(&self, point: &Point) -> bool {
        let children = &self.target.tree.node(point.block).children;
        !children
            .iter()
            .take(point.index)
            .any(|c| matches!(self.target.tree.node(*c).kind, Kind::Return | Kind::Raise | Kind::Break))
    }

    /// The index after a block's last statement, but before one that leaves it.
    fn end_of(&self, block: NodeId) -> usize {
        let children = &self.target.tree.node(block).children;
        let leaves = |id: &NodeId| matches!(self.target.tree.node(*id).kind, Kind::Return | Kind::Raise | Kind::Break);
        children.iter().position(leaves).unwrap_or(children.len())
    }

    /// A statement that could as well be the one beside or around which a place was found.
    pub(super) fn ambiguity(&self, point: &Point) -> Option<String> {
        let ours = &self.source.tree;
        let around = ours.ancestors(point.anchor).filter(|id| ours.node(*id).kind.is_compound());
        let mut chain = std::iter::once(point.anchor).chain(around);
        let (at, rival) = chain.find_map(|id| Some((id, self.matching.rival(id)?)))?;
        let line = self.source.lines.line(ours.node(at).range.start);
        Some(match rival {
            Rival::InTarget(id) => {
                let other = self.target.lines.line(self.target.tree.node(id).range.start);
                format!("line {other} of the target is as much like line {line} of the source: either may be meant")
            }
            Rival::InSource(id) => {
                let other = self.source.lines.line(ours.node(id).range.start);
                format!("lines {line} and {other} of the source are alike, and the target has only one of them")
            }
        })
    }

    fn words_for_block(&self, block: NodeId) -> String {
        let tree = &self.target.tree;
        let owner = tree.node(block).parent.unwrap_or(0);
        let line = self.target.lines.line(tree.node(owner).range.start);
        match tree.node(owner).kind {
            Kind::Module => "at the top level".to_owned(),
            _ => format!("in the corresponding {} at line {line}", kind_word(tree, owner)),
        }
    }
}

/// What a user calls the owner of a block.
pub(super) fn kind_word(tree: &Tree, owner: NodeId) -> String {
    let node = tree.node(owner);
    match node.kind {
        Kind::Function => format!("function `{}`", node.text),
        Kind::Class => format!("class `{}`", node.text),
        Kind::Loop => "loop".to_owned(),
        Kind::With => "`with` block".to_owned(),
        Kind::Try => "`try` block".to_owned(),
        Kind::Module => "file".to_owned(),
        _ => "branch".to_owned(),
    }
}
