//! Plans the replay of one run: which iterations are executed from which state, and what is skipped. Pure.
//!
//! Every line that a plan executes runs in the state in which the run itself executed it: an iteration begins in a
//! restored iteration start or right after the iteration before it; a block is skipped only where its stored end covers
//! everything it changes that is read later. Levels and weak initialisation follow Flor (Garcia et al., VLDB 2021,
//! section 5).

mod again;
mod cost;
mod schedule;

use std::collections::BTreeMap;

pub use again::{again, needs, starts};
pub use cost::Rates;
pub use schedule::makespan_ns;

use crate::base::ids::RunId;
use crate::model::instrument::{InstrumentationPlan, LoopPlan, Reach};
use crate::model::plan::{Cost, ExpectedState, ReplayStep, Segment, SkippedBlock, Stop};
use crate::model::run::{Checkpoint, CheckpointKind, IterationTiming, RunTimings};

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
    /// Segments to aim for.
    pub workers: usize,
    pub rates: Rates,
}

/// The segments of one run, numbered from 0, and what the user should know about them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSegments {
    pub segments: Vec<Segment>,
    pub notes: Vec<String>,
}

/// Plans one run.
pub fn plan_run(input: &RunInput<'_>) -> RunSegments {
    let mut result = RunSegments::default();
    let main = input.instrumentation.main.as_ref().and_then(|key| input.instrumentation.find(key));
    let Some(main) = main else {
        // Without a main loop there is nothing to enter in the middle: the whole script is executed.
        result.notes.push("the script has no main loop that can be entered: all of it is executed".into());
        let cost = Cost { execute_ns: input.timings.prefix_ns, ..Cost::default() };
        result.segments.push(segment(input, Vec::new(), Vec::new(), Stop::AtEnd, cost));
        return result;
    };
    let planner = Planner::new(input, main, &mut result.notes);
    let inside = input.reach.body || !input.reach.blocks.is_empty();
    let wanted: Vec<u64> = if inside { input.wanted.to_vec() } else { Vec::new() };
    if input.outside && input.reach.after {
        if input.ended {
            result.segments.push(planner.to_the_end(&wanted));
            return result;
        }
        result.notes.push("the run did not end by itself: nothing after its main loop can be replayed".into());
    }
    if !wanted.is_empty() {
        result.segments = planner.segments(&wanted);
    } else if input.outside && input.reach.before {
        let cost = Cost { prefix_ns: input.timings.prefix_ns, ..Cost::default() };
        result.segments.push(segment(input, Vec::new(), Vec::new(), Stop::AtMainLoop, cost));
    }
    for (id, segment) in (0..).zip(&mut result.segments) {
        segment.id = id;
    }
    result
}

fn segment(input: &RunInput<'_>, steps: Vec<ReplayStep>, wanted: Vec<u64>, stop: Stop, cost: Cost) -> Segment {
    Segment { id: 0, run: input.run.clone(), steps, stop, wanted, cost }
}

/// What can be restored where.
struct Planner<'a> {
    input: &'a RunInput<'a>,
    /// Sound iteration starts: iteration → checkpoint.
    starts: BTreeMap<u64, &'a Checkpoint>,
    /// Stored block ends by iteration, block and occurrence.
    ends: BTreeMap<(u64, &'a str, u64), &'a Checkpoint>,
    /// Iterations that can be replayed whole.
    completed: u64,
}

impl<'a> Planner<'a> {
    fn new(input: &'a RunInput<'a>, main: &'a LoopPlan, notes: &mut Vec<String>) -> Self {
        let mut starts = BTreeMap::new();
        let mut ends = BTreeMap::new();
        let mut said: Vec<String> = Vec::new();
        for checkpoint in input.checkpoints {
            match &checkpoint.kind {
                CheckpointKind::IterationStart => match uncovered(checkpoint, main, "") {
                    None if main.jumpable => drop(starts.insert(checkpoint.iteration, checkpoint)),
                    None => {}
                    Some(why) => said.push(format!("no iteration can be entered: {why}")),
                },
                CheckpointKind::BlockEnd { block, occurrence } => {
                    ends.insert((checkpoint.iteration, block.as_str(), *occurrence), checkpoint);
                }
            }
        }
        if !main.jumpable {
            said.push(format!("the loop '{}' can only be entered at its beginning", main.name));
        } else if input.checkpoints.is_empty() && !input.wanted.is_empty() {
            said.push("the run has no checkpoints: it is executed from its beginning".into());
        }
        said.dedup();
        notes.extend(said);
        // Of a run that ended, the last iteration counts too, though a `break` may have left it.
        let whole = |iteration: &&IterationTiming| iteration.complete || input.ended;
        let completed = input.timings.iterations.iter().filter(whole).count();
        Self { input, starts, ends, completed: completed as u64 }
    }

    /// The checkpoint of a block's end, if the block may be skipped there.
    fn skippable(&self, iteration: u64, block: &str, occurrence: u64) -> Option<&'a Checkpoint> {
        let plan = self.input.instrumentation.find(block)?;
        let may_probe = self.input.reach.blocks.iter().any(|key| key == block);
        if may_probe || plan.never_skip.is_some() {
            return None;
        }
        let checkpoint = *self.ends.get(&(iteration, block, occurrence))?;
        let main = self.input.instrumentation.main.as_ref().and_then(|key| self.input.instrumentation.find(key))?;
        let covered = uncovered(checkpoint, plan, "block/").is_none() && uncovered_main(checkpoint, plan, main);
        covered.then_some(checkpoint)
    }

    /// One iteration, skipping what may be skipped.
    fn step(&self, iteration: u64, restore: Option<u64>) -> ReplayStep {
        let mut step = ReplayStep { iteration, restore, skip: Vec::new(), expect: Vec::new() };
        for ((_, block, occurrence), checkpoint) in self.ends_of(iteration) {
            let block = (*block).to_owned();
            if self.skippable(iteration, &block, *occurrence).is_some() {
                step.skip.push(SkippedBlock { block, occurrence: *occurrence, checkpoint: checkpoint.seq });
            } else {
                let digests = checkpoint.digests.clone();
                step.expect.push(ExpectedState { block, occurrence: *occurrence, checkpoint: checkpoint.seq, digests });
            }
        }
        step
    }

    fn ends_of(&self, iteration: u64) -> impl Iterator<Item = (&(u64, &'a str, u64), &&'a Checkpoint)> {
        self.ends.range((iteration, "", 0)..(iteration + 1, "", 0))
    }

    /// The iterations to execute so that `iteration` is reached in its own state: from the nearest sound start at or
    /// before it, but not before `done` (exclusive), after which the state is right by itself.
    fn lead(&self, iteration: u64, done: Option<u64>) -> Vec<(u64, Option<u64>)> {
        let start = self.starts.range(..=iteration).next_back();
        let from = match (start, done) {
            // Going on costs nothing; restoring costs little: restore only where that saves iterations.
            (Some((start, checkpoint)), Some(done)) if *start > done + 1 => Some((*start, Some(checkpoint.seq))),
            (_, Some(done)) => Some((done + 1, None)),
            (Some((start, checkpoint)), None) if *start > 0 => Some((*start, Some(checkpoint.seq))),
            _ => None,
        };
        let (first, restore) = from.unwrap_or((0, None));
        (first..=iteration).map(|at| (at, if at == first { restore } else { None })).collect()
    }

    /// One segment that reaches all of these iterations.
    fn segment(&self, wanted: &[u64], stop: Stop) -> Segment {
        let mut steps: Vec<ReplayStep> = Vec::new();
        for iteration in wanted {
            let done = steps.last().map(|step| step.iteration);
            for (at, restore) in self.lead(*iteration, done) {
                steps.push(self.step(at, restore));
            }
        }
        let cost = cost::of(&steps, stop, self.input);
        segment(self.input, steps, wanted.to_vec(), stop, cost)
    }

    /// Splits the wanted iterations into as many segments as shorten the whole on the workers at hand.
    fn segments(&self, wanted: &[u64]) -> Vec<Segment> {
        let possible: Vec<u64> = wanted.iter().copied().filter(|at| *at < self.completed).collect();
        if possible.is_empty() {
            return Vec::new();
        }
        let mut best = vec![self.segment(&possible, Stop::AfterLastStep)];
        let mut best_ns = best[0].cost.total_ns();
        for pieces in 2..=self.input.workers.min(possible.len()) {
            let split: Vec<Segment> = schedule::balanced(&possible, pieces, |at| self.cost_of_iteration(at))
                .into_iter()
                .map(|part| self.segment(part, Stop::AfterLastStep))
                .collect();
            let longest = split.iter().map(|segment| segment.cost.total_ns()).max().unwrap_or(0);
            // A second process is worth it only for a clear gain: it costs the machine its start and prefix again.
            if longest < best_ns - best_ns / 4 {
                best_ns = longest;
                best = split;
            }
        }
        best
    }

    /// The last iteration and what follows the loop, with all wanted iterations on the way.
    fn to_the_end(&self, wanted: &[u64]) -> Segment {
        let mut all = wanted.to_vec();
        if let Some(last) = self.completed.checked_sub(1).filter(|last| all.last() != Some(last)) {
            all.retain(|at| *at < last);
            all.push(last);
        }
        let mut segment = self.segment(&all, Stop::AtEnd);
        segment.wanted = wanted.to_vec();
        segment
    }

    fn cost_of_iteration(&self, iteration: u64) -> u64 {
        let step = self.step(iteration, None);
        cost::of(&[step], Stop::AfterLastStep, self.input).execute_ns.max(1)
    }
}

/// A variable that may be read after this point before it is assigned and that was not captured, in words.
fn uncovered(checkpoint: &Checkpoint, plan: &LoopPlan, prefix: &str) -> Option<String> {
    let missing = checkpoint.missing.iter().find(|(key, _)| {
        let own = key.strip_prefix(prefix).unwrap_or(key);
        own.split_once(':').is_some_and(|(scope, name)| !matches!(scope, "rng" | "process") && is_live(plan, own, name))
    });
    missing.map(|(key, reason)| format!("'{}' was not captured: {reason}", plain_name(key)))
}

/// Whether everything of the main loop's that the skipped block may change, and that is read later, was captured.
fn uncovered_main(checkpoint: &Checkpoint, block: &LoopPlan, main: &LoopPlan) -> bool {
    checkpoint.missing.iter().all(|(key, _)| {
        let name = plain_name(key);
        // A named object is needed whole; a variable only if it is read before it is assigned again.
        let same_frame = block.scope == main.scope && block.file == main.file;
        let live = if same_frame { is_live(block, key, name) } else { is_live(main, key, name) };
        !key.starts_with("object:") && !live || key.starts_with("block/")
    })
}

fn is_live(plan: &LoopPlan, key: &str, name: &str) -> bool {
    plan.live.iter().any(|live| live == key || live == name || live.ends_with(&format!(":{name}")))
}

fn plain_name(key: &str) -> &str {
    key.rsplit(':').next().unwrap_or(key)
}

#[cfg(test)]
mod tests;
