//! Replay jobs and their segments.

use std::path::Path;

use rusqlite::params;

use super::runs::json;
use super::{Db, DbError, Writing, failed};
use crate::base::ids::{JobId, RunId};
use crate::model::job::{CheckReport, SegmentStatus};

/// A segment as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentRow {
    pub job: JobId,
    pub run: RunId,
    pub probe_hash: String,
    /// Names that the segment computes.
    pub names: Vec<String>,
    /// Iterations that it was asked for.
    pub wanted: Vec<u64>,
    pub status: SegmentStatus,
    /// The deferred check, once the segment has ended.
    pub report: Option<CheckReport>,
}

impl SegmentRow {
    /// The source under which its values are kept.
    pub fn source(&self) -> String {
        format!("{}/{}", self.job, self.status.id)
    }
}

/// A job as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    pub id: JobId,
    /// Its coordinator has ended and its journals were read to the end.
    pub settled: bool,
    pub names: Vec<String>,
    pub started_ms: i64,
}

impl Db {
    /// All jobs, oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn jobs(&self) -> Result<Vec<JobRow>, DbError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, settled, names, started_ms FROM job ORDER BY id")
            .map_err(self.failed("read"))?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?)))
            .map_err(self.failed("read"))?;
        let texts: Vec<_> = rows.collect::<Result<_, _>>().map_err(self.failed("read"))?;
        let row = |(id, settled, names, started_ms): (String, bool, String, i64)| {
            Ok(JobRow { id: self.parse(&format!("{id:?}"))?, settled, names: self.parse(&names)?, started_ms })
        };
        texts.into_iter().map(row).collect()
    }

    /// All segments of all jobs, oldest job first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn segments(&self) -> Result<Vec<SegmentRow>, DbError> {
        self.query_segments(
            "SELECT job, run, probe_hash, names, wanted, status, report FROM segment ORDER BY job, id",
            [],
        )
    }

    fn query_segments(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<SegmentRow>, DbError> {
        read_segments(&self.connection, &self.path, sql, parameters)
    }
}

fn read_segments(
    connection: &rusqlite::Connection,
    path: &Path,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<SegmentRow>, DbError> {
    type Texts = (String, String, String, String, String, String, Option<String>);
    let mut statement = connection.prepare_cached(sql).map_err(failed("read", path))?;
    let rows = statement
        .query_map(parameters, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        })
        .map_err(failed("read", path))?;
    let texts: Vec<Texts> = rows.collect::<Result<_, _>>().map_err(failed("read", path))?;
    let row = |(job, run, probe_hash, names, wanted, status, report): Texts| {
        Ok(SegmentRow {
            job: parse(path, &format!("{job:?}"))?,
            run: parse(path, &format!("{run:?}"))?,
            probe_hash,
            names: parse(path, &names)?,
            wanted: parse(path, &wanted)?,
            status: parse(path, &status)?,
            report: report.map(|report| parse(path, &report)).transpose()?,
        })
    };
    texts.into_iter().map(row).collect()
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| DbError::Damaged { path: path.to_owned(), what: error.to_string() })
}

impl Writing<'_> {
    /// The segments of a job, seen from inside the transaction.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn segments_of_job(&self, job: &JobId) -> Result<Vec<SegmentRow>, DbError> {
        let sql = "SELECT job, run, probe_hash, names, wanted, status, report FROM segment WHERE job = ?1 ORDER BY id";
        read_segments(&self.transaction, self.path, sql, [job.as_str()])
    }

    /// Writes a job's row.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_job(&self, row: &JobRow) -> Result<(), DbError> {
        self.execute(
            "INSERT OR REPLACE INTO job (id, settled, names, started_ms) VALUES (?1, ?2, ?3, ?4)",
            params![row.id.as_str(), row.settled, json(&row.names), row.started_ms],
        )
    }

    /// Writes a segment's row.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn set_segment(&self, row: &SegmentRow) -> Result<(), DbError> {
        self.execute(
            "INSERT OR REPLACE INTO segment (job, id, run, probe_hash, names, wanted, status, report)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                row.job.as_str(),
                row.status.id,
                row.run.as_str(),
                row.probe_hash,
                json(&row.names),
                json(&row.wanted),
                json(&row.status),
                row.report.as_ref().map(json),
            ],
        )
    }
}
