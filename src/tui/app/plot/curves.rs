//! A column of the grid as curves, one a run, over the position within the run. Pure; computed in the background.
//!
//! The position is counted through all loops around a value: step 3 of epoch 2 stands at 2 × (steps an epoch) + 3, so
//! that curves do not bend where rows were filtered out or never logged. Nothing is thinned: where there are more points
//! than dots, least and most of every piece stay, and so does every kind of point that needs a mark.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::grid::{Cell, Grid};
use crate::model::verdict::Verdict;
use crate::tui::app::table::{Column, number, run_of, title};

/// Pieces that a long curve is drawn from: more than the dots across the widest screen.
const PIECES: usize = 2048;
/// Up to here a curve is drawn point by point.
const FEW: usize = 4 * PIECES;

/// A column's curves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    pub title: String,
    /// The loops around the values, outermost first.
    pub loops: Vec<String>,
    /// Which of them the position counts.
    pub axis: usize,
    /// In the order of the runs; only those with a value.
    pub curves: Vec<Curve>,
    /// First and last position.
    pub span: (f64, f64),
}

/// One run's values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    pub run: String,
    /// By ascending position.
    pub points: Arc<Vec<Point>>,
    /// What is drawn: all points, or so many that none of their extremes is missing.
    pub drawn: Vec<Point>,
    pub counts: Counts,
    /// Least and most of the finite values, and of those above zero.
    pub range: Option<(f64, f64)>,
    pub positive: Option<(f64, f64)>,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// Its row of the grid.
    pub row: u32,
    pub verdict: Verdict,
}

/// How many points of a curve need a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub nan: usize,
    pub infinite: usize,
    /// Finite, and with no place on a logarithmic scale.
    pub not_positive: usize,
    pub unverified: usize,
    pub diverged: usize,
}

/// What is to be plotted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub column: Column,
    /// The loop to count by; `None`: the innermost.
    pub axis: Option<String>,
}

/// The curves of a column over the rows in `order`, or all. `None` when nobody waits for them any more.
pub fn curves(
    grid: &Grid,
    order: Option<&Arc<Vec<u32>>>,
    wanted: &Wanted,
    outdated: &dyn Fn() -> bool,
) -> Option<Curves> {
    let shown = order.map(|order| membership(order, grid.len()));
    let is_shown = |row: usize| shown.as_ref().is_none_or(|shown| shown[row]);
    let column = wanted.column;
    let used: Vec<usize> = (0..grid.loops.len())
        .filter(|slot| {
            let index = &grid.loops[*slot].index;
            (0..grid.len()).any(|row| index[row] >= 0 && is_shown(row) && number(grid, column, row).is_some())
        })
        .collect();
    let loops: Vec<String> = used.iter().map(|slot| grid.loops[*slot].name.clone()).collect();
    let innermost = loops.len().saturating_sub(1);
    let axis = wanted.axis.as_ref().and_then(|axis| loops.iter().position(|l| l == axis)).unwrap_or(innermost);
    let sizes = sizes(grid, &used);
    let mut found: Vec<(u32, Vec<Point>)> = Vec::new();
    let mut places: HashMap<u32, usize> = HashMap::new();
    for row in 0..grid.len() {
        if row % 65_536 == 0 && outdated() {
            return None;
        }
        let Some(y) = number(grid, column, row).filter(|_| is_shown(row)) else { continue };
        let run = grid.rows_run[row];
        let place = *places.entry(run).or_insert_with(|| {
            found.push((run, Vec::new()));
            found.len() - 1
        });
        let x = position(grid, &used, sizes.get(&run).map_or(&[], Vec::as_slice), axis, row);
        let row32 = u32::try_from(row).unwrap_or(u32::MAX);
        found[place].1.push(Point { x, y, row: row32, verdict: verdict(grid, column, row) });
    }
    let ends = || found.iter().flat_map(|(_, points)| points.iter().map(|p| p.x));
    let span = (ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max));
    let curves = found.into_iter().map(|(_, points)| {
        let run = points.first().and_then(|p| run_of(grid, usize::try_from(p.row).ok()?)).unwrap_or("").to_owned();
        Curve::new(run, points, span)
    });
    let curves: Vec<Curve> = curves.collect();
    Some(Curves { title: title(grid, column).to_owned(), loops, axis, span, curves })
}

fn membership(order: &[u32], rows: usize) -> Vec<bool> {
    let mut shown = vec![false; rows];
    for row in order {
        if let Some(shown) = usize::try_from(*row).ok().and_then(|row| shown.get_mut(row)) {
            *shown = true;
        }
    }
    shown
}

/// For each run, how many iterations each of these loops has, as far as any row tells.
fn sizes(grid: &Grid, used: &[usize]) -> HashMap<u32, Vec<i64>> {
    let mut sizes: HashMap<u32, Vec<i64>> = HashMap::new();
    // Rows of a run stand together.
    let mut current: Option<(u32, Vec<i64>)> = None;
    for (row, run) in grid.rows_run.iter().enumerate() {
        if current.as_ref().is_none_or(|(known, _)| known != run) {
            sizes.extend(current.take());
            current = Some((*run, vec![1; used.len()]));
        }
        if let Some((_, most)) = &mut current {
            for (most, slot) in most.iter_mut().zip(used) {
                *most = (*most).max(grid.loops[*slot].index[row] + 1);
            }
        }
    }
    sizes.extend(current);
    sizes
}

/// Where a row stands when the loop `axis` of those `used` is counted. A value outside the inner loops stands at their end;
/// what lies deeper than `axis` is a fraction of its iteration.
#[expect(clippy::cast_precision_loss, reason = "positions on a screen")]
fn position(grid: &Grid, used: &[usize], sizes: &[i64], axis: usize, row: usize) -> f64 {
    let (mut whole, mut within, mut length) = (0.0, 0.0, 1.0);
    for (depth, (slot, size)) in used.iter().zip(sizes).enumerate() {
        let index = grid.loops[*slot].index[row];
        let at = if index < 0 { size - 1 } else { index } as f64;
        if depth <= axis {
            whole = whole * *size as f64 + at;
        } else {
            within = within * *size as f64 + at;
            length *= *size as f64;
        }
    }
    whole + within / length
}

fn verdict(grid: &Grid, column: Column, row: usize) -> Verdict {
    let Column::Name(name) = column else { return Verdict::Recorded };
    match &grid.names[name].cells[row] {
        Cell::Value { verdict, .. } => *verdict,
        Cell::Differs(_) => Verdict::Diverged,
        Cell::Empty | Cell::Pending | Cell::Failed => Verdict::Recorded,
    }
}

impl Curve {
    fn new(run: String, mut points: Vec<Point>, span: (f64, f64)) -> Self {
        // Only values at several depths come out of order.
        if !points.is_sorted_by(|a, b| a.x <= b.x) {
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
        }
        let mut counts = Counts::default();
        let (mut range, mut positive) = (None, None);
        for point in &points {
            match point.verdict {
                Verdict::Unverified => counts.unverified += 1,
                Verdict::Diverged => counts.diverged += 1,
                Verdict::Recorded | Verdict::Verified => {}
            }
            if point.y.is_nan() {
                counts.nan += 1;
            } else if point.y.is_infinite() {
                counts.infinite += 1;
            } else {
                widen(&mut range, point.y);
                if point.y > 0.0 {
                    widen(&mut positive, point.y);
                } else {
                    counts.not_positive += 1;
                }
            }
        }
        let drawn = if points.len() <= FEW { points.clone() } else { reduced(&points, span) };
        Self { run, points: Arc::new(points), drawn, counts, range, positive }
    }

    /// The last point at or before a position.
    pub fn at(&self, x: f64) -> Option<&Point> {
        self.points[..self.points.partition_point(|p| p.x <= x)].last()
    }
}

fn widen(range: &mut Option<(f64, f64)>, y: f64) {
    *range = Some(range.map_or((y, y), |(low, high)| (low.min(y), high.max(y))));
}

/// Of each piece of the span: the first and last point, the least and greatest, and the first of each kind that is marked.
fn reduced(points: &[Point], (first, last): (f64, f64)) -> Vec<Point> {
    let mut kept = Vec::new();
    let piece = |p: &Point| piece_of(p.x, first, last);
    for chunk in points.chunk_by(|a, b| piece(a) == piece(b)) {
        let finite = || chunk.iter().enumerate().filter(|(_, p)| p.y.is_finite());
        let by_value = |a: &(usize, &Point), b: &(usize, &Point)| a.1.y.total_cmp(&b.1.y);
        let kind = |wanted: fn(&Point) -> bool| chunk.iter().position(wanted);
        let mut picks: Vec<usize> = [
            Some(0),
            chunk.len().checked_sub(1),
            finite().min_by(by_value).map(|(at, _)| at),
            finite().max_by(by_value).map(|(at, _)| at),
            // What a logarithmic scale begins with.
            finite().filter(|(_, p)| p.y > 0.0).min_by(by_value).map(|(at, _)| at),
            kind(|p| p.y.is_nan()),
            kind(|p| p.y == f64::INFINITY),
            kind(|p| p.y == f64::NEG_INFINITY),
            kind(|p| p.verdict == Verdict::Unverified),
            kind(|p| p.verdict == Verdict::Diverged),
        ]
        .into_iter()
        .flatten()
        .collect();
        picks.sort_unstable();
        picks.dedup();
        kept.extend(picks.into_iter().map(|at| chunk[at]));
    }
    kept
}

fn piece_of(x: f64, first: f64, last: f64) -> usize {
    cell(x - first, last - first, PIECES)
}

/// Where `at` of `0..=most` falls among `cells` cells.
#[expect(clippy::cast_precision_loss, reason = "cells of a screen")]
pub fn cell(at: f64, most: f64, cells: usize) -> usize {
    let last = cells.saturating_sub(1);
    let place = if most > 0.0 { (at / most).clamp(0.0, 1.0) * last as f64 } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..cells by construction")]
    let cell = place.round() as usize;
    cell.min(last)
}
