//! Where in a run something happened: a path of loop iterations, outermost first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One loop and the 0-based index of its iteration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub index: u64,
}

/// A path of iterations, outermost first; empty outside any loop. Displays as `epoch=3/step=17`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub Vec<Step>);

impl Position {
    /// The index of loop `name` in this path.
    pub fn index_of(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|step| step.name == name).map(|step| step.index)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            let slash = if i == 0 { "" } else { "/" };
            write!(f, "{slash}{}={}", step.name, step.index)?;
        }
        Ok(())
    }
}
