//! The results grid: version × iterations, one column a name.

use serde::{Deserialize, Serialize};

use crate::base::ids::RunId;
use crate::model::value::Value;
use crate::model::verdict::Verdict;

/// A pivoted table, by columns. All columns have the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// Runs of the rows; `rows_run` indexes it. Oldest first.
    pub runs: Vec<RunId>,
    pub rows_run: Vec<u32>,
    pub loops: Vec<LoopColumn>,
    pub names: Vec<NameColumn>,
    /// What a reader should know of a condition that left out rows.
    pub notes: Vec<String>,
}

impl Grid {
    pub fn len(&self) -> usize {
        self.rows_run.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows_run.is_empty()
    }
}

/// The iteration indices of one loop, outermost loop first; −1 where a row lies outside this loop.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoopColumn {
    pub name: String,
    pub index: Vec<i64>,
    /// The iterated values, if any differs from its index.
    pub values: Option<Vec<Option<Value>>>,
}

/// The values of one name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NameColumn {
    pub name: String,
    pub cells: Vec<Cell>,
}

/// One cell. The three kinds of emptiness must never look alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// Never logged here.
    Empty,
    /// Being replayed, or queued for it.
    Pending,
    /// Its replay failed.
    Failed,
    Value {
        value: Value,
        verdict: Verdict,
    },
    /// Replayed, and different from what the run logged itself. Rare: boxed, it does not make all cells larger.
    Differs(Box<Difference>),
}

/// Two values where there should be one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    pub recorded: Value,
    pub replayed: Value,
}

impl Cell {
    /// A cell with two values.
    pub fn differs(recorded: Value, replayed: Value) -> Self {
        Self::Differs(Box::new(Difference { recorded, replayed }))
    }

    /// The value; where record and replay differ, what was recorded.
    pub fn recorded(&self) -> Option<&Value> {
        match self {
            Self::Value { value, .. } => Some(value),
            Self::Differs(difference) => Some(&difference.recorded),
            Self::Empty | Self::Pending | Self::Failed => None,
        }
    }

    /// The value; where record and replay differ, what was replayed.
    pub fn shown(&self) -> Option<&Value> {
        match self {
            Self::Value { value, .. } => Some(value),
            Self::Differs(difference) => Some(&difference.replayed),
            Self::Empty | Self::Pending | Self::Failed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_rows_of_twenty_columns_fit_into_memory() {
        assert!(size_of::<Cell>() <= 40, "{} bytes a cell", size_of::<Cell>());
    }
}
