//! Where statements landed, remembered by content.

use rusqlite::{OptionalExtension, params};

use super::{Db, DbError, Writing};

/// So many are kept; the oldest go first. One is about 2 kB.
const MOST: i64 = 20_000;

impl Db {
    /// What was kept under a key.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn placement(&self, key: &str) -> Result<Option<Vec<u8>>, DbError> {
        let mut statement =
            self.connection.prepare_cached("SELECT data FROM placement WHERE key = ?1").map_err(self.failed("read"))?;
        statement.query_row([key], |row| row.get(0)).optional().map_err(self.failed("read"))
    }
}

impl Writing<'_> {
    /// Keeps results under their keys.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn keep_placements(&self, found: &[(String, Vec<u8>)]) -> Result<(), DbError> {
        for (key, data) in found {
            self.execute("INSERT OR IGNORE INTO placement (key, data) VALUES (?1, ?2)", params![key, data])?;
        }
        self.execute("DELETE FROM placement WHERE rowid <= (SELECT max(rowid) FROM placement) - ?1", [MOST])
    }
}
