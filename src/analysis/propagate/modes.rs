//! What the logged expression itself, or a function of the source that it calls, switches off and leaves so: told where
//! the target does not set it before it goes on with the object.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::events::{End, Event, Events};
use crate::analysis::propagate::unit::called;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// How many calls deep a mode is followed.
const MAX_DEPTH: usize = 3;

impl Work<'_, '_> {
    /// Notes a mode that the statement leaves on, with which the run would go on.
    pub(super) fn check_modes(&mut self) {
        let (session, tree) = (self.session, &self.session.source.tree);
        for (name, callee) in callees(tree, self.statement) {
            let object = tree.node(callee).children.first().filter(|_| tree.node(callee).kind == Kind::Member);
            let left = left_by(session, callee, 0);
            let Some((mode, base)) = left else { continue };
            let on = if mode == "eval" { "train" } else { mode.as_str() };
            let again = if object.is_some() { on } else { name };
            if !base.is_some_and(|base| self.is_set_next(&base, on, again)) {
                let doubt = format!("`{name}` leaves `{mode}()` as it is, and nothing in the target takes it back");
                self.adapted.doubts.push(doubt);
                return;
            }
        }
    }

    /// Whether the next thing that the target does with an object after the place, in this iteration or at the start of
    /// the next, is to set its mode, or to call the same function with it.
    fn is_set_next(&self, base: &str, on: &str, again: &str) -> bool {
        let (session, tree) = (self.session, &self.session.target.tree);
        let uses =
            |id: NodeId| tree.subtree(id).find(|id| tree.node(*id).access.reads() && tree.node(*id).name == base);
        let switches_on = |callee: NodeId| {
            let call = tree.node(tree.node(callee).parent.unwrap_or(0)).range.end;
            let given = session.target.text.get(tree.node(callee).range.end..call).unwrap_or_default();
            tree.node(callee).kind == Kind::Member && tree.node(callee).text == on && !given.contains("False")
        };
        let on_inside = |name: &str| {
            let functions = tree.binders(name).iter().filter(|id| tree.node(**id).kind == Kind::Function);
            functions.into_iter().any(|function| callees(tree, *function).any(|(_, callee)| switches_on(callee)))
        };
        let sets = |statement: NodeId, using: NodeId| {
            let mut calls = callees(tree, statement)
                .filter(|(_, callee)| tree.contains(tree.node(*callee).parent.unwrap_or(0), using));
            let own = |callee: NodeId| tree.path(callee).is_some_and(|path| path == format!("{base}.{on}"));
            !matches!(tree.node(statement).kind, Kind::Branch | Kind::Try)
                && calls.any(|(name, callee)| {
                    own(callee) && switches_on(callee) || name == again && name != on || on_inside(name)
                })
        };
        let next = |among: &[NodeId]| among.iter().find_map(|id| uses(*id).map(|using| sets(*id, using)));
        let (mut block, mut index) = (self.point.block, self.point.index);
        loop {
            let siblings = &tree.node(block).children;
            if let Some(known) = next(&siblings[index.min(siblings.len())..]) {
                return known;
            }
            let Some(holder) = tree.node(block).parent else { return false };
            if tree.node(holder).kind == Kind::Loop {
                return next(&siblings[..index.min(siblings.len())]).unwrap_or(false);
            }
            let holder =
                if tree.node(holder).kind == Kind::Arm { tree.node(holder).parent.unwrap_or(0) } else { holder };
            let Some(place) = tree.place(holder).filter(|_| !tree.node(holder).kind.is_scope()) else { return false };
            (block, index) = (place.0, place.1 + 1);
        }
    }
}

/// The names that are called below a node, with the callees.
fn callees(tree: &Tree, node: NodeId) -> impl Iterator<Item = (&str, NodeId)> {
    let calls = tree.subtree(node).filter(|id| tree.node(*id).kind == Kind::Call);
    calls.map(|id| tree.node(id).children[0]).map(|callee| (tree.node(callee).text.as_str(), callee))
}

fn parameters(tree: &Tree, function: NodeId) -> Vec<NodeId> {
    let all = tree.subtree(function).filter(|id| tree.node(*id).kind == Kind::Parameter);
    all.filter(|id| tree.scope(*id) == function).collect()
}

/// What a call switches off and leaves so, and the variable by which the object is known where it is called; `None` where
/// it has no name there.
fn left_by(session: &Session<'_>, callee: NodeId, depth: usize) -> Option<(String, Option<String>)> {
    let tree = &session.source.tree;
    let name = tree.node(callee).text.as_str();
    let object = tree.node(callee).children.first().filter(|_| tree.node(callee).kind == Kind::Member);
    let base_of = |id: NodeId| tree.path(id)?.split('.').next().map(str::to_owned);
    let call = tree.node(callee).parent.unwrap_or(0);
    let given = session.source.text.get(tree.node(callee).range.end..tree.node(call).range.end).unwrap_or("");
    let off = name == "eval" && given.trim() == "()"
        || ["train", "requires_grad_", "set_grad_enabled"].contains(&name) && given.contains("False");
    if let Some(object) = object.filter(|_| off) {
        return Some((name.to_owned(), base_of(*object)));
    }
    let bodies = called(session, name).into_iter().filter(|_| depth <= MAX_DEPTH);
    bodies.into_iter().find_map(|function| {
        let (mode, base) = left_off(session, function, depth)?;
        let at = parameters(tree, function).iter().position(|id| tree.node(*id).name == base);
        let own = at == Some(0) && object.is_some();
        let arguments = tree.node(call).children.get(1).map(|id| tree.node(*id).children.as_slice());
        let argument = at.and_then(|at| arguments?.get(at - usize::from(object.is_some() && at > 0)));
        let base = match (at, object) {
            (_, Some(object)) if own => base_of(*object),
            (Some(_), _) => argument.and_then(|id| base_of(*id)),
            (None, _) => Some(base),
        };
        Some((mode, base))
    })
}

/// The mode that a function switches off and not on again, and the variable that it has the object by.
fn left_off(session: &Session<'_>, function: NodeId, depth: usize) -> Option<(String, String)> {
    let known = session.known.modes.borrow().get(&(function, depth)).cloned();
    known.unwrap_or_else(|| {
        let found = left_within(session, function, depth);
        session.known.modes.borrow_mut().insert((function, depth), found.clone());
        found
    })
}

fn left_within(session: &Session<'_>, function: NodeId, depth: usize) -> Option<(String, String)> {
    let tree = &session.source.tree;
    let body = tree.blocks(function).next()?;
    let events = Events::of(session, tree.node(body).children.clone(), None);
    let ends = events.ends(&events.window);
    let modes = ["eval", "train", "requires_grad_", "set_grad_enabled"];
    // It may be left before the mode is set back.
    let leaves = |event: &Event| {
        let returns = |id: &NodeId| *id > event.node && tree.node(*id).kind == Kind::Return;
        let back = events.all.iter().find(|other| other.node > event.node && other.is_one_with(event));
        back.is_some_and(|back| tree.subtree(function).filter(returns).any(|id| id < back.node))
    };
    let mut left = events.all.iter().zip(&ends).filter(|(event, end)| {
        event.is_off() && modes.contains(&event.what.as_str()) && (**end == End::Open || leaves(event))
    });
    if let Some((event, _)) = left.next() {
        return Some((event.what.clone(), event.base.clone()));
    }
    // What it calls may leave it so, too.
    callees(tree, body).filter(|(name, _)| called(session, name).iter().all(|inner| *inner != function)).find_map(
        |(_, callee)| {
            let (mode, base) = left_by(session, callee, depth + 1)?;
            let base = base?;
            let on = if mode == "eval" { "train" } else { mode.as_str() };
            let back = |event: &Event| event.node > callee && event.what == on && event.base == base;
            let own = modes.contains(&tree.node(callee).text.as_str());
            (!own && !events.all.iter().any(|event| back(event) && !event.is_off())).then_some((mode, base))
        },
    )
}
