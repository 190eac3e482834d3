//! Hindsight log statements and where they land in other versions.

use serde::{Deserialize, Serialize};

/// A log statement found in a source file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatement {
    /// The literal name that it logs.
    pub name: String,
    /// First and last line of the statement, 1-based.
    pub first_line: u32,
    pub last_line: u32,
    /// The statement's source text, without the line's indentation.
    pub text: String,
    /// Dotted scope, `<module>` at the top.
    pub scope: String,
}

/// The outcome of placing one statement into one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacementStatus {
    /// The same statement in the corresponding place.
    Exact,
    /// Placed with changes; see `Placement::changes`.
    Adapted,
    /// The best place found, which the user should look at.
    Uncertain,
    /// The target logs this already.
    AlreadyThere,
    /// There is no place for it; see `Placement::reasons`.
    NotApplicable,
}

impl PlacementStatus {
    /// The words shown to users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Adapted => "adapted",
            Self::Uncertain => "uncertain",
            Self::AlreadyThere => "already there",
            Self::NotApplicable => "not applicable",
        }
    }

    /// Whether the statement stands in the result.
    pub fn is_placed(self) -> bool {
        matches!(self, Self::Exact | Self::Adapted | Self::Uncertain)
    }
}

/// Where one statement landed in one target, and why there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Name logged, or the first words of a statement of another kind.
    pub name: String,
    /// The statement's first line in the source, 1-based.
    pub source_line: u32,
    pub status: PlacementStatus,
    /// First line of the inserted text in the *result*, 1-based; for `AlreadyThere` the line in the target.
    pub line: Option<u32>,
    /// The *target's* line after which the text was inserted (0: at the top).
    pub after_line: Option<u32>,
    /// The inserted text with its indentation and line endings; may span lines.
    pub text: String,
    /// What was changed on the way (`net → model`, `import math added`).
    pub changes: Vec<String>,
    /// Why this place, or why none.
    pub reasons: Vec<String>,
    /// Other places, best first.
    pub alternatives: Vec<Alternative>,
}

/// Another place where a statement could stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// The target's line after which it would be inserted.
    pub after_line: u32,
    pub reason: String,
}

/// A target with statements placed into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propagation {
    pub placements: Vec<Placement>,
    /// The target's text with every placed statement in it; equal to the target if none was placed.
    pub text: String,
    /// Lines of `text` (1-based, inclusive ranges) that were inserted.
    pub inserted: Vec<(u32, u32)>,
    /// Problems of the whole file, such as a syntax error that was recovered from.
    pub problems: Vec<String>,
}

impl Propagation {
    /// Nothing placed, for one reason; `text` is the target's.
    pub fn refused(mut self, reason: &str, text: &str) -> Self {
        for placement in self.placements.iter_mut().filter(|placement| placement.status.is_placed()) {
            placement.status = PlacementStatus::NotApplicable;
            placement.reasons = vec![reason.to_owned()];
            (placement.line, placement.after_line) = (None, None);
            placement.text.clear();
            placement.changes.clear();
        }
        self.inserted.clear();
        text.clone_into(&mut self.text);
        self
    }
}
