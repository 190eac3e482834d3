//! A capture as it crosses between Python and this program, and as it is stored. Shared by recording and replay.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use crate::model::run::{Checkpoint, CheckpointKind};
use crate::store::chunks::StoredBuffer;

/// A checkpoint in the recorder's journal: what it is of, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredCheckpoint {
    pub checkpoint: Checkpoint,
    /// The variables' trees; opaque here.
    pub skeleton: StoredBuffer,
    /// The contents of tensors and arrays.
    pub buffers: Vec<StoredBuffer>,
}

impl StoredCheckpoint {
    /// All that it consists of.
    pub fn all_buffers(&self) -> impl Iterator<Item = &StoredBuffer> {
        std::iter::once(&self.skeleton).chain(&self.buffers)
    }
}

/// What Python says of a capture that it has put into a shared buffer. Places are offsets and lengths in bytes.
#[derive(Debug, Clone, Deserialize)]
pub struct Capture {
    pub seq: u64,
    /// Which of the shared buffers.
    pub buffer: usize,
    pub skeleton: (u64, u64),
    /// Offset, length, bytes of an item, whether the items are floating-point.
    pub buffers: Vec<(u64, u64, u8, bool)>,
    /// Each variable's tree.
    pub trees: BTreeMap<String, (u64, u64)>,
    /// The buffers that each variable's tree refers to, in the order of their places in it.
    pub uses: BTreeMap<String, Vec<usize>>,
    /// Variables that could not be captured, and why.
    pub missing: Vec<(String, String)>,
    /// All of it.
    pub bytes: u64,
    #[serde(default)]
    pub stall_ns: u64,
}

/// The rest of a snapshot's message: which moment of the run it is.
#[derive(Debug, Clone, Deserialize)]
pub struct Moment {
    pub kind: CheckpointKind,
    pub iteration: u64,
    /// Loop names and indices, outermost first.
    pub position: Vec<(String, u64)>,
}

/// Reads a stretch of a shared buffer.
///
/// # Errors
/// If the buffer is shorter: the message did not tell the truth.
pub fn read_shared(buffer: &File, place: (u64, u64)) -> io::Result<Vec<u8>> {
    let (offset, length) = place;
    // The message comes from the script's process: it must not make this one allocate what is not there.
    let available = buffer.metadata()?.len();
    let within = offset.checked_add(length).is_some_and(|end| end <= available);
    let length = usize::try_from(length).ok().filter(|_| within);
    let length = length.ok_or_else(|| io::Error::other("a place beyond the end of the shared buffer"))?;
    let mut bytes = vec![0; length];
    buffer.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Digests of the captured variables that have out-of-band contents or were named to be checkpointed, and of the
/// random number generators: BLAKE3 over a variable's tree and the hashes of its buffers. Plain numbers are left out:
/// a variable may hold the time of day, and what matters of it is logged.
///
/// `hashes` are those of the capture's buffers in order.
pub fn digests(capture: &Capture, skeleton: &[u8], hashes: &[blake3::Hash]) -> BTreeMap<String, String> {
    let mut digests = BTreeMap::new();
    for (key, (offset, length)) in &capture.trees {
        let uses = capture.uses.get(key).map(Vec::as_slice).unwrap_or_default();
        if uses.is_empty() && !key.starts_with("object:") && !key.starts_with("rng:") {
            continue;
        }
        let start = offset.saturating_sub(capture.skeleton.0);
        let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(*length)).ok());
        let Some(tree) = range.and_then(|(start, end)| skeleton.get(start..end)) else { continue };
        let mut hasher = blake3::Hasher::new();
        hasher.update(tree);
        uses.iter().filter_map(|number| hashes.get(*number)).for_each(|hash| {
            hasher.update(hash.as_bytes());
        });
        digests.insert(key.clone(), hasher.finalize().to_hex()[..32].to_owned());
    }
    digests
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Capture, digests};

    #[test]
    fn a_digest_changes_with_the_tree_and_with_the_contents_only() {
        let capture = |key: &str| Capture {
            seq: 0,
            buffer: 0,
            skeleton: (0, 8),
            buffers: Vec::new(),
            trees: BTreeMap::from([(key.to_owned(), (2, 4)), ("local:start".to_owned(), (0, 2))]),
            uses: BTreeMap::from([(key.to_owned(), vec![1])]),
            missing: Vec::new(),
            bytes: 8,
            stall_ns: 0,
        };
        let of = |skeleton: &[u8], contents: &[&[u8]]| {
            let hashes: Vec<blake3::Hash> = contents.iter().map(|content| blake3::hash(content)).collect();
            digests(&capture("object:model"), skeleton, &hashes)
        };
        let first = of(b"xxtreexx", &[b"a", b"b"]);
        assert_eq!(first.keys().collect::<Vec<_>>(), ["object:model"], "plain variables have none");
        assert_eq!(first, of(b"yytreeyy", &[b"other", b"b"]));
        assert_ne!(first, of(b"xxtrexxx", &[b"a", b"b"]));
        assert_ne!(first, of(b"xxtreexx", &[b"a", b"c"]));
    }
}
