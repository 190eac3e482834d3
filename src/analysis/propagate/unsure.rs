//! On which paths a name has no value, in the user's words.

use crate::analysis::propagate::conditions::words;
use crate::analysis::propagate::reach::{Place, carrier, reaching};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// What decides whether a name gets the value that reaches a place, and what gives it one. `None` where that is not in a
/// block of its own.
fn decider(tree: &Tree, name: &str, place: Place) -> Option<(NodeId, NodeId)> {
    let definitions = reaching(tree, name, place, &|_| false);
    definitions.into_iter().rev().find_map(|id| {
        let statement = carrier(tree, id);
        let mut around = tree.ancestors(statement).take_while(|outer| !tree.contains(*outer, place.0));
        let decides = |id: &NodeId| matches!(tree.node(*id).kind, Kind::Branch | Kind::Loop | Kind::Try | Kind::Arm);
        Some((around.find(decides)?, statement))
    })
}

/// `: line 31 gives it one only where the condition at line 30 holds`
pub(super) fn on_which_path(source: &Source<'_>, name: &str, place: Place) -> String {
    let tree = &source.tree;
    let Some((decider, statement)) = decider(tree, name, place) else { return String::new() };
    let line = |id: NodeId| source.lines.line(tree.node(id).range.start);
    let at = line(decider);
    let of_try = tree.node(decider).parent.is_some_and(|parent| tree.node(parent).kind == Kind::Try);
    let when = match tree.node(decider).kind {
        Kind::Loop => format!("in the loop at line {at}, which may not run"),
        Kind::Try => format!("in the `try` at line {at}, which may be left before"),
        Kind::Arm if of_try => format!("in the handler at line {at}"),
        Kind::Arm => format!("in the branch at line {at}"),
        _ => format!("where the condition at line {at} holds"),
    };
    format!(": line {} gives it one only {when}", line(statement))
}

/// As [`on_which_path`], by the words of the code, for a text of which nobody has seen the lines.
pub(super) fn under_what(source: &Source<'_>, name: &str, place: Place) -> String {
    let tree = &source.tree;
    let Some((decider, _)) = decider(tree, name, place) else { return String::new() };
    let test = tree.node(decider).children.iter().copied().find(|id| tree.node(*id).kind != Kind::Block);
    match (tree.node(decider).kind, test) {
        (Kind::Branch | Kind::Arm, Some(test)) => format!(": it gets one only where `{}` holds", words(source, test)),
        (Kind::Loop, _) => ": it gets one only in a loop, which may not run".to_owned(),
        _ => ": it gets one only in a block that may not run".to_owned(),
    }
}

/// Where else a name gets a value that does not reach a place: later, or inside another function.
pub(super) fn elsewhere(source: &Source<'_>, name: &str, place: Place) -> String {
    let tree = &source.tree;
    let scope = tree.scope(place.0);
    let line = |id: NodeId| source.lines.line(tree.node(id).range.start);
    let binders = tree.binders(name);
    if let Some(own) = binders.iter().find(|id| tree.scope(**id) == scope) {
        return format!(": it gets its first value at line {}", line(*own));
    }
    let Some(first) = binders.iter().copied().find(|id| tree.node(tree.scope(*id)).kind == Kind::Function) else {
        return String::new();
    };
    format!(": it is one of function `{}`, line {}", tree.node(tree.scope(first)).text, line(first))
}
