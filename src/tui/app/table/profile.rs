//! What a column is like: for its alignment, for hiding it, for colouring it.

use std::sync::Arc;

use crate::model::grid::Cell;
use crate::model::value::Value;
use crate::tui::app::table::row_at;

/// Values looked at for type and scale: their quantiles do not get better from more.
const SAMPLED: usize = 8192;
/// Values outside these shares do not widen a scale.
const ROBUST: (usize, usize) = (2, 98);
/// From this ratio on, a scale of positive numbers is logarithmic.
const DECADES: f64 = 1000.0;

/// What a column is like.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Profile {
    /// All of its values are the same.
    pub unchanged: bool,
    /// It holds text, or true and false: read from the left.
    pub textual: bool,
    pub scale: Option<Scale>,
}

/// From which number to which a column's colours go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// The scale for sorted finite numbers; `None` if there is nothing to tell apart.
    fn of(sorted: &[f64]) -> Option<Self> {
        let last = sorted.len().checked_sub(1)?;
        let (mut low, mut high) = (sorted[last * ROBUST.0 / 100], sorted[(last * ROBUST.1).div_ceil(100)]);
        if low >= high {
            (low, high) = (sorted[0], sorted[last]);
        }
        if low >= high {
            return None;
        }
        let logarithmic = sorted[0] > 0.0 && high / low >= DECADES;
        Some(Self { low, high, logarithmic })
    }

    /// Where a number stands between 0 and 1; `None` for what is no number or has no end.
    pub fn share(self, x: f64) -> Option<f64> {
        if !x.is_finite() {
            return None;
        }
        let place = |x: f64| if self.logarithmic { x.max(f64::MIN_POSITIVE).ln() } else { x / 2.0 };
        let (low, high) = (place(self.low), place(self.high));
        Some(((place(x) - low) / (high - low)).clamp(0.0, 1.0))
    }
}

/// Looks at a column; its scale is that of the rows in `order`.
pub(super) fn profile(cells: &[Cell], order: Option<&Arc<Vec<u32>>>) -> Profile {
    let rows = order.map_or(cells.len(), |order| order.len());
    let step = (rows / SAMPLED).max(1);
    let sampled = || (0..rows).step_by(step).filter_map(|at| cells.get(row_at(order, at)).and_then(Cell::shown));
    let mut numbers: Vec<f64> = sampled().filter_map(Value::as_f64).filter(|x| x.is_finite()).collect();
    numbers.sort_by(f64::total_cmp);
    let number = |value: &Value| matches!(value, Value::Int(_) | Value::BigInt(_) | Value::Float(_));
    let textual = sampled().next().is_some() && !sampled().any(number);
    Profile { unchanged: is_unchanged(cells), textual, scale: Scale::of(&numbers).filter(|_| !textual) }
}

fn is_unchanged(cells: &[Cell]) -> bool {
    let mut values = cells.iter().filter_map(Cell::shown);
    let Some(first) = values.next() else { return true };
    // A column that differs from its record is never uninteresting.
    values.all(|value| value.same_bits(first)) && !cells.iter().any(|cell| matches!(cell, Cell::Differs(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(numbers: &[f64]) -> Option<Scale> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        Scale::of(&sorted)
    }

    #[test]
    fn one_wild_value_does_not_flatten_the_scale_of_the_others() {
        let mut numbers: Vec<f64> = (0..200).map(f64::from).collect();
        numbers.push(1e12);
        let scale = scale(&numbers).expect("a scale");
        assert!(scale.share(100.0).expect("a place") > 0.4);
        assert_eq!((scale.share(1e12), scale.share(f64::NAN)), (Some(1.0), None));
    }

    #[test]
    fn positive_numbers_over_decades_are_spread_by_their_logarithm() {
        let numbers: Vec<f64> = (0..9).map(|power| 10_f64.powi(power)).collect();
        let share = scale(&numbers).expect("a scale").share(1e4).expect("a place");
        assert!((share - 0.5).abs() < 0.01, "{share}");
        let with_zero: Vec<f64> = numbers.iter().copied().chain([0.0]).collect();
        assert!(scale(&with_zero).expect("a scale").share(1e4).expect("a place") < 0.01);
    }

    #[test]
    fn what_never_changes_has_no_scale_and_the_widest_range_has_one() {
        assert_eq!(scale(&[2.0, 2.0, 2.0]), None);
        assert_eq!(scale(&[]), None);
        let widest = scale(&[f64::MIN, 0.0, f64::MAX]).expect("a scale");
        assert_eq!(widest.share(0.0), Some(0.5));
    }
}
