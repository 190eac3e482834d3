//! Replay as the front ends see it: what is missing, where it lands, what it costs, starting and cancelling it.

use std::io::ErrorKind;

use crate::base::files;
use crate::base::ids::{JobId, RunId};
use crate::engine::checkpoint::StoredCheckpoint;
use crate::engine::plan::{self, ReplayRequest};
use crate::engine::progress::Waiting;
use crate::engine::project::{Project, grid};
use crate::engine::propagate::{self, HindsightStatement, Preview};
use crate::engine::sample::{self, CheckRequest};
use crate::engine::{Error, environment, replay, spawn};
use crate::model::plan::ReplayPlan;
use crate::model::run::RunMeta;
use crate::store::db::SegmentRow;
use crate::store::layout::{Lock, names};

impl Project {
    /// The log statements of the working tree that some runs lack.
    ///
    /// # Errors
    /// If the store or a script cannot be read.
    pub fn hindsight_names(&self) -> Result<Vec<HindsightStatement>, Error> {
        propagate::hindsight(self)
    }

    /// Where the statements that log these names land in the versions of these runs (`None`: all).
    ///
    /// # Errors
    /// If a name is logged by no script of the working tree, or a version cannot be read.
    pub fn preview(&self, names: &[String], runs: Option<&[RunId]>) -> Result<Vec<Preview>, Error> {
        self.preview_unless(names, runs, Waiting::patiently())
    }

    /// The same, until nobody waits for it any more.
    ///
    /// # Errors
    /// As [`Project::preview`], and if it is over.
    pub fn preview_unless(
        &self,
        names: &[String],
        runs: Option<&[RunId]>,
        waiting: Waiting<'_>,
    ) -> Result<Vec<Preview>, Error> {
        let all;
        let runs = match runs {
            Some(runs) => runs,
            None => {
                all = self.runs()?.into_iter().map(|run| run.id).collect::<Vec<_>>();
                &all
            }
        };
        propagate::preview_unless(self, names, runs, waiting)
    }

    /// What a replay would do and cost. Nothing is executed.
    ///
    /// # Errors
    /// As [`Project::preview`].
    pub fn plan(&self, request: &ReplayRequest) -> Result<ReplayPlan, Error> {
        self.plan_unless(request, Waiting::patiently())
    }

    /// The same, until nobody waits for it any more.
    ///
    /// # Errors
    /// As [`Project::plan`], and if it is over.
    pub fn plan_unless(&self, request: &ReplayRequest, waiting: Waiting<'_>) -> Result<ReplayPlan, Error> {
        let (mut plan, learnt) = plan::plan(self, request, waiting)?;
        environment::settle(self, &mut plan, request.python.as_deref(), &request.given)?;
        replay::share_beginnings(self.layout(), &mut plan, &learnt);
        Ok(plan)
    }

    /// What it would take to find out whether runs can be replayed at all: samples of each are executed again as they
    /// were, without any new statement. Nothing is executed.
    ///
    /// # Errors
    /// If a run is not known, or its version cannot be read.
    pub fn plan_check(&self, request: &CheckRequest) -> Result<ReplayPlan, Error> {
        let (mut plan, learnt) = sample::plan(self, request)?;
        environment::settle(self, &mut plan, request.python.as_deref(), &request.given)?;
        replay::share_beginnings(self.layout(), &mut plan, &learnt);
        Ok(plan)
    }

    /// Starts a planned replay in a process that outlives this one.
    ///
    /// # Errors
    /// If the plan cannot be written or the process not started.
    pub fn start(&self, plan: &ReplayPlan) -> Result<JobId, Error> {
        let folder = self.layout().job(&plan.job);
        files::create_dir_all(&folder)?;
        // Before the job can be seen: whoever lists it must find it going on.
        let path = folder.join(names::LOCK);
        let lock = Lock::acquire(&path)?.ok_or_else(|| files::at("lock", &path)(ErrorKind::WouldBlock.into()))?;
        let path = folder.join(names::PLAN);
        let json =
            serde_json::to_vec(plan).map_err(|error| Error::BadFile { path: path.clone(), what: error.to_string() })?;
        files::write_atomic(&path, &json)?;
        let mut child = spawn::coordinator(self.root(), &plan.job, lock.file())?;
        // Reaped when it ends, if this process is still there; it does not wait for it.
        std::thread::spawn(move || child.wait());
        Ok(plan.job.clone())
    }

    /// Asks a job's coordinator to stop. What is finished is kept.
    ///
    /// # Errors
    /// If the wish cannot be written down.
    pub fn cancel(&self, job: &JobId) -> Result<(), Error> {
        Ok(files::write_atomic(&self.layout().job(job).join(names::CANCEL), b"")?)
    }

    /// The segments of all jobs, oldest job first.
    pub(in crate::engine) fn segments(&self) -> Result<Vec<SegmentRow>, Error> {
        self.query(|db| Ok(db.segments()?))
    }

    /// What was known of a run before its script started.
    pub(in crate::engine) fn meta(&self, run: &RunId) -> Result<RunMeta, Error> {
        self.query(|db| Ok(db.run(run)?.ok_or_else(|| Error::UnknownRun(run.to_string()))?.meta))
    }

    /// A run's stored checkpoints with the places of their bytes, in order of capture.
    pub(in crate::engine) fn stored_checkpoints(&self, run: &RunId) -> Result<Vec<StoredCheckpoint>, Error> {
        let stored = self.query(|db| Ok(db.checkpoints(run)?))?;
        Ok(stored.iter().filter_map(|json| serde_json::from_str(json).ok()).collect())
    }

    /// The names closest to a mistyped one.
    pub(in crate::engine) fn similar_names(&self, name: &str, known: &[String]) -> Vec<String> {
        grid::similar(name, &known.iter().cloned().collect())
    }
}
