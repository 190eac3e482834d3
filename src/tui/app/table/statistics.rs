//! What there is to say about a column.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::grid::{Cell, Grid};
use crate::model::value::{Value, push_float};
use crate::tui::app::table::{Column, number, row_at, rows_shown, text, title};

/// Bars of the histogram.
pub const BARS: usize = 32;
/// Rows between two looks at whether anybody still waits.
const STRIDE: usize = 65_536;

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
    /// How many finite numbers fall into each of [`BARS`] equal parts between the least and the greatest of them; empty
    /// where they are all the same.
    pub histogram: Vec<usize>,
    /// The most frequent values with their counts.
    pub frequent: Vec<(String, usize)>,
    pub distinct: usize,
}

/// Values as what tells them apart: numbers by their bits, which takes a fraction of the time and room of their text.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Distinct {
    Float(u64),
    Text(String),
}

/// Counts, quartiles and frequencies of a column over the rows shown. `None` when nobody waits for them any more.
pub fn statistics(
    grid: &Grid,
    order: Option<&Arc<Vec<u32>>>,
    column: Column,
    outdated: &dyn Fn() -> bool,
) -> Option<Statistics> {
    let mut numbers = Vec::new();
    let mut counts: HashMap<Distinct, usize> = HashMap::new();
    let (mut empty, mut pending, mut failed, mut differing, mut nan, mut values) = (0, 0, 0, 0, 0, 0);
    for position in 0..rows_shown(grid, order) {
        if position % STRIDE == 0 && outdated() {
            return None;
        }
        let row = row_at(order, position);
        if let Column::Name(i) = column {
            match &grid.names[i].cells[row] {
                Cell::Empty => empty += 1,
                Cell::Pending => pending += 1,
                Cell::Failed => failed += 1,
                Cell::Differs(_) => differing += 1,
                Cell::Value { .. } => {}
            }
        }
        let number = number(grid, column, row);
        let Some(distinct) = distinct(grid, column, row, number) else { continue };
        values += 1;
        *counts.entry(distinct).or_default() += 1;
        match number {
            Some(x) if x.is_nan() => nan += 1,
            Some(x) => numbers.push(x),
            None => {}
        }
    }
    let distinct = counts.len();
    let frequent = frequent(counts);
    let (mean, deviation) = moments(&numbers);
    let title = title(grid, column).to_owned();
    numbers.sort_by(f64::total_cmp);
    let (quartiles, histogram) = (quartiles(&numbers), histogram(&numbers));
    Some(Statistics {
        title,
        values,
        empty,
        pending,
        failed,
        differing,
        quartiles,
        mean,
        deviation,
        nan,
        histogram,
        frequent,
        distinct,
    })
}

fn distinct(grid: &Grid, column: Column, row: usize, number: Option<f64>) -> Option<Distinct> {
    let float = match column {
        Column::Name(i) => matches!(grid.names[i].cells[row].shown(), Some(Value::Float(_))),
        Column::Run | Column::Loop(_) => false,
    };
    match number {
        Some(x) if float => Some(Distinct::Float(x.to_bits())),
        // Integers beyond 2^53 are told apart by their digits only.
        _ => Some(text(grid, column, row)).filter(|text| !text.is_empty()).map(Distinct::Text),
    }
}

fn frequent(counts: HashMap<Distinct, usize>) -> Vec<(String, usize)> {
    const MOST: usize = 8;
    let mut all: Vec<(Distinct, usize)> = counts.into_iter().collect();
    if all.iter().all(|(_, count)| *count == 1) {
        return Vec::new();
    }
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    // Those as frequent as the last one shown are put in order by their text.
    let least = all.get(MOST - 1).map_or(0, |(_, count)| *count);
    let candidates = all.into_iter().take_while(|(_, count)| *count >= least).take(STRIDE);
    let mut frequent: Vec<(String, usize)> = candidates.map(|(value, count)| (value.text(), count)).collect();
    frequent.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    frequent.truncate(MOST);
    frequent
}

impl Distinct {
    fn text(self) -> String {
        match self {
            Self::Float(bits) => {
                let mut text = String::new();
                push_float(&mut text, f64::from_bits(bits));
                text
            }
            Self::Text(text) => text,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn moments(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}

fn quartiles(sorted: &[f64]) -> Option<[f64; 5]> {
    let last = sorted.len().checked_sub(1)?;
    Some([0, 1, 2, 3, 4].map(|quarter| sorted[last * quarter / 4]))
}

#[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
fn histogram(sorted: &[f64]) -> Vec<usize> {
    let finite = || sorted.iter().copied().filter(|x| x.is_finite());
    let (Some(low), Some(high)) = (finite().next(), finite().next_back()) else { return Vec::new() };
    // Halves, so that the widest range is still finite.
    let width = high / 2.0 - low / 2.0;
    if width <= 0.0 {
        return Vec::new();
    }
    let mut bars = vec![0; BARS];
    for x in finite() {
        let place = (x / 2.0 - low / 2.0) / width * BARS as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the bars")]
        let bar = place as usize;
        bars[bar.min(BARS - 1)] += 1;
    }
    bars
}
