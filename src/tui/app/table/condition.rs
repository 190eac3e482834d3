//! What `&` was given: the short form (`loss<0.5 run:6xk2 word`), or a condition as `--where` takes it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::analysis::query::resolve::{Known, Source, resolve};
use crate::analysis::query::rows::{Field, Scan};
use crate::analysis::query::{Condition, Expr, QueryError};
use crate::base::ids::RunId;
use crate::model::grid::Grid;
use crate::model::run::RunSummary;
use crate::model::value::Value;
use crate::tui::app::filter::Filter;
use crate::tui::app::table::column_named;

/// Words that mean something in a condition: a text that has them is none of the short form.
const KEYWORDS: [&str; 6] = ["or", "not", "in", "like", "is", "null"];
/// Rows between two looks at whether anybody still waits.
const STRIDE: usize = 16_384;

/// Which rows are shown.
#[derive(Debug, Clone, PartialEq)]
pub enum RowFilter {
    /// Words and comparisons that must all hold in a row itself.
    Short(Filter),
    /// As on the command line: a row sees what was logged around it, too.
    Condition(Asked),
}

/// A condition whose names are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    text: String,
    expr: Expr<Source>,
    /// Arguments, status and name of each run, as far as the condition reads them; in the order of its fields.
    facts: Arc<HashMap<RunId, Vec<Value>>>,
}

impl RowFilter {
    /// Reads a filter for the rows of a grid; an empty one is none.
    ///
    /// # Errors
    /// With what is wrong, in words.
    pub fn parse(text: &str, grid: &Grid, runs: &[RunSummary]) -> Result<Option<Self>, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let error = match Asked::parse(text, grid, runs) {
            Ok(asked) => return Ok(Some(Self::Condition(asked))),
            Err(error) => error,
        };
        let words = || text.split_whitespace().any(|word| KEYWORDS.contains(&word.to_lowercase().as_str()));
        if !text.contains(['(', ')', '\'', '"', '`']) && !words() {
            match Filter::parse(text) {
                Ok(Some(filter)) if filter.fields().all(|field| column_named(grid, field).is_some()) => {
                    return Ok(Some(Self::Short(filter)));
                }
                _ => {}
            }
        }
        Err(told(&error))
    }

    /// As typed.
    pub fn text(&self) -> &str {
        match self {
            Self::Short(filter) => &filter.text,
            Self::Condition(asked) => &asked.text,
        }
    }
}

/// In one line, as there is no more room for it.
fn told(error: &QueryError) -> String {
    let column = error.text.get(..error.at).map_or(0, |before| before.chars().count()) + 1;
    let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("column {column}: {}{hint}", error.what)
}

impl Asked {
    fn parse(text: &str, grid: &Grid, runs: &[RunSummary]) -> Result<Self, QueryError> {
        let condition = Condition::parse(text.trim())?;
        // Most runs have the arguments of the one before: this is done anew for each grid, of however many runs.
        let same = |a: &RunSummary, b: &RunSummary| a.args.iter().map(|arg| &arg.0).eq(b.args.iter().map(|arg| &arg.0));
        let others = runs.iter().enumerate().filter(|(at, run)| *at == 0 || !same(&runs[at - 1], run));
        let known = Known {
            loops: grid.loops.iter().map(|l| l.name.clone()).collect(),
            logged: grid.names.iter().map(|n| n.name.clone()).collect(),
            args: others.flat_map(|(_, run)| run.args.iter().map(|(name, _)| name.clone())).collect(),
        };
        let expr = resolve(&condition, &known, |name, known| {
            known
                .iter()
                .filter(|other| other.contains(name) || name.contains(other.as_str()))
                .take(3)
                .cloned()
                .collect()
        })?;
        let fields = expr.fields();
        let facts = runs.iter().map(|run| (run.id.clone(), fields.iter().map(|source| fact(run, source)).collect()));
        Ok(Self { text: text.trim().to_owned(), facts: Arc::new(facts.collect()), expr })
    }

    /// The rows that fulfil it; `None` when nobody waits for them any more.
    pub(super) fn rows(&self, grid: &Grid, outdated: &dyn Fn() -> bool) -> Option<Vec<u32>> {
        let facts: Vec<Vec<Value>> =
            grid.runs.iter().map(|run| self.facts.get(run).cloned().unwrap_or_default()).collect();
        // Fields come in the order in which `facts` has them.
        let mut at = 0;
        let bound: Result<Expr<Field>, std::convert::Infallible> = self.expr.try_map(&mut |source| {
            at += 1;
            Ok(place(grid, source, at - 1))
        });
        let Ok(bound) = bound;
        let mut scan = Scan::new(grid, &facts);
        let mut rows = Vec::new();
        for row in 0..grid.len() {
            if row % STRIDE == 0 && outdated() {
                return None;
            }
            if scan.holds(&bound) == Some(true) {
                rows.extend(u32::try_from(row));
            }
            scan.advance();
        }
        Some(rows)
    }
}

fn fact(run: &RunSummary, source: &Source) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let argument = |name: &String| run.args.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let found = match source {
        Source::Arg(name) => argument(name),
        Source::Run => Some(text(run.id.as_str())),
        Source::Status => Some(text(run.status.word())),
        Source::RunName => run.name.as_deref().map(text),
        Source::Loop(_) | Source::LoopValue(_) | Source::Logged(_) => None,
    };
    found.unwrap_or(Value::None)
}

/// Where the rows of a grid have what a condition reads; `at` is its place among the fields.
fn place(grid: &Grid, source: &Source, at: usize) -> Field {
    let in_loop = |name: &str| grid.loops.iter().position(|l| l.name == name);
    match source {
        Source::Loop(name) => in_loop(name).map_or(Field::Nowhere, Field::Loop),
        Source::LoopValue(name) => in_loop(name).map_or(Field::Nowhere, Field::LoopValue),
        Source::Logged(name) => grid.names.iter().position(|n| n.name == *name).map_or(Field::Nowhere, Field::Cell),
        Source::Arg(_) | Source::Run | Source::Status | Source::RunName => Field::Fact(at),
    }
}
