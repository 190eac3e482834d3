//! What speaks against a place although every name has a value there: doubts, told to the user.

use std::ops::Range;

use crate::analysis::propagate::adapt::{Unbound, Work};
use crate::analysis::propagate::events;
use crate::analysis::propagate::made::is_nothing;
use crate::analysis::propagate::names::base_node;
use crate::analysis::propagate::reach::{Definitions, Place, carrier, is_stored, reaching, root};
use crate::analysis::propagate::scope::{Bound, Visible, owner};
use crate::analysis::propagate::unit::PURE;
use crate::analysis::propagate::unsure::on_which_path;
use crate::analysis::propagate::values::{Difference, Reading};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

impl Work<'_, '_> {
    /// Notes a variable that has a value, but another one than the statement reads in the source.
    pub(super) fn check_value(&mut self, path: &str, theirs: &str, id: NodeId) {
        self.check_callee(path, theirs, id);
        self.check_index(path, theirs, id);
        self.check_constant(path, theirs, id);
        let tree = self.source();
        if tree.scope(id) != tree.scope(self.unit) {
            return;
        }
        let part = self.parts.iter().copied().find(|part| tree.contains(*part, id));
        let reader = part.or_else(|| tree.statement_of(id));
        let Some(place) = reader.and_then(|reader| tree.place(reader)) else { return };
        self.check_sum(path, theirs, place);
        self.check_count(path, theirs, place);
        self.check_calls(path, theirs, id);
        self.check_made(path, theirs, id);
        self.check_replaced(path, theirs);
        let theirs = Reading { path: theirs, place: (self.point.block, self.point.index) };
        match self.session.another_value(Reading { path, place }, theirs) {
            Some(Difference::Certain(reason)) => self.adapted.others.push(reason),
            Some(Difference::Possible(reason)) => self.adapted.doubts.push(reason),
            Some(Difference::Told(change)) => self.adapted.changes.push(change),
            None => {}
        }
    }

    /// Notes an assignment that adds to a variable where its counterpart gives it a new value, or the other way round; of
    /// a variable with another name also one that adds something else, or takes another kind of value.
    fn check_sum(&mut self, path: &str, theirs: &str, place: Place) {
        let (ours, there) = (&self.session.source.tree, &self.session.target.tree);
        let reached = reaching(there, theirs, (self.point.block, self.point.index), &|_| false);
        let read = self.session.definitions_at(path, place);
        self.check_kinds(path, theirs, &read, &reached);
        for id in read {
            let counterpart = self.session.counterpart(carrier(ours, id));
            let Some(other) = reached.iter().copied().find(|other| Some(carrier(there, *other)) == counterpart) else {
                continue;
            };
            let line = self.session.target.lines.line(there.node(other).range.start);
            let (a, b) = (adds(ours, id), adds(there, other));
            if a.is_some() != b.is_some() {
                let (is, was) = if b.is_some() { ("adds to", "sets") } else { ("sets", "adds to") };
                self.adapted.others.push(format!("line {line} {is} `{theirs}`, which the source {was} there"));
                return;
            }
            let (was, is) = (carrier(ours, id), carrier(there, other));
            let same = match a {
                Some(_) => a == b && is_same_value(ours, was, there, is),
                None => is_same_kind(ours, was, there, is),
            };
            if is_nothing(ours, was) != is_nothing(there, is) {
                let (a, b) = (self.session.source.lines.line(ours.node(id).range.start), line);
                self.adapted
                    .others
                    .push(format!("only one of line {a} of the source and line {b} computes `{theirs}`"));
                return;
            }
            let more = is_scaled(there, is, ours, was);
            if a.is_none() && (more || is_scaled(ours, was, there, is)) {
                let what = if more { "scales" } else { "does not scale" };
                let other = self.session.source.lines.line(ours.node(id).range.start);
                let doubt = format!("line {line} {what} `{theirs}`, unlike line {other} of the source");
                self.adapted.doubts.push(doubt);
                return;
            }
            if path != theirs && !same {
                let other = self.session.source.lines.line(ours.node(id).range.start);
                self.adapted.others.push(format!(
                    "line {line} computes `{theirs}` otherwise than line {other} of the source computes `{path}`"
                ));
                return;
            }
        }
    }

    /// Notes a variable that has another name by how it is used alone, where it gets another kind of value.
    fn check_kinds(&mut self, path: &str, theirs: &str, read: &Definitions, reached: &Definitions) {
        let (ours, there) = (self.source(), &self.session.target.tree);
        let known = |id: &NodeId| self.session.counterpart(carrier(ours, *id)).is_some();
        let alike = |(a, b): (&NodeId, &NodeId)| is_same_kind(ours, carrier(ours, *a), there, carrier(there, *b));
        let mut pairs = read.iter().flat_map(|a| reached.iter().map(move |b| (a, b)));
        let (Some(a), Some(b)) = (read.first(), reached.first()) else { return };
        if path != theirs && !read.iter().any(known) && !pairs.any(alike) {
            let line = self.session.target.lines.line(there.node(*b).range.start);
            let other = self.session.source.lines.line(ours.node(*a).range.start);
            self.adapted.others.push(format!(
                "line {line} computes `{theirs}` otherwise than line {other} of the source computes `{path}`"
            ));
        }
    }

    /// Notes a constant of another value, where in the source nothing but what is added reads it: a constant of the
    /// target's own.
    fn check_constant(&mut self, path: &str, theirs: &str, id: NodeId) {
        let (tree, there) = (self.source(), &self.session.target.tree);
        let ours = self.binders(base_node(tree, id), path);
        let scope = owner(there, there.scope(self.point.block), theirs);
        let others: Vec<NodeId> =
            there.binders(theirs).iter().copied().filter(|id| there.scope(*id) == scope).collect();
        let ([was], [is]) = (ours.as_slice(), others.as_slice()) else { return };
        let (Some((a, was)), Some((b, is))) = (constant(tree, *was), constant(there, *is)) else { return };
        if tree.node(was).hash == there.node(is).hash {
            return;
        }
        let reads = |tree: &Tree, id: NodeId| tree.node(id).access.reads();
        let added = |id: NodeId| {
            let of_scope = || tree.scope(id) != 0 && self.session.counterpart(tree.scope(id)).is_none();
            let brought = || tree.statement_of(id).is_some_and(|statement| self.provided.brought.contains(&statement));
            self.session.wanted.iter().any(|wanted| tree.contains(*wanted, id)) || of_scope() || brought()
        };
        let mut readers = tree.uses(path).iter().copied().filter(|id| reads(tree, *id));
        if readers.all(added) && there.uses(theirs).iter().any(|id| reads(there, *id)) {
            let line = |source: &Source<'_>, id: NodeId| source.lines.line(source.tree.node(id).range.start);
            let (a, b) = (line(self.session.source, a), line(self.session.target, b));
            let doubt = format!("`{theirs}` gets another value at line {b} than at line {a} of the source");
            self.adapted.doubts.push(doubt);
        }
    }

    /// Whether a variable of the target gets its value as one of the source does: equal but for names, or an object of
    /// the same class.
    pub(super) fn is_made_alike(&self, at: NodeId, name: &str, theirs: &str) -> bool {
        let (ours, there) = (self.source(), &self.session.target.tree);
        let scope = owner(there, there.scope(self.point.block), theirs);
        let found = || there.binders(theirs).iter().copied().filter(|id| there.scope(*id) == scope);
        let class = |tree: &Tree, id: NodeId| {
            let value = root(tree, assigned(tree, id)?);
            let value = Some(value).filter(|value| tree.node(*value).kind == Kind::Call)?;
            let path = tree.path(*tree.node(value).children.first()?)?;
            path.rsplit('.').next().is_some_and(|last| last.starts_with(char::is_uppercase)).then_some(path)
        };
        self.binders(at, name).into_iter().flat_map(|a| found().map(move |b| (a, b))).any(|(a, b)| {
            let (a, b) = (carrier(ours, a), carrier(there, b));
            is_same_value(ours, a, there, b) || class(ours, a).is_some_and(|path| class(there, b) == Some(path))
        })
    }

    /// Notes a variable of which nothing but the name is as in the source.
    pub(super) fn check_name(&mut self, name: &str, id: NodeId) {
        let (tree, place) = (self.source(), self.source().place(self.unit));
        let (Some(place), true) = (place, tree.scope(id) == tree.scope(self.unit)) else { return };
        let theirs = Reading { path: name, place: (self.point.block, self.point.index) };
        let other = || !self.is_made_alike(base_node(tree, id), name, name);
        if self.session.is_same_by_name_only(Reading { path: name, place }, theirs) && other() {
            self.adapted.doubts.push(format!("`{name}` of the target may be another value"));
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
        if self.visible.by_star_alone(theirs) {
            if !self.is_starred(at, ours) {
                self.adapted.doubts.push(format!("`{theirs}` may not be among what the target imports with `*`"));
            }
            return;
        }
        let tree = &self.session.source.tree;
        let here = tree.statement_of(at).and_then(|statement| tree.place(statement));
        let same = here.is_some_and(|(block, index)| Visible::at(tree, block, index).get(ours) == Bound::Maybe);
        if !same {
            let line = self.session.target_line(self.point);
            let path = on_which_path(self.session.target, theirs, (self.point.block, self.point.index));
            self.adapted.others.push(format!("`{theirs}` may have no value before line {line}{path}"));
        }
    }

    /// Whether the target imports everything of the modules from which the source has a name, or may have it.
    pub(super) fn is_starred(&self, at: NodeId, name: &str) -> bool {
        let (tree, known) = (self.source(), stars(&self.session.target.tree));
        let module = |id: NodeId| {
            let statement = tree.statement_of(id).filter(|id| tree.node(*id).kind == Kind::Import);
            statement.map_or("", |id| tree.node(id).text.as_str())
        };
        let binders = self.binders(at, name);
        let from: Vec<&str> = if binders.is_empty() { stars(tree) } else { binders.into_iter().map(module).collect() };
        !from.is_empty() && from.iter().all(|module| known.contains(module))
    }

    /// Attributes that the source gives its objects and the target does not.
    ///
    /// # Errors
    /// What `self` is given by the source alone: it has no such attribute in the target.
    pub(super) fn attributes(&mut self, id: NodeId, path: &str) -> Result<(), Unbound> {
        let (ours, theirs) = (&self.session.source.tree, &self.session.target.tree);
        if self.provided.names.contains(path.split('.').next().unwrap_or(path)) {
            return Ok(());
        }
        // What was renamed is the target's own.
        let node = ours.node(id);
        let renamed =
            self.replaced.last().filter(|(range, _)| range.start == node.range.start && range.end <= node.range.end);
        let renamed = renamed.and_then(|(range, _)| self.session.source.text.get(range.clone()));
        for attribute in path.split('.').skip(renamed.map_or(1, |text| text.split('.').count())) {
            let of_another = |at: NodeId| {
                theirs.node(at).kind == Kind::Member && theirs.path(at).is_none_or(|path| !is_own(&path, attribute))
            };
            let known = (0..theirs.nodes.len()).any(|at| {
                let n = theirs.node(at);
                n.text == attribute
                    && matches!(n.kind, Kind::Member | Kind::Function | Kind::Class | Kind::Name | Kind::Import)
                    // What another object has, `self` has not.
                    && !(renamed.is_none() && is_own(path, attribute) && of_another(at))
            });
            let used_elsewhere = || {
                ours.nodes.iter().enumerate().any(|(at, n)| {
                    let moving = || ours.statement_of(at).is_some_and(|s| self.session.is_moving(s));
                    n.text == attribute && matches!(n.kind, Kind::Member | Kind::Function) && at != id && !moving()
                })
            };
            let defined = || {
                ours.uses(attribute)
                    .iter()
                    .any(|at| ours.node(*at).access.binds() && ours.node(ours.scope(*at)).kind == Kind::Class)
            };
            let reason = format!("`{attribute}` occurs nowhere in the target");
            let common = || {
                let method = ours.node(id).text == attribute && self.session.is_common(id);
                PURE.contains(&attribute) || events::is_kept_up(attribute) || self.session.is_of_library(id) || method
            };
            let given = || {
                let own = |at: NodeId| ours.path(at).is_some_and(|path| path == format!("self.{attribute}"));
                renamed.is_none()
                    && is_own(path, attribute)
                    && ours
                        .uses("self")
                        .iter()
                        .filter_map(|id| ours.node(*id).parent)
                        .any(|at| own(at) && is_stored(ours, at))
            };
            if !known && given() {
                let reason = format!("the target gives `self` no `{attribute}`");
                return Err(Unbound { name: String::new(), reason, later: None });
            }
            if !known && (defined() || !common() && used_elsewhere()) {
                self.adapted.doubts.retain(|doubt| *doubt != reason);
                self.adapted.doubts.push(reason);
            }
        }
        Ok(())
    }

    /// A new name must not be one that the statement binds for itself: in `[v * y for v in …]` no `y` can become `v`.
    pub(super) fn is_captured(&self, ours: &str, theirs: &str) -> Result<(), Unbound> {
        let theirs = theirs.split('.').next().unwrap_or(theirs);
        let tree = self.source();
        let bound = |id: NodeId| {
            let node = tree.node(id);
            (node.access == Access::Inner || node.access.binds()) && node.name == theirs
        };
        if ours == theirs || !self.moved().any(bound) {
            return Ok(());
        }
        let reason =
            format!("`{ours}` is `{theirs}` in the target, a name that the statement itself gives to something else");
        Err(Unbound { name: String::new(), reason, later: None })
    }

    /// `await` and `yield` need the function that they stand in.
    pub(super) fn is_allowed(&self) -> Result<(), Unbound> {
        let (ours, theirs) = (self.session.source, self.session.target);
        let moves = |range: &Range<usize>| {
            let within = |id: &NodeId| {
                let unit = &ours.tree.node(*id).range;
                unit.start <= range.start && range.end <= unit.end
            };
            std::iter::once(&self.unit).chain(&self.parts).any(within)
        };
        let inside = |range: &Range<usize>| {
            let own = |id: NodeId| {
                ours.tree.node(id).kind == Kind::Function
                    && ours.tree.node(id).range.start <= range.start
                    && range.end <= ours.tree.node(id).range.end
            };
            moves(range) && !self.moved().any(own)
        };
        let function = &theirs.tree.node(theirs.tree.scope(self.point.block)).range;
        let reason = match () {
            () if ours.yields.iter().any(inside) => "it yields, which would change what the target's function is",
            () if ours.awaits.iter().any(inside) && !theirs.coroutines.contains(function) => {
                "it awaits, and the target is not asynchronous there"
            }
            () => return Ok(()),
        };
        Err(Unbound { name: String::new(), reason: reason.to_owned(), later: None })
    }

    /// Notes a call that the source makes in this statement alone and the target makes already: it would run twice.
    pub(super) fn check_repetition(&mut self) {
        let (ours, theirs) = (&self.session.source.tree, &self.session.target.tree);
        let own = |id: NodeId| self.session.source.calls.iter().any(|call| call.callee == ours.node(id).range);
        let calls = self.moved().filter(|id| ours.node(*id).kind == Kind::Call).collect::<Vec<NodeId>>();
        for id in calls {
            let Some(callee) = ours.node(id).children.first().copied() else { continue };
            let equal = |tree: &Tree, other: NodeId| tree.node(other).hash == ours.node(id).hash;
            let elsewhere = (0..ours.nodes.len()).any(|other| equal(ours, other) && !self.moves(other));
            let name = ours.node(callee).text.as_str();
            if own(callee) || elsewhere || PURE.contains(&name) || events::is_kept_up(name) {
                continue;
            }
            let scope = theirs.scope(self.point.block);
            if let Some(there) = theirs.subtree(scope).find(|other| equal(theirs, *other)) {
                let line = self.session.target.lines.line(theirs.node(there).range.start);
                let name = &ours.node(callee).text;
                self.adapted.doubts.push(format!("it calls `{name}` a second time: the target does so at line {line}"));
                return;
            }
        }
    }
}

/// Whether a path starts with an attribute of `self`.
fn is_own(path: &str, attribute: &str) -> bool {
    path.strip_prefix("self.").is_some_and(|rest| rest.split('.').next() == Some(attribute))
}

/// A simple assignment of a literal: the statement, and the value.
fn constant(tree: &Tree, binder: NodeId) -> Option<(NodeId, NodeId)> {
    let statement = tree.statement_of(binder).filter(|id| tree.node(*id).kind == Kind::Simple)?;
    let [_, value] = tree.node(statement).children.as_slice() else { return None };
    let plain =
        |id: NodeId| matches!(tree.node(id).kind, Kind::Literal | Kind::Other) && tree.node(id).access == Access::None;
    tree.subtree(*value).all(plain).then_some((statement, *value))
}

/// The modules of which everything is imported.
fn stars(tree: &Tree) -> Vec<&str> {
    let imports = tree.statements().filter(|id| tree.node(*id).kind == Kind::Import);
    let all = |id: &NodeId| tree.node(*id).children.iter().any(|alias| tree.node(*alias).name == "*");
    imports.filter(all).map(|id| tree.node(id).text.as_str()).collect()
}

/// The operator of an assignment like `+=` that gives a node its value.
pub(super) fn adds(tree: &Tree, id: NodeId) -> Option<&str> {
    let statement = tree.node(carrier(tree, id));
    let changes = statement.kind == Kind::Simple && statement.children.len() == 2 && !statement.text.is_empty();
    (changes && statement.text != "assert").then_some(statement.text.as_str())
}

/// What a simple assignment assigns.
fn assigned(tree: &Tree, statement: NodeId) -> Option<NodeId> {
    let node = tree.node(statement);
    node.children.last().copied().filter(|_| node.kind == Kind::Simple && node.children.len() > 1)
}

/// Whether an assignment multiplies or divides what another one assigns as it is: `loss = criterion(x, y) / parts`.
fn is_scaled(tree: &Tree, statement: NodeId, plain: &Tree, other: NodeId) -> bool {
    let scaled = |tree: &Tree, value: NodeId| {
        let node = tree.node(value);
        let factor = node.children.last().is_some_and(|id| matches!(tree.node(*id).kind, Kind::Literal | Kind::Name));
        node.kind == Kind::Other && ["*", "/"].contains(&node.text.as_str()) && factor
    };
    let (Some(value), Some(other)) = (assigned(tree, statement), assigned(plain, other)) else { return false };
    let callee = |tree: &Tree, id: NodeId| {
        let callee = tree.node(id).children.first().filter(|_| tree.node(id).kind == Kind::Call);
        callee.map(|callee| tree.node(*callee).text.clone())
    };
    let first = tree.node(value).children.first().copied().unwrap_or(value);
    scaled(tree, value)
        && !scaled(plain, other)
        && (callee(plain, other).is_none() && plain.subtree(other).len() > 1
            || callee(plain, other) == callee(tree, first))
}

/// Whether two assignments assign the same, but for the names of variables.
fn is_same_value(ours: &Tree, a: NodeId, theirs: &Tree, b: NodeId) -> bool {
    let (Some(a), Some(b)) = (assigned(ours, a), assigned(theirs, b)) else { return false };
    let alike = |(x, y): (NodeId, NodeId)| {
        let (x, y) = (ours.node(x), theirs.node(y));
        x.label == y.label && (x.text == y.text || x.kind == Kind::Name)
    };
    ours.node(a).shape == theirs.node(b).shape && ours.subtree(a).zip(theirs.subtree(b)).all(alike)
}

/// Whether the values of two assignments are computed in one manner: both by a call, both by a sum.
fn is_same_kind(ours: &Tree, a: NodeId, theirs: &Tree, b: NodeId) -> bool {
    match (assigned(ours, a), assigned(theirs, b)) {
        (Some(a), Some(b)) => ours.node(a).label == theirs.node(b).label,
        _ => true,
    }
}
