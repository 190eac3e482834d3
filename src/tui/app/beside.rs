//! Where two runs part, and the two side by side.

use std::sync::Arc;

use crate::analysis::compare::{Comparison, DIFFERENCE};
use crate::base::ids::RunId;
use crate::tui::app::App;
use crate::tui::app::list::Cursor;
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::results::Results;
use crate::tui::app::table::{Arrangement, title};
use crate::tui::event::{Effect, Request};

/// Where the cursor goes when the next arrangement is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Jump {
    /// `None`: whichever run the rows belong to.
    run: Option<RunId>,
    /// The index in each loop.
    at: Vec<i64>,
    column: Option<String>,
}

impl Results {
    /// The runs shown side by side, if any are.
    pub fn beside(&self) -> Option<&[RunId; 2]> {
        let shown = self.arranged.as_ref().is_some_and(|arranged| arranged.grid.is_some());
        self.arrangement.beside.as_ref().filter(|_| shown)
    }

    /// The run under the cursor.
    pub(super) fn run(&self) -> Option<&RunId> {
        let at = self.grid.rows_run.get(self.row()).and_then(|run| usize::try_from(*run).ok())?;
        self.grid.runs.get(at)
    }

    /// Goes where the cursor was sent; the position of the row, if it is there.
    pub(super) fn jumped(&mut self) -> Option<usize> {
        let jump = self.jump.take()?;
        let grid = &self.grid;
        let run = jump.run.as_ref().map(|run| grid.runs.iter().position(|known| known == run));
        let fits = |row: usize| {
            let same = run.is_none_or(|run| usize::try_from(grid.rows_run[row]).ok() == run);
            same && grid.loops.iter().zip(&jump.at).all(|(l, at)| l.index[row] == *at)
        };
        let found = (0..self.shown()).find(|position| fits(crate::tui::app::table::row_at(self.order(), *position)));
        let column = jump.column.and_then(|wanted| self.visible().iter().position(|c| title(grid, *c) == wanted));
        self.column = column.unwrap_or(self.column);
        // Other columns than before: nothing is scrolled yet.
        self.first_column = 0;
        found
    }
}

impl App {
    /// Asks where two runs part: those side by side, the two that are marked, or the baseline and the run under the cursor.
    pub(super) fn find_divergence(&mut self) -> Vec<Effect> {
        let results = &self.results;
        let pair = match (results.beside(), &self.timeline.marked[..], &self.timeline.baseline, results.run()) {
            (Some(pair), ..) => Some(pair.clone()),
            (None, [a, b], ..) => Some([a.clone(), b.clone()]),
            (None, _, Some(a), Some(b)) if a != b => Some([a.clone(), b.clone()]),
            _ => None,
        };
        let Some(mut pair) = pair else {
            self.complain("mark two runs in the timeline (Space), or pin one here (p) and go to a row of another");
            return Vec::new();
        };
        // Older first, whatever was marked first.
        let place = |run: &RunId| self.results.base.runs.iter().position(|known| known == run);
        if self.timeline.baseline.is_none() {
            pair.sort_by_key(|run| place(run));
        }
        self.compare(pair)
    }

    fn compare(&mut self, runs: [RunId; 2]) -> Vec<Effect> {
        let (grid, tolerance) = (self.results.base.clone(), self.results.tolerance);
        self.results.compared = Some(runs.clone());
        vec![self.ask(Request::Compare { grid, runs, tolerance })]
    }

    pub(super) fn take_comparison(&mut self, comparison: Option<Arc<Comparison>>) -> Vec<Effect> {
        match comparison {
            Some(comparison) => self.open(Overlay::Partings { comparison, cursor: Cursor::default() }),
            None => {
                self.complain("one of the two runs has no values in this grid");
                Vec::new()
            }
        }
    }

    /// Asks for the tolerance of comparisons.
    pub(super) fn ask_tolerance(&mut self) -> Vec<Effect> {
        let text = self.results.tolerance.map_or(String::new(), |tolerance| format!("{tolerance:e}"));
        self.open(Overlay::prompt(Purpose::Tolerance, &text))
    }

    /// Compares again with another tolerance; without one, bit by bit.
    ///
    /// # Errors
    /// If it is no number.
    pub(super) fn set_tolerance(&mut self, text: &str) -> Result<Vec<Effect>, String> {
        let text = text.trim();
        self.results.tolerance = match text.parse::<f64>() {
            _ if text.is_empty() => None,
            Ok(tolerance) if tolerance >= 0.0 && tolerance.is_finite() => Some(tolerance),
            _ => return Err(format!("'{text}' is no tolerance: a number such as 1e-6, or nothing")),
        };
        let runs = self.results.compared.clone();
        Ok(runs.map_or_else(Vec::new, |runs| self.compare(runs)))
    }

    /// Shows two runs side by side, at the place where a name parts.
    pub(super) fn show_beside(&mut self, comparison: &Comparison, column: usize) -> Vec<Effect> {
        let Some(column) = comparison.columns.get(column) else { return Vec::new() };
        let parting = column.decisive(comparison.tolerance.is_some()).or(column.first.as_ref());
        self.results.jump = parting.map(|parting| Jump {
            run: None,
            at: parting.at.clone(),
            column: Some(format!("{} {DIFFERENCE}", column.name)),
        });
        let pair = Arrangement { beside: Some(comparison.runs.clone()), ..Arrangement::default() };
        let before = std::mem::replace(&mut self.results.arrangement, pair);
        if before.beside.is_none() {
            self.results.before = Some(before);
        }
        self.ask_arranged()
    }

    /// Back to all runs, at the same position of the first of the two.
    pub(super) fn leave_beside(&mut self) -> Option<Vec<Effect>> {
        let [run, _] = self.results.arrangement.beside.clone()?;
        let row = self.results.row();
        let at = self.results.grid.loops.iter().filter_map(|l| l.index.get(row).copied()).collect();
        self.results.jump = Some(Jump { run: Some(run), at, column: None });
        // It is kept until that is shown: on the way there it can be stopped, and be gone again.
        self.results.arrangement = self.results.before.clone().unwrap_or_default();
        Some(self.ask_arranged())
    }
}
