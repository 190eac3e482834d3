//! Whether a function of the source changes in place what it is given: by its own name, by another one, as an element of
//! it, in a function that it hands it on to.

use std::collections::BTreeMap;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::effects::{MAX_DEPTH, bodies};
use crate::analysis::propagate::events::is_kept_up;
use crate::analysis::propagate::reach::{is_item, is_stored_itself, root};
use crate::analysis::propagate::unit::{FEEDS, called};
use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

/// Calls that give something new with the elements of what they are given, or of their object.
const HOLDS: &[&str] = &[
    "list",
    "dict",
    "set",
    "tuple",
    "sorted",
    "copy",
    "reversed",
    "enumerate",
    "zip",
    "filter",
    "map",
    "iter",
    "chain",
    "tqdm",
    "parameters",
    "named_parameters",
    "buffers",
    "named_buffers",
    "modules",
    "named_modules",
    "children",
    "named_children",
    "state_dict",
    "values",
    "items",
];
/// Calls that give an element of it, or another name of it.
const PARTS: &[&str] = &["getattr", "next", "get", "pop", "as_tensor", "from_numpy", "numpy", "vars", "getattribute"];
/// Methods, beside those that fill something, that change an object in place.
const CHANGES: &[&str] =
    &["pop", "popitem", "popleft", "setdefault", "sort", "reverse", "remove", "appendleft", "fill"];
/// Functions that change their first argument.
const SETS: &[&str] = &["setattr", "delattr", "heappush", "heappop", "shuffle", "copyto"];

/// Modules that are imported from others.
const MODULES: &[&str] = &["nn", "F", "functional", "init"];

/// What a value has of what a function is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Share {
    Nothing,
    /// It is new, its elements are not.
    Elements,
    Itself,
}

/// What is known of a function's variables.
struct Shares<'s, 'a> {
    session: &'s Session<'a>,
    /// `None` where every variable is the run's: at a call in what is logged.
    known: Option<BTreeMap<&'s str, Share>>,
}

/// Whether any of a call's arguments is, or holds, what the run goes on with.
pub(super) fn hands_over(session: &Session<'_>, arguments: &[NodeId]) -> bool {
    let all = Shares { session, known: None };
    arguments.iter().any(|id| all.of(*id) != Share::Nothing)
}

/// Whether a function changes in place what it is given, not the object that it is a method of.
pub(super) fn changes_given(session: &Session<'_>, function: NodeId, depth: usize) -> bool {
    let known = session.known.changes.borrow().get(&(function, depth)).copied();
    known.unwrap_or_else(|| {
        let found = Shares::within(session, function).changed_in(function, depth);
        session.known.changes.borrow_mut().insert((function, depth), found);
        found
    })
}

impl<'s, 'a> Shares<'s, 'a> {
    fn within(session: &'s Session<'a>, function: NodeId) -> Self {
        let tree = &session.source.tree;
        let header = tree.header(function).into_iter();
        let given = header.filter(|id| tree.node(*id).kind == Kind::Parameter && tree.scope(*id) == function);
        let given = given.map(|id| tree.node(id).name.as_str()).filter(|name| !["self", "cls"].contains(name));
        let parameters: Vec<&str> = given.collect();
        let known = parameters.iter().map(|name| (*name, Share::Itself)).collect();
        let mut found = Self { session, known: Some(known) };
        // Until nothing is another name of it any more.
        loop {
            let bound: Vec<(&str, Share)> = tree.subtree(function).flat_map(|id| found.bound_by(id)).collect();
            let known = found.known.get_or_insert_default();
            let before = known.clone();
            for (name, share) in bound {
                let entry = known.entry(name).or_insert(share);
                *entry = share.max(*entry);
            }
            if *known == before {
                break;
            }
        }
        // What is given is replaced by something new: `x = x.clone()`.
        let body = tree.blocks(function).flat_map(|block| tree.node(block).children.iter().copied());
        let bound: Vec<(&str, Share)> = body.flat_map(|id| found.bound_by(id)).collect();
        let known = found.known.get_or_insert_default();
        known.extend(bound.into_iter().filter(|(name, share)| parameters.contains(name) && *share < Share::Itself));
        found
    }

    /// The names that a node binds, with what they share.
    fn bound_by(&self, id: NodeId) -> Vec<(&'s str, Share)> {
        let session = self.session;
        let tree: &'s Tree = &session.source.tree;
        let node = tree.node(id);
        let names = |target: NodeId| {
            let all = tree.subtree(target).filter(|id| tree.node(*id).kind == Kind::Name);
            all.filter(|id| matches!(tree.node(*id).access, Access::Bind | Access::Inner))
                .map(|id| tree.node(id).name.as_str())
        };
        // An element of it is as much its own.
        let element = |value: NodeId| if self.of(value) == Share::Nothing { Share::Nothing } else { Share::Itself };
        let is_generator = || {
            let text = session.source.text.get(node.range.clone()).unwrap_or_default();
            node.kind == Kind::Other && (text.starts_with("for ") || text.starts_with("async for "))
        };
        match (node.kind, node.children.as_slice()) {
            (Kind::Simple, [target, value]) if node.text.is_empty() => {
                let (targets, values) = (&tree.node(*target).children, &tree.node(*value).children);
                let pairs = tree.node(*target).kind == Kind::Other
                    && tree.node(*value).kind == Kind::Other
                    && targets.len() == values.len()
                    && !is_item(tree, *value);
                match tree.node(*target).kind {
                    Kind::Name => names(*target).map(|name| (name, self.of(*value))).collect(),
                    _ if pairs => targets
                        .iter()
                        .zip(values)
                        .flat_map(|(target, value)| names(*target).map(|name| (name, self.of(*value))))
                        .collect(),
                    _ => names(*target).map(|name| (name, element(*value))).collect(),
                }
            }
            (Kind::Simple, [targets @ .., value]) if !targets.is_empty() && node.text.is_empty() => {
                targets.iter().flat_map(|target| names(*target)).map(|name| (name, self.of(*value))).collect()
            }
            (Kind::Loop, [target, iterable, ..]) if tree.node(*iterable).kind != Kind::Block => {
                names(*target).map(|name| (name, element(*iterable))).collect()
            }
            (_, [target, iterable, ..]) if is_generator() => {
                names(*target).map(|name| (name, element(*iterable))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn of(&self, value: NodeId) -> Share {
        let tree = &self.session.source.tree;
        let base = root(tree, value);
        if let Some(path) = tree.path(base) {
            let name = path.split('.').next().unwrap_or(&path);
            let share = match &self.known {
                Some(known) => known.get(name).copied().unwrap_or(Share::Nothing),
                None => Share::Itself,
            };
            let is_deep = base != value || tree.node(base).kind == Kind::Member;
            return if share == Share::Elements && is_deep { Share::Itself } else { share };
        }
        let node = tree.node(value);
        let most = |ids: &[NodeId]| ids.iter().map(|id| self.of(*id)).max().unwrap_or(Share::Nothing);
        match (node.kind, node.text.as_str()) {
            (Kind::Call, _) => {
                let callee = node.children[0];
                let name = tree.node(callee).text.as_str();
                let object = tree.node(callee).children.first().filter(|_| tree.node(callee).kind == Kind::Member);
                let of_object = object.filter(|id| !self.is_module(**id)).map(|id| self.of(*id));
                let given = most(&arguments(tree, value)).max(of_object.unwrap_or(Share::Nothing));
                match () {
                    () if given == Share::Nothing => given,
                    () if HOLDS.contains(&name) => Share::Elements,
                    () if PARTS.contains(&name) => Share::Itself,
                    // It may give back what it is given.
                    () if object.is_none() && !called(self.session, name).is_empty() => Share::Itself,
                    () => Share::Nothing,
                }
            }
            (Kind::Other, "if" | "or" | "and") => most(&node.children),
            // An argument by its name.
            (Kind::Other, _) if is_keyword(tree, value) => most(&node.children),
            (Kind::Other, "for" | "" | "+") => {
                let shared = node.children.iter().any(|id| self.of(*id) != Share::Nothing);
                let is_sum = node.text == "+" && most(&node.children) == Share::Itself;
                if shared && !is_sum { Share::Elements } else { Share::Nothing }
            }
            _ => Share::Nothing,
        }
    }

    /// Whether what a node names is changed where it is changed in place.
    fn is_given(&self, object: NodeId) -> bool {
        self.of(object) == Share::Itself
    }

    fn changed_in(&self, function: NodeId, depth: usize) -> bool {
        let (session, tree) = (self.session, &self.session.source.tree);
        tree.subtree(function).any(|id| {
            let node = tree.node(id);
            let text = || session.source.text.get(node.range.clone()).unwrap_or_default();
            let is_part = |id: NodeId| tree.node(id).kind == Kind::Member || is_item(tree, id);
            if is_part(id) && is_stored_itself(tree, id) {
                return self.is_given(node.children[0]);
            }
            if node.access == Access::Update {
                return self.is_given(id);
            }
            if node.kind == Kind::Simple && text().starts_with("del ") {
                return node.children.iter().any(|id| is_part(*id) && self.is_given(tree.node(*id).children[0]));
            }
            node.kind == Kind::Call && self.changed_by(id, depth)
        })
    }

    /// Whether a call changes what the function around it is given.
    fn changed_by(&self, call: NodeId, depth: usize) -> bool {
        let (session, tree) = (self.session, &self.session.source.tree);
        let callee = tree.node(call).children[0];
        let name = tree.node(callee).text.as_str();
        let object = tree.node(callee).children.first().copied().filter(|_| tree.node(callee).kind == Kind::Member);
        let in_place = name.ends_with('_') && !name.starts_with('_') && !is_kept_up(name);
        let given = arguments(tree, call);
        let handed = || given.iter().any(|id| self.of(*id) != Share::Nothing);
        let module = object.is_some_and(|object| self.is_module(object));
        if (object.is_none() || module) && (in_place || SETS.contains(&name)) {
            return handed();
        }
        let is_self = object.is_some_and(|object| ["self", "cls"].contains(&tree.node(object).name.as_str()));
        if let Some(object) = object.filter(|_| !module && !is_self) {
            // What an object with methods of its own does with what it is given is its own affair.
            let of_own = called(session, name).is_empty();
            let fed = FEEDS.contains(&name) || CHANGES.contains(&name);
            return of_own && (in_place || fed) && self.is_given(object);
        }
        let runs = || bodies(session, callee).into_iter();
        depth < MAX_DEPTH && handed() && runs().any(|body| changes_given(session, body, depth + 1))
    }

    /// Whether an object is a module, or a part of one.
    fn is_module(&self, object: NodeId) -> bool {
        let tree = &self.session.source.tree;
        let path = tree.path(object).unwrap_or_default();
        let base = path.split('.').next().unwrap_or_default();
        let imported = |id: &NodeId| tree.statement_of(*id).is_some_and(|id| is_plain_import(tree, id));
        let own = self.known.as_ref().is_some_and(|known| known.contains_key(base));
        !own && (tree.binders(base).iter().any(imported) || MODULES.contains(&base))
    }
}

/// `import a`: from a module may come anything.
fn is_plain_import(tree: &Tree, statement: NodeId) -> bool {
    let node = tree.node(statement);
    node.kind == Kind::Import && node.text.is_empty()
}

pub(super) fn arguments(tree: &Tree, call: NodeId) -> Vec<NodeId> {
    tree.node(call).children.get(1).map(|list| tree.node(*list).children.clone()).unwrap_or_default()
}

/// `name=value` in a call.
pub(super) fn is_keyword(tree: &Tree, id: NodeId) -> bool {
    let node = tree.node(id);
    let named = node.text.starts_with(|c: char| c.is_alphabetic() || c == '_') && node.text != "not";
    node.kind == Kind::Other && node.children.len() == 1 && named
}
