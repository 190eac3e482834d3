//! Computations on a grid: order, filter, search, statistics, selection. Pure; the costly ones run in the background.

pub mod arrange;
pub mod condition;
pub mod hunt;
pub mod profile;
pub mod statistics;

use std::sync::Arc;

use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::value::Value;

pub use arrange::{Arranged, Arrangement, Direction, arrange};
pub use condition::RowFilter;
pub use hunt::{Found, Hunt, Target, hunt};
pub use statistics::{Statistics, statistics};

/// A column of the grid as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    Run,
    Loop(usize),
    Name(usize),
}

/// The row of the grid at a position of the list.
pub fn row_at(order: Option<&Arc<Vec<u32>>>, position: usize) -> usize {
    match order {
        Some(order) => order.get(position).map_or(0, |row| usize::try_from(*row).unwrap_or(0)),
        None => position,
    }
}

/// How many rows are shown.
pub fn rows_shown(grid: &Grid, order: Option<&Arc<Vec<u32>>>) -> usize {
    order.map_or(grid.len(), |order| order.len())
}

/// A column's title.
pub fn title(grid: &Grid, column: Column) -> &str {
    match column {
        Column::Run => "run",
        Column::Loop(i) => grid.loops.get(i).map_or("", |l| &l.name),
        Column::Name(i) => grid.names.get(i).map_or("", |n| &n.name),
    }
}

/// The column with a title. A name wins over a loop of the same name.
pub fn column_named(grid: &Grid, wanted: &str) -> Option<Column> {
    let name = grid.names.iter().position(|n| n.name == wanted).map(Column::Name);
    let of_loop = || grid.loops.iter().position(|l| l.name == wanted).map(Column::Loop);
    name.or_else(of_loop).or((wanted == "run").then_some(Column::Run))
}

/// What a cell holds as full text; empty where there is no value.
pub fn text(grid: &Grid, column: Column, row: usize) -> String {
    match column {
        Column::Run => run_of(grid, row).unwrap_or("").to_owned(),
        Column::Loop(i) => match grid.loops.get(i).and_then(|l| l.index.get(row)) {
            Some(index @ 0..) => index.to_string(),
            _ => String::new(),
        },
        Column::Name(i) => {
            let cell = grid.names.get(i).and_then(|n| n.cells.get(row));
            cell.and_then(Cell::shown).map_or_else(String::new, Value::to_string)
        }
    }
}

/// The run of a row.
pub fn run_of(grid: &Grid, row: usize) -> Option<&str> {
    let run = grid.rows_run.get(row).and_then(|run| usize::try_from(*run).ok())?;
    grid.runs.get(run).map(|id| id.as_str())
}

/// The number in a cell.
pub fn number(grid: &Grid, column: Column, row: usize) -> Option<f64> {
    match column {
        Column::Run => None,
        #[expect(clippy::cast_precision_loss, reason = "for comparisons and plots only")]
        Column::Loop(i) => grid.loops.get(i)?.index.get(row).filter(|index| **index >= 0).map(|index| *index as f64),
        Column::Name(i) => grid.names.get(i)?.cells.get(row)?.shown()?.as_f64(),
    }
}

/// Where a row lies in its run: `epoch=3/step=17`; empty outside every loop.
pub fn position(grid: &Grid, row: usize) -> String {
    let inside = grid.loops.iter().filter_map(|l| l.index.get(row).filter(|i| **i >= 0).map(|i| (&l.name, i)));
    inside.map(|(name, index)| format!("{name}={index}")).collect::<Vec<_>>().join("/")
}

/// Every column of the grid in the order shown.
pub fn all_columns(grid: &Grid) -> Vec<Column> {
    let loops = (0..grid.loops.len()).map(Column::Loop);
    let names = (0..grid.names.len()).map(Column::Name);
    std::iter::once(Column::Run).chain(loops).chain(names).collect()
}

/// The rows and columns shown as a grid of their own: what an export writes. `None` when nobody waits for it any more.
pub fn selection(
    grid: &Grid,
    order: Option<&Arc<Vec<u32>>>,
    columns: &[Column],
    outdated: &dyn Fn() -> bool,
) -> Option<Grid> {
    let rows: Vec<usize> = (0..rows_shown(grid, order)).map(|position| row_at(order, position)).collect();
    let loops = grid.loops.iter().map(|l| LoopColumn {
        name: l.name.clone(),
        index: rows.iter().map(|row| l.index[*row]).collect(),
        values: l.values.as_ref().map(|values| rows.iter().map(|row| values[*row].clone()).collect()),
    });
    let names = columns.iter().filter_map(|column| match column {
        Column::Name(i) => grid.names.get(*i),
        Column::Run | Column::Loop(_) => None,
    });
    let copied = |n: &NameColumn| {
        let cells = || rows.iter().map(|row| n.cells[*row].clone()).collect();
        (!outdated()).then(|| NameColumn { name: n.name.clone(), cells: cells() })
    };
    Some(Grid {
        runs: grid.runs.clone(),
        rows_run: rows.iter().map(|row| grid.rows_run[*row]).collect(),
        loops: loops.collect(),
        names: names.map(copied).collect::<Option<_>>()?,
        notes: grid.notes.clone(),
    })
}

#[cfg(test)]
pub(crate) mod tests;
