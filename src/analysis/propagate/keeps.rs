//! Expressions that keep what a later statement gives back, and those that make an object of their own.

use crate::analysis::treediff::{Kind, Node, NodeId, Tree};

/// What takes a state, by the method that gives it.
pub(super) const STATES: &[(&str, &str)] = &[
    ("set_rng_state", "get_rng_state"),
    ("set_rng_state_all", "get_rng_state_all"),
    ("setstate", "getstate"),
    ("set_state", "get_state"),
    ("set_weights", "get_weights"),
    ("set_num_threads", "get_num_threads"),
    ("set_grad_enabled", "is_grad_enabled"),
];
/// What makes an object that nothing else knows.
const MAKES: &[&str] = &["list", "dict", "set", "deque", "defaultdict"];

/// Whether an expression keeps what is assigned to later: an attribute itself, entries as a copy.
pub(super) fn is_copy(kept: &str, target: &str) -> bool {
    let all = ["[:]", "[...]"].iter().find_map(|end| target.strip_suffix(end)).unwrap_or(target);
    let copied = || {
        let end = [".copy()", ".detach().clone()", ".clone()"].iter().find_map(|end| kept.strip_suffix(end));
        end == Some(all) || is_deep_copy(kept, all)
    };
    if target.ends_with(']') { copied() } else { kept == target }
}

fn is_deep_copy(kept: &str, of: &str) -> bool {
    ["copy.deepcopy", "deepcopy"].iter().any(|copies| kept == format!("{copies}({of})"))
}

/// Whether an expression keeps the state that a method takes later. A `state_dict` shares its tensors with the object.
pub(super) fn is_state(kept: &str, object: &str, takes: &str) -> bool {
    let gives = STATES.iter().find(|(known, _)| *known == takes);
    takes == "train" && kept == format!("{object}.training")
        || gives.is_some_and(|(_, gives)| kept == format!("{object}.{gives}()"))
        || takes == "load_state_dict" && is_deep_copy(kept, &format!("{object}.state_dict()"))
}

/// Whether an expression makes an object that nothing else knows, and that knows nothing of the run's.
pub(super) fn is_made(tree: &Tree, value: NodeId) -> bool {
    let callee = |id: NodeId| {
        let callee = tree.node(id).children.first().copied().filter(|_| tree.node(id).kind == Kind::Call)?;
        Some((callee, tree.node(callee).text.as_str()))
    };
    if callee(value).is_some_and(|(_, name)| ["deepcopy", "clone"].contains(&name)) {
        return true;
    }
    let makes = |(id, name): (NodeId, &str), read: NodeId| {
        tree.contains(id, read) && (name.starts_with(char::is_uppercase) || MAKES.contains(&name))
    };
    let calls = || tree.subtree(value).filter_map(callee);
    let shape = matches!(tree.node(value).kind, Kind::Literal | Kind::Other | Kind::Call);
    shape
        && calls().all(|call| makes(call, call.0))
        && tree.subtree(value).filter(|id| tree.node(*id).access.reads()).all(|id| calls().any(|call| makes(call, id)))
}

/// Whether something sets nothing but a rate: a step of what is called a schedule and nothing besides. One of weights that
/// are pruned, or an optimizer with a schedule of its own, is called otherwise, or made by a class that is.
pub(super) fn is_schedule(tree: &Tree, path: &str, what: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    let named = what == "step" && ["scheduler", "lr_scheduler", "sched", "lr_sched"].contains(&last);
    let makes_others = |node: &Node| {
        let [target, value] = node.children.as_slice() else { return false };
        let (target, value) = (tree.node(*target), tree.node(*value));
        let callee = value.children.first().filter(|_| value.kind == Kind::Call);
        let class = callee.filter(|id| tree.node(**id).text.starts_with(char::is_uppercase));
        let of_rates = |path: &str| ["LR", "lr_scheduler", "Warm"].iter().any(|word| path.contains(word));
        node.kind == Kind::Simple
            && target.text == last
            && class.is_some_and(|id| !tree.path(*id).is_some_and(|path| of_rates(&path)))
    };
    named && !tree.nodes.iter().any(makes_others)
}
