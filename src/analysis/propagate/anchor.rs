//! Where in the target a statement of the source could stand: beside the counterparts of its neighbours.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::insert::first_index;
use crate::analysis::propagate::reach::defined_by;
use crate::analysis::propagate::unit::{PURE, has_no_effect};
use crate::analysis::python::Source;
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
        let siblings = &self.source.tree.node(block).children;
        let home = self.enclosing(node).or_else(|| self.matching.target(block));
        let mut points = Vec::new();
        let before: Vec<NodeId> = siblings[..index].iter().rev().copied().collect();
        let reads = self.paths_read(node);
        let mut order = [None, None];
        for (list, after) in [(before.as_slice(), true), (&siblings[index + 1..], false)] {
            let others = list.iter().filter(|id| !self.is_moving(**id)).enumerate();
            let found = others.filter_map(|(rank, id)| Some((rank, self.nearest(*id, after)?)));
            for (rank, neighbour) in found.take(3) {
                order[usize::from(!after)].get_or_insert(neighbour.1);
                let from = points.len();
                self.beside(&mut points, neighbour, after, rank, home);
                // Where a value that it reads is computed, if that is not done more or less often than the rest.
                let defines =
                    after && reads.iter().any(|path| defined_by(&self.source.tree, neighbour.0, path).is_some());
                let wrapped =
                    points[from..].iter_mut().filter(|p| defines && home.is_some_and(|home| self.wraps(home, p.block)));
                wrapped.for_each(|point| point.score += 1.8);
            }
        }
        self.agree(&mut points);
        self.beside_users_of_gradients(&mut points, node, order[1], home);
        self.beside_twin(&mut points, node);
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
            // A value before a loop is another than the one after it.
            point.score -= if self.crossed(node, point).is_some() { 3.0 } else { 0.0 };
            point.score -= if self.out_of_order(point, order) { 2.0 } else { 0.0 };
            point.score -= if self.loops_apart(node, point).is_some() { 1.0 } else { 0.0 };
        }
        points.retain(|point| is_reached(self.target, point.block, point.index));
        points.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut seen = Vec::new();
        points.retain(|point| {
            let new = !seen.contains(&(point.block, point.index));
            seen.push((point.block, point.index));
            new
        });
        points
    }

    /// What reads gradients belongs with what uses them: where that has gone under a condition (every fourth batch), the
    /// gradients are whole there only.
    fn beside_users_of_gradients(
        &self,
        points: &mut [Point],
        node: NodeId,
        next: Option<NodeId>,
        home: Option<NodeId>,
    ) {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let Some((block, index)) = next.and_then(|next| theirs.place(next)) else { return };
        let within = |home: NodeId| {
            let mut owners = theirs.ancestors(block).take_while(|id| *id != home);
            home != block && theirs.contains(home, block) && owners.all(|id| theirs.node(id).kind != Kind::Loop)
        };
        let uses =
            |id: NodeId| reads_gradients(theirs, id) || ["step", "zero_grad"].contains(&theirs.node(id).text.as_str());
        if theirs.subtree(block).any(uses)
            && home.is_some_and(within)
            && ours.subtree(node).any(|id| reads_gradients(ours, id))
        {
            let there = points.iter_mut().filter(|point| (point.block, point.index) == (block, index));
            there.for_each(|point| point.score += 5.5);
        }
    }

    /// Whether other statements come before and after one in its block, and it matters between which it stands.
    fn is_between(&self, node: NodeId) -> bool {
        let tree = &self.source.tree;
        let Some((block, index)) = tree.place(node) else { return false };
        let siblings = &tree.node(block).children;
        let leaves = |id: &NodeId| matches!(tree.node(*id).kind, Kind::Return | Kind::Raise | Kind::Break);
        let others = |list: &[NodeId]| list.iter().any(|id| !self.is_moving(*id) && !leaves(id));
        let own = |id: NodeId| self.source.calls.iter().any(|call| call.callee == tree.node(id).range);
        // Nothing in the block changes what a look at a value gives.
        let still = || siblings.iter().all(|id| self.is_moving(*id) || has_no_effect(self, *id));
        let looks = |callee: NodeId| PURE.contains(&tree.node(callee).text.as_str()) && still();
        let plain = |id: NodeId| match tree.node(id).kind {
            Kind::Member => own(id) || looks(id),
            Kind::Call => tree.node(id).children.first().is_some_and(|callee| own(*callee) || looks(*callee)),
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

    /// A sibling with its counterpart; of a block that the target has not, the part that is nearest.
    fn nearest(&self, sibling: NodeId, last: bool) -> Option<(NodeId, NodeId)> {
        let tree = &self.source.tree;
        if let Some(found) = self.counterpart(sibling) {
            return Some((sibling, found));
        }
        let wraps = |id: NodeId| tree.node(id).kind.is_compound() && !tree.node(id).kind.is_scope();
        let scope = tree.scope(sibling);
        let known = |id: &NodeId| {
            tree.node(*id).kind.is_statement() && tree.scope(*id) == scope && self.counterpart(*id).is_some()
        };
        let mut inside = tree.subtree(sibling).filter(|_| wraps(sibling));
        let found = if last { inside.rfind(known) } else { inside.find(known) }?;
        let around = tree.ancestors(found).take_while(|id| *id != sibling).filter(known).last();
        let found = around.unwrap_or(found);
        Some((found, self.counterpart(found)?))
    }

    fn beside(
        &self,
        points: &mut Vec<Point>,
        (ours, theirs): (NodeId, NodeId),
        after: bool,
        rank: usize,
        home: Option<NodeId>,
    ) {
        let Some((block, index)) = self.target.tree.place(theirs) else { return };
        #[expect(clippy::cast_precision_loss, reason = "a rank among siblings")]
        let near = if after { 2.0 } else { 1.8 } / (1.0 + 0.5 * rank as f64);
        let line = |id: NodeId| self.target.lines.line(self.target.tree.node(id).range.start);
        let word = if after { "after" } else { "before" };
        let same = self.source.tree.node(ours).hash == self.target.tree.node(theirs).hash;
        let what = if same { "the same statement" } else { "the counterpart of its neighbour" };
        // What was there before the statement says more than what comes after it: new code may stand between.
        let sure = if same { 0.1 } else { 0.0 };
        // Before a neighbour that the target has wrapped: before what it is wrapped in.
        let lifted = home.filter(|home| !after && *home != block && self.target.tree.contains(*home, block));
        if let Some((home, around)) =
            lifted.and_then(|home| Some((home, self.target.tree.child_towards(home, theirs)?)))
            && let Some((_, index)) = self.target.tree.place(around)
        {
            let reason = format!("before line {}, in which {what} is at line {}", line(around), line(theirs));
            points.push(Point { block: home, index, score: 0.8 * near + 2.0, reason, anchor: ours });
        }
        let reason = format!("{word} {what} at line {}", line(theirs));
        let at_home = if home == Some(block) { 2.0 } else { 0.0 };
        points.push(Point {
            block,
            index: if after { index + 1 } else { index },
            score: near + at_home + sure,
            reason,
            anchor: ours,
        });
    }

    /// The place after a statement that is just like the one before `node`, though it corresponds to another one or to
    /// none: never a sure one.
    fn beside_twin(&self, points: &mut Vec<Point>, node: NodeId) {
        let Some((block, index)) = self.source.tree.place(node) else { return };
        let before = self.source.tree.node(block).children[..index].iter().rev().copied();
        let Some(last) = before.into_iter().find(|id| !self.is_moving(*id)) else { return };
        let reads = self.paths_read(node);
        if self.counterpart(last).is_some()
            || !reads.iter().any(|path| defined_by(&self.source.tree, last, path).is_some())
        {
            return;
        }
        let tree = &self.target.tree;
        let mut same = tree.statements().filter(|id| tree.node(*id).hash == self.source.tree.node(last).hash);
        if let (Some((block, index)), None) = (same.next().and_then(|id| tree.place(id)), same.next()) {
            let line = self.target.lines.line(tree.node(tree.node(block).children[index]).range.start);
            let reason = format!("after line {line}, which is like the line before it in the source, but elsewhere");
            points.push(Point { block, index: index + 1, score: 0.95, reason, anchor: last });
        }
    }

    /// The variables, with their attributes, that a statement of the source reads.
    pub(super) fn paths_read(&self, node: NodeId) -> Vec<String> {
        let tree = &self.source.tree;
        let part = |id: NodeId| tree.node(id).parent.is_some_and(|p| tree.node(p).kind == Kind::Member);
        tree.subtree(node)
            .filter(|id| !part(*id))
            .filter_map(|id| tree.path(id))
            .filter(|path| path != "self")
            .collect()
    }

    /// Whether a place comes before the counterpart of what comes before it in the source, or after that of what follows.
    fn out_of_order(&self, point: &Point, [before, after]: [Option<NodeId>; 2]) -> bool {
        let tree = &self.target.tree;
        let start = self.start_of(point);
        let scope = tree.scope(point.block);
        let beside = |id: &NodeId| tree.scope(*id) == scope;
        before.filter(beside).is_some_and(|id| start < tree.node(id).end && !tree.contains(id, point.block))
            || after.filter(beside).is_some_and(|id| id < start && !tree.contains(id, point.block))
    }

    /// The block of the target that holds what stands on either side of a statement of the source.
    pub(super) fn enclosing(&self, node: NodeId) -> Option<NodeId> {
        let tree = &self.source.tree;
        let (block, index) = tree.place(node)?;
        let siblings = &tree.node(block).children;
        let known = |id: &NodeId| if self.is_moving(*id) { None } else { self.counterpart(*id) };
        let before = siblings[..index].iter().rev().find_map(known)?;
        let after = siblings[index + 1..].iter().find_map(known)?;
        let around = |id: NodeId| self.target.tree.place(id).map(|(block, _)| block);
        around(before).filter(|block| around(after) == Some(*block))
    }

    /// Whether `block` stands in another one with nothing between that decides whether or how often it runs.
    fn wraps(&self, outer: NodeId, block: NodeId) -> bool {
        let tree = &self.target.tree;
        let owners = tree.ancestors(block).take_while(|id| *id != outer);
        outer != block
            && tree.contains(outer, block)
            && owners.into_iter().all(|id| matches!(tree.node(id).kind, Kind::With | Kind::Try | Kind::Block))
    }

    /// The node before which a place is.
    pub(super) fn start_of(&self, point: &Point) -> NodeId {
        let tree = &self.target.tree;
        let children = &tree.node(point.block).children;
        children.get(point.index).copied().unwrap_or(tree.node(point.block).end)
    }

    /// A loop that ends before a statement in the source and starts after a place in the target, or the other way round.
    pub(super) fn crossed(&self, node: NodeId, point: &Point) -> Option<NodeId> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let start = self.start_of(point);
        let (scope, scope_there) = (ours.scope(node), theirs.scope(point.block));
        let loops = ours.subtree(scope).filter(|id| ours.node(*id).kind == Kind::Loop && ours.scope(*id) == scope);
        let pairs = loops.filter_map(|a| Some((a, self.counterpart(a)?)));
        let pairs: Vec<(NodeId, NodeId)> = pairs
            .filter(|(a, b)| !ours.contains(*a, node) && !ours.contains(node, *a) && !theirs.contains(*b, point.block))
            .filter(|(_, b)| theirs.scope(*b) == scope_there)
            .collect();
        let crosses = |(a, b): &(NodeId, NodeId)| (*a < node) != (*b < start);
        // Loops beside it that have changed places with each other: it stays with one of them.
        let changed = |(a, b): (NodeId, NodeId)| {
            let beside = |x: NodeId| ours.node(x).parent == ours.node(node).parent;
            pairs.iter().any(|pair| beside(pair.0) && !crosses(pair) && (pair.0 < a) != (pair.1 < b))
        };
        pairs.iter().copied().filter(crosses).find(|pair| !changed(*pair)).map(|(a, _)| a)
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

    /// The index after a block's last statement, but before one that leaves it.
    fn end_of(&self, block: NodeId) -> usize {
        let children = &self.target.tree.node(block).children;
        let leaves = |id: &NodeId| matches!(self.target.tree.node(*id).kind, Kind::Return | Kind::Raise | Kind::Break);
        children.iter().position(leaves).unwrap_or(children.len())
    }

    /// Whether every loop around a place corresponds to one that runs before the statement or around it.
    pub(super) fn is_after_loops(&self, node: NodeId, point: &Point) -> bool {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let around = theirs.ancestors(point.block).take_while(|id| !theirs.node(*id).kind.is_scope());
        let mut loops = around.filter(|id| theirs.node(*id).kind == Kind::Loop).peekable();
        let known = |id: NodeId| self.matching.source(id).is_some_and(|was| was < node);
        let after = |id: NodeId| self.matching.source(id).is_some_and(|was| ours.node(was).end <= node);
        loops.peek().is_some_and(|id| after(*id)) && loops.all(known)
    }

    /// A statement that could as well be the one beside or around which a place was found.
    pub(super) fn ambiguity(&self, point: &Point) -> Option<String> {
        let ours = &self.source.tree;
        let around = ours.ancestors(point.anchor).filter(|id| ours.node(*id).kind.is_compound());
        let mut chain = std::iter::once(point.anchor).chain(around);
        let (at, rival) =
            chain.find_map(|id| Some((id, self.matching.rival(id).filter(|r| !self.is_within(point, *r))?)))?;
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

    /// Whether a rival is around both the place and its anchor: then it does not matter which of the two is meant.
    fn is_within(&self, point: &Point, rival: Rival) -> bool {
        match rival {
            Rival::InTarget(id) => self.target.tree.contains(id, point.block),
            Rival::InSource(id) => id != point.anchor && self.source.tree.contains(id, point.anchor),
        }
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

/// Whether what stands at an index of a block can run: after a `return` nothing does.
pub(super) fn is_reached(source: &Source<'_>, block: NodeId, index: usize) -> bool {
    let leaves = |id: &NodeId| matches!(source.tree.node(*id).kind, Kind::Return | Kind::Raise | Kind::Break);
    !source.tree.node(block).children.iter().take(index).any(leaves)
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

/// Whether a name or an attribute is one of gradients; not what decides whether there are any.
fn reads_gradients(tree: &Tree, id: NodeId) -> bool {
    const DECIDE: [&str; 4] = ["no_grad", "enable_grad", "set_grad_enabled", "requires_grad"];
    let node = tree.node(id);
    let word = node.text.as_str();
    matches!(node.kind, Kind::Name | Kind::Member) && word.contains("grad") && !DECIDE.contains(&word)
}
