//! The scripts with the statements in them, analysed: once for all runs of the same files.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::analysis::python;
use crate::base::ids::RunId;
use crate::engine::progress::{Part, Waiting};
use crate::engine::project::Project;
use crate::engine::propagate::Preview;
use crate::engine::{Error, sources};
use crate::model::instrument::{InstrumentationPlan, Reach};
use crate::model::plan::Level;
use crate::model::probe::Placement;
use crate::model::run::RunSummary;
use crate::model::source::{SourceFile, VersionId};

/// What analysis says of a script with statements in it.
pub(super) struct Analysed {
    pub(super) instrumentation: InstrumentationPlan,
    /// Of all lines that were inserted.
    pub(super) reach: Reach,
    /// Of each placement that has a place, by its number.
    pub(super) each: Vec<Option<Reach>>,
}

impl Analysed {
    /// Where each placement can run.
    pub(super) fn levels(&self) -> Vec<Vec<Level>> {
        self.each.iter().map(|reach| reach.as_ref().map(|reach| self.levels_of(reach)).unwrap_or_default()).collect()
    }

    fn levels_of(&self, reach: &Reach) -> Vec<Level> {
        let Some(_) = &self.instrumentation.main else { return Vec::new() };
        let blocks = reach.blocks.iter().filter_map(|key| self.instrumentation.find(key));
        let outside = [(reach.before, Level::BeforeLoop), (reach.body, Level::LoopBody)];
        let mut levels: Vec<Level> = outside.into_iter().filter(|(is, _)| *is).map(|(_, level)| level).collect();
        levels.extend(blocks.map(|block| Level::InBlock(block.name.clone())));
        levels.extend(reach.after.then_some(Level::AfterLoop));
        levels
    }
}

/// The different scripts of some runs.
pub(super) struct Scripts {
    different: Vec<Analysed>,
    by_run: HashMap<RunId, usize>,
}

/// What is to be analysed, and all that the result depends on: the version's files by their tree, the script and its text,
/// and where something was inserted.
#[derive(PartialEq, Eq, Hash)]
struct Case<'p> {
    tree: String,
    script: &'p str,
    text: &'p str,
    inserted: &'p [(u32, u32)],
    each: Vec<Option<(u32, u32)>>,
}

impl Scripts {
    /// Analyses the scripts of these runs.
    ///
    /// # Errors
    /// If a version is gone, or nobody waits any more.
    pub(super) fn of(
        project: &Project,
        runs: &[RunSummary],
        previews: &[Preview],
        waiting: Waiting<'_>,
    ) -> Result<Self, Error> {
        let versions = project.versions()?;
        let version_of: HashMap<&RunId, &VersionId> = runs.iter().map(|run| (&run.id, &run.version)).collect();
        let mut known: HashMap<Case<'_>, (usize, &VersionId)> = HashMap::new();
        let mut by_run = HashMap::new();
        for preview in previews.iter().filter(|preview| has_place(preview)) {
            let Some(version) = version_of.get(&preview.run) else { continue };
            let case = Case::of(preview, versions.tree_of(version)?);
            let next = known.len();
            by_run.insert(preview.run.clone(), known.entry(case).or_insert((next, version)).0);
        }
        let mut cases: Vec<_> = known.into_iter().collect();
        cases.sort_unstable_by_key(|(_, (number, _))| *number);
        let (done, all) = (AtomicUsize::new(0), cases.len());
        let different = cases.par_iter().map(|(case, (_, version))| {
            if waiting.is_over() {
                return Err(Error::Stopped);
            }
            waiting.tell(Part::Analysing, done.fetch_add(1, Ordering::Relaxed), all);
            let sources = sources::of_version(&project.versions()?, version, case.script, Some(case.text))?;
            Ok(case.analyse(&sources))
        });
        Ok(Self { different: different.collect::<Result<_, Error>>()?, by_run })
    }

    /// The script of a run; `None` where no statement has a place in it.
    pub(super) fn of_run(&self, run: &RunId) -> Option<&Analysed> {
        self.by_run.get(run).map(|number| &self.different[*number])
    }
}

impl<'p> Case<'p> {
    fn of(preview: &'p Preview, tree: String) -> Self {
        let propagation = &preview.propagation;
        let lines = |placement: &Placement| {
            let first = placement.line.filter(|_| placement.status.is_placed())?;
            let count = u32::try_from(placement.text.lines().count()).unwrap_or(1).max(1);
            Some((first, first + count - 1))
        };
        let each = propagation.placements.iter().map(lines).collect();
        Self { tree, script: &preview.script, text: &propagation.text, inserted: &propagation.inserted, each }
    }

    fn analyse(&self, sources: &[SourceFile]) -> Analysed {
        let reach = |lines: &[(u32, u32)]| python::reach(self.script, sources, lines);
        let all = reach(self.inserted);
        let one = |lines: &Option<(u32, u32)>| {
            let lines = (*lines)?;
            Some(if *self.inserted == [lines] { all.clone() } else { reach(&[lines]) })
        };
        Analysed {
            instrumentation: python::instrument(self.script, sources, self.inserted),
            each: self.each.iter().map(one).collect(),
            reach: all,
        }
    }
}

/// Whether any statement has a place in the run's version.
pub(super) fn has_place(preview: &Preview) -> bool {
    preview.propagation.placements.iter().any(|placement| placement.status.is_placed())
}
