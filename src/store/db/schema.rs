//! The schema and its migrations: entry `n` of the table leads from schema version `n` to `n + 1`.

use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::{Db, DbError, PATIENCE};

const MIGRATIONS: [&str; 4] = [
    r"
    -- How far each journal has been read, and the reader's state there (JSON).
    CREATE TABLE journal (source TEXT PRIMARY KEY, offset INTEGER NOT NULL, state TEXT) WITHOUT ROWID;
    -- A run as listed and as detailed (JSON of model::run). `settled`: its process has ended and all was read.
    CREATE TABLE run (id TEXT PRIMARY KEY, settled INTEGER NOT NULL, summary TEXT NOT NULL, meta TEXT NOT NULL,
        timings TEXT NOT NULL);
    -- Logged values, a chunk of a column a row. `source` is a run, or job/segment. `is_loop` marks the iterated
    -- values of the loop `name`. `loops` is the JSON list of enclosing loops.
    CREATE TABLE chunk (
        source TEXT NOT NULL, is_loop INTEGER NOT NULL, name TEXT NOT NULL, loops TEXT NOT NULL, seq INTEGER NOT NULL,
        rows INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (source, is_loop, name, loops, seq));
    -- Replay jobs: names (JSON list), start, and `settled` as for runs.
    CREATE TABLE job (id TEXT PRIMARY KEY, settled INTEGER NOT NULL, names TEXT NOT NULL, started_ms INTEGER NOT NULL);
    -- Stored checkpoints: model::run::Checkpoint and the stored buffers, both JSON.
    CREATE TABLE checkpoint (
        run TEXT NOT NULL, seq INTEGER NOT NULL, checkpoint TEXT NOT NULL, PRIMARY KEY (run, seq)) WITHOUT ROWID;
    -- Segments of replay jobs: what they were for and how they stand (JSON of model::job).
    CREATE TABLE segment (
        job TEXT NOT NULL, id INTEGER NOT NULL, run TEXT NOT NULL, probe_hash TEXT NOT NULL, names TEXT NOT NULL,
        wanted TEXT NOT NULL, status TEXT NOT NULL, report TEXT, PRIMARY KEY (job, id)) WITHOUT ROWID;
    CREATE INDEX segment_run ON segment (run);
",
    r"
    -- Timings of main-loop iterations that were left, a stretch of them a row (JSON list), so that a live run's are
    -- written once. `run.timings` holds the rest.
    CREATE TABLE iteration (
        run TEXT NOT NULL, seq INTEGER NOT NULL, rows INTEGER NOT NULL, timings TEXT NOT NULL,
        PRIMARY KEY (run, seq)) WITHOUT ROWID;
    -- Emptied, the database is filled again from the journals.
    DELETE FROM journal; DELETE FROM run; DELETE FROM chunk; DELETE FROM job; DELETE FROM checkpoint;
    DELETE FROM segment;
",
    r"
    -- Where statements land, by content: of source, statements, target and the program that placed them. Oldest first.
    CREATE TABLE placement (key TEXT PRIMARY KEY, data BLOB NOT NULL);
",
    r"
    -- Lists compare what runs were started with: `RunMeta::command`, also of runs whose journals are gone.
    UPDATE run SET summary = json_set(summary, '$.command', json((SELECT json_group_array(word) FROM (
        SELECT value AS word FROM json_each(run.meta, '$.launcher')
        UNION ALL SELECT value FROM json_each(run.meta, '$.python_flags')
        UNION ALL SELECT '-m ' || json_extract(run.meta, '$.module')
            WHERE json_extract(run.meta, '$.module') IS NOT NULL
        UNION ALL SELECT value FROM json_each(run.meta, '$.args')))))
        WHERE json_valid(summary) AND json_valid(meta);
",
];

/// Every table, for emptying them all.
pub(super) const TABLES: [&str; 8] =
    ["journal", "run", "iteration", "chunk", "checkpoint", "job", "segment", "placement"];

/// Brings the database to the newest schema.
pub(super) fn prepare(db: &Db) -> Result<(), DbError> {
    let connection = &db.connection;
    let version = || connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let mut at = version().map_err(db.failed("open"))?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if at > newest {
        return Err(DbError::TooNew { path: db.path.clone(), found: at });
    }
    // A reader of a database that is up to date must not wait for a writer here.
    if at < newest {
        switch_to_wal(connection).map_err(db.failed("open"))?;
        connection.execute_batch("BEGIN IMMEDIATE").map_err(db.failed("migrate"))?;
        // Another process may have migrated while this one waited.
        at = version().map_err(db.failed("migrate"))?;
        for (number, migration) in (0..).zip(MIGRATIONS) {
            if number >= at {
                let sql = format!("{migration}; PRAGMA user_version = {};", number + 1);
                connection.execute_batch(&sql).map_err(db.failed("migrate"))?;
            }
        }
        connection.execute_batch("COMMIT").map_err(db.failed("migrate"))?;
    }
    connection.execute_batch("PRAGMA synchronous = NORMAL;").map_err(db.failed("open"))
}

/// Has the database use a write-ahead log. SQLite does not wait for other processes here, which may be doing the same to a
/// database that is just made: so this does.
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let switched = connection.execute_batch("PRAGMA journal_mode = WAL;");
        let is_busy = switched.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !is_busy || Instant::now() >= deadline {
            return switched;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
