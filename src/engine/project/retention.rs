//! The store's bytes as the front ends see them: what they are, and keeping them within the budget.

use std::path::Path;

use crate::base::ids::RunId;
use crate::engine::portable::{self, FileFormat, Moment, Written};
use crate::engine::project::Project;
use crate::engine::retention::{self, GcPlan, GcReport, GcRequest, Usage};
use crate::engine::{Error, ingest};
use crate::store::layout::names;

impl Project {
    /// What the store's bytes are; for the runs in `chosen` also what each choice would free and cost.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn usage(&self, chosen: &[RunId]) -> Result<Usage, Error> {
        retention::usage(self, chosen)
    }

    /// What a removal would do. Nothing is changed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn plan_gc(&self, request: &GcRequest) -> Result<GcPlan, Error> {
        retention::plan(self.layout(), request)
    }

    /// Does what was planned.
    ///
    /// # Errors
    /// If somebody else does so, or the store cannot be changed.
    pub fn gc(&self, request: &GcRequest, plan: &GcPlan) -> Result<GcReport, Error> {
        let report = retention::perform(self.layout(), request, plan);
        self.forget_dropped()?;
        report
    }

    /// Writes the state of one rank of a run at a moment to a file that others open.
    ///
    /// # Errors
    /// If nothing was stored of it, or the file is there and not to be replaced.
    pub fn export_checkpoint(
        &self,
        run: &RunId,
        rank: u64,
        moment: Moment,
        format: FileFormat,
        path: &Path,
        replace: bool,
    ) -> Result<Written, Error> {
        portable::export(self.layout(), run, rank, moment, format, path, replace)
    }

    /// Keeps the checkpoints within the budget, if they exceed it.
    ///
    /// # Errors
    /// If the store cannot be read or changed.
    pub(in crate::engine) fn keep_budget(&self, ended: &RunId) -> Result<Option<GcReport>, Error> {
        let report = retention::automatic(self.layout(), None);
        // The recorder of the run that has ended may have done so itself before.
        if !matches!(report, Ok(None)) || self.layout().run(ended).join(names::DROPPED).exists() {
            self.forget_dropped()?;
        }
        report
    }

    fn forget_dropped(&self) -> Result<(), Error> {
        self.with(&self.inner.writer, |db| ingest::forget_dropped(self.layout(), db))
    }
}
