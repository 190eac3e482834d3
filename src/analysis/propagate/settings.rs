//! Modes and contexts under which the source computes what is logged and the target does not: `with autocast():` around the
//! statement, `net.eval()` before the line that computes a value it reads.

use std::collections::BTreeSet;

use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::reach::carrier;
use crate::analysis::propagate::unit::PURE;
use crate::analysis::treediff::{Kind, Node, NodeId, Tree};

/// Contexts that leave a value as it is.
const QUIET: &[&str] = &[
    "no_grad",
    "inference_mode",
    "enable_grad",
    "set_grad_enabled",
    "open",
    "tqdm",
    "trange",
    "record_function",
    "profile",
    "catch_warnings",
    "suppress",
    "accumulate",
    "no_sync",
    "GradientTape",
    "scope",
    "name_scope",
    "variable_scope",
    "device",
    "stream",
    "closing",
    "nullcontext",
    "ExitStack",
    "Session",
    "Pool",
    "Progress",
    "Mesh",
    "TemporaryDirectory",
    "SummaryWriter",
    "join",
    "Join",
];
/// Words in the names of further ones.
const QUIET_WORDS: &[&str] = &["lock", "time", "timer", "profile", "profiler", "log", "logging", "progress", "anomaly"];
/// How many assignments back what a value is computed from is looked at.
const MAX_DEPTH: usize = 3;

impl Work<'_, '_> {
    /// Notes a context around the statement that is not around the place, where the statement itself computes something.
    pub(super) fn check_contexts(&mut self) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        let computes = |id: NodeId| {
            let node = ours.node(id);
            let callee = node.children.first().filter(|_| node.kind == Kind::Call);
            let known = |callee: &NodeId| {
                let own = session.source.calls.iter().any(|call| call.callee == ours.node(*callee).range);
                own || PURE.contains(&ours.node(*callee).text.as_str())
            };
            callee.is_some_and(|callee| !known(callee))
        };
        let contexts = |tree: &Tree, block: NodeId| -> Vec<NodeId> {
            let outer = std::iter::once(block).chain(tree.ancestors(block));
            let within = outer.take_while(|id| !tree.node(*id).kind.is_scope());
            within.filter(|id| tree.node(*id).kind == Kind::With).collect()
        };
        let (Some((home, _)), true) = (ours.place(self.unit), self.moved().any(computes)) else { return };
        let there = contexts(theirs, self.point.block);
        let names = |tree: &Tree, with: NodeId| -> Vec<String> {
            let header = tree.header(with).into_iter();
            let named = header.filter(|id| matches!(tree.node(*id).kind, Kind::Name | Kind::Member));
            named.filter(|id| !tree.node(*id).access.binds()).map(|id| tree.node(id).text.clone()).collect()
        };
        for with in contexts(ours, home) {
            let quiet = !names(ours, with).iter().any(|name| sets(name)) || is_quiet(ours, with);
            let around: Vec<NodeId> = there.iter().flat_map(|with| entered(theirs, *with)).collect();
            let lacking = entered(ours, with).into_iter().find(|id| {
                let alone = ours.node(*id).kind == Kind::Call && !sets(&ours.node(ours.node(*id).children[0]).text);
                !alone && !around.iter().any(|other| is_alike(ours, *id, theirs, *other))
            });
            let Some(context) = lacking.filter(|_| !quiet) else { continue };
            let line = session.source.lines.line(ours.node(with).range.start);
            let words = session.source.text.get(ours.node(context).range.clone()).unwrap_or_default();
            let words = words.lines().next().unwrap_or_default();
            self.adapted
                .doubts
                .push(format!("`with {words}` of line {line} of the source is not around it in the target"));
        }
    }

    /// Notes a model's mode that is another one where the target computes what the statement reads: the value is the
    /// target's own, and computed otherwise.
    pub(super) fn check_modes_of_values(&mut self) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        let count = |tree: &Tree| tree.nodes.iter().filter(|n| n.kind == Kind::Member && n.text == "eval").count();
        // Only what the function of one version switches off is asked for: that is most of what there is, and cheap.
        let switches = |tree: &Tree, scope: NodeId| {
            tree.subtree(scope).any(|id| tree.node(id).kind == Kind::Member && tree.node(id).text == "eval")
        };
        let here = || switches(ours, ours.scope(self.statement)) != switches(theirs, theirs.scope(self.point.block));
        if count(ours) == count(theirs) || !here() {
            return;
        }
        let (mut seen, mut open) = (BTreeSet::new(), vec![(self.statement, 0)]);
        while let Some((statement, depth)) = open.pop() {
            let Some(place) = ours.place(statement).filter(|_| depth < MAX_DEPTH) else { continue };
            for path in session.paths_read(statement) {
                for id in session.definitions_at(&path, place) {
                    let at = carrier(ours, id);
                    let simple = ours.node(at).kind == Kind::Simple && ours.scope(at) == ours.scope(statement);
                    let Some(there) = session.counterpart(at).filter(|_| simple && seen.insert(at)) else { continue };
                    open.push((at, depth + 1));
                    let name = ours.path(id).unwrap_or_else(|| path.split('.').next().unwrap_or(&path).to_owned());
                    let told = self.another_mode(at, there, &name);
                    if let Some(change) = told {
                        self.adapted.changes.push(change);
                        return;
                    }
                }
            }
        }
    }

    fn another_mode(&self, at: NodeId, there: NodeId, path: &str) -> Option<String> {
        let (source, target) = (self.session.source, self.session.target);
        let (was, is) = (switched_off(&source.tree, at), switched_off(&target.tree, there));
        let elsewhere = |tree: &Tree, at: NodeId| {
            let scope = tree.scope(at);
            tree.nodes
                .iter()
                .enumerate()
                .any(|(id, n)| n.kind == Kind::Member && n.text == "eval" && tree.scope(id) != scope)
        };
        match (was, is) {
            (Some((id, name)), None) if !elsewhere(&target.tree, there) => {
                let line = source.lines.line(source.tree.node(id).range.start);
                Some(format!("`{path}` is computed without `{name}.eval()` of line {line} of the source"))
            }
            (None, Some((id, name))) if !elsewhere(&source.tree, at) => {
                let line = target.lines.line(target.tree.node(id).range.start);
                Some(format!("`{path}` is computed after `{name}.eval()` at line {line}, which the source lacks"))
            }
            _ => None,
        }
    }
}

/// The last `eval()` before a statement, in its function, of what the statement calls, where no `train()` follows.
fn switched_off(tree: &Tree, statement: NodeId) -> Option<(NodeId, String)> {
    let scope = tree.scope(statement);
    let callees = tree.subtree(statement).filter(|id| tree.node(*id).kind == Kind::Call);
    let called: BTreeSet<String> = callees.filter_map(|id| tree.path(tree.node(id).children[0])).collect();
    called.into_iter().find_map(|object| {
        let base = object.split('.').next().unwrap_or(&object);
        let uses = tree.uses(base).iter().copied().filter(|id| *id < statement && tree.scope(*id) == scope);
        let mode = uses.filter_map(|id| mode_of(tree, id, &object)).next_back()?;
        (mode.1).then_some((mode.0, object))
    })
}

/// Whether a use of a variable sets the mode of an object: where, and whether it is switched off.
fn mode_of(tree: &Tree, id: NodeId, object: &str) -> Option<(NodeId, bool)> {
    let mut at = id;
    while tree.path(at).as_deref() != Some(object) {
        at = tree.node(at).parent.filter(|parent| tree.node(*parent).kind == Kind::Member)?;
    }
    let method = tree.node(at).parent.filter(|id| tree.node(*id).kind == Kind::Member)?;
    let call = tree.node(method).parent.filter(|id| tree.node(*id).kind == Kind::Call)?;
    let alone = tree.node(call).parent.is_some_and(|id| tree.node(id).kind == Kind::Simple);
    let off = tree.subtree(call).any(|id| tree.node(id).text == "False");
    match tree.node(method).text.as_str() {
        "eval" if alone => Some((call, true)),
        "train" if alone => Some((call, off)),
        _ => None,
    }
}

/// The contexts that a `with` enters.
fn entered(tree: &Tree, with: NodeId) -> Vec<NodeId> {
    let items = tree.node(with).children.iter().copied().filter(|id| tree.node(*id).kind == Kind::Other);
    items.filter_map(|id| tree.node(id).children.first().copied()).collect()
}

/// Whether two contexts are one but for the names of variables in what they are given.
fn is_alike(ours: &Tree, a: NodeId, theirs: &Tree, b: NodeId) -> bool {
    let (x, y) = (ours.node(a), theirs.node(b));
    if let (Some(was), Some(is)) = (ours.path(a), theirs.path(b)) {
        let callee = |node: &Node, tree: &Tree, id| {
            let called = |p: NodeId| tree.node(p).kind == Kind::Call && tree.node(p).children[0] == id;
            // `with lock:`
            node.parent
                .is_some_and(|p| called(p) || tree.node(p).parent.is_some_and(|p| tree.node(p).kind == Kind::With))
        };
        let other = callee(x, ours, a) || callee(y, theirs, b);
        return !other || was.rsplit('.').next() == is.rsplit('.').next();
    }
    let same = x.kind == y.kind && x.text == y.text && x.children.len() == y.children.len();
    same && x.children.iter().zip(&y.children).all(|(a, b)| is_alike(ours, *a, theirs, *b))
}

/// Whether a context's name does not say that it leaves values as they are.
fn sets(name: &str) -> bool {
    let lower = name.to_lowercase();
    !QUIET.contains(&name)
        && !lower.split('_').any(|word| QUIET_WORDS.contains(&word))
        && !["torch", "self", "cuda", "tf"].contains(&name)
}

/// Whether all that a `with` enters leaves values as they are.
fn is_quiet(tree: &Tree, with: NodeId) -> bool {
    let header = tree.header(with);
    let calls = || header.iter().copied().filter(|id| tree.node(*id).kind == Kind::Call);
    let inner = |call: NodeId| calls().any(|other| other != call && tree.contains(other, call));
    let mut outer = calls().filter(|call| !inner(*call)).peekable();
    outer.peek().is_some() && outer.all(|call| !sets(&tree.node(tree.node(call).children[0]).text))
}
