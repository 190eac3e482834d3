//! The Python runtime: embedded in the program, unpacked into the store once for each content.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::files;
use crate::engine::Error;
use crate::store::layout::Layout;

/// Every file of `assets/runtime`, by its path there.
const FILES: &[(&str, &str)] = &[
    ("launch.py", include_str!("../../assets/runtime/launch.py")),
    ("serve.py", include_str!("../../assets/runtime/serve.py")),
    ("afterlog/__init__.py", include_str!("../../assets/runtime/afterlog/__init__.py")),
    ("afterlog/_adaptive.py", include_str!("../../assets/runtime/afterlog/_adaptive.py")),
    ("afterlog/_arguments.py", include_str!("../../assets/runtime/afterlog/_arguments.py")),
    ("afterlog/_audit.py", include_str!("../../assets/runtime/afterlog/_audit.py")),
    ("afterlog/_become.py", include_str!("../../assets/runtime/afterlog/_become.py")),
    ("afterlog/_beside.py", include_str!("../../assets/runtime/afterlog/_beside.py")),
    ("afterlog/_buffers.py", include_str!("../../assets/runtime/afterlog/_buffers.py")),
    ("afterlog/_capture.py", include_str!("../../assets/runtime/afterlog/_capture.py")),
    ("afterlog/_checkpoints.py", include_str!("../../assets/runtime/afterlog/_checkpoints.py")),
    ("afterlog/_cuda.py", include_str!("../../assets/runtime/afterlog/_cuda.py")),
    ("afterlog/_entries.py", include_str!("../../assets/runtime/afterlog/_entries.py")),
    ("afterlog/_flordb.py", include_str!("../../assets/runtime/afterlog/_flordb.py")),
    ("afterlog/_foreign.py", include_str!("../../assets/runtime/afterlog/_foreign.py")),
    ("afterlog/_forks.py", include_str!("../../assets/runtime/afterlog/_forks.py")),
    ("afterlog/_frames.py", include_str!("../../assets/runtime/afterlog/_frames.py")),
    ("afterlog/_guard.py", include_str!("../../assets/runtime/afterlog/_guard.py")),
    ("afterlog/_handlers.py", include_str!("../../assets/runtime/afterlog/_handlers.py")),
    ("afterlog/_handsfree.py", include_str!("../../assets/runtime/afterlog/_handsfree.py")),
    ("afterlog/_inert.py", include_str!("../../assets/runtime/afterlog/_inert.py")),
    ("afterlog/_journal.py", include_str!("../../assets/runtime/afterlog/_journal.py")),
    ("afterlog/_kinds.py", include_str!("../../assets/runtime/afterlog/_kinds.py")),
    ("afterlog/_libraries.py", include_str!("../../assets/runtime/afterlog/_libraries.py")),
    ("afterlog/_lines.py", include_str!("../../assets/runtime/afterlog/_lines.py")),
    ("afterlog/_lookups.py", include_str!("../../assets/runtime/afterlog/_lookups.py")),
    ("afterlog/_marks.py", include_str!("../../assets/runtime/afterlog/_marks.py")),
    ("afterlog/_memory.py", include_str!("../../assets/runtime/afterlog/_memory.py")),
    ("afterlog/_moved.py", include_str!("../../assets/runtime/afterlog/_moved.py")),
    ("afterlog/_output.py", include_str!("../../assets/runtime/afterlog/_output.py")),
    ("afterlog/_parameters.py", include_str!("../../assets/runtime/afterlog/_parameters.py")),
    ("afterlog/_prefix.py", include_str!("../../assets/runtime/afterlog/_prefix.py")),
    ("afterlog/_preload.py", include_str!("../../assets/runtime/afterlog/_preload.py")),
    ("afterlog/_process.py", include_str!("../../assets/runtime/afterlog/_process.py")),
    ("afterlog/_ranks.py", include_str!("../../assets/runtime/afterlog/_ranks.py")),
    ("afterlog/_reads.py", include_str!("../../assets/runtime/afterlog/_reads.py")),
    ("afterlog/_replay.py", include_str!("../../assets/runtime/afterlog/_replay.py")),
    ("afterlog/_restore.py", include_str!("../../assets/runtime/afterlog/_restore.py")),
    ("afterlog/_seeds.py", include_str!("../../assets/runtime/afterlog/_seeds.py")),
    ("afterlog/_session.py", include_str!("../../assets/runtime/afterlog/_session.py")),
    ("afterlog/_shareable.py", include_str!("../../assets/runtime/afterlog/_shareable.py")),
    ("afterlog/_snapshot.py", include_str!("../../assets/runtime/afterlog/_snapshot.py")),
    ("afterlog/_start.py", include_str!("../../assets/runtime/afterlog/_start.py")),
    ("afterlog/_statement.py", include_str!("../../assets/runtime/afterlog/_statement.py")),
    ("afterlog/_together.py", include_str!("../../assets/runtime/afterlog/_together.py")),
    ("afterlog/_transfer.py", include_str!("../../assets/runtime/afterlog/_transfer.py")),
    ("afterlog/_values.py", include_str!("../../assets/runtime/afterlog/_values.py")),
    ("flor/__init__.py", include_str!("../../assets/runtime/flor/__init__.py")),
    ("flordb/__init__.py", include_str!("../../assets/runtime/flordb/__init__.py")),
];

/// The packages among the files, as a script imports them.
pub const PACKAGES: [&str; 3] = ["afterlog", "flor", "flordb"];

/// Unpacks the runtime into the store, if this content is not there yet; gives its folder.
///
/// # Errors
/// If it cannot be written.
pub fn unpack(layout: &Layout) -> Result<PathBuf, Error> {
    let mut hasher = blake3::Hasher::new();
    for (path, text) in FILES {
        hasher.update(path.as_bytes()).update(text.as_bytes());
    }
    let folder = layout.runtime(&hasher.finalize().to_hex()[..16]);
    if folder.exists() {
        return Ok(folder);
    }
    // Whole or not at all: several processes may be doing this, and whoever renames first has done it for all.
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{:?}.tmp", std::process::id(), std::thread::current().id()));
    let unfinished = folder.with_file_name(name);
    write(&unfinished, |_| true)?;
    if let Err(source) = fs::rename(&unfinished, &folder) {
        fs::remove_dir_all(&unfinished).map_err(files::at("remove", &unfinished))?;
        if !folder.exists() {
            return Err(files::at("create", &folder)(source).into());
        }
    }
    Ok(folder)
}

/// Writes the files whose path is wanted below a folder, onto the disk.
///
/// # Errors
/// If one cannot be written.
pub fn write(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), Error> {
    let mut folders = BTreeSet::new();
    for (path, text) in FILES.iter().filter(|(path, _)| wanted(path)) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            files::create_dir_all(parent)?;
        }
        files::write_atomic(&path, text.as_bytes())?;
        folders.extend(path.parent().map(Path::to_owned));
    }
    Ok(folders.iter().try_for_each(|folder| files::sync(folder))?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{FILES, unpack};
    use crate::store::layout::Layout;

    fn list(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry")) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                list(&entry.path(), &format!("{name}/"), found);
            } else if name.ends_with(".py") {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_runtime_is_embedded() {
        let mut there = BTreeSet::new();
        list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/runtime"), "", &mut there);
        let embedded: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, there);
    }

    #[test]
    fn unpacking_at_once_in_several_threads_gives_one_whole_runtime() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let folders: BTreeSet<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| unpack(&layout).expect("unpacked"))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(folders.len(), 1);
        let mut there = BTreeSet::new();
        list(folders.first().expect("one"), "", &mut there);
        assert_eq!(there.len(), FILES.len());
    }
}
