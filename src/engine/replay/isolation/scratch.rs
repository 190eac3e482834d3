//! A scratch copy of the version, for machines that permit no private view: links lead to the user's other files.
//!
//! Nothing here copies data. The runtime's guard (`assets/runtime/afterlog/_guard.py`) refuses what Python's own calls
//! would write elsewhere, with a message, and the kernel (Landlock, Linux 5.13) what native code and child processes would.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use landlock::{ABI, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, path_beneath_rules};

use super::{IsolationError, Place, TREE, View};
use crate::base::files::{FileError, at};
use crate::store::layout::STORE_FOLDER;

/// Files are linked one by one, so that folders can take new ones; beyond this many, whole folders are linked.
const MAX_LINKS: usize = 10_000;
/// Writing to devices, to the process's own entries and to shared memory changes no file.
const NO_FILES: [&str; 2] = ["/dev", "/proc"];

/// Completes the scratch copy with links and has the kernel refuse writes elsewhere, if it can.
pub(super) fn enter(view: &View<'_>, kernel: bool) -> Result<Place, IsolationError> {
    let tree = view.scratch.join(TREE);
    link(view, &tree)?;
    DirBuilder::new().mode(0o700).create(view.temporary).map_err(at("create", view.temporary))?;
    if kernel {
        let folders = [tree.as_path(), view.temporary].into_iter().chain(NO_FILES.map(Path::new));
        let access = AccessFs::from_write(ABI::V3);
        Ruleset::default()
            .handle_access(access)?
            .create()?
            .add_rules(path_beneath_rules(folders, access))?
            .restrict_self()?;
    }
    let guard = serde_json::json!({ "tree": tree, "root": view.root, "temporary": view.temporary, "kernel": kernel });
    Ok(Place { root: tree, guard: Some(guard.to_string()) })
}

/// Whether the kernel would refuse writes. Restricts nothing.
pub(super) fn kernel_refuses() -> bool {
    let access = AccessFs::from_write(ABI::V1);
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(access);
    ruleset.and_then(Ruleset::create).is_ok()
}

/// Links what the project has besides the version's files, breadth first.
fn link(view: &View<'_>, tree: &Path) -> Result<(), FileError> {
    let absent: BTreeSet<&Path> = view.absent.iter().map(Path::new).collect();
    let mut waiting = VecDeque::from([PathBuf::new()]);
    let mut links = 0;
    while let Some(folder) = waiting.pop_front() {
        let original = view.root.join(&folder);
        // What cannot be listed cannot be linked either; the script would not have got far with it.
        let Ok(entries) = fs::read_dir(&original) else { continue };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let (source, target) = (original.join(entry.file_name()), tree.join(&path));
            let there = fs::symlink_metadata(&target).ok();
            if absent.contains(path.as_path()) {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if there.as_ref().is_some_and(|there| !is_folder || !there.is_dir()) {
                continue;
            }
            // Neither the store nor modules compiled from other sources are anything to a replay, but that they exist.
            let hollow = path == Path::new(STORE_FOLDER) || path.ends_with("__pycache__");
            let whole = links >= MAX_LINKS || path == Path::new(".git") || source.join("pyvenv.cfg").exists();
            if is_folder && (there.is_some() || hollow || !whole) {
                if there.is_none() {
                    fs::create_dir(&target).map_err(at("create", &target))?;
                }
                if !hollow {
                    waiting.push_back(path);
                }
            } else {
                let target_of_link = link_inside(&source, view.root).unwrap_or(source);
                symlink(target_of_link, &target).map_err(at("link", &target))?;
            }
            links += 1;
        }
    }
    Ok(())
}

/// Where a link leads that names its target from its own folder, and within the project: the same in the copy.
fn link_inside(link: &Path, root: &Path) -> Option<PathBuf> {
    let target = fs::read_link(link).ok().filter(|target| target.is_relative())?;
    fs::canonicalize(link).is_ok_and(|real| real.starts_with(root)).then_some(target)
}
