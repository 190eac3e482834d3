//! Whether the value that a statement reads is made before a place, as it is before the statement in the source: by an
//! assignment, an entry that is set, or a method of `self` that does it. A variable that was only begun holds nothing yet.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::anchor::Point;
use crate::analysis::propagate::reach::{carrier, defines, is_stored, with_members};
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// Methods that fill what they are called on.
const FILLS: &[&str] = &["append", "add", "update", "extend", "insert", "setdefault", "push"];
/// Calls that make something empty.
const EMPTY: &[&str] =
    &["dict", "list", "set", "tuple", "OrderedDict", "defaultdict", "Counter", "deque", "float", "int"];
/// How many calls deep a method is followed.
const MAX_DEPTH: usize = 3;

/// A variable with its attributes, and the entry of it that is read where its key is a literal.
#[derive(Clone, Copy)]
struct Wanted<'p> {
    path: &'p str,
    key: Option<&'p str>,
}

impl Work<'_, '_> {
    /// Notes a value that is made before the statement in the source and only after the place in the target, in one
    /// iteration of the loop around either.
    pub(super) fn check_made(&mut self, path: &str, theirs: &str, id: NodeId) {
        let (ours, there) = (&self.session.source.tree, &self.session.target.tree);
        let key = key_of(ours, id);
        let (round, round_there) = (round(ours, self.unit), round(there, self.point.block));
        let made = makers(ours, round, Wanted { path, key });
        if !made.into_iter().any(|maker| maker < self.unit) {
            return;
        }
        let start = self.session.start_of(self.point);
        let made = makers(there, round_there, Wanted { path: theirs, key });
        if made.iter().any(|maker| *maker < start) {
            return;
        }
        if let Some(maker) = made.first() {
            let line = self.session.target.lines.line(there.node(*maker).range.start);
            self.adapted.others.push(format!("`{theirs}` gets its value at line {line}, after it"));
            self.adapted.made_at.get_or_insert(*maker);
        }
    }
}

impl Work<'_, '_> {
    /// Notes a value that the target computes right after the place, where the source does something with it right before
    /// the statement: the one may have become the other.
    pub(super) fn check_replaced(&mut self, path: &str, theirs: &str) {
        let session = self.session;
        let (ours, there) = (&session.source.tree, &session.target.tree);
        let Some((block, index)) = ours.place(self.unit) else { return };
        let gap = ours.node(block).children[..index].iter().rev().filter(|id| !session.is_moving(**id));
        let mut gap = gap.take_while(|id| session.counterpart(**id).is_none());
        let touches = |id: NodeId| {
            ours.node(id).kind == Kind::Simple && ours.subtree(id).any(|at| ours.path(at).as_deref() == Some(path))
        };
        let Some(touching) = gap.find(|id| touches(**id)) else { return };
        let after = there.node(self.point.block).children.iter().skip(self.point.index);
        let simple = |tree: &Tree, id: NodeId| tree.node(id).kind == Kind::Simple;
        let makes = |id: NodeId| {
            let defined = |at: NodeId| defines(there, at, theirs) && !is_begun(there, id);
            let was = session.matching.source(id).filter(|was| simple(ours, *was));
            let known = was.is_some_and(|was| ours.header(was).into_iter().any(|at| defines(ours, at, path)));
            simple(there, id) && !known && there.header(id).into_iter().any(defined)
        };
        let mut after = after.take_while(|id| session.matching.source(**id).is_none() || makes(**id));
        if let Some(maker) = after.find(|id| makes(**id)) {
            let line = session.target.lines.line(there.node(*maker).range.start);
            let was = session.source.lines.line(ours.node(*touching).range.start);
            let reason =
                format!("`{theirs}` gets a value at line {line}, after it: maybe that of line {was} of the source");
            self.adapted.others.push(reason);
            self.adapted.made_at.get_or_insert(*maker);
        }
    }
}

impl Session<'_> {
    /// The place right after what makes a value that another place lacks.
    pub(super) fn after_maker(&self, point: &Point, maker: NodeId) -> Option<Point> {
        let tree = &self.target.tree;
        let (block, index) = tree.place(tree.statement_of(maker).filter(|id| !tree.node(*id).kind.is_compound())?)?;
        let line = self.target.lines.line(tree.node(maker).range.start);
        let reason = format!("after line {line}, which makes what it reads");
        Some(Point { block, index: index + 1, score: point.score - 0.5, reason, anchor: point.anchor })
    }
}

/// The innermost loop around a node, or else its function.
fn round(tree: &Tree, at: NodeId) -> NodeId {
    let around = |id: &NodeId| tree.node(*id).kind.is_scope() || tree.node(*id).kind == Kind::Loop;
    tree.ancestors(at).find(around).unwrap_or(0)
}

/// The literal key under which a node is read: `loss` of `losses["loss"]`.
fn key_of(tree: &Tree, id: NodeId) -> Option<&str> {
    let subscript = tree.node(id).parent.map(|parent| tree.node(parent)).filter(|node| node.kind == Kind::Other)?;
    match subscript.children.as_slice() {
        [object, key] if *object == id && tree.node(*key).kind == Kind::Literal => Some(&tree.node(*key).text),
        _ => None,
    }
}

/// The nodes in a loop or function, not in functions within it, that give what is wanted more than a beginning.
fn makers(tree: &Tree, round: NodeId, wanted: Wanted<'_>) -> Vec<NodeId> {
    let base = wanted.path.split('.').next().unwrap_or(wanted.path);
    let scope = if tree.node(round).kind.is_scope() { round } else { tree.scope(round) };
    let uses = tree.uses(base).iter().copied();
    let uses = uses.filter(|id| tree.contains(round, *id) && tree.scope(*id) == scope);
    uses.filter(|id| makes(tree, *id, wanted) || calls_maker(tree, *id, wanted.path, 0)).collect()
}

/// Whether a use of a variable gives what is wanted a value.
fn makes(tree: &Tree, id: NodeId, wanted: Wanted<'_>) -> bool {
    let is_made = |at: NodeId| {
        if defines(tree, at, wanted.path) {
            return !is_begun(tree, carrier(tree, at));
        }
        let Some(parent) = tree.node(at).parent.filter(|_| tree.path(at).as_deref() == Some(wanted.path)) else {
            return false;
        };
        let (node, first) = (tree.node(parent), tree.node(parent).children.first() == Some(&at));
        match node.kind {
            Kind::Other if first && is_stored(tree, at) => {
                wanted.key.is_none_or(|key| key_of(tree, at).is_none_or(|other| other == key))
            }
            Kind::Member => FILLS.contains(&node.text.as_str()) && is_callee(tree, parent),
            _ => false,
        }
    };
    with_members(tree, id).any(is_made)
}

/// Whether `self` is used to call a method that gives an attribute its value.
fn calls_maker(tree: &Tree, id: NodeId, path: &str, depth: usize) -> bool {
    let Some(method) = tree.node(id).parent.filter(|parent| path.starts_with("self.") && is_callee(tree, *parent))
    else {
        return false;
    };
    let named = tree.binders(&tree.node(method).text).iter().copied();
    let mut methods =
        named.filter(|id| tree.node(*id).kind == Kind::Function && tree.node(tree.scope(*id)).kind == Kind::Class);
    methods.any(|function| {
        let mut uses = tree.uses("self").iter().copied().filter(|id| tree.scope(*id) == function);
        let wanted = Wanted { path, key: None };
        uses.any(|id| makes(tree, id, wanted) || depth < MAX_DEPTH && calls_maker(tree, id, path, depth + 1))
    })
}

fn is_callee(tree: &Tree, id: NodeId) -> bool {
    let call = tree.node(id).parent.map(|parent| tree.node(parent));
    call.is_some_and(|call| call.kind == Kind::Call && call.children.first() == Some(&id))
}

/// Whether an assignment only begins a variable: with a literal, or with something empty.
pub(super) fn is_begun(tree: &Tree, statement: NodeId) -> bool {
    let node = tree.node(statement);
    if node.kind != Kind::Simple || node.children.len() < 2 || !node.text.is_empty() {
        return false;
    }
    let value = node.children[node.children.len() - 1];
    is_empty_call(tree, value)
        || tree.subtree(value).all(|id| matches!(tree.node(id).kind, Kind::Literal | Kind::Other))
}

/// Whether an assignment gives a variable `None`.
pub(super) fn is_nothing(tree: &Tree, statement: NodeId) -> bool {
    let node = tree.node(statement);
    let value = node.children.last().filter(|_| node.kind == Kind::Simple && node.children.len() > 1);
    value.is_some_and(|value| tree.node(*value).kind == Kind::Other && tree.node(*value).text == "None")
}

/// `dict()`, `defaultdict(list)`, `float("inf")`
fn is_empty_call(tree: &Tree, id: NodeId) -> bool {
    let callee = tree.node(id).children.first().map(|callee| tree.node(*callee));
    let made = callee.is_some_and(|callee| callee.kind == Kind::Name && EMPTY.contains(&callee.text.as_str()));
    tree.node(id).kind == Kind::Call && made
}
