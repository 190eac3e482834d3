//! Performing a replay plan: a coordinator that outlives its starter, one worker process a segment, isolation.
//!
//! Workers never open the database: they append to journals, which the front ends ingest. Nothing here plans.

mod beginnings;
pub mod coordinator;
mod devices;
pub mod forkserver;
pub mod isolation;
mod prefix;
mod protocol;
mod states;
pub mod worker;

pub(in crate::engine) use self::beginnings::settle as share_beginnings;

use std::collections::HashSet;
use std::path::PathBuf;

use crate::base::ids::RunId;
use crate::engine::Error;
use crate::model::plan::ReplayPlan;
use crate::store::layout::{Layout, is_held, names};

/// How a note begins that tells why a segment's Python was not forked.
pub(in crate::engine) const AFRESH: &str = "started afresh, not forked";

/// The runs that replays at work are of.
pub(in crate::engine) fn replayed_now(layout: &Layout) -> HashSet<RunId> {
    let jobs = layout.job_ids().unwrap_or_default().into_iter();
    let at_work = jobs.filter(|job| is_held(&layout.job(job).join(names::LOCK)));
    let plans = at_work.filter_map(|job| read_plan(layout, &job).ok());
    plans.flat_map(|plan| plan.runs.into_iter().map(|run| run.run)).collect()
}

/// The scratch folders of jobs whose coordinator is gone.
pub(in crate::engine) fn leftovers(layout: &Layout) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for job in layout.job_ids().unwrap_or_default() {
        if is_held(&layout.job(&job).join(names::LOCK)) {
            continue;
        }
        let segments = std::fs::read_dir(layout.job(&job).join("segments")).into_iter().flatten().flatten();
        for segment in segments.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            found.extend(worker::leftovers(layout, &job, segment).into_iter().filter(|folder| folder.exists()));
        }
    }
    found
}

/// Removes them. What cannot be removed now is tried again the next time.
pub(in crate::engine) fn clear_leftovers(layout: &Layout) {
    for folder in leftovers(layout) {
        let _ = isolation::clear(&folder);
    }
}

/// Reads a job's plan.
fn read_plan(layout: &Layout, job: &crate::base::ids::JobId) -> Result<ReplayPlan, Error> {
    let path = layout.job(job).join(names::PLAN);
    let json = crate::base::files::read(&path)?;
    serde_json::from_slice(&json).map_err(|error| Error::BadFile { path, what: error.to_string() })
}

/// What a segment does without, after it has failed for want of it.
#[derive(Debug, PartialEq)]
enum Lacking {
    /// A checkpoint that could not be restored.
    Checkpoint(u64),
    /// All: what they have it skip is wanted.
    Any,
}

/// What a script could not go on with, by the end that it noted.
fn lacking(end: &str) -> Option<Lacking> {
    #[derive(serde::Deserialize)]
    struct Ending {
        exit_code: i32,
        unreadable: Option<u64>,
        #[serde(default)]
        bereft: bool,
    }
    let end: Ending = serde_json::from_str(end).ok()?;
    match end.unreadable {
        Some(checkpoint) => Some(Lacking::Checkpoint(checkpoint)),
        None => (end.bereft && end.exit_code != 0).then_some(Lacking::Any),
    }
}
