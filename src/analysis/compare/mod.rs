//! Where two runs part: for each name, the first position at which both logged something and it is not the same.
//!
//! Positions are paired by loop indices; what was logged several times at one position in the order in which it was. Linear in
//! the rows of both runs.

mod beside;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::ids::RunId;
use crate::model::grid::{Cell, Grid};
use crate::model::value::Value;
use crate::model::verdict::Verdict;

pub use beside::{DIFFERENCE, beside};

/// What two runs have in common and where they part.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub runs: [RunId; 2],
    pub tolerance: Option<f64>,
    /// Names that both have: the first to part first, those that never do last.
    pub columns: Vec<Compared>,
}

/// One name in both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    pub name: String,
    /// Positions at which both have a value, and at how many of them it is not the same.
    pub common: usize,
    pub differing: usize,
    /// Positions at which only this run has one.
    pub only: [usize; 2],
    /// The first difference in any bit.
    pub first: Option<Parting>,
    /// The first difference beyond the tolerance, if one was given.
    pub beyond: Option<Parting>,
}

/// A position at which two runs differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Parting {
    /// Loop indices in the order of the grid's loops; −1 outside.
    pub at: Vec<i64>,
    /// `epoch=3/step=17`; empty outside every loop.
    pub position: String,
    pub values: [Value; 2],
    pub verdicts: [Verdict; 2],
}

impl Comparison {
    /// The name that parts first, and where.
    pub fn first(&self) -> Option<(&Compared, &Parting)> {
        let column = self.columns.first()?;
        Some((column, column.decisive(self.tolerance.is_some())?))
    }
}

impl Compared {
    /// Where it parts: beyond the tolerance where one counts, else in any bit.
    pub fn decisive(&self, tolerant: bool) -> Option<&Parting> {
        if tolerant { self.beyond.as_ref() } else { self.first.as_ref() }
    }
}

impl Parting {
    /// The difference of two numbers, second less first.
    pub fn difference(&self) -> Option<f64> {
        Some(self.values[1].as_f64()? - self.values[0].as_f64()?)
    }
}

/// Rows between two looks at whether anybody still waits.
const STRIDE: usize = 65_536;

/// Compares two runs of a grid, whose rows stand as the pivot made them. `None` if one of them is not in it, or when nobody
/// waits for it any more.
pub fn compare(
    grid: &Grid,
    runs: [&RunId; 2],
    tolerance: Option<f64>,
    outdated: &dyn Fn() -> bool,
) -> Option<Comparison> {
    let [a, b] = runs.map(|run| rows_of(grid, run));
    let (a, b) = (a?, b?);
    let mut columns = Vec::new();
    let pairs: Vec<Pair> = pairs(grid, a, b).collect();
    for name in &grid.names {
        let mut found =
            Compared { name: name.name.clone(), common: 0, differing: 0, only: [0, 0], first: None, beyond: None };
        for (at, pair) in pairs.iter().enumerate() {
            if at % STRIDE == 0 && outdated() {
                return None;
            }
            let values = pair.map(|row| row.and_then(|row| value_of(&name.cells[row])));
            match values {
                [Some(a), Some(b)] => {
                    found.common += 1;
                    if a.0.same_bits(b.0) {
                        continue;
                    }
                    found.differing += 1;
                    let here = || parting(grid, pair, [a, b]);
                    if found.first.is_none() {
                        found.first = Some(here());
                    }
                    if found.beyond.is_none() && tolerance.is_some_and(|tolerance| !within(a.0, b.0, tolerance)) {
                        found.beyond = Some(here());
                    }
                }
                [Some(_), None] => found.only[0] += 1,
                [None, Some(_)] => found.only[1] += 1,
                [None, None] => {}
            }
        }
        if found.common > 0 {
            columns.push(found);
        }
    }
    let tolerant = tolerance.is_some();
    columns.sort_by(|a, b| match (a.decisive(tolerant), b.decisive(tolerant)) {
        (Some(a), Some(b)) => in_time(&a.at, &b.at),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    Some(Comparison { runs: runs.map(Clone::clone), tolerance, columns })
}

/// The rows of one position in either run.
type Pair = [Option<usize>; 2];

fn rows_of(grid: &Grid, run: &RunId) -> Option<Range<usize>> {
    let at = u32::try_from(grid.runs.iter().position(|known| known == run)?).ok()?;
    let start = grid.rows_run.partition_point(|run| *run < at);
    Some(start..grid.rows_run.partition_point(|run| *run <= at))
}

/// The rows of two runs by position, in the grid's order.
fn pairs(grid: &Grid, mut a: Range<usize>, mut b: Range<usize>) -> impl Iterator<Item = Pair> {
    let key = |row: usize| grid.loops.iter().map(move |l| l.index[row]);
    std::iter::from_fn(move || {
        let order = match (a.is_empty(), b.is_empty()) {
            (true, true) => return None,
            (false, true) => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, false) => key(a.start).cmp(key(b.start)),
        };
        let of_a = if order.is_le() { a.next() } else { None };
        let of_b = if order.is_ge() { b.next() } else { None };
        Some([of_a, of_b])
    })
}

/// What a run has in a cell: where a replay differs from the record, the record.
fn value_of(cell: &Cell) -> Option<(&Value, Verdict)> {
    match cell {
        Cell::Value { value, verdict } => Some((value, *verdict)),
        Cell::Differs(both) => Some((&both.recorded, Verdict::Recorded)),
        Cell::Empty | Cell::Pending | Cell::Failed => None,
    }
}

fn parting(grid: &Grid, pair: &Pair, values: [(&Value, Verdict); 2]) -> Parting {
    let row = pair[0].or(pair[1]).unwrap_or(0);
    let at: Vec<i64> = grid.loops.iter().map(|l| l.index[row]).collect();
    let inside = grid.loops.iter().zip(&at).filter(|(_, index)| **index >= 0);
    let position = inside.map(|(l, index)| format!("{}={index}", l.name)).collect::<Vec<_>>().join("/");
    Parting {
        at,
        position,
        values: values.map(|(value, _)| value.clone()),
        verdicts: values.map(|(_, verdict)| verdict),
    }
}

/// Whether two numbers are as good as equal: they differ by no more than the tolerance, of the larger of them where that is above
/// one. What is no number has to be the same.
fn within(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
        (Some(a), Some(b)) if a.is_infinite() || b.is_infinite() => a == b,
        (Some(a), Some(b)) => (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0),
        _ => a == b,
    }
}

/// Positions as they come in time: what is logged in an outer loop mostly follows the loops within it.
fn in_time(a: &[i64], b: &[i64]) -> Ordering {
    let late = |index: &i64| if *index < 0 { i64::MAX } else { *index };
    a.iter().map(late).cmp(b.iter().map(late))
}
