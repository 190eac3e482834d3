//! Replay jobs as listed, and what their segments wrote.

use crate::base::ids::JobId;
use crate::engine::Error;
use crate::engine::project::{Project, runs};
use crate::model::job::JobStatus;
use crate::store::layout::{is_held, names};

impl Project {
    /// All replay jobs, oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn jobs(&self) -> Result<Vec<JobStatus>, Error> {
        let (jobs, segments) = self.query(|db| Ok((db.jobs()?, db.segments()?)))?;
        let status = |job: crate::store::db::JobRow| JobStatus {
            active: !job.settled && is_held(&self.layout().job(&job.id).join(names::LOCK)),
            segments: segments.iter().filter(|row| row.job == job.id).map(|row| row.status.clone()).collect(),
            id: job.id,
            names: job.names,
            started_ms: job.started_ms,
        };
        Ok(jobs.into_iter().map(status).collect())
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
