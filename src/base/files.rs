//! File access whose errors name the path.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An I/O error and the path it happened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was attempted, as a verb: `read`, `write`, `create`.
    pub action: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

/// Turns an I/O error into a [`FileError`].
pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError { action, path: path.to_owned(), source }
}

/// Reads a whole file.
///
/// # Errors
/// With the path, if it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(at("read", path))
}

/// Reads a whole file as UTF-8; other bytes become U+FFFD.
///
/// # Errors
/// With the path, if it cannot be read.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Creates a directory and its parents.
///
/// # Errors
/// With the path, if it cannot be created.
pub fn create_dir_all(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(at("create", path))
}

/// Writes a file whole or not at all: a temporary file beside it, synced, then renamed over it.
///
/// # Errors
/// With the path, if any step fails; the old content then stands.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_atomic_unless(path, bytes, &|| false).map(drop)
}

/// The same, unless by then nobody wants it any more: then the old content stands. Whether it was written.
///
/// # Errors
/// As there.
pub fn write_atomic_unless(path: &Path, bytes: &[u8], outdated: &dyn Fn() -> bool) -> Result<bool, FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let wanted =
        written.and_then(|()| if outdated() { Ok(false) } else { fs::rename(&temporary, path).map(|()| true) });
    if !matches!(wanted, Ok(true)) {
        // Nothing depends on the temporary file; leaving it behind would only litter.
        let _ = fs::remove_file(&temporary);
    }
    wanted.map_err(at("write", path))
}

/// Makes a file's content, or the names in a folder (new, renamed, removed), survive a power cut.
///
/// # Errors
/// With the path, if the disk refuses.
pub fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at("sync", path))
}

#[cfg(test)]
mod tests {
    use super::{write_atomic, write_atomic_unless};

    #[test]
    fn what_is_not_wanted_any_more_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("grid.csv");
        write_atomic(&path, b"old").expect("written");
        assert!(!write_atomic_unless(&path, b"new", &|| true).expect("no trouble"));
        assert_eq!(std::fs::read(&path).expect("there"), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(write_atomic_unless(&path, b"new", &|| false).expect("written"));
        assert_eq!(std::fs::read(&path).expect("there"), b"new");
    }
}
