//! Committing the work tree as it is: tracked and untracked files that are not ignored, uncommitted edits included.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use git2::{Index, IndexEntry, IndexTime, Oid, Signature, Status, StatusOptions};

use super::{Committed, VersionError, Versions, untracked};
use crate::base::ids::RunId;
use crate::base::units;
use crate::model::source::{LeftOut, VersionId};

/// Files of the work tree by path, as git index entries.
type Entries = BTreeMap<Vec<u8>, IndexEntry>;

/// A larger file is data, not code; it is listed as left out.
const MAX_FILE_BYTES: u64 = 10 << 20;
const MODE_FILE: u32 = 0o100_644;
const MODE_EXECUTABLE: u32 = 0o100_755;
const MODE_LINK: u32 = 0o120_000;

impl Versions {
    /// Commits the work tree under `refs/afterlog/runs/<id>`.
    ///
    /// # Errors
    /// If git cannot read the work tree or write objects.
    pub fn commit_worktree(&self, run: &RunId) -> Result<Committed, VersionError> {
        let (entries, left_out) = self.worktree_entries()?;
        let mut index = Index::new().map_err(self.failed("make an index"))?;
        for entry in entries.values() {
            index.add(entry).map_err(self.failed("index a file"))?;
        }
        let tree = index.write_tree_to(&self.repository).map_err(self.failed("write a tree"))?;
        let tree = self.repository.find_tree(tree).map_err(self.failed("read a tree"))?;
        let head = self.repository.head().and_then(|head| head.peel_to_commit()).ok();
        let signature = Signature::now("afterlog", "afterlog@localhost").map_err(self.failed("sign"))?;
        let message = format!("afterlog run {run}\n");
        let parents: Vec<_> = head.iter().collect();
        let commit = self
            .repository
            .commit(None, &signature, &signature, &message, &tree, &parents)
            .map_err(self.failed("commit"))?;
        self.repository
            .reference(&format!("refs/afterlog/runs/{run}"), commit, false, "afterlog run")
            .map_err(self.failed("write a reference"))?;
        let head = head.map(|commit| VersionId(commit.id().to_string()));
        Ok(Committed { version: VersionId(commit.to_string()), head, left_out })
    }

    /// Paths of the work tree that are not ignored, relative to the root.
    ///
    /// # Errors
    /// If git cannot read the work tree.
    pub fn worktree_paths(&self) -> Result<Vec<String>, VersionError> {
        let (changed, tracked) = self.worktree_status()?;
        let gone = |path: &[u8]| changed.get(path).is_some_and(|status| status.is_wt_deleted());
        let mut paths: Vec<Vec<u8>> = tracked.into_keys().filter(|path| !gone(path)).collect();
        paths.extend(changed.iter().filter(|(_, status)| status.is_wt_new()).map(|(path, _)| path.clone()));
        Ok(paths.into_iter().filter_map(|path| String::from_utf8(path).ok()).collect())
    }

    /// Index entries of the work tree as it is, by path, and what was left out.
    fn worktree_entries(&self) -> Result<(Entries, Vec<LeftOut>), VersionError> {
        let (mut changed, mut entries) = self.worktree_status()?;
        let mut untracked = Vec::new();
        changed.retain(|path, status| {
            let is_file = status.is_wt_new() && !path.ends_with(b"/");
            let size = is_file.then(|| std::fs::symlink_metadata(self.full(path)).map_or(0, |meta| meta.len()));
            // What is too large on its own is told on its own.
            let is_one_of_many = size.is_some_and(|size| size <= MAX_FILE_BYTES);
            if is_one_of_many {
                untracked.push((path.clone(), size.unwrap_or(0)));
            }
            !is_one_of_many
        });
        let others = entries.keys().chain(changed.keys()).map(Vec::as_slice);
        let (taken, mut left_out) = untracked::choose(&untracked, others);
        changed.extend(taken.into_iter().map(|path| (path, Status::WT_NEW)));
        for (path, status) in changed {
            if status.is_wt_deleted() {
                entries.remove(&path);
                continue;
            }
            // A nested repository is listed as a folder; its content belongs to itself.
            if path.ends_with(b"/") {
                left_out.push(LeftOut { path: lossy(&path), reason: "a git repository of its own".into() });
                continue;
            }
            // A changed submodule keeps the commit that the index knows.
            if entries.get(&path).is_some_and(|entry| entry.mode == 0o160_000) {
                continue;
            }
            match self.entry_of(&path)? {
                Ok(entry) => {
                    entries.insert(path, entry);
                }
                Err(reason) => {
                    entries.remove(&path);
                    left_out.push(LeftOut { path: lossy(&path), reason });
                }
            }
        }
        Ok((entries, left_out))
    }

    /// Files that differ from git's index or are new, and the index's entries. Both read-only.
    fn worktree_status(&self) -> Result<(BTreeMap<Vec<u8>, Status>, Entries), VersionError> {
        let mut options = StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).include_ignored(false).update_index(false);
        let statuses = self.repository.statuses(Some(&mut options)).map_err(self.failed("read the work tree"))?;
        let changed = statuses
            .iter()
            .map(|entry| (entry.path_bytes().to_vec(), entry.status()))
            .filter(|(path, status)| {
                let in_worktree = status.is_wt_new()
                    || status.is_wt_modified()
                    || status.is_wt_deleted()
                    || status.is_wt_typechange()
                    || status.is_conflicted();
                in_worktree && !path.starts_with(b".afterlog/")
            })
            .collect();
        let index = self.repository.index().map_err(self.failed("read the index"))?;
        // Stage 0 only: a conflicted file is taken from the work tree.
        let tracked =
            index.iter().filter(|entry| entry.flags >> 12 & 3 == 0).map(|entry| (entry.path.clone(), entry)).collect();
        Ok((changed, tracked))
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(path))
    }

    /// The file's entry with its content stored, or the reason why it is left out.
    fn entry_of(&self, path: &[u8]) -> Result<Result<IndexEntry, String>, VersionError> {
        let full = self.full(path);
        let meta = match std::fs::symlink_metadata(&full) {
            Ok(meta) => meta,
            Err(error) => return Ok(Err(format!("cannot be read: {error}"))),
        };
        if meta.len() > MAX_FILE_BYTES && meta.is_file() {
            return Ok(Err(format!(
                "{} is over the limit of {}",
                units::bytes(meta.len()),
                units::bytes(MAX_FILE_BYTES)
            )));
        }
        let (mode, content) = if meta.is_symlink() {
            (MODE_LINK, std::fs::read_link(&full).map(|target| target.as_os_str().as_bytes().to_vec()))
        } else if meta.is_file() {
            let executable = meta.permissions().mode() & 0o100 != 0;
            (if executable { MODE_EXECUTABLE } else { MODE_FILE }, std::fs::read(&full))
        } else {
            return Ok(Err("not a regular file".into()));
        };
        let content = match content {
            Ok(content) => content,
            Err(error) => return Ok(Err(format!("cannot be read: {error}"))),
        };
        let id = self.repository.blob(&content).map_err(self.failed("store a file"))?;
        Ok(Ok(entry(path, mode, id)))
    }
}

fn entry(path: &[u8], mode: u32, id: Oid) -> IndexEntry {
    let zero = IndexTime::new(0, 0);
    IndexEntry {
        ctime: zero,
        mtime: zero,
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.to_vec(),
    }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
