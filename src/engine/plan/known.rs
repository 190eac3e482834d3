//! What earlier replays have filled.

use std::collections::{BTreeSet, HashMap};

use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::project::Project;
use crate::model::job::SegmentState;
use crate::model::plan::{RunPlan, Stop};
use crate::store::db::SegmentRow;

/// The segments of all jobs so far, by run.
pub(super) struct Replayed(HashMap<RunId, Vec<SegmentRow>>);

/// Of a run, what earlier replays of the same version and statements have filled.
#[derive(Default)]
pub(super) struct Known {
    pub(super) iterations: BTreeSet<u64>,
    pub(super) outside: bool,
}

impl Replayed {
    /// Reads them, once for all runs.
    pub(super) fn of(project: &Project) -> Result<Self, Error> {
        let mut by_run: HashMap<RunId, Vec<SegmentRow>> = HashMap::new();
        for segment in project.segments()? {
            by_run.entry(segment.run.clone()).or_default().push(segment);
        }
        Ok(Self(by_run))
    }

    /// `after` says whether what comes after the main loop is to be known too.
    pub(super) fn known(&self, plan: &RunPlan, after: bool) -> Known {
        let mut known = Known::default();
        for segment in self.0.get(&plan.run).into_iter().flatten() {
            let same = segment.probe_hash == plan.probe_hash;
            let SegmentState::Done { check } = &segment.status.state else { continue };
            // What diverged may go better after the user has put back what had changed.
            if !same || check.first_difference.is_some() {
                continue;
            }
            known.iterations.extend(&segment.wanted);
            // Every segment executes what comes before the loop; what comes after it only one that ran on to the end.
            known.outside |= segment.status.stop == Stop::AtEnd || !after;
        }
        known
    }
}
