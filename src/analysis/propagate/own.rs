//! Objects of the source's own classes that only keep what they are given: a meter, a history. What their constructors
//! and methods do is seen in their bodies, whatever their names say.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::events::SAYS;
use crate::analysis::propagate::reach::{is_item, is_stored_itself, root};
use crate::analysis::propagate::unit::{FEEDS, PURE, changes_by_name, feeds, has_no_effect};
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// Whether a name is that of a class whose constructor calls only what is known to have no effect, and gives values to
/// nothing but the new object. What a class inherits is not seen.
pub(super) fn only_makes(session: &Session<'_>, name: &str) -> bool {
    let tree = &session.source.tree;
    let mut classes = tree.binders(name).iter().copied().filter(|id| tree.node(*id).kind == Kind::Class).peekable();
    let inherits = |id: NodeId| {
        let read = |id: &NodeId| tree.node(*id).access.reads() && tree.node(*id).name != "object";
        tree.header(id).iter().any(read)
    };
    let quiet = |class: NodeId| {
        let made = methods(tree, class, "__init__").into_iter().chain(methods(tree, class, "__new__"));
        made.into_iter().all(|method| keeps_to_itself(session, method, true, &mut Vec::new()))
    };
    classes.peek().is_some() && classes.all(|class| !inherits(class) && quiet(class))
}

/// Whether the source's own methods of a name that feeds an object change nothing but the object; one of a library does
/// what its name says.
pub(super) fn only_feeds(session: &Session<'_>, name: &str) -> bool {
    let tree = &session.source.tree;
    let of_class = |id: &NodeId| tree.node(*id).kind == Kind::Function && is_method(tree, *id);
    let mut methods = tree.binders(name).iter().copied().filter(of_class);
    methods.all(|method| keeps_to_itself(session, method, false, &mut Vec::new()))
}

/// Whether a statement makes an object that is only given values, looked at, and shown to other objects where they are
/// made: `progress = Progress([losses, top1])`.
pub(super) fn is_meter(session: &Session<'_>, statement: NodeId) -> bool {
    let tree = &session.source.tree;
    let node = tree.node(statement);
    let ([variable, value], Kind::Simple, "") = (node.children.as_slice(), node.kind, node.text.as_str()) else {
        return false;
    };
    let name = &tree.node(*variable).name;
    let callee = |call: NodeId| {
        let callee = tree.node(call).children.first().copied().filter(|_| tree.node(call).kind == Kind::Call)?;
        Some((callee, tree.node(callee).text.as_str()))
    };
    let makes = |call: NodeId| callee(call).is_some_and(|(_, name)| name.starts_with(char::is_uppercase));
    let scope = tree.scope(statement);
    let uses = || tree.uses(name).iter().copied().filter(|id| tree.scope(*id) == scope);
    let is_fed = |id: NodeId| {
        let statement = tree.statement_of(id);
        statement.is_some_and(|s| session.counterpart(s).is_none() && feeds(session, s, &[name]))
    };
    let looked_at = |id: NodeId| {
        let parent = tree.node(id).parent.unwrap_or(0);
        if tree.node(parent).kind != Kind::Member {
            return tree.ancestors(id).take_while(|at| !tree.node(*at).kind.is_statement()).any(makes);
        }
        let called = tree.node(parent).parent.and_then(callee).filter(|(callee, _)| *callee == parent);
        called.is_none_or(|(_, method)| PURE.contains(&method) || SAYS.contains(&method))
    };
    tree.node(*variable).kind == Kind::Name
        && makes(*value)
        && has_no_effect(session, statement)
        && uses().any(is_fed)
        && uses().all(|id| id == *variable || is_fed(id) || tree.node(id).access.reads() && looked_at(id))
}

/// Whether a statement does nothing but give something to such an object.
pub(super) fn feeds_a_meter(session: &Session<'_>, statement: NodeId) -> bool {
    let tree = &session.source.tree;
    let scope = tree.scope(statement);
    let objects = tree.subtree(statement).filter(|id| tree.node(*id).kind == Kind::Name);
    objects.map(|id| tree.node(id).name.as_str()).any(|name| {
        let maker =
            |id: &NodeId| tree.scope(*id) == scope && tree.statement_of(*id).is_some_and(|s| is_meter(session, s));
        feeds(session, statement, &[name]) && tree.binders(name).iter().any(maker)
    })
}

fn is_method(tree: &Tree, function: NodeId) -> bool {
    tree.node(tree.scope(function)).kind == Kind::Class
}

fn methods(tree: &Tree, class: NodeId, name: &str) -> Vec<NodeId> {
    let own = |id: &NodeId| tree.node(*id).kind == Kind::Function && tree.scope(*id) == class;
    tree.binders(name).iter().copied().filter(own).collect()
}

/// Whether a method changes its object alone. A `strict` one calls nothing that is not known.
fn keeps_to_itself(session: &Session<'_>, method: NodeId, strict: bool, seen: &mut Vec<NodeId>) -> bool {
    if seen.contains(&method) {
        return true;
    }
    seen.push(method);
    let (tree, class) = (&session.source.tree, session.source.tree.scope(method));
    let text = session.source.text.get(tree.node(method).range.clone()).unwrap_or_default();
    if ["global ", "nonlocal "].iter().any(|word| text.contains(word)) {
        return false;
    }
    let of_self =
        |id: NodeId| tree.path(root(tree, id)).is_some_and(|path| path == "self" || path.starts_with("self."));
    // The place of a member is that of what has it.
    let is_own = |id: NodeId| tree.node(id).children.first().is_some_and(|object| of_self(*object));
    let calm = |id: NodeId, seen: &mut Vec<NodeId>| {
        let node = tree.node(id);
        let stored = node.kind == Kind::Member || is_item(tree, id);
        if stored && is_stored_itself(tree, id) {
            return is_own(id);
        }
        let Some(callee) = node.children.first().copied().filter(|_| node.kind == Kind::Call) else { return true };
        let name = tree.node(callee).text.as_str();
        let called = tree.path(callee).filter(|path| *path == format!("self.{name}"));
        let bodies = called.map(|_| methods(tree, class, name)).unwrap_or_default();
        if !bodies.is_empty() {
            return bodies.into_iter().all(|body| keeps_to_itself(session, body, strict, seen));
        }
        let fills =
            || tree.node(callee).kind == Kind::Member && is_own(callee) && (FEEDS.contains(&name) || name == "pop");
        PURE.contains(&name) || fills() || !strict && !changes_by_name(session, name)
    };
    tree.subtree(method).all(|id| calm(id, seen))
}
