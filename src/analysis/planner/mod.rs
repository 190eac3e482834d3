//! Plans the replay of runs: which iterations are executed from which state, what is skipped, and in which pieces. Pure.
//!
//! Every line that a plan executes runs in the state in which the run itself executed it: an iteration begins in a
//! restored iteration start or right after the iteration before it; a block is skipped only where its stored end covers
//! everything it changes that is read later. Levels and weak initialisation follow Flor (Garcia et al., VLDB 2021,
//! section 5). All runs are planned together, since how one is best cut depends on what else the workers have to do.

mod again;
mod blocks;
mod cost;
mod divide;
mod learn;
mod schedule;
mod share;
mod states;
mod track;

pub use again::{again, needs, starts};
pub use blocks::block_uses;
pub use cost::{Rates, Ratio, nominal_restore_ns};
pub use learn::Observation;
pub use schedule::{Task, makespan_and_waits_ns, makespan_ns};
pub use share::workers_for;

use rayon::prelude::*;

use self::divide::Division;
use self::states::States;
use self::track::Track;
use crate::base::ids::RunId;
use crate::model::instrument::{InstrumentationPlan, LoopPlan, Reach};
use crate::model::plan::{Segment, Stop};
use crate::model::run::{Checkpoint, RunTimings};

/// What is known of a run and asked of it.
#[derive(Debug, Clone)]
pub struct RunInput<'a> {
    pub run: &'a RunId,
    /// Of the script with the statements in place.
    pub instrumentation: &'a InstrumentationPlan,
    /// Where the statements can run.
    pub reach: &'a Reach,
    /// In order of capture; only those that can be read.
    pub checkpoints: &'a [Checkpoint],
    pub timings: &'a RunTimings,
    /// Whether the script ran to its end.
    pub ended: bool,
    /// Main-loop iterations asked for, ascending, without those already known.
    pub wanted: &'a [u64],
    /// Whether the values outside the main loop are asked for.
    pub outside: bool,
    pub rates: Rates,
}

/// The segments of all runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Planned {
    /// Numbered from 0, in the order of the runs.
    pub segments: Vec<Segment>,
    /// For each run what the user should know about its segments.
    pub notes: Vec<Vec<String>>,
    /// As many as there is use for.
    pub workers: usize,
    /// Wall time on these workers.
    pub makespan_ns: u64,
    /// No plan for as many workers as were given takes less.
    pub bound_ns: u64,
}

/// Plans these runs on so many workers.
pub fn plan(inputs: &[RunInput<'_>], workers: usize) -> Planned {
    let (tracks, notes): (Vec<Option<Track<'_>>>, Vec<Vec<String>>) = inputs.par_iter().map(track).unzip();
    let tracks: Vec<Track<'_>> = tracks.into_iter().flatten().collect();
    let Division { pieces, workers, makespan_ns, bound_ns } = divide::divide(&tracks, workers);
    let segments = pieces.par_iter().enumerate().map(|(number, piece)| {
        tracks[piece.track].segment(u32::try_from(number).unwrap_or(u32::MAX), piece.parts.clone())
    });
    Planned { segments: segments.collect(), notes, workers, makespan_ns, bound_ns }
}

/// What is to be executed of one run, if anything, and what the user should know about it.
fn track<'a>(input: &'a RunInput<'a>) -> (Option<Track<'a>>, Vec<String>) {
    let mut notes = Vec::new();
    let Some(main) = main_loop(input.instrumentation) else {
        if !input.outside && input.wanted.is_empty() {
            return (None, notes);
        }
        // Without a main loop there is nothing to enter in the middle: the whole script is executed.
        notes.push("the script has no main loop that can be entered: all of it is executed".into());
        return (Some(Track::whole(input, Stop::AtEnd)), notes);
    };
    let states = States::new(input, main, &mut notes);
    if !main.jumpable {
        let what = format!("the loop '{}' can only be entered at its beginning", main.name);
        let with_why = input.instrumentation.problems.iter().find(|problem| problem.starts_with(&what));
        notes.push(with_why.cloned().unwrap_or(what));
    } else if input.checkpoints.is_empty() && !input.wanted.is_empty() {
        notes.push("the run has no checkpoints: it is executed from its beginning".into());
    }
    let inside = input.reach.body || !input.reach.blocks.is_empty();
    let wanted = if inside { input.wanted } else { &[] };
    if input.outside && input.reach.after {
        if input.ended {
            return (Some(Track::to_the_end(input, states, wanted)), notes);
        }
        notes.push("the run did not end by itself: nothing after its main loop can be replayed".into());
    }
    if !wanted.is_empty() {
        let there = wanted.iter().any(|at| *at < states.completed);
        return (there.then(|| Track::through(input, states)), notes);
    }
    let before = input.outside && input.reach.before;
    (before.then(|| Track::whole(input, Stop::AtMainLoop)), notes)
}

/// The main loop that a plan names.
fn main_loop(instrumentation: &InstrumentationPlan) -> Option<&LoopPlan> {
    instrumentation.main.as_ref().and_then(|key| instrumentation.find(key))
}

#[cfg(test)]
mod tests;
