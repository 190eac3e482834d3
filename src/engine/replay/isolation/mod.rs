//! Keeps a replay away from the user's files: in a private view of the file system, else in a scratch copy.
//!
//! Which of the two a job uses is found out once, when it is planned, by trying; workers only do what the plan says.

mod layers;
mod namespace;
mod scratch;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::base::files::{self, FileError, at};
use crate::engine::{Error, spawn};
use crate::model::plan::Isolation;
use crate::store::layout::Layout;

/// Chooses for the user: `namespace`, `scratch` or `auto`.
const CHOICE: &str = "AFTERLOG_ISOLATION";
/// Where the version's files are put, in the scratch folder. In a private view this is the project's layer, which takes
/// all writes too: a layer of their own is impossible, since the kernel refuses read-only layers inside one another and
/// the store is inside the project.
pub(super) const TREE: &str = "project-upper";

/// What a replay should see.
pub(super) struct View<'a> {
    /// The project's root.
    pub(super) root: &'a Path,
    /// The folder of everything that the replay writes; the version's files are in its [`TREE`].
    pub(super) scratch: &'a Path,
    /// For temporary files, where the usual folders cannot be written. Does not exist yet.
    pub(super) temporary: &'a Path,
    /// Files of today's project that the version does not have, relative to the root.
    pub(super) absent: &'a [String],
}

/// Where the replay finds the project once it is isolated.
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// What the runtime must refuse, as it reads it; `None` where it need not.
    pub(super) guard: Option<String>,
}

pub(super) use layers::copy as copy_layers;

/// Why this machine does not allow it.
#[derive(Debug, thiserror::Error)]
pub(super) enum IsolationError {
    #[error("{action} {}: {source}", path.display())]
    Mount { action: &'static str, path: PathBuf, source: nix::Error },
    #[error("{action}: {source}")]
    Namespace { action: &'static str, source: nix::Error },
    #[error("a path with ',' or ':' cannot be mounted: {}", .0.display())]
    Path(PathBuf),
    #[error("the kernel does not refuse writes: {0}")]
    Landlock(#[from] landlock::RulesetError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Isolates this process and all that it starts. It must have a single thread.
///
/// # Errors
/// If a step is not permitted here.
pub(super) fn enter(isolation: &Isolation, view: &View<'_>) -> Result<Place, IsolationError> {
    match isolation {
        Isolation::Namespace => {
            namespace::enter(view)?;
            Ok(Place { root: view.root.to_owned(), guard: None })
        }
        Isolation::Scratch { kernel, .. } => scratch::enter(view, *kernel),
    }
}

/// Leaves this process, and all that it starts, nothing to write to but devices and shared memory. It must have a single
/// thread.
///
/// # Errors
/// If a step is not permitted here.
pub(super) fn read_only() -> Result<(), IsolationError> {
    namespace::read_only()
}

/// Finds out how replays of this project can be isolated on this machine.
///
/// # Errors
/// If what the user chose is unknown or not possible here.
pub(in crate::engine) fn choose(layout: &Layout) -> Result<Isolation, Error> {
    let scratch = |reason| Isolation::Scratch { reason, kernel: scratch::kernel_refuses() };
    match std::env::var(CHOICE).as_deref() {
        Ok("scratch") => Ok(scratch(format!("{CHOICE} asks for it"))),
        Ok("namespace") => match why_no_namespace(layout)? {
            None => Ok(Isolation::Namespace),
            Some(reason) => Err(Error::NoIsolation { reason }),
        },
        Ok("auto" | "") | Err(_) => Ok(why_no_namespace(layout)?.map_or(Isolation::Namespace, scratch)),
        Ok(other) => Err(Error::Unsupported {
            what: format!("{CHOICE} is '{other}'"),
            instead: "it may be namespace, scratch or auto".into(),
        }),
    }
}

/// Tries it in a process of its own, since there is no way back; gives why it is not possible here.
fn why_no_namespace(layout: &Layout) -> Result<Option<String>, Error> {
    let folder = layout.store().join(format!("isolation-{}.tmp", std::process::id()));
    files::create_dir_all(&folder)?;
    let tried = spawn::try_isolation(layout.root(), &folder);
    clear(&folder)?;
    Ok(tried?)
}

/// Removes a replay's scratch folder once its process has ended.
///
/// # Errors
/// If something of it stays.
pub(super) fn clear(scratch: &Path) -> Result<(), FileError> {
    let Ok(entries) = fs::read_dir(scratch) else { return Ok(()) };
    for work in entries.flatten().map(|entry| entry.path().join("work")) {
        // An overlay leaves this folder closed to everyone but the superuser. There is none in other folders.
        if work.parent().is_some_and(|parent| parent.to_string_lossy().ends_with("-work")) && work.exists() {
            fs::set_permissions(&work, Permissions::from_mode(0o700)).map_err(at("open", &work))?;
        }
    }
    fs::remove_dir_all(scratch).map_err(at("remove", scratch))
}

/// Enters a private view with nothing in it and says why it could not, in the process that [`why_no_namespace`] starts.
pub fn attempt(layout: &Layout, scratch: &Path) -> Option<String> {
    let view = View { root: layout.root(), scratch, temporary: scratch, absent: &[] };
    namespace::enter(&view).err().map(|error| error.to_string())
}
