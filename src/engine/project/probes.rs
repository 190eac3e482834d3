//! Probes as the front ends see them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::analysis::python;
use crate::base::ids::RunId;
use crate::engine::project::Project;
use crate::engine::propagate::{self, Move, Preview, Tried, Written};
use crate::engine::{Error, probes, sources};
use crate::model::probe::{LogStatement, Probe};

impl Project {
    /// All probes, by name.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn probes(&self) -> Result<Vec<Probe>, Error> {
        let (probes, damaged) = probes::all(self.layout())?;
        damaged.into_iter().next().map_or(Ok(probes), Err)
    }

    /// The probe of a name.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn probe(&self, name: &str) -> Result<Probe, Error> {
        probes::named(self.layout(), name)?.ok_or_else(|| self.unknown_probe(name))
    }

    /// Keeps the statements of today's scripts that log a name; what was corrected before stays.
    ///
    /// # Errors
    /// If no script logs it, or the store cannot be written.
    pub fn add_probe(&self, name: &str) -> Result<Probe, Error> {
        let added = propagate::probe_of(self, name)?;
        let sources = added.sources.clone();
        let mut kept = None;
        probes::change(self.layout(), name, |probe| {
            probe.get_or_insert(added).sources.extend(sources);
            kept.clone_from(probe);
            Ok(())
        })?;
        kept.ok_or_else(|| self.unknown_probe(name))
    }

    /// As [`propagate::try_out`].
    ///
    /// # Errors
    /// As there.
    pub fn try_written(&self, written: &Written) -> Result<Tried, Error> {
        propagate::try_out(self, written)
    }

    /// As [`propagate::add`].
    ///
    /// # Errors
    /// As there.
    pub fn add_written(&self, written: &Written, replace: bool) -> Result<Probe, Error> {
        propagate::add(self, written, replace)
    }

    /// Forgets a probe and what was corrected.
    ///
    /// # Errors
    /// If there is none, or the store cannot be written.
    pub fn remove_probe(&self, name: &str) -> Result<(), Error> {
        probes::change(self.layout(), name, |probe| probe.take().map(drop).ok_or_else(|| self.unknown_probe(name)))
    }

    /// As [`propagate::move_to`].
    ///
    /// # Errors
    /// As there.
    pub fn move_probe(&self, name: &str, run: &RunId, statement: Option<usize>, to: Move) -> Result<Preview, Error> {
        propagate::move_to(self, name, run, statement, to, None)
    }

    /// As [`propagate::move_to`], with what the statement is to log there.
    ///
    /// # Errors
    /// As there.
    pub fn rewrite_probe(
        &self,
        name: &str,
        run: &RunId,
        statement: Option<usize>,
        to: Move,
        expression: &str,
    ) -> Result<Preview, Error> {
        propagate::move_to(self, name, run, statement, to, Some(expression))
    }

    /// As [`propagate::exclude`].
    ///
    /// # Errors
    /// As there.
    pub fn exclude_probe(&self, name: &str, runs: &[RunId], statement: Option<usize>) -> Result<(), Error> {
        propagate::exclude(self, name, runs, statement)
    }

    /// As [`propagate::reset`].
    ///
    /// # Errors
    /// As there.
    pub fn reset_probe(&self, name: &str, runs: Option<&[RunId]>) -> Result<usize, Error> {
        propagate::reset(self, name, runs)
    }

    /// The log statements of a script of today.
    ///
    /// # Errors
    /// If it is not there, or no run executed it.
    pub fn statements_of(&self, script: &Path) -> Result<Vec<LogStatement>, Error> {
        if !script.is_file() {
            return Err(Error::NoScript { path: script.to_owned(), near: None });
        }
        let relative = sources::relative_to(self.root(), script)?;
        let scripts = self.scripts()?;
        if !scripts.contains(&relative) {
            let known: Vec<String> = scripts.into_iter().collect();
            return Err(Error::NotRecorded { script: relative, known });
        }
        Ok(python::log_statements(&self.worktree_source(&relative)?.unwrap_or_default()))
    }

    /// The scripts that were recorded.
    pub(in crate::engine) fn scripts(&self) -> Result<BTreeSet<String>, Error> {
        Ok(self.runs()?.into_iter().map(|run| run.script).collect())
    }

    pub(in crate::engine) fn unknown_probe(&self, name: &str) -> Error {
        let known = probes::all(self.layout()).map(|(probes, _)| probes).unwrap_or_default();
        let known: Vec<String> = known.into_iter().map(|probe| probe.name).collect();
        Error::UnknownProbe { name: name.to_owned(), similar: self.similar_names(name, &known) }
    }

    /// A result that was kept under a key. What cannot be read was not kept.
    pub(in crate::engine) fn kept_placement(&self, key: &str) -> Option<Vec<u8>> {
        self.query(|db| Ok(db.placement(key)?)).ok().flatten()
    }

    /// Keeps results, where there is room for them.
    pub(in crate::engine) fn keep_placements(&self, found: &[(String, Vec<u8>)]) {
        let kept =
            self.with(&self.inner.writer, |db| db.write(|writing| writing.keep_placements(found)).map_err(Error::from));
        // They are computed once more then.
        drop(kept);
    }
}
