//! The façade: everything that the front ends do with a project goes through [`Project`].
//!
//! Cheap to clone and safe to share; every call blocks, so an interface calls it from a thread of its own.

mod compare;
mod condition;
mod current;
mod fsck;
mod grid;
mod jobs;
mod probes;
mod replay;
mod retention;
mod runs;
mod select;
mod source;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(in crate::engine) use condition::Selection;
pub use fsck::{FsckReport, Problem};
pub use grid::GridQuery;
pub use runs::FOLDER_GONE;

use crate::engine::project::runs::Packs;
use crate::engine::{Error, ingest};
use crate::store::db::{self, Db, DbError};
use crate::store::layout::{Layout, STORE_FOLDER};
use crate::store::versions;

/// One project and its store.
#[derive(Clone)]
pub struct Project {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    /// Two connections, so that queries do not wait for ingestion. Opened when first used: recording must not depend
    /// on the database, and a damaged one can still be rebuilt.
    writer: Mutex<Option<Db>>,
    reader: Mutex<Option<Db>>,
    /// Whether the database could not be written for want of room.
    disk_is_full: AtomicBool,
    /// What the packs hold, as they were when it was last looked for.
    packs: Mutex<Option<Packs>>,
    /// Why the database is of no use, as far as that was seen.
    unusable: Mutex<Option<Unusable>>,
    /// Whether it is left alone for that.
    journals_only: AtomicBool,
}

/// Why a database cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    Damaged,
    /// Made by a newer afterlog.
    TooNew,
}

impl Project {
    /// The project that `start` lies in, if anything was ever recorded there.
    ///
    /// # Errors
    /// If its store is damaged or of a newer version.
    pub fn find(start: &Path) -> Result<Option<Self>, Error> {
        Ok(Layout::open(&root_of(start))?.map(Self::new))
    }

    /// The same, as an error where there is none.
    ///
    /// # Errors
    /// As [`Project::find`], and if there is no store.
    pub fn require(start: &Path) -> Result<Self, Error> {
        Self::find(start)?.ok_or_else(|| Error::NoProject { start: start.to_owned() })
    }

    /// The project that `start` lies in, with a store made if there is none.
    ///
    /// # Errors
    /// As [`Project::find`], and if the store cannot be written.
    pub fn open_or_create(start: &Path) -> Result<Self, Error> {
        Ok(Self::new(Layout::create(&root_of(start))?))
    }

    fn new(layout: Layout) -> Self {
        let (writer, reader) = (Mutex::new(None), Mutex::new(None));
        let packs = Mutex::new(None);
        let (unusable, [disk_is_full, journals_only]) = (Mutex::new(None), [false, false].map(AtomicBool::new));
        Self { inner: Arc::new(Inner { layout, writer, reader, disk_is_full, packs, unusable, journals_only }) }
    }

    pub fn root(&self) -> &Path {
        self.inner.layout.root()
    }

    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// Takes in what journals say since the last time; true if anything changed.
    ///
    /// # Errors
    /// If the store or its database cannot be used.
    pub fn refresh(&self) -> Result<bool, Error> {
        let refreshed = self.with(&self.inner.writer, |db| ingest::refresh(self.layout(), db));
        match refreshed {
            Err(Error::Db(error)) if error.is_full() && !self.is_in_memory() => {
                // Of no use until there is room again, when the next process begins anew from where it stands.
                self.inner.disk_is_full.store(true, Ordering::Relaxed);
                *lock(&self.inner.writer) = None;
                self.with(&self.inner.writer, |db| ingest::refresh(self.layout(), db))
            }
            other => other,
        }
    }

    /// Whether the database is left alone and the journals are read.
    pub fn reads_journals_only(&self) -> bool {
        self.inner.journals_only.load(Ordering::Relaxed)
    }

    /// After a failure: leaves the database alone from now on where that was the cause, and reads the journals, as far as
    /// this program knows them. For looking at a store whose database is damaged or of a newer version. Gives the cause.
    pub fn read_journals_instead(&self) -> Option<Unusable> {
        let cause = (*lock(&self.inner.unusable))?;
        if !self.inner.journals_only.swap(true, Ordering::Relaxed) {
            *lock(&self.inner.writer) = None;
            *lock(&self.inner.reader) = None;
        }
        Some(cause)
    }

    /// Makes the database anew from the journals.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn rebuild(&self) -> Result<(), Error> {
        let emptied = self.with(&self.inner.writer, |db| {
            db.write(|writing| writing.clear().map_err(Error::from))?;
            ingest::refresh(self.layout(), db)
        });
        if let Err(Error::Db(DbError::Damaged { .. })) = emptied {
            // Too damaged to be emptied. Other processes go on with the files that they have open.
            *lock(&self.inner.writer) = None;
            *lock(&self.inner.reader) = None;
            db::remove(self.layout())?;
            self.refresh()?;
            return Ok(());
        }
        emptied.map(drop)
    }

    /// Runs a query.
    fn query<T>(&self, work: impl FnOnce(&Db) -> Result<T, Error>) -> Result<T, Error> {
        let inner = &self.inner;
        self.with(if self.is_in_memory() { &inner.writer } else { &inner.reader }, |db| work(db))
    }

    /// Whether the database is this process's own, since the project's cannot be written.
    fn is_in_memory(&self) -> bool {
        let set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        set(&self.inner.disk_is_full) || set(&self.inner.journals_only) || self.inner.layout.is_read_only()
    }

    fn with<T>(&self, slot: &Mutex<Option<Db>>, work: impl FnOnce(&mut Db) -> Result<T, Error>) -> Result<T, Error> {
        let done = self.with_open(slot, work);
        let unusable = match &done {
            Err(Error::Db(DbError::Damaged { .. })) => Some(Unusable::Damaged),
            Err(Error::Db(DbError::TooNew { .. })) => Some(Unusable::TooNew),
            _ => return done,
        };
        *lock(&self.inner.unusable) = unusable;
        done
    }

    fn with_open<T>(
        &self,
        slot: &Mutex<Option<Db>>,
        work: impl FnOnce(&mut Db) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut slot = lock(slot);
        let db = match slot.take() {
            Some(db) => slot.insert(db),
            // The journals can still be read, and hold everything.
            None if self.is_in_memory() => {
                let db = slot.insert(Db::in_memory(self.layout())?);
                ingest::refresh(self.layout(), db)?;
                db
            }
            None => slot.insert(Db::open(self.layout())?),
        };
        work(db)
    }
}

/// A panic in another thread leaves no half-written state behind: transactions roll back.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The root of the project that `start` lies in: the git work tree's, else the nearest folder with a store, else `start`.
pub(in crate::engine) fn root_of(start: &Path) -> PathBuf {
    if let Some(root) = versions::work_tree_root(start) {
        return root;
    }
    start.ancestors().find(|folder| folder.join(STORE_FOLDER).is_dir()).unwrap_or(start).to_owned()
}
