//! Runs, their columns and their checkpoints.

use rusqlite::{OptionalExtension, params};

use super::{Db, DbError, Writing, blob};
use crate::base::ids::RunId;
use crate::model::column::Column;
use crate::model::run::{RunMeta, RunSummary, RunTimings};

/// Rows of a column in one chunk at most, so that a window can be read without the rest.
const CHUNK_ROWS: usize = 65_536;

/// A run as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    pub summary: RunSummary,
    pub meta: RunMeta,
    pub timings: RunTimings,
}

/// A piece of a column to append: of a logged name, or of a loop's iterated values.
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    pub is_loop: bool,
    pub name: String,
    pub column: Column,
}

impl Db {
    /// All runs, oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn summaries(&self) -> Result<Vec<RunSummary>, DbError> {
        let texts = self.texts("SELECT summary FROM run ORDER BY id", [])?;
        texts.iter().map(|text| self.parse(text)).collect()
    }

    /// One run.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn run(&self, id: &RunId) -> Result<Option<RunRow>, DbError> {
        let row = self
            .connection
            .query_row("SELECT summary, meta, timings FROM run WHERE id = ?1", [id.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })
            .optional()
            .map_err(self.failed("read"))?;
        row.map(|(summary, meta, timings)| {
            Ok(RunRow { summary: self.parse(&summary)?, meta: self.parse(&meta)?, timings: self.parse(&timings)? })
        })
        .transpose()
    }

    /// The columns of a name logged by a source (a run, or `job/segment`), one for each path of loops; with `is_loop`
    /// the iterated values of the loop of that name.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn columns(&self, source: &str, is_loop: bool, name: &str) -> Result<Vec<Column>, DbError> {
        let sql = "SELECT loops, data FROM chunk WHERE source = ?1 AND is_loop = ?2 AND name = ?3 ORDER BY loops, seq";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed("read"))?;
        let mut rows = statement.query(params![source, is_loop, name]).map_err(self.failed("read"))?;
        let mut columns: Vec<Column> = Vec::new();
        while let Some(row) = rows.next().map_err(self.failed("read"))? {
            let loops: String = row.get(0).map_err(self.failed("read"))?;
            let loops: Vec<String> = self.parse(&loops)?;
            let data = row.get_ref(1).and_then(|data| Ok(data.as_blob()?)).map_err(self.failed("read"))?;
            let column = blob::decode(loops, data).ok_or_else(|| self.damaged("a chunk of values does not decode"))?;
            match columns.last_mut() {
                Some(last) if last.loops == column.loops => last.extend(column),
                _ => columns.push(column),
            }
        }
        Ok(columns)
    }

    /// Names logged by a source.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn names(&self, source: &str) -> Result<Vec<String>, DbError> {
        self.texts("SELECT DISTINCT name FROM chunk WHERE source = ?1 AND is_loop = 0", [source])
    }

    /// Loops of a source whose iterated values are kept.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn valued_loops(&self, source: &str) -> Result<Vec<String>, DbError> {
        self.texts("SELECT DISTINCT name FROM chunk WHERE source = ?1 AND is_loop = 1", [source])
    }

    /// The JSON of a run's stored checkpoints, in order of capture.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn checkpoints(&self, run: &RunId) -> Result<Vec<String>, DbError> {
        self.texts("SELECT checkpoint FROM checkpoint WHERE run = ?1 ORDER BY seq", [run.as_str()])
    }

    pub(super) fn texts(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<String>, DbError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed("read"))?;
        let rows = statement.query_map(parameters, |row| row.get(0)).map_err(self.failed("read"))?;
        rows.collect::<Result<_, _>>().map_err(self.failed("read"))
    }

    pub(super) fn parse<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, DbError> {
        serde_json::from_str(text).map_err(|error| self.damaged(&error.to_string()))
    }

    fn damaged(&self, what: &str) -> DbError {
        DbError::Damaged { path: self.path.clone(), what: what.to_owned() }
    }
}

impl Writing<'_> {
    /// Writes a run's row.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_run(&self, row: &RunRow) -> Result<(), DbError> {
        self.execute(
            "INSERT OR REPLACE INTO run (id, summary, meta, timings) VALUES (?1, ?2, ?3, ?4)",
            params![row.summary.id.as_str(), json(&row.summary), json(&row.meta), json(&row.timings)],
        )
    }

    /// Appends values to a source's columns.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn append(&self, source: &str, pieces: &[Appended]) -> Result<(), DbError> {
        for piece in pieces {
            let loops = json(&piece.column.loops);
            let seq: i64 = self
                .transaction
                .query_row(
                    "SELECT COALESCE(MAX(seq) + 1, 0) FROM chunk
                     WHERE source = ?1 AND is_loop = ?2 AND name = ?3 AND loops = ?4",
                    params![source, piece.is_loop, piece.name, loops],
                    |row| row.get(0),
                )
                .map_err(self.failed())?;
            let rows = i64::try_from(piece.column.len()).unwrap_or(i64::MAX);
            self.execute(
                "INSERT INTO chunk (source, is_loop, name, loops, seq, rows, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![source, piece.is_loop, piece.name, loops, seq, rows, blob::encode(&piece.column)],
            )?;
        }
        Ok(())
    }

    /// Joins the many small chunks that live ingestion leaves into few large ones.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn compact(&self, db_columns: &[Appended], source: &str) -> Result<(), DbError> {
        self.execute("DELETE FROM chunk WHERE source = ?1", params![source])?;
        for piece in db_columns {
            self.append(source, &split(piece))?;
        }
        Ok(())
    }

    /// Keeps a stored checkpoint.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_checkpoint(&self, run: &RunId, seq: u64, stored: &str) -> Result<(), DbError> {
        self.execute(
            "INSERT OR REPLACE INTO checkpoint (run, seq, checkpoint) VALUES (?1, ?2, ?3)",
            params![run.as_str(), seq.cast_signed(), stored],
        )
    }
}

fn split(piece: &Appended) -> Vec<Appended> {
    let column = &piece.column;
    let starts = (0..column.len()).step_by(CHUNK_ROWS);
    starts
        .map(|start| {
            let rows = start..(start + CHUNK_ROWS).min(column.len());
            let mut part = Column::under(column.loops.clone());
            part.indices = column.indices.iter().map(|indices| indices[rows.clone()].to_vec()).collect();
            part.values = column.values.slice(rows);
            Appended { column: part, ..piece.clone_without_values() }
        })
        .collect()
}

impl Appended {
    fn clone_without_values(&self) -> Self {
        Self { is_loop: self.is_loop, name: self.name.clone(), column: Column::default() }
    }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    // Serialising plain data of ours cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}
