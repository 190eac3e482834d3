//! Statements beside a log statement that are new with it and belong to it: `model.eval()` before what it computes and
//! `model.train()` after. They move together, in order. What changes something that the run goes on with belongs to it
//! only where another new statement undoes that; if not, it stays out, and that is told.

use std::collections::BTreeSet;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::reach::is_stored;
use crate::analysis::propagate::unit::{EFFECTS, FEEDS, PURE, Whole, called, trains};
use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

/// What is changed, and by which method it is as before: modes and parameters for a while.
pub(super) const KEPT_UP: &[(&str, &str)] = &[
    ("eval", "train"),
    ("train", "eval"),
    ("train", "train"),
    ("requires_grad_", "requires_grad_"),
    ("set_grad_enabled", "set_grad_enabled"),
    ("store", "restore"),
    ("copy_to", "restore"),
    ("apply_shadow", "restore"),
    ("apply", "restore"),
    ("swap", "swap"),
    ("swap_swa_sgd", "swap_swa_sgd"),
    ("freeze", "unfreeze"),
    ("disable", "enable"),
    ("enable", "disable"),
];
/// What computes gradients or drops them.
const GRADIENTS: &[&str] = &["backward", "zero_grad"];
/// What takes a state that was kept before.
const TAKES: &[&str] = &["load_state_dict", "set_rng_state", "set_rng_state_all", "setstate", "set_state"];
/// Draws of random numbers change nothing but the generators, which is seen when they are executed.
const DRAWS: &[&str] = &["rand", "randn", "randint", "random", "choice", "sample", "normal", "uniform"];
/// Methods that give the object itself, or what shares its memory.
const SAME: &[&str] = &[
    "to",
    "cuda",
    "cpu",
    "float",
    "double",
    "half",
    "train",
    "eval",
    "detach",
    "view",
    "reshape",
    "squeeze",
    "unsqueeze",
];
/// Methods that write something for people.
const SAYS: &[&str] = &[
    "print",
    "debug",
    "info",
    "warning",
    "warn",
    "error",
    "log",
    "write",
    "flush",
    "set_postfix",
    "set_description",
    "display",
    "add_scalar",
    "add_scalars",
    "log_metric",
    "log_metrics",
    "log_dict",
];
/// How deep functions of the source are followed.
const MAX_DEPTH: usize = 3;

/// Whether a method only keeps something up for a while.
pub(super) fn is_kept_up(name: &str) -> bool {
    KEPT_UP.iter().any(|(changes, restores)| [*changes, *restores].contains(&name))
}

/// Something that a statement does to an object.
struct Event {
    /// The statement of the window.
    part: NodeId,
    node: NodeId,
    /// The object; `*` where it is not known.
    path: String,
    /// The method; `=` for an assignment to an attribute or an entry.
    what: String,
    /// Whether what is there was kept before by a new statement.
    is_return: bool,
}

impl Event {
    /// Whether it does nothing to what the run goes on with: what is new with the log has gradients of the run's own.
    fn is_free(&self) -> bool {
        self.is_draw() || self.path.is_empty() && !GRADIENTS.contains(&self.what.as_str())
    }

    fn is_draw(&self) -> bool {
        DRAWS.contains(&self.what.as_str())
    }
}

/// A whole with what belongs to it, then without.
pub(super) fn together(session: &Session<'_>, whole: Whole) -> Vec<Whole> {
    let Some(beside) = Beside::of(session, whole.statement) else { return vec![told_around(session, whole)] };
    let parts = beside.parts();
    let left = |parts: &[NodeId]| beside.left_out(parts);
    let alone = told_around(session, Whole { left_out: left(&whole.parts), ..whole.clone() });
    if parts.len() == 1 {
        return vec![alone];
    }
    vec![told_around(session, Whole { left_out: left(&parts), parts, ..whole }), alone]
}

/// What belongs to a statement from outside of the guard that is written around it stays out.
fn told_around(session: &Session<'_>, mut whole: Whole) -> Whole {
    for guard in whole.guards.clone() {
        let outer = Beside::of(session, guard);
        whole.left_out.extend(outer.map(|beside| beside.left_out(&[guard])).unwrap_or_default());
    }
    whole
}

/// The new statements right beside one, and what they do.
struct Beside<'s, 'a> {
    session: &'s Session<'a>,
    statement: NodeId,
    window: Vec<NodeId>,
    events: Vec<Event>,
}

impl<'s, 'a> Beside<'s, 'a> {
    /// `None` where they do nothing but bind names.
    fn of(session: &'s Session<'a>, statement: NodeId) -> Option<Self> {
        let tree = &session.source.tree;
        let (block, index) = tree.place(statement).filter(|_| !tree.node(statement).kind.is_scope())?;
        let foreign = |id: NodeId| {
            let kind = tree.node(id).kind;
            kind.is_scope() || matches!(kind, Kind::Import | Kind::Return | Kind::Raise | Kind::Break)
        };
        let is_new = |id: &&NodeId| {
            !tree.subtree(**id).any(|id| {
                let statement = tree.node(id).kind.is_statement();
                statement && (foreign(id) || session.counterpart(id).is_some())
            })
        };
        let (before, after) = tree.node(block).children.split_at(index);
        let mut window: Vec<NodeId> = before.iter().rev().take_while(is_new).copied().collect();
        window.reverse();
        window.push(statement);
        window.extend(after[1..].iter().take_while(is_new));
        let mut found = Self { session, statement, window, events: Vec::new() };
        for part in found.window.clone().into_iter().filter(|part| *part != statement) {
            let events = found.events_of(part, part, 0);
            found.events.extend(events);
        }
        (!found.events.is_empty()).then_some(found)
    }

    /// What a statement does, and the functions that it calls.
    fn events_of(&self, part: NodeId, inside: NodeId, depth: usize) -> Vec<Event> {
        let (session, tree) = (self.session, &self.session.source.tree);
        let logs = |id: NodeId| session.source_logs.iter().any(|(log, _)| tree.contains(*log, id));
        let mut found = Vec::new();
        for id in tree.subtree(inside).filter(|id| !logs(*id)) {
            let node = tree.node(id);
            let stored = node.kind == Kind::Member || node.kind == Kind::Other && is_item(tree, id);
            if stored && is_stored_itself(tree, id) {
                let path = tree.path(id).or_else(|| tree.path(root(tree, id))).unwrap_or_else(|| "*".into());
                found.push(self.event(part, id, path, "="));
            }
            let Some(callee) = node.children.first().copied().filter(|_| node.kind == Kind::Call) else { continue };
            let name = tree.node(callee).text.as_str();
            let object = tree.node(callee).children.first().copied().filter(|_| tree.node(callee).kind == Kind::Member);
            // A function is called by its name, a method on an object.
            let of_class = |id: &NodeId| tree.node(tree.scope(*id)).kind == Kind::Class;
            let is_self = object.is_some_and(|object| tree.node(object).name == "self");
            let mut bodies = called(session, name);
            bodies.retain(|body| match object {
                Some(_) => of_class(body) && (is_self || !is_kept_up(name)),
                None => !of_class(body) || tree.node(*body).name == "__init__",
            });
            if object.is_none() || !bodies.is_empty() {
                if bodies.is_empty() && (EFFECTS.contains(&name) || trains(name)) && name != "open" {
                    found.push(self.event(part, id, "*".into(), name));
                }
                for body in bodies.into_iter().filter(|_| depth < MAX_DEPTH) {
                    let inner = self.events_of(part, body, depth + 1);
                    found.extend(inner.into_iter().map(|event| Event { path: "*".into(), node: id, ..event }));
                }
                continue;
            }
            let in_place = name.ends_with('_') && !name.starts_with('_');
            let changes = EFFECTS.contains(&name) || FEEDS.contains(&name) || TAKES.contains(&name) || in_place;
            let alone = depth == 0 && !is_self && self.is_alone(id) && !PURE.contains(&name) && !SAYS.contains(&name);
            if changes || is_kept_up(name) || trains(name) || alone {
                let path = object.and_then(|object| tree.path(root(tree, object))).unwrap_or_else(|| "*".into());
                found.push(self.event(part, id, path, name));
            }
        }
        found
    }

    fn event(&self, part: NodeId, node: NodeId, path: String, what: &str) -> Event {
        let tree = &self.session.source.tree;
        let value = match tree.node(node).kind {
            Kind::Call => Some(node),
            _ => tree.statement_of(node).and_then(|statement| tree.node(statement).children.last().copied()),
        };
        let sets = || ["set", "load", "restore"].iter().any(|word| what.starts_with(word));
        let takes = what == "=" || what == "train" || TAKES.contains(&what) || sets();
        let kept = |id: NodeId| {
            let name = &tree.node(id).name;
            let binds = |other: &NodeId| *other < part && self.binds(*other, name);
            tree.node(id).access.reads() && self.window.iter().any(binds)
        };
        // Nothing is made of it on the way.
        let plain = |id: NodeId| {
            let node = tree.node(id);
            node.access != Access::Inner
                && !(node.kind == Kind::Other && ["+", "-", "*", "/", "not"].contains(&node.text.as_str()))
        };
        let given_back = |value: NodeId| tree.subtree(value).any(kept) && tree.subtree(value).all(plain);
        let is_return = takes && value.is_some_and(given_back);
        Event { part, node, path: self.resolved(path, 0), what: what.to_owned(), is_return }
    }

    /// Whether nothing takes what a call gives: it is made for what it does.
    fn is_alone(&self, call: NodeId) -> bool {
        let tree = &self.session.source.tree;
        tree.node(call)
            .parent
            .is_some_and(|parent| tree.node(parent).kind == Kind::Simple && tree.node(parent).children.len() == 1)
    }

    fn binds(&self, statement: NodeId, name: &str) -> bool {
        let tree = &self.session.source.tree;
        tree.subtree(statement).any(|id| tree.node(id).access.binds() && tree.node(id).name == name)
    }

    /// The path of the object that a new variable is another name of; empty for an object that is new itself.
    fn resolved(&self, path: String, depth: usize) -> String {
        let tree = &self.session.source.tree;
        let base = path.split('.').next().unwrap_or(&path);
        let mut makers = self.window.iter().filter(|part| self.binds(**part, base));
        let (Some(maker), true) = (makers.next(), depth < MAX_DEPTH) else { return path };
        let node = tree.node(*maker);
        let plain = node.kind == Kind::Simple && node.children.len() == 2 && node.text.is_empty();
        let Some(value) = node.children.last().copied().filter(|_| plain && tree.node(node.children[0]).name == base)
        else {
            return path;
        };
        // Every new variable of the name has to be one of its own.
        if makers.next().is_some() || tree.binders(base).iter().any(|id| !self.is_inside(*id)) {
            return path;
        }
        let object = root(tree, value);
        match tree.path(object) {
            Some(other) if other != base => self.resolved(other, depth + 1),
            _ => String::new(),
        }
    }

    fn is_inside(&self, id: NodeId) -> bool {
        self.window.iter().any(|part| self.session.source.tree.contains(*part, id))
    }

    /// Whether an event leaves the run as it was, or others beside it do.
    fn is_undone(&self, event: &Event) -> bool {
        if event.is_free() || event.is_return {
            return true;
        }
        self.events.iter().any(|other| self.is_undone_by(event, other) || self.is_undone_by(other, event))
    }

    /// Whether the second event leaves things as they were before the first.
    fn is_undone_by(&self, a: &Event, b: &Event) -> bool {
        let tree = &self.session.source.tree;
        let same = a.path == b.path || a.path == "*" || b.path == "*";
        let steps = || self.events.iter().any(|event| (a.node..b.node).contains(&event.node) && event.what == "step");
        let gradients = GRADIENTS.contains(&a.what.as_str()) && b.what == "zero_grad" && !steps();
        let known = KEPT_UP.contains(&(a.what.as_str(), b.what.as_str()));
        let kept = b.is_return && (a.what != "=" && TAKES.contains(&b.what.as_str()) || self.is_set_again(a, b));
        // What restores is executed whenever what changes is.
        let block = tree.statement_of(b.node).and_then(|id| tree.node(id).parent);
        let reached = a.part == b.part || block.is_some_and(|block| tree.contains(block, a.node));
        a.node <= b.node && !std::ptr::eq(a, b) && reached && (gradients || same && (known || kept))
    }

    /// Whether the second gives all of what the first assigned to, or a method's argument, another value.
    fn is_set_again(&self, a: &Event, b: &Event) -> bool {
        let text = |event: &Event| {
            let range = self.session.source.tree.node(event.node).range.clone();
            self.session.source.text.get(range).unwrap_or_default()
        };
        let (first, all) = (text(a), text(b));
        let all = ["[:]", "[...]"].iter().find_map(|end| all.strip_suffix(end)).unwrap_or(all);
        let within = first.strip_prefix(all).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']));
        a.what == b.what && (a.what != "=" || within)
    }

    /// Whether a statement, or one of those that it is taken with, sees what an event does.
    fn concerns(&self, event: &Event, parts: &[NodeId]) -> bool {
        let tree = &self.session.source.tree;
        let own = |id: &NodeId| {
            let within = |event: &Event| !event.is_draw() && tree.contains(event.node, *id);
            !self.events.iter().any(within)
        };
        let mut nodes = parts.iter().flat_map(|part| tree.subtree(*part)).filter(own);
        let related = |other: &str| {
            let within =
                |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            event.path == "*" || within(other, &event.path) || within(&event.path, other)
        };
        let what = event.what.as_str();
        if GRADIENTS.contains(&what) {
            return nodes.any(|id| tree.node(id).text.contains("grad") && !tree.node(id).text.contains("no_grad"));
        }
        let part_of = |id: NodeId| tree.node(id).parent.is_some_and(|p| tree.node(p).kind == Kind::Member);
        let of_module = event.path == "*" || self.is_module(&event.path);
        if is_kept_up(what) || event.is_return && of_module {
            // A mode matters to what is called, with the object or on it.
            return nodes.filter(|id| tree.node(*id).kind == Kind::Call).any(|call| {
                let callee = tree.node(call).children.first().copied().unwrap_or(call);
                let name = tree.node(callee).text.as_str();
                let logs = self.session.source.calls.iter().any(|known| known.callee == tree.node(callee).range);
                let path = |id: NodeId| tree.path(id).filter(|_| !part_of(id)).map(|path| self.resolved(path, 0));
                let given = || tree.subtree(call).any(|id| path(id).is_some_and(|path| related(&path)));
                !logs && !PURE.contains(&name) && (of_module || given())
            });
        }
        if of_module {
            return false;
        }
        nodes.filter(|id| !part_of(*id)).filter_map(|id| tree.path(id)).any(|path| related(&self.resolved(path, 0)))
    }

    fn is_module(&self, path: &str) -> bool {
        let tree = &self.session.source.tree;
        let base = path.split('.').next().unwrap_or(path);
        // What is imported from a module may be any object.
        let imported = |id: &NodeId| {
            let import = tree.statement_of(*id).filter(|id| tree.node(*id).kind == Kind::Import);
            import.is_some_and(|id| tree.node(id).text.is_empty())
        };
        tree.binders(base).iter().any(imported)
    }

    /// The statements that move together; where another log shares some of them, with what belongs to that.
    fn parts(&self) -> Vec<NodeId> {
        let tree = &self.session.source.tree;
        let mut parts = self.parts_of(self.statement);
        let logs = |id: &&NodeId| self.session.wanted.iter().any(|wanted| tree.contains(**id, *wanted));
        if self.is_chosen(self.statement) {
            return parts;
        }
        let mut others: Vec<Vec<NodeId>> =
            self.window.iter().filter(logs).filter(|id| !self.is_chosen(**id)).map(|id| self.parts_of(*id)).collect();
        while let Some(at) = others.iter().position(|other| other.iter().any(|id| parts.contains(id))) {
            parts.extend(others.remove(at));
        }
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    /// Whether the user has said where a statement stands: it goes there by itself.
    fn is_chosen(&self, statement: NodeId) -> bool {
        self.session.chosen.keys().any(|chosen| self.session.source.tree.contains(statement, *chosen))
    }

    fn parts_of(&self, statement: NodeId) -> Vec<NodeId> {
        let tree = &self.session.source.tree;
        let mut parts = vec![statement];
        loop {
            let (first, last) = (parts[0], parts[parts.len() - 1]);
            let belongs = |id: &&NodeId| {
                let own = || self.events.iter().filter(|event| event.part == **id);
                let wanted = self.session.wanted.iter().any(|wanted| tree.contains(**id, *wanted));
                let between =
                    (first..last).contains(*id) && wanted && !self.is_chosen(**id) && !self.is_chosen(statement);
                let concerned = own().any(|event| {
                    let undone = |other: &Event| parts.contains(&other.part) && self.is_undone_by(other, event);
                    let undoes = self.events.iter().any(undone) || event.is_return && self.is_module(&event.path);
                    self.concerns(event, &parts) && (undoes || **id < statement && !event.is_return)
                });
                !parts.contains(id)
                    && own().all(|event| self.is_undone(event))
                    && (between || concerned || self.defines(**id, &parts))
            };
            let Some(next) = self.window.iter().find(belongs).copied() else { break };
            parts.push(next);
            parts.sort_unstable();
        }
        let acts = |part: &NodeId| self.events.iter().any(|event| event.part == *part && !event.is_draw());
        if parts.iter().any(acts) { parts } else { vec![statement] }
    }

    /// Whether a statement gives a name a value that a later one of these reads.
    fn defines(&self, statement: NodeId, parts: &[NodeId]) -> bool {
        let tree = &self.session.source.tree;
        let later = parts.iter().filter(|part| **part > statement).flat_map(|part| tree.subtree(*part));
        let read: BTreeSet<&str> =
            later.filter(|id| tree.node(*id).access.reads()).map(|id| tree.node(id).name.as_str()).collect();
        let own = |id: &NodeId| match tree.node(*id).access {
            Access::Update => self.session.binders(*id, &tree.node(*id).name).into_iter().all(|id| self.is_inside(id)),
            access => access.binds(),
        };
        let mut bound = tree.subtree(statement).filter(own);
        bound.any(|id| read.contains(tree.node(id).name.as_str()))
    }

    /// Statements before it that change what these read, and are not among them.
    fn left_out(&self, parts: &[NodeId]) -> Vec<NodeId> {
        // All that is computed for what is read, whether it comes with it or is brought.
        let mut read = parts.to_vec();
        while let Some(next) = self.window.iter().find(|id| !read.contains(id) && self.defines(**id, &read)) {
            read.push(*next);
        }
        let outside = |event: &&Event| {
            let earlier = event.part < self.statement && !parts.contains(&event.part);
            let restores = self.events.iter().any(|other| self.is_undone_by(other, event));
            earlier && !restores && !event.is_free() && self.concerns(event, &read)
        };
        let mut found: Vec<NodeId> = self.events.iter().filter(outside).map(|event| event.part).collect();
        found.dedup();
        found
    }
}

impl Work<'_, '_> {
    /// Tells what moves with the statement, and what does not.
    pub(super) fn say_group(&mut self, whole: &Whole) {
        let (source, tree) = (self.session.source, &self.session.source.tree);
        let words = |id: NodeId| {
            let text = source.text.get(tree.node(id).range.clone()).unwrap_or_default();
            text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
        };
        let added = |part: &&NodeId| **part != whole.statement && !self.session.wanted.contains(*part);
        let added: Vec<String> =
            whole.parts.iter().filter(added).map(|part| format!("`{}` added", words(*part))).collect();
        self.adapted.changes.extend(added);
        for id in &whole.left_out {
            let line = source.lines.line(tree.node(*id).range.start);
            let reason = format!(
                "`{}` at line {line} of the source changes what it reads, and is not brought: the run would go on otherwise",
                words(*id)
            );
            self.adapted.doubts.push(reason);
        }
    }
}

/// What a call, a subscript or a chain of methods that give the same object starts with.
fn root(tree: &Tree, mut id: NodeId) -> NodeId {
    loop {
        let node = tree.node(id);
        let Some(first) = node.children.first().copied() else { return id };
        let callee = tree.node(first);
        let same = node.kind == Kind::Call && callee.kind == Kind::Member && SAME.contains(&callee.text.as_str());
        id = match node.kind {
            Kind::Other if is_item(tree, id) => first,
            Kind::Call if same => callee.children.first().copied().unwrap_or(id),
            Kind::Member if tree.path(id).is_none() => first,
            _ => return id,
        };
    }
}

/// `a[b]`
fn is_item(tree: &Tree, id: NodeId) -> bool {
    let node = tree.node(id);
    let bound = |id: &NodeId| tree.node(*id).access.binds();
    node.kind == Kind::Other && node.children.len() == 2 && node.text.is_empty() && !node.children.iter().any(bound)
}

/// Whether a member or an entry is itself what an assignment gives a value.
fn is_stored_itself(tree: &Tree, id: NodeId) -> bool {
    let inner = tree.node(id).parent.is_some_and(|parent| {
        let parent = tree.node(parent);
        parent.kind == Kind::Member || is_item(tree, tree.node(id).parent.unwrap_or(id))
    });
    !inner && is_stored(tree, id)
}

/// Whether all that a statement does to what a run goes on with is undone by others beside it.
pub(super) fn is_for_a_while(session: &Session<'_>, statement: NodeId) -> bool {
    // Looked at from the statement before or after it, it is one of those beside that.
    let tree = &session.source.tree;
    let Some((block, index)) = tree.place(statement) else { return false };
    let siblings = &tree.node(block).children;
    let others = [index.checked_sub(1), Some(index + 1)].into_iter().flatten().filter_map(|at| siblings.get(at));
    let mut found = others.filter_map(|other| Beside::of(session, *other));
    found.any(|beside| {
        let mut own = beside.events.iter().filter(|event| event.part == statement).peekable();
        own.peek().is_some() && own.all(|event| beside.is_undone(event))
    })
}
