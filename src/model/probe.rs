//! Hindsight log statements and where they land in other versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::ids::RunId;

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
    /// The user does not want it here.
    Excluded,
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
            Self::Excluded => "excluded",
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
    /// The same in the text that is shown, where another is executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_line: Option<u32>,
    /// The column, 1-based, at which it begins there.
    #[serde(default)]
    pub column: Option<u32>,
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
    /// Lines of its own text before the statement itself: of a guard that comes with it.
    #[serde(default)]
    pub within: u32,
    /// The run in which the user decided this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_in: Option<RunId>,
    /// Everything that is written into the target for its sake, its own text first. Empty once nobody will ask any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<TextEdit>,
}

/// Text to be inserted at a byte offset of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TextEdit {
    pub offset: usize,
    pub text: String,
    /// Edits at one offset keep the order of what they come from.
    pub order: usize,
    /// How many blocks are around it: at one offset the end of an inner block comes first.
    pub depth: usize,
    /// Whether the text stands within a line of the target.
    pub inline: bool,
}

/// Another place where a statement could stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// The target's line after which it would be inserted.
    pub after_line: u32,
    /// The column, 1-based, at which it would begin: it tells blocks apart that end on one line.
    #[serde(default)]
    pub column: u32,
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

/// A log statement that the user asks past versions for, kept with what was corrected by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The name that it logs.
    pub name: String,
    pub added_ms: i64,
    /// The scripts that had the statement when it was added, by their path in the project: what is placed once it has
    /// gone from the working tree.
    pub sources: BTreeMap<String, String>,
    /// In the order in which they were made.
    pub corrections: Vec<Correction>,
}

/// What the user decided about one statement in one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The run that the user looked at.
    pub run: RunId,
    pub script: String,
    /// BLAKE3 of the script's text in that version.
    pub target: String,
    /// Which of the script's statements that log the name, from 0.
    pub statement: usize,
    pub choice: Choice,
    /// What is logged there instead of what the statement logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The code around the place: where another version has the same, the decision holds there too.
    pub around: Option<Around>,
}

/// A decision about a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "choice", rename_all = "snake_case")]
pub enum Choice {
    /// Not in this version.
    Excluded,
    /// There.
    Moved(Spot),
    /// Where it is found, whatever was decided about another version.
    AsFound,
}

/// A place in a text, in the user's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// The line after which it is; 0 for the top.
    pub after_line: u32,
    /// The column, 1-based, at which the statements of its block begin.
    pub column: u32,
}

/// The innermost statement with a body around a place, and where in it the place is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// Its whole lines.
    pub text: String,
    /// Lines from its first one to the place.
    pub offset: u32,
    pub column: u32,
}
