//! A private view of the file system for one replay: the version's files at the project's own path, every write caught.
//!
//! In namespaces of its own (user and mount; no privileges needed) the process sees the project's root as an overlay:
//! the version's files in a scratch layer, which takes all writes too, above the user's other files. HOME and
//! the temporary folders get scratch layers too; every other file system is read-only. The mounts vanish with the
//! process. Must be called while the process has a single thread: the kernel demands it of a new user namespace.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{getgid, getuid};

use super::{IsolationError, View};
use crate::base::files::{self, FileError, at};

/// Enters the view. After an error before any mount the process is as it was, or in a namespace of its own at most.
///
/// # Errors
/// If a step is not permitted here.
pub(super) fn enter(view: &View<'_>) -> Result<(), IsolationError> {
    leave()?;
    // All layers are made before the first is put in place: afterwards paths below it lead elsewhere.
    let project = overlay(view, "project", view.root)?;
    let mut layers = Vec::new();
    for folder in writable_folders(view.root) {
        // A folder with file systems mounted below cannot be layered; it stays read-only with the rest.
        if let Ok(layer) = overlay(view, &format!("layer{}", layers.len()), &folder) {
            layers.push((folder, layer));
        }
    }
    read_only_elsewhere()?;
    for (folder, layer) in &layers {
        bind(layer, folder)?;
    }
    bind(&project, view.root)?;
    for path in view.absent {
        let path = view.root.join(path);
        // Gone from the view only: the overlay notes the removal in its scratch layer.
        if let Err(source) = fs::remove_file(&path)
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(at("hide", &path)(source).into());
        }
    }
    Ok(())
}

/// Enters a view that nothing can be written to.
///
/// # Errors
/// If a step is not permitted here.
pub(super) fn read_only() -> Result<(), IsolationError> {
    leave()?;
    read_only_elsewhere()
}

/// Leaves the namespaces of all others.
fn leave() -> Result<(), IsolationError> {
    let (uid, gid) = (getuid(), getgid());
    let namespace = |action| move |source| IsolationError::Namespace { action, source };
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(namespace("a namespace of its own"))?;
    put("/proc/self/setgroups", "deny")?;
    put("/proc/self/uid_map", &format!("{uid} {uid} 1"))?;
    put("/proc/self/gid_map", &format!("{gid} {gid} 1"))?;
    change(Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)
}

/// HOME and the temporary folders, outer ones first; not those inside the project, whose layer covers them.
fn writable_folders(root: &Path) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let temporary = std::env::var_os("TMPDIR").map(PathBuf::from);
    let mut folders: Vec<PathBuf> = [home, temporary, Some("/tmp".into()), Some("/var/tmp".into())]
        .into_iter()
        .flatten()
        .filter_map(|folder| fs::canonicalize(folder).ok())
        .filter(|folder| !folder.starts_with(root) && folder.parent().is_some())
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// Mounts an overlay of a folder in the scratch folder; gives it open.
fn overlay(view: &View<'_>, name: &str, lower: &Path) -> Result<OwnedFd, IsolationError> {
    let folder = |part: &str| -> Result<PathBuf, FileError> {
        let path = view.scratch.join(format!("{name}-{part}"));
        files::create_dir_all(&path)?;
        Ok(path)
    };
    let (upper, work, merged) = (folder("upper")?, folder("work")?, folder("merged")?);
    let mut options = OsString::from("lowerdir=");
    options.push(lower);
    for (key, path) in [("upperdir", &upper), ("workdir", &work)] {
        options.push(format!(",{key}="));
        options.push(path);
    }
    options.push(",userxattr");
    for path in [lower, &upper] {
        if path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b',' | b':' | b'\\')) {
            return Err(IsolationError::Path(path.to_owned()));
        }
    }
    mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_os_str()))
        .map_err(|source| IsolationError::Mount { action: "layering", path: merged.clone(), source })?;
    open(&merged, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|source| IsolationError::Mount { action: "opening", path: merged, source })
}

/// Puts an open mount in place.
fn bind(layer: &OwnedFd, target: &Path) -> Result<(), IsolationError> {
    let source = format!("/proc/self/fd/{}", layer.as_raw_fd());
    mount(Some(source.as_str()), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|source| IsolationError::Mount { action: "covering", path: target.to_owned(), source })
}

/// Makes every file system read-only except those of the kernel, devices and shared memory.
fn read_only_elsewhere() -> Result<(), IsolationError> {
    let path = Path::new("/proc/self/mountinfo");
    let text = files::read(path)?;
    for line in text.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let (Some(target), Some(options)) = (fields.get(4), fields.get(5)) else { continue };
        let target = PathBuf::from(OsString::from_vec(unescape(target)));
        let kernel = ["/proc", "/sys", "/dev"].iter().any(|top| target.starts_with(top));
        if kernel || line.windows(9).any(|word| word == b" overlay ") && target.to_string_lossy().contains("-merged") {
            continue;
        }
        // A namespace may add restrictions and must keep those that there are.
        let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        for option in options.split(|byte| *byte == b',') {
            flags |= match option {
                b"nosuid" => MsFlags::MS_NOSUID,
                b"nodev" => MsFlags::MS_NODEV,
                b"noexec" => MsFlags::MS_NOEXEC,
                b"noatime" => MsFlags::MS_NOATIME,
                b"nodiratime" => MsFlags::MS_NODIRATIME,
                b"relatime" => MsFlags::MS_RELATIME,
                _ => MsFlags::empty(),
            };
        }
        match change(&target, flags) {
            Ok(()) => {}
            // Covered by another mount, or gone since: nobody can write there.
            Err(IsolationError::Mount {
                source: nix::Error::EINVAL | nix::Error::ENOENT | nix::Error::EACCES, ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn change(target: &Path, flags: MsFlags) -> Result<(), IsolationError> {
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(|source| IsolationError::Mount {
        action: "changing the mount at",
        path: target.to_owned(),
        source,
    })
}

/// The kernel writes blanks and backslashes in mount points as `\040` and so on.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) => {
                out.push(value);
                rest = &tail[3..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

fn put(path: &str, text: &str) -> Result<(), IsolationError> {
    let path = Path::new(path);
    let written = fs::OpenOptions::new().write(true).open(path);
    let written = written.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    Ok(written.map_err(at("write", path))?)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn mount_points_with_blanks_are_read() {
        assert_eq!(unescape(b"/a\\040b\\134c"), b"/a b\\c");
        assert_eq!(unescape(b"/a\\"), b"/a\\");
    }
}
