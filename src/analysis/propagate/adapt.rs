//! A statement rewritten for its place in the target: names, our API, and what it needs brought along. A name that
//! has no value there refuses the place.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::analysis::propagate::anchor::Point;
use crate::analysis::propagate::bring;
use crate::analysis::propagate::insert::{self, Edit, Unit};
use crate::analysis::propagate::reach::reaching;
use crate::analysis::propagate::scope::{Bound, Visible, owner};
use crate::analysis::propagate::unit::Whole;
use crate::analysis::propagate::{Provided, Session};
use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

/// Why a place is none.
pub(super) struct Refusal(pub(super) String);

/// A statement ready to be inserted.
#[derive(Debug, Default, Clone)]
pub(super) struct Adapted {
    /// The statement's own edit first, then those it needs.
    pub(super) edits: Vec<Edit>,
    pub(super) changes: Vec<String>,
    pub(super) doubts: Vec<String>,
    /// Variables that hold another value here than in the source.
    pub(super) others: Vec<String>,
    /// Conditions, loops and callers that the source's statement has not.
    pub(super) context: Vec<String>,
    /// What makes a value that the statement reads, where that is only after the place.
    pub(super) made_at: Option<NodeId>,
}

impl Adapted {
    /// What the doubts take from a place's score.
    pub(super) fn doubt(&self) -> f64 {
        let doubt = if self.doubts.is_empty() && self.context.is_empty() { 0.0 } else { 1.5 };
        // Any place with the right value is better.
        #[expect(clippy::cast_precision_loss, reason = "a handful of reasons")]
        let others = self.others.len() as f64;
        if self.others.is_empty() { doubt } else { doubt + 9.0 + others }
    }
}

/// A name that has no value at a place, as the target would call it.
pub(super) struct Unbound {
    pub(super) name: String,
    pub(super) reason: String,
}

/// One statement at one place.
pub(super) struct Work<'s, 'a> {
    pub(super) session: &'s Session<'a>,
    pub(super) visible: Visible<'s>,
    pub(super) point: &'s Point,
    pub(super) replaced: Vec<(Range<usize>, String)>,
    pub(super) provided: &'s mut Provided,
    pub(super) adapted: Adapted,
    pub(super) depth: usize,
    /// All that moves here: it brings itself.
    pub(super) unit: NodeId,
    /// What moves, without the guards around it.
    pub(super) statement: NodeId,
}

impl Session<'_> {
    /// Adapts a statement to a place, or to a later one of the same block where all it reads has a value.
    pub(super) fn adapt(&self, whole: &Whole, point: Point, depth: usize) -> Result<(Point, Adapted), Refusal> {
        self.adapt_with(whole, point, depth, &mut Provided::default())
    }

    fn adapt_with(
        &self,
        whole: &Whole,
        mut point: Point,
        depth: usize,
        provided: &mut Provided,
    ) -> Result<(Point, Adapted), Refusal> {
        self.move_past_definitions(whole, &mut point);
        for _ in 0..4 {
            let before = provided.clone();
            match self.adapt_here(whole, &point, depth, provided) {
                Ok(adapted) => return Ok((point, adapted)),
                Err(unbound) => {
                    *provided = before;
                    let Some(index) = self.defined_later(&point, &unbound.name) else {
                        return Err(Refusal(unbound.reason));
                    };
                    point.index = index;
                    point.score -= 0.3;
                    point.reason = format!("after `{}` gets its value", unbound.name);
                }
            }
        }
        Err(Refusal("what it reads is never defined together".to_owned()))
    }

    pub(super) fn adapt_here(
        &self,
        whole: &Whole,
        point: &Point,
        depth: usize,
        provided: &mut Provided,
    ) -> Result<Adapted, Unbound> {
        let is_definition = matches!(self.source.tree.node(whole.statement).kind, Kind::Function | Kind::Class);
        // What a function reads is looked up when it is called.
        let index = if is_definition { self.target.tree.node(point.block).children.len() } else { point.index };
        let visible = Visible::at(&self.target.tree, point.block, index);
        let (replaced, adapted, unit) = (Vec::new(), Adapted::default(), whole.outermost());
        let mut work = Work {
            session: self,
            visible,
            point,
            replaced,
            provided,
            adapted,
            depth,
            unit,
            statement: whole.statement,
        };
        work.is_allowed()?;
        work.names(whole)?;
        if !is_definition {
            work.check_repetition();
        }
        if !is_definition && depth == 0 && !whole.further {
            work.check_context();
            work.check_order();
            let call = self.costly_beside(whole);
            work.adapted.doubts.extend(call.map(|name| bring::called_once_more(&name)));
        }
        let unit = Unit { keyword: whole.keyword, ..Unit::of(whole.guards.clone(), whole.statement, &work.replaced) };
        let index = point.index + usize::from(whole.further);
        let edit = insert::edit(self.source, self.target, &unit, point.block, index)
            .map_err(|reason| Unbound { name: String::new(), reason })?;
        let mut adapted = work.adapted;
        if adapted.edits.iter().any(|other| self.is_out_of_order(other, &edit)) {
            let reason = "what it needs would come after it".to_owned();
            return Err(Unbound { name: String::new(), reason });
        }
        adapted.edits.insert(0, edit);
        adapted.changes.dedup();
        adapted.others.dedup();
        Ok(adapted)
    }

    /// A statement that reads a variable stands after the counterpart of what gives it its value.
    fn move_past_definitions(&self, whole: &Whole, point: &mut Point) {
        let tree = &self.source.tree;
        let outermost = whole.outermost();
        let (scope, Some(place)) = (tree.scope(outermost), tree.place(outermost)) else { return };
        let reads = tree.subtree(outermost).filter(|id| tree.node(*id).access.reads() && tree.scope(*id) == scope);
        let names: BTreeSet<&str> = reads.map(|id| tree.node(id).name.as_str()).collect();
        for name in names {
            let before = |id: &NodeId| *id < outermost && tree.scope(*id) == scope;
            for id in self.definitions_at(name, place).into_iter().filter(before) {
                let theirs = tree.statement_of(id).filter(|s| *s != scope).and_then(|s| self.counterpart(s));
                let index = theirs.and_then(|theirs| {
                    let child = self.target.tree.child_towards(point.block, theirs)?;
                    self.target.tree.place(child).map(|(_, index)| index)
                });
                if let Some(index) = index.filter(|index| *index >= point.index) {
                    point.index = index + 1;
                    point.score -= 0.2;
                    point.reason = format!("after `{name}` gets its value");
                }
            }
        }
    }

    /// The index in the place's block after the first later statement that gives `name` a value.
    fn defined_later(&self, point: &Point, name: &str) -> Option<usize> {
        let tree = &self.target.tree;
        let base = name.split('.').next().filter(|base| !base.is_empty())?;
        let binds = |id: NodeId| tree.node(id).access.binds() && tree.node(id).name == base;
        let scope = tree.scope(point.block);
        let children = tree.node(point.block).children.iter().enumerate().skip(point.index);
        let found = children.filter(|(_, child)| tree.subtree(**child).any(|id| binds(id) && tree.scope(id) == scope));
        found.map(|(index, _)| index + 1).next()
    }

    /// The last simple statement before a use, in the block of the use or one around it, that assigns the variable.
    fn definition(&self, read: NodeId) -> Option<NodeId> {
        let tree = &self.source.tree;
        let (name, scope) = (&tree.node(read).name, tree.scope(read));
        let assigns = |id: NodeId| tree.node(id).access == Access::Bind && tree.node(id).name == *name;
        let mut at = tree.statement_of(read)?;
        while at != scope {
            if let Some((block, index)) = tree.place(at) {
                let simple =
                    tree.node(block).children[..index].iter().rev().filter(|c| tree.node(**c).kind == Kind::Simple);
                if let Some(found) = simple.copied().find(|c| tree.subtree(*c).any(assigns)) {
                    return Some(found);
                }
            }
            at = tree.node(at).parent?;
        }
        None
    }

    /// The nodes that bind what `name` means at a node of the source.
    pub(super) fn binders(&self, at: NodeId, name: &str) -> Vec<NodeId> {
        let tree = &self.source.tree;
        let scope = owner(tree, tree.scope(at), name);
        tree.binders(name).iter().copied().filter(|id| tree.scope(*id) == scope).collect()
    }

    pub(super) fn target_line(&self, point: &Point) -> u32 {
        let tree = &self.target.tree;
        let node = tree.node(point.block).children.get(point.index).copied();
        let offset = node.map_or(tree.node(point.block).range.end, |id| tree.node(id).range.start);
        self.target.lines.line(offset)
    }
}

impl Work<'_, '_> {
    pub(super) fn source(&self) -> &Tree {
        &self.session.source.tree
    }

    /// Rewrites every variable that the unit reads.
    fn names(&mut self, whole: &Whole) -> Result<(), Unbound> {
        let tree = &self.session.source.tree;
        let guards = whole.guards.iter().flat_map(|guard| tree.header(*guard));
        let nodes: Vec<NodeId> = guards.chain(tree.subtree(whole.statement)).collect();
        let mut bound: Vec<&str> = Vec::new();
        for id in nodes {
            let node = tree.node(id);
            if self.renamed_afresh(whole, id) {
                continue;
            }
            self.is_left_alone(whole, id)?;
            if node.access == Access::Bind && (node.kind != Kind::Function || id != whole.statement) {
                bound.push(&node.name);
            }
            let inner_value = node.parent.is_some_and(|p| tree.node(p).kind == Kind::Member && tree.path(p).is_some());
            let Some(path) = tree.path(id).filter(|_| !inner_value) else { continue };
            let base = base_node(tree, id);
            let name = tree.node(base).name.as_str();
            if self.session.source.calls.iter().any(|call| call.callee == node.range) {
                self.api(id)?;
            } else if tree.node(base).access.reads()
                && !bound.contains(&name)
                && !bound_later_in(tree, whole.statement, base)
            {
                self.path(id, &path)?;
                self.attributes(id, &path)?;
            }
        }
        Ok(())
    }

    /// What comes along with a log statement must not give a variable of the target another value.
    fn is_left_alone(&self, whole: &Whole, id: NodeId) -> Result<(), Unbound> {
        let (tree, node) = (self.source(), self.source().node(id));
        let compound = tree.node(whole.statement).kind.is_compound() && !tree.node(whole.statement).kind.is_scope();
        if !compound || node.kind != Kind::Name || !node.access.binds() {
            return Ok(());
        }
        let outside = |id: &NodeId| !tree.contains(self.unit, *id);
        let theirs = |id: NodeId| tree.statement_of(id).and_then(|statement| self.session.counterpart(statement));
        if !self.binders(id, &node.name).into_iter().filter(outside).any(|id| theirs(id).is_some()) {
            return Ok(());
        }
        let reason = format!("it gives `{}` a value, with which the target would go on", node.name);
        Err(Unbound { name: String::new(), reason })
    }

    /// A variable that the unit binds must not overwrite one of the target's that happens to have its name.
    fn renamed_afresh(&mut self, whole: &Whole, id: NodeId) -> bool {
        let node = self.session.source.tree.node(id);
        if node.kind != Kind::Name || matches!(node.access, Access::None | Access::Inner) {
            return false;
        }
        let clashes = || {
            let statement = self.source().node(whole.statement);
            let definition = matches!(statement.kind, Kind::Function | Kind::Class);
            node.access.binds()
                && !definition
                && self.visible.owns(&node.name)
                && self.visible.get(&node.name) != Bound::No
                && !self.provided.names.contains(&node.name)
                && (self.all_unmatched(id, &node.name) || statement.kind.is_compound() && self.is_temporary(id))
        };
        if !self.provided.fresh.contains_key(&node.name) {
            if !clashes() {
                return false;
            }
            self.provide_afresh(&node.name);
        }
        let fresh = self.provided.fresh[&node.name].clone();
        self.replaced.push((node.range.clone(), fresh));
        true
    }

    /// Whether a variable that the unit binds has its values there for the unit alone, and takes none from before it.
    fn is_temporary(&self, binder: NodeId) -> bool {
        let tree = self.source();
        let (scope, name) = (tree.scope(binder), &tree.node(binder).name);
        let mut reads = tree.subtree(scope).filter(|id| {
            let node = tree.node(*id);
            node.kind == Kind::Name && node.name == *name && node.access.reads()
        });
        reads.all(|read| {
            let Some(place) = tree.statement_of(read).and_then(|statement| tree.place(statement)) else { return false };
            let inside = tree.contains(self.unit, read);
            let reached = reaching(tree, name, place, &|_| false);
            tree.scope(read) == scope
                && reached.iter().all(|definition| tree.contains(self.unit, *definition) == inside)
        })
    }

    fn provide_afresh(&mut self, name: &str) {
        let taken = |candidate: &str| self.session.target.tree.nodes.iter().any(|n| n.name == candidate);
        let fresh = (1..).map(|n| format!("{name}_{n}")).find(|candidate| !taken(candidate)).unwrap_or_default();
        self.adapted.changes.push(format!("{name} → {fresh}"));
        self.provided.names.insert(fresh.clone());
        self.provided.fresh.insert(name.to_owned(), fresh);
    }

    /// Whether nothing in the target corresponds to any statement that binds a variable of the source.
    fn all_unmatched(&self, at: NodeId, name: &str) -> bool {
        let binders = self.binders(at, name);
        !binders.is_empty()
            && binders.iter().all(|id| {
                self.source().node(*id).kind == Kind::Name
                    && self
                        .source()
                        .statement_of(*id)
                        .is_some_and(|statement| self.session.counterpart(statement).is_none())
            })
    }

    pub(super) fn binders(&self, at: NodeId, name: &str) -> Vec<NodeId> {
        self.session.binders(at, name)
    }

    /// One variable with its attributes, as the target calls it.
    fn path(&mut self, id: NodeId, path: &str) -> Result<(), Unbound> {
        let scope = self.session.target.tree.scope(self.point.block);
        let base = path.split('.').next().unwrap_or(path).to_owned();
        if self.provided.names.contains(&base) {
            return Ok(());
        }
        if self.is_of_same_module(id, path, &base) {
            return Ok(());
        }
        let definition = self.session.definition(base_node(self.source(), id));
        self.is_computed_elsewhere(&base, definition, scope)?;
        self.check_definition(id, &base, definition);
        let mut prefix = path;
        let mut wanted = None;
        loop {
            let votes = self.session.renames.of_path(prefix, id, scope, definition);
            let kept = votes.iter().any(|(to, _)| to == prefix) && self.is_visible(prefix);
            for (to, weight) in votes {
                let weak = weight < 1.0 && to != prefix && self.is_visible(prefix);
                if !weak && self.is_visible(&to) {
                    if kept && to != prefix {
                        let doubt =
                            format!("`{prefix}` of the source is `{to}` here, but also `{prefix}`, in the target");
                        self.adapted.doubts.push(doubt);
                    }
                    self.check_paths(&base, &to, id);
                    self.check_value(path, &format!("{to}{}", &path[prefix.len()..]), id);
                    self.is_captured(&base, &to)?;
                    self.replace(id, path, prefix, &to);
                    return Ok(());
                }
                wanted.get_or_insert(to);
            }
            match prefix.rsplit_once('.') {
                Some((shorter, _)) => prefix = shorter,
                None => break,
            }
        }
        if self.is_visible(&base) {
            let node = base_node(self.source(), id);
            if self.visible.by_star_alone(&base) && !self.is_starred(node, &base) && self.is_brought(node, &base, &base)
            {
                return Ok(());
            }
            if self.visible.get(&base) != Bound::No && self.all_unmatched(node, &base) {
                return self.bring_afresh(id, node, path, &base);
            }
            self.bring_submodule(node, path)?;
            self.check_paths(&base, &base, id);
            self.check_name(&base, id);
            self.check_value(path, path, id);
            return Ok(());
        }
        let node = base_node(self.source(), id);
        let alike = self.by_convention(&base);
        if let Some(to) = alike.as_ref().filter(|to| self.is_made_alike(node, &base, to)) {
            return self.take(id, path, &base, to);
        }
        if let Some((prefix, to)) = self.other_side_of_self(path) {
            if prefix.contains('.') && base != "self" {
                self.adapted.doubts.push(format!("`{prefix}` taken for `{to}`"));
            }
            self.check_made(path, &format!("{to}{}", &path[prefix.len()..]), id);
            self.replace(id, path, &prefix, &to);
            return Ok(());
        }
        if self.is_brought(node, &base, &base) {
            return Ok(());
        }
        if let Some(to) = alike.or_else(|| self.by_its_words(&base)) {
            self.adapted.doubts.push(format!("`{base}` taken for `{to}`"));
            return self.take(id, path, &base, &to);
        }
        self.bring(node, &base, wanted.as_deref().unwrap_or(&base))
    }

    /// Reads a variable of the target in place of one.
    fn take(&mut self, id: NodeId, path: &str, base: &str, to: &str) -> Result<(), Unbound> {
        self.check_paths(base, to, id);
        self.check_value(path, &format!("{to}{}", &path[base.len()..]), id);
        self.is_captured(base, to)?;
        self.replace(id, path, base, to);
        Ok(())
    }

    /// A value that the target computes in a function of its own is not here under any name.
    fn is_computed_elsewhere(&self, name: &str, definition: Option<NodeId>, scope: NodeId) -> Result<(), Unbound> {
        let Some(theirs) = definition.and_then(|definition| self.session.counterpart(definition)) else {
            return Ok(());
        };
        let tree = &self.session.target.tree;
        let there = tree.scope(theirs);
        let given = tree.header(scope).iter().any(|id| tree.node(*id).kind == Kind::Parameter);
        if tree.node(there).kind != Kind::Function || tree.contains(there, scope) || given {
            return Ok(());
        }
        let function = &tree.node(there).text;
        Err(Unbound {
            name: String::new(),
            reason: format!("the target computes `{name}` inside function `{function}`"),
        })
    }

    /// The target has a variable of this name, but nothing says that it is this one.
    fn bring_afresh(&mut self, id: NodeId, node: NodeId, path: &str, base: &str) -> Result<(), Unbound> {
        let before = (self.provided.clone(), self.adapted.changes.len());
        self.provide_afresh(base);
        let fresh = self.provided.fresh[base].clone();
        if self.is_brought(node, base, &fresh) {
            self.replaced.push((self.source().node(node).range.clone(), fresh));
        } else {
            *self.provided = before.0;
            self.adapted.changes.truncate(before.1);
            self.check_paths(base, base, id);
            self.adapted.doubts.push(format!("`{path}` of the target may be another value"));
        }
        Ok(())
    }

    pub(super) fn is_visible(&self, path: &str) -> bool {
        let base = path.split('.').next().unwrap_or(path);
        self.visible.get(base) != Bound::No || self.provided.names.contains(base)
    }

    fn replace(&mut self, id: NodeId, path: &str, prefix: &str, to: &str) {
        if prefix == to {
            return;
        }
        let mut node = id;
        for _ in prefix.split('.').count()..path.split('.').count() {
            node = self.source().node(node).children.first().copied().unwrap_or(node);
        }
        self.replaced.push((self.source().node(node).range.clone(), to.to_owned()));
        let change = format!("{prefix} → {to}");
        if !self.adapted.changes.contains(&change) {
            self.adapted.changes.push(change);
        }
    }
}

/// The variable at the root of a path.
pub(super) fn base_node(tree: &Tree, id: NodeId) -> NodeId {
    let mut at = id;
    while let (Kind::Member, Some(child)) = (tree.node(at).kind, tree.node(at).children.first()) {
        at = *child;
    }
    at
}

/// Whether a function or class that moves binds the name itself, somewhere after it is read.
fn bound_later_in(tree: &Tree, statement: NodeId, id: NodeId) -> bool {
    let name = &tree.node(id).name;
    tree.ancestors(id)
        .take_while(|outer| *outer >= statement)
        .filter(|outer| tree.node(*outer).kind.is_scope())
        .any(|outer| tree.binds(outer, name))
}
