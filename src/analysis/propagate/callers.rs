//! What the callers of a function give its parameters.

use crate::analysis::propagate::reach::{carrier, reaching};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// How many calls back a parameter is followed.
const MAX_DEPTH: usize = 3;

/// Where a path gets a value: the path under which it is defined, and the node that defines it.
pub(super) type Origin = (String, NodeId);

pub(super) fn is_parameter(tree: &Tree, id: NodeId) -> bool {
    tree.node(id).kind == Kind::Parameter
}

/// A parameter's origins at the calls of its function, as far as these are in the file and give it a variable.
pub(super) fn given(source: &Source<'_>, origin: Origin, depth: usize) -> Vec<Origin> {
    let tree = &source.tree;
    let (path, id) = &origin;
    if !is_parameter(tree, *id) || depth > MAX_DEPTH {
        return vec![origin];
    }
    let function = carrier(tree, *id);
    let rest = path.strip_prefix(tree.node(*id).name.as_str()).unwrap_or_default();
    let mut found = Vec::new();
    for call in calls_of(tree, function) {
        let argument = argument_of(tree, call, function, *id);
        let variable = argument.and_then(|argument| tree.path(argument));
        let place = tree.statement_of(call).and_then(|statement| tree.place(statement));
        let (Some(variable), Some(place)) = (variable, place) else {
            found.push(origin.clone());
            continue;
        };
        let variable = variable + rest;
        let origins = reaching(tree, &variable, place, &|_| false);
        found.extend(origins.into_iter().flat_map(|id| given(source, (variable.clone(), id), depth + 1)));
    }
    if found.is_empty() { vec![origin] } else { found }
}

/// The calls of a function, as far as its name tells.
pub(super) fn calls_of(tree: &Tree, function: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    let node = tree.node(function);
    let method = tree.node(tree.scope(function)).kind == Kind::Class;
    (0..tree.nodes.len()).filter(move |id| {
        let callee = tree.node(*id).children.first().map(|callee| tree.node(*callee));
        let kind = if method { Kind::Member } else { Kind::Name };
        tree.node(*id).kind == Kind::Call && callee.is_some_and(|c| c.kind == kind && c.text == node.text)
    })
}

/// What a call gives a parameter.
fn argument_of(tree: &Tree, call: NodeId, function: NodeId, parameter: NodeId) -> Option<NodeId> {
    let method = tree.node(tree.scope(function)).kind == Kind::Class;
    let own = |id: &NodeId| is_parameter(tree, *id) && tree.scope(*id) == function;
    let position = tree.header(function).into_iter().filter(own).position(|id| id == parameter)?;
    let arguments: Vec<NodeId> = arguments(tree, call);
    let name = &tree.node(parameter).name;
    let keyword = arguments.iter().copied().find(|id| tree.node(*id).text == *name && is_keyword(tree, *id));
    if let Some(keyword) = keyword {
        return tree.node(keyword).children.first().copied();
    }
    let at = position.checked_sub(usize::from(method))?;
    arguments.get(at).copied().filter(|id| !is_keyword(tree, *id))
}

/// The arguments of a call; none where some are unpacked.
fn arguments(tree: &Tree, call: NodeId) -> Vec<NodeId> {
    let list = tree.node(call).children.get(1).map(|list| tree.node(*list).children.clone()).unwrap_or_default();
    let unpacked = |id: &NodeId| {
        let node = tree.node(*id);
        node.kind == Kind::Other
            && node.text.is_empty()
            && node.children.len() == 1
            && tree.node(node.children[0]).range.start != node.range.start
            && tree.node(node.children[0]).range.end == node.range.end
    };
    if list.iter().any(unpacked) { Vec::new() } else { list }
}

/// `name=value` in a call.
fn is_keyword(tree: &Tree, id: NodeId) -> bool {
    let node = tree.node(id);
    let word = node.text.starts_with(|c: char| c.is_alphabetic() || c == '_') && node.text != "not";
    node.kind == Kind::Other && node.children.len() == 1 && word
}
