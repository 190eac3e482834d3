//! How far a value can be trusted.

use serde::{Deserialize, Serialize};

/// The standing of one value. Ordered from most to least trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Logged by the run itself.
    Recorded,
    /// Replayed, and everything comparable in its segment equals the record.
    Verified,
    /// Replayed, with nothing to compare against.
    Unverified,
    /// Replayed in a segment that differs from the record.
    Diverged,
}

impl Verdict {
    /// The word shown to users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Diverged => "diverged",
        }
    }
}
