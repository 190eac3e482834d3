//! A statement's way through all versions of a script: straight from today's to each, and hop by hop from the newest to
//! the oldest, with what the user corrected. Only the statements are carried along, nothing else of what changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::analysis::propagate::{
    Chosen, Prepared, Way, agreed, around, composed, found_again, in_our_words, is_same_place, propagate_apart,
};
use crate::analysis::python::log_statements;
use crate::base::ids::RunId;
use crate::engine::progress::{Part, Waiting};
use crate::engine::propagate::cache::Cache;
use crate::model::probe::{Choice, Correction, LogStatement, Placement, PlacementStatus, Probe, Propagation, Spot};

/// The statements of one script to be placed.
pub(super) struct Statements<'a> {
    pub(super) script: &'a str,
    /// The text that has them, and the names that they log.
    pub(super) source: &'a str,
    pub(super) names: &'a [String],
    pub(super) probes: &'a BTreeMap<String, Probe>,
}

/// A place that the user chose, in the version of `run`.
struct Decided {
    chosen: Chosen,
    run: RunId,
    /// Whether that version has this very text.
    own: bool,
}

/// The name that a statement logs, and which of the statements that log it, from 0.
type Number = (String, usize);

/// Places all statements into a target: some where the user wants them, some apart from the others.
type Placer<'p> = dyn Fn(&str, &[Chosen], &[Number]) -> Propagation + 'p;

/// Straight from today's script, with what the user corrected.
struct Direct {
    propagation: Propagation,
    /// The statements that are to stand where the user wants them.
    moved: Vec<Number>,
    /// Those of them that log what the user wrote: another version takes nothing from that.
    written: Vec<Number>,
    /// Those that the user does not want there, which no other one must bring along.
    excluded: Vec<Number>,
}

/// The version that the next hop starts from, for one name.
#[derive(Clone, Copy)]
struct Carried {
    version: usize,
    /// The last version in which it obviously stands at the same place.
    seen: usize,
    /// Whether the statement there is the version's own and not ours.
    native: bool,
}

/// Places the statements into each text of `chain`, which holds all different texts of the script, newest first. The
/// direct ways are found in parallel, while the hops follow them. `None` when nobody waits for it any more.
pub(super) fn place(
    statements: &Statements<'_>,
    chain: &[String],
    cache: &Cache<'_>,
    waiting: Waiting<'_>,
) -> Option<Vec<Propagation>> {
    let ours = in_our_words(statements.source, statements.names);
    let text = ours.as_deref().unwrap_or(statements.source);
    let prepared = OnceLock::new();
    let prepare = || prepared.get_or_init(|| Prepared::new(text, statements.names));
    let place = |target: &str, chosen: &[Chosen], apart: &[Number]| {
        cache.placed(text, statements.names, target, (chosen, apart), || prepare().place(target, chosen, apart))
    };
    let directs: Vec<OnceLock<Direct>> = chain.iter().map(|_| OnceLock::new()).collect();
    let direct = |at: usize| directs[at].get_or_init(|| statements.directly(&chain[at], &place));
    let hops = || {
        let mut walk = Walk { statements, chain, cache, finals: Vec::new(), carried: HashMap::new() };
        for at in 0..chain.len() {
            if waiting.is_over() {
                return None;
            }
            waiting.tell(Part::Placing, at, chain.len());
            walk.step(direct(at));
        }
        Some(walk.finals)
    };
    let all = || {
        (0..chain.len()).into_par_iter().with_max_len(1).for_each(|at| {
            if !waiting.is_over() {
                direct(at);
            }
        })
    };
    rayon::join(hops, all).0
}

impl Statements<'_> {
    fn directly(&self, target: &str, place: &Placer<'_>) -> Direct {
        let mut decided = self.chosen(target);
        let mut misfits: Vec<(Decided, String)> = Vec::new();
        let mut excluded: Vec<Number> = Vec::new();
        loop {
            let chosen: Vec<Chosen> = decided.iter().map(|one| one.chosen.clone()).collect();
            let mut propagation = place(target, &chosen, &excluded);
            let numbers = numbers(&propagation.placements);
            let unwanted = numbers.iter().zip(&propagation.placements).filter(|(number, placement)| {
                !excluded.contains(number) && self.excluded(target, number, placement).is_some()
            });
            let unwanted: Vec<Number> = unwanted.map(|(number, _)| number.clone()).collect();
            let is_brought = |(at, number): (usize, &Number)| {
                unwanted.contains(number) && companions(&propagation.placements, at).len() > 1
            };
            let again = numbers.iter().enumerate().any(is_brought);
            excluded.extend(unwanted);
            if again {
                continue;
            }
            let of = |one: &Decided| {
                let number = (one.chosen.name.clone(), one.chosen.statement);
                numbers.iter().position(|known| *known == number)
            };
            // A decision made for another version gives way where it does not fit.
            let refused = |at: usize| propagation.placements[at].status == PlacementStatus::NotApplicable;
            if let Some(at) = decided.iter().position(|one| !one.own && of(one).is_some_and(refused)) {
                let one = decided.remove(at);
                let why = of(&one).and_then(|at| propagation.placements[at].reasons.first().cloned());
                misfits.push((one, why.unwrap_or_default()));
                continue;
            }
            for one in &decided {
                if let Some(at) = of(one).filter(|at| propagation.placements[*at].status.is_placed()) {
                    propagation.placements[at].decided_in = Some(one.run.clone());
                }
            }
            for (one, why) in &misfits {
                if let Some(at) = of(one).filter(|at| propagation.placements[*at].status.is_placed()) {
                    propagation.placements[at].status = PlacementStatus::Uncertain;
                    propagation.placements[at].reasons.push(why.clone());
                }
            }
            let number = |chosen: &Chosen| (chosen.name.clone(), chosen.statement);
            let written = chosen.iter().filter(|chosen| chosen.expression.is_some()).map(number).collect();
            return Direct { propagation, moved: chosen.iter().map(number).collect(), written, excluded };
        }
    }

    /// Where the user wants statements in a version.
    fn chosen(&self, target: &str) -> Vec<Decided> {
        let hash = hash(target);
        let mut made: BTreeMap<(&str, usize), Vec<&Correction>> = BTreeMap::new();
        for (name, correction) in self.corrections() {
            made.entry((name, correction.statement)).or_default().push(correction);
        }
        let decided = made.into_iter().filter_map(|((name, statement), made)| {
            let own = made.iter().rev().find(|one| one.target == hash);
            let elsewhere = |one: &Correction| {
                let around = one.around.as_ref().filter(|_| matches!(one.choice, Choice::Moved(_)))?;
                found_again(target, around)
            };
            let (one, spot) = match own {
                Some(one) => {
                    let Choice::Moved(spot) = one.choice else { return None };
                    (*one, spot)
                }
                None => made.iter().rev().find_map(|one| Some((*one, elsewhere(one)?)))?,
            };
            let same = if own.is_some() { "" } else { ", whose code around it is the same" };
            let said = format!("{}{same}", said(one));
            let chosen = Chosen { name: name.to_owned(), statement, spot, expression: one.expression.clone(), said };
            Some(Decided { chosen, run: one.run.clone(), own: own.is_some() })
        });
        decided.collect()
    }

    /// The user's decisions about this script's statements, oldest first.
    fn corrections(&self) -> impl Iterator<Item = (&str, &Correction)> {
        let probes = self.names.iter().filter_map(|name| self.probes.get(name));
        let all = probes.flat_map(|probe| probe.corrections.iter().map(move |one| (probe.name.as_str(), one)));
        all.filter(|(_, correction)| correction.script == self.script)
    }

    /// The last decision about a statement in versions with this very text.
    fn own(&self, name: &str, statement: usize, hash: &str) -> Option<&Correction> {
        let about =
            |(known, one): &(&str, &Correction)| *known == name && one.statement == statement && one.target == hash;
        self.corrections().filter(about).last().map(|(_, correction)| correction)
    }

    /// Why the user does not want a statement where it was placed, if so.
    fn excluded(&self, target: &str, (name, statement): &Number, placement: &Placement) -> Option<(RunId, String)> {
        if placement.status == PlacementStatus::AlreadyThere {
            return None;
        }
        if let Some(own) = self.own(name, *statement, &hash(target)) {
            return (own.choice == Choice::Excluded).then(|| (own.run.clone(), format!("by you in {}", own.run)));
        }
        let spot = Spot { after_line: placement.after_line?, column: placement.column? };
        let here = self.corrections().filter(|(known, one)| known == name && one.statement == *statement);
        let here: Vec<&Correction> = here.map(|(_, one)| one).filter(|one| one.choice == Choice::Excluded).collect();
        if here.is_empty() {
            return None;
        }
        let around = around(target, spot)?;
        let same = here.into_iter().rev().find(|one| one.around.as_ref() == Some(&around))?;
        found_again(target, &around)?;
        Some((same.run.clone(), format!("by you in {}, whose code around it is the same", same.run)))
    }
}

/// How a decision is told.
pub(super) fn said(one: &Correction) -> String {
    let what = if one.expression.is_some() { "as you wrote it" } else { "where you moved it" };
    format!("{what} in {}", one.run)
}

/// The text's hash by which corrections know versions.
pub(super) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The name of each placement, and its number among those of the name.
pub(super) fn numbers(placements: &[Placement]) -> Vec<Number> {
    let before = |at: usize| placements[..at].iter().filter(|placement| placement.name == placements[at].name).count();
    (0..placements.len()).map(|at| (placements[at].name.clone(), before(at))).collect()
}

/// The statements that one text brings, by their index.
fn companions(placements: &[Placement], at: usize) -> Vec<usize> {
    let Some(edit) = placements[at].edits.first() else { return vec![at] };
    (0..placements.len()).filter(|other| placements[*other].edits.first() == Some(edit)).collect()
}

/// The way from the newest version to the oldest.
struct Walk<'a> {
    statements: &'a Statements<'a>,
    chain: &'a [String],
    cache: &'a Cache<'a>,
    finals: Vec<Propagation>,
    carried: HashMap<String, Carried>,
}

impl Walk<'_> {
    fn step(&mut self, direct: &Direct) {
        let version = self.finals.len();
        let target = &self.chain[version];
        let obvious = self.obvious(target, &direct.propagation);
        let apart: Vec<Number> = direct.excluded.iter().chain(&direct.moved).cloned().collect();
        let hops = self.hops(target, &obvious, &apart);
        let numbers = numbers(&direct.propagation.placements);
        let mut placements = Vec::with_capacity(numbers.len());
        // Names of which some statement is not where the next hop can start from.
        let mut unsure: Vec<&str> = Vec::new();
        for (index, (placement, number)) in direct.propagation.placements.iter().zip(&numbers).enumerate() {
            let name = number.0.as_str();
            let moved = direct.moved.contains(number);
            let there = |(name, at): &Number| {
                let (found, way) = hops.get(name.as_str())?;
                let same_number = found.len() == numbers.iter().filter(|(known, _)| known == name).count();
                Some((found.get(*at).filter(|_| same_number)?, *way))
            };
            // What one text brings comes by one text on the other way, too, or that says nothing of it.
            let first = |placement: &Placement| placement.edits.first().cloned();
            let as_one = |hop: &Placement| {
                let of_hop = |number: &&Number| there(number).and_then(|(hop, _)| first(hop)) == first(hop);
                let together = companions(&direct.propagation.placements, index);
                let other: Vec<usize> =
                    (0..numbers.len()).filter(|at| *at == index || of_hop(&&numbers[*at])).collect();
                hop.edits.is_empty() || placement.edits.is_empty() || other == together
            };
            let hop = there(number).filter(|(hop, _)| !moved && as_one(hop));
            let mut placement = match hop {
                Some((hop, way)) => agreed(placement.clone(), hop, way),
                None => placement.clone(),
            };
            let found_by_hop = hop.is_some_and(|(hop, _)| is_sure(hop.status) && hop.edits == placement.edits);
            if let Some((run, reason)) = self.statements.excluded(target, number, &placement) {
                placement = Placement {
                    status: PlacementStatus::Excluded,
                    reasons: vec![reason],
                    decided_in: Some(run),
                    line: None,
                    column: None,
                    text: String::new(),
                    changes: Vec::new(),
                    edits: Vec::new(),
                    ..placement
                };
            }
            let there = placement.status == PlacementStatus::AlreadyThere;
            let placed = placement.status.is_placed();
            let leads = is_sure(placement.status) || placed && (moved || found_by_hop);
            if !(there || leads && !direct.written.contains(number)) {
                unsure.push(name);
            }
            placements.push(placement);
        }
        for (name, _) in numbers.iter().filter(|(name, _)| !unsure.contains(&name.as_str())) {
            let is_native = |placement: &Placement| placement.status == PlacementStatus::AlreadyThere;
            let native = placements.iter().any(|placement| placement.name == *name && is_native(placement));
            self.carried.insert(name.clone(), Carried { version, seen: version, native });
        }
        // Where a hop, however unsure, has led to the same place, the next one needs not be made from further away.
        let led_here = |name: &&String| {
            let found = hops.get(*name).map(|(found, _)| found.iter().map(|placement| &placement.edits));
            found
                .is_some_and(|found| found.eq(of_name(&placements, name).into_iter().map(|placement| &placement.edits)))
        };
        let same: Vec<String> = self.carried.keys().filter(led_here).cloned().collect();
        for name in obvious.into_iter().chain(same) {
            self.carried.entry(name).and_modify(|carried| carried.seen = version);
        }
        self.finals.push(joined(target, placements, &direct.propagation));
    }

    /// Names that stand directly where a hop would lead anyway.
    fn obvious(&self, target: &str, direct: &Propagation) -> Vec<String> {
        let is_obvious = |(name, carried): &(&String, &Carried)| self.is_obvious(name, carried.seen, target, direct);
        self.carried.iter().filter(is_obvious).map(|(name, _)| name.clone()).collect()
    }

    /// What the last hop gives for each other name that has been placed before.
    fn hops(&self, target: &str, obvious: &[String], apart: &[Number]) -> HashMap<String, (Vec<Placement>, Way)> {
        let mut by_version: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for name in self.statements.names.iter().filter(|name| !obvious.contains(name)) {
            if let Some(carried) = self.carried.get(name) {
                by_version.entry(carried.version).or_default().push(name.clone());
            }
        }
        let mut found: HashMap<String, (Vec<Placement>, Way)> = HashMap::new();
        for (version, names) in by_version {
            let from = &self.finals[version].text;
            let hop =
                self.cache.placed(from, &names, target, (&[], apart), || propagate_apart(from, &names, target, apart));
            for placement in hop.placements {
                let native = self.carried.get(&placement.name).is_some_and(|carried| carried.native);
                let way = Way { passed: version + 1, native };
                found.entry(placement.name.clone()).or_insert_with(|| (Vec::new(), way)).0.push(placement);
            }
        }
        found
    }

    /// Whether a name's statements stand directly where they do in another version: the same text in the same lines.
    fn is_obvious(&self, name: &str, from: usize, target: &str, direct: &Propagation) -> bool {
        let there = of_name(&self.finals[from].placements, name);
        let here = of_name(&direct.placements, name);
        let same = |(a, b): (&&Placement, &&Placement)| {
            let (Some(before), Some(after)) = (a.after_line, b.after_line) else { return false };
            a.status.is_placed()
                && b.status.is_placed()
                && a.text == b.text
                && is_same_place((&self.chain[from], before), (target, after))
        };
        there.len() == here.len() && there.iter().zip(&here).all(same)
    }
}

/// The target with all placements in it. What hops found and does not go together with the rest gives way.
fn joined(target: &str, placements: Vec<Placement>, direct: &Propagation) -> Propagation {
    if placements.iter().zip(&direct.placements).all(|(a, b)| a.edits == b.edits) {
        return Propagation { placements, ..direct.clone() };
    }
    let kept = |(decided, found): (&Placement, &Placement)| {
        if decided.status == PlacementStatus::Excluded { decided.clone() } else { found.clone() }
    };
    let without_hops = placements.iter().zip(&direct.placements).map(kept).collect();
    let problems = || direct.problems.clone();
    let found = composed(target, placements, problems()).filter(|found| is_once(target, found));
    let found = found.or_else(|| composed(target, without_hops, problems()));
    let nothing =
        || Propagation { placements: Vec::new(), text: target.to_owned(), inserted: Vec::new(), problems: problems() };
    found.unwrap_or_else(nothing)
}

/// Whether each statement is written once: two ways may bring it with different others.
fn is_once(target: &str, found: &Propagation) -> bool {
    let (before, after) = (log_statements(target), log_statements(&found.text));
    let count = |list: &[LogStatement], name: &str| list.iter().filter(|one| one.name == name).count();
    found.placements.iter().all(|placement| {
        let name = placement.name.as_str();
        let placed = of_name(&found.placements, name).into_iter().filter(|one| one.status.is_placed());
        count(&after, name) <= count(&before, name) + placed.count()
    })
}

fn of_name<'p>(placements: &'p [Placement], name: &str) -> Vec<&'p Placement> {
    placements.iter().filter(|placement| placement.name == name).collect()
}

fn is_sure(status: PlacementStatus) -> bool {
    matches!(status, PlacementStatus::Exact | PlacementStatus::Adapted)
}
