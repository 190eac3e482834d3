//! Models that one version wraps for several devices: `model.module.fc` of the one is `model.fc` of the other.

use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::reach::{carrier, reaching, root};
use crate::analysis::treediff::{Kind, Node, NodeId, Tree};

/// What wraps a model, and keeps it as `module`.
const WRAPPERS: &[&str] = &["DataParallel", "DistributedDataParallel", "DDP"];
/// What a wrapper has as the model does.
const SHARED: &[&str] = &[
    "module",
    "parameters",
    "named_parameters",
    "state_dict",
    "load_state_dict",
    "train",
    "eval",
    "training",
    "zero_grad",
    "modules",
    "named_modules",
    "children",
    "buffers",
    "forward",
    "cuda",
    "to",
    "half",
    "float",
    "no_sync",
    "require_backward_grad_sync",
];

impl Work<'_, '_> {
    /// The part of a path that leads through a wrapper which the target has not, with what it is there.
    pub(super) fn without_wrapper(&self, path: &str, base: &str) -> Option<(String, String)> {
        let wrapped = format!("{base}.module");
        let (rest, own) = (path.strip_prefix(&wrapped)?, base);
        let there = &self.session.target.tree;
        let has = |node: &Node| node.kind == Kind::Member && node.text == "module";
        let ours = self.source();
        let assigns = |node: &Node| node.kind == Kind::Simple && node.children.len() == 2;
        let known = |id: NodeId| ours.path(ours.node(id).children[0]).is_some_and(|to| to == own);
        let wrapped_here = (0..ours.nodes.len()).any(|id| assigns(ours.node(id)) && known(id) && wraps(ours, id));
        // What is imported may be wrapped where it is made.
        let imports = |id: &NodeId| there.statement_of(*id).is_some_and(|s| there.node(s).kind == Kind::Import);
        let imported = there.binders(base.split('.').next().unwrap_or(base)).iter().any(imports);
        let bare = rest.starts_with('.') && wrapped_here && !makes_wrapper(there) && !imported;
        (bare && !there.nodes.iter().any(has)).then(|| (wrapped, base.to_owned()))
    }

    /// Whether the target reaches an attribute of a model through a wrapper that the source has not.
    pub(super) fn is_wrapped_there(&self, path: &str, prefix: &str, theirs: &str) -> bool {
        let (ours, there) = (self.source(), &self.session.target.tree);
        let Some(attribute) = path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else { return false };
        let first = attribute.split('.').next().unwrap_or(attribute);
        if SHARED.contains(&first) || makes_wrapper(ours) || !makes_wrapper(there) {
            return false;
        }
        let made = reaching(there, theirs, (self.point.block, self.point.index), &|_| false);
        !made.is_empty() && made.into_iter().all(|id| wraps(there, carrier(there, id)))
    }
}

fn makes_wrapper(tree: &Tree) -> bool {
    let callee = |id: NodeId| tree.node(id).children.first().map(|callee| tree.node(*callee).text.as_str());
    let wraps = |name: Option<&str>| name.is_some_and(|name| WRAPPERS.contains(&name));
    (0..tree.nodes.len()).any(|id| tree.node(id).kind == Kind::Call && wraps(callee(id)))
}

/// Whether an assignment gives its variable a wrapped model.
fn wraps(tree: &Tree, statement: NodeId) -> bool {
    let node = tree.node(statement);
    let value = node.children.last().filter(|_| node.kind == Kind::Simple && node.children.len() == 2);
    value.is_some_and(|value| {
        let wrapped = root(tree, *value);
        let callee = tree.node(wrapped).children.first().filter(|_| tree.node(wrapped).kind == Kind::Call);
        callee.is_some_and(|callee| WRAPPERS.contains(&tree.node(*callee).text.as_str()))
    })
}
