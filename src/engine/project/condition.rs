//! Conditions of `--where` in a project: what their names mean here, which rows of a grid fulfil them, and which
//! iterations of which runs. Nothing is executed for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::analysis::pivot::{Origin, PivotInput, Series, pivot};
use crate::analysis::query::resolve::{Known, Source, resolve};
use crate::analysis::query::rows::{Field, Scan, filter};
use crate::analysis::query::{Clash, Condition, Expr};
use crate::base::ids::RunId;
use crate::base::units::counted;
use crate::engine::Error;
use crate::engine::project::current::Current;
use crate::engine::project::{Project, grid};
use crate::model::column::{Column, Values};
use crate::model::grid::{Cell, Grid};
use crate::model::plan::LeftOutRun;
use crate::model::run::RunSummary;
use crate::model::value::Value;
use crate::store::db::SegmentRow;

/// Runs whose values are looked at together: few enough for memory, and the segments are gone through once for each.
const BATCH: usize = 64;
/// Of an argument, where it tells why a run is left out.
const SHOWN_CHARS: usize = 60;

/// A condition whose names are known.
pub(super) struct Question<'a> {
    condition: &'a Condition,
    expr: Expr<Source>,
    /// What it reads, each once. A fact's place in here is its place among a run's facts.
    sources: Vec<Source>,
    /// The parts that must all hold, what is said of the run alone first: if that does not hold, it is the reason.
    parts: Vec<usize>,
}

/// What replays have computed so far.
struct Stored {
    segments: Vec<SegmentRow>,
    current: Current,
}

/// What a condition leaves of some runs.
#[derive(Debug, Default)]
pub(in crate::engine) struct Chosen {
    pub(in crate::engine) runs: Vec<RunId>,
    pub(in crate::engine) left_out: Vec<LeftOutRun>,
    pub(in crate::engine) by_run: HashMap<RunId, Selection>,
}

/// What a condition leaves of one run.
#[derive(Debug, Default)]
pub(in crate::engine) struct Selection {
    pub(in crate::engine) iterations: BTreeSet<u64>,
    /// Why not what lies outside the main loop, in words; `None`: it, too.
    pub(in crate::engine) not_outside: Option<String>,
    pub(in crate::engine) notes: Vec<String>,
}

impl Project {
    /// What a condition leaves of these runs, by their arguments and what was recorded and replayed so far.
    ///
    /// # Errors
    /// If a name of the condition is not known, or the database cannot be read.
    pub(in crate::engine) fn choose(&self, runs: &[RunId], condition: &Condition) -> Result<Chosen, Error> {
        let question = Question::of(self, condition, &[])?;
        let all = self.runs()?;
        let runs: HashSet<&RunId> = runs.iter().collect();
        let wanted: Vec<&RunSummary> = all.iter().filter(|run| runs.contains(&run.id)).collect();
        let segments = self.query(|db| Ok(db.segments()?))?;
        let names: Vec<String> = question.logged().cloned().collect();
        let stored = Stored { current: Current::of(self, &names, &segments)?, segments };
        let mut chosen = Chosen::default();
        for batch in wanted.chunks(BATCH) {
            question.choose(self, batch, &stored, &mut chosen)?;
        }
        Ok(chosen)
    }
}

impl<'a> Question<'a> {
    /// Finds out what the names mean; `columns` are further ones that the grid has.
    pub(super) fn of(project: &Project, condition: &'a Condition, columns: &[String]) -> Result<Self, Error> {
        let runs = project.runs()?;
        let mut known = project.query(|db| {
            let mut known = Known::default();
            known.logged.extend(db.all_names()?);
            known.logged.extend(db.segments()?.into_iter().flat_map(|segment| segment.names));
            known.loops.extend(db.all_loops()?);
            Ok(known)
        })?;
        known.logged.extend(columns.iter().cloned());
        known.args.extend(runs.iter().flat_map(|run| run.args.iter().map(|(name, _)| name.clone())));
        let mut expr = resolve(condition, &known, grid::similar);
        if expr.is_err() {
            // Loops in which nothing was logged, and statements that nobody has replayed yet.
            for run in &runs {
                let loops = project.instrumentation(&run.id).loops.into_iter().map(|known| known.name);
                known.loops.extend(loops.filter(|name| !name.ends_with("()")));
            }
            known.logged.extend(project.hindsight_names()?.into_iter().map(|found| found.statement.name));
            expr = resolve(condition, &known, grid::similar);
        }
        let expr = expr?;
        let sources: BTreeSet<Source> = expr.fields().into_iter().collect();
        let mut parts: Vec<usize> = (0..expr.conjuncts().len()).collect();
        parts.sort_by_key(|part| !expr.conjuncts()[*part].fields().iter().all(is_fact));
        Ok(Self { condition, expr, sources: sources.into_iter().collect(), parts })
    }

    /// The logged names that it reads.
    pub(super) fn logged(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().filter_map(|source| match source {
            Source::Logged(name) => Some(name),
            _ => None,
        })
    }

    /// The rows of a grid that fulfil it, without the columns in `hidden`.
    pub(super) fn filter(&self, project: &Project, grid: Grid, hidden: std::ops::Range<usize>) -> Result<Grid, Error> {
        let summaries = project.runs()?;
        let by_id: HashMap<&RunId, &RunSummary> = summaries.iter().map(|run| (&run.id, run)).collect();
        let facts: Vec<Vec<Value>> =
            grid.runs.iter().map(|id| by_id.get(id).map(|run| self.facts(run)).unwrap_or_default()).collect();
        let fields = self.fields(&grid);
        let mut notes = lacking_in(&grid, self);
        let (mut grid, clashes) = filter(grid, &self.bound(&fields)?, &facts, hidden);
        notes.extend(clashes.iter().map(|clash| self.clash(&fields, clash)));
        grid.notes = notes;
        Ok(grid)
    }

    /// What is known of a run by itself, in the order of `sources`.
    fn facts(&self, run: &RunSummary) -> Vec<Value> {
        let text = |text: &str| Value::Text(text.to_owned());
        let fact = |source: &Source| match source {
            Source::Arg(name) => run.args.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()),
            Source::Run => Some(text(run.id.as_str())),
            Source::Status => Some(text(run.status.word())),
            Source::RunName => run.name.as_deref().map(text),
            Source::Loop(_) | Source::LoopValue(_) | Source::Logged(_) => None,
        };
        self.sources.iter().map(|source| fact(source).unwrap_or(Value::None)).collect()
    }

    /// Where the rows of a grid have what it reads, in the order of `sources`.
    fn fields(&self, grid: &Grid) -> Vec<Field> {
        let in_loop = |name: &str| grid.loops.iter().position(|column| column.name == name);
        let field = |(at, source): (usize, &Source)| match source {
            Source::Loop(name) => in_loop(name).map_or(Field::Nowhere, Field::Loop),
            Source::LoopValue(name) => in_loop(name).map_or(Field::Nowhere, Field::LoopValue),
            Source::Logged(name) => {
                let column = grid.names.iter().position(|column| column.name == *name);
                column.map_or(Field::Nowhere, Field::Cell)
            }
            Source::Arg(_) | Source::Run | Source::Status | Source::RunName => Field::Fact(at),
        };
        self.sources.iter().enumerate().map(field).collect()
    }

    fn bound(&self, fields: &[Field]) -> Result<Expr<Field>, Error> {
        self.expr.try_map(&mut |source| {
            let at = self.sources.iter().position(|known| known == source);
            Ok(at.and_then(|at| fields.get(at)).copied().unwrap_or(Field::Nowhere))
        })
    }

    fn clash(&self, fields: &[Field], clash: &Clash<Field>) -> String {
        let at = fields.iter().position(|field| *field == clash.field);
        let name = at.map_or("a value", |at| name_of(&self.sources[at]));
        format!(
            "'{name}' is {} where --where takes it for {}: such a comparison is not fulfilled",
            clash.found, clash.wanted
        )
    }

    /// Adds what it leaves of some runs.
    fn choose(
        &self,
        project: &Project,
        batch: &[&RunSummary],
        stored: &Stored,
        chosen: &mut Chosen,
    ) -> Result<(), Error> {
        let mains: Vec<Option<String>> = batch.iter().map(|run| project.main_loop(&run.id)).collect();
        let grid = pivot(self.gathered(project, batch, stored, &mains)?);
        let facts: Vec<Vec<Value>> = batch.iter().map(|run| self.facts(run)).collect();
        let fields = self.fields(&grid);
        let expr = self.bound(&fields)?;
        let values = grid.names.len() - 1;
        let slots: Vec<Option<usize>> =
            mains.iter().map(|main| grid.loops.iter().position(|column| Some(&column.name) == main.as_ref())).collect();
        let mut scan = Scan::new(&grid, &facts);
        let mut row = 0;
        for (number, run) in batch.iter().enumerate() {
            let mut tally = Tally::default();
            // Of what the condition reads, what the run has.
            let mut has = vec![false; values];
            while grid.rows_run.get(row).is_some_and(|at| usize::try_from(*at) == Ok(number)) {
                let index = slots[number].and_then(|slot| u64::try_from(grid.loops[slot].index[row]).ok());
                let mut bare = true;
                for (column, has) in grid.names.iter().zip(&mut has) {
                    bare &= column.cells[row] == Cell::Empty;
                    *has |= !matches!(column.cells[row], Cell::Empty | Cell::Pending | Cell::Failed);
                }
                let failed = (0..).zip(&self.parts).find_map(|(at, part)| match scan.holds(&expr.conjuncts()[*part]) {
                    Some(true) => None,
                    other => Some(Unmet { part: at, open: other.is_none() }),
                });
                tally.add(index, bare, failed);
                scan.advance();
                row += 1;
            }
            let lacking = grid.names.iter().zip(&has).filter(|(_, has)| !**has).map(|(column, _)| column.name.as_str());
            let null = |name| format!("'{name}' was neither logged nor replayed in this run: null in --where");
            let mut notes: Vec<String> = lacking.map(null).collect();
            notes.extend(scan.take_clashes().iter().map(|clash| self.clash(&fields, clash)));
            let main = mains[number].as_deref().unwrap_or_default();
            self.conclude(run, main, &tally, &facts[number], notes, chosen);
        }
        Ok(())
    }

    /// Everything that a choice among runs is made by: the values that the condition reads, and as a last name a row for
    /// each run and each iteration of its main loop, also where nothing was logged.
    fn gathered(
        &self,
        project: &Project,
        batch: &[&RunSummary],
        stored: &Stored,
        mains: &[Option<String>],
    ) -> Result<PivotInput, Error> {
        let runs: Vec<RunId> = batch.iter().map(|run| run.id.clone()).collect();
        let names: Vec<String> = self.logged().cloned().collect();
        let valued = self.sources.iter().any(|source| matches!(source, Source::LoopValue(_)));
        let mut input = if names.is_empty() && !valued {
            PivotInput { runs, ..PivotInput::default() }
        } else {
            project.query(|db| project.gather(db, runs, names, &stored.segments, &stored.current, &|| false))?
        };
        let name = input.names.len();
        input.names.push(String::new());
        for (run, (summary, main)) in batch.iter().zip(mains).enumerate() {
            let mut add = |column| input.series.push(Series { run, name, origin: Origin::Recorded, column });
            add(Column { loops: Vec::new(), indices: Vec::new(), values: Values::Ints(vec![0]) });
            if let Some(main) = main {
                let indices: Vec<u64> = (0..summary.iterations).collect();
                let values = Values::Ints(vec![0; indices.len()]);
                add(Column { loops: vec![main.clone()], indices: vec![indices], values });
            }
        }
        Ok(input)
    }

    fn conclude(
        &self,
        run: &RunSummary,
        main: &str,
        tally: &Tally,
        facts: &[Value],
        mut notes: Vec<String>,
        chosen: &mut Chosen,
    ) {
        let why = |unmet: &Unmet| self.why(*unmet, facts);
        let iterations: BTreeSet<u64> =
            tally.within.iter().filter(|(_, found)| found.unmet.is_none()).map(|(at, _)| *at).collect();
        let not_outside = tally.outside.as_ref().and_then(|found| found.unmet.as_ref()).map(why);
        let mut groups: BTreeMap<Unmet, Vec<u64>> = BTreeMap::new();
        for (at, found) in &tally.within {
            if let Some(unmet) = found.unmet {
                groups.entry(unmet).or_default().push(*at);
            }
        }
        let mut groups: Vec<(Unmet, Vec<u64>)> = groups.into_iter().collect();
        groups.sort_by_key(|(_, at)| at.first().copied());
        let whole = iterations.is_empty() && groups.len() <= 1;
        let said: Vec<String> = groups
            .iter()
            .map(|(unmet, at)| if whole { why(unmet) } else { format!("{main} {}: {}", ranges(at), why(unmet)) })
            .collect();
        if iterations.is_empty() && not_outside.is_some() {
            let said = if said.is_empty() { not_outside.into_iter().collect() } else { said };
            let why = said.into_iter().chain(notes).collect::<Vec<_>>().join("; ");
            chosen.left_out.push(LeftOutRun { run: run.id.clone(), why });
            return;
        }
        notes.splice(0..0, (!said.is_empty()).then(|| format!("left out by --where: {}", said.join("; "))));
        chosen.runs.push(run.id.clone());
        chosen.by_run.insert(run.id.clone(), Selection { iterations, not_outside, notes });
    }

    /// Why one of the parts that must all hold does not.
    fn why(&self, unmet: Unmet, facts: &[Value]) -> String {
        let part = self.parts[unmet.part];
        let (part, sources) = (&self.condition.expr.conjuncts()[part], self.expr.conjuncts()[part].fields());
        let mut values: Vec<String> = Vec::new();
        for source in sources.iter().filter(|source| is_fact(source)) {
            let at = self.sources.iter().position(|known| known == source);
            let value = match at.and_then(|at| facts.get(at)) {
                None | Some(Value::None) => "null".to_owned(),
                Some(value) => value.to_string().chars().take(SHOWN_CHARS).collect(),
            };
            let value = format!("{} is {value}", name_of(source));
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let values = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
        if unmet.open {
            format!("{part} is neither true nor false{values}")
        } else {
            format!("{part} does not hold{values}")
        }
    }
}

/// Names that the condition reads and that some runs of a grid do not have, in words.
fn lacking_in(grid: &Grid, question: &Question<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    for name in question.logged() {
        let Some(column) = grid.names.iter().find(|column| column.name == *name) else { continue };
        let mut has = vec![false; grid.runs.len()];
        for (run, cell) in grid.rows_run.iter().zip(&column.cells) {
            if let Some(has) = usize::try_from(*run).ok().and_then(|run| has.get_mut(run)) {
                *has |= !matches!(cell, Cell::Empty | Cell::Pending | Cell::Failed);
            }
        }
        let lacking = has.iter().filter(|has| !**has).count() as u64;
        if lacking > 0 {
            notes.push(format!(
                "'{name}' was neither logged nor replayed in {}: null in --where",
                counted(lacking, "run")
            ));
        }
    }
    notes
}

/// Whether it is known of the run as a whole.
fn is_fact(source: &Source) -> bool {
    !matches!(source, Source::Loop(_) | Source::LoopValue(_) | Source::Logged(_))
}

fn name_of(source: &Source) -> &str {
    match source {
        Source::Loop(name) | Source::LoopValue(name) | Source::Logged(name) | Source::Arg(name) => name,
        Source::Run => "run",
        Source::Status => "status",
        Source::RunName => "name",
    }
}

/// The first of the parts that must all hold which does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Unmet {
    /// Its place in [`Question::parts`].
    part: usize,
    /// It is neither true nor false.
    open: bool,
}

/// The best that the rows of an iteration make of a condition.
#[derive(Debug)]
struct Best {
    /// Nothing that the condition reads was logged there.
    bare: bool,
    unmet: Option<Unmet>,
}

/// What the rows of a run make of a condition.
#[derive(Debug, Default)]
struct Tally {
    within: BTreeMap<u64, Best>,
    outside: Option<Best>,
}

impl Tally {
    /// Takes in a row of this iteration of the main loop. An iteration is as good as the best of its rows; one where
    /// nothing was logged counts only where there is no other.
    fn add(&mut self, iteration: Option<u64>, bare: bool, unmet: Option<Unmet>) {
        let row = Best { bare, unmet };
        let better = |known: &Best| match (known.bare, row.bare) {
            (true, false) => true,
            (false, true) => false,
            _ => known.unmet.is_some_and(|known| row.unmet.is_none_or(|unmet| unmet.part > known.part)),
        };
        match iteration {
            Some(at) => match self.within.get(&at) {
                Some(known) if !better(known) => {}
                _ => drop(self.within.insert(at, row)),
            },
            None if self.outside.as_ref().is_none_or(better) => self.outside = Some(row),
            None => {}
        }
    }
}

/// Ascending numbers as ranges: `0..2, 5`.
fn ranges(numbers: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first}..{last}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}
