//! Keeping the store within its budget: what it holds, what is to go, and removing that.
//!
//! Checkpoints alone are ever removed, never journals, versions or output. First it is noted on the run that a checkpoint is
//! given up, then its chunks go: whoever is killed in between leaves a sound store, and the rest goes the next time.

mod config;
mod gc;
mod inventory;
mod usage;

pub use gc::{GcPlan, GcReport, GcRequest, RunDrop, automatic, exceeds, perform, plan};
pub use usage::{Choice, RunUsage, Usage, usage};
