//! `afterlog replay --check`: whether runs can be replayed at all, told a sentence each.

use crate::base::ids::RunId;
use crate::base::units::counted;
use crate::cli::error::Error;
use crate::engine::project::Project;
use crate::model::job::{JobStatus, SegmentState, SegmentStatus};
use crate::model::plan::{ReplayPlan, RunPlan, RunPlanState};
use crate::model::verdict::Verdict;

/// What the samples of a run say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Replayable,
    /// Nothing differs, but of some samples nothing could be compared.
    Unproven,
    Diverged,
    Failed,
    /// Cancelled, or nothing was executed.
    Unknown,
}

/// A run and what its samples say.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct RunCheck {
    run: RunId,
    outcome: Outcome,
    pub(super) sentence: String,
}

/// The runs that are to be checked: the last one, if none is named.
pub(super) fn select(project: &Project, named: &[String]) -> Result<Vec<RunId>, Error> {
    let mut runs: Vec<RunId> = Vec::new();
    let last = ["last".to_owned()];
    for selection in if named.is_empty() { &last } else { named } {
        runs.extend(project.select(selection)?);
    }
    runs.sort();
    runs.dedup();
    Ok(runs)
}

/// What a check's samples say of each run; nothing where the plan is no check.
pub(super) fn of(plan: &ReplayPlan, status: &JobStatus) -> Vec<RunCheck> {
    let runs = plan.runs.iter().filter(|_| plan.names.is_empty());
    runs.map(|run| one(run, &status.segments.iter().filter(|segment| segment.run == run.run).collect::<Vec<_>>()))
        .collect()
}

fn one(run: &RunPlan, segments: &[&SegmentStatus]) -> RunCheck {
    let (outcome, why) = judged(run, segments);
    RunCheck { run: run.run.clone(), outcome, sentence: format!("{}: {why}.", run.run) }
}

fn judged(run: &RunPlan, segments: &[&SegmentStatus]) -> (Outcome, String) {
    if run.state != RunPlanState::Replay {
        return (Outcome::Unknown, format!("not checked: {}", run.notes.join("; ")));
    }
    let samples = counted(segments.len() as u64, "sample");
    let likely = |segment: &SegmentStatus| {
        segment.causes.first().map(|cause| format!("; likely: {}", cause.sentence)).unwrap_or_default()
    };
    for segment in segments {
        match &segment.state {
            SegmentState::Done { check } => {
                if let Some(difference) = &check.first_difference {
                    let (name, at) = (&difference.name, &difference.position);
                    let place = if at.0.is_empty() { "outside the loops".into() } else { format!("at {at}") };
                    let why = format!("not replayable: {name} {place} differs from the record{}", likely(segment));
                    return (Outcome::Diverged, why);
                }
            }
            SegmentState::Failed { message, .. } => {
                let reason = message.lines().last().unwrap_or_default();
                return (Outcome::Failed, format!("not replayable here: {reason}{}", likely(segment)));
            }
            SegmentState::Queued | SegmentState::Running { .. } | SegmentState::Cancelled => {
                return (Outcome::Unknown, "not known: the check was cancelled".into());
            }
        }
    }
    let is_proven = |segment: &&&SegmentStatus| matches!(&segment.state, SegmentState::Done { check } if check.verdict() == Verdict::Verified);
    let proven = segments.iter().filter(is_proven).count();
    if proven == segments.len() {
        return (Outcome::Replayable, format!("replayable: {samples} of it came out as recorded"));
    }
    let why = format!(
        "not proven: nothing differs in {samples}, but in {} there was nothing to compare",
        segments.len() - proven
    );
    (Outcome::Unproven, why)
}
