//! Two runs side by side: a grid whose rows are positions, with both runs' values and their difference for each name.

use crate::analysis::compare::{pairs, rows_of, value_of};
use crate::base::ids::RunId;
use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::value::Value;
use crate::model::verdict::Verdict;

/// What a name's third column is called after it.
pub const DIFFERENCE: &str = "B-A";

/// The names that both runs have: `NAME A`, `NAME B` and `NAME B-A`, where 0 (as an integer) stands for values that agree in every
/// bit. All rows belong to the first run. `None` if one of the runs is not in the grid.
pub fn beside(grid: &Grid, runs: [&RunId; 2]) -> Option<Grid> {
    let [a, b] = runs.map(|run| rows_of(grid, run));
    let (a, b) = (a?, b?);
    let has = |name: &NameColumn, rows: &std::ops::Range<usize>| {
        name.cells[rows.clone()].iter().any(|cell| value_of(cell).is_some())
    };
    let common: Vec<&NameColumn> = grid.names.iter().filter(|name| has(name, &a) && has(name, &b)).collect();
    let shown = |row: Option<usize>| row.is_some_and(|row| common.iter().any(|name| name.cells[row] != Cell::Empty));
    let rows: Vec<[Option<usize>; 2]> = pairs(grid, a, b).filter(|pair| pair.iter().any(|row| shown(*row))).collect();
    let either = || rows.iter().map(|pair| pair[0].or(pair[1]).unwrap_or(0));
    let loops = grid.loops.iter().map(|l| LoopColumn {
        name: l.name.clone(),
        index: either().map(|row| l.index[row]).collect(),
        values: l.values.as_ref().map(|values| either().map(|row| values[row].clone()).collect()),
    });
    let mut names = Vec::with_capacity(3 * common.len());
    for name in common {
        let of = |side: usize| -> Vec<Cell> {
            rows.iter().map(|pair| pair[side].map_or(Cell::Empty, |row| name.cells[row].clone())).collect()
        };
        let (a, b) = (of(0), of(1));
        let difference = a.iter().zip(&b).map(|(a, b)| difference(a, b)).collect();
        for (suffix, cells) in [("A", a), ("B", b), (DIFFERENCE, difference)] {
            names.push(NameColumn { name: format!("{} {suffix}", name.name), cells });
        }
    }
    Some(Grid {
        runs: vec![runs[0].clone()],
        rows_run: vec![0; rows.len()],
        loops: loops.collect(),
        names,
        notes: grid.notes.clone(),
    })
}

/// What a cell shows: where a replay differs from the record, what was replayed, with its mark.
fn shown_value(cell: &Cell) -> Option<(&Value, Verdict)> {
    match cell {
        Cell::Differs(both) => Some((&both.replayed, Verdict::Diverged)),
        other => value_of(other),
    }
}

/// Of the values that are shown, and as trustworthy as the worse of the two.
fn difference(a: &Cell, b: &Cell) -> Cell {
    let (Some((a, of_a)), Some((b, of_b))) = (shown_value(a), shown_value(b)) else { return Cell::Empty };
    let value = match (a, b) {
        (a, b) if a.same_bits(b) => Value::Int(0),
        (Value::Int(a), Value::Int(b)) if b.checked_sub(*a).is_some() => Value::Int(b - a),
        (a, b) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => Value::Float(b - a),
            _ => Value::Text("differs".into()),
        },
    };
    Cell::Value { value, verdict: of_a.max(of_b) }
}
