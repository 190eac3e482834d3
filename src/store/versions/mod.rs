//! Versions of the user's code as git commits under `refs/afterlog/`. The only user of git2.
//!
//! Never touches the work tree, index, HEAD, branches or stash: trees are built in an index in memory, and the only
//! references written are `refs/afterlog/*`. A project without git gets a private bare repository in the store.

mod capture;
mod listing;
mod read;
mod untracked;

use std::path::{Path, PathBuf};

use git2::{Oid, Repository, RepositoryInitOptions};

use crate::base::files::FileError;
use crate::model::source::{LeftOut, VersionId};
use crate::store::layout::Layout;

/// Why versions cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    #[error("git cannot {action} in {}: {}", repository.display(), source.message())]
    Git { action: &'static str, repository: PathBuf, source: git2::Error },
    #[error("'{0}' is not a version")]
    BadId(String),
    #[error("version {version} has a path that leaves its folder: {path:?}")]
    UnsafePath { version: VersionId, path: String },
    #[error(transparent)]
    File(#[from] FileError),
}

/// A version as committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub version: VersionId,
    /// What HEAD was at.
    pub head: Option<VersionId>,
    pub left_out: Vec<LeftOut>,
}

/// The repository that holds a project's versions.
pub struct Versions {
    repository: Repository,
    root: PathBuf,
}

impl Versions {
    /// Opens the project's own repository if its root is a work tree, else the private one, made if there is none.
    ///
    /// # Errors
    /// If neither can be opened.
    pub fn open(layout: &Layout) -> Result<Self, VersionError> {
        let root = layout.root().to_owned();
        if root.join(".git").exists() {
            let repository = Repository::open(&root).map_err(failed("open the repository", &root))?;
            return Ok(Self { repository, root });
        }
        let path = layout.private_repository();
        let repository = Repository::open_bare(&path).or_else(|_| make_bare(&path));
        let repository = repository.map_err(failed("make a repository", &path))?;
        // The project's folder as this repository's work tree, for this process only.
        repository.set_workdir(&root, false).map_err(failed("use the project's folder", &path))?;
        for folder in ["__pycache__/", ".venv/", "venv/", "node_modules/", ".git/"] {
            repository.add_ignore_rule(folder).map_err(failed("ignore caches", &path))?;
        }
        Ok(Self { repository, root })
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(git2::Error) -> VersionError {
        failed(action, self.repository.path())
    }

    fn oid(version: &VersionId) -> Result<Oid, VersionError> {
        Oid::from_str(&version.0).map_err(|_| VersionError::BadId(version.0.clone()))
    }
}

/// Makes a bare repository whole or not at all: several runs may begin a project at once, and whoever renames first has
/// made it for all.
fn make_bare(path: &Path) -> Result<Repository, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false);
    let unfinished = path.with_extension(format!("{}-{:?}.tmp", std::process::id(), std::thread::current().id()));
    drop(Repository::init_opts(&unfinished, &options)?);
    if std::fs::rename(&unfinished, path).is_ok() {
        return Repository::open_bare(path);
    }
    // What was made for nothing is in nobody's way.
    let _ = std::fs::remove_dir_all(&unfinished);
    // Another was first; or what is there is damaged, which initialising it again mends.
    Repository::open_bare(path).or_else(|_| Repository::init_opts(path, &options))
}

fn failed(action: &'static str, repository: &Path) -> impl FnOnce(git2::Error) -> VersionError {
    move |source| VersionError::Git { action, repository: repository.to_owned(), source }
}

/// What a file holds, as git tells it: SHA-1 of `blob LENGTH\0` and the bytes; `None` if it cannot be read.
pub fn hash_of_file(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Oid::hash_object(git2::ObjectType::Blob, &bytes).ok().map(|id| id.to_string())
}

/// The work tree's root for a folder inside it, if it is in a git repository.
pub fn work_tree_root(folder: &Path) -> Option<PathBuf> {
    let repository = Repository::discover(folder).ok()?;
    repository.workdir().map(|root| root.components().collect())
}

/// Makes a git repository in a folder.
///
/// # Errors
/// If git refuses.
pub fn create_repository(folder: &Path) -> Result<(), VersionError> {
    let mut options = RepositoryInitOptions::new();
    options.initial_head("main").external_template(false);
    Repository::init_opts(folder, &options).map(drop).map_err(failed("make a repository", folder))
}

/// Commits everything in a repository's work tree to its branch. For projects of afterlog's own making only.
///
/// # Errors
/// If git refuses.
pub fn commit_all(folder: &Path, message: &str) -> Result<(), VersionError> {
    let commit = || {
        let repository = Repository::open(folder)?;
        let mut index = repository.index()?;
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None)?;
        index.write()?;
        let tree = repository.find_tree(index.write_tree()?)?;
        let signature = git2::Signature::now("afterlog demo", "demo@localhost")?;
        let parent = repository.head().and_then(|head| head.peel_to_commit()).ok();
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(Some("HEAD"), &signature, &signature, message, &tree, &parents).map(drop)
    };
    commit().map_err(failed("commit", folder))
}
