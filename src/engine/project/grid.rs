//! The results grid: gathers columns and pivots them.

use std::collections::{BTreeSet, HashMap};

use crate::analysis::pivot::{Awaited, LoopValues, Origin, PivotInput, Place, Series, Trust, pivot_unless};
use crate::analysis::query::Condition;
use crate::base::files;
use crate::base::ids::{JobId, RunId};
use crate::base::likeness::distance;
use crate::engine::Error;
use crate::engine::ingest::printed_columns;
use crate::engine::project::Project;
use crate::engine::project::condition::Question;
use crate::engine::project::current::Current;
use crate::model::grid::Grid;
use crate::model::instrument::Reach;
use crate::model::job::SegmentState;
use crate::model::plan::{ReplayPlan, RunPlan};
use crate::model::verdict::Verdict;
use crate::store::db::{Db, SegmentRow};
use crate::store::layout::names;

/// What a grid shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GridQuery {
    /// Columns, in this order.
    pub names: Vec<String>,
    /// Rows; `None`: all runs.
    pub runs: Option<Vec<RunId>>,
    /// Further columns of numbers in the lines that the runs printed, under these names; all of them if there are none.
    pub printed: Option<Vec<String>>,
    /// Rows: those that fulfil it.
    pub condition: Option<Condition>,
}

impl Project {
    /// The values of some names over some runs.
    ///
    /// # Errors
    /// If a name was never logged nor asked for, one of the condition is not known, or the database cannot be read.
    pub fn grid(&self, query: &GridQuery) -> Result<Grid, Error> {
        Ok(self.grid_unless(query, &|| false)?.unwrap_or_default())
    }

    /// As [`Project::grid`]; `None` when nobody waits for it any more.
    ///
    /// # Errors
    /// As there.
    pub fn grid_unless(&self, query: &GridQuery, outdated: &dyn Fn() -> bool) -> Result<Option<Grid>, Error> {
        let printed: Vec<String> = query.printed.iter().flatten().map(|name| format!("{name} (printed)")).collect();
        let question = query.condition.as_ref().map(|condition| Question::of(self, condition, &printed)).transpose()?;
        let mut names = query.names.clone();
        let read = question.iter().flat_map(Question::logged);
        names.extend(read.filter(|name| !query.names.contains(name) && !printed.contains(name)).cloned());
        // Columns that only the condition reads.
        let hidden = query.names.len()..names.len();
        let segments = self.query(|db| Ok(db.segments()?))?;
        let current = Current::of(self, &names, &segments)?;
        let input = self.query(|db| {
            check_names(db, &segments, &query.names)?;
            let runs = match &query.runs {
                Some(runs) => runs.clone(),
                None => db.summaries()?.into_iter().map(|run| run.id).collect(),
            };
            self.gather(db, runs, names, &segments, &current, outdated)
        });
        if outdated() {
            return Ok(None);
        }
        let mut input = input.map_err(|error| self.or_only_printed(error))?;
        if let Some(wanted) = &query.printed {
            self.gather_printed(&mut input, wanted)?;
        }
        let Some(grid) = pivot_unless(input, outdated) else { return Ok(None) };
        match question {
            Some(question) => question.filter(self, grid, hidden).map(Some),
            None => Ok(Some(grid)),
        }
    }

    /// Of a name that no run logged, but one of the last ones printed, this instead.
    fn or_only_printed(&self, error: Error) -> Error {
        /// Their journals are read whole.
        const LOOKED_AT: usize = 5;
        let Error::UnknownName { name, similar } = error else { return error };
        let wanted = [name.clone()];
        let runs = self.runs().unwrap_or_default();
        let mut last = runs.iter().rev().take(LOOKED_AT);
        if last.any(|run| !printed_columns(self.layout(), &run.id, &wanted).is_empty()) {
            return Error::OnlyPrinted { name };
        }
        Error::UnknownName { name, similar }
    }

    /// Adds what the runs printed. Its columns say so: it is text that was rounded, and no log statement.
    fn gather_printed(&self, input: &mut PivotInput, wanted: &[String]) -> Result<(), Error> {
        let logged = input.names.len();
        let mut columns: Vec<String> = wanted.to_vec();
        for (run, id) in input.runs.iter().enumerate() {
            for (text, column) in printed_columns(self.layout(), id, wanted) {
                let at = columns.iter().position(|known| *known == text).unwrap_or_else(|| {
                    columns.push(text);
                    columns.len() - 1
                });
                input.series.push(Series { run, name: logged + at, origin: Origin::Recorded, column });
            }
        }
        let missing = wanted.iter().enumerate().find(|(at, _)| !input.series.iter().any(|s| s.name == logged + at));
        if let Some((_, name)) = missing {
            let everything: Vec<_> = input.runs.iter().flat_map(|id| printed_columns(self.layout(), id, &[])).collect();
            let known = everything.into_iter().map(|(name, _)| name).collect();
            return Err(Error::NotPrinted { name: name.clone(), similar: similar(name, &known) });
        }
        input.names.extend(columns.into_iter().map(|name| format!("{name} (printed)")));
        Ok(())
    }

    /// When nobody waits for it any more, only a part is there.
    pub(super) fn gather(
        &self,
        db: &Db,
        runs: Vec<RunId>,
        names: Vec<String>,
        segments: &[SegmentRow],
        current: &Current,
        outdated: &dyn Fn() -> bool,
    ) -> Result<PivotInput, Error> {
        let mut input = PivotInput { runs, names, ..PivotInput::default() };
        for (run, id) in input.runs.iter().enumerate() {
            for (name, text) in input.names.iter().enumerate() {
                if outdated() {
                    return Ok(input);
                }
                for column in db.columns(id.as_str(), false, text)? {
                    input.series.push(Series { run, name, origin: Origin::Recorded, column });
                }
            }
            for name in db.valued_loops(id.as_str())? {
                for column in db.columns(id.as_str(), true, &name)? {
                    input.loop_values.push(LoopValues { run, column });
                }
            }
        }
        let run_numbers: HashMap<&RunId, usize> = input.runs.iter().enumerate().map(|(at, id)| (id, at)).collect();
        let mut plans = Plans::of(self);
        for (order, segment) in (0..).zip(segments) {
            // A check computes nothing that was asked for.
            let Some(&run) = run_numbers.get(&segment.run).filter(|_| !segment.names.is_empty()) else { continue };
            for (name, text) in input.names.iter().enumerate() {
                if current.is_outdated(segment, text, &mut plans) {
                    continue;
                }
                for column in db.columns(&segment.source(), false, text)? {
                    let trust = self.trust(segment);
                    let origin = Origin::Replayed { probe: segment.probe_hash.clone(), order, trust };
                    input.series.push(Series { run, name, origin, column });
                }
                if segment.names.contains(text) {
                    input.awaited.extend(plans.awaited(segment, run, name));
                }
            }
        }
        Ok(input)
    }

    fn trust(&self, segment: &SegmentRow) -> Trust {
        let Some(report) = &segment.report else { return Trust::all(Verdict::Unverified) };
        let verdict = report.verdict_of_proven();
        // What failed or was stopped did not do all that its run did: so far it was equal, and no more is known.
        if verdict == Verdict::Verified && !matches!(segment.status.state, SegmentState::Done { .. }) {
            return Trust::all(Verdict::Unverified);
        }
        let main = if report.unproven.is_empty() { None } else { self.main_loop(&segment.run) };
        Trust { verdict, main, unproven: report.unproven.clone() }
    }

    /// The name of a run's main loop.
    pub(super) fn main_loop(&self, run: &RunId) -> Option<String> {
        let plan = self.instrumentation(run);
        Some(plan.find(plan.main.as_ref()?)?.name.clone())
    }
}

/// Plans of the jobs that still owe values, each read once.
pub(super) struct Plans<'a> {
    project: &'a Project,
    jobs: HashMap<JobId, Option<ReplayPlan>>,
}

impl<'a> Plans<'a> {
    pub(super) fn of(project: &'a Project) -> Self {
        Self { project, jobs: HashMap::new() }
    }

    /// The places that a segment was to fill with a name, unless it has ended well.
    fn awaited(&mut self, segment: &SegmentRow, run: usize, name: usize) -> Vec<Awaited> {
        let failed = match &segment.status.state {
            SegmentState::Queued | SegmentState::Running { .. } => false,
            SegmentState::Failed { .. } => true,
            SegmentState::Done { .. } | SegmentState::Cancelled => return Vec::new(),
        };
        let place = |place| Awaited { run, name, place, failed };
        let reach = self.reach(segment);
        let mut places = Vec::new();
        if segment.wanted.is_empty() {
            places.push(place(Place::Root));
        } else if let Some(main) = self.project.main_loop(&segment.run) {
            places.extend(segment.wanted.iter().map(|&index| {
                let main = main.clone();
                let within = !reach.body && !reach.blocks.is_empty();
                place(if within { Place::Within { main, index } } else { Place::Iteration { main, index } })
            }));
        }
        places
    }

    /// Where the statements of a segment's run can log.
    fn reach(&mut self, segment: &SegmentRow) -> Reach {
        self.run(segment).map(|run| run.reach.clone()).unwrap_or_default()
    }

    /// What was planned for a segment's run.
    pub(super) fn run(&mut self, segment: &SegmentRow) -> Option<&RunPlan> {
        let layout = self.project.layout();
        let plan = self.jobs.entry(segment.job.clone()).or_insert_with(|| {
            let json = files::read(&layout.job(&segment.job).join(names::PLAN)).ok()?;
            serde_json::from_slice(&json).ok()
        });
        plan.as_ref()?.runs.iter().find(|run| run.run == segment.run)
    }
}

fn check_names(db: &Db, segments: &[SegmentRow], names: &[String]) -> Result<(), Error> {
    let mut known: BTreeSet<String> = db.all_names()?.into_iter().collect();
    known.extend(segments.iter().flat_map(|segment| segment.names.iter().cloned()));
    match names.iter().find(|name| !known.contains(*name)) {
        Some(name) => Err(Error::UnknownName { name: name.clone(), similar: similar(name, &known) }),
        None => Ok(()),
    }
}

/// The up to three names closest to `name`, if they are close at all.
pub(super) fn similar(name: &str, known: &BTreeSet<String>) -> Vec<String> {
    let mut near: Vec<(usize, &String)> = known
        .iter()
        .map(|other| (distance(&name.to_lowercase(), &other.to_lowercase()), other))
        .filter(|(edits, other)| *edits <= 1 + name.chars().count().min(other.chars().count()) / 3)
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, other)| other.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn close_names_are_suggested() {
        let known = ["loss", "val_loss", "accuracy"].map(str::to_owned).into();
        assert_eq!(similar("los", &known), ["loss"]);
        assert_eq!(similar("acuracy", &known), ["accuracy"]);
        assert!(similar("grad_norm", &known).is_empty());
    }
}
