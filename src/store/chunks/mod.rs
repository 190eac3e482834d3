//! Content-addressed chunks of checkpoints in append-only pack files.
//!
//! A buffer is cut into chunks of fixed size: tensors change in place, so boundaries need not follow content. A chunk
//! is named by the BLAKE3 hash of its raw bytes and stored once, whichever checkpoint, run or replay brings it.
//! Every read verifies the hash. A pack's record headers are its index, so no database is needed to read one.
//!
//! A pack has one writer and is only appended to; `sweep` alone replaces or removes whole packs, under the exclusive
//! [`PacksLock`]. Nothing here knows which chunks are wanted: whoever sweeps says so.

mod encoding;
mod lock;
mod pack;
mod store;
mod sweep;
mod writer;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use encoding::ItemKind;
pub use lock::PacksLock;
pub use store::{ChunkStore, Kept, PackDamage};
pub use sweep::{How, Swept, sweep};
pub use writer::PackWriter;

use crate::base::files::FileError;

/// Bytes of a chunk: small enough that a changed row rewrites little, large enough that headers and lookups do not count.
pub const CHUNK_BYTES: usize = 1 << 20;

/// BLAKE3 of a chunk's raw bytes.
pub type Hash = [u8; 32];

/// A stored buffer: its length and its chunks' hashes in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBuffer {
    /// Bytes.
    pub len: u64,
    /// Lower-case hex.
    pub chunks: Vec<String>,
}

impl StoredBuffer {
    /// The hashes of its chunks; what is no hash names no chunk.
    pub fn hashes(&self) -> impl Iterator<Item = Hash> {
        self.chunks.iter().filter_map(|hex| from_hex(hex))
    }
}

fn from_hex(hex: &str) -> Option<Hash> {
    blake3::Hash::from_hex(hex).ok().map(Into::into)
}

fn to_hex(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
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
