//! Statements beside a log statement that are new with it and belong to it: `model.eval()` before what it computes and
//! `model.train()` after. They move together, in order, and only where together they undo all that each of them changes
//! of what the run goes on with. If not, the statement moves alone, and what stays out is told.

use std::collections::BTreeSet;

use crate::analysis::propagate::Session;
use crate::analysis::propagate::adapt::Work;
use crate::analysis::propagate::events::{End, Event, Events, GRADIENTS, SAYS, is_kept_up};
use crate::analysis::propagate::reach::with_members;
use crate::analysis::propagate::unit::{PURE, Whole};
use crate::analysis::treediff::{Access, Kind, NodeId, Tree};

/// How many new statements are looked at on either side.
const REACH: usize = 32;
/// How many statements further up are looked at for a mode.
const FAR: usize = 64;

/// A whole with what belongs to it, then without.
pub(super) fn together(session: &Session<'_>, mut whole: Whole) -> Vec<Whole> {
    let Some(beside) = Beside::of(session, whole.statement) else {
        whole.left_out = beyond(session, whole.statement);
        return vec![told_around(session, whole)];
    };
    let alone = told_around(session, Whole { left_out: beside.left_out(&whole.parts), ..whole.clone() });
    let Some((parts, doubts)) = beside.parts() else { return vec![alone] };
    vec![told_around(session, Whole { left_out: beside.left_out(&parts), parts, doubts, ..whole }), alone]
}

/// What belongs to a statement from outside of the guard that is written around it stays out.
fn told_around(session: &Session<'_>, mut whole: Whole) -> Whole {
    for guard in whole.guards.clone() {
        let outer = Beside::of(session, guard);
        let beside = outer.map(|beside| beside.left_out(&[guard]));
        whole.left_out.extend(beside.unwrap_or_else(|| beyond(session, guard)));
    }
    whole
}

/// Statements further up, in its block or in one around it, that put what a statement calls into another mode, where the
/// target does not: between them stands code that it has.
fn beyond(session: &Session<'_>, statement: NodeId) -> Vec<NodeId> {
    let tree = &session.source.tree;
    let (mut found, mut outer) = (beyond_in(session, statement, statement), statement);
    while let Some(holder) = around(tree, outer).filter(|id| !tree.node(*id).kind.is_scope()) {
        outer = holder;
        if session.counterpart(outer).is_some() {
            found.extend(beyond_in(session, statement, outer));
        }
    }
    found
}

/// The statement in one of whose blocks another stands.
fn around(tree: &Tree, statement: NodeId) -> Option<NodeId> {
    tree.ancestors(statement).find(|id| tree.node(*id).kind.is_statement())
}

/// As [`beyond`], of the block in which the statement or one around it stands.
fn beyond_in(session: &Session<'_>, statement: NodeId, outer: NodeId) -> Vec<NodeId> {
    let tree = &session.source.tree;
    let Some((block, index)) = tree.place(outer) else { return Vec::new() };
    let near = if outer == statement { window(session, statement) } else { Some(Vec::new()) };
    let Some(near) = near else { return Vec::new() };
    let siblings = &tree.node(block).children;
    let is_mode =
        |id: NodeId| tree.node(id).kind == Kind::Call && is_kept_up(&tree.node(tree.node(id).children[0]).text);
    let is_there = |id: NodeId| {
        let theirs = session.matching.target(block);
        session.counterpart(id).is_some_and(|at| theirs.is_none_or(|block| session.target.tree.contains(block, at)))
    };
    let far = siblings[index.saturating_sub(FAR)..index].iter().copied().filter(|id| !near.contains(id));
    let new: Vec<NodeId> = far.filter(|id| tree.subtree(*id).any(is_mode) && !is_there(*id)).collect();
    let Some(first) = new.first() else { return Vec::new() };
    // What is done on the way to it may set the mode, too.
    let (mut before, mut after, mut inner) = (Vec::new(), Vec::new(), statement);
    loop {
        let Some((block, index)) = tree.place(inner) else { return Vec::new() };
        let (first, rest) = tree.node(block).children.split_at(index);
        before.splice(0..0, first.iter().copied());
        after.extend(rest[1..].iter().take(REACH).copied());
        if inner == outer {
            break;
        }
        let Some(holder) = around(tree, inner) else { return Vec::new() };
        inner = holder;
    }
    let all = before.into_iter().chain([statement]).chain(after);
    let all = all.filter(|id| id >= first && !tree.node(*id).kind.is_scope());
    let Some(beside) = Beside::among(session, statement, all.collect()) else { return Vec::new() };
    beside.modes_left_out(&new)
}

/// The new statements right beside one, in order, itself among them. Definitions, imports and messages between them
/// do nothing to what they change.
fn window(session: &Session<'_>, statement: NodeId) -> Option<Vec<NodeId>> {
    let tree = &session.source.tree;
    let (block, index) = tree.place(statement).filter(|_| !tree.node(statement).kind.is_scope())?;
    let foreign = |id: NodeId| {
        let kind = tree.node(id).kind;
        kind.is_scope() || matches!(kind, Kind::Import | Kind::Return | Kind::Raise | Kind::Break)
    };
    let is_new = |id: &&NodeId| {
        !tree.subtree(**id).any(|id| {
            let statement = tree.node(id).kind.is_statement();
            statement && (foreign(id) || session.counterpart(id).is_some())
        })
    };
    let (before, after) = tree.node(block).children.split_at(index);
    let passes = |id: NodeId| {
        let kind = tree.node(id).kind;
        kind == Kind::Import || matches!(kind, Kind::Function | Kind::Class) || only_says(session, id)
    };
    let reached = |id: &&NodeId| is_new(id) || passes(**id);
    let mut window: Vec<NodeId> = before.iter().rev().take(REACH).take_while(reached).filter(is_new).copied().collect();
    window.reverse();
    window.push(statement);
    window.extend(after[1..].iter().take(REACH).take_while(reached).filter(is_new));
    Some(window)
}

/// Whether a statement writes something for people and does nothing else: `print("epoch", epoch, loss.item())`.
pub(super) fn only_says(session: &Session<'_>, statement: NodeId) -> bool {
    let tree = &session.source.tree;
    let says = |id: NodeId| {
        let name = tree.node(tree.node(id).children[0]).text.as_str();
        PURE.contains(&name) || SAYS.contains(&name)
    };
    let own = |id: NodeId| session.source_logs.iter().any(|(log, _)| *log == id);
    tree.node(statement).kind == Kind::Simple
        && tree.node(statement).children.len() == 1
        && tree.node(tree.node(statement).children[0]).kind == Kind::Call
        && !own(statement)
        && tree.subtree(statement).all(|id| tree.node(id).kind != Kind::Call || says(id))
        && !tree.subtree(statement).any(|id| tree.node(id).access.binds())
}

/// Whether all that a statement does to what a run goes on with is undone by others beside it.
pub(super) fn is_for_a_while(session: &Session<'_>, statement: NodeId) -> bool {
    let Some(window) = window(session, statement).filter(|window| window.len() > 1) else { return false };
    let events = Events::of(session, window, None);
    let ends = events.ends(&events.window);
    // What it does to an object that is new itself is no change of the run's.
    let mut own = events.of_part(statement).filter(|(_, event)| !event.is_free).peekable();
    own.peek().is_some() && own.all(|(at, _)| ends[at] != End::Open)
}

/// What a statement looks at.
#[derive(Default)]
struct Looks<'s> {
    reads: BTreeSet<&'s str>,
    binds: BTreeSet<&'s str>,
    /// Variables and attributes that it names, and those that it calls or gives to calls.
    paths: BTreeSet<String>,
    called: BTreeSet<String>,
    /// Whether it calls anything that may see more than it is given, or reads an attribute.
    calls: bool,
    members: bool,
    gradients: bool,
}

/// The new statements right beside one, and what they do.
struct Beside<'s, 'a> {
    session: &'s Session<'a>,
    statement: NodeId,
    events: Events<'s, 'a>,
    looks: Vec<Looks<'s>>,
    /// What the whole window leaves as it was.
    ends: Vec<End>,
}

impl<'s, 'a> Beside<'s, 'a> {
    /// `None` where they do nothing but bind names.
    fn of(session: &'s Session<'a>, statement: NodeId) -> Option<Self> {
        Self::among(session, statement, window(session, statement).filter(|window| window.len() > 1)?)
    }

    /// Of other statements than those right beside it.
    fn among(session: &'s Session<'a>, statement: NodeId, window: Vec<NodeId>) -> Option<Self> {
        let events = Events::of(session, window, Some(statement));
        if events.all.is_empty() {
            return None;
        }
        let ends = events.ends(&events.window);
        let mut found = Self { session, statement, events, looks: Vec::new(), ends };
        found.looks = found.events.window.iter().map(|part| found.looks_of(*part)).collect();
        Some(found)
    }

    fn looks_of(&self, part: NodeId) -> Looks<'s> {
        let (session, tree) = (self.session, &self.session.source.tree);
        let mut looks = Looks::default();
        for id in tree.subtree(part) {
            let node = tree.node(id);
            if node.access.reads() {
                looks.reads.insert(&node.name);
            }
            let inside = |name| session.binders(id, name).into_iter().all(|id| self.events.is_inside(id));
            if node.access.binds() && (node.access != Access::Update || inside(&node.name)) {
                looks.binds.insert(&node.name);
            }
        }
        looks.binds.extend(self.events.filled_by(part));
        // What a change is given is looked at, what it changes is not.
        let does = |id: NodeId| {
            self.events.of_part(part).any(|(_, event)| {
                let changed = match tree.node(event.node).kind {
                    Kind::Call => id == event.node || tree.contains(tree.node(event.node).children[0], id),
                    _ => tree.contains(event.node, id),
                };
                !event.is_draw() && changed
            })
        };
        let path = |id: NodeId| {
            let part_of = tree.node(id).parent.is_some_and(|p| tree.node(p).kind == Kind::Member);
            tree.path(id).filter(|_| !part_of).map(|path| self.events.known(path))
        };
        for id in tree.subtree(part).filter(|id| !does(*id)) {
            let node = tree.node(id);
            looks.gradients |= node.text.contains("grad") && !node.text.contains("no_grad");
            looks.paths.extend(path(id));
            let is_callee =
                || node.parent.is_some_and(|p| tree.node(p).kind == Kind::Call && tree.node(p).children[0] == id);
            looks.members |= node.kind == Kind::Member && node.access == Access::None && !is_callee();
            let Some(callee) = node.children.first().filter(|_| node.kind == Kind::Call) else { continue };
            let name = tree.node(*callee).text.as_str();
            looks.members |= ["parameters", "named_parameters"].contains(&name);
            let logs = session.source.calls.iter().any(|known| known.callee == tree.node(*callee).range);
            if !logs && !PURE.contains(&name) {
                looks.calls = true;
                looks.called.extend(tree.subtree(id).filter_map(path));
            }
        }
        looks
    }

    fn look(&self, part: NodeId) -> Option<&Looks<'s>> {
        self.events.window.iter().position(|id| *id == part).map(|at| &self.looks[at])
    }

    /// Whether a statement, or one of those that it is taken with, sees what an event does.
    fn concerns(&self, event: &Event, parts: &[NodeId]) -> bool {
        parts.iter().filter_map(|part| self.look(*part)).any(|looks| self.is_seen(event, looks))
    }

    fn is_seen(&self, event: &Event, looks: &Looks<'_>) -> bool {
        let what = event.what.as_str();
        if GRADIENTS.contains(&what) {
            return looks.gradients;
        }
        if event.is_far() && (looks.calls || looks.members) {
            return true;
        }
        let Some(path) = event.path.as_deref() else { return false };
        let within = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let related = |other: &String| within(other, path) || within(path, other);
        match () {
            // What is read of a model is no rate; of anything else it may be.
            () if event.is_schedule => {
                let weights = ["weight", "bias", "grad", "parameters", "named_parameters"];
                let is_weight = |path: &String| path.split('.').any(|part| weights.contains(&part));
                let mut deep = looks.paths.iter().filter(|path| path.contains('.') && !path.starts_with("afterlog."));
                let other = looks.members && !deep.all(is_weight);
                looks.calls || other || looks.paths.iter().any(related)
            }
            () if self.events.is_module(path) => looks.calls,
            // A mode matters to what is called, with the object or on it; what is never called has it for others.
            () if is_kept_up(what) => looks.called.iter().any(related) || looks.calls && !self.is_called(path),
            () => looks.paths.iter().any(related),
        }
    }

    /// Whether an object is called itself, as a model is and an optimizer is not.
    fn is_called(&self, path: &str) -> bool {
        let tree = &self.session.source.tree;
        let base = path.split('.').next().unwrap_or(path);
        let called = |id: NodeId| {
            tree.node(id).parent.is_some_and(|p| tree.node(p).kind == Kind::Call && tree.node(p).children[0] == id)
        };
        let mut all = tree.uses(base).iter().flat_map(|id| with_members(tree, *id));
        all.any(|id| called(id) && tree.path(id).as_deref() == Some(path))
    }

    /// The statements that move together, and the doubts about it; where another log shares some of them, with what
    /// belongs to that. `None` where they would leave something changed.
    fn parts(&self) -> Option<(Vec<NodeId>, Vec<String>)> {
        let tree = &self.session.source.tree;
        let mut parts = self.parts_of(self.statement);
        let logs = |id: &&NodeId| self.session.wanted.iter().any(|wanted| tree.contains(**id, *wanted));
        if !self.session.is_apart(self.statement) {
            let others = self.events.window.iter().filter(logs).filter(|id| !self.session.is_apart(**id));
            let mut others: Vec<Vec<NodeId>> = others.map(|id| self.parts_of(*id)).collect();
            while let Some(at) = others.iter().position(|other| other.iter().any(|id| parts.contains(id))) {
                parts.extend(others.remove(at));
            }
        }
        parts.sort_unstable();
        parts.dedup();
        let ends = self.events.ends(&parts);
        let own = || self.events.all.iter().zip(&ends).filter(|(event, _)| parts.contains(&event.part));
        if own().all(|(event, _)| event.is_draw() || self.events.is_fill(event))
            || own().any(|(_, end)| *end == End::Open)
        {
            return None;
        }
        let mut doubts: Vec<String> =
            own().filter_map(|(_, end)| if let End::Doubted(why) = end { Some(why.clone()) } else { None }).collect();
        doubts.dedup();
        Some((parts, doubts))
    }

    fn parts_of(&self, statement: NodeId) -> Vec<NodeId> {
        let tree = &self.session.source.tree;
        let closed = |id: NodeId| self.events.of_part(id).all(|(at, _)| self.ends[at] != End::Open);
        let free: Vec<NodeId> = self.events.window.iter().copied().filter(|id| closed(*id)).collect();
        let mut parts = vec![statement];
        loop {
            let (first, last) = (parts[0], parts[parts.len() - 1]);
            let ends = self.events.ends(&parts);
            let open = |event: &Event| {
                let same = |other: &Event| parts.contains(&other.part) && other.is_one_with(event);
                self.events.all.iter().zip(&ends).any(|(other, end)| *end == End::Open && same(other))
            };
            let belongs = |id: &&NodeId| {
                let wanted = || self.session.wanted.iter().any(|wanted| tree.contains(**id, *wanted));
                let apart = || self.session.is_apart(**id) || self.session.is_apart(statement);
                let between = (first..last).contains(*id) && wanted() && !apart();
                let concerned = || {
                    self.events.of_part(**id).any(|(_, event)| {
                        open(event) || (**id < statement || event.is_return()) && self.concerns(event, &parts)
                    })
                };
                let is_another_s = wanted() && apart();
                !parts.contains(id) && !is_another_s && (between || self.defines(**id, &parts) || concerned())
            };
            let Some(next) = free.iter().find(belongs).copied() else { return parts };
            parts.push(next);
            parts.sort_unstable();
        }
    }

    /// Whether a statement gives a name a value that a later one of these reads.
    fn defines(&self, statement: NodeId, parts: &[NodeId]) -> bool {
        let Some(bound) = self.look(statement).map(|looks| &looks.binds) else { return false };
        let later = parts.iter().filter(|part| **part > statement).filter_map(|part| self.look(*part));
        !bound.is_empty() && later.into_iter().any(|looks| !looks.reads.is_disjoint(bound))
    }

    /// Those of some statements that switch off for a while what the statement itself calls: nothing before it, and
    /// nothing that is called there, switches it on again.
    fn modes_left_out(&self, among: &[NodeId]) -> Vec<NodeId> {
        let tells = |(at, event): (usize, &Event)| {
            let again = |other: &Event| {
                let between = event.node < other.node && other.part < self.statement;
                between && (other.is_one_with(event) || other.path.is_none() && other.is_of_kind(event))
            };
            event.is_off()
                && (["eval", "train"].contains(&event.what.as_str()) || self.ends[at] != End::Open)
                && !self.events.all.iter().any(again)
                && self.concerns(event, &[self.statement])
        };
        let is_told = |id: &NodeId| self.events.of_part(*id).any(tells);
        among.iter().copied().filter(is_told).collect()
    }

    /// Statements before it that change what these read, and are not among them.
    fn left_out(&self, parts: &[NodeId]) -> Vec<NodeId> {
        // All that is computed for what is read, whether it comes with it or is brought.
        let mut read = parts.to_vec();
        while let Some(next) = self.events.window.iter().find(|id| !read.contains(id) && self.defines(**id, &read)) {
            read.push(*next);
        }
        let earlier: Vec<NodeId> =
            self.events.window.iter().copied().filter(|id| *id < read[0].min(self.statement)).collect();
        let undone = self.events.ends(&earlier);
        let outside = |(at, event): &(usize, &Event)| {
            let before = event.part < self.statement && !parts.contains(&event.part) && !event.is_free;
            let later = || read.iter().copied().filter(|part| *part > event.part).collect::<Vec<NodeId>>();
            before && undone[*at] == End::Open && self.concerns(event, &later())
        };
        let near = self.events.all.iter().enumerate().filter(outside).map(|(_, event)| event.part);
        let mut found: Vec<NodeId> = beyond(self.session, self.statement).into_iter().chain(near).collect();
        found.dedup();
        found
    }
}

impl Work<'_, '_> {
    /// Tells what moves with the statement, and what does not.
    pub(super) fn say_group(&mut self, whole: &Whole) {
        let (source, tree) = (self.session.source, &self.session.source.tree);
        let words = |id: NodeId| {
            let text = source.text.get(tree.node(id).range.clone()).unwrap_or_default();
            text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
        };
        let added = |part: &&NodeId| **part != whole.statement && !self.session.wanted.contains(*part);
        let added: Vec<String> =
            whole.parts.iter().filter(added).map(|part| format!("`{}` added", words(*part))).collect();
        self.adapted.changes.extend(added);
        self.adapted.doubts.extend(whole.doubts.iter().cloned());
        for id in &whole.left_out {
            let line = source.lines.line(tree.node(*id).range.start);
            let reason = format!(
                "`{}` at line {line} of the source changes what it reads, and is not brought: the run would go on otherwise",
                words(*id)
            );
            self.adapted.doubts.push(reason);
        }
    }
}
