//! What loops that come along go over: an iterator gives each element once, a loader of data draws random numbers, and the
//! run goes on with both.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::given::{arguments, is_keyword};
use crate::analysis::propagate::reach::carrier;
use crate::analysis::treediff::{Kind, NodeId};

/// Calls that give what can be gone over again, where their arguments can.
const PASSES: &[&str] = &["enumerate", "zip", "reversed", "tqdm", "sorted", "list", "tuple", "set"];
/// Calls that make what is gone over, of values at hand.
const MAKES: &[&str] = &["range", "dict", "keys", "values", "items", "split", "arange", "linspace", "tolist"];
/// What a model has.
const HAS: &[&str] = &[
    "parameters",
    "named_parameters",
    "modules",
    "named_modules",
    "children",
    "named_children",
    "buffers",
    "named_buffers",
    "state_dict",
    "param_groups",
];

impl Session<'_> {
    /// What a loop of a statement goes over, where nothing says that the run does not go on with it.
    pub(super) fn goes_over(&self, statement: NodeId) -> Option<String> {
        let tree = &self.source.tree;
        let loops = tree.subtree(statement).filter(|id| tree.node(*id).kind == Kind::Loop);
        let over = loops.filter_map(|id| tree.node(id).children.get(1).copied().map(|iterable| (id, iterable)));
        over.filter(|(_, iterable)| tree.node(*iterable).kind != Kind::Block)
            .find_map(|(at, iterable)| self.taken_from(at, iterable))
    }

    fn taken_from(&self, at: NodeId, iterable: NodeId) -> Option<String> {
        let tree = &self.source.tree;
        let node = tree.node(iterable);
        if node.kind == Kind::Call {
            let name = tree.node(node.children[0]).text.as_str();
            let given = || arguments(tree, iterable).into_iter().filter(|id| !is_keyword(tree, *id));
            return match () {
                () if PASSES.contains(&name) => given().find_map(|id| self.taken_from(at, id)),
                () if MAKES.contains(&name) || HAS.contains(&name) => None,
                () => Some(format!("{name}()")),
            };
        }
        let path = tree.path(iterable)?;
        let last = path.rsplit('.').next().unwrap_or(&path);
        if HAS.contains(&last) {
            return None;
        }
        if !last.contains("load") && self.is_gone_over_again(&path) {
            return None;
        }
        let made = self.definitions_at(&path, tree.place(at)?);
        let is_list = |id: NodeId| {
            let node = tree.node(carrier(tree, id));
            let value = node.children.last().copied().filter(|_| node.kind == Kind::Simple && node.children.len() == 2);
            value.is_some_and(|value| {
                let text = self.source.text.get(tree.node(value).range.clone()).unwrap_or_default();
                let call = tree.node(value).children.first().filter(|_| tree.node(value).kind == Kind::Call);
                let name = call.map(|callee| tree.node(*callee).text.as_str()).unwrap_or_default();
                text.starts_with(['[', '{']) || PASSES[4..].contains(&name) || MAKES.contains(&name)
            })
        };
        (made.is_empty() || !made.into_iter().all(is_list)).then_some(path)
    }

    /// Whether the target itself goes over a variable time and again.
    fn is_gone_over_again(&self, path: &str) -> bool {
        let tree = &self.target.tree;
        let is_loop = |id: &NodeId| tree.node(*id).kind == Kind::Loop;
        let over = |id: &NodeId| tree.node(*id).children.get(1).and_then(|id| tree.path(*id)).as_deref() == Some(path);
        let mut loops = (0..tree.nodes.len()).filter(is_loop).filter(over);
        loops.any(|id| tree.ancestors(id).take_while(|id| !tree.node(*id).kind.is_scope()).any(|id| is_loop(&id)))
    }
}
