//! Runs: their list, their details, their output.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use crate::base::files::{self, at};
use crate::base::ids::RunId;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::engine::project::{Project, lock};
use crate::engine::{Error, stored};
use crate::model::instrument::InstrumentationPlan;
use crate::model::run::{Checkpoint, RunDetail, RunSummary, RunTimings};
use crate::store::chunks::ChunkStore;
use crate::store::db::RunRow;
use crate::store::layout::{Layout, names};

/// Noted of a run whose folder somebody removed.
pub const FOLDER_GONE: &str = "its folder in the store was deleted: its output and journals are gone, and what is \
                               shown is lost with the database";

#[derive(Deserialize)]
struct Stored {
    checkpoint: Checkpoint,
}

/// The packs that there are, and what lies in them.
pub(super) struct Packs {
    paths: Vec<PathBuf>,
    chunks: ChunkStore,
}

impl Packs {
    fn open(layout: &Layout) -> Option<Self> {
        let paths = ChunkStore::pack_paths(layout).ok()?;
        Some(Self { paths, chunks: ChunkStore::open(layout).ok()? })
    }
}

impl Project {
    /// All runs, oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn runs(&self) -> Result<Vec<RunSummary>, Error> {
        self.query(|db| Ok(db.summaries()?))
    }

    /// Notes with each of these runs whose folder is gone that it is.
    pub fn note_gone(&self, runs: &mut [RunSummary]) {
        // Without a list nothing is known of any.
        let Ok(there) = self.layout().run_ids() else { return };
        for run in runs.iter_mut().filter(|run| there.binary_search(&run.id).is_err()) {
            run.notes.push(FOLDER_GONE.to_owned());
        }
    }

    /// All that is known of one run.
    ///
    /// # Errors
    /// If there is no such run, or the database cannot be read.
    pub fn run_detail(&self, id: &RunId) -> Result<RunDetail, Error> {
        let (mut row, timings) = self.run_with_timings(id)?;
        if !self.layout().run(id).is_dir() {
            row.summary.notes.push(FOLDER_GONE.to_owned());
        }
        let stored = self.query(|db| Ok(db.checkpoints(id)?))?;
        // What does not parse was noted on the run when it was ingested.
        let checkpoints = stored.iter().filter_map(|json| serde_json::from_str::<Stored>(json).ok());
        let checkpoints = checkpoints.map(|stored| stored.checkpoint).collect();
        Ok(RunDetail { summary: row.summary, meta: row.meta, timings, checkpoints })
    }

    /// A run's row and all of its timings.
    pub(in crate::engine) fn run_with_timings(&self, id: &RunId) -> Result<(RunRow, RunTimings), Error> {
        self.query(|db| {
            let mut row = db.run(id)?.ok_or_else(|| Error::UnknownRun(id.to_string()))?;
            let mut timings = std::mem::take(&mut row.timings);
            timings.iterations.splice(0..0, db.left_iterations(id)?);
            Ok((row, timings))
        })
    }

    /// The checkpoints of the ranks of a run beside the first, by rank; none where Python ran the script by itself. What
    /// cannot be read is left out: `fsck` says so.
    pub fn checkpoints_of_others(&self, id: &RunId) -> Vec<(u64, Vec<Checkpoint>)> {
        let ranks = self.layout().ranks(id).into_iter().filter(|rank| *rank > 0);
        let kept = |rank| stored::kept(self.layout(), id, rank).unwrap_or_default();
        ranks.map(|rank| (rank, kept(rank).into_iter().map(|stored| stored.checkpoint).collect())).collect()
    }

    /// How many checkpoints of a run were given up to save space, as far as that can be read.
    pub fn checkpoints_given_up(&self, id: &RunId) -> usize {
        stored::dropped(self.layout(), id, 0).map_or(0, |dropped| dropped.len())
    }

    /// The checkpoints of a run, by their number, whose bytes are not there: a pack is gone, or its records cannot be found.
    /// Whether those that are there are sound is for `fsck` and whoever reads them.
    pub fn checkpoints_unreadable(&self, id: &RunId) -> Vec<u64> {
        let stored = self.stored_checkpoints(id).unwrap_or_default();
        let mut packs = lock(&self.inner.packs);
        let missing = |packs: &Packs| -> Vec<u64> {
            let holds = |stored: &&StoredCheckpoint| stored.all_buffers().all(|buffer| packs.chunks.holds(buffer));
            stored.iter().filter(|stored| !holds(stored)).map(|stored| stored.checkpoint.seq).collect()
        };
        if let Some(known) = packs.as_ref() {
            let there = ChunkStore::pack_paths(self.layout()).unwrap_or_default();
            if known.paths.iter().all(|path| there.binary_search(path).is_ok()) && missing(known).is_empty() {
                return Vec::new();
            }
        }
        // One was removed, or there is more by now.
        *packs = Packs::open(self.layout());
        packs.as_ref().map(missing).unwrap_or_default()
    }

    /// Every name that any run or replay logged, in the order of the alphabet.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn all_names(&self) -> Result<Vec<String>, Error> {
        self.query(|db| Ok(db.all_names()?))
    }

    /// The end of what a run wrote to standard output and standard error.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn output(&self, id: &RunId, max_bytes: u64) -> Result<String, Error> {
        tail(&self.layout().run(id).join(names::OUTPUT), max_bytes)
    }

    /// The plan that the run was recorded with; an empty one if its file is gone or damaged.
    pub fn instrumentation(&self, id: &RunId) -> InstrumentationPlan {
        let json = files::read(&self.layout().run(id).join(names::INSTRUMENTATION)).ok();
        json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }
}

/// The last bytes of a file as text, from a line's beginning where something is cut; empty if there is no file.
pub(super) fn tail(path: &std::path::Path, max_bytes: u64) -> Result<String, Error> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(at("open", path)(error).into()),
    };
    let length = file.metadata().map_err(at("read", path))?.len();
    let start = length.saturating_sub(max_bytes);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))
        .and_then(|_| file.take(max_bytes).read_to_end(&mut bytes))
        .map_err(at("read", path))?;
    let text = String::from_utf8_lossy(&bytes);
    let cut = if start == 0 { None } else { text.split_once('\n').map(|(_, rest)| rest) };
    Ok(cut.unwrap_or(&text).to_owned())
}
