//! A statement rewritten for its place in the target: names, our API, and what it needs brought along. A name that
//! has no value there refuses the place.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::analysis::propagate::anchor::Point;
use crate::analysis::propagate::bring;
use crate::analysis::propagate::insert::{self, Edit, Unit};
use crate::analysis::propagate::scope::{Visible, owner};
use crate::analysis::propagate::unit::Whole;
use crate::analysis::propagate::{Provided, Session};
use crate::analysis::treediff::{Access, Kind, NodeId};

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
    /// What moved.
    pub(super) whole: Option<Whole>,
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
    /// Where in the target something that it needs would come, after the place.
    pub(super) later: Option<usize>,
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
    /// All statements that move, this one among them.
    pub(super) parts: Vec<NodeId>,
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
                    if let Some(index) = unbound.later.and_then(|offset| self.index_after(&point, offset)) {
                        point.index = index;
                        point.score -= 0.2;
                        "after what it needs can be computed".clone_into(&mut point.reason);
                        continue;
                    }
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
            parts: whole.parts.clone(),
        };
        work.is_allowed()?;
        work.names(whole)?;
        if !is_definition {
            work.check_repetition();
        }
        work.say_group(whole);
        if !is_definition && depth == 0 && !whole.further {
            work.check_context();
            work.check_order();
            work.check_modes();
            work.check_effects(whole)?;
            work.check_contexts();
            work.check_modes_of_values();
            let call = self.costly_beside(whole);
            work.adapted.doubts.extend(call.map(|name| bring::called_once_more(&name)));
        }
        let guards = if whole.is_bare { Vec::new() } else { whole.guards.clone() };
        let mut unit = Unit { keyword: whole.keyword, ..Unit::of(guards, whole.statement, &work.replaced) };
        unit.parts.clone_from(&whole.parts);
        let index = point.index + usize::from(whole.further);
        let unfit = |reason| Unbound { name: String::new(), reason, later: None };
        let mut edit = insert::edit(self.source, self.target, &unit, point.block, index).map_err(unfit)?;
        let mut adapted = work.adapted;
        // Of blank lines each keeps as many before it as the source has: what comes first may have more.
        let passed = adapted.edits.iter().filter(|other| self.is_out_of_order(other, &edit) && !edit.inline);
        let passed = passed.map(|other| other.offset).max();
        let is_blank = |to: &usize| self.target.text.get(edit.offset..*to).is_some_and(|text| text.trim().is_empty());
        edit.offset = passed.filter(is_blank).unwrap_or(edit.offset);
        let after = adapted.edits.iter().filter(|other| self.is_out_of_order(other, &edit));
        if let Some(later) = after.map(|other| other.offset).max() {
            let reason = "what it needs would come after it".to_owned();
            return Err(Unbound { name: String::new(), reason, later: Some(later) });
        }
        adapted.edits.insert(0, edit);
        adapted.whole = Some(whole.clone());
        adapted.changes.dedup();
        adapted.others.dedup();
        let mut told = BTreeSet::new();
        adapted.doubts.retain(|doubt| told.insert(doubt.clone()));
        Ok(adapted)
    }

    /// A statement that reads a variable stands after the counterpart of what gives it its value.
    fn move_past_definitions(&self, whole: &Whole, point: &mut Point) {
        let tree = &self.source.tree;
        let outermost = whole.outermost();
        let (scope, Some(place)) = (tree.scope(outermost), tree.place(outermost)) else { return };
        let moved = std::iter::once(outermost).chain(whole.parts.iter().copied()).flat_map(|id| tree.subtree(id));
        let reads = moved.filter(|id| tree.node(*id).access.reads() && tree.scope(*id) == scope);
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

    /// The index in the place's block from which on an offset lies before it.
    fn index_after(&self, point: &Point, offset: usize) -> Option<usize> {
        let tree = &self.target.tree;
        let children = &tree.node(point.block).children;
        let before = |id: &&NodeId| tree.node(**id).range.start < offset;
        let index = children.iter().take_while(before).count();
        (index > point.index).then_some(index)
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
    pub(super) fn definition(&self, read: NodeId) -> Option<NodeId> {
        let tree = &self.source.tree;
        let (name, scope) = (&tree.node(read).name, tree.scope(read));
        let assigns = |id: NodeId| tree.node(id).access == Access::Bind && tree.node(id).name == *name;
        let mut at = tree.statement_of(read)?;
        while at != scope {
            if let Some((block, index)) = tree.place(at) {
                let simple =
                    tree.node(block).children[..index].iter().rev().filter(|c| tree.node(**c).kind == Kind::Simple);
                if let Some(found) = simple
                    .copied()
                    .find(|c| tree.subtree(*c).any(|id| assigns(id) && !self.is_carried_alone(true, name, id)))
                {
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
