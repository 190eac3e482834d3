//! Following a replay job: what is told while it runs and what at its end.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::base::ids::JobId;
use crate::base::units::duration_ns;
use crate::cli::error::{DIVERGED, Error, INTERRUPTED};
use crate::cli::output::Output;
use crate::cli::{check, now_ms};
use crate::engine::project::Project;
use crate::model::job::{JobStatus, SegmentState, SegmentStatus};
use crate::model::plan::ReplayPlan;

/// So many likely causes are told while following; `jobs show` tells all.
const CAUSES: usize = 3;

/// What Ctrl-C does to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnInterrupt {
    Cancel,
    Detach,
}

/// A job that was followed to its end.
pub(super) struct Followed {
    pub(super) status: JobStatus,
    /// Whether Ctrl-C cancelled it.
    interrupted: bool,
}

/// Follows a job to its end, a line for each segment that ends; `None` where Ctrl-C ended the following only.
pub(super) fn follow(
    project: &Project,
    job: &JobId,
    on_interrupt: OnInterrupt,
    output: &mut Output,
) -> Result<Option<Followed>, Error> {
    const POLL: Duration = Duration::from_millis(40);
    let interrupted = Arc::new(AtomicBool::new(false));
    // The first one is taken in below, a second one ends this process at once. Without handlers Ctrl-C only stops following.
    let _ = flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&interrupted));
    let _ = flag::register(SIGINT, Arc::clone(&interrupted));
    let mut cancelled = false;
    let mut told: Vec<u32> = Vec::new();
    // What holds for many segments is said once.
    let mut noted: BTreeSet<String> = BTreeSet::new();
    loop {
        if interrupted.load(Ordering::Relaxed) && !cancelled {
            output.progress("");
            if on_interrupt == OnInterrupt::Detach {
                output.note(&format!("the replay goes on: `afterlog jobs cancel {job}` ends it"));
                return Ok(None);
            }
            cancelled = true;
            output.note("cancelling the replay; what is finished is kept");
            project.cancel(job)?;
        }
        // Also marks as cancelled what is left undone where the coordinator was killed.
        project.refresh()?;
        if let Some(status) = project.jobs()?.into_iter().find(|status| status.id == *job) {
            let total = status.segments.len();
            for segment in &status.segments {
                let ended = !matches!(segment.state, SegmentState::Queued | SegmentState::Running { .. });
                if ended && !told.contains(&segment.id) {
                    told.push(segment.id);
                    output.progress("");
                    output.note(&format!("[{}/{total}] {}", told.len(), segment_line(segment)));
                    segment
                        .notes
                        .iter()
                        .filter(|note| noted.insert((*note).clone()))
                        .for_each(|note| output.note(note));
                    segment
                        .causes
                        .iter()
                        .take(CAUSES)
                        .for_each(|cause| output.note(&format!("likely: {}", cause.sentence)));
                }
            }
            if told.len() == total {
                output.progress("");
                return Ok(Some(Followed { status, interrupted: cancelled }));
            }
            output.progress(&progress(project, &status));
        }
        std::thread::sleep(POLL);
    }
}

/// Waits until other commands find a job that was just started: its process has to note its beginning first.
pub(super) fn await_listing(project: &Project, job: &JobId) -> Result<(), Error> {
    const POLL: Duration = Duration::from_millis(20);
    // A process that never gets there is not waited for.
    for _ in 0..250 {
        project.refresh()?;
        if project.jobs()?.iter().any(|status| status.id == *job) {
            break;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// How far a job is, in a line.
fn progress(project: &Project, status: &JobStatus) -> String {
    let counts = status.counts();
    let steps = |segment: &SegmentStatus| match segment.state {
        SegmentState::Queued => 0,
        SegmentState::Running { done_steps } => done_steps,
        _ => segment.steps,
    };
    let (done, all) = status.segments.iter().fold((0, 0), |(d, a), segment| (d + steps(segment), a + segment.steps));
    let left = project.job_left_ns(status, now_ms()).map(|left| format!(", about {} left", duration_ns(left)));
    let (ended, total) = (counts.ended(), counts.total);
    format!("{ended} of {total} segments, {done} of {all} iterations{}", left.unwrap_or_default())
}

/// A segment: its run, its iterations, and what came of it.
pub(super) fn segment_line(segment: &SegmentStatus) -> String {
    let span = segment.span.map(|(a, b)| if a == b { format!(" {a}") } else { format!(" {a}..{b}") });
    format!("{}{} {}", segment.run, span.unwrap_or_default(), outcome(segment))
}

/// What came of a segment so far, in a line.
pub(super) fn outcome(segment: &SegmentStatus) -> String {
    match &segment.state {
        SegmentState::Done { check } => check.words(),
        SegmentState::Failed { message, .. } => format!("failed: {}", message.lines().last().unwrap_or_default()),
        SegmentState::Running { done_steps } => format!("running: {done_steps} of {} iterations", segment.steps),
        other => other.word().to_owned(),
    }
}

/// Tells what became of a job as a whole, and gives the exit code. `lacking`: some of what was asked for was not planned.
pub(super) fn conclude(
    followed: Option<Followed>,
    lacking: bool,
    in_words: bool,
    output: &mut Output,
) -> Result<ExitCode, Error> {
    let Some(Followed { status, interrupted }) = followed else { return Ok(ExitCode::from(INTERRUPTED)) };
    let counts = status.counts();
    for segment in &status.segments {
        if let SegmentState::Failed { traceback: Some(traceback), .. } = &segment.state {
            output.note(traceback);
        }
    }
    if in_words {
        output.line(&format!("Segments: {}.", counts.words()))?;
    }
    if counts.cancelled > 0 {
        output.note("the replay was cancelled, or its process killed: the same command computes what is left");
    }
    if interrupted {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let not_well = counts.diverged + counts.failed + counts.cancelled > 0 || lacking;
    Ok(if not_well { ExitCode::from(DIVERGED) } else { ExitCode::SUCCESS })
}

/// What came of a plan, as a JSON object.
pub(super) fn in_json(plan: &ReplayPlan, status: Option<&JobStatus>) -> String {
    let mut object = status
        .map_or_else(|| serde_json::json!({ "id": null, "names": plan.names }), |status| job_json(status, Some(plan)));
    let runs = plan.runs.iter().map(|run| {
        serde_json::json!({ "run": run.run, "state": run.state, "wanted": run.wanted, "known": run.known, "notes": run.notes,
            "environment": run.environment })
    });
    object["plan"] = runs.collect();
    if plan.names.is_empty() {
        object["checks"] = serde_json::json!(status.map(|status| check::of(plan, status)).unwrap_or_default());
    }
    object.to_string()
}

/// A job with all its segments, as JSON.
pub(super) fn job_json(status: &JobStatus, plan: Option<&ReplayPlan>) -> serde_json::Value {
    let segments = status.segments.iter().map(|segment| {
        let mut object = serde_json::json!(segment);
        object["outcome"] = outcome(segment).into();
        if let SegmentState::Done { check } = &segment.state {
            object["verdict"] = serde_json::json!(check.verdict());
        }
        object
    });
    serde_json::json!({
        "id": status.id, "names": status.names, "started_ms": status.started_ms, "state": status.state(),
        "counts": status.counts(), "runs": status.runs(), "segments": segments.collect::<Vec<_>>(),
        "estimate": plan.map(estimate_json), "took_ns": status.took_ns(),
    })
}

/// What a job was estimated to take as a whole, as its plan says it.
pub(super) fn estimate_json(plan: &ReplayPlan) -> serde_json::Value {
    serde_json::json!({
        "workers": plan.workers, "expected_ns": plan.expected_ns, "makespan_ns": plan.makespan_ns,
        "learnt_from": plan.learnt_from,
    })
}
