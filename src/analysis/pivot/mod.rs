//! Builds the results grid from columns of logged values: a row a position of a run, a column a name.
//!
//! Rows stand by run, then by position: loop indices from the outermost loop on, a shallower position before the
//! deeper ones in it. What one name logs again at the same position makes further rows. Linear in the rows where
//! columns come sorted, as every straight-running script logs them.

mod lane;
mod loops;
#[cfg(test)]
mod tests;

use crate::analysis::pivot::lane::{Lane, Merge, Payload};
use crate::analysis::pivot::loops::{LoopOrder, LoopValueIndex};
use crate::base::ids::RunId;
use crate::model::column::Column;
use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::value::Value;
use crate::model::verdict::Verdict;

/// Everything that a grid is made of.
#[derive(Debug, Clone, Default)]
pub struct PivotInput {
    /// Oldest first; `run` fields below index it.
    pub runs: Vec<RunId>,
    /// In the order asked for; `name` fields below index it.
    pub names: Vec<String>,
    pub series: Vec<Series>,
    pub loop_values: Vec<LoopValues>,
    pub awaited: Vec<Awaited>,
}

/// Values of one name, from one source.
#[derive(Debug, Clone)]
pub struct Series {
    pub run: usize,
    pub name: usize,
    pub origin: Origin,
    pub column: Column,
}

/// Where values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Recorded,
    /// From one replay segment. Of one name in one run only values of the newest probe count (`order` ascends with
    /// time); where segments of the same probe overlap, the newer one.
    Replayed {
        probe: String,
        order: u64,
        trust: Trust,
    },
}

/// How far a segment's values can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// All but the following.
    pub verdict: Verdict,
    /// The run's main loop, and its iterations (inclusive ranges) whose values are unverified at best.
    pub main: Option<String>,
    pub unproven: Vec<(u64, u64)>,
}

impl Trust {
    /// The same for every value.
    pub fn all(verdict: Verdict) -> Self {
        Self { verdict, main: None, unproven: Vec::new() }
    }

    /// The verdict on a value in that iteration of the outermost loop around it, if any.
    fn verdict_at<'n>(&self, outermost: impl FnOnce() -> Option<(&'n str, u64)>) -> Verdict {
        if self.unproven.is_empty() {
            return self.verdict;
        }
        let unproven = match outermost() {
            Some((name, index)) if self.main.as_deref() == Some(name) => {
                self.unproven.iter().any(|(first, last)| (*first..=*last).contains(&index))
            }
            // Before or after the main loop: as good as all of it.
            _ => true,
        };
        if unproven { self.verdict.max(Verdict::Unverified) } else { self.verdict }
    }
}

/// The values that a loop iterated over, where they differ from the index; the loop is the last of the path.
#[derive(Debug, Clone)]
pub struct LoopValues {
    pub run: usize,
    pub column: Column,
}

/// A place that a replay segment was to fill and has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    pub run: usize,
    pub name: usize,
    pub place: Place,
    /// The segment failed; otherwise it is queued or running.
    pub failed: bool,
}

/// Where a hindsight statement will log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Outside every loop.
    Root,
    /// Once in this iteration of the main loop.
    Iteration { main: String, index: u64 },
    /// In loops within this iteration of the main loop.
    Within { main: String, index: u64 },
}

/// Rows between two looks at whether anybody still waits.
const STRIDE: usize = 16_384;

/// Pivots columns into a grid.
pub fn pivot(input: PivotInput) -> Grid {
    pivot_unless(input, &|| false).unwrap_or_default()
}

/// As [`pivot`]; `None` when nobody waits for it any more.
pub fn pivot_unless(input: PivotInput, outdated: &dyn Fn() -> bool) -> Option<Grid> {
    let PivotInput { runs, names, mut series, loop_values, awaited } = input;
    series.sort_by_key(|s| s.run);
    let mut order = LoopOrder::default();
    for one in &series {
        order.add(&one.column.loops);
    }
    for one in &awaited {
        order.add(one.place.path());
    }
    let values = LoopValueIndex::new(&order, loop_values);
    let mut builder = Builder::new(order.names(), names, &values, series.iter().map(|s| s.column.len()).sum());
    let mut series = series.into_iter().peekable();
    for run in 0..runs.len() {
        let mut mine = Vec::new();
        while let Some(one) = series.next_if(|s| s.run == run) {
            mine.push(one);
        }
        let mut lanes = lane::lanes(&order, mine);
        lane::add_awaited(&order, &mut lanes, awaited.iter().filter(|a| a.run == run));
        if outdated() || !builder.add_run(run, lanes, outdated) {
            return None;
        }
    }
    Some(builder.finish(runs))
}

impl Place {
    fn path(&self) -> &[String] {
        match self {
            Self::Root => &[],
            Self::Iteration { main, .. } | Self::Within { main, .. } => std::slice::from_ref(main),
        }
    }
}

/// The grid as it grows, row by row.
struct Builder<'a> {
    grid: Grid,
    loop_values: &'a LoopValueIndex,
}

impl<'a> Builder<'a> {
    fn new(loops: Vec<String>, names: Vec<String>, loop_values: &'a LoopValueIndex, rows: usize) -> Self {
        // Several names usually share their positions, so the sum of all values is too many rows to reserve.
        let rows = rows / names.len().max(1);
        let loops = loops.into_iter().enumerate().map(|(slot, name)| LoopColumn {
            name,
            index: Vec::with_capacity(rows),
            values: loop_values.has(slot).then(Vec::new),
        });
        let names = names.into_iter().map(|name| NameColumn { name, cells: Vec::with_capacity(rows) });
        let grid = Grid {
            runs: Vec::new(),
            rows_run: Vec::with_capacity(rows),
            loops: loops.collect(),
            names: names.collect(),
            notes: Vec::new(),
        };
        Self { grid, loop_values }
    }

    /// Whether anybody still waited for all of it.
    fn add_run(&mut self, run: usize, lanes: Vec<Lane>, outdated: &dyn Fn() -> bool) -> bool {
        let lanes = match <[Lane; 1]>::try_from(lanes) {
            Ok([only]) => {
                self.add_lane(run, only);
                return true;
            }
            Err(lanes) => lanes,
        };
        let lanes = &lanes[..];
        let mut merge = Merge::new(lanes, self.grid.loops.len());
        while merge.next_row() {
            self.grid.rows_run.push(u32::try_from(run).unwrap_or(u32::MAX));
            let key = merge.key();
            let (indices, occurrence) = key.parts();
            for (slot, column) in self.grid.loops.iter_mut().enumerate() {
                column.index.push(indices[slot]);
                if let Some(values) = &mut column.values {
                    values.push(self.loop_values.get(run, &indices[..=slot], occurrence));
                }
            }
            let row = self.grid.rows_run.len();
            for (lane, at) in merge.heads() {
                let cells = &mut self.grid.names[lane.name].cells;
                let under = if cells.len() == row { cells.pop() } else { None };
                cells.push(over(under.unwrap_or(Cell::Empty), lane.payload(at)));
            }
            for name in self.grid.names.iter_mut().filter(|name| name.cells.len() < row) {
                name.cells.push(Cell::Empty);
            }
            if row.is_multiple_of(STRIDE) && outdated() {
                return false;
            }
        }
        true
    }

    /// A run with a single lane: there is nothing to merge, so its columns are the grid's.
    fn add_lane(&mut self, run: usize, lane: Lane) {
        let (start, rows) = (self.grid.rows_run.len(), lane.len());
        self.grid.rows_run.resize(start + rows, u32::try_from(run).unwrap_or(u32::MAX));
        for (slot, column) in self.grid.loops.iter_mut().enumerate() {
            lane.extend_indices(slot, &mut column.index);
        }
        for slot in 0..self.grid.loops.len() {
            if self.grid.loops[slot].values.is_none() {
                continue;
            }
            let mut prefix = vec![0; slot + 1];
            let mut found = Vec::with_capacity(rows);
            for at in 0..rows {
                for (index, column) in prefix.iter_mut().zip(&self.grid.loops) {
                    *index = column.index[start + at];
                }
                found.push(self.loop_values.get(run, &prefix, lane.occurrence(at)));
            }
            self.grid.loops[slot].values.get_or_insert_default().extend(found);
        }
        for (number, column) in self.grid.names.iter_mut().enumerate() {
            if number == lane.name {
                column.cells.extend((0..rows).map(|at| over(Cell::Empty, lane.payload(at))));
            } else {
                column.cells.resize(start + rows, Cell::Empty);
            }
        }
    }

    fn finish(mut self, runs: Vec<RunId>) -> Grid {
        self.grid.runs = runs;
        self.grid
    }
}

/// What a cell becomes when another source has something for it. Lanes come recorded first, then replayed, then awaited.
fn over(cell: Cell, payload: Payload) -> Cell {
    match (cell, payload) {
        (Cell::Empty, Payload::Value(value, verdict)) => Cell::Value { value, verdict },
        (Cell::Empty, Payload::Awaited { failed }) => {
            if failed {
                Cell::Failed
            } else {
                Cell::Pending
            }
        }
        (Cell::Failed, Payload::Awaited { failed: false }) => Cell::Pending,
        (Cell::Value { value, verdict: Verdict::Recorded }, Payload::Value(replayed, _)) => differs(value, replayed),
        (cell, _) => cell,
    }
}

fn differs(recorded: Value, replayed: Value) -> Cell {
    if recorded.same_bits(&replayed) {
        Cell::Value { value: recorded, verdict: Verdict::Recorded }
    } else {
        Cell::differs(recorded, replayed)
    }
}
