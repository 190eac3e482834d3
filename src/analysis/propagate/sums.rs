//! Values that are not what their names say in the other version: sums of one name that add up different things, `total` of
//! a training's losses and `total` of the parameters' norms, and objects that the source has changed since it made them.

use std::collections::BTreeSet;

use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::checks::adds;
use crate::analysis::propagate::events::{SAYS, is_kept_up};
use crate::analysis::propagate::own::is_meter;
use crate::analysis::propagate::reach::{Definitions, carrier, reaching};
use crate::analysis::propagate::unit::{PURE, feeds};
use crate::analysis::treediff::{Kind, NodeId, Tree};

impl Work<'_, '_> {
    /// The lines, in the source and in the target, that add different things to what a statement reads and to the variable
    /// of the target that it would read.
    pub(super) fn another_sum(&self, path: &str, theirs: &str, id: NodeId) -> Option<(u32, u32)> {
        let (session, ours, there) = (self.session, self.source(), &self.session.target.tree);
        let place = ours.statement_of(id).and_then(|statement| ours.place(statement))?;
        if !ours.binders(path).iter().any(|id| adds(ours, *id).is_some()) {
            return None;
        }
        let sums = |tree: &Tree, found: Definitions| -> Vec<NodeId> {
            let sums = found.into_iter().filter(|id| adds(tree, *id).is_some());
            sums.map(|id| carrier(tree, id)).collect()
        };
        let was = sums(ours, session.definitions_at(path, place));
        let is = sums(there, reaching(there, theirs, (self.point.block, self.point.index), &|_| false));
        let around = |tree: &Tree, id: NodeId| {
            let mut outer = tree.ancestors(id).take_while(|id| !tree.node(*id).kind.is_scope());
            outer.find(|id| tree.node(*id).kind == Kind::Loop)
        };
        let other = |a: NodeId, b: NodeId| {
            let (x, y) = (around(ours, a), around(there, b));
            let same_loop = x.is_some() && x.and_then(|x| session.counterpart(x)) == y;
            !same_loop && session.counterpart(a).is_none() && words(ours, a).is_disjoint(&words(there, b))
        };
        let (first, last) = (was.first().copied()?, is.first().copied()?);
        let all = was.iter().all(|a| is.iter().all(|b| other(*a, *b)));
        let line = |id: NodeId| session.source.lines.line(ours.node(id).range.start);
        all.then(|| (line(first), session.target.lines.line(there.node(last).range.start)))
    }
}

impl Work<'_, '_> {
    /// A line of the source, other than what comes along, that may change the object which a statement makes: it is given
    /// to a call, or a method of it is called. A new object would not be what the source reads.
    pub(super) fn lives_elsewhere(&self, statement: NodeId, name: &str) -> Option<u32> {
        let (session, tree) = (self.session, self.source());
        let node = tree.node(statement);
        let ([variable, value], Kind::Simple, "") = (node.children.as_slice(), node.kind, node.text.as_str()) else {
            return None;
        };
        let callee = tree.node(*value).children.first().filter(|_| tree.node(*value).kind == Kind::Call)?;
        let makes = tree.node(*callee).text.starts_with(char::is_uppercase);
        if !makes || tree.node(*variable).name != name || is_meter(session, statement) {
            return None;
        }
        let comes = |id: NodeId| {
            let statement = tree.statement_of(id);
            let own = statement.is_some_and(|id| self.provided.brought.contains(&id) || session.is_moving(id));
            own || self.moves(id) || statement.is_some_and(|s| feeds(session, s, &[name]))
        };
        let changes = |id: NodeId| {
            let mut around = tree.ancestors(id).take_while(|at| !tree.node(*at).kind.is_statement());
            around.any(|call| {
                let callee = tree.node(call).children.first().filter(|_| tree.node(call).kind == Kind::Call);
                callee.is_some_and(|callee| {
                    let word = tree.node(*callee).text.as_str();
                    let own =
                        |tree: &Tree, id: NodeId| tree.contains(*callee, id) && tree.node(*callee).kind == Kind::Name;
                    !own(tree, id)
                        && !PURE.contains(&word)
                        && !SAYS.contains(&word)
                        && !is_kept_up(word)
                        && !word.starts_with(char::is_uppercase)
                })
            })
        };
        let scope = tree.scope(statement);
        let uses =
            tree.uses(name).iter().copied().filter(|id| tree.scope(*id) == scope && tree.node(*id).access.reads());
        let elsewhere = uses.filter(|id| !tree.contains(statement, *id) && !comes(*id)).find(|id| changes(*id));
        elsewhere.map(|id| session.source.lines.line(tree.node(id).range.start))
    }
}

/// The words of what an assignment adds, and of the loop around it.
fn words(tree: &Tree, statement: NodeId) -> BTreeSet<&str> {
    let value = tree.node(statement).children.last().map(|id| tree.subtree(*id)).unwrap_or_default();
    let named = value.filter(|id| matches!(tree.node(*id).kind, Kind::Name | Kind::Member));
    named.map(|id| tree.node(id).text.as_str()).filter(|word| !PURE.contains(word)).collect()
}
