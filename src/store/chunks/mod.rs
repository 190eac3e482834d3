//! Content-addressed chunks of checkpoints in append-only pack files.
//!
//! A buffer is cut into chunks of fixed size: tensors change in place, so boundaries need not follow content. A chunk
//! is named by the BLAKE3 hash of its raw bytes and stored once, whichever checkpoint, run or replay brings it.
//! Every read verifies the hash. A pack's record headers are its index, so no database is needed to read one.

mod encoding;
mod pack;
mod store;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use encoding::ItemKind;
pub use pack::{PackDamage, verify_pack};
pub use store::{ChunkStore, PackWriter};

use crate::base::files::FileError;

/// Bytes of a chunk: small enough that a changed row rewrites little, large enough that headers and lookups do not count.
pub const CHUNK_BYTES: usize = 1 << 20;

/// A stored buffer: its length and its chunks' hashes in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBuffer {
    /// Bytes.
    pub len: u64,
    /// Lower-case hex.
    pub chunks: Vec<String>,
}

/// Why chunks cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    #[error("chunk {hash} is in no pack: it was removed, or its pack is damaged")]
    Missing { hash: String },
    #[error("chunk {hash} in {} at byte {offset} is damaged: {what}", pack.display())]
    Damaged { hash: String, pack: PathBuf, offset: u64, what: &'static str },
    #[error("{} is not a pack", path.display())]
    NotAPack { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}
