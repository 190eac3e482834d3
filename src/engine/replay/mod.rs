//! Performing a replay plan: a coordinator that outlives its starter, one worker process a segment, isolation.
//!
//! Workers never open the database: they append to journals, which the front ends ingest. Nothing here plans.

pub mod coordinator;
pub mod isolation;
mod protocol;
mod states;
pub mod worker;

use crate::engine::Error;
use crate::model::plan::ReplayPlan;
use crate::store::layout::{Layout, names};

/// Reads a job's plan.
fn read_plan(layout: &Layout, job: &crate::base::ids::JobId) -> Result<ReplayPlan, Error> {
    let path = layout.job(job).join(names::PLAN);
    let json = crate::base::files::read(&path)?;
    serde_json::from_slice(&json).map_err(|error| Error::BadFile { path, what: error.to_string() })
}
