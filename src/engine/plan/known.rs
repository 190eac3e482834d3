//! What earlier replays have filled.

use std::collections::{BTreeSet, HashMap};

use crate::analysis::planner::{Observation, Rates};
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::project::Project;
use crate::model::job::SegmentState;
use crate::model::plan::{RunPlan, Stop, Work};
use crate::model::run::RunSummary;
use crate::model::verdict::Verdict;
use crate::store::db::SegmentRow;

/// The segments of all jobs so far.
pub(in crate::engine) struct Replayed {
    by_run: HashMap<RunId, Vec<SegmentRow>>,
    learnt: Learnt,
}

/// What they cost in general, and by script.
pub(in crate::engine) struct Learnt {
    rates: Rates,
    by_script: HashMap<String, Rates>,
}

/// Of so many segments of one script nothing is learnt from those of others.
const ENOUGH_OF_ONE_SCRIPT: usize = 5;

/// Of a run, what earlier replays of the same version and statements have filled.
#[derive(Default)]
pub(super) struct Known {
    pub(super) iterations: BTreeSet<u64>,
    pub(super) outside: bool,
}

impl Replayed {
    /// Reads them, once for all runs.
    pub(in crate::engine) fn of(project: &Project, runs: &[RunSummary]) -> Result<Self, Error> {
        let mut by_run: HashMap<RunId, Vec<SegmentRow>> = HashMap::new();
        let scripts: HashMap<&RunId, &str> = runs.iter().map(|run| (&run.id, run.script.as_str())).collect();
        let (mut all, mut of_script) = (Vec::new(), HashMap::<&str, Vec<Observation>>::new());
        for segment in project.segments()? {
            if let Some(took) = segment.status.took {
                // Executed for several, it says nothing.
                let prefix_ns = if took.prefix_ns == 0 { 0 } else { segment.status.work.prefix_ns };
                let work = Work { prefix_ns, ..segment.status.work };
                let seen = Observation { work, took, imports: segment.status.imports };
                all.push(seen);
                if let Some(script) = scripts.get(&segment.run) {
                    of_script.entry(script).or_default().push(seen);
                }
            }
            by_run.entry(segment.run.clone()).or_default().push(segment);
        }
        of_script.retain(|_, seen| seen.len() >= ENOUGH_OF_ONE_SCRIPT);
        let by_script = of_script.into_iter().map(|(script, seen)| (script.to_owned(), Rates::learn(&seen)));
        let learnt = Learnt { rates: Rates::learn(&all), by_script: by_script.collect() };
        Ok(Self { by_run, learnt })
    }

    /// What replays of this script cost so far; where there were few, replays of any.
    pub(in crate::engine) fn rates(&self, script: &str) -> Rates {
        self.learnt.rates(script)
    }

    pub(in crate::engine) fn learnt(self) -> Learnt {
        self.learnt
    }

    /// `after` says whether what comes after the main loop is to be known too.
    pub(super) fn known(&self, plan: &RunPlan, after: bool) -> Known {
        let mut known = Known::default();
        for segment in self.by_run.get(&plan.run).into_iter().flatten() {
            let same = segment.probe_hash == plan.probe_hash;
            let SegmentState::Done { check } = &segment.status.state else { continue };
            // What diverged may go better after the user has put back what had changed.
            if !same || check.first_difference.is_some() {
                continue;
            }
            // With other variables than the run's, only what equals the record is what the run would have logged.
            if !segment.status.given.is_empty() && check.verdict() != Verdict::Verified {
                continue;
            }
            known.iterations.extend(&segment.wanted);
            // Every segment executes what comes before the loop; what comes after it only one that ran on to the end.
            known.outside |= segment.status.stop == Stop::AtEnd || !after;
        }
        known
    }
}

impl Learnt {
    /// What replays of this script cost so far; where there were few, replays of any.
    pub(in crate::engine) fn rates(&self, script: &str) -> Rates {
        self.by_script.get(script).copied().unwrap_or(self.rates)
    }
}
