//! Reading versions back: files, differences, whole trees.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use git2::{Delta, DiffOptions, ObjectType, Patch, Tree, TreeWalkMode, TreeWalkResult};

use super::{VersionError, Versions};
use crate::base::files;
use crate::model::source::{ChangedFile, FileChange, VersionId};

/// The mode of a symbolic link.
const LINK: i32 = 0o120_000;

/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// A path without its `..`; None if it leaves the version.
fn within(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            Component::ParentDir if parts.pop() => {}
            _ => return None,
        }
    }
    Some(parts)
}

impl Versions {
    /// A file's bytes in a version, if it is there. Links within the version are followed, as in the project.
    ///
    /// # Errors
    /// If the version cannot be read.
    pub fn read_file(&self, version: &VersionId, path: &str) -> Result<Option<Vec<u8>>, VersionError> {
        let tree = self.tree(version)?;
        let mut path = PathBuf::from(path);
        for _ in 0..MAX_LINKS {
            let Some((link, to)) = path.ancestors().find_map(|part| Some((part, self.link(&tree, part)?))) else {
                let entry = tree.get_path(&path).ok();
                let blob = entry.and_then(|entry| self.repository.find_blob(entry.id()).ok());
                return Ok(blob.map(|blob| blob.content().to_vec()));
            };
            let rest = path.strip_prefix(link).unwrap_or(Path::new(""));
            let Some(folder) = within(&link.parent().unwrap_or(Path::new("")).join(to)) else { return Ok(None) };
            // A path that ends in nothing would end in a slash.
            path = if rest.as_os_str().is_empty() { folder } else { folder.join(rest) };
        }
        Ok(None)
    }

    /// Where a link of a version leads; None of anything else.
    fn link(&self, tree: &Tree<'_>, path: &Path) -> Option<PathBuf> {
        let entry = tree.get_path(path).ok().filter(|entry| entry.filemode() == LINK)?;
        let blob = self.repository.find_blob(entry.id()).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(blob.content())))
    }

    /// Paths of all files in a version.
    ///
    /// # Errors
    /// If the version cannot be read.
    pub fn list_files(&self, version: &VersionId) -> Result<Vec<String>, VersionError> {
        Ok(self.entries(version)?.into_keys().map(|path| String::from_utf8_lossy(&path).into_owned()).collect())
    }

    /// The id of a version's tree: of equal ones, all files are equal.
    ///
    /// # Errors
    /// If the version cannot be read.
    pub fn tree_of(&self, version: &VersionId) -> Result<String, VersionError> {
        Ok(self.tree(version)?.id().to_string())
    }

    /// Sizes of a version's files, summed.
    ///
    /// # Errors
    /// If the version cannot be read.
    pub fn bytes(&self, version: &VersionId) -> Result<u64, VersionError> {
        let objects = self.repository.odb().map_err(self.failed("open the versions"))?;
        let entries = self.entries(version)?;
        let size = |id| objects.read_header(id).map(|(bytes, _)| bytes as u64).map_err(self.failed("read a file"));
        entries.into_values().map(|(_, id)| size(id)).sum()
    }

    /// Files that differ between two versions.
    ///
    /// # Errors
    /// If a version cannot be read.
    pub fn changed_files(&self, old: &VersionId, new: &VersionId) -> Result<Vec<ChangedFile>, VersionError> {
        let (old, new) = (self.tree(old)?, self.tree(new)?);
        let mut options = DiffOptions::new();
        let diff = self
            .repository
            .diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))
            .map_err(self.failed("compare versions"))?;
        let mut changed = Vec::new();
        for (number, delta) in diff.deltas().enumerate() {
            let change = match delta.status() {
                Delta::Added => FileChange::Added,
                Delta::Deleted => FileChange::Removed,
                _ => FileChange::Modified,
            };
            let path = delta.new_file().path_bytes().or(delta.old_file().path_bytes()).unwrap_or_default();
            let patch = Patch::from_diff(&diff, number).map_err(self.failed("compare a file"))?;
            let (_, added_lines, removed_lines) = patch.and_then(|patch| patch.line_stats().ok()).unwrap_or_default();
            changed.push(ChangedFile {
                path: String::from_utf8_lossy(path).into_owned(),
                change,
                added_lines,
                removed_lines,
            });
        }
        Ok(changed)
    }

    /// Writes all files of a version into an empty folder, as files last changed at `modified`. Submodules are left out.
    ///
    /// # Errors
    /// If the version cannot be read, a path would leave the folder, or the disk refuses.
    pub fn check_out(&self, version: &VersionId, folder: &Path, modified: SystemTime) -> Result<(), VersionError> {
        for (path, (mode, id)) in self.entries(version)? {
            let relative = Path::new(OsStr::from_bytes(&path));
            let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
            if !plain || path.starts_with(b"/") {
                let path = String::from_utf8_lossy(&path).into_owned();
                return Err(VersionError::UnsafePath { version: version.clone(), path });
            }
            let target = folder.join(relative);
            let blob = self.repository.find_blob(id).map_err(self.failed("read a file"))?;
            if let Some(parent) = target.parent() {
                files::create_dir_all(parent)?;
                // A link checked out earlier must not lead the next file out of the folder.
                let inside = fs::canonicalize(parent).ok().zip(fs::canonicalize(folder).ok());
                if !inside.is_some_and(|(parent, folder)| parent.starts_with(folder)) {
                    let path = String::from_utf8_lossy(&path).into_owned();
                    return Err(VersionError::UnsafePath { version: version.clone(), path });
                }
            }
            let written = if mode == 0o120_000 {
                symlink(OsStr::from_bytes(blob.content()), &target)
            } else {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode & 0o777)
                    .open(&target)
                    .and_then(|mut file| file.write_all(blob.content()).and_then(|()| file.set_modified(modified)))
            };
            written.map_err(files::at("write", &target))?;
        }
        Ok(())
    }

    fn tree(&self, version: &VersionId) -> Result<Tree<'_>, VersionError> {
        let commit = self.repository.find_commit(Self::oid(version)?);
        commit.and_then(|commit| commit.tree()).map_err(self.failed("find the version"))
    }

    /// Mode and blob of every file of a version, by path.
    fn entries(&self, version: &VersionId) -> Result<BTreeMap<Vec<u8>, (u32, git2::Oid)>, VersionError> {
        let tree = self.tree(version)?;
        let mut entries = BTreeMap::new();
        tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
            if entry.kind() == Some(ObjectType::Blob) {
                let path = [folder.as_bytes(), entry.name_bytes()].concat();
                entries.insert(path, (u32::try_from(entry.filemode()).unwrap_or(0o100_644), entry.id()));
            }
            TreeWalkResult::Ok
        })
        .map_err(self.failed("read the version"))?;
        Ok(entries)
    }
}
