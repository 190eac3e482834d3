//! Fair timing: two things in turn, medians of ratios.

use std::time::{Duration, Instant};

/// Times one call.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// Runs `a` and `b` in turn `pairs` times after one warm-up each and gives the medians of `a`, of `b` and of `a / b`
/// pair by pair, so that a drift of the machine's speed cancels out.
pub(crate) fn in_turn(pairs: usize, mut a: impl FnMut(), mut b: impl FnMut()) -> (Duration, Duration, f64) {
    a();
    b();
    let mut times = Vec::new();
    for _ in 0..pairs {
        times.push((time(&mut a).0, time(&mut b).0));
    }
    let ratios = times.iter().map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
    let median_of = |pick: fn(&(Duration, Duration)) -> Duration| {
        Duration::from_secs_f64(median(times.iter().map(|t| pick(t).as_secs_f64()).collect()))
    };
    (median_of(|t| t.0), median_of(|t| t.1), median(ratios))
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What came out of several rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(values: Vec<f64>) -> Self {
        let of = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        Self { least: of(f64::min), most: of(f64::max), median: median(values) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.4} ({:.3}–{:.3})", self.median, self.least, self.most)
    }
}
