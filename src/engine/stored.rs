//! What the recorder of a run's process stored, and which of it was removed on purpose since: two files in its folder, no
//! database.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::store::journal::{self, Event};
use crate::store::layout::{Layout, names};

/// A stretch of a recorder's journal.
#[derive(Debug, Default)]
pub struct Stored {
    pub checkpoints: Vec<StoredCheckpoint>,
    /// Where to go on reading.
    pub next_offset: u64,
    /// Whether something that cannot be read may have named further checkpoints.
    pub damaged: bool,
}

/// Reads what the recorder of one rank of a run stored, from an offset on.
///
/// # Errors
/// If its journal cannot be read.
pub fn read(layout: &Layout, run: &RunId, rank: u64, offset: u64) -> Result<Stored, Error> {
    let path = layout.rank(run, rank).join(names::RECORDER);
    let mut stored = Stored { next_offset: offset, ..Stored::default() };
    loop {
        let batch = journal::read_from(&path, stored.next_offset)?;
        stored.damaged |= !batch.damage.is_empty();
        for event in &batch.events {
            let Event::Stored(json) = event else { continue };
            match serde_json::from_str(json) {
                Ok(checkpoint) => stored.checkpoints.push(checkpoint),
                Err(_) => stored.damaged = true,
            }
        }
        stored.next_offset = batch.next_offset;
        if !batch.more {
            return Ok(stored);
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Dropped {
    /// Sequence numbers.
    dropped: BTreeSet<u64>,
}

/// The checkpoints of one rank of a run that were not removed on purpose, in order of capture.
///
/// # Errors
/// If its journal cannot be read, or the file that says what was removed is damaged.
pub fn kept(layout: &Layout, run: &RunId, rank: u64) -> Result<Vec<StoredCheckpoint>, Error> {
    let dropped = dropped(layout, run, rank)?;
    let mut stored = read(layout, run, rank, 0)?.checkpoints;
    stored.retain(|stored| !dropped.contains(&stored.checkpoint.seq));
    Ok(stored)
}

/// The checkpoints of one rank of a run that were removed on purpose.
///
/// # Errors
/// If the file that says so is damaged.
pub fn dropped(layout: &Layout, run: &RunId, rank: u64) -> Result<BTreeSet<u64>, Error> {
    let path = layout.rank(run, rank).join(names::DROPPED);
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let parsed = serde_json::from_slice::<Dropped>(&files::read(&path)?);
    Ok(parsed.map_err(|error| Error::BadFile { path, what: error.to_string() })?.dropped)
}

/// Notes that checkpoints are given up. Only afterwards may anything of them be removed. To be called under the packs'
/// exclusive lock.
///
/// # Errors
/// If it cannot be written.
pub fn give_up(layout: &Layout, run: &RunId, rank: u64, checkpoints: &BTreeSet<u64>) -> Result<(), Error> {
    let mut all = dropped(layout, run, rank)?;
    all.extend(checkpoints);
    let json = serde_json::to_vec(&Dropped { dropped: all }).unwrap_or_default();
    let folder = layout.rank(run, rank);
    files::write_atomic(&folder.join(names::DROPPED), &json)?;
    Ok(files::sync(&folder)?)
}
