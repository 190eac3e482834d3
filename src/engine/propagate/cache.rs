//! Placements remembered by content, so that a second look is immediate and versions of one text share one result.

use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use crate::analysis::propagate::Chosen;
use crate::engine::project::Project;
use crate::model::probe::Propagation;

/// What was placed before, and what is new.
pub(super) struct Cache<'p> {
    project: &'p Project,
    /// Tells this build of the program from others, which may place differently. Without, nothing is remembered.
    build: Option<String>,
    found: Mutex<Vec<(String, Vec<u8>)>>,
}

impl<'p> Cache<'p> {
    pub(super) fn new(project: &'p Project) -> Self {
        Self { project, build: build(), found: Mutex::new(Vec::new()) }
    }

    /// What came of placing the statements that log `names` into a target before; or what `place` makes of it.
    pub(super) fn placed(
        &self,
        source: &str,
        names: &[String],
        target: &str,
        (chosen, apart): (&[Chosen], &[(String, usize)]),
        place: impl FnOnce() -> Propagation,
    ) -> Propagation {
        let Some(build) = &self.build else { return place() };
        let key = key(build, &[source, &names.join("\0"), target, &format!("{chosen:?} {apart:?}")]);
        if let Some(known) = self.project.kept_placement(&key).and_then(|data| read(&data)) {
            return known;
        }
        let placed = place();
        let data = serde_json::to_vec(&placed).ok().and_then(|json| zstd::bulk::compress(&json, 1).ok());
        if let (Some(data), Ok(mut found)) = (data, self.found.lock()) {
            found.push((key, data));
        }
        placed
    }

    /// Writes down what is new.
    pub(super) fn keep(self) {
        let found = self.found.into_inner().unwrap_or_default();
        if !found.is_empty() {
            self.project.keep_placements(&found);
        }
    }
}

fn read(data: &[u8]) -> Option<Propagation> {
    serde_json::from_slice(&zstd::stream::decode_all(data).ok()?).ok()
}

fn key(build: &str, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&build).chain(parts) {
        hasher.update(&part.len().to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Length and age of the program's file: another build places otherwise, whatever its version says.
fn build() -> Option<String> {
    let meta = std::fs::metadata(std::env::current_exe().ok()?).ok()?;
    let modified = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {}", meta.len(), modified.as_nanos()))
}
