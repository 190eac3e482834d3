//! Whether an object has been through the same calls at a place as where the statement reads it: `bar.n` after
//! `bar.update(…)`. What is assigned is followed elsewhere; a call may change what it is called on.

use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::unit::PURE;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// Methods after which what a log statement reads of their object is what it was.
const HARMLESS: &[&str] = &["backward", "zero_grad", "train", "eval", "to", "cuda", "requires_grad_", "state_dict"];

/// Calls of methods of one object in one function, by the method: where they stand.
type Calls<'t> = Vec<(&'t str, NodeId)>;

impl Work<'_, '_> {
    /// Notes a method that is called on what the statement reads, or on what that belongs to, before the statement in the
    /// source and only after it in the target, or the other way round.
    pub(super) fn check_calls(&mut self, path: &str, theirs: &str, reader: NodeId) {
        let (ours, there) = (&self.session.source.tree, &self.session.target.tree);
        let base = path.split('.').next().unwrap_or(path);
        let is_import = |id: &NodeId| ours.statement_of(*id).is_some_and(|id| ours.node(id).kind == Kind::Import);
        if ours.binders(base).iter().any(is_import) {
            return;
        }
        let block = there.node(self.point.block);
        let place = block.children.get(self.point.index).copied().unwrap_or(block.end);
        let (mut path, mut theirs, mut attribute) = (path, theirs, None);
        loop {
            let changes = |tree: &Tree, object: &str, method: &str| match (object, attribute) {
                // `self` has methods of all kinds: those count that set what is read.
                ("self", Some(attribute)) => {
                    let name = format!("self.{attribute}");
                    tree.binders(&name).iter().any(|id| tree.node(tree.scope(*id)).name == method)
                }
                ("self", None) => false,
                _ => !PURE.contains(&method) && !HARMLESS.contains(&method),
            };
            let mut was = calls(ours, ours.scope(self.unit), path);
            // Not the call that the statement itself makes.
            was.retain(|(method, id)| !ours.contains(*id, reader) && changes(ours, path, method));
            let mut is = calls(there, there.scope(self.point.block), theirs);
            is.retain(|(method, _)| changes(there, theirs, method));
            let is_before = |list: &Calls<'_>, method: &str, place: NodeId| {
                list.iter().any(|(name, id)| *name == method && *id < place)
            };
            let moved = is.iter().find_map(|(method, id)| {
                let known = was.iter().any(|(name, _)| name == method);
                let (before, now) = (is_before(&was, method, reader), is_before(&is, method, place));
                (known && before != now).then_some((*method, *id, before))
            });
            if let Some((method, id, before)) = moved {
                let line = self.session.target.lines.line(there.node(id).range.start);
                let (was, is) = if before { ("before", "after") } else { ("after", "before") };
                self.adapted.others.push(format!(
                    "`{theirs}.{method}(…)` is called {was} the statement in the source, {is} it in the target, at line {line}"
                ));
                return;
            }
            // What the target alone does to the object next to the place may have to come first.
            let gap = block.children.iter().skip(self.point.index);
            let gap: Vec<NodeId> = gap.copied().take_while(|id| self.session.matching.source(*id).is_none()).collect();
            let new = is.iter().find(|(method, id)| {
                let known = was.iter().any(|(name, _)| name == method);
                !known && there.statement_of(*id).is_some_and(|statement| gap.contains(&statement))
            });
            if let Some((method, id)) = new {
                let line = self.session.target.lines.line(there.node(*id).range.start);
                let doubt =
                    format!("`{theirs}.{method}(…)`, which the source does not call, comes after it, at line {line}");
                self.adapted.doubts.push(doubt);
                return;
            }
            match (path.rsplit_once('.'), theirs.rsplit_once('.')) {
                (Some((outer, last)), Some((other, same))) if last == same => {
                    (path, theirs, attribute) = (outer, other, Some(last));
                }
                _ => return,
            }
        }
    }
}

/// The calls of methods of an object that stand in a function itself.
fn calls<'t>(tree: &'t Tree, scope: NodeId, object: &str) -> Calls<'t> {
    let base = object.split('.').next().unwrap_or(object);
    let called = |id: &NodeId| {
        let mut at = *id;
        while tree.path(at).as_deref() != Some(object) {
            at = tree.node(at).parent.filter(|parent| tree.node(*parent).kind == Kind::Member)?;
        }
        let method = tree.node(at).parent.filter(|parent| tree.node(*parent).kind == Kind::Member)?;
        let call = tree.node(method).parent.filter(|call| tree.node(*call).kind == Kind::Call)?;
        let is_callee = tree.node(call).children.first() == Some(&method);
        (is_callee && tree.scope(call) == scope).then(|| (tree.node(method).text.as_str(), call))
    };
    tree.uses(base).iter().filter_map(called).collect()
}
