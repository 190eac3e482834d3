//! What moves as one: a statement, the guard around it, the loop that sums what it logs.

use std::ops::Range;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::group::{only_says, together};
use crate::analysis::propagate::insert::header_range;
use crate::analysis::propagate::own::{feeds_a_meter, only_feeds, only_makes};
use crate::analysis::propagate::reach::{is_item, is_stored, root};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// Calls that change something a training depends on, or that cost much.
pub(super) const EFFECTS: &[&str] = &[
    "step",
    "zero_grad",
    "backward",
    "train",
    "eval",
    "save",
    "load",
    "load_state_dict",
    "fit",
    "shuffle",
    "seed",
    "manual_seed",
    "update",
    "pop",
    "next",
    "reset",
    "remove",
    "clear",
    "extend",
    "insert",
    "write",
    "close",
    "send",
    "recv",
    "all_reduce",
    "broadcast",
    "barrier",
    "init_process_group",
    "set_",
    "exit",
    "rand",
    "randn",
    "randint",
    "random",
    "choice",
    "sample",
    "normal",
    "uniform",
    "setattr",
    "exec",
    "open",
    "apply",
    "register_hook",
    "register_buffer",
    "requires_grad_",
];
/// Words in the names of functions that train: wherever they come from, they are not called once more.
const TRAINING: &[&str] = &["train", "training", "fit", "step", "backward", "optimize", "update"];
/// Calls without effect and of little cost.
pub(super) const PURE: &[&str] = &[
    "item",
    "mean",
    "sum",
    "len",
    "float",
    "int",
    "str",
    "bool",
    "abs",
    "max",
    "min",
    "round",
    "norm",
    "detach",
    "cpu",
    "numpy",
    "clone",
    "sqrt",
    "log",
    "exp",
    "pow",
    "argmax",
    "eq",
    "std",
    "var",
    "tolist",
    "size",
    "dim",
    "numel",
    "parameters",
    "named_parameters",
    "items",
    "keys",
    "values",
    "get",
    "range",
    "zip",
    "enumerate",
    "sorted",
    "list",
    "dict",
    "tuple",
    "set",
    "format",
    "join",
    "time",
    "perf_counter",
    "get_last_lr",
    "zeros_like",
    "square",
    "view",
    "view_as",
    "expand_as",
    "squeeze",
    "any",
    "all",
    "isinstance",
    "getattr",
    "hasattr",
    "data_ptr",
    "no_grad",
    "stack",
    "cat",
    "flatten",
    "type",
    "to",
    "double",
    "half",
    "is_available",
    "getLogger",
    "device",
    "getenv",
    "deque",
    "Counter",
    "defaultdict",
    "OrderedDict",
];

/// Methods that give something to the object that they are called on, or make it empty.
pub(super) const FEEDS: &[&str] = &["append", "add", "update", "extend", "push", "insert", "record", "reset", "clear"];

/// A statement and the headers to be written around it, outermost first.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub(super) guards: Vec<NodeId>,
    pub(super) statement: NodeId,
    /// The statements of its block that move together, in order: itself, and what belongs to it.
    pub(super) parts: Vec<NodeId>,
    /// Statements before it that are as new, change what it reads, and do not come.
    pub(super) left_out: Vec<NodeId>,
    /// Why what moves together may leave something changed, after all.
    pub(super) doubts: Vec<String>,
    /// Whether the headers stay out: they say where it stands and are not written.
    pub(super) is_bare: bool,
    /// Whether it becomes a further part of the statement that stands at the place.
    pub(super) further: bool,
    /// What is written around it then, where that is no condition: `else:`.
    pub(super) keyword: Option<&'static str>,
}

impl Whole {
    pub(super) fn alone(statement: NodeId) -> Self {
        let (guards, parts, left_out, doubts) = (Vec::new(), vec![statement], Vec::new(), Vec::new());
        Self { guards, statement, parts, left_out, doubts, is_bare: false, further: false, keyword: None }
    }

    /// What has a place among siblings in the source.
    pub(super) fn outermost(&self) -> NodeId {
        self.guards.first().copied().unwrap_or(self.statement)
    }

    /// Lines of what is written before the line on which a statement of the source that moves begins.
    pub(super) fn lines_before(&self, source: &Source<'_>, node: NodeId) -> u32 {
        let tree = &source.tree;
        let lines = |range: &Range<usize>| {
            let last = range.end.saturating_sub(1).max(range.start);
            source.lines.line(last) - source.lines.line(range.start) + 1
        };
        let written = self.guards.iter().filter(|_| !self.is_bare);
        let headers = written.map(|guard| lines(&header_range(tree, source.text, *guard)));
        let before = self.parts.iter().take_while(|part| !tree.contains(**part, node));
        let before: u32 = before.map(|part| lines(&tree.node(*part).range)).sum();
        let start = |id: NodeId| source.lines.line(tree.node(id).range.start);
        let within =
            self.parts.iter().find(|part| tree.contains(**part, node)).map_or(0, |part| start(node) - start(*part));
        headers.sum::<u32>() + u32::from(self.keyword.is_some()) + before + within
    }
}

/// The ways to take `node`, best first.
pub(super) fn wholes(session: &Session<'_>, node: NodeId) -> Vec<Whole> {
    together(session, with_what_is_around(session, node))
}

fn with_what_is_around(session: &Session<'_>, node: NodeId) -> Whole {
    let tree = &session.source.tree;
    let mut whole = Whole::alone(node);
    loop {
        let Some((block, _)) = tree.place(whole.outermost()) else { return whole };
        let Some(holder) = tree.node(block).parent else { return whole };
        let owner = if tree.node(holder).kind == Kind::Arm { tree.node(holder).parent.unwrap_or(0) } else { holder };
        let anchored = tree.node(block).children.iter().any(|c| session.counterpart(*c).is_some());
        if session.matching.target(block).is_some() || anchored {
            return whole;
        }
        // What goes by itself has the header around it by itself, too.
        let parted = |id: &NodeId| *id != node && (session.apart.contains(id) || session.apart.contains(&node));
        let parts_company = |owner: NodeId| session.wanted.iter().any(|id| parted(id) && tree.contains(owner, *id));
        let moves_as_one = |owner: NodeId| !parts_company(owner) && is_for_the_log(session, owner);
        match tree.node(owner).kind {
            Kind::Branch | Kind::With if moves_as_one(owner) => whole = Whole::alone(owner),
            Kind::Branch | Kind::With if tree.blocks(owner).next() == Some(block) => whole.guards.insert(0, owner),
            Kind::Loop | Kind::Try if moves_as_one(owner) && has_matched_sibling(session, owner) => {
                whole = Whole::alone(owner)
            }
            _ => return whole,
        }
    }
}

/// Definitions, and what leaves the code around it: a target must not be left where it was not.
fn is_foreign(kind: Kind) -> bool {
    matches!(kind, Kind::Function | Kind::Return | Kind::Raise | Kind::Break)
}

/// Whether something beside a statement exists in the target.
fn has_matched_sibling(session: &Session<'_>, node: NodeId) -> bool {
    let tree = &session.source.tree;
    let import = |id: &NodeId| tree.node(*id).kind == Kind::Import;
    let siblings = tree.node(node).parent.map(|block| tree.node(block).children.as_slice()).unwrap_or_default();
    siblings.iter().any(|id| !import(id) && session.counterpart(*id).is_some())
}

/// Whether a compound statement stands in the source only for what is logged in it: nothing of it exists in the
/// target, and it changes nothing else.
fn is_for_the_log(session: &Session<'_>, owner: NodeId) -> bool {
    let tree = &session.source.tree;
    let statements = || tree.subtree(owner).filter(|id| tree.node(*id).kind.is_statement());
    session.counterpart(owner).is_none()
        && statements().all(|id| session.counterpart(id).is_none() && !is_foreign(tree.node(id).kind))
        && has_no_effect(session, owner)
        && statements().any(|id| session.wanted.contains(&id))
        && (statements().all(|id| tree.node(id).kind.is_compound() || session.wanted.contains(&id))
            || is_pure(session, owner)
            || only_logged(session, owner, 4))
}

fn calls(session: &Session<'_>, node: NodeId) -> Vec<String> {
    let tree = &session.source.tree;
    let calls = tree.subtree(node).filter(|id| tree.node(*id).kind == Kind::Call);
    let ours = |id: NodeId| {
        let start = tree.node(id).range.start;
        let same = || session.source.calls.iter().any(|call| call.callee == tree.node(id).range);
        session.own_calls.contains(&start) && same()
    };
    calls
        .filter_map(|id| tree.node(id).children.first().copied())
        .filter(|id| !ours(*id))
        .map(|id| tree.node(id).text.clone())
        .collect()
}

/// Whether no call in a statement is known to change what a training depends on, nor anything that the source's own
/// functions do when they are called there.
pub(super) fn has_no_effect(session: &Session<'_>, node: NodeId) -> bool {
    no_effect(session, node, &mut Vec::new())
}

fn no_effect(session: &Session<'_>, node: NodeId, seen: &mut Vec<String>) -> bool {
    let new = calls(session, node).into_iter().filter(|name| !seen.contains(name)).collect::<Vec<_>>();
    seen.extend(new.iter().cloned());
    new.iter().all(|name| {
        let quiet = |body: NodeId, seen: &mut Vec<String>| !stores(session, body) && no_effect(session, body, seen);
        !says_effect(name) && called(session, name).into_iter().all(|body| quiet(body, seen))
            || only_makes(session, name)
    })
}

/// Whether a call's name says that it changes something.
fn says_effect(name: &str) -> bool {
    let in_place = name.ends_with('_') && !name.starts_with('_');
    EFFECTS.contains(&name) || in_place || trains(name)
}

/// Whether a call's name, or what the source's functions of that name do, says that it changes something.
pub(super) fn changes_by_name(session: &Session<'_>, name: &str) -> bool {
    let quiet = |body: NodeId| !stores(session, body) && no_effect(session, body, &mut vec![name.to_owned()]);
    says_effect(name) || !called(session, name).into_iter().all(quiet)
}

/// Whether a function's name says that it trains.
pub(super) fn trains(name: &str) -> bool {
    name.split('_').any(|word| TRAINING.contains(&word))
}

/// The source's functions and methods of a name, and the constructors of its classes.
pub(super) fn called(session: &Session<'_>, name: &str) -> Vec<NodeId> {
    let tree = &session.source.tree;
    let defined = |name: &str, kind: Kind| {
        let nodes = tree.binders(name).iter().copied().filter(move |id| tree.node(*id).kind == kind);
        nodes.collect::<Vec<NodeId>>()
    };
    let classes = defined(name, Kind::Class);
    let mut found = defined(name, Kind::Function);
    if !classes.is_empty() {
        let constructors = defined("__init__", Kind::Function).into_iter();
        found.extend(constructors.filter(|id| classes.iter().any(|class| tree.contains(*class, *id))));
    }
    found
}

/// Whether a function assigns to what is not its own: an attribute of anything but the object that it constructs.
pub(super) fn stores(session: &Session<'_>, function: NodeId) -> bool {
    let tree = &session.source.tree;
    let constructs = tree.node(function).name == "__init__";
    tree.subtree(function).any(|id| {
        let node = tree.node(id);
        let own = || constructs && tree.path(id).is_some_and(|path| path.starts_with("self."));
        node.kind == Kind::Member && is_stored(tree, id) && !own()
    })
}

/// Whether every call in a statement is known to have no effect, and only variables are assigned.
pub(super) fn is_pure(session: &Session<'_>, node: NodeId) -> bool {
    let tree = &session.source.tree;
    let stored = |id: NodeId| {
        let parent = tree.node(id).parent.map(|parent| tree.node(parent));
        tree.node(id).kind == Kind::Member
            && parent.is_some_and(|p| p.kind == Kind::Simple && p.children.len() > 1 && p.children.last() != Some(&id))
    };
    calls(session, node).iter().all(|name| PURE.contains(&name.as_str()) || only_makes(session, name))
        && !tree.subtree(node).any(stored)
}

/// Whether what a statement binds is read by nothing but log statements and what serves only them.
pub(super) fn only_logged(session: &Session<'_>, node: NodeId, depth: usize) -> bool {
    let tree = &session.source.tree;
    let bound: Vec<&str> =
        tree.subtree(node).filter(|id| tree.node(*id).access.binds()).map(|id| tree.node(id).name.as_str()).collect();
    if bound.is_empty() || depth == 0 || !has_no_effect(session, node) {
        return false;
    }
    let scope = tree.scope(node);
    tree.subtree(scope).filter(|id| tree.node(*id).access.reads() && bound.contains(&tree.node(*id).name.as_str())).all(
        |reader| {
            if tree.contains(node, reader) {
                return true;
            }
            let Some(statement) = tree.statement_of(reader) else { return false };
            let logs = session.source_logs.iter().any(|(id, _)| tree.contains(*id, reader));
            let wanted = session.wanted.iter().any(|id| tree.contains(*id, reader));
            let binds_it = tree
                .header(statement)
                .iter()
                .any(|id| tree.node(*id).access.binds() && bound.contains(&tree.node(*id).name.as_str()));
            let new = session.counterpart(statement).is_none();
            // A name that another statement gives a value again is another variable there.
            let arrives = || {
                let place = tree.place(statement);
                let found = place.map(|place| session.definitions_at(&tree.node(reader).name, place));
                found.is_none_or(|found| found.iter().any(|definition| tree.contains(node, *definition)))
            };
            // Of an object, what a function gives back is one of its values.
            let given_back = || tree.node(statement).kind == Kind::Return && is_of_an_object(tree, reader);
            logs || wanted
                || only_says(session, statement)
                || given_back() && has_no_effect(session, statement)
                || new
                    && (feeds(session, statement, &bound)
                        || fills(session, statement, &bound)
                        || feeds_a_meter(session, statement))
                || (new
                    && statement != scope
                    && ((binds_it && has_no_effect(session, statement)) || only_logged(session, statement, depth - 1)))
                || !arrives()
        },
    )
}

/// Whether a variable is read for an attribute that is not called: `meter.avg`.
fn is_of_an_object(tree: &Tree, reader: NodeId) -> bool {
    let member = tree.node(reader).parent.filter(|id| tree.node(*id).kind == Kind::Member);
    let called = |id: NodeId| {
        let parent = tree.node(id).parent.map(|id| tree.node(id));
        parent.is_some_and(|parent| parent.kind == Kind::Call && parent.children.first() == Some(&id))
    };
    member.is_some_and(|id| !called(id))
}

/// Whether a statement sets entries of one of these variables and does nothing else: `table[y, x] += 1`.
fn fills(session: &Session<'_>, statement: NodeId, names: &[&str]) -> bool {
    let tree = &session.source.tree;
    let node = tree.node(statement);
    let ([entry, _], Kind::Simple) = (node.children.as_slice(), node.kind) else { return false };
    is_item(tree, *entry)
        && names.contains(&tree.node(root(tree, *entry)).name.as_str())
        && !tree.subtree(statement).any(|id| tree.node(id).access.binds())
        && has_no_effect(session, statement)
}

/// Whether a statement does nothing but give something to one of these variables: `meter.update(loss)`.
pub(super) fn feeds(session: &Session<'_>, statement: NodeId, names: &[&str]) -> bool {
    let tree = &session.source.tree;
    let node = tree.node(statement);
    let call = node.children.first().filter(|id| node.kind == Kind::Simple && tree.node(**id).kind == Kind::Call);
    let Some((callee, arguments)) = call.and_then(|call| tree.node(*call).children.split_first()) else { return false };
    let object = tree.path(*callee).and_then(|path| path.rsplit_once('.').map(|(object, _)| object.to_owned()));
    object.is_some_and(|object| names.contains(&object.as_str()))
        && node.children.len() == 1
        && FEEDS.contains(&tree.node(*callee).text.as_str())
        && only_feeds(session, &tree.node(*callee).text)
        && arguments.iter().all(|argument| has_no_effect(session, *argument))
}
