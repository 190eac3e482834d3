//! What of a run can be restored where, and what each of its iterations costs.

use super::RunInput;
use crate::model::instrument::LoopPlan;
use crate::model::plan::{ExpectedState, ReplayStep, SkippedBlock, Work};
use crate::model::run::{Checkpoint, CheckpointKind, IterationTiming};

/// Restoring puts the run's own state in place, which executing only should: it is left out only where it would take that
/// much longer than executing.
const NOTICEABLE_NS: u64 = 100_000_000;

/// A run's states and the work between them.
pub(super) struct States<'a> {
    input: &'a RunInput<'a>,
    /// Sound iteration starts, ascending.
    starts: Vec<&'a Checkpoint>,
    /// Stored block ends, ascending by iteration.
    ends: Vec<End<'a>>,
    /// Work of all iterations before each; one more than there are iterations.
    before: Vec<Work>,
    /// Iterations that can be replayed whole.
    pub(super) completed: u64,
}

struct End<'a> {
    block: &'a str,
    occurrence: u64,
    checkpoint: &'a Checkpoint,
    /// Whether the block may be skipped there.
    skippable: bool,
}

/// How to get to an iteration: from which one on to execute, and what to restore at its start.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) first: u64,
    pub(super) restore: Option<&'a Checkpoint>,
}

impl<'a> States<'a> {
    pub(super) fn new(input: &'a RunInput<'a>, main: &LoopPlan, notes: &mut Vec<String>) -> Self {
        let (mut starts, mut ends): (Vec<&Checkpoint>, Vec<End<'_>>) = (Vec::new(), Vec::new());
        for checkpoint in input.checkpoints {
            match &checkpoint.kind {
                CheckpointKind::IterationStart => match uncovered(checkpoint, main, "") {
                    None if main.jumpable => starts.push(checkpoint),
                    None => {}
                    Some(why) => {
                        let note = format!("no iteration can be entered: {why}");
                        if !notes.contains(&note) {
                            notes.push(note);
                        }
                    }
                },
                CheckpointKind::BlockEnd { block, occurrence } => {
                    let skippable = obstacle(input, main, block, checkpoint).is_none();
                    ends.push(End { block, occurrence: *occurrence, checkpoint, skippable });
                }
            }
        }
        // In order of capture they are in order already, as far as that is known.
        starts.sort_by_key(|found| found.iteration);
        ends.sort_by_key(|end| end.checkpoint.iteration);
        // Of a run that ended, the last iteration counts too, though a `break` may have left it.
        let whole = |iteration: &&IterationTiming| iteration.complete || input.ended;
        let completed = input.timings.iterations.iter().filter(whole).count() as u64;
        let mut states = Self { input, starts, ends, before: Vec::new(), completed };
        states.before = states.sum();
        states
    }

    fn sum(&self) -> Vec<Work> {
        let timings = &self.input.timings.iterations;
        let mut before = Vec::with_capacity(timings.len() + 1);
        let mut sum = Work::default();
        before.push(sum);
        let mut ends = &self.ends[..];
        for (iteration, timing) in (0..).zip(timings) {
            let of_this = ends.up_to(iteration);
            sum += work(timing, &ends[..of_this]);
            ends = &ends[of_this..];
            before.push(sum);
        }
        before
    }

    /// The work of the iterations in `first..end`; of those that nobody timed it is nothing.
    pub(super) fn between(&self, first: u64, end: u64) -> Work {
        let at = |iteration: u64| {
            let last = self.before.len() - 1;
            self.before[usize::try_from(iteration).unwrap_or(last).min(last)]
        };
        at(end) - at(first)
    }

    /// How to get to `iteration` in its own state from `next`, the iteration that would be executed next: by going on, or
    /// from the nearest stored start. What is quicker.
    pub(super) fn way(&self, iteration: u64, next: u64) -> Way<'a> {
        let found = self.starts.partition_point(|start| start.iteration <= iteration);
        let start = found.checked_sub(1).map(|at| self.starts[at]).filter(|start| start.iteration > next);
        let on = Way { first: next, restore: None };
        let Some(start) = start else { return on };
        let rates = &self.input.rates;
        let restoring = rates.added_ns(restoring(start));
        let executing = rates.added_ns(self.between(next, start.iteration));
        if restoring > executing.saturating_add(NOTICEABLE_NS) {
            return on;
        }
        Way { first: start.iteration, restore: Some(start) }
    }

    /// The work of going this way and of the iteration itself.
    pub(super) fn along(&self, way: Way<'_>, iteration: u64) -> Work {
        let restored = way.restore.map(restoring).unwrap_or_default();
        self.between(way.first, iteration + 1) + restored
    }

    /// Appends the iterations that lead this way, and the iteration itself.
    pub(super) fn walk(&self, way: Way<'_>, iteration: u64, steps: &mut Vec<ReplayStep>) {
        let mut ends = &self.ends[self.ends.partition_point(|end| end.checkpoint.iteration < way.first)..];
        for at in way.first..=iteration {
            let of_this = ends.up_to(at);
            let restore = way.restore.filter(|_| at == way.first).map(|start| start.seq);
            steps.push(step(at, restore, &ends[..of_this]));
            ends = &ends[of_this..];
        }
    }
}

trait Ends {
    /// How many of these, ascending, belong to iterations up to this one.
    fn up_to(&self, iteration: u64) -> usize;
}

impl Ends for [End<'_>] {
    fn up_to(&self, iteration: u64) -> usize {
        // Few are looked for among many.
        self.iter().take_while(|end| end.checkpoint.iteration <= iteration).count()
    }
}

/// What loading a checkpoint is.
fn restoring(checkpoint: &Checkpoint) -> Work {
    Work { restores: 1, restored_bytes: checkpoint.bytes, ..Work::default() }
}

/// One iteration's work: its recorded time without that of the blocks that it skips, and their restored ends.
fn work(timing: &IterationTiming, ends: &[End<'_>]) -> Work {
    let mut work = Work { execute_ns: timing.total_ns, ..Work::default() };
    for end in ends.iter().filter(|end| end.skippable) {
        let mut executions = timing.blocks.iter().filter(|(key, _)| key == end.block);
        let recorded = usize::try_from(end.occurrence).ok().and_then(|nth| executions.nth(nth));
        work.execute_ns = work.execute_ns.saturating_sub(recorded.map_or(0, |(_, ns)| *ns));
        work += restoring(end.checkpoint);
    }
    work
}

/// One iteration, skipping what may be skipped.
fn step(iteration: u64, restore: Option<u64>, ends: &[End<'_>]) -> ReplayStep {
    let mut step = ReplayStep { iteration, restore, skip: Vec::new(), expect: Vec::new() };
    for end in ends {
        let (block, occurrence, checkpoint) = (end.block.to_owned(), end.occurrence, end.checkpoint.seq);
        if end.skippable {
            step.skip.push(SkippedBlock { block, occurrence, checkpoint });
        } else {
            step.expect.push(ExpectedState { block, occurrence, checkpoint });
        }
    }
    step
}

/// Why a block must be executed though its end is stored, in words; `None` where it may be skipped.
pub(super) fn obstacle(input: &RunInput<'_>, main: &LoopPlan, block: &str, end: &Checkpoint) -> Option<String> {
    let Some(plan) = input.instrumentation.find(block) else {
        return Some("the script with the statement in it has no such block".into());
    };
    if input.reach.blocks.iter().any(|key| key == block) {
        return Some("the statement can run in it".into());
    }
    if let Some(why) = &plan.never_skip {
        return Some(why.clone());
    }
    if end.missing.is_empty() {
        return None;
    }
    uncovered(end, plan, "block/").or_else(|| uncovered_main(end, plan, main))
}

/// A variable that may be read after this point before it is assigned and that was not captured, in words.
pub(super) fn uncovered(checkpoint: &Checkpoint, plan: &LoopPlan, prefix: &str) -> Option<String> {
    let missing = checkpoint.missing.iter().find(|(key, _)| {
        let own = key.strip_prefix(prefix).unwrap_or(key);
        own.split_once(':').is_some_and(|(scope, name)| !matches!(scope, "rng" | "process") && is_live(plan, own, name))
    });
    missing.map(not_captured)
}

/// Something of the main loop's that the skipped block may change, that is read later, and that was not captured.
fn uncovered_main(checkpoint: &Checkpoint, block: &LoopPlan, main: &LoopPlan) -> Option<String> {
    let lacking = checkpoint.missing.iter().find(|(key, _)| {
        let name = plain_name(key);
        // A named object is needed whole; a variable only if it is read before it is assigned again.
        let same_frame = block.scope == main.scope && block.file == main.file;
        let live = if same_frame { is_live(block, key, name) } else { is_live(main, key, name) };
        !key.starts_with("block/") && (key.starts_with("object:") || live)
    });
    lacking.map(not_captured)
}

fn not_captured((key, reason): &(String, String)) -> String {
    format!("'{}' was not captured: {reason}", plain_name(key))
}

fn is_live(plan: &LoopPlan, key: &str, name: &str) -> bool {
    plan.live.iter().any(|live| live == key || live == name || live.ends_with(&format!(":{name}")))
}

fn plain_name(key: &str) -> &str {
    key.rsplit(':').next().unwrap_or(key)
}
