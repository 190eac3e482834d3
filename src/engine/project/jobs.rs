//! Replay jobs: their list, choosing one, stopping and repeating it, and what their segments wrote.

use crate::analysis::planner;
use crate::base::files;
use crate::base::ids::{JobId, RunId};
use crate::engine::Error;
use crate::engine::plan::ReplayRequest;
use crate::engine::project::{Project, runs};
use crate::model::job::{JobState, JobStatus, SegmentState};
use crate::model::plan::ReplayPlan;
use crate::store::db::JobRow;
use crate::store::layout::{is_held, names};

impl Project {
    /// All replay jobs, oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn jobs(&self) -> Result<Vec<JobStatus>, Error> {
        let (jobs, segments) = self.query(|db| Ok((db.jobs()?, db.segments()?)))?;
        let status = |job: JobRow| JobStatus {
            active: !job.settled && is_held(&self.layout().job(&job.id).join(names::LOCK)),
            segments: segments.iter().filter(|row| row.job == job.id).map(|row| row.status.clone()).collect(),
            id: job.id,
            names: job.names,
            started_ms: job.started_ms,
        };
        Ok(jobs.into_iter().map(status).collect())
    }

    /// The one job that a selection means: an id, a unique beginning of one, or `last`.
    ///
    /// # Errors
    /// If it means none or several, or the database cannot be read.
    pub fn job(&self, selection: &str) -> Result<JobStatus, Error> {
        let mut jobs = self.jobs()?;
        let unknown = || Error::UnknownJob(selection.to_owned());
        if selection == "last" {
            return jobs.pop().ok_or_else(unknown);
        }
        jobs.retain(|job| !selection.is_empty() && job.id.as_str().starts_with(selection));
        match (jobs.pop(), jobs.is_empty()) {
            (Some(job), true) => Ok(job),
            (Some(last), false) => {
                let candidates = jobs.iter().chain([&last]).map(|job| job.id.to_string()).collect();
                Err(Error::AmbiguousRun { text: selection.to_owned(), candidates })
            }
            (None, _) => Err(unknown()),
        }
    }

    /// A job as it was planned.
    ///
    /// # Errors
    /// If its plan cannot be read.
    pub fn job_plan(&self, id: &JobId) -> Result<ReplayPlan, Error> {
        let path = self.layout().job(id).join(names::PLAN);
        let json = files::read(&path)?;
        serde_json::from_slice(&json).map_err(|error| Error::BadFile { path, what: error.to_string() })
    }

    /// About how many nanoseconds a job that is going on will still take.
    pub fn job_left_ns(&self, job: &JobStatus, now_ms: i64) -> Option<u64> {
        if job.state() != JobState::Running {
            return None;
        }
        let workers = self.job_plan(&job.id).ok()?.workers.max(1);
        let left = job.segments.iter().map(|segment| segment.left_ns(now_ms)).filter(|left| *left > 0);
        Some(planner::makespan_ns(left, workers))
    }

    /// What would compute what a job failed to compute or was stopped at: the same request, of the runs in question.
    /// `None` where nothing is left.
    ///
    /// # Errors
    /// If the job's plan cannot be read, or is of a version that kept no requests.
    pub fn retry(&self, job: &JobStatus) -> Result<Option<ReplayRequest>, Error> {
        let mut unfinished: Vec<RunId> = Vec::new();
        for segment in &job.segments {
            let ended_badly = matches!(segment.state, SegmentState::Failed { .. } | SegmentState::Cancelled);
            if ended_badly && !unfinished.contains(&segment.run) {
                unfinished.push(segment.run.clone());
            }
        }
        if unfinished.is_empty() {
            return Ok(None);
        }
        if job.names.is_empty() {
            let runs: Vec<&str> = unfinished.iter().map(RunId::as_str).collect();
            return Err(Error::Unsupported {
                what: format!("{} was a check, of which nothing is kept for later", job.id),
                instead: format!("check again: afterlog replay --check {}", runs.join(" ")),
            });
        }
        let plan = self.job_plan(&job.id)?;
        let request = ReplayRequest::again(&plan, unfinished)?;
        request.map(Some).ok_or_else(|| Error::Unsupported {
            what: format!("{} was planned by an afterlog that did not keep what was asked for", job.id),
            instead: format!("ask again: afterlog replay {}", job.names.join(" ")),
        })
    }

    /// The end of what a segment's process wrote.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn segment_log(&self, job: &JobId, segment: u32) -> Result<String, Error> {
        const MAX_BYTES: u64 = 1 << 20;
        runs::tail(&self.layout().segment(job, segment).join(names::OUTPUT), MAX_BYTES)
    }
}
