//! Takes what journals say into the database: incrementally, each byte once, whoever else is doing the same.
//!
//! A transaction covers an ingested stretch together with the offset it ends at, so that a crash or a second ingester
//! changes nothing. Damage in a journal becomes a note on its run; only the database itself can make this fail.

mod causes;
mod check;
mod clock;
mod fold;
mod given;
mod job;
mod printed;
mod run;
mod summary;
mod timing;

pub use printed::printed_columns;

use std::path::Path;

use crate::engine::Error;
use crate::store::db::Db;
use crate::store::journal::{self, JournalError};
use crate::store::layout::{Layout, names};

/// Ingests what is new in all journals; true if anything changed.
///
/// # Errors
/// If the store's folders or the database cannot be used.
pub fn refresh(layout: &Layout, db: &mut Db) -> Result<bool, Error> {
    let mut changed = false;
    let settled = db.settled_runs()?;
    for id in layout.run_ids()? {
        if !settled.contains(id.as_str()) {
            changed |= run::ingest(layout, db, &id)?;
        }
    }
    changed |= job::ingest_all(layout, db)?;
    Ok(changed)
}

/// Forgets the checkpoints that runs have given up since they were ingested.
///
/// # Errors
/// If the store's folders or the database cannot be used.
pub fn forget_dropped(layout: &Layout, db: &mut Db) -> Result<(), Error> {
    layout.run_ids()?.iter().try_for_each(|id| run::forget_dropped(layout, db, id))
}

/// The name under which a journal is known to the database: its path within the store.
pub fn source(layout: &Layout, journal: &Path) -> String {
    journal.strip_prefix(layout.store()).unwrap_or(journal).to_string_lossy().into_owned()
}

/// Length of a file, 0 if there is none.
fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// A stretch of a journal; where it cannot be read at all, a note that says why.
fn read(path: &Path, offset: u64) -> (journal::Batch, Vec<String>) {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match journal::read_from(path, offset) {
        Ok(batch) => {
            // Recorders and coordinators speak of whole things: what they say after a gap is as good as before.
            let left_out = if file == names::EVENTS {
                "; later values are left out, since nobody knows where they belong"
            } else {
                ""
            };
            let note = |d: &journal::Damage| {
                let (bytes, offset, what) = (d.bytes, d.offset, d.what);
                format!("{bytes} bytes of {file} at offset {offset} are damaged ({what}){left_out}")
            };
            let notes = batch.damage.iter().map(note).collect();
            (batch, notes)
        }
        Err(error @ (JournalError::NotAJournal { .. } | JournalError::TooNew { .. } | JournalError::File(_))) => {
            (journal::Batch { next_offset: offset, ..journal::Batch::default() }, vec![error.to_string()])
        }
    }
}
