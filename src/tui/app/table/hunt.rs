//! Looking for a cell from a row on.

use std::sync::Arc;

use crate::model::grid::{Cell, Grid};
use crate::tui::app::table::{Column, row_at, rows_shown, text};

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

/// Rows between two looks at whether anybody still waits.
const STRIDE: usize = 4096;

/// Looks for a cell from a row on, past the end too; nowhere when nobody waits for it any more.
pub fn hunt(
    grid: &Grid,
    order: Option<&Arc<Vec<u32>>>,
    hunt: &Hunt,
    outdated: &(dyn Fn() -> bool + Sync),
) -> Option<Found> {
    let rows = rows_shown(grid, order);
    let start = *hunt.columns.first()?;
    let origin = row_at(order, hunt.from);
    let needle = match &hunt.target {
        Target::Text(text) => text.to_lowercase(),
        Target::OtherValue => String::new(),
    };
    let waited_for = |distance: &usize| !distance.is_multiple_of(STRIDE) || !outdated();
    (1..=rows).take_while(waited_for).find_map(|distance| {
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
            match (cells.get(row).and_then(Cell::shown), cells.get(origin).and_then(Cell::shown)) {
                (Some(value), Some(original)) => !value.same_bits(original),
                (value, original) => value.is_some() && original.is_none(),
            }
        }
        Column::Run | Column::Loop(_) => text(grid, column, row) != text(grid, column, origin),
    }
}
