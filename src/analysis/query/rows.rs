//! Conditions on the rows of a grid.
//!
//! A row sees what was logged at its own position and, where it has nothing of a name itself, at the positions around
//! it: a step sees its epoch's accuracy and what its run logged outside every loop (the last value, where there are
//! several). It does not see what was logged in the loops within it, nor in others beside it.

use crate::analysis::query::{Clash, Expr, Operand, evaluate};
use crate::model::grid::{Cell, Grid};
use crate::model::value::Value;

/// Where a row has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The index in the loop of this column.
    Loop(usize),
    /// What the loop of this column iterated over.
    LoopValue(usize),
    /// The cell of this column.
    Cell(usize),
    /// This one of the facts known of the row's run.
    Fact(usize),
    /// No row has it.
    Nowhere,
}

/// Goes over the rows of a grid in their order. Linear in rows × (columns + loops).
pub struct Scan<'a> {
    grid: &'a Grid,
    /// By run.
    facts: &'a [Vec<Value>],
    row: usize,
    /// For each column and depth, the last row around the current one, or at it, that has a value; or [`NONE`].
    seen: Vec<usize>,
    clashes: Vec<Clash<Field>>,
}

const NONE: usize = usize::MAX;

impl<'a> Scan<'a> {
    /// Stands at the first row.
    pub fn new(grid: &'a Grid, facts: &'a [Vec<Value>]) -> Self {
        let depths = grid.loops.len() + 1;
        let mut scan = Self { grid, facts, row: 0, seen: vec![NONE; grid.names.len() * depths], clashes: Vec::new() };
        scan.see();
        scan
    }

    /// Moves to the next row.
    pub fn advance(&mut self) {
        self.row += 1;
        self.see();
    }

    /// Whether the current row fulfils a condition.
    pub fn holds(&mut self, expr: &'a Expr<Field>) -> Option<bool> {
        let mut clashes = std::mem::take(&mut self.clashes);
        let result = evaluate(expr, &|field| self.value(field), &mut |clash| {
            if !clashes.contains(&clash) {
                clashes.push(clash);
            }
        });
        self.clashes = clashes;
        result
    }

    /// The kinds of clashes of types since this was last asked.
    pub fn take_clashes(&mut self) -> Vec<Clash<Field>> {
        std::mem::take(&mut self.clashes)
    }

    /// A field's value for the current row.
    pub fn value(&self, field: Field) -> Operand<'a> {
        match field {
            Field::Loop(column) => match self.grid.loops[column].index[self.row] {
                index if index < 0 => Operand::Null,
                index => Operand::Int(index),
            },
            Field::LoopValue(column) => {
                let column = &self.grid.loops[column];
                let value = column.values.as_ref().map(|values| values[self.row].as_ref());
                // Without values of their own, iterations have their index.
                value.unwrap_or_default().map_or_else(|| index(column.index[self.row]), Operand::from)
            }
            Field::Cell(column) => {
                let depths = self.grid.loops.len() + 1;
                let seen = &self.seen[column * depths..(column + 1) * depths];
                let row = seen.iter().rev().find(|row| **row != NONE);
                row.and_then(|row| self.grid.names[column].cells[*row].recorded()).map_or(Operand::Null, Operand::from)
            }
            Field::Fact(fact) => {
                let run = usize::try_from(self.grid.rows_run[self.row]).ok();
                let facts = run.and_then(|run| self.facts.get(run));
                facts.and_then(|facts| facts.get(fact)).map_or(Operand::Null, Operand::from)
            }
            Field::Nowhere => Operand::Null,
        }
    }

    /// Takes in the current row, and forgets what does not lie around it.
    fn see(&mut self) {
        if self.row >= self.grid.len() {
            return;
        }
        let depths = self.grid.loops.len() + 1;
        let kept = self.shared();
        let own = self.grid.loops.iter().rposition(|column| column.index[self.row] >= 0).map_or(0, |at| at + 1);
        for (column, seen) in self.grid.names.iter().zip(self.seen.chunks_exact_mut(depths)) {
            seen[kept..].fill(NONE);
            if column.cells[self.row].recorded().is_some() {
                seen[own] = self.row;
            }
        }
    }

    /// How many depths lie around both this row and the one before it.
    fn shared(&self) -> usize {
        let Some(before) = self.row.checked_sub(1) else { return 0 };
        if self.grid.rows_run[before] != self.grid.rows_run[self.row] {
            return 0;
        }
        let differs = |column: &crate::model::grid::LoopColumn| column.index[before] != column.index[self.row];
        self.grid.loops.iter().position(differs).unwrap_or(self.grid.loops.len()) + 1
    }
}

fn index(index: i64) -> Operand<'static> {
    if index < 0 { Operand::Null } else { Operand::Int(index) }
}

/// The rows that fulfil a condition, without the columns in `hidden`, and the clashes of types. Rows and loops that only
/// hidden columns have are left out, too.
pub fn filter(
    grid: Grid,
    expr: &Expr<Field>,
    facts: &[Vec<Value>],
    hidden: std::ops::Range<usize>,
) -> (Grid, Vec<Clash<Field>>) {
    let mut keep = vec![false; grid.len()];
    let mut has_rows = vec![false; grid.loops.len()];
    let mut scan = Scan::new(&grid, facts);
    for (row, keep) in keep.iter_mut().enumerate() {
        let shown = grid.names.iter().enumerate().filter(|(at, _)| !hidden.contains(at));
        if shown.into_iter().any(|(_, column)| column.cells[row] != Cell::Empty) {
            for (has, column) in has_rows.iter_mut().zip(&grid.loops) {
                *has |= column.index[row] >= 0;
            }
            *keep = scan.holds(expr) == Some(true);
        }
        scan.advance();
    }
    let clashes = scan.take_clashes();
    (kept(grid, &keep, &has_rows, hidden), clashes)
}

fn kept(mut grid: Grid, keep: &[bool], loops: &[bool], hidden: std::ops::Range<usize>) -> Grid {
    grid.names.drain(hidden);
    let mut at = 0;
    grid.loops.retain(|_| {
        at += 1;
        loops[at - 1]
    });
    retain(&mut grid.rows_run, keep);
    for column in &mut grid.loops {
        retain(&mut column.index, keep);
        if let Some(values) = &mut column.values {
            retain(values, keep);
        }
    }
    grid.names.iter_mut().for_each(|column| retain(&mut column.cells, keep));
    grid
}

fn retain<T>(all: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    all.retain(|_| keep.next().is_some_and(|keep| *keep));
}
