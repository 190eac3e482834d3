//! Every path of a project's store, its format version, and its locks.
//!
//! Ids are typed, so no path made here can leave the store.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::files::{self, FileError};
use crate::base::ids::{JobId, RunId};

/// The store's folder in the project's root.
pub const STORE_FOLDER: &str = ".afterlog";
/// Raised whenever an older afterlog could misread the store.
const FORMAT: u32 = 1;

/// Why a store cannot be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("the store {} has format {found}, newer than the {FORMAT} that this afterlog knows", path.display())]
    TooNew { path: PathBuf, found: u32 },
    #[error("the store's format file {} is damaged: it holds {content:?} instead of a number", path.display())]
    BadFormat { path: PathBuf, content: String },
    #[error("{} is in the store's place but is not a folder", path.display())]
    NotAFolder { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

/// The store of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    store: PathBuf,
}

impl Layout {
    /// The store that the project at `root` has, if it has one.
    ///
    /// # Errors
    /// If there is something that is not a store of a known format.
    pub fn open(root: &Path) -> Result<Option<Self>, LayoutError> {
        let layout = Self { root: root.to_owned(), store: root.join(STORE_FOLDER) };
        let Ok(meta) = std::fs::metadata(&layout.store) else { return Ok(None) };
        if !meta.is_dir() {
            return Err(LayoutError::NotAFolder { path: layout.store });
        }
        let path = layout.store.join("format");
        if !path.exists() {
            return Ok(None);
        }
        let content = files::read_text(&path)?;
        match content.trim().parse() {
            Ok(FORMAT) => Ok(Some(layout)),
            Ok(found) => Err(LayoutError::TooNew { path: layout.store, found }),
            Err(_) => Err(LayoutError::BadFormat { path, content }),
        }
    }

    /// The project's store, made if there is none.
    ///
    /// # Errors
    /// As [`Layout::open`], or if it cannot be written.
    pub fn create(root: &Path) -> Result<Self, LayoutError> {
        if let Some(layout) = Self::open(root)? {
            return Ok(layout);
        }
        let layout = Self { root: root.to_owned(), store: root.join(STORE_FOLDER) };
        for folder in [layout.runs(), layout.packs(), layout.jobs()] {
            files::create_dir_all(&folder)?;
        }
        // Git then never lists the store, whatever the project's own .gitignore says.
        files::write_atomic(&layout.store.join(".gitignore"), b"*\n")?;
        files::write_atomic(&layout.store.join("format"), format!("{FORMAT}\n").as_bytes())?;
        Ok(layout)
    }

    /// Whether nothing can be written to the store: it lies on a read-only file system, or belongs to somebody else.
    pub fn is_read_only(&self) -> bool {
        nix::unistd::access(&self.store, nix::unistd::AccessFlags::W_OK).is_err()
    }

    /// The project's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn store(&self) -> &Path {
        &self.store
    }

    pub fn database(&self) -> PathBuf {
        self.store.join("db.sqlite")
    }

    pub fn runs(&self) -> PathBuf {
        self.store.join("runs")
    }

    pub fn run(&self, id: &RunId) -> PathBuf {
        self.runs().join(id.as_str())
    }

    /// The folder of a rank's journals in a run of several processes; rank 0 is the run.
    pub fn rank(&self, id: &RunId, rank: u64) -> PathBuf {
        let folder = self.run(id);
        if rank == 0 { folder } else { folder.join(names::RANKS).join(rank.to_string()) }
    }

    /// The ranks of a run that were recorded, in order: 0, and those of the other processes, if there were any.
    pub fn ranks(&self, id: &RunId) -> Vec<u64> {
        let others = std::fs::read_dir(self.run(id).join(names::RANKS)).into_iter().flatten().flatten();
        let others = others.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut ranks: Vec<u64> = std::iter::once(0).chain(others.filter(|rank| *rank > 0)).collect();
        ranks.sort_unstable();
        ranks
    }

    pub fn packs(&self) -> PathBuf {
        self.store.join("packs")
    }

    /// Held by whoever changes or opens the packs.
    pub fn packs_lock(&self) -> PathBuf {
        self.store.join("packs.lock")
    }

    /// Held by whoever thins checkpoints and removes what nobody needs.
    pub fn gc_lock(&self) -> PathBuf {
        self.store.join("gc.lock")
    }

    /// What the user asks past versions for, a file each, with what was corrected by hand.
    pub fn probes(&self) -> PathBuf {
        self.store.join("probes")
    }

    /// The file of one probe. Its name may be anything, so the file is named after its hash.
    pub fn probe(&self, name: &str) -> PathBuf {
        self.probes().join(format!("{}.json", &blake3::hash(name.as_bytes()).to_hex()[..32]))
    }

    /// Held by whoever changes a probe.
    pub fn probes_lock(&self) -> PathBuf {
        self.store.join("probes.lock")
    }

    /// The user's settings for this project.
    pub fn config(&self) -> PathBuf {
        self.store.join("config.toml")
    }

    /// Holds the `PYTHONHASHSEED` of this project's runs.
    pub fn hash_seed(&self) -> PathBuf {
        self.store.join("hash-seed")
    }

    /// What is known of errors within the program.
    pub fn reports(&self) -> PathBuf {
        self.store.join("reports")
    }

    pub fn jobs(&self) -> PathBuf {
        self.store.join("jobs")
    }

    pub fn job(&self, id: &JobId) -> PathBuf {
        self.jobs().join(id.as_str())
    }

    pub fn segment(&self, job: &JobId, segment: u32) -> PathBuf {
        self.job(job).join("segments").join(segment.to_string())
    }

    /// The unpacked Python runtime with this content hash.
    pub fn runtime(&self, hash: &str) -> PathBuf {
        self.store.join("runtime").join(hash)
    }

    /// The private repository of a project without git.
    pub fn private_repository(&self) -> PathBuf {
        self.store.join("git")
    }

    /// Ids of all runs, oldest first. Other names in the folder are ignored.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn run_ids(&self) -> Result<Vec<RunId>, FileError> {
        list_ids(&self.runs())
    }

    /// Ids of all jobs, oldest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn job_ids(&self) -> Result<Vec<JobId>, FileError> {
        list_ids(&self.jobs())
    }
}

fn list_ids<Id: std::str::FromStr + Ord>(folder: &Path) -> Result<Vec<Id>, FileError> {
    let entries = std::fs::read_dir(folder).map_err(files::at("list", folder))?;
    let mut ids: Vec<Id> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    ids.sort();
    Ok(ids)
}

/// Names of the files in a run's and a segment's folder.
pub mod names {
    pub const META: &str = "meta.json";
    pub const INSTRUMENTATION: &str = "instrumentation.json";
    pub const EVENTS: &str = "events.aflj";
    pub const RECORDER: &str = "recorder.aflj";
    pub const OUTPUT: &str = "output.log";
    pub const LOCK: &str = "lock";
    /// Checkpoints that were removed on purpose.
    pub const DROPPED: &str = "dropped.json";
    pub const PLAN: &str = "plan.json";
    pub const ORDER: &str = "order.json";
    pub const JOB: &str = "job.aflj";
    /// The files of the work tree, for all segments of a job.
    pub const WORKTREE: &str = "worktree.json";
    /// What small files of data held while a run went on.
    pub const DATA: &str = "data.json";
    pub const CANCEL: &str = "cancel";
    /// Holds a folder for each rank but the first of a run with several processes.
    pub const RANKS: &str = "ranks";
    pub const WORKER_LOG: &str = "worker.log";
    /// Why segments of a run cannot share what comes before its main loop.
    pub const UNSHARED: &str = "unshared.txt";
}

/// How often a lock is asked for, and how long between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// An exclusive lock on a file, held until every process that inherited it has closed it, or one of them releases it.
pub struct Lock(File);

impl Lock {
    /// Takes the lock, or gives `None` where another process holds it for more than the moment in which it asks whether
    /// somebody does.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn acquire(path: &Path) -> Result<Option<Self>, FileError> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(files::at("lock", path))?;
        for _ in 0..ATTEMPTS {
            if file.try_lock().is_ok() {
                return Ok(Some(Self(file)));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(None)
    }

    /// The locked file, to be inherited by a child.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Frees the lock, whoever else inherited it.
    pub fn release(self) {
        // Closing the file, at the latest when this process ends, frees it too unless a child still has it.
        let _ = self.0.unlock();
    }
}

/// Whether some process holds the lock on this file. What cannot be found out counts as held: others remove only what
/// nobody holds.
pub fn is_held(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, LayoutError, Lock, is_held};

    #[test]
    fn a_store_is_created_once_and_a_newer_one_is_refused() {
        let dir = tempfile::tempdir().expect("folder");
        assert_eq!(Layout::open(dir.path()).expect("nothing there"), None);
        let layout = Layout::create(dir.path()).expect("created");
        assert_eq!(Layout::create(dir.path()).expect("opened"), layout);
        std::fs::File::create(layout.store().join("format")).expect("emptied");
        assert!(matches!(Layout::open(dir.path()), Err(LayoutError::BadFormat { .. })));
        crate::base::files::write_atomic(&layout.store().join("format"), b"2\n").expect("written");
        assert!(matches!(Layout::open(dir.path()), Err(LayoutError::TooNew { found: 2, .. })));
    }

    #[test]
    fn a_lock_that_cannot_be_asked_for_counts_as_held() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("lock");
        std::os::unix::fs::symlink(&path, &path).expect("a link that leads nowhere");
        assert!(is_held(&path));
    }

    #[test]
    fn whoever_asks_for_a_lock_gets_it_while_others_look_at_it() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("lock");
        drop(Lock::acquire(&path).expect("file").expect("free"));
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| (0..20_000).filter(|_| is_held(&path)).count());
            while !looks.is_finished() {
                assert!(Lock::acquire(&path).expect("file").is_some());
            }
        });
    }

    #[test]
    fn a_lock_is_seen_by_others_until_it_is_dropped() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("lock");
        assert!(!is_held(&path));
        let lock = Lock::acquire(&path).expect("file").expect("free");
        assert!(is_held(&path));
        assert!(Lock::acquire(&path).expect("file").is_none());
        let inherited = lock.file().try_clone().expect("a second handle");
        drop(lock);
        assert!(is_held(&path), "whoever inherited it holds it still");
        drop(inherited);
        assert!(!is_held(&path));
        let lock = Lock::acquire(&path).expect("file").expect("free");
        let _inherited = lock.file().try_clone().expect("a second handle");
        lock.release();
        assert!(!is_held(&path));
    }
}
