//! Whether a variable has at a place of the target the value that a statement reads in the source: the definitions
//! that reach either place are compared through the matching. A variable that is bound may still hold another value.

use std::collections::BTreeSet;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::callers::{Origin, given, is_parameter};
use crate::analysis::propagate::reach::{Definitions, Place, carrier, defined_by, is_stored, reaching};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// How many assignments back the values that a value is computed from are compared.
const MAX_DEPTH: usize = 2;

/// How a value of the target may be another one, in the user's words.
pub(super) enum Difference {
    Certain(String),
    /// On some paths.
    Possible(String),
    /// On some paths of the target's own, which computes what the statement reads there.
    Told(String),
}

/// A path read at a place.
#[derive(Clone, Copy)]
pub(super) struct Reading<'p> {
    pub(super) path: &'p str,
    pub(super) place: Place,
}

impl Session<'_> {
    /// Why `theirs` of the target may not be what `ours` is in the source, in the user's words.
    pub(super) fn another_value(&self, ours: Reading<'_>, theirs: Reading<'_>) -> Option<Difference> {
        self.compared(ours, theirs, 0)
    }

    /// The definitions of a path that reach a place of the source, as it was without what moves.
    pub(super) fn definitions_at(&self, path: &str, place: Place) -> Definitions {
        let moving = |id: NodeId| self.source.tree.statement_of(id).is_some_and(|s| self.is_moving(s));
        reaching(&self.source.tree, path, place, &moving)
    }

    /// Whether nothing but its name says that a variable of the target is the source's.
    pub(super) fn is_same_by_name_only(&self, ours: Reading<'_>, theirs: Reading<'_>) -> bool {
        let (source, target) = (&self.source.tree, &self.target.tree);
        let read = self.definitions_at(ours.path, ours.place);
        let there = reaching(target, theirs.path, theirs.place, &|_| false);
        let import = |tree: &Tree, id: NodeId| {
            let statement = tree.node(carrier(tree, id));
            (statement.kind == Kind::Import).then(|| (statement.text.clone(), tree.node(id).text.clone()))
        };
        // What a function gives back is known by what it gives back.
        let from_function = there.iter().flat_map(|t| self.returned(false, (theirs.path.to_owned(), *t)));
        let reached: BTreeSet<NodeId> = from_function.map(|(_, id)| carrier(target, id)).collect();
        let same = |s: NodeId| {
            let given = self.returned(true, (ours.path.to_owned(), s));
            let known = given
                .into_iter()
                .any(|(_, id)| self.counterpart(carrier(source, id)).is_some_and(|at| reached.contains(&at)));
            let imported = import(source, s);
            known || (imported.is_some() && there.iter().any(|t| import(target, *t) == imported))
        };
        !there.is_empty() && !read.iter().any(|s| same(*s))
    }

    fn compared(&self, ours: Reading<'_>, theirs: Reading<'_>, depth: usize) -> Option<Difference> {
        let moving = |id: NodeId| self.source.tree.statement_of(id).is_some_and(|s| self.is_moving(s));
        let read = self.definitions_at(ours.path, ours.place);
        let read = self.carried_from(true, ours.path, read, &moving);
        let there = self.definitions_there(theirs.path, theirs.place);
        let own = |path: &str, ids: Definitions| ids.into_iter().map(|id| (path.to_owned(), id)).collect();
        let (read, there): (Vec<Origin>, Vec<Origin>) = (own(ours.path, read), own(theirs.path, there));
        if read.is_empty() || there.is_empty() {
            return None;
        }
        // A parameter is what the callers give, unless both versions take it as a parameter of one function.
        let same_parameter = |(_, s): &Origin, (_, t): &Origin| {
            let (f, g) = (carrier(&self.source.tree, *s), carrier(&self.target.tree, *t));
            is_parameter(&self.source.tree, *s) && is_parameter(&self.target.tree, *t) && self.counterpart(f) == Some(g)
        };
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for origin in &read {
            if !there.iter().any(|other| same_parameter(origin, other)) {
                let found = given(self.source, origin.clone(), 0).into_iter();
                from.extend(found.flat_map(|origin| self.returned(true, origin)));
            }
        }
        for origin in &there {
            if !read.iter().any(|other| same_parameter(other, origin)) {
                let found = given(self.target, origin.clone(), 0).into_iter();
                to.extend(found.flat_map(|origin| self.returned(false, origin)));
            }
        }
        self.conflict(&from, &to, theirs.place, depth).or_else(|| self.deeper(&from, &to, depth))
    }

    /// A definition whose counterpart does not reach the place, or one that reaches it and is another's counterpart.
    fn conflict(&self, from: &[Origin], to: &[Origin], place: Place, depth: usize) -> Option<Difference> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let ours_line = |id: NodeId| self.source.lines.line(ours.node(id).range.start);
        let theirs_line = |id: NodeId| self.target.lines.line(theirs.node(id).range.start);
        let read: BTreeSet<NodeId> = from.iter().map(|(_, id)| carrier(ours, *id)).collect();
        let there: BTreeSet<NodeId> = to.iter().map(|(_, id)| carrier(theirs, *id)).collect();
        let defines_ours = |at: NodeId| from.iter().any(|(path, _)| defined_by(ours, at, path).is_some());
        let defines_theirs = |at: NodeId| to.iter().any(|(path, _)| defined_by(theirs, at, path).is_some());
        let name = to.first().map(|(path, id)| match path.starts_with("self.") {
            true => path.clone(),
            false => theirs.path(*id).unwrap_or_else(|| first_part(path)),
        })?;
        let here = theirs.node(place.0).children.get(place.1).map_or_else(
            || self.target.lines.line(theirs.node(place.0).range.end.saturating_sub(1)) + 1,
            |id| theirs_line(*id),
        );
        let known = |id: NodeId| self.counterpart(carrier(ours, id));
        // A value that reaches both places is the one, at least on some paths; where it comes from is not asked then.
        let common = from.iter().any(|(_, id)| known(*id).is_some_and(|at| there.contains(&at)));
        if common && depth > 0 {
            return None;
        }
        let lost = from.iter().any(|(_, id)| known(*id).is_some_and(|at| !there.contains(&at) && defines_theirs(at)));
        let told = |reason| if common && !lost { Difference::Possible(reason) } else { Difference::Certain(reason) };
        for (_, id) in to {
            let counterpart = self.matching.source(carrier(theirs, *id));
            if let Some(other) = counterpart.filter(|other| !read.contains(other) && defines_ours(*other)) {
                let line = theirs_line(*id);
                return Some(told(format!(
                    "at line {here} `{name}` holds the value of line {line} (line {} of the source), not the one that \
                     the statement reads",
                    ours_line(other)
                )));
            }
        }
        for (_, id) in from {
            let counterpart = self.matching.target(carrier(ours, *id));
            // What another method gives `self` is there whenever this one does not give it another value.
            let given = |lost: NodeId| {
                theirs.scope(lost) != theirs.scope(place.0) && to.iter().all(|(_, id)| is_parameter(theirs, *id))
            };
            let is_lost = |lost: &NodeId| !there.contains(lost) && defines_theirs(*lost) && !given(*lost);
            if let Some(lost) = counterpart.filter(is_lost) {
                let instead = to.iter().map(|(_, id)| theirs_line(*id).to_string()).collect::<Vec<_>>().join(", ");
                return Some(told(format!(
                    "at line {here} `{name}` holds the value of line {instead}, not that of line {}, which the statement reads",
                    theirs_line(lost)
                )));
            }
        }
        if depth > 0 {
            return None;
        }
        let found = self.permuted(from, to, &name).or_else(|| self.computed_otherwise(from, to, place));
        found.map(Difference::Certain).or_else(|| self.unknown(from, to, &name))
    }

    /// One statement that gives its values the same names in another order.
    fn permuted(&self, from: &[Origin], to: &[Origin], name: &str) -> Option<String> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        from.iter().find_map(|(path, id)| {
            let (at, there) = (carrier(ours, *id), self.counterpart(carrier(ours, *id))?);
            let swapped = path.split('.').next() != name.split('.').next()
                && to.iter().any(|(_, id)| carrier(theirs, *id) == there)
                && defined_by(theirs, there, path).is_some()
                && defined_by(ours, at, name).is_some();
            let line = theirs_line(self.target, there);
            swapped.then(|| format!("line {line} gives its values the same names in another order"))
        })
    }

    /// Definitions on one side that nothing on the other corresponds to.
    fn unknown(&self, from: &[Origin], to: &[Origin], name: &str) -> Option<Difference> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        // A module is the same everywhere.
        if to.iter().all(|(_, id)| theirs.node(carrier(theirs, *id)).kind == Kind::Import) {
            return None;
        }
        let ours_line = |id: NodeId| self.source.lines.line(ours.node(id).range.start);
        let theirs_line = |id: NodeId| theirs_line(self.target, id);
        let read: BTreeSet<NodeId> = from.iter().map(|(_, id)| carrier(ours, *id)).collect();
        let there: BTreeSet<NodeId> = to.iter().map(|(_, id)| carrier(theirs, *id)).collect();
        let defines_ours = |at: NodeId| from.iter().any(|(path, _)| defined_by(ours, at, path).is_some());
        let lacking = from.iter().find(|(path, id)| {
            self.counterpart(carrier(ours, *id))
                .is_none_or(|at| defined_by(theirs, at, path).is_none() && !there.contains(&at))
                && !Self::is_chosen(ours, *id, theirs, to)
                && !Self::is_begun_in_both(ours, *id, theirs, to)
        });
        let further = to.iter().find(|(_, id)| {
            let counterpart = self.matching.source(carrier(theirs, *id));
            counterpart.is_none_or(|other| !read.contains(&other) && !defines_ours(other))
                && !Self::is_chosen(theirs, *id, ours, from)
                && !Self::is_begun_in_both(theirs, *id, ours, from)
        });
        match (lacking, further) {
            (None, Some((_, further))) => {
                let line = theirs_line(*further);
                let reason = format!("`{name}` gets a value at line {line} that it does not get in the source");
                let other_arm = self.is_other_arm(false, *further, to, from);
                Some(if other_arm { Difference::Told(reason) } else { Difference::Certain(reason) })
            }
            (Some((_, lacking)), None) => {
                let line = ours_line(*lacking);
                let reason = format!("`{name}` may get a value at line {line} of the source that the target lacks");
                let other_arm = self.is_other_arm(true, *lacking, from, to);
                Some(if other_arm { Difference::Told(reason) } else { Difference::Certain(reason) })
            }
            (Some((_, lacking)), Some((_, id)))
                if self
                    .matching
                    .source(carrier(theirs, *id))
                    .is_some_and(|was| ours.node(was).kind != Kind::Import) =>
            {
                let (line, was) = (theirs_line(*id), self.matching.source(carrier(theirs, *id)).map(ours_line)?);
                let read = ours_line(*lacking);
                Some(Difference::Certain(format!(
                    "line {line} computes what line {was} of the source does; the statement reads that of line {read}"
                )))
            }
            _ => None,
        }
    }

    /// A definition that corresponds to the one read, but in a further loop, or by a value that another one has.
    fn computed_otherwise(&self, from: &[Origin], to: &[Origin], place: Place) -> Option<String> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        for (path, id) in from {
            let at = carrier(ours, *id);
            let Some(there) = self.counterpart(at) else { continue };
            let Some((name, _)) = to.iter().find(|(_, id)| carrier(theirs, *id) == there) else { continue };
            let line = theirs_line(self.target, there);
            let around = |tree: &Tree, id: NodeId| -> Vec<NodeId> {
                let scope = tree.scope(id);
                let outer = tree.ancestors(id).take_while(|outer| *outer != scope);
                outer.filter(|outer| tree.node(*outer).kind == Kind::Loop).collect()
            };
            let same_scope = theirs.scope(there) == theirs.scope(place.0);
            let further = around(theirs, there).into_iter().find(|outer| {
                let known = self.matching.source(*outer).is_some_and(|other| ours.contains(other, at));
                !theirs.contains(*outer, place.0) && !known
            });
            if let Some(further) =
                further.filter(|_| same_scope && around(theirs, there).len() > around(ours, at).len())
            {
                let name = first_part(name);
                let outer = theirs_line(self.target, further);
                return Some(format!(
                    "`{name}` has the last value of the loop at line {outer}, which the source lacks"
                ));
            }
            let (Some(x), Some(y)) = (value(ours, at), value(theirs, there)) else { continue };
            let moved = theirs.subtree(theirs.scope(there)).find(|id| *id != there && value(theirs, *id) == Some(x));
            let was = ours
                .subtree(ours.scope(at))
                .find(|id| *id != at && value(ours, *id) == Some(y) && !self.is_moving(*id));
            if x != y
                && let Some(other) = moved.map(|id| theirs_line(self.target, id))
            {
                let path = first_part(path);
                return Some(format!("what `{path}` is in the source is computed at line {other}, not at line {line}"));
            }
            if x != y
                && let Some(was) = was
            {
                let was = self.source.lines.line(ours.node(was).range.start);
                return Some(format!(
                    "line {line} computes what line {was} of the source does, which is another value"
                ));
            }
        }
        None
    }

    /// Values from which matched definitions compute theirs.
    fn deeper(&self, from: &[Origin], to: &[Origin], depth: usize) -> Option<Difference> {
        if depth >= MAX_DEPTH {
            return None;
        }
        for (_, id) in from {
            let at = carrier(&self.source.tree, *id);
            let Some(there) = self
                .counterpart(at)
                .filter(|there| to.iter().any(|(_, other)| carrier(&self.target.tree, *other) == *there))
            else {
                continue;
            };
            let (Some(place), Some(target_place)) = (self.source.tree.place(at), self.target.tree.place(there)) else {
                continue;
            };
            if matches!(self.source.tree.node(at).kind, Kind::Function | Kind::Class | Kind::Import) {
                continue;
            }
            for (x, y) in parallel_paths(&self.source.tree, &self.target.tree, at, there) {
                let (ours, theirs) = (Reading { path: &x, place }, Reading { path: &y, place: target_place });
                if let Some(reason) = self.compared(ours, theirs, depth + 1) {
                    return Some(reason);
                }
            }
        }
        None
    }
}

fn theirs_line(target: &Source<'_>, id: NodeId) -> u32 {
    target.lines.line(target.tree.node(id).range.start)
}

/// What a simple assignment assigns, where it is more than a name or a literal.
fn value(tree: &Tree, statement: NodeId) -> Option<u64> {
    let node = tree.node(statement);
    let value = node.children.last().filter(|_| node.kind == Kind::Simple && node.children.len() > 1)?;
    (tree.subtree(*value).len() > 1).then(|| tree.node(*value).hash)
}

fn first_part(path: &str) -> String {
    path.split('.').next().unwrap_or(path).to_owned()
}

/// The paths that two headers of one shape read, side by side.
fn parallel_paths(ours: &Tree, theirs: &Tree, a: NodeId, b: NodeId) -> Vec<(String, String)> {
    let (x, y) = (ours.header(a), theirs.header(b));
    let alike = x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| ours.node(*x).label == theirs.node(*y).label);
    let inner = |id: NodeId| ours.node(id).parent.is_some_and(|parent| ours.node(parent).kind == Kind::Member);
    let read = |id: NodeId| {
        let mut base = id;
        while let (Kind::Member, Some(child)) = (ours.node(base).kind, ours.node(base).children.first()) {
            base = *child;
        }
        ours.node(base).access.reads()
    };
    let pairs = x.into_iter().zip(y).filter(|(x, _)| alike && !inner(*x) && read(*x) && !is_stored(ours, *x));
    pairs.filter_map(|(x, y)| Some((ours.path(x)?, theirs.path(y)?))).collect()
}
