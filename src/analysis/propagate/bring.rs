//! What a statement needs and the target lacks: imports, definitions, constants, values computed only for it.

use std::collections::BTreeSet;

use crate::analysis::propagate::adapt::{Adapted, Refusal, Unbound, Work};
use crate::analysis::propagate::anchor::Point;
use crate::analysis::propagate::checks::adds;
use crate::analysis::propagate::compose::sort_key;
use crate::analysis::propagate::fresh::{Owner, changed_in_place};
use crate::analysis::propagate::group::is_for_a_while;
use crate::analysis::propagate::insert::{self, Edit, Unit};
use crate::analysis::propagate::made::is_begun;
use crate::analysis::propagate::own::is_meter;
use crate::analysis::propagate::reach::carrier;
use crate::analysis::propagate::scope::owner;
use crate::analysis::propagate::unit::{Whole, feeds, has_no_effect, is_pure, only_logged, wholes};
use crate::analysis::propagate::unsure::elsewhere;
use crate::analysis::propagate::{Provided, Session};
use crate::analysis::treediff::{Kind, NodeId};

/// How deep what is brought may need more to be brought.
const MAX_DEPTH: usize = 6;
/// Methods that write a message and leave what they are called on as it is.
const MESSAGES: &[&str] = &["debug", "info", "warning", "warn", "error", "exception", "critical"];

impl Work<'_, '_> {
    /// Brings what gives `name` its value in the source.
    pub(super) fn bring(&mut self, at: NodeId, name: &str, theirs: &str) -> Result<(), Unbound> {
        let line = self.session.target_line(self.point);
        let (target, place) = (self.session.target, (self.point.block, self.point.index));
        let missing = || {
            let rest = elsewhere(target, theirs, place);
            let reason = format!("`{theirs}` is not defined before line {line}{rest}");
            Unbound { name: theirs.to_owned(), reason, later: None }
        };
        if self.depth >= MAX_DEPTH || self.visible.owns(theirs) {
            return Err(missing());
        }
        let tree = &self.session.source.tree;
        let scope = owner(tree, tree.scope(at), name);
        let binders = self.binders(at, name);
        let Some(first) = binders.first().copied() else { return Err(missing()) };
        self.check_meaning(theirs);
        self.provided.names.insert(name.to_owned());
        let is_fresh = self.provided.fresh.get(name).is_some_and(|fresh| fresh == theirs);
        let of_read = if is_fresh { self.defining(at, name) } else { None };
        let binders = of_read.unwrap_or(binders);
        let mut statements: Vec<NodeId> = binders.iter().filter_map(|id| tree.statement_of(*id)).collect();
        if let Some(import) = statements.iter().copied().find(|s| tree.node(*s).kind == Kind::Import) {
            let alias = binders.iter().copied().find(|id| tree.contains(import, *id)).unwrap_or(first);
            return self.bring_import(import, alias);
        }
        statements.extend(self.changed_by(scope, name, &statements));
        statements.sort_unstable();
        for statement in &mut statements {
            *statement = self.lifted(*statement, at);
        }
        statements.dedup();
        let brought = &self.provided.brought;
        // Of a guard nothing but its header comes along.
        let stays =
            |id: NodeId| tree.contains(self.unit, id) && id < self.statement && !tree.contains(id, self.statement);
        if statements.iter().any(|id| stays(*id)) {
            return Err(missing());
        }
        statements.retain(|statement| !self.moves(*statement) && !brought.contains(statement));
        for statement in statements {
            // What only begins a sum begins another one, too.
            let begins = is_fresh && is_begun(tree, statement);
            if self.session.counterpart(statement).is_some() && !begins || statement == scope {
                return Err(missing());
            }
            let definition = matches!(tree.node(statement).kind, Kind::Function | Kind::Class);
            let gone = || begins || tree.subtree(statement).all(|id| self.session.counterpart(id).is_none());
            let simple =
                matches!(tree.node(statement).kind, Kind::Simple | Kind::Loop | Kind::With | Kind::Branch) && gone();
            let changed = changed_in_place(self.session, statement);
            let harmless = changed.entries != Owner::Run
                && (is_pure(self.session, statement)
                    || is_meter(self.session, statement)
                    || (has_no_effect(self.session, statement) && only_logged(self.session, statement, 4)));
            let appends = simple
                && binders.iter().all(|id| !tree.contains(statement, *id))
                && feeds(self.session, statement, &[name]);
            if !(definition || simple && harmless || appends) {
                return Err(missing());
            }
            if let Some(line) = self.lives_elsewhere(statement, name).filter(|_| !definition) {
                let reason =
                    format!("`{name}` of the source is what line {line} makes of it, which does not come along");
                return Err(Unbound { name: String::new(), reason, later: None });
            }
            let taken = self.session.goes_over(statement).filter(|_| !definition);
            self.adapted.doubts.extend(
                taken.map(|name| format!("it goes over `{name}` once more, which may take what the run goes on with")),
            );
            let call = self.session.costly_call(statement).filter(|_| !definition);
            self.adapted.doubts.extend(call.map(|name| called_once_more(&name)));
            if !definition && (changed.entries != Owner::New || changed.sums != Owner::New) {
                let words = self.session.source.text.get(tree.node(statement).range.clone()).unwrap_or_default();
                let first = words.lines().next().unwrap_or_default().trim_end_matches(':');
                self.adapted.doubts.push(format!("`{first}` may change in place what the run goes on with"));
            }
            self.bring_statement(statement, at, &missing)?;
        }
        if self.in_order() { Ok(()) } else { Err(missing()) }
    }

    /// The nodes that give a variable the value which a node reads, and the values from which that is summed up.
    fn defining(&self, at: NodeId, name: &str) -> Option<Vec<NodeId>> {
        let tree = &self.session.source.tree;
        let place = |id: NodeId| tree.statement_of(id).and_then(|statement| tree.place(statement));
        let (mut found, mut open) = (BTreeSet::new(), vec![place(at)?]);
        while let Some(place) = open.pop() {
            for id in
                self.session.definitions_at(name, place).into_iter().filter(|id| found.insert(*id)).collect::<Vec<_>>()
            {
                open.extend(adds(tree, id).and_then(|_| tree.place(carrier(tree, id))));
            }
        }
        Some(found.into_iter().collect())
    }

    /// Notes that a helper would read another variable than the code that calls it, which has a local one of that name.
    fn check_meaning(&mut self, name: &str) {
        let tree = &self.session.target.tree;
        let local = |id: &NodeId| {
            let import = tree.statement_of(*id).is_some_and(|statement| tree.node(statement).kind == Kind::Import);
            tree.node(*id).access.binds() && tree.scope(*id) != 0 && !import
        };
        let found = tree.uses(name).iter().copied().find(local);
        if let Some(id) =
            found.filter(|_| self.depth > 0 && self.session.source.tree.node(self.statement).kind.is_scope())
        {
            let line = self.session.target.lines.line(tree.node(id).range.start);
            self.adapted.doubts.push(format!("what is added reads a `{name}` that is not the one of line {line}"));
        }
    }

    /// Whether what gives `name` its value can come along.
    pub(super) fn is_brought(&mut self, at: NodeId, name: &str, theirs: &str) -> bool {
        self.tried(at, name, theirs).is_ok()
    }

    /// As [`Work::bring`]; nothing of it stays where it fails.
    pub(super) fn tried(&mut self, at: NodeId, name: &str, theirs: &str) -> Result<(), Unbound> {
        let (provided, adapted) = (self.provided.clone(), self.adapted.clone());
        let brought = self.bring(at, name, theirs);
        if brought.is_err() {
            *self.provided = provided;
            self.adapted = adapted;
        }
        brought
    }

    /// Imports a module of a package of which the target imports something else: `import a.b` for `a.b.c`.
    pub(super) fn bring_submodule(&mut self, at: NodeId, path: &str) -> Result<(), Unbound> {
        let (ours, theirs) = (self.source(), &self.session.target.tree);
        let within = |path: &str, module: &str| {
            path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
        };
        // `os` brings its `path` along.
        let needed = |id: &NodeId| {
            let module = &ours.node(*id).text;
            module.contains('.') && module != "os.path" && within(path, module)
        };
        let name = path.split('.').next().unwrap_or(path);
        let Some(alias) = self.binders(at, name).into_iter().find(needed) else { return Ok(()) };
        let Some(import) = ours.statement_of(alias).filter(|id| ours.node(*id).kind == Kind::Import) else {
            return Ok(());
        };
        let module = ours.node(alias).text.clone();
        let loads = |id: NodeId| match theirs.node(id).kind {
            Kind::Import => {
                let from = &theirs.node(id).text;
                let dot = if from.is_empty() { "" } else { "." };
                let names = || theirs.node(id).children.iter().map(|alias| &theirs.node(*alias).text);
                within(from, &module) || names().any(|name| within(&format!("{from}{dot}{name}"), &module))
            }
            Kind::Member => theirs.path(id).is_some_and(|path| path == module),
            _ => false,
        };
        if (0..theirs.nodes.len()).any(loads) { Ok(()) } else { self.bring_import(import, alias) }
    }

    /// Whether what is brought stands in the source's order: a sum that is set to zero after it was added to is wrong.
    fn in_order(&self) -> bool {
        let tree = &self.session.source.tree;
        let runs =
            |edit: &&insert::Edit| !matches!(tree.node(edit.order).kind, Kind::Function | Kind::Class | Kind::Import);
        let mut places: Vec<(NodeId, usize)> =
            self.adapted.edits.iter().filter(runs).map(|edit| (edit.order, edit.offset)).collect();
        places.sort_unstable();
        places.is_sorted_by_key(|(_, offset)| *offset)
    }

    /// Statements that change what a variable holds without binding it: `losses.append(…)`, `table[i] = …`.
    fn changed_by(&self, scope: NodeId, name: &str, binders: &[NodeId]) -> Vec<NodeId> {
        let tree = &self.session.source.tree;
        let starts = |id: NodeId| {
            let mut at = tree.node(id).children.first().copied();
            while let Some(child) = at.filter(|child| tree.node(*child).kind != Kind::Name) {
                at = tree.node(child).children.first().copied();
            }
            at.is_some_and(|at| tree.node(at).name == name && !tree.node(at).access.binds())
        };
        let simple =
            |id: &NodeId| tree.node(*id).kind == Kind::Simple && tree.scope(*id) == scope && !self.only_says(*id);
        let own = |id: &NodeId| binders.contains(id) || self.moves(*id);
        let changes = |id: &NodeId| starts(*id) && !is_for_a_while(self.session, *id);
        tree.subtree(scope).filter(simple).filter(|id| !own(id) && changes(id)).collect()
    }

    /// Whether a statement does nothing but write a message: `logger.info("…")`.
    fn only_says(&self, statement: NodeId) -> bool {
        let tree = &self.session.source.tree;
        let [call] = tree.node(statement).children.as_slice() else { return false };
        let callee = tree.node(*call).children.first().filter(|_| tree.node(*call).kind == Kind::Call);
        callee.is_some_and(|callee| {
            tree.node(*callee).kind == Kind::Member && MESSAGES.contains(&tree.node(*callee).text.as_str())
        })
    }

    /// The outermost statement around a binding that does not hold the reader and has no counterpart: a loop that
    /// sums moves as a whole.
    fn lifted(&self, statement: NodeId, reader: NodeId) -> NodeId {
        let tree = &self.session.source.tree;
        let free = |id: &NodeId| {
            let kind = tree.node(*id).kind;
            !tree.contains(*id, reader) && !kind.is_scope() && self.session.counterpart(*id).is_none()
        };
        let outer = tree.ancestors(statement).take_while(free).filter(|id| tree.node(*id).kind.is_compound());
        outer.last().unwrap_or(statement)
    }

    fn bring_statement(&mut self, statement: NodeId, at: NodeId, missing: &dyn Fn() -> Unbound) -> Result<(), Unbound> {
        let tree = &self.session.source.tree;
        let reader = tree.statement_of(at).unwrap_or(at);
        let together = tree.place(statement).map(|(block, _)| block);
        // The reader, or what holds it, in the statement's own block.
        let beside = std::iter::once(reader)
            .chain(tree.ancestors(reader))
            .find(|id| tree.node(*id).parent == together && together.is_some());
        let anchored = self.session.matching.target(together.unwrap_or(0)).is_some();
        let stays =
            beside.is_some_and(|beside| (beside == reader || !anchored) && !self.anchor_between(statement, beside));
        let scope = self.session.target.tree.scope(self.point.block);
        let mut points = if stays { Vec::new() } else { self.places_for(statement) };
        if points.is_empty() {
            points = vec![self.point.clone()];
        }
        // What is brought does not bring the statements that it is brought for.
        let wanted =
            |part: &NodeId| *part != statement && self.session.wanted.iter().any(|id| tree.contains(*part, *id));
        let all = wholes(self.session, statement).into_iter();
        for whole in all.filter(|whole| !whole.parts.iter().any(wanted)).take(1) {
            for point in points.iter().filter(|p| [0, scope].contains(&self.session.target.tree.scope(p.block))) {
                self.provided.brought.insert(statement);
                if let Ok((_, brought)) = self.session.adapt_at(&whole, point.clone(), self.depth + 1, self.provided) {
                    let words = self.session.source.text.get(tree.node(statement).range.clone()).unwrap_or_default();
                    self.adapted.changes.extend(brought.changes);
                    self.adapted
                        .changes
                        .push(format!("`{}` added", words.lines().next().unwrap_or_default().trim_end_matches(':')));
                    self.adapted.doubts.extend(brought.doubts);
                    self.adapted.others.extend(brought.others);
                    self.adapted.edits.extend(brought.edits);
                    return Ok(());
                }
            }
        }
        Err(missing())
    }

    /// Whether a statement between two of one block has a counterpart that tells their places apart.
    fn anchor_between(&self, first: NodeId, last: NodeId) -> bool {
        let tree = &self.session.source.tree;
        let siblings = tree.node(first).parent.map(|block| tree.node(block).children.as_slice()).unwrap_or_default();
        siblings.iter().any(|id| (first + 1..last).contains(id) && self.session.counterpart(*id).is_some())
    }

    /// Places for a statement that is brought: a definition stands before the code that runs it.
    fn places_for(&self, statement: NodeId) -> Vec<Point> {
        let mut points = self.session.points(statement);
        let tree = &self.session.target.tree;
        let top = tree.nodes.first().and_then(|_| tree.blocks(0).next());
        if let Some(top) = top.filter(|_| self.session.source.tree.scope(statement) == 0) {
            let index = self.import_index(top);
            points.push(Point { block: top, index, score: 0.0, reason: "after the imports".to_owned(), anchor: 0 });
        }
        points.retain(|point| self.session.comes_before(point, self.point));
        points
    }

    /// The index after the imports that head the module, at most the place's own.
    fn import_index(&self, top: NodeId) -> usize {
        let tree = &self.session.target.tree;
        let children = &tree.node(top).children;
        let kind = |id: &NodeId| tree.node(*id).kind;
        let head = children.iter().position(|c| kind(c).is_compound() && !matches!(kind(c), Kind::Try | Kind::Branch));
        let head = head.unwrap_or(children.len());
        let after = children[..head].iter().rposition(|c| kind(c) == Kind::Import).map_or(0, |at| at + 1);
        let own = tree.child_towards(top, self.point.block).and_then(|child| tree.place(child)).map(|(_, index)| index);
        let own = if self.point.block == top { Some(self.point.index) } else { own };
        after.min(own.unwrap_or(after)).max(insert::first_index(self.session.target, top))
    }

    pub(super) fn bring_import(&mut self, import: NodeId, alias: NodeId) -> Result<(), Unbound> {
        let (tree, module) = (&self.session.source.tree, self.session.source.tree.node(import));
        let from = self.session.source.text.get(module.range.clone()).is_some_and(|text| text.starts_with("from"));
        let alias = &tree.node(alias).text;
        let relative = |id: NodeId| {
            let node = self.session.target.tree.node(id);
            node.kind == Kind::Import && node.text.starts_with('.')
        };
        if module.text.starts_with('.') && !self.session.target.tree.statements().any(relative) {
            let doubt = format!("`{}` is imported, and the target may not be part of a package", module.text);
            self.adapted.doubts.push(doubt);
        }
        let text = if from { format!("from {} import {alias}", module.text) } else { format!("import {alias}") };
        self.import_text(import, text)
    }

    /// Writes an import beside the counterparts of an import's neighbours, or after the imports.
    pub(super) fn import_text(&mut self, import: NodeId, text: String) -> Result<(), Unbound> {
        let top = self.session.target.tree.blocks(0).next().unwrap_or(self.point.block);
        let last = self.import_index(top);
        let beside = self.session.points(import).into_iter().find(|point| point.block == top && point.index <= last);
        let index = beside.map_or(last, |point| point.index);
        let unit = Unit::text(import, text.clone());
        let edit = insert::edit(self.session.source, self.session.target, &unit, top, index)
            .map_err(|reason| Unbound { name: String::new(), reason, later: None })?;
        self.adapted.edits.push(edit);
        self.adapted.changes.push(format!("`{text}` added"));
        Ok(())
    }
}

impl Session<'_> {
    /// As [`Session::adapt`], exactly at the place and with what is brought already.
    pub(super) fn adapt_at(
        &self,
        whole: &Whole,
        point: Point,
        depth: usize,
        provided: &mut Provided,
    ) -> Result<(Point, Adapted), Refusal> {
        let before = provided.clone();
        match self.adapt_here(whole, &point, depth, provided) {
            Ok(adapted) => Ok((point, adapted)),
            Err(unbound) => {
                *provided = before;
                Err(Refusal(unbound.reason))
            }
        }
    }

    /// Whether a place is reached before another one of the same function, in one pass.
    fn comes_before(&self, first: &Point, then: &Point) -> bool {
        let tree = &self.target.tree;
        if tree.scope(first.block) != tree.scope(then.block) || first.block == then.block {
            return first.block != then.block || first.index <= then.index;
        }
        if let Some((_, index)) = tree.child_towards(first.block, then.block).and_then(|child| tree.place(child)) {
            return first.index <= index;
        }
        match tree.child_towards(then.block, first.block).and_then(|child| tree.place(child)) {
            Some((_, index)) => index < then.index,
            None => self.start_of(first) <= self.start_of(then),
        }
    }

    /// Whether a statement that is brought for another one would be written after it.
    pub(super) fn is_out_of_order(&self, brought: &Edit, edit: &Edit) -> bool {
        let kind = self.source.tree.node(brought.order).kind;
        let runs = !matches!(kind, Kind::Function | Kind::Class | Kind::Import);
        runs && brought.order < edit.order && sort_key(brought) > sort_key(edit)
    }
}

/// What is told of a call that comes along.
pub(super) fn called_once_more(name: &str) -> String {
    format!("it brings a call of `{name}` along, which may change something or take long")
}
