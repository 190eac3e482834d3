//! Versions of the user's code.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the source tree: the hex id of its git commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(pub String);

impl VersionId {
    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file of a version. `path` is relative to the project's root, with `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

/// A file that was left out of a version, and why (too large, unreadable); or a folder, whose path ends with `/`; or what
/// a folder itself holds besides modules, with `*` for its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub path: String,
    pub reason: String,
}

impl LeftOut {
    /// Whether a file is this, or is among these.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        if let Some(folder) = self.path.strip_suffix('*') {
            return path.strip_prefix(folder).is_some_and(|name| !name.contains('/') && !name.ends_with(".py"));
        }
        self.path == path || self.path.ends_with('/') && path.starts_with(&self.path)
    }
}

/// How one file differs between two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    Added,
    Removed,
    Modified,
}

/// A changed file between two versions, with its line counts (0 for binary files).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    pub path: String,
    pub change: FileChange,
    pub added_lines: usize,
    pub removed_lines: usize,
}
