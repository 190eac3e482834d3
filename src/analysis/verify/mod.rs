//! The deferred check: what a replay segment logged against what its run recorded where the segment executed.
//!
//! Both executions come as [`Happening`]s and are cut into [`Unit`]s: before the main loop, each of its iterations,
//! after it. A unit that both executed must hold the same: for each name the same values at the same places in the same
//! order, and loops of the same length. What differs, is missing or comes on top is a difference. What was not executed
//! is not compared: blocks that the segment skipped, iterations that it was not to execute, and whatever would have
//! followed where an execution was cut off.
//!
//! One unit of each side is in memory at a time. A script without a main loop is a single unit.

pub mod causes;
mod printed;
#[cfg(test)]
mod tests;
mod trace;
mod unit;

pub use trace::{Happening, LoopEnd, LoopRole, Trace};
pub use unit::{Place, Unit};

use std::collections::{BTreeSet, HashSet};

use crate::model::job::CheckReport;
use crate::model::plan::ReplayStep;

/// Compares the units of a segment with those of its run; both come in order. `added` are the names that the statements
/// added to the segment's script log: only of these may it log more than the run did. Gives the report, still without
/// what is unproven, and the units in which something equals the record.
pub fn check(
    recorded: impl IntoIterator<Item = Unit>,
    replayed: impl IntoIterator<Item = Unit>,
    added: &BTreeSet<String>,
) -> (CheckReport, BTreeSet<Place>) {
    let mut recorded = recorded.into_iter().peekable();
    let mut report = CheckReport::default();
    let mut places = BTreeSet::new();
    let mut equal_before = (0, 0);
    let mut known = HashSet::new();
    let mut went_on = false;
    for replayed in replayed {
        // What lies behind is what only the run executed.
        while let Some(unit) = recorded.next_if(|unit| unit.place < replayed.place) {
            unit.tell(&mut known);
        }
        // A place that the record does not have lies after the run's death or a gap: there is nothing to compare with.
        if let Some(recorded) = recorded.next_if(|unit| unit.place == replayed.place) {
            let before = report.equal_values + report.equal_lines;
            unit::compare(&recorded, &replayed, added, &mut report);
            unit::compare_printed(&recorded, &replayed, &mut known, &mut report);
            if report.equal_values + report.equal_lines > before {
                places.insert(replayed.place());
            }
        }
        match replayed.place {
            Place::Before => equal_before = (report.equal_values, report.equal_lines),
            Place::Iteration(_) | Place::After => went_on = true,
        }
    }
    if went_on {
        // That a script begins as it did proves nothing of what it computes later from a restored state.
        report.equal_values -= equal_before.0;
        report.equal_lines -= equal_before.1;
    }
    (report, places)
}

/// Those of the `wanted` iterations that nothing bears out, as inclusive ranges: neither in the iteration nor later, with
/// nothing restored in between, does anything equal the record. `equal` are the places in which something does.
pub fn unproven(steps: &[ReplayStep], wanted: &[u64], equal: &BTreeSet<Place>) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut led_to = equal.contains(&Place::After);
    for step in steps.iter().rev() {
        let proven = led_to || equal.contains(&Place::Iteration(step.iteration));
        if !proven && wanted.contains(&step.iteration) {
            match found.last_mut() {
                Some((first, _)) if *first == step.iteration + 1 => *first = step.iteration,
                _ => found.push((step.iteration, step.iteration)),
            }
        }
        // What comes out right from a restored state says nothing of the state before.
        led_to = proven && step.restore.is_none() && step.skip.is_empty();
    }
    found.reverse();
    found
}
