//! Whether a statement would run at a place as often as in the source: under the same conditions, in the same loops,
//! for the same caller.

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::anchor::{Point, kind_word};
use crate::analysis::propagate::callers::calls_of;
use crate::analysis::propagate::live::never_runs;
use crate::analysis::propagate::reach::defined_by;
use crate::analysis::propagate::unit::{has_no_effect, is_pure};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree, without_self};

impl Work<'_, '_> {
    /// Notes conditions, loops and callers at the place that the statement has not in the source.
    pub(super) fn check_context(&mut self) {
        let (ours, theirs) = (&self.session.source.tree, &self.session.target.tree);
        let Some((home, _)) = ours.place(self.unit) else { return };
        let matching = &self.session.matching;
        if let Some(crossed) = self.session.crossed(self.unit, self.point) {
            let line = self.session.source.lines.line(ours.node(crossed).range.start);
            let (was, is) = if crossed < self.unit { ("before", "after") } else { ("after", "before") };
            let reason = format!("the loop at line {line} of the source runs {was} the statement, here {is} it");
            self.adapted.context.push(reason);
        }
        self.check_support(home);
        self.check_trains(home);
        self.check_recomputed();
        self.check_live(home);
        self.check_guards();
        self.check_gradients();
        self.adapted.context.extend(self.session.loops_apart(self.unit, self.point));
        let (way, way_there) = (way(ours, home), way(theirs, self.point.block));
        self.check_conditions(&way, &way_there);
        let added: Vec<NodeId> = (way_there.iter())
            .take_while(|b| matching.source(**b).is_none_or(|a| !way.contains(&a)))
            .filter_map(|b| controlling(theirs, *b))
            .collect();
        let gone: Vec<NodeId> = (way.iter())
            .take_while(|a| matching.target(**a).is_none_or(|b| !way_there.contains(&b)))
            .filter_map(|a| controlling(ours, *a))
            .collect();
        for is_loop in [false, true] {
            let of_kind = |tree: &Tree, list: &[NodeId]| -> Vec<NodeId> {
                list.iter().copied().filter(|id| (tree.node(*id).kind == Kind::Loop) == is_loop).collect()
            };
            let (new, old) = (of_kind(theirs, &added), of_kind(ours, &gone));
            // Where the code on either side has gone into a branch, the statement has, too.
            let went = match is_loop {
                false => self.session.enclosing(self.unit) == Some(self.point.block),
                true => self.is_called_elsewhere(home),
            };
            if let Some(innermost) = new.first().filter(|_| new.len() > old.len() && !went) {
                let line = self.session.target.lines.line(theirs.node(*innermost).range.start);
                let word = kind_word(theirs, *innermost);
                self.adapted.context.push(format!("the {word} at line {line} is not around it in the source"));
            }
            if is_loop {
                continue;
            }
            let line = |id: NodeId| self.session.source.lines.line(ours.node(id).range.start);
            let decides = |id: &&NodeId| asks_when(ours, **id) || is_alternative(ours, **id);
            if let Some(lost) = old.iter().find(decides).filter(|_| new.is_empty() && !went) {
                let line = line(*lost);
                self.adapted.context.push(format!("the condition at line {line} of the source is not around it here"));
            } else if let Some(lost) = old.first().filter(|_| new.is_empty()) {
                let line = line(*lost);
                self.adapted.changes.push(format!("without the condition at line {line} of the source"));
            } else if let (Some(was), Some(is)) = (old.first(), new.first()) {
                self.check_other_condition(*was, *is);
            } else if let Some(innermost) = new.first().filter(|_| went && new.len() > old.len()) {
                let line = self.session.target.lines.line(theirs.node(*innermost).range.start);
                self.adapted.changes.push(format!("under the condition at line {line}, as what stands beside it"));
            }
        }
        let function = theirs.scope(self.point.block);
        let within = theirs.node(function).kind == Kind::Function;
        let plain = within && theirs.scope(function) == 0;
        if within && matching.source(function).is_none() {
            self.adapted.context.extend(unknown_calls(self.session.target, function));
        }
        if plain && matching.source(function) != Some(ours.scope(home)) {
            let was = ours.scope(home);
            let before = if ours.node(was).kind == Kind::Function { calls_of(ours, was).count() } else { 1 };
            let lines = |id: NodeId| self.session.target.lines.line(theirs.node(id).range.start).to_string();
            let calls: Vec<String> = calls_of(theirs, function).map(lines).collect();
            if calls.len() > before.max(1) {
                let name = &theirs.node(function).text;
                let places = calls.join(", ");
                self.adapted.context.push(format!("`{name}` is called at lines {places}: it would log in each call"));
            }
        }
    }
}

impl Work<'_, '_> {
    /// Notes a function that has no counterpart, of which hardly anything is where the statement would go.
    fn check_support(&mut self, home: NodeId) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        let (was, is) = (ours.scope(home), theirs.scope(self.point.block));
        if ours.node(was).kind != Kind::Function || session.matching.target(was) == Some(is) {
            return;
        }
        let simple = |id: &NodeId| ours.node(*id).kind.is_statement() && !ours.node(*id).kind.is_compound();
        let own: Vec<NodeId> = ours.subtree(was).filter(simple).filter(|id| !session.is_moving(*id)).collect();
        let known = own.iter().filter(|id| session.counterpart(**id).is_some_and(|at| theirs.scope(at) == is));
        let alike = |a: NodeId, b: NodeId| without_self(ours, a) == without_self(theirs, b);
        let equal = |id: NodeId| session.counterpart(id).is_some_and(|at| alike(id, at));
        // What stands beside it in a loop is enough.
        let beside = ours.node(home).children.iter().copied().filter(|id| !session.is_moving(*id));
        let beside: Vec<NodeId> =
            beside.filter(|_| ours.node(home).parent.is_some_and(|id| ours.node(id).kind == Kind::Loop)).collect();
        let here = beside
            .iter()
            .filter(|id| session.counterpart(**id).is_some_and(|at| theirs.node(at).parent == Some(self.point.block)));
        let in_loop = here.count() >= 2.max(beside.len().div_ceil(2));
        if 3 * known.count() < own.len() && !in_loop && !equal(self.point.anchor) {
            let line = session.source.lines.line(ours.node(was).range.start);
            let name = &ours.node(was).text;
            let reason = format!("little of function `{name}` at line {line} of the source is here");
            self.adapted.context.push(reason);
        }
    }

    /// Notes a place that trains where the source does not, or the other way round: the same lines compute a loss in training
    /// and in validation. Of a function of the same name that is not asked.
    fn check_trains(&mut self, home: NodeId) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        let is_function = |tree: &Tree, id: NodeId| tree.node(id).kind == Kind::Function;
        let loop_of =
            |tree: &Tree, block: NodeId| tree.node(block).parent.filter(|id| tree.node(*id).kind == Kind::Loop);
        let (was, is) = match (ours.scope(home), theirs.scope(self.point.block)) {
            (was, is) if is_function(ours, was) && is_function(theirs, is) => (was, is),
            (was, is) if is_function(ours, was) || is_function(theirs, is) => {
                let (Some(was), Some(is)) = (loop_of(ours, home), loop_of(theirs, self.point.block)) else { return };
                (was, is)
            }
            _ => return,
        };
        if is_function(ours, was) && ours.node(was).text == theirs.node(is).text {
            return;
        }
        let (before, now) = (trains(ours, was), trains(theirs, is));
        if before != now {
            let which = |it: bool| if it { "trains" } else { "does not train" };
            let (from, to) = (
                session.source.lines.line(ours.node(was).range.start),
                session.target.lines.line(theirs.node(is).range.start),
            );
            let (word, word_there) = (kind_word(ours, was), kind_word(theirs, is));
            let (was, is) = (which(before), which(now));
            self.adapted.context.push(format!(
                "the {word} at line {from} of the source {was}, the {word_there} at line {to} here {is}"
            ));
        }
    }

    /// Notes gradients that are reset before the place, and computed after that in the source.
    fn check_gradients(&mut self) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        let computes = |id: NodeId| ours.node(id).text == "backward";
        if !ours.subtree(self.unit).any(|id| ours.node(id).text.contains("grad")) || self.moved().any(computes) {
            return;
        }
        let was = last_of_gradients(ours, ours.scope(self.unit), self.unit);
        let is = last_of_gradients(theirs, theirs.scope(self.point.block), session.start_of(self.point));
        if let (Some((_, false)), Some((reset, true))) = (was, is) {
            let line = session.target.lines.line(theirs.node(reset).range.start);
            self.adapted.others.push(format!("the gradients that it reads are reset at line {line}"));
        }
    }

    /// Notes a branch that is written around the statement, though it is there for something that the target lacks.
    fn check_guards(&mut self) {
        let session = self.session;
        let tree = &session.source.tree;
        let around = tree.ancestors(self.statement).take_while(|id| *id >= self.unit);
        let branches: Vec<NodeId> = around.filter(|id| tree.node(*id).kind == Kind::Branch).collect();
        for branch in branches {
            let mut inside = tree.blocks(branch).flat_map(|block| tree.node(block).children.iter().copied());
            let leaves = |id: NodeId| matches!(tree.node(id).kind, Kind::Return | Kind::Raise | Kind::Break);
            let stays = |id: &NodeId| !session.is_moving(*id) && !self.provided.brought.contains(id) && !leaves(*id);
            if let Some(other) = inside.find(stays) {
                let line = |id: NodeId| session.source.lines.line(tree.node(id).range.start);
                let (at, other) = (line(branch), line(other));
                let reason = format!(
                    "the branch at line {at} of the source is there for line {other}, too, which the target lacks"
                );
                self.adapted.context.push(reason);
            }
        }
    }

    /// Whether nothing in the source says how often a statement runs, and what stands beside it is at the place.
    fn is_called_elsewhere(&self, home: NodeId) -> bool {
        let (ours, theirs) = (&self.session.source.tree, &self.session.target.tree);
        let function = ours.scope(home);
        let here = |id: &&NodeId| {
            let there = self.session.counterpart(**id);
            there.is_some_and(|at| theirs.node(at).parent == Some(self.point.block))
        };
        ours.node(function).kind == Kind::Function
            && ours.node(home).parent == Some(function)
            && calls_of(ours, function).next().is_none()
            && ours.node(home).children.iter().filter(here).count() >= 2
    }

    /// Notes a place that is never executed.
    fn check_live(&mut self, home: NodeId) {
        let (ours, theirs) = (&self.session.source.tree, &self.session.target.tree);
        let index = ours.place(self.unit).map_or(0, |(_, index)| index);
        let dead = never_runs(theirs, self.point.block, self.point.index);
        if let Some(dead) = dead.filter(|_| never_runs(ours, home, index).is_none()) {
            let line = self.session.target.lines.line(theirs.node(dead).range.start);
            self.adapted.others.push(format!("because of line {line} of the target it is never executed"));
        }
    }

    /// Notes a value that the target computes otherwise, and once more before what follows in the source: either may be
    /// the one that the statement reads.
    fn check_recomputed(&mut self) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        let Some((block, index)) = ours.place(self.unit) else { return };
        let siblings = &ours.node(block).children;
        let there = |id: NodeId| {
            let place = session.counterpart(id).and_then(|at| theirs.place(at))?;
            (place.0 == self.point.block).then_some(place.1)
        };
        let Some(next) = siblings[index + 1..].iter().find_map(|id| there(*id)) else { return };
        let children = &theirs.node(self.point.block).children;
        for path in session.paths_read(self.unit) {
            let defines = |id: &NodeId| defined_by(ours, *id, &path).is_some();
            let Some(from) = siblings[..index].iter().rev().copied().find(defines) else { continue };
            let Some(to) = there(from).map(|at| children[at]) else { continue };
            let bound: Vec<&str> = theirs
                .header(to)
                .into_iter()
                .filter(|id| theirs.node(*id).access.binds())
                .map(|id| theirs.node(id).name.as_str())
                .collect();
            let binds = |id: &&NodeId| {
                theirs
                    .subtree(**id)
                    .any(|n| theirs.node(n).access.binds() && bound.contains(&theirs.node(n).name.as_str()))
            };
            let gap = children.get(self.point.index..next).unwrap_or_default();
            if let Some(again) = gap.iter().find(binds).filter(|_| theirs.node(to).hash != ours.node(from).hash) {
                let line = session.target.lines.line(theirs.node(*again).range.start);
                let name = path.split('.').next().unwrap_or(&path);
                self.adapted.doubts.push(format!("`{name}` may be the value that line {line} computes after it"));
            }
        }
    }

    /// Notes a statement with an effect that runs before in the source and after in the target, or the other way round.
    /// In a loop the end is before the beginning.
    pub(super) fn check_order(&mut self) {
        let session = self.session;
        let (ours, theirs) = (&session.source.tree, &session.target.tree);
        let Some((home, index)) = ours.place(self.unit) else { return };
        let there = self.point.block;
        if session.matching.target(home) != Some(there) {
            return;
        }
        // What says nothing of gradients and calls nothing unknown does not see them change.
        let blind =
            !ours.subtree(self.unit).any(|id| ours.node(id).text.contains("grad")) && is_pure(session, self.unit);
        let in_loop = ours.node(home).parent.is_some_and(|owner| ours.node(owner).kind == Kind::Loop);
        let pairs: Vec<(usize, usize)> = (ours.node(home).children.iter().enumerate())
            .filter(|(_, id)| !(has_no_effect(session, **id) || blind && only_gradients(ours, **id)))
            .filter_map(|(at, id)| {
                let (block, other) = theirs.place(session.counterpart(*id)?)?;
                (block == there).then_some((at, other))
            })
            .collect();
        let last = |before: &dyn Fn(&(usize, usize)) -> bool, key: &dyn Fn(&(usize, usize)) -> usize| {
            let nearest = pairs.iter().copied().filter(|pair| before(pair)).max_by_key(|pair| key(pair));
            nearest.or_else(|| pairs.iter().copied().filter(|_| in_loop).max_by_key(|pair| key(pair)))
        };
        let (ours_last, theirs_last) =
            (last(&|pair| pair.0 < index, &|pair| pair.0), last(&|pair| pair.1 < self.point.index, &|pair| pair.1));
        if ours_last != theirs_last {
            let Some((at, _)) = ours_last.or(theirs_last) else { return };
            let line = session.source.lines.line(ours.node(ours.node(home).children[at]).range.start);
            self.adapted
                .doubts
                .push(format!("what line {line} of the source does is done at another time in the target"));
        }
    }
}

/// That nothing in the file says how often a function runs: it is never called, or a closure that is only handed on.
fn unknown_calls(source: &Source<'_>, function: NodeId) -> Option<String> {
    let (tree, node) = (&source.tree, source.tree.node(function));
    let method = tree.node(tree.scope(function)).kind == Kind::Class;
    let decorated = source.text.get(node.range.clone()).is_some_and(|text| text.starts_with('@'));
    if method || decorated || calls_of(tree, function).next().is_some() {
        return None;
    }
    let around = |id: NodeId| matches!(tree.node(id).kind, Kind::Function | Kind::Loop);
    let closure = tree.ancestors(function).any(around);
    let used = (0..tree.nodes.len()).any(|id| id != function && tree.node(id).text == node.text);
    match used {
        false => Some(format!("nothing in the target calls `{}`", node.text)),
        true => closure.then(|| format!("the target hands `{}` on: it may run several times", node.text)),
    }
}

impl Session<'_> {
    /// A loop between a statement and its nearest neighbours that the target has not, where the target has another one
    /// on the other side of a place: they may be the same.
    pub(super) fn loops_apart(&self, node: NodeId, point: &Point) -> Option<String> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let (block, index) = ours.place(node)?;
        let there = point.block;
        let (before, after) = ours.node(block).children.split_at(index);
        let known = |id: &NodeId| self.counterpart(*id).is_some_and(|at| theirs.node(at).parent == Some(there));
        let from = before.iter().rposition(known).map_or(0, |at| at + 1);
        let to = after[1..].iter().position(known).map_or(after.len(), |at| at + 1);
        let at = |id: Option<&NodeId>| id.and_then(|id| theirs.place(self.counterpart(*id)?)).map(|(_, at)| at);
        let others = &theirs.node(there).children;
        let first = at(before[..from].last()).map_or(0, |at| at + 1).min(point.index);
        let last = at(after.get(to)).unwrap_or(others.len()).max(point.index);
        let loops = |tree: &Tree, list: &[NodeId], free: &dyn Fn(NodeId) -> bool| {
            let mut all = list.iter().flat_map(|id| tree.subtree(*id));
            all.find(|id| tree.node(*id).kind == Kind::Loop && free(*id))
        };
        let gone = |id: NodeId| self.counterpart(id).is_none() && !self.is_moving(id);
        let new = |id: NodeId| self.matching.source(id).is_none();
        let sides = [
            (&before[from..], &others[point.index..last], "before", "after"),
            (&after[1..to], &others[first..point.index], "after", "before"),
        ];
        sides.into_iter().find_map(|(lacking, added, was, is)| {
            let (lacking, added) = (loops(ours, lacking, &gone)?, loops(theirs, added, &new)?);
            let line = self.source.lines.line(ours.node(lacking).range.start);
            let other = self.target.lines.line(theirs.node(added).range.start);
            Some(format!(
                "the loop at line {line} of the source runs {was} the statement, that at line {other} of the target {is} it: they may be the same"
            ))
        })
    }
}

/// The blocks around a statement in `block`, innermost first, on through the first call of each function.
fn way(tree: &Tree, block: NodeId) -> Vec<NodeId> {
    let (mut found, mut at) = (Vec::new(), Some(block));
    while let Some(block) = at.filter(|at| !found.contains(at)) {
        let inside = std::iter::once(block).chain(tree.ancestors(block));
        found.extend(
            inside.take_while(|id| !tree.node(*id).kind.is_scope()).filter(|id| tree.node(*id).kind == Kind::Block),
        );
        let function = tree.scope(block);
        let call = calls_of(tree, function).next().filter(|_| tree.node(function).kind == Kind::Function);
        at = call.and_then(|call| tree.statement_of(call)).and_then(|statement| tree.node(statement).parent);
    }
    found
}

/// The loop or branch that decides whether and how often a block runs.
fn controlling(tree: &Tree, block: NodeId) -> Option<NodeId> {
    let owner = tree.node(block).parent?;
    let is_main = || tree.header(owner).into_iter().any(|id| tree.node(id).name == "__name__");
    (matches!(tree.node(owner).kind, Kind::Loop | Kind::Branch | Kind::Arm) && !is_main()).then_some(owner)
}

/// Whether a function or loop computes gradients or takes a step, or a function that it calls, or what calls it.
fn trains(tree: &Tree, node: NodeId) -> bool {
    let callees = |node: NodeId| {
        let calls = tree.subtree(node).filter(|id| tree.node(*id).kind == Kind::Call);
        calls.filter_map(|call| tree.node(call).children.first()).map(|callee| tree.node(*callee).text.as_str())
    };
    let is_step = |name: &str| name.contains("backward") || name == "step" || name.ends_with("_step");
    let steps = |node: NodeId| callees(node).any(is_step);
    let own = |name: &str| -> Vec<NodeId> {
        tree.binders(name).iter().copied().filter(|id| tree.node(*id).kind == Kind::Function).collect()
    };
    let around =
        |call: NodeId| tree.ancestors(call).find(|id| matches!(tree.node(*id).kind, Kind::Loop | Kind::Function));
    steps(node)
        || callees(node).any(|name| own(name).into_iter().any(steps))
        || tree.node(node).kind == Kind::Function && calls_of(tree, node).filter_map(around).any(steps)
}

/// Whether a statement changes nothing but gradients.
fn only_gradients(tree: &Tree, statement: NodeId) -> bool {
    let mut calls = tree.subtree(statement).filter(|id| tree.node(*id).kind == Kind::Call);
    let callee = |call: NodeId| tree.node(call).children.first().map(|callee| tree.node(*callee).text.as_str());
    let node = tree.node(statement);
    node.kind == Kind::Simple
        && node.children.len() == 1
        && calls.all(|call| matches!(callee(call), Some("zero_grad" | "backward")))
}

/// The last call before a node of a scope that computes gradients or resets them, and whether it does the latter.
fn last_of_gradients(tree: &Tree, scope: NodeId, before: NodeId) -> Option<(NodeId, bool)> {
    tree.subtree(scope).take_while(|id| *id < before).filter(|id| tree.node(*id).kind == Kind::Call).fold(
        None,
        |last, call| match tree.node(call).children.first().map(|callee| tree.node(*callee).text.as_str()) {
            Some("zero_grad") => Some((call, true)),
            Some("backward" | "backwards" | "manual_backward") => Some((call, false)),
            _ => last,
        },
    )
}

/// Whether what a condition decides is one of several things: it has an `else`, or is one.
fn is_alternative(tree: &Tree, condition: NodeId) -> bool {
    let arm = |id: &NodeId| tree.node(*id).kind == Kind::Arm;
    arm(&condition) || tree.node(condition).children.iter().any(arm)
}

/// Whether a branch asks how far a loop around it is: every hundredth step, after the first epoch.
fn asks_when(tree: &Tree, branch: NodeId) -> bool {
    let counts = |id: NodeId| tree.node(id).kind == Kind::Other && tree.node(id).text == "%";
    let compares = |id: NodeId| {
        let operators = ["<", ">", "<=", ">=", "==", "!="];
        tree.node(id).kind == Kind::Other && tree.node(id).text.split(' ').any(|one| operators.contains(&one))
    };
    let advances = |id: NodeId| {
        let loops = || tree.ancestors(branch).filter(|outer| tree.node(*outer).kind == Kind::Loop);
        tree.node(id).access.reads()
            && tree.binders(&tree.node(id).name).iter().any(|binder| loops().any(|outer| tree.contains(outer, *binder)))
    };
    let test = tree.header(branch);
    let any = |holds: &dyn Fn(NodeId) -> bool| test.iter().any(|id| holds(*id));
    any(&counts) || any(&compares) && any(&advances)
}

/// A condition around a statement of the target that the source's statement does not stand under.
pub(super) fn further_condition(session: &Session<'_>, node: NodeId, there: NodeId) -> Option<NodeId> {
    let (ours, theirs) = (&session.source.tree, &session.target.tree);
    let conditions = |tree: &Tree, id: NodeId| -> Vec<NodeId> {
        let outer = tree.ancestors(id).take_while(|id| !tree.node(*id).kind.is_scope());
        outer.filter(|id| tree.node(*id).kind == Kind::Branch).collect()
    };
    let (was, is) = (conditions(ours, node), conditions(theirs, there));
    is.first().copied().filter(|innermost| {
        is.len() > was.len() && session.matching.source(*innermost).is_none_or(|other| !was.contains(&other))
    })
}
