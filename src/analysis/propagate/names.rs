//! The names of what moves, rewritten as the target calls them. One that has no value at the place refuses it.

use crate::analysis::propagate::adapt::{Unbound, Work};
use crate::analysis::propagate::reach::reaching;
use crate::analysis::propagate::scope::Bound;
use crate::analysis::propagate::unit::Whole;
use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

impl Work<'_, '_> {
    pub(super) fn source(&self) -> &Tree {
        &self.session.source.tree
    }

    /// Whether a node of the source is part of what moves.
    pub(super) fn moves(&self, id: NodeId) -> bool {
        let tree = self.source();
        tree.contains(self.unit, id) || self.parts.iter().any(|part| tree.contains(*part, id))
    }

    /// All nodes of what moves.
    pub(super) fn moved(&self) -> impl Iterator<Item = NodeId> + '_ {
        let tree = self.source();
        let apart = self.parts.iter().copied().filter(|part| !tree.contains(self.unit, *part));
        std::iter::once(self.unit).chain(apart).flat_map(|id| tree.subtree(id))
    }

    /// Rewrites every variable that the unit reads.
    pub(super) fn names(&mut self, whole: &Whole) -> Result<(), Unbound> {
        let tree = &self.session.source.tree;
        let guards = whole.guards.iter().filter(|_| !whole.is_bare).flat_map(|guard| tree.header(*guard));
        let nodes: Vec<NodeId> = guards.chain(whole.parts.iter().flat_map(|part| tree.subtree(*part))).collect();
        self.provided.brought.extend(&whole.parts);
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
            } else if self.provided.fresh.contains_key(name) {
                continue;
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
        let several = whole.parts.len() > 1;
        let compound = tree.node(whole.statement).kind.is_compound() && !tree.node(whole.statement).kind.is_scope();
        if !(compound || several) || node.kind != Kind::Name || !node.access.binds() {
            return Ok(());
        }
        let outside = |id: &NodeId| !self.moves(*id);
        let theirs = |id: NodeId| tree.statement_of(id).and_then(|statement| self.session.counterpart(statement));
        if !self.binders(id, &node.name).into_iter().filter(outside).any(|id| theirs(id).is_some()) {
            return Ok(());
        }
        let reason = format!("it gives `{}` a value, with which the target would go on", node.name);
        Err(Unbound { name: String::new(), reason, later: None })
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
                && (self.all_unmatched(id, &node.name)
                    || (statement.kind.is_compound() || whole.parts.len() > 1) && self.is_temporary(id))
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
            let inside = self.moves(read);
            let reached = reaching(tree, name, place, &|_| false);
            tree.scope(read) == scope && reached.iter().all(|definition| self.moves(*definition) == inside)
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
        if let Some((prefix, to)) = self.without_wrapper(path, &base).filter(|(_, to)| self.is_visible(to)) {
            self.check_paths(&base, &to, id);
            self.check_value(&base, &to, id);
            self.replace(id, path, &prefix, &to);
            return Ok(());
        }
        let definition = self.session.definition(base_node(self.source(), id));
        self.is_computed_elsewhere(&base, definition, scope)?;
        let told = self.adapted.doubts.len();
        self.check_definition(id, &base, definition);
        let lacking = told..self.adapted.doubts.len();
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
                    if to == prefix && self.is_summed_anew(id, path, &base) {
                        self.adapted.doubts.drain(lacking);
                        return Ok(());
                    }
                    self.check_paths(&base, &to, id);
                    self.check_value(path, &format!("{to}{}", &path[prefix.len()..]), id);
                    self.is_captured(&base, &to)?;
                    let inner = self.is_wrapped_there(path, prefix, &to);
                    let to = if inner { format!("{to}.module") } else { to };
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
            if self.is_summed_anew(id, path, &base) {
                self.adapted.doubts.drain(lacking);
                return Ok(());
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
        let Err(missing) = self.tried(node, &base, &base) else { return Ok(()) };
        if let Some(to) = alike.or_else(|| self.by_its_words(&base)) {
            self.adapted.doubts.push(format!("`{base}` taken for `{to}`"));
            return self.take(id, path, &base, &to);
        }
        match wanted.filter(|wanted| *wanted != base) {
            Some(wanted) => self.bring(node, &base, &wanted),
            None => Err(missing),
        }
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
            later: None,
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

    /// Whether a sum that is another one in the target comes along under a new name; told where it cannot.
    fn is_summed_anew(&mut self, id: NodeId, path: &str, base: &str) -> bool {
        if path != base {
            return false;
        }
        let Some((was, is)) = self.another_sum(path, base, id) else { return false };
        let before = (self.provided.clone(), self.adapted.changes.len());
        self.provide_afresh(base);
        let fresh = self.provided.fresh[base].clone();
        let node = base_node(self.source(), id);
        if self.is_brought(node, base, &fresh) {
            self.replaced.push((self.source().node(node).range.clone(), fresh));
            return true;
        }
        *self.provided = before.0;
        self.adapted.changes.truncate(before.1);
        let reason = format!("line {is} adds something else to `{base}` than line {was} of the source");
        self.adapted.others.push(reason);
        false
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
