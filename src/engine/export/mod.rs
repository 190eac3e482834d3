//! Writes grids for other programs (CSV, JSON) and for people (a table). Writes text; the caller prints it.

mod csv;
mod json;
pub mod table;

use crate::model::grid::{Cell, Grid};
use crate::model::value::Value;
use crate::model::verdict::Verdict;

pub use csv::{csv_unless, field, to_csv};
pub use json::{json_unless, to_json, value as json_value};

/// A grid as an aligned table at most `width` columns wide.
pub fn to_table(grid: &Grid, width: usize) -> String {
    let header: Vec<String> = columns(grid, false);
    let mut rows = Vec::with_capacity(grid.len());
    for row in 0..grid.len() {
        let mut cells = vec![run_id(grid, row).to_owned()];
        for column in &grid.loops {
            let index = column.index[row];
            cells.push(if index < 0 { String::new() } else { index.to_string() });
            if let Some(values) = &column.values {
                cells.push(values[row].as_ref().map(Value::to_string).unwrap_or_default());
            }
        }
        cells.extend(grid.names.iter().map(|name| marked(&name.cells[row])));
        rows.push(cells);
    }
    table::lay_out(&header, &rows, width)
}

/// A cell with the mark of its verdict.
fn marked(cell: &Cell) -> String {
    match cell {
        Cell::Empty => "·".into(),
        Cell::Pending => "…".into(),
        Cell::Failed => "✗".into(),
        Cell::Value { value, verdict: Verdict::Recorded } => value.to_string(),
        Cell::Value { value, verdict: Verdict::Verified } => format!("{value} ✓"),
        Cell::Value { value, verdict: Verdict::Unverified } => format!("{value} ?"),
        Cell::Value { value, verdict: Verdict::Diverged } => format!("{value} ≠"),
        Cell::Differs(both) => format!("{} ≠ {}", both.recorded, both.replayed),
    }
}

/// Column names: run, loops with their values beside them, names with their verdicts beside them.
fn columns(grid: &Grid, verdicts: bool) -> Vec<String> {
    let mut columns = vec!["run".to_owned()];
    for column in &grid.loops {
        columns.push(column.name.clone());
        columns.extend(column.values.as_ref().map(|_| format!("{}_value", column.name)));
    }
    for name in &grid.names {
        columns.push(name.name.clone());
        columns.extend(verdicts.then(|| format!("{}_verdict", name.name)));
    }
    columns
}

fn run_id(grid: &Grid, row: usize) -> &str {
    usize::try_from(grid.rows_run[row]).ok().and_then(|run| grid.runs.get(run)).map_or("", |id| id.as_str())
}

/// The word for a cell's standing; empty where nothing was logged.
fn verdict_word(cell: &Cell) -> &'static str {
    match cell {
        Cell::Empty => "",
        Cell::Pending => "pending",
        Cell::Failed => "failed",
        Cell::Value { verdict, .. } => verdict.word(),
        Cell::Differs(_) => Verdict::Diverged.word(),
    }
}

/// Whether a replayed value is among those shown.
pub fn has_replayed(grid: &Grid) -> bool {
    let is_replayed = |cell: &Cell| match cell {
        Cell::Value { verdict, .. } => *verdict != Verdict::Recorded,
        Cell::Differs(_) => true,
        Cell::Empty | Cell::Pending | Cell::Failed => false,
    };
    grid.names.iter().any(|name| name.cells.iter().any(is_replayed))
}

/// How many replayed values are not verified.
pub fn doubtful(grid: &Grid) -> u64 {
    let is_doubtful =
        |cell: &&Cell| matches!(cell, Cell::Value { verdict: Verdict::Unverified | Verdict::Diverged, .. });
    grid.names.iter().map(|name| name.cells.iter().filter(is_doubtful).count() as u64).sum()
}

/// Names whose values have several types, with these in the order in which they appear.
pub fn mixed_types(grid: &Grid) -> Vec<(String, Vec<&'static str>)> {
    let types = |cells: &[Cell]| {
        let mut types: Vec<&'static str> = Vec::new();
        for value in cells.iter().filter_map(Cell::recorded).filter(|value| **value != Value::None) {
            if types.last() != Some(&value.type_name()) && !types.contains(&value.type_name()) {
                types.push(value.type_name());
            }
        }
        types
    };
    let named = grid.names.iter().map(|name| (name.name.clone(), types(&name.cells)));
    named.filter(|(_, types)| types.len() > 1).collect()
}
