//! What the logged expression itself, or a function of the source that it calls, switches off and leaves so: told where
//! nothing in the target switches it on again.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::events::{End, Events, KEPT_UP};
use crate::analysis::propagate::unit::{EFFECTS, Whole, called};
use crate::analysis::treediff::{Kind, NodeId, Tree};

impl Work<'_, '_> {
    /// Notes a mode that the statement leaves on, with which the run would go on.
    pub(super) fn check_modes(&mut self) {
        let (session, tree) = (self.session, &self.session.source.tree);
        for (name, callee) in callees(tree, self.statement) {
            let is_method = tree.node(callee).kind == Kind::Member;
            let left = match is_method && name == "eval" && callee + 1 < tree.node(callee).end {
                true if tree.node(tree.node(callee).parent.unwrap_or(0)).children.len() == 1 => Some("eval".to_owned()),
                _ => called(session, name).into_iter().find_map(|function| left_off(session, function)),
            };
            let Some(mode) = left else { continue };
            let on = |there: &str| KEPT_UP.iter().any(|(off, on)| *off == mode && *on == there);
            let target = &session.target.tree;
            let known = |(there, _): (&str, NodeId)| on(there) || !is_method && there == name;
            if !callees(target, 0).any(known) {
                let doubt = format!("`{name}` leaves `{mode}()` as it is, and nothing in the target takes it back");
                self.adapted.doubts.push(doubt);
                return;
            }
        }
    }

    /// Notes a condition around it that does something itself: `if (x := queue.pop()) is not None`.
    pub(super) fn check_asking(&mut self, whole: &Whole) {
        let tree = &self.session.source.tree;
        let branches = whole.guards.iter().copied().filter(|id| tree.node(*id).kind == Kind::Branch);
        let calls = branches.flat_map(|id| tree.header(id)).filter(|id| tree.node(*id).kind == Kind::Call);
        let mut names = calls.map(|id| tree.node(tree.node(id).children[0]).text.clone());
        let effect = names.find(|name| EFFECTS.contains(&name.as_str()));
        self.adapted.doubts.extend(effect.map(|name| format!("`{name}` in the condition around it changes something")));
    }
}

/// The names that are called below a node, with the callees.
fn callees(tree: &Tree, node: NodeId) -> impl Iterator<Item = (&str, NodeId)> {
    let calls = tree.subtree(node).filter(|id| tree.node(*id).kind == Kind::Call);
    calls.map(|id| tree.node(id).children[0]).map(|callee| (tree.node(callee).text.as_str(), callee))
}

/// The mode that a function switches off and not on again.
fn left_off(session: &Session<'_>, function: NodeId) -> Option<String> {
    let tree = &session.source.tree;
    let body = tree.blocks(function).next()?;
    let events = Events::of(session, tree.node(body).children.clone(), None);
    let ends = events.ends(&events.window);
    let mut left = events.all.iter().zip(&ends).filter(|(event, end)| event.is_off() && **end == End::Open);
    left.find(|(event, _)| event.what == "eval").map(|(event, _)| event.what.clone())
}
