//! A planned segment from what is left of the checkpoints: some may have been removed since it was planned.

use std::collections::BTreeSet;

use super::states::{States, uncovered};
use super::track::Track;
use super::{Rates, RunInput, main_loop, track};
use crate::model::instrument::{InstrumentationPlan, Reach};
use crate::model::plan::{Segment, Stop};
use crate::model::run::{Checkpoint, CheckpointKind, IterationTiming, RunTimings};

/// The iterations that can be entered by restoring one of these checkpoints.
pub fn starts(instrumentation: &InstrumentationPlan, checkpoints: &[Checkpoint]) -> BTreeSet<u64> {
    let Some(main) = main_loop(instrumentation) else { return BTreeSet::new() };
    let enters = |found: &&Checkpoint| {
        found.kind == CheckpointKind::IterationStart && main.jumpable && uncovered(found, main, "").is_none()
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
    // How long they take is not known here: longer than restoring any state, which is right by itself.
    const LONG_NS: u64 = 3_600_000_000_000;
    let whole = IterationTiming { total_ns: LONG_NS, complete: true, ..IterationTiming::default() };
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
        rates: Rates::default(),
    };
    let replanned = match main_loop(instrumentation) {
        Some(main) if segment.stop == Stop::AtEnd => {
            let states = States::new(&input, main, &mut Vec::new());
            let track = Track::to_the_end(&input, states, &segment.wanted);
            Some(track.segment(0, 0..track.parts()))
        }
        // On this thread alone: a worker that is about to isolate itself may have no other.
        _ => track(&input).0.map(|track| track.segment(0, 0..track.parts())),
    };
    let kept = Segment { steps: Vec::new(), ..segment.clone() };
    replanned.map_or_else(|| segment.clone(), |replanned| Segment { steps: replanned.steps, ..kept })
}
