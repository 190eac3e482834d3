//! The database: what the journals say, arranged for questions. Derived data only; `rebuild` makes it anew.
//! The only user of rusqlite.

mod blob;
mod jobs;
mod placements;
mod runs;
mod schema;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

pub use jobs::{JobRow, SegmentRow};
pub use runs::{Appended, RunRow};

use crate::base::files::{FileError, at};
use crate::store::layout::Layout;

/// So long one process waits for the others that use the database.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database {} is newer (schema {found}) than this afterlog knows", path.display())]
    TooNew { path: PathBuf, found: i64 },
    #[error("the database {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("cannot {action} the database {}: {source}", path.display())]
    Sqlite { action: &'static str, path: PathBuf, source: rusqlite::Error },
}

impl DbError {
    /// Whether there was no room on the disk.
    pub fn is_full(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return false };
        source.sqlite_error_code() == Some(ErrorCode::DiskFull)
    }
}

/// An open database. One connection, one thread at a time.
pub struct Db {
    connection: Connection,
    path: PathBuf,
}

impl Db {
    /// Opens the project's database, made or migrated as needed.
    ///
    /// # Errors
    /// If it is newer, damaged, or cannot be opened.
    pub fn open(layout: &Layout) -> Result<Self, DbError> {
        let path = layout.database();
        Self::with(Connection::open(&path).map_err(failed("open", &path))?, path)
    }

    /// A database of this process's own, to be filled from the journals: where the project's cannot be written.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn in_memory(layout: &Layout) -> Result<Self, DbError> {
        let path = layout.database();
        Self::with(Connection::open_in_memory().map_err(failed("open", &path))?, path)
    }

    fn with(connection: Connection, path: PathBuf) -> Result<Self, DbError> {
        let db = Self { connection, path };
        // Several processes ingest and read at once: writers wait for one another instead of failing.
        db.connection.busy_timeout(PATIENCE).map_err(db.failed("open"))?;
        schema::prepare(&db)?;
        Ok(db)
    }

    /// Where ingestion of a journal stands: the offset to go on from and the state saved with it.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn journal(&self, source: &str) -> Result<(u64, Option<String>), DbError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT offset, state FROM journal WHERE source = ?1")
            .map_err(self.failed("read"))?;
        let row = statement
            .query_row([source], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))
            .optional()
            .map_err(self.failed("read"))?;
        Ok(row.unwrap_or_default())
    }

    /// Runs `work` in a transaction that other writers wait for; commits where it succeeds.
    ///
    /// # Errors
    /// What `work` or the commit gives.
    pub fn write<T, E: From<DbError>>(&mut self, work: impl FnOnce(&Writing<'_>) -> Result<T, E>) -> Result<T, E> {
        let path = self.path.clone();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("write", &path))?;
        let writing = Writing { transaction, path: &path };
        let result = work(&writing)?;
        writing.transaction.commit().map_err(failed("write", &path))?;
        Ok(result)
    }

    /// What SQLite's own check finds wrong; empty if nothing.
    ///
    /// # Errors
    /// If the check cannot run.
    pub fn check(&self) -> Result<Vec<String>, DbError> {
        let lines = self.texts("PRAGMA integrity_check(20)", [])?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(rusqlite::Error) -> DbError {
        failed(action, &self.path)
    }
}

/// Removes the database's files, if there are any: for one too damaged to be emptied.
///
/// # Errors
/// With the path, if one cannot be removed.
pub fn remove(layout: &Layout) -> Result<(), FileError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = layout.database().into_os_string();
        path.push(suffix);
        let path = PathBuf::from(path);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at("remove", &path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// A transaction under way.
pub struct Writing<'a> {
    transaction: rusqlite::Transaction<'a>,
    path: &'a Path,
}

impl Writing<'_> {
    /// Where ingestion of a journal stands, seen from inside the transaction.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn journal(&self, source: &str) -> Result<(u64, Option<String>), DbError> {
        self.transaction
            .query_row("SELECT offset, state FROM journal WHERE source = ?1", [source], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
            })
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(self.failed())
    }

    /// Moves a journal's offset on.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_journal(&self, source: &str, offset: u64, state: &str) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO journal (source, offset, state) VALUES (?1, ?2, ?3)
             ON CONFLICT (source) DO UPDATE SET offset = ?2, state = ?3",
            params![source, offset.cast_signed(), state],
        )
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), DbError> {
        let mut statement = self.transaction.prepare_cached(sql).map_err(self.failed())?;
        statement.execute(parameters).map(drop).map_err(self.failed())
    }

    fn failed(&self) -> impl FnOnce(rusqlite::Error) -> DbError {
        failed("write", self.path)
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> DbError {
    let path = path.to_owned();
    move |source| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            DbError::Damaged { path, what: source.to_string() }
        }
        _ => DbError::Sqlite { action, path, source },
    }
}
