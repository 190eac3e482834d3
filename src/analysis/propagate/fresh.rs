//! Whether what is assigned to a variable is new with it, or may be an object that the run goes on with: a view, an entry,
//! another name. What is changed in place then changes there, too.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::events::SAME;
use crate::analysis::propagate::reach::{is_item, is_stored_itself, root};
use crate::analysis::propagate::unit::called;
use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

/// Calls whose result nobody else has.
const NEW: &[&str] = &[
    "zeros",
    "ones",
    "empty",
    "full",
    "eye",
    "arange",
    "linspace",
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "new_zeros",
    "new_ones",
    "tensor",
    "array",
    "clone",
    "copy",
    "deepcopy",
    "tolist",
    "item",
    "list",
    "dict",
    "set",
    "tuple",
    "defaultdict",
    "Counter",
    "OrderedDict",
    "deque",
    "sorted",
    "range",
    "sum",
    "mean",
    "abs",
    "norm",
    "std",
    "var",
    "len",
    "float",
    "int",
    "str",
    "bool",
    "round",
    "pow",
    "square",
    "exp",
    "log",
    "sqrt",
    "stack",
    "cat",
    "concatenate",
    "softmax",
    "log_softmax",
    "sigmoid",
    "cumsum",
    "bincount",
    "histogram",
    "histc",
    "argmax",
    "argsort",
    "format",
    "join",
    "time",
    "perf_counter",
    "float32",
    "float64",
    "int32",
    "int64",
];
/// Those of them that hold what they are made of.
const SHALLOW: &[&str] = &["list", "dict", "set", "tuple", "OrderedDict", "deque", "sorted", "copy"];
/// Methods that compute something new; as functions they give one of what they are given.
const COMPUTES: &[&str] = &["max", "min"];
/// Further methods that give what the object holds.
const HOLDS: &[&str] = &["numpy", "flatten", "values", "items", "get", "state_dict", "parameters", "type", "pop"];

/// Whose object a value is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// Nobody else has it.
    New,
    Unknown,
    /// The run has it, too.
    Run,
}

/// Whose object an expression of the source gives.
pub(super) fn owner_of(session: &Session<'_>, value: NodeId) -> Owner {
    let tree = &session.source.tree;
    let node = tree.node(value);
    let worst = |ids: &[NodeId]| ids.iter().map(|id| owner_of(session, *id)).max().unwrap_or(Owner::New);
    match node.kind {
        Kind::Literal => Owner::New,
        _ if tree.path(value).is_some() => Owner::Run,
        Kind::Call => {
            let callee = node.children[0];
            let name = tree.node(callee).text.as_str();
            let object = tree.node(callee).children.first().filter(|_| tree.node(callee).kind == Kind::Member);
            let new = || called(session, name).is_empty() && !is_given_room(tree, value);
            match object {
                Some(object) if SAME.contains(&name) || HOLDS.contains(&name) => owner_of(session, *object),
                Some(object) if COMPUTES.contains(&name) && new() && !is_module(session, *object) => Owner::New,
                _ if NEW.contains(&name) && new() => Owner::New,
                _ => Owner::Unknown,
            }
        }
        Kind::Other => match node.text.as_str() {
            "if" | "or" | "and" => worst(&node.children),
            "" if !is_display(session, value) => Owner::Run,
            _ => Owner::New,
        },
        _ => Owner::Unknown,
    }
}

/// Whether a call is told where to write what it computes, or that it need not copy.
fn is_given_room(tree: &Tree, call: NodeId) -> bool {
    let said = |id: NodeId| tree.node(id).kind == Kind::Other && ["out", "copy"].contains(&tree.node(id).text.as_str());
    tree.subtree(call).any(said)
}

/// `torch` of `torch.max(…)`
fn is_module(session: &Session<'_>, object: NodeId) -> bool {
    let tree = &session.source.tree;
    let node = tree.node(object);
    let imported = |id: &NodeId| tree.statement_of(*id).is_some_and(|id| tree.node(id).kind == Kind::Import);
    node.kind == Kind::Name && tree.binders(&node.name).iter().any(imported)
}

fn text<'a>(session: &Session<'a>, id: NodeId) -> &'a str {
    session.source.text.get(session.source.tree.node(id).range.clone()).unwrap_or_default()
}

/// `[a, b]`, `{a: b}`, `(a, b)`, `f"{a}"`; not `a[b]`, nor `(a)[b]`.
fn is_display(session: &Session<'_>, id: NodeId) -> bool {
    let tree = &session.source.tree;
    let node = tree.node(id);
    let Some(first) = node.children.first() else { return true };
    let text = text(session, id);
    match text.as_bytes().first() {
        // An entry of a display begins with the display.
        Some(b'[' | b'{') => tree.node(*first).range.start != node.range.start,
        Some(b'(') => text.ends_with(')') && tree.node(*first).range.start != node.range.start,
        _ => text.ends_with(['"', '\'']),
    }
}

/// Whose objects the elements of what an expression gives are: a new list may hold the run's.
fn owner_of_elements(session: &Session<'_>, value: NodeId) -> Owner {
    let tree = &session.source.tree;
    let node = tree.node(value);
    let worst = |ids: &mut dyn Iterator<Item = NodeId>| ids.map(|id| owner_of_elements(session, id)).max();
    let all = |ids: &[NodeId]| worst(&mut ids.iter().copied()).unwrap_or(Owner::New);
    let owner = owner_of(session, value);
    let is_part = |id: &NodeId| !["for", "async"].contains(&text(session, *id).split_whitespace().next().unwrap_or(""));
    match (node.kind, node.text.as_str()) {
        _ if owner != Owner::New => owner,
        (Kind::Call, _) => {
            let (callee, given) = (node.children[0], &node.children[1..]);
            let object = tree.node(callee).children.first().filter(|_| tree.node(callee).kind == Kind::Member);
            let object = object.filter(|object| !is_module(session, **object)).copied();
            match SHALLOW.contains(&tree.node(callee).text.as_str()) {
                true => all(given).max(worst(&mut object.into_iter()).unwrap_or(Owner::New)),
                false => Owner::New,
            }
        }
        (Kind::Other, "for") => {
            let element = node.children.iter().rfind(|id| is_part(id));
            element.map_or(Owner::Unknown, |id| owner_of(session, *id))
        }
        (Kind::Other, "if" | "or" | "and") => all(&node.children),
        (Kind::Other, "|") => Owner::Unknown,
        // Numbers are computed anew; lists are put together.
        (Kind::Other, "+" | "*") => {
            let lists = |id: &NodeId| tree.node(*id).kind == Kind::Other && is_table(session, *id);
            match node.children.iter().any(lists) {
                true if node.text == "+" => all(&node.children),
                true => worst(&mut node.children.iter().copied().filter(|id| lists(id))).unwrap_or(Owner::New),
                false => Owner::New,
            }
        }
        // The arguments of a call are one node.
        (Kind::Other, "") if node.parent.is_some_and(|id| tree.node(id).kind == Kind::Call) => all(&node.children),
        (Kind::Other, "") if is_table(session, value) => {
            let of_dict = text(session, value).starts_with('{');
            if of_dict && text(session, value).contains("**") {
                return Owner::Unknown;
            }
            let values = node.children.iter().skip(usize::from(of_dict)).step_by(1 + usize::from(of_dict));
            values.map(|id| owner_of(session, *id)).max().unwrap_or(Owner::New)
        }
        _ => Owner::New,
    }
}

/// A display or a comprehension.
fn is_table(session: &Session<'_>, id: NodeId) -> bool {
    text(session, id).starts_with(['[', '{', '('])
}

/// What a statement changes in place, of what variables of its function hold: whose that is. An entry that is set, and
/// `+=` of a variable, which for numbers is none.
pub(super) struct InPlace {
    pub(super) entries: Owner,
    pub(super) sums: Owner,
}

pub(super) fn changed_in_place(session: &Session<'_>, statement: NodeId) -> InPlace {
    let tree = &session.source.tree;
    let scope = tree.scope(statement);
    let given = |binder: NodeId, owner: Owns| {
        let carrier = tree.statement_of(binder).map(|id| tree.node(id));
        let Some(node) = carrier.filter(|node| node.kind == Kind::Simple && node.children.len() > 1) else {
            // What a loop goes over, an import or a parameter gives.
            return Owner::Run;
        };
        let value = node.children[node.children.len() - 1];
        let plain = node.children.len() == 2 && tree.node(node.children[0]).kind == Kind::Name;
        // `a, b = 0, []`
        let (names, values) = (&tree.node(node.children[0]).children, &tree.node(value).children);
        let at = names.iter().position(|id| *id == binder).filter(|_| names.len() == values.len());
        match at.filter(|_| tree.node(value).kind == Kind::Other) {
            _ if plain => owner(session, value),
            Some(at) => owner(session, values[at]),
            None => Owner::Unknown,
        }
    };
    let of_name = |name: &str, owner: Owns| {
        let binds = |id: &&NodeId| tree.node(**id).access == Access::Bind && tree.scope(**id) == scope;
        tree.uses(name).iter().filter(binds).map(|id| given(*id, owner)).max().unwrap_or(Owner::Run)
    };
    let mut found = InPlace { entries: Owner::New, sums: Owner::New };
    for id in tree.subtree(statement) {
        if is_item(tree, id) && is_stored_itself(tree, id) {
            // What is deep in a new object need not be new.
            let is_deep = tree.node(tree.node(id).children[0]).kind != Kind::Name;
            let deep = if is_deep { Owner::Unknown } else { Owner::New };
            let name = &tree.node(root(tree, id)).name;
            let element = match is_augmented(tree, id) {
                true => of_name(name, owner_of_elements).max(put_into(session, name, scope)).min(Owner::Unknown),
                false => Owner::New,
            };
            found.entries = found.entries.max(of_name(name, owner_of)).max(deep).max(element);
        } else if tree.node(id).access == Access::Update {
            found.sums = found.sums.max(of_name(&tree.node(id).name, owner_of));
        }
    }
    found
}

/// Whether an entry of what a variable was given is the statement's own to change.
pub(super) fn is_new_for(session: &Session<'_>, name: &str, value: NodeId, entry: NodeId) -> bool {
    let tree = &session.source.tree;
    let elements = || {
        let put = put_into(session, name, tree.scope(entry));
        owner_of_elements(session, value).max(put) == Owner::New
    };
    owner_of(session, value) == Owner::New && (!is_augmented(tree, entry) || elements())
}

type Owns = fn(&Session<'_>, NodeId) -> Owner;

/// Whether an entry is changed by `+=` and the like: what it holds is then changed in place.
fn is_augmented(tree: &Tree, entry: NodeId) -> bool {
    tree.statement_of(entry).is_some_and(|id| tree.node(id).kind == Kind::Simple && !tree.node(id).text.is_empty())
}

/// Whose the objects are that a function puts into what one of its variables holds.
fn put_into(session: &Session<'_>, name: &str, scope: NodeId) -> Owner {
    let tree = &session.source.tree;
    let put = |id: NodeId| {
        let parent = tree.node(id).parent?;
        if is_item(tree, parent) && is_stored_itself(tree, parent) && !is_augmented(tree, parent) {
            let value = tree.statement_of(parent).and_then(|id| tree.node(id).children.last().copied());
            return Some(value.map_or(Owner::Unknown, |value| owner_of(session, value)));
        }
        let call = tree.node(parent).parent.filter(|_| tree.node(parent).kind == Kind::Member)?;
        let fills = ["append", "add", "update", "extend", "insert", "setdefault", "fill"];
        let fed = fills.contains(&tree.node(parent).text.as_str()) && tree.node(call).children.first() == Some(&parent);
        let given = tree.node(call).children[1..].iter().flat_map(|id| match tree.node(*id).kind {
            Kind::Other => tree.node(*id).children.clone(),
            _ => vec![*id],
        });
        fed.then(|| given.map(|id| owner_of_elements(session, id)).max().unwrap_or(Owner::New))
    };
    let uses = tree.uses(name).iter().copied().filter(|id| tree.scope(*id) == scope && tree.node(*id).access.reads());
    uses.filter_map(put).max().unwrap_or(Owner::New)
}
