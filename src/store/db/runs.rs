//! Runs, their columns and their checkpoints.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};

use super::{Db, DbError, Writing, blob};
use crate::base::ids::RunId;
use crate::model::column::Column;
use crate::model::run::{IterationTiming, RunMeta, RunSummary, RunTimings};

/// Rows of a column in one chunk at most, so that a window can be read without the rest.
const CHUNK_ROWS: usize = 65_536;
/// A last chunk with fewer rows is rewritten when rows come.
const SMALL_ROWS: i64 = 4096;

/// A last stretch of fewer iterations is rewritten when iterations come.
const SMALL_ITERATIONS: i64 = 256;

/// A run as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its process has ended and its journals were read to the end: nothing more will come.
    pub settled: bool,
    pub summary: RunSummary,
    pub meta: RunMeta,
    /// Of the iterations only the one that is open: see [`Db::left_iterations`].
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
        read_run(&self.connection, id, || self.failed("read"), |what| self.damaged(what))
    }

    /// Timings of the main-loop iterations that a run has left, in order.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn left_iterations(&self, id: &RunId) -> Result<Vec<IterationTiming>, DbError> {
        let stretches = self.texts("SELECT timings FROM iteration WHERE run = ?1 ORDER BY seq", [id.as_str()])?;
        let mut all = Vec::new();
        for stretch in stretches {
            all.extend(self.parse::<Vec<IterationTiming>>(&stretch)?);
        }
        Ok(all)
    }

    /// Ids of the runs that need not be looked at again.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn settled_runs(&self) -> Result<std::collections::HashSet<String>, DbError> {
        Ok(self.texts("SELECT id FROM run WHERE settled", [])?.into_iter().collect())
    }

    /// Every logged name, of recordings and replays, in the order of the alphabet.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn all_names(&self) -> Result<Vec<String>, DbError> {
        self.texts("SELECT DISTINCT name FROM chunk WHERE is_loop = 0 ORDER BY name", [])
    }

    /// Every loop around a logged value, as a grid names them: inside one of the same name, with a number.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn all_loops(&self) -> Result<BTreeSet<String>, DbError> {
        let mut all = BTreeSet::new();
        for path in self.texts("SELECT DISTINCT loops FROM chunk WHERE is_loop = 0", [])? {
            let path: Vec<String> = self.parse(&path)?;
            for (depth, name) in path.iter().enumerate() {
                let around = path[..depth].iter().filter(|other| *other == name).count();
                all.insert(if around == 0 { name.clone() } else { format!("{name}_{}", around + 1) });
            }
        }
        Ok(all)
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

fn read_run<F: FnOnce(rusqlite::Error) -> DbError>(
    connection: &rusqlite::Connection,
    id: &RunId,
    failed: impl Fn() -> F,
    damaged: impl Fn(&str) -> DbError,
) -> Result<Option<RunRow>, DbError> {
    let sql = "SELECT settled, summary, meta, timings FROM run WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(failed())?;
    let row = statement
        .query_row([id.as_str()], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        })
        .optional()
        .map_err(failed())?;
    let Some((settled, summary, meta, timings)) = row else { return Ok(None) };
    let damaged = |error: serde_json::Error| damaged(&error.to_string());
    Ok(Some(RunRow {
        settled,
        summary: serde_json::from_str(&summary).map_err(damaged)?,
        meta: serde_json::from_str(&meta).map_err(damaged)?,
        timings: serde_json::from_str(&timings).map_err(damaged)?,
    }))
}

impl Writing<'_> {
    /// One run, seen from inside the transaction.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn run(&self, id: &RunId) -> Result<Option<RunRow>, DbError> {
        let damaged = |what: &str| DbError::Damaged { path: self.path.to_owned(), what: what.to_owned() };
        read_run(&self.transaction, id, || self.failed(), damaged)
    }

    /// Writes a run's row.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_run(&self, row: &RunRow) -> Result<(), DbError> {
        self.execute(
            "INSERT OR REPLACE INTO run (id, settled, summary, meta, timings) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![row.summary.id.as_str(), row.settled, json(&row.summary), json(&row.meta), json(&row.timings)],
        )
    }

    /// Appends timings of iterations that a run has left.
    ///
    /// # Errors
    /// If the database cannot be written or holds a stretch that does not parse.
    pub fn append_iterations(&self, id: &RunId, left: &[IterationTiming]) -> Result<(), DbError> {
        if left.is_empty() {
            return Ok(());
        }
        let last = "SELECT seq, rows, timings FROM iteration WHERE run = ?1 ORDER BY seq DESC LIMIT 1";
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?));
        let (seq, mut stretch) = match self.transaction.query_row(last, [id.as_str()], row).optional() {
            Ok(None) => (0, Vec::new()),
            Ok(Some((seq, rows, _))) if rows >= SMALL_ITERATIONS => (seq + 1, Vec::new()),
            Ok(Some((seq, _, json))) => {
                let damaged =
                    |error: serde_json::Error| DbError::Damaged { path: self.path.to_owned(), what: error.to_string() };
                (seq, serde_json::from_str::<Vec<IterationTiming>>(&json).map_err(damaged)?)
            }
            Err(error) => return Err(self.failed()(error)),
        };
        stretch.extend_from_slice(left);
        let rows = i64::try_from(stretch.len()).unwrap_or(i64::MAX);
        self.execute(
            "INSERT OR REPLACE INTO iteration (run, seq, rows, timings) VALUES (?1, ?2, ?3, ?4)",
            params![id.as_str(), seq, rows, json(&stretch)],
        )
    }

    /// Removes all values of a source.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn remove_columns(&self, source: &str) -> Result<(), DbError> {
        self.execute("DELETE FROM chunk WHERE source = ?1", params![source])
    }

    /// Appends values to a source's columns. A small last chunk is rewritten with the new rows behind its own, so
    /// that live ingestion leaves few chunks.
    ///
    /// # Errors
    /// If the database cannot be written or a chunk is damaged.
    pub fn append(&self, source: &str, pieces: &[Appended]) -> Result<(), DbError> {
        let is_known = self.has_columns(source)?;
        let mut pieces: Vec<&Appended> = pieces.iter().filter(|piece| !piece.column.is_empty()).collect();
        // As the table's index is: of a million names each row then goes beside the one before.
        pieces.sort_by_key(|piece| (piece.is_loop, &piece.name));
        let mut before = None;
        for piece in pieces {
            let loops = json(&piece.column.loops);
            let key = params![source, piece.is_loop, piece.name, loops];
            // Of a new source only what was appended just now can be there.
            let is_there =
                is_known || before.replace((piece.is_loop, &piece.name)) == Some((piece.is_loop, &piece.name));
            let (mut seq, last) = if is_there { self.last_chunk(key, &piece.column.loops)? } else { (0, None) };
            let joined = last.map(|mut column| {
                column.extend(piece.column.clone());
                column
            });
            let column = joined.as_ref().unwrap_or(&piece.column);
            for start in (0..column.len()).step_by(CHUNK_ROWS) {
                let part = column.slice(start..(start + CHUNK_ROWS).min(column.len()));
                let rows = i64::try_from(part.len()).unwrap_or(i64::MAX);
                self.execute(
                    "INSERT OR REPLACE INTO chunk (source, is_loop, name, loops, seq, rows, data)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![source, piece.is_loop, piece.name, loops, seq, rows, blob::encode(&part)],
                )?;
                seq += 1;
            }
        }
        Ok(())
    }

    /// Whether there are any values of a source.
    fn has_columns(&self, source: &str) -> Result<bool, DbError> {
        let read = || {
            let mut statement = self.transaction.prepare_cached("SELECT 1 FROM chunk WHERE source = ?1 LIMIT 1")?;
            statement.exists([source])
        };
        read().map_err(self.failed())
    }

    /// The number of the chunk to write next and, if that replaces a small last one, that one's rows.
    fn last_chunk(&self, key: &[&dyn rusqlite::ToSql], loops: &[String]) -> Result<(i64, Option<Column>), DbError> {
        let read = || {
            let mut statement = self.transaction.prepare_cached(
                "SELECT seq, rows, data FROM chunk WHERE source = ?1 AND is_loop = ?2 AND name = ?3 AND loops = ?4
                 ORDER BY seq DESC LIMIT 1",
            )?;
            let row = |row: &rusqlite::Row<'_>| {
                let (seq, rows): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok(if rows < SMALL_ROWS { (seq, Some(row.get::<_, Vec<u8>>(2)?)) } else { (seq + 1, None) })
            };
            statement.query_row(key, row).optional()
        };
        let (seq, data) = read().map_err(self.failed())?.unwrap_or_default();
        let column = data.map(|data| {
            let damaged =
                || DbError::Damaged { path: self.path.to_owned(), what: "a chunk of values does not decode".into() };
            blob::decode(loops.to_vec(), &data).ok_or_else(damaged)
        });
        Ok((seq, column.transpose()?))
    }

    /// Forgets everything, so that it can be ingested again.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn clear(&self) -> Result<(), DbError> {
        super::schema::TABLES.iter().try_for_each(|table| self.execute(&format!("DELETE FROM {table}"), []))
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

    /// Forgets a stored checkpoint.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn remove_checkpoint(&self, run: &RunId, seq: u64) -> Result<(), DbError> {
        self.execute("DELETE FROM checkpoint WHERE run = ?1 AND seq = ?2", params![run.as_str(), seq.cast_signed()])
    }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    // Serialising plain data of ours cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::base::ids::RunId;
    use crate::model::column::Column;
    use crate::model::run::IterationTiming;
    use crate::model::value::Value;
    use crate::store::db::{Appended, Db, DbError};
    use crate::store::layout::Layout;

    #[test]
    fn columns_of_one_name_appended_together_and_later_come_back_whole() {
        let dir = tempfile::tempdir().expect("folder");
        let mut db = Db::open(&Layout::create(dir.path()).expect("a store")).expect("opens");
        let piece = |name: &str, loops: &[&str], x: i64| {
            let mut column = Column::under(loops.iter().map(|&name| name.to_owned()).collect());
            column.push(&vec![0; loops.len()], Value::Int(x));
            Appended { is_loop: false, name: name.into(), column }
        };
        // Of a new source, and then of one that is known.
        for added in [0, 10] {
            let pieces = [
                piece("b", &[], 1 + added),
                piece("a", &["e"], 2 + added),
                piece("b", &["e"], 3 + added),
                piece("b", &[], 4 + added),
            ];
            db.write(|writing| writing.append("run", &pieces)).expect("appends");
        }
        let values = |name: &str| -> Vec<Vec<Value>> {
            let columns = db.columns("run", false, name).expect("reads");
            columns.iter().map(|column| (0..column.len()).map(|at| column.values.get(at)).collect()).collect()
        };
        assert_eq!(values("a"), [[2, 12].map(Value::Int)]);
        let mut found = values("b");
        found.sort_by_key(Vec::len);
        assert_eq!(found, [[3, 13].map(Value::Int).to_vec(), [1, 4, 11, 14].map(Value::Int).to_vec()]);
    }

    #[test]
    fn iterations_appended_bit_by_bit_come_back_whole_in_few_stretches() {
        let dir = tempfile::tempdir().expect("folder");
        let mut db = Db::open(&Layout::create(dir.path()).expect("a store")).expect("opens");
        let (run, other): (RunId, RunId) = ("000000000a".parse().expect("id"), "000000000b".parse().expect("id"));
        let all: Vec<IterationTiming> = (0..1500)
            .map(|total_ns| IterationTiming { total_ns, blocks: vec![("b".into(), 1)], complete: true })
            .collect();
        let mut rest = &all[..];
        for size in [0, 1, 2, 700, 1, 400, 1, 1].into_iter().chain([0; 3]).chain([1; 394]) {
            let (now, later) = rest.split_at(size);
            db.write(|writing| writing.append_iterations(&run, now)).expect("appends");
            rest = later;
        }
        assert!(rest.is_empty());
        assert_eq!(db.left_iterations(&run).expect("reads"), all);
        assert!(db.left_iterations(&other).expect("reads").is_empty());
        let stretches = db.texts("SELECT timings FROM iteration", []).expect("reads").len();
        assert!((2..=6).contains(&stretches), "{stretches}");
        db.write(|writing| writing.clear()).map_err(|error: DbError| error).expect("clears");
        assert!(db.left_iterations(&run).expect("reads").is_empty());
    }
}
