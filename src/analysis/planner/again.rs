//! A planned segment from what is left of the checkpoints: some may have been removed since it was planned.

use std::collections::BTreeSet;

use super::{Planner, Rates, RunInput, plan_run};
use crate::model::instrument::{InstrumentationPlan, Reach};
use crate::model::plan::{Segment, Stop};
use crate::model::run::{Checkpoint, CheckpointKind, IterationTiming, RunTimings};

/// The iterations that can be entered by restoring one of these checkpoints.
pub fn starts(instrumentation: &InstrumentationPlan, checkpoints: &[Checkpoint]) -> BTreeSet<u64> {
    let Some(main) = instrumentation.main.as_ref().and_then(|key| instrumentation.find(key)) else {
        return BTreeSet::new();
    };
    let enters = |found: &&Checkpoint| {
        found.kind == CheckpointKind::IterationStart && main.jumpable && super::uncovered(found, main, "").is_none()
    };
    checkpoints.iter().filter(enters).map(|found| found.iteration).collect()
}

/// The checkpoints that a segment loads.
pub fn needs(segment: &Segment) -> BTreeSet<u64> {
    let steps = segment.steps.iter();
    steps.flat_map(|step| step.restore.into_iter().chain(step.skip.iter().map(|skip| skip.checkpoint))).collect()
}

/// The same segment with these checkpoints only: from an earlier state, with more executed. As it is where it needs no others.
pub fn again(
    segment: &Segment,
    instrumentation: &InstrumentationPlan,
    reach: &Reach,
    checkpoints: &[Checkpoint],
) -> Segment {
    let there: BTreeSet<u64> = checkpoints.iter().map(|found| found.seq).collect();
    if needs(segment).is_subset(&there) {
        return segment.clone();
    }
    let last = segment.steps.last().map_or(0, |step| step.iteration + 1);
    let whole = IterationTiming { complete: true, ..IterationTiming::default() };
    let timings = RunTimings { iterations: vec![whole; usize::try_from(last).unwrap_or(0)], ..RunTimings::default() };
    let input = RunInput {
        run: &segment.run,
        instrumentation,
        reach,
        checkpoints,
        timings: &timings,
        ended: segment.stop == Stop::AtEnd,
        wanted: &segment.wanted,
        outside: false,
        workers: 1,
        rates: Rates::default(),
    };
    let main = instrumentation.main.as_ref().and_then(|key| instrumentation.find(key));
    let mut replanned = match main {
        Some(main) if segment.stop == Stop::AtEnd => {
            Planner::new(&input, main, &mut Vec::new()).to_the_end(&segment.wanted)
        }
        _ => match plan_run(&input).segments.into_iter().next() {
            Some(replanned) => replanned,
            None => return segment.clone(),
        },
    };
    replanned.id = segment.id;
    replanned
}
