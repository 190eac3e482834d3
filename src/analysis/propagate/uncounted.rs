//! A guard that asks how far a loop is (`if i % 100 == 0:`), in a target whose loop counts nothing: the statement is placed
//! without it, and said to run more often, for a value too many is found again and one that is missing is not.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::{Adapted, Work};
use crate::analysis::propagate::anchor::Point;
use crate::analysis::propagate::conditions::words;
use crate::analysis::propagate::reach::{Place, carrier};
use crate::analysis::propagate::rename::counted;
use crate::analysis::propagate::unit::Whole;
use crate::analysis::treediff::{Kind, NodeId, Tree};

impl Session<'_> {
    /// Places for a statement without the guards that ask for a count which the target has not.
    pub(super) fn without_counter(&self, node: NodeId) -> Vec<(Point, Adapted)> {
        let Some((whole, counter)) = self.uncounted(node) else { return Vec::new() };
        let guard = whole.outermost();
        let test = self.source.tree.node(guard).children.first().copied().unwrap_or(guard);
        let doubt = format!(
            "`{counter}` is not counted in the target: it would log in every iteration, not only where `{}`",
            words(self.source, test)
        );
        let points = self.points(guard).into_iter();
        let found = points.filter_map(|point| self.adapt(&whole, point, 0).ok());
        found
            .map(|(point, mut adapted)| {
                adapted.doubts.push(doubt.clone());
                (point, adapted)
            })
            .collect()
    }

    /// A statement below guards that ask for the count of a loop around them and nothing else, and the counter's name.
    fn uncounted(&self, node: NodeId) -> Option<(Whole, String)> {
        let tree = &self.source.tree;
        let guards: Vec<NodeId> = tree
            .ancestors(node)
            .filter(|id| tree.node(*id).kind != Kind::Block)
            .take_while(|id| tree.node(*id).kind == Kind::Branch && self.counterpart(*id).is_none())
            .collect();
        let mut counter = None;
        for guard in &guards {
            let first = tree.blocks(*guard).next().is_some_and(|block| tree.contains(block, node));
            let header = tree.header(*guard);
            let is =
                |text: &str| header.iter().any(|id| tree.node(*id).kind == Kind::Other && tree.node(*id).text == text);
            if !first || !is("%") || is("and") || is("or") {
                return None;
            }
            let counts = |id: NodeId| {
                let name = &tree.node(id).name;
                let bound = |binder: &NodeId| {
                    let header = tree.statement_of(*binder).filter(|id| tree.node(*id).kind == Kind::Loop);
                    header.is_some_and(|outer| tree.contains(outer, *guard))
                };
                tree.node(id).access.reads() && self.binders(id, name).iter().any(bound)
            };
            let found = header.iter().copied().find(|id| counts(*id))?;
            counter = Some(tree.node(found).name.clone());
        }
        let outermost = guards.into_iter().rev().collect();
        Some((Whole { guards: outermost, is_bare: true, ..Whole::alone(node) }, counter?))
    }
}

impl Work<'_, '_> {
    /// Notes the count of a loop that would be an element there: `for i in loader:`.
    pub(super) fn check_count(&mut self, path: &str, theirs: &str, place: Place) {
        let (ours, there) = (self.source(), &self.session.target.tree);
        let header = |tree: &Tree, at: NodeId| tree.node(at).children.iter().copied().take(2).collect::<Vec<_>>();
        let is_element = |id: NodeId| {
            let at = carrier(ours, id);
            let is = self.session.counterpart(at).filter(|is| there.node(*is).kind == Kind::Loop)?;
            let element = counted(ours, &header(ours, at)).filter(|_| ours.node(at).kind == Kind::Loop)?;
            let given = *header(there, is).first()?;
            let binds = there.node(given).name == theirs && counted(there, &header(there, is)).is_none();
            (binds && !ours.contains(element[0], id)).then_some(is)
        };
        let found = self.session.definitions_at(path, place).into_iter().find_map(is_element);
        if let Some(is) = found {
            let line = self.session.target.lines.line(there.node(is).range.start);
            self.adapted.others.push(format!("`{path}` counts in the source; `{theirs}` of line {line} is an element"));
        }
    }
}
