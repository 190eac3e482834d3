//! What is brought beside a log statement and may change a training or take long: told, never added silently.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::events::KEPT_UP;
use crate::analysis::propagate::names::base_node;
use crate::analysis::propagate::reach::carrier;
use crate::analysis::propagate::unit::{EFFECTS, FEEDS, PURE, Whole, called, stores};
use crate::analysis::treediff::{Kind, NodeId};

/// Libraries whose attributes are there whether a script uses them or not, and whose functions compute and do no more.
const LIBRARIES: &[&str] = &[
    "torch",
    "numpy",
    "math",
    "time",
    "statistics",
    "random",
    "os",
    "json",
    "itertools",
    "jax",
    "tensorflow",
    "scipy",
    "collections",
    "datetime",
    "functools",
];
/// Further methods of strings, collections and tensors.
const CHEAP: &[&str] = &[
    "append",
    "split",
    "strip",
    "lower",
    "upper",
    "title",
    "startswith",
    "endswith",
    "replace",
    "copy",
    "count",
    "index",
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "mm",
    "bmm",
    "matmul",
    "dot",
    "ne",
    "lt",
    "gt",
    "le",
    "ge",
    "topk",
    "median",
    "quantile",
    "reshape",
    "permute",
    "transpose",
    "expand",
    "unsqueeze",
    "repeat",
    "long",
    "type_as",
    "nonzero",
    "unique",
    "masked_select",
    "masked_fill",
    "sigmoid",
    "softmax",
    "log_softmax",
    "relu",
    "tanh",
    "clamp",
    "clip",
    "cos",
    "sin",
    "isnan",
    "isfinite",
    "isinf",
    "argmin",
    "argsort",
    "sort",
    "cumsum",
    "prod",
    "average",
    "astype",
    "asarray",
    "array",
    "contiguous",
    "t",
    "element_size",
    "nelement",
    "children",
    "modules",
    "named_modules",
    "named_children",
    "buffers",
    "get_lr",
    "total_seconds",
    "now",
    "map",
    "filter",
    "repr",
    "divmod",
    "iter",
    "callable",
    "id",
    "hash",
    "super",
    "print",
    "partial",
    "state_dict",
];

/// Beginnings of the names of layers that have weights.
const WEIGHTS: &[&str] =
    &["Linear", "Bilinear", "Conv", "Embedding", "LSTM", "GRU", "RNN", "Transformer", "MultiheadAttention"];

impl Session<'_> {
    /// A call in what is brought, outside the log statements, that may have an effect or cost much.
    pub(super) fn costly_call(&self, node: NodeId) -> Option<String> {
        self.costly(node, &mut Vec::new())
    }

    /// As [`Self::costly_call`], of all that comes along with a log statement.
    pub(super) fn costly_beside(&self, whole: &Whole) -> Option<String> {
        if whole.parts.len() == 1 && !self.source.tree.node(whole.statement).kind.is_compound() {
            return None;
        }
        let mut seen = KEPT_UP.iter().flat_map(|(a, b)| [(*a).to_owned(), (*b).to_owned()]).collect();
        let with_logs = whole.parts.len() > 1;
        whole.parts.iter().find_map(|part| self.costly_in(*part, with_logs, &mut seen))
    }

    fn costly(&self, node: NodeId, seen: &mut Vec<String>) -> Option<String> {
        self.costly_in(node, false, seen)
    }

    /// What a log statement calls is wanted, unless something is changed for it.
    fn costly_in(&self, node: NodeId, with_logs: bool, seen: &mut Vec<String>) -> Option<String> {
        let tree = &self.source.tree;
        let ours = |id: NodeId| {
            let callee = tree.node(id).children.first().map(|callee| &tree.node(*callee).range);
            self.source.calls.iter().any(|call| Some(&call.callee) == callee)
        };
        let logs = |id: NodeId| {
            let logged = |log: &NodeId| *log <= id && tree.contains(*log, id);
            self.source_logs.iter().any(|(log, _)| logged(log)) || self.wanted.iter().any(logged)
        };
        let taken = |id: NodeId| if with_logs { !ours(id) } else { !logs(id) };
        let calls = tree.subtree(node).filter(|id| tree.node(*id).kind == Kind::Call && taken(*id));
        calls.filter_map(|call| tree.node(call).children.first().copied()).find_map(|callee| {
            let name = &tree.node(callee).text;
            if name.is_empty() || seen.contains(name) {
                return None;
            }
            seen.push(name.clone());
            (!self.is_cheap(callee, seen)).then(|| name.clone())
        })
    }

    /// Whether a method is one that strings, collections and tensors have.
    pub(super) fn is_common(&self, id: NodeId) -> bool {
        let tree = &self.source.tree;
        let call = tree.node(id).parent.map(|parent| tree.node(parent));
        let called = call.is_some_and(|call| call.kind == Kind::Call && call.children.first() == Some(&id));
        called && CHEAP.contains(&tree.node(id).text.as_str())
    }

    fn is_cheap(&self, callee: NodeId, seen: &mut Vec<String>) -> bool {
        let tree = &self.source.tree;
        let name = tree.node(callee).text.as_str();
        if PURE.contains(&name)
            || CHEAP.contains(&name)
            || FEEDS.contains(&name) && tree.node(callee).kind == Kind::Member
        {
            return true;
        }
        let bodies = called(self, name);
        if !bodies.is_empty() {
            return bodies.into_iter().all(|body| !stores(self, body) && self.costly(body, seen).is_none());
        }
        // Layers begin with random weights: the run draws others then.
        let draws = WEIGHTS.iter().any(|layer| name.starts_with(layer));
        let constructs = name.starts_with(char::is_uppercase) && !(draws && self.is_of_library(callee));
        constructs || self.is_of_library(callee) && !EFFECTS.contains(&name) && !draws
    }

    /// Whether a path of the source belongs to a library that computes.
    pub(super) fn is_of_library(&self, id: NodeId) -> bool {
        let tree = &self.source.tree;
        let base = base_node(tree, id);
        self.binders(base, &tree.node(base).name).into_iter().any(|id| {
            let import = tree.node(carrier(tree, id));
            let module = if import.text.is_empty() { &tree.node(id).text } else { &import.text };
            let module = module.split([' ', '.']).next().unwrap_or_default();
            import.kind == Kind::Import && LIBRARIES.contains(&module)
        })
    }
}
