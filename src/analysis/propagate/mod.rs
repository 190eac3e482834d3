//! Places statements of one version of a source file into another version: anchors from matched neighbours, names
//! adapted, what is missing brought along, and every placement checked before it is made. Pure; never panics.

mod adapt;
mod anchor;
mod api;
mod arms;
mod branches;
mod bring;
mod callers;
mod carried;
mod checks;
mod chosen;
mod compose;
mod conditions;
mod context;
mod convention;
mod costly;
mod draft;
mod effects;
mod events;
mod fits;
mod fresh;
mod given;
mod group;
mod history;
mod insert;
mod keeps;
mod kept;
mod live;
mod made;
mod modes;
mod mutation;
mod names;
mod own;
mod places;
mod reach;
mod rename;
mod scope;
mod settings;
mod sound;
mod sums;
mod taken;
mod uncounted;
mod unit;
mod unsure;
mod values;
mod wrapped;

use std::collections::{HashMap, HashSet};

pub use chosen::{Chosen, Wish, around, found_again, spot};
pub use draft::{Drafted, Misfit, draft, readable};
pub use history::{Way, agreed, composed, is_same_place, on_own_lines};
pub use places::{further, statement_end};

use crate::analysis::propagate::adapt::Refusal;
use crate::analysis::propagate::anchor::{Point, SURE, kind_word};
use crate::analysis::propagate::compose::applied;
use crate::analysis::propagate::insert::Edit;
use crate::analysis::propagate::rename::Renames;
use crate::analysis::propagate::unit::Whole;
use crate::analysis::python::{self, Source};
use crate::analysis::treediff::{Kind, Matching, NodeId, match_trees};
use crate::model::probe::{Alternative, Placement, PlacementStatus, Propagation};

/// Places the statements at `lines` (first and last line, 1-based) of `source` into `target`.
pub fn propagate(source: &str, lines: &[(u32, u32)], target: &str) -> Propagation {
    let (source, target) = (Source::parse(source), Source::parse(target));
    let wanted = lines.iter().filter_map(|line| statement_at(&source, *line)).collect();
    Session::new(&source, &target, wanted).run()
}

/// Places every statement of `source` that logs one of `names`.
pub fn propagate_names(source: &str, names: &[String], target: &str) -> Propagation {
    propagate_chosen(source, names, target, &[])
}

/// As [`propagate_names`], but with some statements where the user wants them.
pub fn propagate_chosen(source: &str, names: &[String], target: &str, chosen: &[Chosen]) -> Propagation {
    let ours = in_our_words(source, names);
    Prepared::new(ours.as_deref().unwrap_or(source), names).place(target, chosen, &[])
}

/// As [`propagate_names`], but with some statements, by name and number among those of the name, that no other one
/// brings along: each goes by itself.
pub fn propagate_apart(source: &str, names: &[String], target: &str, apart: &[(String, usize)]) -> Propagation {
    let ours = in_our_words(source, names);
    Prepared::new(ours.as_deref().unwrap_or(source), names).place(target, &[], apart)
}

/// A source with what it logs under these names through other libraries logged by calls of our own, if there is any.
pub fn in_our_words(source: &str, names: &[String]) -> Option<String> {
    python::in_our_words(source, &|name| names.iter().any(|wanted| wanted == name))
}

/// The statements of one source that log some names, read once for many targets.
pub struct Prepared<'a> {
    source: Source<'a>,
    /// The statements, with the names.
    wanted: Vec<(NodeId, String)>,
}

impl<'a> Prepared<'a> {
    /// Of a text that says them in our words.
    pub fn new(source: &'a str, names: &[String]) -> Self {
        let source = Source::parse(source);
        let wanted = logging(&source).into_iter().filter(|(_, name)| names.contains(name)).collect();
        Self { source, wanted }
    }

    /// Places them, some where the user wants them, and some `apart` from the others.
    pub fn place(&self, target: &str, chosen: &[Chosen], apart: &[(String, usize)]) -> Propagation {
        let target = Source::parse(target);
        let mut session = Session::new(&self.source, &target, self.wanted.iter().map(|(id, _)| *id).collect());
        for one in chosen {
            session.chosen.extend(self.numbered(&one.name, one.statement).map(|id| (id, one.clone())));
        }
        session.apart.extend(apart.iter().filter_map(|(name, number)| self.numbered(name, *number)));
        session.run()
    }

    /// The statement of a number among those that log a name.
    fn numbered(&self, name: &str, number: usize) -> Option<NodeId> {
        self.wanted.iter().filter(|(_, known)| known == name).nth(number).map(|(id, _)| *id)
    }
}

/// Places every log statement of `source` that `target` lacks.
pub fn propagate_missing(source: &str, target: &str) -> Propagation {
    let target = Source::parse(target);
    let there = logging(&target);
    let count = |list: &[(NodeId, String)], name: &str| list.iter().filter(|(_, n)| n == name).count();
    let plain = Source::parse(source);
    let written = logging(&plain);
    let lacking = |name: &str| count(&there, name) < count(&written, name);
    let said = python::in_our_words(source, &lacking);
    let source = said.as_deref().map_or(plain, Source::parse);
    let ours = logging(&source);
    let wanted = ours.iter().filter(|(_, name)| lacking(name)).map(|(id, _)| *id).collect();
    let mut found = Session::new(&source, &target, wanted).run();
    found.placements.retain(|placement| placement.status != PlacementStatus::AlreadyThere);
    found
}

/// Whether a statement starts at this line of a source.
pub fn starts_statement(source: &str, line: u32) -> bool {
    statement_at(&Source::parse(source), (line, line)).is_some()
}

/// The statement at a line range: the outermost that starts and ends there, else the outermost that starts there.
fn statement_at(source: &Source<'_>, (first, last): (u32, u32)) -> Option<NodeId> {
    let lines = |id: NodeId| {
        let range = &source.tree.node(id).range;
        (source.lines.line(range.start), source.lines.line(range.end.saturating_sub(1).max(range.start)))
    };
    let starting: Vec<NodeId> = source.tree.statements().filter(|id| lines(*id).0 == first).collect();
    starting.iter().copied().find(|id| lines(*id).1 == last).or_else(|| starting.first().copied())
}

/// The statements that log under a literal name, with the name, in source order.
fn logging(source: &Source<'_>) -> Vec<(NodeId, String)> {
    let mut found = Vec::new();
    let ours = source.calls.iter().filter(|call| call.function == "log");
    let ours = ours.filter_map(|call| Some((&call.callee, call.name.as_ref()?)));
    for (callee, name) in ours.chain(source.foreign.iter().map(|(callee, name)| (callee, name))) {
        let node = source.tree.nodes.iter().rposition(|node| {
            node.kind.is_statement() && node.range.start <= callee.start && callee.end <= node.range.end
        });
        if let Some(node) = node {
            found.push((node, name.clone()));
        }
    }
    found.sort();
    found
}

/// One source, one target, and the statements to be placed.
struct Session<'a> {
    source: &'a Source<'a>,
    target: &'a Source<'a>,
    wanted: Vec<NodeId>,
    matching: Matching,
    renames: Renames<'a>,
    source_logs: Vec<(NodeId, String)>,
    target_logs: Vec<(NodeId, String)>,
    /// Where the source's calls of ours begin.
    own_calls: HashSet<usize>,
    /// What functions of the source do.
    known: effects::Known,
    /// Where the user wants some of them.
    chosen: HashMap<NodeId, Chosen>,
    /// Those that no other statement brings along: what the user has decided about, and what the target has.
    apart: HashSet<NodeId>,
}

/// What one statement came to.
struct Outcome {
    node: NodeId,
    placement: Placement,
    /// The first is the statement itself.
    edits: Vec<Edit>,
    /// What moved with it.
    whole: Option<Whole>,
}

impl<'a> Session<'a> {
    fn new(source: &'a Source<'a>, target: &'a Source<'a>, mut wanted: Vec<NodeId>) -> Self {
        wanted.sort_unstable();
        wanted.dedup();
        let (source_logs, target_logs) = (logging(source), logging(target));
        let gone = |id: NodeId| {
            let name = source_logs.iter().find(|(log, _)| *log == id).map(|(_, name)| name);
            wanted.contains(&id)
                && !name.is_some_and(|name| target_logs.iter().any(|(_, n)| n == name))
                && (name.is_some() || !target.tree.nodes.iter().any(|n| n.hash == source.tree.node(id).hash))
        };
        let matching = match_trees(&source.tree, &target.tree, &gone);
        let renames = Renames::of(&source.tree, &target.tree, &matching);
        let (chosen, apart) = (HashMap::new(), HashSet::new());
        let own_calls = source.calls.iter().map(|call| call.callee.start).collect();
        Self {
            known: effects::Known::default(),
            own_calls,
            source,
            target,
            wanted,
            matching,
            renames,
            source_logs,
            target_logs,
            chosen,
            apart,
        }
    }

    fn run(mut self) -> Propagation {
        let there: Vec<NodeId> = self.wanted.iter().copied().filter(|id| self.already_there(*id).is_some()).collect();
        self.apart.extend(there.into_iter().chain(self.chosen.keys().copied()));
        self.placed()
    }

    fn placed(&self) -> Propagation {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for node in &self.wanted {
            let outcome = self.along_with(*node, &outcomes).unwrap_or_else(|| self.place(*node));
            outcomes.push(outcome);
        }
        let edits = self.sound_edits(&mut outcomes);
        let text = applied(self.target.text, &edits);
        let spans = insert::spans(self.target.text, &edits);
        let mut placements = Vec::new();
        for Outcome { node, mut placement, edits: own, whole } in outcomes {
            let at = own.first().and_then(|edit| edits.iter().position(|e| e == edit));
            let inline = own.first().is_some_and(|edit| edit.inline);
            placement.within = whole.filter(|_| !inline).map_or(0, |whole| whole.lines_before(self.source, node));
            placement.line = at.map(|at| spans[at].0 + placement.within).or(placement.line);
            placement.column = match own.first() {
                Some(edit) => Some(chosen::column_of_edit(self.target, edit)),
                None => placement.line.map(|line| chosen::column_of_line(self.target, line)),
            };
            placement.edits = own;
            placements.push(placement);
        }
        let mut problems: Vec<String> = self.target.problems.iter().map(|p| format!("target, {p}")).collect();
        problems.extend(self.source.problems.iter().map(|p| format!("source, {p}")));
        Propagation { placements, text, inserted: spans, problems }
    }

    /// A statement within one that is placed already.
    fn along_with(&self, node: NodeId, outcomes: &[Outcome]) -> Option<Outcome> {
        let holds = |outcome: &&Outcome| {
            let whole = outcome.whole.as_ref().filter(|_| !outcome.edits.is_empty());
            whole.is_some_and(|whole| whole.parts.iter().any(|part| self.source.tree.contains(*part, node)))
        };
        let whole = outcomes.iter().find(holds).filter(|_| !self.apart.contains(&node))?;
        let mut placement = self.blank(node);
        placement.status = whole.placement.status;
        placement.reasons.push(format!("along with line {} of the source", whole.placement.source_line));
        placement.reasons.extend(whole.placement.reasons.iter().skip(1).cloned());
        placement.changes.clone_from(&whole.placement.changes);
        placement.after_line = whole.placement.after_line;
        placement.text.clone_from(&whole.placement.text);
        Some(Outcome { node, placement, edits: whole.edits.clone(), whole: whole.whole.clone() })
    }

    fn place(&self, node: NodeId) -> Outcome {
        let mut placement = self.blank(node);
        if let Some((line, reason)) = self.already_there(node) {
            placement.status = PlacementStatus::AlreadyThere;
            placement.line = Some(line);
            placement.reasons.push(reason);
            return Outcome::without(node, placement);
        }
        if let Some(chosen) = self.chosen.get(&node) {
            return self.place_as_chosen(node, chosen);
        }
        let mut refusals: Vec<String> = Vec::new();
        let mut found: Vec<(Point, adapt::Adapted)> = Vec::new();
        for whole in self.wholes(node) {
            for point in self.points(whole.outermost()) {
                match self.adapt(&whole, point, 0) {
                    Ok((point, adapted)) => {
                        let later = adapted.made_at.and_then(|maker| self.after_maker(&point, maker));
                        found.extend(later.and_then(|later| self.adapt(&whole, later, 0).ok()));
                        found.push((point, adapted));
                    }
                    Err(Refusal(reason)) => refusals.push(reason),
                }
            }
            if !found.is_empty() {
                break;
            }
        }
        if found.is_empty() {
            found.extend(self.as_further_arm(node));
        }
        if found.is_empty() {
            found.extend(self.without_counter(node));
        }
        let nearest = found.iter().max_by(|a, b| a.0.score.total_cmp(&b.0.score));
        let elsewhere = nearest.and_then(|(at, adapted)| {
            let context = adapted.context.first().filter(|_| !self.is_after_loops(node, at));
            let reason = adapted.others.first().or(context)?;
            Some(((at.block, at.index), reason.clone()))
        });
        found.sort_by(|a, b| (b.0.score - b.1.doubt()).total_cmp(&(a.0.score - a.1.doubt())));
        let mut found = found.into_iter();
        let Some((point, adapted)) = found.next() else {
            let reason = refusals.into_iter().next().unwrap_or_else(|| self.nothing_corresponds(node));
            return Outcome::without(node, refused(placement, &reason));
        };
        placement.alternatives = found
            .filter(|(other, _)| (other.block, other.index) != (point.block, point.index))
            .map(|(other, _)| {
                let column = chosen::column_of_block(self.target, other.block);
                Alternative { after_line: self.line_before(&other), column, reason: other.reason }
            })
            .collect();
        let mut known = HashSet::new();
        placement.alternatives.retain(|other| known.insert((other.after_line, other.column)));
        placement.reasons.push(point.reason.clone());
        let mut doubts: Vec<String> =
            adapted.doubts.iter().chain(&adapted.others).chain(&adapted.context).cloned().collect();
        if let Some((_, reason)) = elsewhere.filter(|(place, _)| *place != (point.block, point.index)) {
            doubts.push(format!("not beside its nearest neighbour: {reason}"));
        }
        doubts.extend(self.ambiguity(&point));
        let torn = insert::torn_beside(self.target, point.block, point.index);
        doubts.extend(
            torn.map(|line| format!("line {line} of the target does not parse: what belongs where is a guess")),
        );
        placement.reasons.extend(doubts.iter().cloned());
        let changed = !adapted.changes.is_empty();
        placement.status = match () {
            () if !doubts.is_empty() || point.score < SURE => PlacementStatus::Uncertain,
            () if changed => PlacementStatus::Adapted,
            () => PlacementStatus::Exact,
        };
        placement.changes = adapted.changes;
        placement.after_line = adapted.edits.first().map(|edit| line_of(self.target, edit));
        placement.text = adapted.edits.first().map(|edit| edit.text.clone()).unwrap_or_default();
        Outcome { node, placement, edits: adapted.edits, whole: adapted.whole }
    }

    fn blank(&self, node: NodeId) -> Placement {
        let range = self.source.tree.node(node).range.clone();
        let logged = self.source_logs.iter().find(|(id, _)| *id == node).map(|(_, name)| name.clone());
        let words =
            || self.source.text.get(range.clone()).unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        Placement {
            name: logged.unwrap_or_else(words),
            source_line: self.source.lines.line(range.start),
            status: PlacementStatus::NotApplicable,
            line: None,
            shown_line: None,
            column: None,
            after_line: None,
            text: String::new(),
            changes: Vec::new(),
            reasons: Vec::new(),
            alternatives: Vec::new(),
            within: 0,
            decided_in: None,
            edits: Vec::new(),
        }
    }

    /// Whether a statement of the source is, or holds, one that no other brings along.
    fn is_apart(&self, statement: NodeId) -> bool {
        self.apart.iter().any(|apart| self.source.tree.contains(statement, *apart))
    }

    /// The line of the target that does this already, and why it counts.
    fn already_there(&self, node: NodeId) -> Option<(u32, String)> {
        let line = |id: NodeId| self.target.lines.line(self.target.tree.node(id).range.start);
        let name = self.source_logs.iter().find(|(id, _)| *id == node).map(|(_, name)| name);
        let Some(name) = name else {
            let there = self.counterpart(node)?;
            let same = self.target.tree.node(there).hash == self.source.tree.node(node).hash;
            return same.then(|| (line(there), "the target has this statement".to_owned()));
        };
        let ours = self.source_logs.iter().filter(|(_, n)| n == name).count();
        let theirs: Vec<NodeId> = self.target_logs.iter().filter(|(_, n)| n == name).map(|(id, _)| *id).collect();
        if let Some(there) = self.counterpart(node).filter(|id| theirs.contains(id)) {
            let condition = context::further_condition(self, node, there);
            let rest =
                condition.map(|at| format!(", under the condition at line {} only", line(at))).unwrap_or_default();
            return Some((line(there), format!("the target logs '{name}' here{rest}")));
        }
        let same = |id: &NodeId| self.target.tree.node(*id).hash == self.source.tree.node(node).hash;
        let words = if theirs.iter().any(same) { "" } else { ", elsewhere or with another expression" };
        (ours <= theirs.len()).then(|| (line(theirs[0]), format!("the target logs '{name}'{words}")))
    }

    fn nothing_corresponds(&self, node: NodeId) -> String {
        let tree = &self.source.tree;
        let owner = tree.ancestors(node).find(|id| tree.node(*id).kind.is_compound()).unwrap_or(0);
        let line = self.source.lines.line(tree.node(owner).range.start);
        match tree.node(owner).kind {
            Kind::Module => "nothing in the target corresponds to the code around it".to_owned(),
            _ => format!(
                "nothing in the target corresponds to the {} at line {line} of the source",
                kind_word(tree, owner)
            ),
        }
    }

    fn line_before(&self, point: &Point) -> u32 {
        let tree = &self.target.tree;
        let previous = point.index.checked_sub(1).and_then(|at| tree.node(point.block).children.get(at));
        match previous {
            Some(previous) => self.target.lines.line(tree.node(*previous).range.end.saturating_sub(1)),
            None => self.target.lines.line(tree.node(point.block).range.start).saturating_sub(1),
        }
    }

    /// How to take a statement: alone, or with what stands around it only for its sake.
    fn wholes(&self, node: NodeId) -> Vec<Whole> {
        unit::wholes(self, node)
    }
}

fn refused(mut placement: Placement, reason: &str) -> Placement {
    placement.status = PlacementStatus::NotApplicable;
    placement.reasons = vec![reason.to_owned()];
    (placement.line, placement.after_line) = (None, None);
    placement.text.clear();
    placement.changes.clear();
    placement
}

/// The target's line after which an edit stands.
fn line_of(target: &Source<'_>, edit: &Edit) -> u32 {
    let line = target.lines.line(edit.offset);
    let at_start = target.lines.start(line) == edit.offset;
    if at_start && !edit.inline { line.saturating_sub(1) } else { line }
}

/// What earlier parts of one placement bind for later ones.
#[derive(Debug, Clone, Default)]
struct Provided {
    names: HashSet<String>,
    /// New names for variables that would clash with the target's own.
    fresh: HashMap<String, String>,
    /// The source's statements that are brought already: `a, b = …` comes once.
    brought: HashSet<NodeId>,
}
