//! The loops of a grid: one order over all runs, and the values that loops iterated over.

use std::collections::HashMap;

use crate::analysis::pivot::LoopValues;
use crate::model::value::Value;

/// Every loop of every path, outermost first as far as the paths agree. A loop inside a loop of the same name is
/// another loop (`tree`, `tree_2`).
#[derive(Debug, Default)]
pub(super) struct LoopOrder {
    loops: Vec<(String, usize)>,
}

impl LoopOrder {
    /// Merges a path: a loop not seen yet goes directly behind the loops that enclose it.
    pub(super) fn add(&mut self, path: &[String]) {
        let mut behind = 0;
        for key in keys(path) {
            match self.loops.iter().position(|known| (known.0.as_str(), known.1) == key) {
                Some(at) => behind = behind.max(at + 1),
                None => {
                    self.loops.insert(behind, (key.0.to_owned(), key.1));
                    behind += 1;
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.loops.len()
    }

    /// The column of each loop of a path; loops that were never added are left out.
    pub(super) fn slots(&self, path: &[String]) -> Vec<usize> {
        keys(path).filter_map(|key| self.loops.iter().position(|known| (known.0.as_str(), known.1) == key)).collect()
    }

    /// Column names.
    pub(super) fn names(&self) -> Vec<String> {
        let column = |(name, repeat): &(String, usize)| match repeat {
            0 => name.clone(),
            n => format!("{name}_{}", n + 1),
        };
        self.loops.iter().map(column).collect()
    }
}

/// The loops of a path as name and how many loops of that name enclose it.
fn keys(path: &[String]) -> impl Iterator<Item = (&str, usize)> {
    path.iter().enumerate().map(|(depth, name)| (name.as_str(), path[..depth].iter().filter(|n| *n == name).count()))
}

/// Iterated values by run and position. Values at one position stand in order: the same loop may be entered again.
#[derive(Debug, Default)]
pub(super) struct LoopValueIndex {
    by_run: HashMap<usize, HashMap<Vec<i64>, Vec<Value>>>,
    slots: Vec<bool>,
}

impl LoopValueIndex {
    pub(super) fn new(order: &LoopOrder, all: Vec<LoopValues>) -> Self {
        let mut index = Self { by_run: HashMap::new(), slots: vec![false; order.len()] };
        for LoopValues { run, column } in all {
            let slots = order.slots(&column.loops);
            // A loop that no row lies in, or one whose order contradicts other paths, has no column to stand in.
            let ascending = slots.windows(2).all(|pair| pair[0] < pair[1]);
            let Some(last) = slots.last().copied().filter(|_| ascending && slots.len() == column.loops.len()) else {
                continue;
            };
            index.slots[last] = true;
            let values = index.by_run.entry(run).or_default();
            for i in 0..column.len() {
                let mut key = vec![-1; last + 1];
                for (slot, indices) in slots.iter().zip(&column.indices) {
                    key[*slot] = i64::try_from(indices[i]).unwrap_or(i64::MAX);
                }
                values.entry(key).or_default().push(column.values.get(i));
            }
        }
        index
    }

    /// Whether any value of the loop in this column differs from its index.
    pub(super) fn has(&self, slot: usize) -> bool {
        self.slots.get(slot).copied().unwrap_or(false)
    }

    /// The value of the innermost loop of `prefix`, a row's indices up to a loop's column. Where the loop was entered
    /// several times with different values, the `occurrence`-th.
    pub(super) fn get(&self, run: usize, prefix: &[i64], occurrence: u32) -> Option<Value> {
        let values = self.by_run.get(&run)?.get(prefix)?;
        let (first, rest) = values.split_first()?;
        if rest.iter().all(|value| value.same_bits(first)) {
            return Some(first.clone());
        }
        values.get(usize::try_from(occurrence).ok()?).cloned()
    }
}
