//! Computations on a grid: order, filter, search, statistics, CSV. Pure; the costly ones run in the background.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::value::Value;
use crate::tui::app::filter::{Field, Filter};

/// A column of the grid as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    Run,
    Loop(usize),
    Name(usize),
}

/// Which rows are shown, in which order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrangement {
    /// By the title of a column, since indices change with the columns chosen.
    pub sort: Option<(String, Direction)>,
    pub filter: Option<Filter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// The outcome of arranging.
#[derive(Debug, Clone, PartialEq)]
pub struct Arranged {
    /// Rows shown, in order; `None` is all of them as they are.
    pub order: Option<Arc<Vec<u32>>>,
    /// For each name: whether all of its values are the same.
    pub unchanged: Vec<bool>,
}

/// What to look for from a row on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunt {
    /// Position among the rows shown.
    pub from: usize,
    pub backwards: bool,
    pub target: Target,
    /// The columns to look into, as shown.
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A cell that contains this text, whatever the case.
    Text(String),
    /// A cell other than the one at `from`; `columns` holds one.
    OtherValue,
}

/// Where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub row: usize,
    pub column: Column,
    /// Whether the search went past the end and began anew.
    pub wrapped: bool,
}

/// What there is to say about a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    pub title: String,
    pub values: usize,
    pub empty: usize,
    pub pending: usize,
    pub failed: usize,
    pub differing: usize,
    /// Minimum, lower quartile, median, upper quartile, maximum of the numbers that are not NaN.
    pub quartiles: Option<[f64; 5]>,
    pub mean: f64,
    pub deviation: f64,
    pub nan: usize,
    /// The most frequent values with their counts.
    pub frequent: Vec<(String, usize)>,
    pub distinct: usize,
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
        Column::Name(i) => match grid.names.get(i).and_then(|n| n.cells.get(row)) {
            Some(Cell::Value { value, .. } | Cell::Differs { replayed: value, .. }) => value.to_string(),
            Some(Cell::Empty | Cell::Pending | Cell::Failed) | None => String::new(),
        },
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
        Column::Name(i) => match grid.names.get(i)?.cells.get(row)? {
            Cell::Value { value, .. } | Cell::Differs { replayed: value, .. } => value.as_f64(),
            Cell::Empty | Cell::Pending | Cell::Failed => None,
        },
    }
}

fn field(grid: &Grid, column: Column, row: usize) -> Option<Field> {
    if let Some(number) = number(grid, column, row) {
        return Some(Field::Number(number));
    }
    let text = text(grid, column, row);
    (!text.is_empty()).then_some(Field::Text(text))
}

/// Filters and sorts. Stable; rows without a value stand at the end in both directions.
pub fn arrange(grid: &Grid, arrangement: &Arrangement) -> Arranged {
    let unchanged = grid.names.iter().map(|name| is_unchanged(&name.cells)).collect();
    if arrangement.sort.is_none() && arrangement.filter.is_none() {
        return Arranged { order: None, unchanged };
    }
    let columns = all_columns(grid);
    let passes = |row: usize| {
        arrangement.filter.as_ref().is_none_or(|filter| {
            filter.matches(
                |name| column_named(grid, name).and_then(|column| field(grid, column, row)),
                || columns.iter().map(|c| text(grid, *c, row)).collect::<Vec<_>>().join(" "),
            )
        })
    };
    let rows = u32::try_from(grid.len()).unwrap_or(u32::MAX);
    let mut order: Vec<u32> = (0..rows).filter(|row| passes(row_index(*row))).collect();
    if let Some((wanted, direction)) = &arrangement.sort
        && let Some(column) = column_named(grid, wanted)
    {
        sort(grid, column, *direction, &mut order);
    }
    Arranged { order: Some(Arc::new(order)), unchanged }
}

fn row_index(row: u32) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

fn sort(grid: &Grid, column: Column, direction: Direction, order: &mut [u32]) {
    let direct = |ordering: Ordering| match direction {
        Direction::Ascending => ordering,
        Direction::Descending => ordering.reverse(),
    };
    let mut keys: Vec<(Option<f64>, String, u32)> = order
        .iter()
        .map(|row| {
            let number = number(grid, column, row_index(*row));
            let text = if number.is_some() { String::new() } else { text(grid, column, row_index(*row)) };
            (number, text, *row)
        })
        .collect();
    // Numbers first, then text, then nothing, whatever the direction.
    let rank = |key: &(Option<f64>, String, u32)| match (&key.0, key.1.is_empty()) {
        (Some(_), _) => 0,
        (None, false) => 1,
        (None, true) => 2,
    };
    keys.sort_by(|a, b| {
        rank(a).cmp(&rank(b)).then_with(|| match (a.0, b.0) {
            (Some(x), Some(y)) => direct(x.total_cmp(&y)),
            _ => direct(a.1.cmp(&b.1)),
        })
    });
    for (place, key) in order.iter_mut().zip(&keys) {
        *place = key.2;
    }
}

/// Every column of the grid in the order shown.
pub fn all_columns(grid: &Grid) -> Vec<Column> {
    let loops = (0..grid.loops.len()).map(Column::Loop);
    let names = (0..grid.names.len()).map(Column::Name);
    std::iter::once(Column::Run).chain(loops).chain(names).collect()
}

fn value_of(cell: &Cell) -> Option<&Value> {
    match cell {
        Cell::Value { value, .. } | Cell::Differs { replayed: value, .. } => Some(value),
        Cell::Empty | Cell::Pending | Cell::Failed => None,
    }
}

fn is_unchanged(cells: &[Cell]) -> bool {
    let mut values = cells.iter().filter_map(value_of);
    let Some(first) = values.next() else { return true };
    // A column that differs from its record is never uninteresting.
    values.all(|value| value.same_bits(first)) && !cells.iter().any(|cell| matches!(cell, Cell::Differs { .. }))
}

/// Looks for a cell from a row on, past the end too.
pub fn hunt(grid: &Grid, order: Option<&Arc<Vec<u32>>>, hunt: &Hunt) -> Option<Found> {
    let rows = rows_shown(grid, order);
    let start = *hunt.columns.first()?;
    let origin = row_at(order, hunt.from);
    let needle = match &hunt.target {
        Target::Text(text) => text.to_lowercase(),
        Target::OtherValue => String::new(),
    };
    (1..=rows).find_map(|distance| {
        let (row, wrapped) = if hunt.backwards {
            ((hunt.from + rows - distance) % rows, distance > hunt.from)
        } else {
            ((hunt.from + distance) % rows, hunt.from + distance >= rows)
        };
        let at = row_at(order, row);
        let column = match &hunt.target {
            Target::Text(_) => {
                hunt.columns.iter().copied().find(|c| text(grid, *c, at).to_lowercase().contains(&needle))
            }
            // Only values count: the next empty cell is not a difference worth jumping to. No wrapping either.
            Target::OtherValue if wrapped => None,
            Target::OtherValue => other(grid, start, origin, at).then_some(start),
        };
        column.map(|column| Found { row, column, wrapped })
    })
}

fn other(grid: &Grid, column: Column, origin: usize, row: usize) -> bool {
    match column {
        Column::Name(i) => {
            let cells = &grid.names[i].cells;
            match (cells.get(row).and_then(value_of), cells.get(origin).and_then(value_of)) {
                (Some(value), Some(original)) => !value.same_bits(original),
                (value, original) => value.is_some() && original.is_none(),
            }
        }
        Column::Run | Column::Loop(_) => text(grid, column, row) != text(grid, column, origin),
    }
}

/// The rows and columns shown as a grid of their own: what an export writes.
pub fn selection(grid: &Grid, order: Option<&Arc<Vec<u32>>>, columns: &[Column]) -> Grid {
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
    Grid {
        runs: grid.runs.clone(),
        rows_run: rows.iter().map(|row| grid.rows_run[*row]).collect(),
        loops: loops.collect(),
        names: names
            .map(|n| NameColumn { name: n.name.clone(), cells: rows.iter().map(|row| n.cells[*row].clone()).collect() })
            .collect(),
        notes: grid.notes.clone(),
    }
}

/// Counts, quartiles and frequencies of a column over the rows shown.
pub fn statistics(grid: &Grid, order: Option<&Arc<Vec<u32>>>, column: Column) -> Statistics {
    let rows = rows_shown(grid, order);
    let mut numbers = Vec::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let (mut empty, mut pending, mut failed, mut differing, mut nan, mut values) = (0, 0, 0, 0, 0, 0);
    for position in 0..rows {
        let row = row_at(order, position);
        if let Column::Name(i) = column {
            match &grid.names[i].cells[row] {
                Cell::Empty => empty += 1,
                Cell::Pending => pending += 1,
                Cell::Failed => failed += 1,
                Cell::Differs { .. } => differing += 1,
                Cell::Value { .. } => {}
            }
        }
        let text = text(grid, column, row);
        let number = number(grid, column, row);
        if text.is_empty() && number.is_none() {
            continue;
        }
        values += 1;
        *counts.entry(text).or_default() += 1;
        match number {
            Some(x) if x.is_nan() => nan += 1,
            Some(x) => numbers.push(x),
            None => {}
        }
    }
    let distinct = counts.len();
    let mut frequent: Vec<(String, usize)> = counts.into_iter().collect();
    frequent.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    frequent.truncate(8);
    let (mean, deviation) = moments(&numbers);
    let title = title(grid, column).to_owned();
    let quartiles = quartiles(&mut numbers);
    Statistics { title, values, empty, pending, failed, differing, quartiles, mean, deviation, nan, frequent, distinct }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn moments(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}

fn quartiles(numbers: &mut [f64]) -> Option<[f64; 5]> {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len().checked_sub(1)?;
    Some([0, 1, 2, 3, 4].map(|quarter| numbers[last * quarter / 4]))
}

#[cfg(test)]
pub(crate) mod tests;
