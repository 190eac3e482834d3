//! What one unit holds, and how two are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::analysis::verify::printed::{self, Known, Printed};
use crate::model::job::{CheckReport, Difference};
use crate::model::position::{Position, Step};
use crate::model::value::Value;

/// A stretch of an execution, seen from the main loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Before,
    Iteration(u64),
    After,
}

/// What was logged in one stretch, by name in order, and what its loops did.
#[derive(Debug)]
pub struct Unit {
    pub(super) place: Place,
    /// Whether the execution went through it to its end, and all of that was read.
    pub(super) complete: bool,
    items: BTreeMap<(Kind, Rc<str>), Vec<Item>>,
    count: u64,
    /// Loops that were not executed but restored: their paths, with index 0 at the end.
    skipped: Vec<Vec<Level>>,
    /// Whether a loop was not executed whose iterations nobody kept.
    skipped_silently: bool,
    printed: Printed,
}

/// What a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Logged,
    /// What a loop iterated over.
    Iterated,
    /// How a loop went: its number of iterations; of the main loop, that it was entered or left early. The path ends
    /// with the loop itself.
    Loop,
}

/// One loop of a path: the `entry`-th entry (from 0) of the loops of this name within the enclosing iteration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) name: Rc<str>,
    pub(super) entry: u32,
    pub(super) index: u64,
}

/// A value at its place.
#[derive(Debug)]
struct Item {
    /// Among all values of the unit.
    order: u64,
    path: Rc<[Level]>,
    value: Value,
}

impl Item {
    fn equals(&self, other: &Self) -> bool {
        self.path == other.path && self.value.same_bits(&other.value)
    }
}

impl Unit {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            complete: false,
            items: BTreeMap::new(),
            count: 0,
            skipped: Vec::new(),
            skipped_silently: false,
            printed: Printed::default(),
        }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn push(&mut self, kind: Kind, name: Rc<str>, path: Rc<[Level]>, value: Value) {
        let order = self.count;
        self.count += 1;
        self.items.entry((kind, name)).or_default().push(Item { order, path, value });
    }

    pub(super) fn skip(&mut self, path: Vec<Level>) {
        self.skipped.push(path);
    }

    pub(super) fn skip_silently(&mut self) {
        self.skipped_silently = true;
    }

    pub(super) fn print(&mut self, error: bool, path: Rc<[Level]>, line: &str) {
        self.printed.push(error, path, line);
    }

    /// Takes what it printed into what is known.
    pub(super) fn tell(&self, known: &mut Known) {
        self.printed.tell(known);
    }

    /// Whether it holds something that the other side need not have: what this one did not execute.
    pub(super) fn has_gaps(&self) -> bool {
        self.skipped_silently || !self.skipped.is_empty()
    }

    /// Whether this place lies in a loop that was not executed.
    pub(super) fn has_skipped(&self, path: &[Level]) -> bool {
        self.skipped.iter().any(|skipped| {
            let Some((innermost, outer)) = skipped.split_last() else { return false };
            let here = path.get(outer.len());
            path.starts_with(outer)
                && here.is_some_and(|level| level.name == innermost.name && level.entry == innermost.entry)
        })
    }
}

/// Adds to the report what is equal in both and, if there was no difference before, the first one.
pub(super) fn compare(recorded: &Unit, replayed: &Unit, added: &BTreeSet<String>, report: &mut CheckReport) {
    let both_complete = recorded.complete && replayed.complete;
    let mut first: Option<Differs<'_>> = None;
    let keys: BTreeSet<&(Kind, Rc<str>)> = recorded.items.keys().chain(replayed.items.keys()).collect();
    for key in keys {
        let (kind, name) = key;
        // An exception that cuts a unit off leaves its loops on the way out.
        if *kind == Kind::Loop && !both_complete {
            continue;
        }
        let mut series = Series {
            key,
            recorded: items_of(recorded, key),
            recorded_complete: recorded.complete,
            replayed: items_of(replayed, key),
            replayed_complete: replayed.complete,
            has_gaps: replayed.skipped_silently,
        };
        series.recorded.retain(|item| !replayed.has_skipped(&item.path));
        let (equal, difference) =
            if *kind == Kind::Logged && added.contains(&**name) { series.contained() } else { series.same() };
        // What loops do and iterate over is mostly given, not computed: there, equality proves nothing.
        report.equal_values += if *kind == Kind::Logged { equal } else { 0 };
        if let Some(difference) = difference
            && first.as_ref().is_none_or(|known| difference.rank() < known.rank())
        {
            first = Some(difference);
        }
    }
    if let (None, Some(first)) = (&report.first_difference, first) {
        report.first_difference = Some(first.described());
    }
}

/// Adds to the report the lines that both print, as far as they are evidence: see `printed`.
pub(super) fn compare_printed(recorded: &Unit, replayed: &Unit, known: &mut Known, report: &mut CheckReport) {
    printed::compare(recorded, &recorded.printed, replayed, &replayed.printed, known, report);
    recorded.tell(known);
}

fn items_of<'a>(unit: &'a Unit, key: &(Kind, Rc<str>)) -> Vec<&'a Item> {
    unit.items.get(key).into_iter().flatten().collect()
}

/// One name in a unit of both sides.
struct Series<'a> {
    key: &'a (Kind, Rc<str>),
    recorded: Vec<&'a Item>,
    recorded_complete: bool,
    replayed: Vec<&'a Item>,
    replayed_complete: bool,
    /// Whether some of the record is missing, and nobody knows which.
    has_gaps: bool,
}

impl<'a> Series<'a> {
    /// Both must be equal: how many are, and the first difference.
    fn same(&self) -> (u64, Option<Differs<'a>>) {
        if self.has_gaps && self.recorded.len() > self.replayed.len() {
            return self.within();
        }
        let (recorded, replayed) = (&self.recorded, &self.replayed);
        let equal = recorded.iter().zip(replayed).take_while(|(a, b)| a.equals(b)).count();
        let difference = match (recorded.get(equal), replayed.get(equal)) {
            (None, None) => None,
            (Some(a), None) => self.replayed_complete.then(|| self.differs(Some(a), None)),
            (None, Some(b)) => self.recorded_complete.then(|| self.differs(None, Some(b))),
            (Some(a), Some(b)) if a.path == b.path => Some(self.differs(Some(a), Some(b))),
            // Out of step: a value on top if the record's is still to come, else the record's is missing.
            (Some(a), Some(b)) if replayed[equal..].iter().any(|later| later.path == a.path) => {
                Some(self.differs(None, Some(b)))
            }
            (Some(a), Some(_)) => Some(self.differs(Some(a), None)),
        };
        (equal as u64, difference)
    }

    /// The replay must be contained in the record, in order.
    fn within(&self) -> (u64, Option<Differs<'a>>) {
        let mut rest = &self.recorded[..];
        for (equal, item) in (0..).zip(&self.replayed) {
            match rest.iter().position(|other| other.equals(item)) {
                Some(at) => rest = &rest[at + 1..],
                None => {
                    let instead = rest.iter().copied().find(|other| other.path == item.path);
                    return (equal, self.recorded_complete.then(|| self.differs(instead, Some(item))));
                }
            }
        }
        (self.replayed.len() as u64, None)
    }

    /// The record must be contained in the replay, in order: an added statement logs the same name.
    fn contained(&self) -> (u64, Option<Differs<'a>>) {
        let mut rest = &self.replayed[..];
        for (equal, item) in (0..).zip(&self.recorded) {
            match rest.iter().position(|other| other.equals(item)) {
                Some(at) => rest = &rest[at + 1..],
                None => {
                    let instead = rest.iter().copied().find(|other| other.path == item.path);
                    return (equal, self.replayed_complete.then(|| self.differs(Some(item), instead)));
                }
            }
        }
        (self.recorded.len() as u64, None)
    }

    fn differs(&self, recorded: Option<&'a Item>, replayed: Option<&'a Item>) -> Differs<'a> {
        Differs { key: self.key, recorded, replayed }
    }
}

/// A difference; at least one side has something.
struct Differs<'a> {
    key: &'a (Kind, Rc<str>),
    recorded: Option<&'a Item>,
    replayed: Option<&'a Item>,
}

impl Differs<'_> {
    /// What comes first; of two at once, what the run had.
    fn rank(&self) -> (Option<u64>, bool) {
        (self.recorded.or(self.replayed).map(|item| item.order), self.recorded.is_none())
    }

    fn described(&self) -> Difference {
        let (kind, name) = self.key;
        let name = match kind {
            Kind::Logged => name.to_string(),
            Kind::Iterated => format!("what loop {name} iterates over"),
            Kind::Loop => format!("the course of loop {name}"),
        };
        let path: &[Level] = self.recorded.or(self.replayed).map_or(&[], |item| &item.path);
        let path = if *kind == Kind::Loop { path.split_last().map_or(path, |(_, outer)| outer) } else { path };
        let step = |level: &Level| Step { name: level.name.to_string(), index: level.index };
        Difference {
            name,
            position: Position(path.iter().map(step).collect()),
            recorded: self.recorded.map(|item| item.value.clone()),
            replayed: self.replayed.map(|item| item.value.clone()),
        }
    }
}
