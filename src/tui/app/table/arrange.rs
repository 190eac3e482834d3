//! Which rows are shown, in which order, and what the columns are like.

use std::sync::Arc;

use rayon::prelude::*;

use crate::analysis::compare::beside;
use crate::base::ids::RunId;
use crate::model::grid::{Cell, Grid};
use crate::tui::app::filter::{Field, Filter};
use crate::tui::app::table::condition::RowFilter;
use crate::tui::app::table::profile::{Profile, profile};
use crate::tui::app::table::{Column, all_columns, column_named, number, text};

/// Rows between two looks at whether anybody still waits.
const STRIDE: usize = 16_384;

/// Which rows are shown, in which order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arrangement {
    /// By the titles of columns, since indices change with the columns chosen; what comes first decides first.
    pub sort: Vec<(String, Direction)>,
    pub filter: Option<RowFilter>,
    /// Rows in which the column of this title has no value, nor is to have one, are left out.
    pub valued: Option<String>,
    /// Two runs side by side instead of all of them one after the other.
    pub beside: Option<[RunId; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// The outcome of arranging.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arranged {
    /// The grid that is shown, if it is not the one that was given.
    pub grid: Option<Arc<Grid>>,
    /// Rows shown, in order; `None` is all of them as they are.
    pub order: Option<Arc<Vec<u32>>>,
    /// For each name.
    pub profiles: Vec<Profile>,
    /// The condition, if it was read anew.
    pub renewed: Option<RowFilter>,
}

/// Filters and sorts. Stable; rows without a value stand at the end in both directions. `None` when nobody waits for it
/// any more.
pub fn arrange(grid: &Grid, arrangement: &Arrangement, outdated: &(dyn Fn() -> bool + Sync)) -> Option<Arranged> {
    let pair = arrangement.beside.as_ref().and_then(|[a, b]| beside(grid, [a, b]));
    let pair = pair.map(Arc::new);
    let grid = pair.as_deref().unwrap_or(grid);
    let valued = arrangement.valued.as_ref().and_then(|wanted| column_named(grid, wanted));
    let order = if arrangement.sort.is_empty() && arrangement.filter.is_none() && valued.is_none() {
        None
    } else {
        let mut order = filtered(grid, arrangement.filter.as_ref(), outdated)?;
        if let Some(column) = valued {
            order.retain(|row| usize::try_from(*row).is_ok_and(|row| is_valued(grid, column, row)));
        }
        // Each pass is stable, so the key that decides first comes last.
        for (wanted, direction) in arrangement.sort.iter().rev() {
            if let Some(column) = column_named(grid, wanted) {
                sort(grid, column, *direction, &mut order);
            }
            if outdated() {
                return None;
            }
        }
        Some(Arc::new(order))
    };
    let profiles = grid.names.par_iter().map(|name| profile(&name.cells, order.as_ref())).collect();
    Some(Arranged { grid: pair, order, profiles, renewed: None })
}

/// Whether a row has, or is to have, a value in a column.
fn is_valued(grid: &Grid, column: Column, row: usize) -> bool {
    match column {
        Column::Run => true,
        Column::Loop(i) => grid.loops[i].index[row] >= 0,
        Column::Name(i) => grid.names[i].cells[row] != Cell::Empty,
    }
}

fn filtered(grid: &Grid, filter: Option<&RowFilter>, outdated: &(dyn Fn() -> bool + Sync)) -> Option<Vec<u32>> {
    let rows = u32::try_from(grid.len()).unwrap_or(u32::MAX);
    let filter: &Filter = match filter {
        None => return Some((0..rows).collect()),
        Some(RowFilter::Condition(asked)) => return asked.rows(grid, outdated),
        Some(RowFilter::Short(filter)) => filter,
    };
    let columns = all_columns(grid);
    let passes = |row: usize| {
        filter.matches(
            |name| column_named(grid, name).and_then(|column| field(grid, column, row)),
            || columns.iter().map(|c| text(grid, *c, row)).collect::<Vec<_>>().join(" "),
        )
    };
    let pieces: Vec<Option<Vec<u32>>> = (0..grid.len().div_ceil(STRIDE))
        .into_par_iter()
        .map(|piece| {
            let end = ((piece + 1) * STRIDE).min(grid.len());
            let kept = (piece * STRIDE..end).filter(|row| passes(*row)).filter_map(|row| u32::try_from(row).ok());
            if outdated() { None } else { Some(kept.collect()) }
        })
        .collect();
    Some(pieces.into_iter().collect::<Option<Vec<_>>>()?.concat())
}

fn field(grid: &Grid, column: Column, row: usize) -> Option<Field> {
    if let Some(number) = number(grid, column, row) {
        return Some(Field::Number(number));
    }
    let text = text(grid, column, row);
    (!text.is_empty()).then_some(Field::Text(text))
}

/// What a row is sorted by: numbers first, then text, then nothing, whatever the direction.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Text(String),
    Nothing,
}

fn sort(grid: &Grid, column: Column, direction: Direction, order: &mut [u32]) {
    let key = |row: &u32| {
        let row = usize::try_from(*row).unwrap_or(usize::MAX);
        if let Some(x) = number(grid, column, row) {
            let ascending = ordered_bits(x);
            return Key::Number(if direction == Direction::Descending { !ascending } else { ascending });
        }
        let text = text(grid, column, row);
        if text.is_empty() { Key::Nothing } else { Key::Text(text) }
    };
    let mut keys: Vec<(Key, u32)> = order.par_iter().map(|row| (key(row), *row)).collect();
    keys.par_sort_by(|a, b| match (&a.0, &b.0) {
        (Key::Text(a), Key::Text(b)) if direction == Direction::Descending => b.cmp(a),
        (a, b) => a.cmp(b),
    });
    for (place, key) in order.iter_mut().zip(&keys) {
        *place = key.1;
    }
}

/// Bits that stand in the order of the numbers, as `f64::total_cmp` has it.
fn ordered_bits(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}
