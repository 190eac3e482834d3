//! Journals: append-only event streams with one writer each. The Python twin of the writer is
//! `assets/runtime/afterlog/_journal.py`; the golden files under `tests/fixtures/journals` hold both to the format.
//!
//! A file is a 16-byte header and frames; a frame is a length, a CRC-32 and a payload of whole events.

mod event;
mod frame;
mod reader;
mod writer;

use std::path::PathBuf;

pub use event::{Event, LoopExit, Stream};
pub use reader::{Batch, Damage, edges, read_from};
pub use writer::Writer;

use crate::base::files::FileError;

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{} is not a journal", path.display())]
    NotAJournal { path: PathBuf },
    #[error("the journal {} has version {version}, newer than this afterlog knows", path.display())]
    TooNew { path: PathBuf, version: u32 },
    #[error(transparent)]
    File(#[from] FileError),
}
