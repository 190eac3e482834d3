//! What new statements beside a log statement do to what a run goes on with, and whether others of them undo it.

use std::collections::{HashMap, HashSet};

use crate::analysis::propagate::Session;
use crate::analysis::propagate::effects::ByFunction;
use crate::analysis::propagate::fresh::is_new_for;
use crate::analysis::propagate::keeps::{STATES, is_copy, is_made, is_schedule, is_state};
use crate::analysis::propagate::own::{only_feeds, only_makes};
use crate::analysis::propagate::reach::{is_item, is_stored_itself, root};
use crate::analysis::propagate::unit::{EFFECTS, FEEDS, PURE, called, trains};
use crate::analysis::treediff::{Kind, NodeId};

/// Changes that stay until the method beside them is called.
pub(super) const KEPT_UP: &[(&str, &str)] = &[
    ("eval", "train"),
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
];
/// Modes that are on or off, by the method's argument.
const MODES: &[&str] = &["train", "requires_grad_", "set_grad_enabled"];
/// What puts other weights in place of a model's own, whose name it does not say; the last brings them back.
const SHADOWS: &[&str] = &["store", "copy_to", "apply_shadow", "restore"];
/// What computes gradients or drops them.
pub(super) const GRADIENTS: &[&str] = &["backward", "zero_grad"];
/// Draws of random numbers change nothing but the generators, which is seen when they are executed.
const DRAWS: &[&str] = &["rand", "randn", "randint", "random", "choice", "sample", "normal", "uniform"];
/// Methods that give the object itself, or what shares its memory.
pub(super) const SAME: &[&str] = &[
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
pub(super) const SAYS: &[&str] = &[
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

/// What a change gives.
#[derive(PartialEq, Eq)]
enum Value {
    /// A mode that is on, or off.
    Mode(bool),
    /// What the statement kept before.
    Kept(NodeId),
    Unknown,
}

/// Something that a statement does to an object.
pub(super) struct Event {
    /// The statement of the window.
    pub(super) part: NodeId,
    pub(super) node: NodeId,
    /// The object; `None` where it is not known, empty where it is new with the log.
    pub(super) path: Option<String>,
    /// The variable by which it is known there.
    pub(super) base: String,
    /// The method; `=` for an assignment to an attribute or an entry.
    pub(super) what: String,
    value: Value,
    /// Whether it does nothing to what the run goes on with.
    pub(super) is_free: bool,
    /// Whether it sets nothing but a rate.
    pub(super) is_schedule: bool,
}

impl Event {
    pub(super) fn is_draw(&self) -> bool {
        DRAWS.contains(&self.what.as_str())
    }

    /// Whether it gives back what was kept before.
    pub(super) fn is_return(&self) -> bool {
        matches!(self.value, Value::Kept(_))
    }

    /// Whether it may change what has another name.
    pub(super) fn is_far(&self) -> bool {
        let what = self.what.as_str();
        self.path.is_none()
            || what == "step" && !self.is_schedule
            || what.starts_with("swap")
            || SHADOWS.contains(&what)
    }

    /// Whether it switches something off, or to another one.
    pub(super) fn is_off(&self) -> bool {
        let switches = ["swap", "swap_swa_sgd", "freeze", "disable"];
        is_kept_up(&self.what) && (self.value == Value::Mode(false) || switches.contains(&self.what.as_str()))
    }

    /// Whether both change the same, of whatever object.
    pub(super) fn is_of_kind(&self, other: &Self) -> bool {
        self.key().1 == other.key().1
    }

    /// Whether both change the same of one object.
    pub(super) fn is_one_with(&self, other: &Self) -> bool {
        !self.is_free && !other.is_free && self.key() == other.key()
    }

    /// Events of one object and one kind follow each other.
    fn key(&self) -> (&str, &str) {
        let kind = match self.what.as_str() {
            "eval" => "train",
            what if SHADOWS.contains(&what) => "restore",
            what if GRADIENTS.contains(&what) => return ("", "zero_grad"),
            what => what,
        };
        (self.path.as_deref().unwrap_or_default(), kind)
    }
}

/// New statements in a row, and what they do.
pub(super) struct Events<'s, 'a> {
    session: &'s Session<'a>,
    pub(super) window: Vec<NodeId>,
    pub(super) all: Vec<Event>,
    /// The statements of the window that bind a name.
    binders: HashMap<&'s str, Vec<NodeId>>,
    /// What functions that they call do, by how deep they are.
    bodies: ByFunction<Vec<(String, String)>>,
}

impl<'s, 'a> Events<'s, 'a> {
    /// Of a window, without what one of its statements does.
    pub(super) fn of(session: &'s Session<'a>, window: Vec<NodeId>, without: Option<NodeId>) -> Self {
        let tree = &session.source.tree;
        let mut binders: HashMap<&str, Vec<NodeId>> = HashMap::new();
        for part in &window {
            for id in tree.subtree(*part).filter(|id| tree.node(*id).access.binds()) {
                let known = binders.entry(&tree.node(id).name).or_default();
                known.extend((known.last() != Some(part)).then_some(*part));
            }
        }
        let mut found = Self { session, window, all: Vec::new(), binders, bodies: ByFunction::default() };
        for part in found.window.clone().into_iter().filter(|part| Some(*part) != without) {
            let events = found.events_of(part, part, 0);
            found.all.extend(events);
        }
        found.all.sort_by_key(|event| event.node);
        found
    }

    pub(super) fn of_part(&self, part: NodeId) -> impl Iterator<Item = (usize, &Event)> {
        self.all.iter().enumerate().filter(move |(_, event)| event.part == part)
    }

    /// Whether it fills a new object: that is brought with what reads it, alone too.
    pub(super) fn is_fill(&self, event: &Event) -> bool {
        let entry = event.what == "=" && is_item(&self.session.source.tree, event.node);
        event.is_free && (entry || FEEDS.contains(&event.what.as_str()))
    }

    /// The names of the window's own whose objects a statement fills.
    pub(super) fn filled_by(&self, part: NodeId) -> impl Iterator<Item = &'s str> {
        let filled = self.of_part(part).filter(|(_, event)| event.is_free && !event.is_draw());
        filled.filter_map(|(_, event)| self.binders.get_key_value(event.base.as_str()).map(|(name, _)| *name))
    }

    /// What a statement does, and the functions that it calls.
    fn events_of(&self, part: NodeId, inside: NodeId, depth: usize) -> Vec<Event> {
        let (session, tree) = (self.session, &self.session.source.tree);
        let logs: Vec<NodeId> =
            session.source_logs.iter().map(|(log, _)| *log).filter(|log| tree.contains(inside, *log)).collect();
        let mut found = Vec::new();
        for id in tree.subtree(inside).filter(|id| !logs.iter().any(|log| tree.contains(*log, *id))) {
            let node = tree.node(id);
            let stored = node.kind == Kind::Member || node.kind == Kind::Other && is_item(tree, id);
            if stored && is_stored_itself(tree, id) {
                let path = tree.path(id).or_else(|| tree.path(root(tree, id)));
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
            if bodies.iter().any(|body| tree.node(*body).name == "__init__") && only_makes(session, name) {
                continue;
            }
            let only_fed = object.is_some() && !is_self && FEEDS.contains(&name) && only_feeds(session, name);
            if !bodies.is_empty() && !only_fed {
                for body in bodies.into_iter().filter(|_| depth < MAX_DEPTH) {
                    let unknown = |(base, what)| {
                        let (path, value, is_free) = (None, Value::Unknown, false);
                        Event { part, node: id, path, base, what, value, is_free, is_schedule: false }
                    };
                    found.extend(self.inside(part, body, depth + 1).into_iter().map(unknown));
                }
                continue;
            }
            let in_place = name.ends_with('_') && !name.starts_with('_');
            let changes = EFFECTS.contains(&name) && name != "open"
                || is_kept_up(name)
                || trains(name)
                || in_place
                || name.starts_with("register_");
            let takes = name.starts_with("set_") || STATES.iter().any(|(takes, _)| *takes == name);
            let feeds = object.is_some() && FEEDS.contains(&name);
            let quiet = PURE.contains(&name) || SAYS.contains(&name) || session.is_of_library(callee);
            if changes || takes || feeds || depth == 0 && !is_self && !quiet && self.is_alone(id) {
                // Which entry is meant is not known.
                let whole = object.filter(|id| feeds || !self.text(*id).contains('['));
                let path = whole.and_then(|object| tree.path(root(tree, object)));
                found.push(self.event(part, id, path.filter(|_| !self.is_handed(object, id)), name));
            }
        }
        found
    }

    /// The kinds of what a function does to what the run goes on with, by the variables that it has that by; looked at once.
    fn inside(&self, part: NodeId, body: NodeId, depth: usize) -> Vec<(String, String)> {
        let known = self.bodies.borrow().get(&(body, depth)).cloned();
        known.unwrap_or_else(|| {
            let events = self.events_of(part, body, depth).into_iter().filter(|event| !event.is_free);
            let mut seen = HashSet::new();
            let mut found: Vec<_> = events.map(|event| (event.base, event.what)).collect();
            found.retain(|kind| seen.insert(kind.clone()));
            self.bodies.borrow_mut().insert((body, depth), found.clone());
            found
        })
    }

    /// Whether a function of a module is called that changes what it is given, as those that are of no library may.
    fn is_handed(&self, object: Option<NodeId>, call: NodeId) -> bool {
        let (tree, session) = (&self.session.source.tree, self.session);
        let base = object.and_then(|object| tree.path(object)).unwrap_or_default();
        let callee = tree.node(call).children[0];
        self.is_module(&base) && (tree.node(callee).text.ends_with('_') || !session.is_of_library(callee))
    }

    fn event(&self, part: NodeId, node: NodeId, path: Option<String>, what: &str) -> Event {
        let tree = &self.session.source.tree;
        let base = path.as_deref().and_then(|path| path.split('.').next()).unwrap_or_default().to_owned();
        let is_new_table = |path: &str| what == "=" && is_item(tree, node) && self.is_new_table(path, node);
        let path = path.and_then(|path| match is_new_table(&path) {
            true => Some(String::new()),
            false => self.resolved(&path, 0).or_else(|| self.fed(&path, what)),
        });
        let is_new = path.as_deref() == Some("") && !GRADIENTS.contains(&what);
        let is_free = is_new || DRAWS.contains(&what);
        let value = self.value(node, what);
        let is_schedule = path.as_deref().is_some_and(|path| is_schedule(tree, path, what));
        Event { part, node, path, base, what: what.to_owned(), value, is_free, is_schedule }
    }

    pub(super) fn text(&self, id: NodeId) -> &'a str {
        let range = self.session.source.tree.node(id).range.clone();
        self.session.source.text.get(range).unwrap_or_default()
    }

    /// What a change gives, where that may end an earlier one.
    fn value(&self, node: NodeId, what: &str) -> Value {
        let tree = &self.session.source.tree;
        if what == "=" {
            let statement = tree.statement_of(node).map(|id| tree.node(id));
            let plain = statement.filter(|node| node.text.is_empty() && node.children.len() == 2);
            let Some([target, value]) = plain.map(|node| node.children.as_slice()) else { return Value::Unknown };
            return self.kept(self.text(*value), &|kept| is_copy(kept, self.text(*target)));
        }
        let Some(callee) = tree.node(node).children.first().copied() else { return Value::Unknown };
        let object = tree.node(callee).children.first().map(|id| self.text(*id)).unwrap_or_default();
        let rest = self.text(node).get(self.text(callee).len()..).unwrap_or_default();
        let argument = rest.trim().trim_start_matches('(').trim_end_matches(')').trim();
        match argument.trim_start_matches("mode=") {
            _ if what == "eval" || what != "restore" && SHADOWS.contains(&what) => Value::Mode(false),
            _ if what == "restore" => Value::Mode(true),
            "" | "True" if MODES.contains(&what) => Value::Mode(true),
            "False" if MODES.contains(&what) => Value::Mode(false),
            argument => self.kept(argument, &|kept| is_state(kept, object, what)),
        }
    }

    /// A variable that a statement of the window gave what is there, unchanged since.
    fn kept(&self, name: &str, is_it: &dyn Fn(&str) -> bool) -> Value {
        let tree = &self.session.source.tree;
        let Some([binder]) = self.binders.get(name).map(Vec::as_slice) else { return Value::Unknown };
        let node = tree.node(*binder);
        let ([targets, value], Kind::Simple, "") = (node.children.as_slice(), node.kind, node.text.as_str()) else {
            return Value::Unknown;
        };
        let (names, values) = (&tree.node(*targets).children, &tree.node(*value).children);
        let value = match names.iter().position(|id| tree.node(*id).name == name) {
            None if tree.node(*targets).name == name => Some(*value),
            Some(at) if names.len() == values.len() && tree.node(*value).kind == Kind::Other => Some(values[at]),
            _ => None,
        };
        if value.is_some_and(|value| is_it(self.text(value))) { Value::Kept(*binder) } else { Value::Unknown }
    }

    /// The path of the object that a new variable is another name of; empty for an object that is new itself.
    fn resolved(&self, path: &str, depth: usize) -> Option<String> {
        let tree = &self.session.source.tree;
        let base = path.split('.').next().unwrap_or(path);
        if !self.binders.contains_key(base) {
            return Some(path.to_owned());
        }
        let value = self.maker(base).filter(|_| depth < MAX_DEPTH)?;
        if is_made(tree, value) {
            return Some(String::new());
        }
        let other = self.resolved(&tree.path(value)?, depth + 1)?;
        Some(if other.is_empty() { other } else { format!("{other}{}", &path[base.len()..]) })
    }

    /// What an object of a class is given, the class keeps.
    fn fed(&self, path: &str, what: &str) -> Option<String> {
        let tree = &self.session.source.tree;
        let callee = tree.node(self.maker(path)?).children.first()?;
        let constructs = tree.node(*callee).text.starts_with(char::is_uppercase);
        (FEEDS.contains(&what) && constructs).then(String::new)
    }

    /// Whether an entry is one of a variable of the window's own that holds a new table.
    fn is_new_table(&self, name: &str, entry: NodeId) -> bool {
        let tree = &self.session.source.tree;
        let is_own = tree.node(tree.node(entry).children[0]).kind == Kind::Name;
        is_own && self.maker(name).is_some_and(|value| is_new_for(self.session, name, value, entry))
    }

    /// The one value that a variable of the window's own has.
    fn maker(&self, name: &str) -> Option<NodeId> {
        let tree = &self.session.source.tree;
        let [maker] = self.binders.get(name)?.as_slice() else { return None };
        let node = tree.node(*maker);
        let plain = node.kind == Kind::Simple && node.children.len() == 2 && node.text.is_empty();
        let own = tree.binders(name).iter().all(|id| tree.contains(*maker, *id));
        (plain && own && tree.node(node.children[0]).name == name).then_some(node.children[1])
    }

    pub(super) fn is_inside(&self, id: NodeId) -> bool {
        self.window.iter().any(|part| self.session.source.tree.contains(*part, id))
    }

    /// The path by which events know what a path means.
    pub(super) fn known(&self, path: String) -> String {
        self.resolved(&path, 0).filter(|known| !known.is_empty()).unwrap_or(path)
    }

    /// Whether nothing takes what a call gives: it is made for what it does.
    fn is_alone(&self, call: NodeId) -> bool {
        let tree = &self.session.source.tree;
        tree.node(call)
            .parent
            .is_some_and(|parent| tree.node(parent).kind == Kind::Simple && tree.node(parent).children.len() == 1)
    }

    pub(super) fn is_module(&self, path: &str) -> bool {
        let tree = &self.session.source.tree;
        let base = path.split('.').next().unwrap_or(path);
        // What is imported from a module may be any object.
        let imported = |id: &NodeId| {
            let import = tree.statement_of(*id).filter(|id| tree.node(*id).kind == Kind::Import);
            import.is_some_and(|id| tree.node(id).text.is_empty())
        };
        tree.binders(base).iter().any(imported)
    }

    /// For each event whether these statements, executed together, leave things as they were before it.
    pub(super) fn ends(&self, among: &[NodeId]) -> Vec<End> {
        let mut series: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        let mut ends: Vec<End> = Vec::new();
        for (at, event) in self.all.iter().enumerate() {
            ends.push(if event.is_free { End::Undone } else { End::Open });
            let known = event.path.is_some() || GRADIENTS.contains(&event.what.as_str());
            if !event.is_free && known && among.contains(&event.part) {
                series.entry(event.key()).or_default().push(at);
            }
        }
        for places in series.into_values() {
            let events: Vec<&Event> = places.iter().map(|at| &self.all[*at]).collect();
            let end = self.end_of(&events, among);
            for at in places {
                ends[at] = end.clone();
            }
        }
        ends
    }

    fn end_of(&self, series: &[&Event], among: &[NodeId]) -> End {
        let tree = &self.session.source.tree;
        let (first, last) = (series[0], series[series.len() - 1]);
        // What restores is executed whenever what changes is.
        let block = tree.statement_of(last.node).and_then(|id| tree.node(id).parent);
        if !block.is_some_and(|block| tree.contains(block, first.node)) {
            return End::Open;
        }
        if GRADIENTS.contains(&first.what.as_str()) {
            let steps = |event: &Event| event.what == "step" && (first.node..last.node).contains(&event.node);
            let drops = series.len() > 1 && [first, last].iter().all(|event| event.what == "zero_grad");
            let known = first.path.is_some() && first.path == last.path;
            let told = || format!("`{}` drops the gradients that are there at the place, too", self.text(last.node));
            return if drops && known && !self.all.iter().any(steps) { End::Doubted(told()) } else { End::Open };
        }
        match (&first.value, &last.value) {
            (_, Value::Kept(binder)) => {
                let touched = |id: NodeId| {
                    tree.node(id).access.binds() && self.all.iter().any(|event| event.base == tree.node(id).name)
                };
                let whole = first.what != "=" || series.iter().all(|event| self.is_within(event, last));
                let in_order = *binder < first.part && among.contains(binder);
                if whole && in_order && !tree.subtree(*binder).any(touched) { End::Undone } else { End::Open }
            }
            (Value::Mode(false), Value::Mode(true)) => End::Undone,
            (Value::Mode(true), Value::Mode(false)) if last.key().1 == "train" => {
                End::Doubted(format!("`{}` stays so where it was not before", self.text(last.node)))
            }
            _ if first.what.starts_with("swap")
                && series.len() == 2
                && self.text(first.node) == self.text(last.node) =>
            {
                End::Undone
            }
            _ => End::Open,
        }
    }

    /// Whether what an event assigns to is all assigned to again by the last.
    fn is_within(&self, event: &Event, last: &Event) -> bool {
        let tree = &self.session.source.tree;
        let (text, all) = (self.text(event.node), self.text(last.node));
        let entries = ["[:]", "[...]"].iter().find_map(|end| all.strip_suffix(end));
        let plain = tree.statement_of(event.node).is_some_and(|id| tree.node(id).text.is_empty());
        match entries {
            Some(all) => text.strip_prefix(all).is_some_and(|rest| rest.starts_with('[')),
            None => text == all && (plain || all.ends_with(']')),
        }
    }
}

/// Whether what an event changes is as before it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Undone,
    /// In most programs, for a reason to be told where it may not be.
    Doubted(String),
}
