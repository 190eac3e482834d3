//! Whether what is assigned to a variable is new with it, or may be an object that the run goes on with: a view, an entry,
//! another name. What is changed in place then changes there, too.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::events::{SAME, is_item, is_stored_itself, root};
use crate::analysis::propagate::unit::called;
use crate::analysis::treediff::{Access, Kind, NodeId};

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
    "max",
    "min",
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
];
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
            match object {
                Some(object) if SAME.contains(&name) || HOLDS.contains(&name) => owner_of(session, *object),
                _ if NEW.contains(&name) && called(session, name).is_empty() => Owner::New,
                _ => Owner::Unknown,
            }
        }
        Kind::Other => match node.text.as_str() {
            "if" | "or" | "and" => worst(&node.children),
            // A display begins before what is in it, an entry with its object.
            "" => match node.children.first() {
                Some(first) if tree.node(*first).range.start == node.range.start => Owner::Run,
                _ => Owner::New,
            },
            _ => Owner::New,
        },
        _ => Owner::Unknown,
    }
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
    let given = |binder: NodeId| {
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
            _ if plain => owner_of(session, value),
            Some(at) => owner_of(session, values[at]),
            None => Owner::Unknown,
        }
    };
    let of_name = |name: &str| {
        let binds = |id: &&NodeId| tree.node(**id).access == Access::Bind && tree.scope(**id) == scope;
        tree.uses(name).iter().filter(binds).map(|id| given(*id)).max().unwrap_or(Owner::Run)
    };
    let mut found = InPlace { entries: Owner::New, sums: Owner::New };
    for id in tree.subtree(statement) {
        if is_item(tree, id) && is_stored_itself(tree, id) {
            // What is deep in a new object need not be new.
            let is_deep = tree.node(tree.node(id).children[0]).kind != Kind::Name;
            let deep = if is_deep { Owner::Unknown } else { Owner::New };
            found.entries = found.entries.max(of_name(&tree.node(root(tree, id)).name)).max(deep);
        } else if tree.node(id).access == Access::Update {
            found.sums = found.sums.max(of_name(&tree.node(id).name));
        }
    }
    found
}
