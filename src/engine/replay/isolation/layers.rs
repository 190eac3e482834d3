//! Copies what a replay has written so far in its view, for a replay that is to go on from there in a view of its own.
//!
//! The layers cannot be shared, nor lie above one another: the store that holds them is inside the project, and the kernel
//! refuses that.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, mknod};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

use crate::base::files::{FileError, at};

/// The endings of the names of layers in a scratch folder.
const LAYER: &str = "-upper";
/// How the kernel notes that nothing of the folder below shows; its other notes are of one view only.
const OPAQUE: &str = "user.overlay.opaque";
const NOTES: &str = "user.overlay.";
/// Longer than any value that a file may have beside its content.
const MAX_VALUE_BYTES: usize = 1 << 16;

/// Copies the layers in one scratch folder to another, where there are none yet.
///
/// # Errors
/// If anything cannot be copied as it is.
pub(in crate::engine::replay) fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    let mut linked = HashMap::new();
    for entry in fs::read_dir(from).map_err(at("list", from))? {
        let entry = entry.map_err(at("list", from))?;
        if entry.file_name().to_string_lossy().ends_with(LAYER) {
            copy_one(&entry.path(), &to.join(entry.file_name()), &mut linked)?;
        }
    }
    Ok(())
}

/// `linked` has where files are that have several names.
fn copy_one(from: &Path, to: &Path, linked: &mut HashMap<(u64, u64), PathBuf>) -> Result<(), FileError> {
    let failed = at("copy", from);
    let found = fs::symlink_metadata(from).map_err(at("copy", from))?;
    let kind = found.file_type();
    if kind.is_dir() {
        copy_folder(from, to, &found, linked)?;
    } else if kind.is_symlink() {
        fs::read_link(from).and_then(|target| symlink(target, to)).map_err(failed)?;
        return Ok(());
    } else if kind.is_char_device() || kind.is_fifo() {
        // The first is how the kernel notes that a file is gone.
        let kind = if kind.is_fifo() { SFlag::S_IFIFO } else { SFlag::S_IFCHR };
        mknod(to, kind, Mode::from_bits_truncate(found.mode()), found.rdev())
            .map_err(io::Error::from)
            .map_err(failed)?;
        return Ok(());
    } else if kind.is_file() {
        let identity = (found.dev(), found.ino());
        if let Some(first) = linked.get(&identity) {
            return fs::hard_link(first, to).map_err(failed);
        }
        fs::copy(from, to).map_err(at("copy", from))?;
        if found.nlink() > 1 {
            linked.insert(identity, to.to_owned());
        }
    } else {
        return Err(failed(io::ErrorKind::Unsupported.into()));
    }
    copy_values(from, to).map_err(at("copy", from))?;
    let times = FileTimes::new().set_accessed(found.accessed().map_err(at("copy", from))?);
    let times = times.set_modified(found.modified().map_err(at("copy", from))?);
    // Opened for reading: a folder can only be, and a file may be protected from writing.
    File::open(to).and_then(|file| file.set_times(times)).map_err(at("copy", from))
}

fn copy_folder(
    from: &Path,
    to: &Path,
    found: &Metadata,
    linked: &mut HashMap<(u64, u64), PathBuf>,
) -> Result<(), FileError> {
    if !to.exists() {
        DirBuilder::new().mode(0o700).create(to).map_err(at("create", to))?;
    }
    for entry in fs::read_dir(from).map_err(at("list", from))? {
        let entry = entry.map_err(at("list", from))?;
        copy_one(&entry.path(), &to.join(entry.file_name()), linked)?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(found.mode())).map_err(at("copy", from))
}

/// What a file has beside its content.
fn copy_values(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0; MAX_VALUE_BYTES];
    let length = match llistxattr(from, &mut names[..]) {
        Ok(length) => length,
        // A file system without.
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    for name in names.split_terminator('\0').filter(|name| name.starts_with("user.")) {
        if name == OPAQUE || !name.starts_with(NOTES) {
            let mut value = vec![0; MAX_VALUE_BYTES];
            let length = lgetxattr(from, name, &mut value[..])?;
            lsetxattr(to, name, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::copy;

    #[test]
    fn a_copied_layer_has_the_files_their_times_modes_links_and_what_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let layer = from.join("project-upper");
        fs::create_dir_all(layer.join("a/b")).expect("made");
        fs::create_dir_all(from.join("project-work")).expect("made");
        fs::create_dir_all(&to).expect("made");
        crate::base::files::write_atomic(&layer.join("a/b/file"), b"text").expect("written");
        fs::hard_link(layer.join("a/b/file"), layer.join("a/other")).expect("linked");
        symlink("nowhere", layer.join("link")).expect("linked");
        fs::set_permissions(layer.join("a/b/file"), fs::Permissions::from_mode(0o400)).expect("set");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let open = fs::File::open(layer.join("a/b")).expect("opened");
        open.set_times(fs::FileTimes::new().set_modified(long_ago)).expect("set");
        nix::sys::stat::mknod(&layer.join("gone"), super::SFlag::S_IFCHR, super::Mode::empty(), 0).expect("made");
        copy(&from, &to).expect("copied");
        let layer = to.join("project-upper");
        let about = |name: &str| fs::symlink_metadata(layer.join(name)).expect(name);
        assert_eq!(fs::read_to_string(layer.join("a/other")).expect("read"), "text");
        assert_eq!(about("a/b/file").ino(), about("a/other").ino());
        assert_eq!(about("a/b/file").permissions().mode() & 0o777, 0o400);
        assert_eq!(about("a/b").modified().expect("a time"), long_ago);
        assert_eq!(fs::read_link(layer.join("link")).expect("a link").to_string_lossy(), "nowhere");
        assert_eq!((about("gone").mode() & 0o170_000, about("gone").rdev()), (0o020_000, 0));
        assert!(!to.join("project-work").exists());
    }
}
