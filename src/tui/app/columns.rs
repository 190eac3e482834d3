//! How the list of runs is sorted, and its columns. Pure.

use std::cmp::Ordering;

use serde::Deserialize;

/// How the runs are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Newest,
    SmallestValue,
    LargestValue,
    Longest,
}

impl Order {
    /// Said of the list.
    pub fn words(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::SmallestValue => "smallest last value first",
            Self::LargestValue => "largest last value first",
            Self::Longest => "longest first",
        }
    }

    pub(super) fn next(self) -> Self {
        match self {
            Self::Newest => Self::SmallestValue,
            Self::SmallestValue => Self::LargestValue,
            Self::LargestValue => Self::Longest,
            Self::Longest => Self::Newest,
        }
    }
}

/// A column of the list; run and cursor are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    Age,
    Status,
    Changed,
    Value,
    Course,
    Checkpoints,
}

/// The columns unless the settings say otherwise.
pub const COLUMNS: [Column; 6] =
    [Column::Age, Column::Status, Column::Changed, Column::Value, Column::Course, Column::Checkpoints];
/// Columns of text that what changed may ask for at most.
const WIDEST_CHANGE: usize = 60;

impl Column {
    /// Columns on the screen that it would like, for texts of these widths.
    pub fn width(self, widest: (usize, usize)) -> u16 {
        let columns = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        match self {
            Self::Age => 4,
            Self::Status => 10,
            Self::Changed => columns(widest.0.clamp(12, WIDEST_CHANGE)),
            Self::Value => columns(widest.1.clamp(6, 24)),
            Self::Course => 16,
            Self::Checkpoints => 7,
        }
    }
}

/// Compares last values; runs without one come last either way.
pub(super) fn ranked(a: Option<f64>, b: Option<f64>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.total_cmp(&a),
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
