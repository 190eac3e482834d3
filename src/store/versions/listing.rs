//! The work tree's list of files, made once for several processes that need it: of many files, git takes seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{VersionError, Versions};
use crate::base::files;
use crate::store::layout::STORE_FOLDER;

/// File systems may tell times no finer than this.
const COARSE: Duration = Duration::from_millis(20);

/// A list, and when each folder was changed that a file of it would be new in, in nanoseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Listing {
    folders: BTreeMap<String, u128>,
    paths: Vec<String>,
}

impl Versions {
    /// As [`Versions::worktree_paths`], from a file that keeps it for as long as no folder has changed. Whoever asks
    /// meanwhile waits instead of doing the same.
    ///
    /// # Errors
    /// If git cannot read the work tree.
    pub fn worktree_paths_kept(&self, kept: &Path) -> Result<Vec<String>, VersionError> {
        let path = kept.with_extension("lock");
        // Where there are no locks, and no room for one, each makes its own.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let _held = lock.as_ref().map(std::fs::File::lock);
        let known = fs::read(kept).ok().and_then(|json| serde_json::from_slice::<Listing>(&json).ok());
        if let Some(known) =
            known.filter(|known| known.folders.iter().all(|(at, when)| self.changed(at) == Some(*when)))
        {
            return Ok(known.paths);
        }
        let begun = SystemTime::now().checked_sub(COARSE).and_then(|begun| begun.duration_since(UNIX_EPOCH).ok());
        let paths = self.worktree_paths()?;
        let folders: Option<BTreeMap<String, u128>> =
            self.folders_of(&paths).into_iter().map(|at| self.changed(&at).map(|when| (at, when))).collect();
        let is_old =
            |folders: &BTreeMap<String, u128>| begun.is_some_and(|b| folders.values().all(|when| *when < b.as_nanos()));
        let listing = Listing { folders: folders.filter(is_old).unwrap_or_default(), paths };
        if !listing.folders.is_empty()
            && let Ok(json) = serde_json::to_vec(&listing)
        {
            // On a full disk the next one makes its own, too.
            let _ = files::write_atomic(kept, &json);
        }
        Ok(listing.paths)
    }

    /// When a folder of the project was changed.
    fn changed(&self, folder: &str) -> Option<u128> {
        let modified = fs::symlink_metadata(self.root.join(folder)).and_then(|meta| meta.modified()).ok()?;
        Some(modified.duration_since(UNIX_EPOCH).ok()?.as_nanos())
    }

    /// The folders that these files lie in, and those in them that hold none of these, unless they are ignored.
    fn folders_of(&self, paths: &[String]) -> BTreeSet<String> {
        let mut folders = BTreeSet::from([String::new()]);
        for path in paths {
            let mut folder = path.as_str();
            while let Some((above, _)) = folder.rsplit_once('/') {
                if !folders.insert(above.to_owned()) {
                    break;
                }
                folder = above;
            }
        }
        for folder in folders.clone() {
            let entries = fs::read_dir(self.root.join(&folder)).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let is_ignored = || self.repository.is_path_ignored(Path::new(&format!("{path}/"))).unwrap_or(false);
                if ![".git", STORE_FOLDER].contains(&path.as_str()) && !folders.contains(&path) && !is_ignored() {
                    folders.insert(path);
                }
            }
        }
        folders
    }
}
