//! Gathers what is known of a segment that differs from its run or failed, for `analysis::verify::causes`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::analysis::python::{ChanceCall, chance_calls};
use crate::analysis::verify::causes::{ChangedFile, Evidence, of_difference, of_failure};
use crate::engine::facts;
use crate::engine::ingest::check::Added;
use crate::engine::ingest::fold::{Columns, Context};
use crate::engine::ingest::read;
use crate::model::job::{Cause, SegmentState};
use crate::model::plan::{ReplayPlan, RunPlan};
use crate::model::position::Position;
use crate::model::run::{Checkpoint, RunMeta};
use crate::store::db::SegmentRow;
use crate::store::journal::Event;
use crate::store::layout::{Layout, names};

/// What a segment's difference or failure may come from; nothing where it has neither. `changed` are files that the replay
/// read and that were changed since the run began, and those of them that are known to hold something else; `checkpoints` are the run's.
pub(super) fn of_segment(
    layout: &Layout,
    plan: &ReplayPlan,
    segment: &SegmentRow,
    meta: Option<&RunMeta>,
    changed: (&[String], &BTreeSet<String>),
    checkpoints: &[Checkpoint],
) -> Vec<Cause> {
    let difference = segment.report.as_ref().and_then(|report| report.first_difference.as_ref());
    let Some(run_plan) = plan.runs.iter().find(|run| run.run == segment.run) else { return Vec::new() };
    let folder = layout.segment(&segment.job, segment.status.id);
    let (recorded, replayed) = (facts::read(&layout.run(&segment.run)), facts::read(&folder));
    let mut evidence = Evidence { recorded, replayed, ..Evidence::default() };
    let here = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    evidence.hosts = meta.map(|meta| (meta.hostname.as_str(), here.as_str()));
    match (&segment.status.state, difference) {
        (SegmentState::Done { .. }, Some(difference)) => {
            evidence.files = files(segment, changed);
            evidence.uncaptured = uncaptured(plan, segment, checkpoints);
            (evidence.statement, evidence.script) = calls(run_plan);
            evidence.first_logged = first_logged(&folder, &Added::new(run_plan));
            of_difference(difference, &evidence)
        }
        (SegmentState::Failed { message, .. }, _) => {
            let disk = nix::sys::statvfs::statvfs(layout.store()).ok();
            evidence.free_bytes = disk.map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
            let planned = run_plan.environment.as_ref().map(|environment| environment.python.as_path());
            let python = planned.or(meta.map(|meta| meta.python.as_path())).unwrap_or(Path::new("python3"));
            of_failure(message, &python.display().to_string(), &evidence)
        }
        _ => Vec::new(),
    }
}

fn files(segment: &SegmentRow, (changed, differs): (&[String], &BTreeSet<String>)) -> Vec<ChangedFile> {
    let refused = segment.report.iter().flat_map(|report| &report.refused);
    // As `_reads.py` says it, also of those that are in `changed`.
    let of_runs = refused.filter_map(|what| what.strip_prefix("rely on ")?.rsplit_once(": ").map(|(path, _)| path));
    let of_runs = of_runs.filter(|path| !changed.iter().any(|other| other == path));
    let of_runs = of_runs.map(|path| ChangedFile { path: path.to_owned(), by_a_run: true, differs: false });
    let of_users = |path: &String| ChangedFile { path: path.clone(), by_a_run: false, differs: differs.contains(path) };
    of_runs.chain(changed.iter().map(of_users)).collect()
}

/// What the states lacked that the segment restored.
fn uncaptured(plan: &ReplayPlan, segment: &SegmentRow, checkpoints: &[Checkpoint]) -> Vec<(u64, String, String)> {
    let planned = plan.segments.iter().find(|planned| planned.id == segment.status.id);
    let steps = planned.map(|planned| &planned.steps[..]).unwrap_or_default();
    let mut found = Vec::new();
    for step in steps {
        let restored = step.restore.into_iter().chain(step.skip.iter().map(|skip| skip.checkpoint));
        for seq in restored {
            let missing = checkpoints.iter().filter(|known| known.seq == seq).flat_map(|known| &known.missing);
            found.extend(missing.map(|(key, reason)| {
                (step.iteration, key.rsplit(':').next().unwrap_or(key).to_owned(), reason.clone())
            }));
        }
    }
    found
}

/// Calls that depend on chance: those in the added lines, and all others.
fn calls(plan: &RunPlan) -> (Vec<ChanceCall>, Vec<ChanceCall>) {
    let all = chance_calls(plan.probed_source.as_deref().unwrap_or_default());
    all.into_iter().partition(|call| plan.inserted.iter().any(|(first, last)| (*first..=*last).contains(&call.line)))
}

/// Where one of the added names was logged first.
fn first_logged(folder: &Path, added: &Added<'_>) -> Option<Position> {
    let journal = folder.join(names::EVENTS);
    let (mut context, mut offset) = (Context::default(), 0);
    loop {
        let (batch, _) = read(&journal, offset);
        let mut columns = Columns::new(&mut context);
        for event in &batch.events {
            match event {
                Event::Log { name, .. } => {
                    if columns.context.name(*name).is_some_and(|name| added.names.contains(name)) {
                        return Some(columns.context.position());
                    }
                }
                Event::IterationValue(_) => {}
                event => columns.take(event),
            }
        }
        offset = batch.next_offset;
        if !batch.more || batch.gap().is_some() {
            return None;
        }
    }
}
