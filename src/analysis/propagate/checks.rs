//! What speaks against a place although every name has a value there: doubts, told to the user.

use crate::analysis::propagate::adapt::{Work, base_node};
use crate::analysis::propagate::scope::{Bound, Visible};
use crate::analysis::propagate::unit::PURE;
use crate::analysis::propagate::values::Reading;
use crate::analysis::treediff::{Kind, NodeId};

impl Work<'_, '_> {
    /// Notes a variable that has a value, but another one than the statement reads in the source.
    pub(super) fn check_value(&mut self, path: &str, theirs: &str, id: NodeId) {
        let tree = self.source();
        if tree.scope(id) != tree.scope(self.unit) {
            return;
        }
        let Some(place) = tree.place(self.unit) else { return };
        let theirs = Reading { path: theirs, place: (self.point.block, self.point.index) };
        if let Some(reason) = self.session.another_value(Reading { path, place }, theirs) {
            self.adapted.others.push(reason);
        }
    }

    /// Notes a variable that gets several values in the source, where the one read has no counterpart but another has.
    pub(super) fn check_definition(&mut self, id: NodeId, base: &str, definition: Option<NodeId>) {
        let Some(definition) = definition.filter(|definition| self.session.counterpart(*definition).is_none()) else {
            return;
        };
        let statement = |id: NodeId| self.source().statement_of(id).filter(|s| *s != definition);
        let mut others = self.binders(base_node(self.source(), id), base).into_iter().filter_map(statement);
        if others.any(|other| self.session.counterpart(other).is_some()) {
            let line = self.session.source.lines.line(self.source().node(definition).range.start);
            self.adapted
                .doubts
                .push(format!("the target lacks the value that `{base}` gets at line {line} of the source"));
        }
    }

    /// Notes a name that has a value on some paths only, unless it is so in the source too.
    pub(super) fn check_paths(&mut self, ours: &str, theirs: &str, at: NodeId) {
        let theirs = theirs.split('.').next().unwrap_or(theirs);
        if self.visible.get(theirs) != Bound::Maybe {
            return;
        }
        let tree = &self.session.source.tree;
        let here = tree.statement_of(at).and_then(|statement| tree.place(statement));
        let same = here.is_some_and(|(block, index)| Visible::at(tree, block, index).get(ours) == Bound::Maybe);
        if !same {
            let line = self.session.target_line(self.point);
            self.adapted.doubts.push(format!("`{theirs}` may have no value before line {line}"));
        }
    }

    /// Attributes that the source gives its objects and the target does not.
    pub(super) fn attributes(&mut self, id: NodeId, path: &str) {
        let (ours, theirs) = (&self.session.source.tree, &self.session.target.tree);
        // What was renamed is the target's own.
        let node = ours.node(id);
        let renamed =
            self.replaced.last().filter(|(range, _)| range.start == node.range.start && range.end <= node.range.end);
        let renamed = renamed.and_then(|(range, _)| self.session.source.text.get(range.clone()));
        for attribute in path.split('.').skip(renamed.map_or(1, |text| text.split('.').count())) {
            let known = theirs.nodes.iter().any(|n| {
                n.text == attribute
                    && matches!(n.kind, Kind::Member | Kind::Function | Kind::Class | Kind::Name | Kind::Import)
            });
            let used_elsewhere = || {
                ours.nodes.iter().enumerate().any(|(at, n)| {
                    let moving = || ours.statement_of(at).is_some_and(|s| self.session.is_moving(s));
                    n.text == attribute && matches!(n.kind, Kind::Member | Kind::Function) && at != id && !moving()
                })
            };
            if !known && !PURE.contains(&attribute) && used_elsewhere() {
                self.adapted.doubts.push(format!("`{attribute}` occurs nowhere in the target"));
            }
        }
    }
}
