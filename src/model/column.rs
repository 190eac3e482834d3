//! Logged values by columns, as ingested and as pivoted.

use crate::model::value::Value;

/// Values of one name under one path of loops, in the order in which they were logged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// Loop names, outermost first.
    pub loops: Vec<String>,
    /// Per loop: the iteration index of each value. All as long as `values`.
    pub indices: Vec<Vec<u64>>,
    pub values: Values,
}

/// A run of values; numbers without their enum, since there may be millions.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Mixed(Vec<Value>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Floats(Vec::new())
    }
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(v) => v.len(),
            Self::Ints(v) => v.len(),
            Self::Mixed(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `at`, which must be below the length.
    pub fn get(&self, at: usize) -> Value {
        match self {
            Self::Floats(v) => Value::Float(v[at]),
            Self::Ints(v) => Value::Int(v[at]),
            Self::Mixed(v) => v[at].clone(),
        }
    }

    /// The values at `rows`, which must lie within the length.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        match self {
            Self::Floats(v) => Self::Floats(v[rows].to_vec()),
            Self::Ints(v) => Self::Ints(v[rows].to_vec()),
            Self::Mixed(v) => Self::Mixed(v[rows].to_vec()),
        }
    }

    /// Appends a value, giving up the compact form where the types differ.
    pub fn push(&mut self, value: Value) {
        let empty = self.is_empty();
        match (&mut *self, value) {
            (Self::Floats(v), Value::Float(x)) => v.push(x),
            (Self::Ints(v), Value::Int(x)) => v.push(x),
            (Self::Mixed(v), value) => v.push(value),
            (other, Value::Int(x)) if empty => *other = Self::Ints(vec![x]),
            (_, value) => {
                let mut all: Vec<Value> = (0..self.len()).map(|at| self.get(at)).collect();
                all.push(value);
                *self = Self::Mixed(all);
            }
        }
    }

    /// Appends another run of values.
    pub fn extend(&mut self, other: Self) {
        let empty = self.is_empty();
        match (&mut *self, other) {
            (Self::Floats(v), Self::Floats(more)) => v.extend(more),
            (Self::Ints(v), Self::Ints(more)) => v.extend(more),
            (this, other) if empty => *this = other,
            (_, other) => (0..other.len()).for_each(|at| self.push(other.get(at))),
        }
    }
}

impl Column {
    /// An empty column under these loops.
    pub fn under(loops: Vec<String>) -> Self {
        Self { indices: vec![Vec::new(); loops.len()], loops, values: Values::default() }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Appends one value at a path of indices, as long as `loops`.
    pub fn push(&mut self, at: &[u64], value: Value) {
        for (column, index) in self.indices.iter_mut().zip(at) {
            column.push(*index);
        }
        self.values.push(value);
    }

    /// The rows in this range, which must lie within the length.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        Self {
            loops: self.loops.clone(),
            indices: self.indices.iter().map(|indices| indices[rows.clone()].to_vec()).collect(),
            values: self.values.slice(rows),
        }
    }

    /// Appends a later part of the same column.
    pub fn extend(&mut self, other: Self) {
        for (column, more) in self.indices.iter_mut().zip(other.indices) {
            column.extend(more);
        }
        self.values.extend(other.values);
    }
}
