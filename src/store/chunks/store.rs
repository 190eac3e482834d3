//! The chunks of all packs: where each stands, reading them, verifying them.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::pack::{self, MAX_DEPTH, Record};
use super::{ChunkError, Hash, StoredBuffer, from_hex, to_hex};
use crate::base::files;
use crate::store::layout::Layout;

/// The index of every chunk in a project's packs, as they were when it was opened.
#[derive(Debug, Default)]
pub struct ChunkStore {
    pub(super) packs: Vec<Pack>,
    pub(super) index: HashMap<Hash, (usize, Record)>,
}

/// A pack, kept open where its chunks must stay readable whatever becomes of the file.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) path: PathBuf,
    pub(super) file: Option<File>,
}

/// A chunk as it is kept: its record's bytes, header included, those of its content, and the chunk it is a difference to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub hash: Hash,
    pub bytes: u64,
    pub raw_bytes: u64,
    pub base: Option<Hash>,
}

/// A damaged stretch of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackDamage {
    pub what: String,
}

impl ChunkStore {
    /// Opens all packs. A file that is no pack is passed over here and reported by `fsck`.
    ///
    /// # Errors
    /// If the folder of packs cannot be listed.
    pub fn open(layout: &Layout) -> Result<Self, ChunkError> {
        let mut store = Self::default();
        for path in Self::pack_paths(layout)? {
            store.packs.push(Pack { path, file: None });
            // What vanished since it was listed was removed for good.
            store.list(store.packs.len() - 1);
        }
        Ok(store)
    }

    /// Takes the records of a pack into the index. Of a chunk that recorders stored at once the least deep copy counts:
    /// each was written as the difference to a base that was less deep, so that no chain gets longer nor leads back to
    /// itself, whichever packs it passes through.
    pub(super) fn list(&mut self, number: usize) {
        let Ok((records, _)) = pack::list(&self.packs[number].path) else { return };
        for record in records {
            let known = self.index.get(&record.hash);
            if known.is_none_or(|(_, known)| record.depth < known.depth) {
                self.index.insert(record.hash, (number, record));
            }
        }
    }

    /// Paths of all packs, in order of their names.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn pack_paths(layout: &Layout) -> Result<Vec<PathBuf>, ChunkError> {
        let folder = layout.packs();
        let entries = std::fs::read_dir(&folder).map_err(files::at("list", &folder))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "pack"))
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// The records of a pack.
    ///
    /// # Errors
    /// If it cannot be read or is none.
    pub fn kept_in(path: &Path) -> Result<Vec<Kept>, ChunkError> {
        let kept = |record: Record| Kept {
            hash: record.hash,
            bytes: record.bytes(),
            raw_bytes: u64::from(record.raw_len),
            base: record.base,
        };
        Ok(pack::list(path)?.0.into_iter().map(kept).collect())
    }

    /// Whether every chunk of the buffer is there, with what it is the difference to (not whether it is sound).
    pub fn holds(&self, buffer: &StoredBuffer) -> bool {
        buffer.chunks.iter().all(|hex| from_hex(hex).is_some_and(|hash| self.chain(hash).is_some()))
    }

    /// Whether a chunk is there, with what it is the difference to.
    pub fn has(&self, hash: &Hash) -> bool {
        self.chain(*hash).is_some()
    }

    /// The numbers of the packs that hold a chunk and its bases; `None` where one of them is missing.
    fn chain(&self, hash: Hash) -> Option<Vec<usize>> {
        let mut packs = Vec::with_capacity(1);
        let mut next = Some(hash);
        while let Some(hash) = next {
            let (number, record) = self.index.get(&hash)?;
            packs.push(*number);
            next = record.base;
            if packs.len() > usize::from(MAX_DEPTH) + 1 {
                return None;
            }
        }
        Some(packs)
    }

    /// Keeps open the packs that hold the buffer, so that it can be read even when they are replaced or removed. Gives
    /// whether all of it is there. To be called under the packs' lock that was held when this was opened.
    pub fn pin(&mut self, buffer: &StoredBuffer) -> bool {
        for hex in &buffer.chunks {
            let Some(packs) = from_hex(hex).and_then(|hash| self.chain(hash)) else { return false };
            for number in packs {
                let pack = &mut self.packs[number];
                if pack.file.is_none() {
                    pack.file = File::open(&pack.path).ok();
                }
                if pack.file.is_none() {
                    return false;
                }
            }
        }
        true
    }

    /// Reads a whole buffer, verifying each chunk's hash.
    ///
    /// # Errors
    /// If a chunk is missing or damaged; never gives bytes that were not stored.
    pub fn read(&self, buffer: &StoredBuffer) -> Result<Vec<u8>, ChunkError> {
        let read = |hex: &String| {
            let hash = from_hex(hex).ok_or_else(|| ChunkError::Missing { hash: hex.clone() })?;
            self.read_chunk(&hash)
        };
        let chunks: Vec<Vec<u8>> = buffer.chunks.par_iter().map(read).collect::<Result<_, _>>()?;
        Ok(chunks.concat())
    }

    /// Reads a chunk, and what it is the difference to before it.
    pub(super) fn read_chunk(&self, hash: &Hash) -> Result<Vec<u8>, ChunkError> {
        let mut chain = Vec::with_capacity(1);
        let mut next = Some(*hash);
        while let Some(hash) = next {
            let found = self.index.get(&hash).ok_or_else(|| ChunkError::Missing { hash: to_hex(&hash) })?;
            chain.push(found);
            next = found.1.base;
            if chain.len() > usize::from(MAX_DEPTH) + 1 {
                return Err(pack::damaged(&self.packs[found.0].path, &found.1, "its chain of differences is too long"));
            }
        }
        let mut raw = Vec::new();
        for (number, record) in chain.into_iter().rev() {
            let pack = &self.packs[*number];
            raw = match &pack.file {
                Some(file) => pack::read(&pack.path, file, record, &raw)?,
                None => {
                    let file = File::open(&pack.path).map_err(files::at("open", &pack.path))?;
                    pack::read(&pack.path, &file, record, &raw)?
                }
            };
        }
        Ok(raw)
    }

    /// Reads every chunk of a pack. Gives the number of sound chunks and what is damaged.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub fn verify(&self, path: &Path) -> Result<(u64, Vec<PackDamage>), ChunkError> {
        let (records, end) = pack::list(path)?;
        let file = File::open(path).map_err(files::at("open", path))?;
        let length = file.metadata().map_err(files::at("read", path))?.len();
        let read = |record: &Record| {
            let base = record.base.map(|base| self.read_chunk(&base)).transpose()?.unwrap_or_default();
            pack::read(path, &file, record, &base)
        };
        let mut damage = Vec::new();
        let mut sound = 0;
        for record in &records {
            match read(record) {
                Ok(_) => sound += 1,
                Err(error) => damage.push(PackDamage { what: error.to_string() }),
            }
        }
        if end < length {
            let what = format!("{}: {} bytes from byte {end} on are no record", path.display(), length - end);
            damage.push(PackDamage { what });
        }
        Ok((sound, damage))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CHUNK_BYTES, ChunkError, ItemKind, PackWriter};
    use super::ChunkStore;
    use crate::store::layout::Layout;

    const FLOATS: ItemKind = ItemKind { size: 4, is_float: true };

    fn bytes(seed: u64, len: usize) -> Vec<u8> {
        let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let mut out = vec![0; len];
        reader.fill(&mut out);
        out
    }

    #[test]
    fn buffers_come_back_whole_and_equal_chunks_are_stored_once() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let first = bytes(1, 3 * CHUNK_BYTES + 17);
        let mut second = first.clone();
        second[CHUNK_BYTES + 5] ^= 1;

        let mut writer = PackWriter::create(&layout, "a").expect("pack");
        let (a, added_a) = writer.put(&first, FLOATS, None).expect("stored");
        let (b, added_b) = writer.put(&second, FLOATS, None).expect("stored");
        let chunk = CHUNK_BYTES as u64;
        assert!(added_a > 3 * chunk && added_b < chunk + 1000, "{added_a} {added_b}");

        let mut other = PackWriter::create(&layout, "b").expect("pack");
        assert_eq!(other.put(&first, FLOATS, None).expect("stored"), (a.clone(), 0), "shared between packs");

        let store = ChunkStore::open(&layout).expect("opens");
        assert_eq!(store.read(&a).expect("reads"), first);
        assert_eq!(store.read(&b).expect("reads"), second);
    }

    /// Weights after so many small steps.
    fn weights(step: u32) -> Vec<u8> {
        let mut bytes = bytes(3, 1 << 16);
        for (number, item) in (0_u32..).zip(bytes.as_chunks_mut::<4>().0) {
            let mantissa = u32::from_le_bytes(*item) & 0x003f_ffff;
            *item = (0x3d00_0000 + mantissa + step * (number % 97)).to_le_bytes();
        }
        bytes
    }

    #[test]
    fn what_recorders_store_at_once_in_chains_of_their_own_is_all_read_back() {
        // What is the first of one's chain is the last of the other's.
        for orders in [[[0, 1, 2, 3], [4, 5, 6, 0]], [[4, 5, 6, 0], [0, 1, 2, 3]], [[3, 2, 1, 0], [0, 4, 5, 6]]] {
            let dir = tempfile::tempdir().expect("folder");
            let layout = Layout::create(dir.path()).expect("store");
            // Neither sees what the other writes.
            let mut writers = ["a", "b"].map(|name| PackWriter::create(&layout, name).expect("packs"));
            for (writer, steps) in writers.iter_mut().zip(orders) {
                let mut before = None;
                for step in steps {
                    before = Some(writer.put(&weights(step), FLOATS, before.as_ref()).expect("stored").0);
                }
            }
            let store = ChunkStore::open(&layout).expect("opens");
            for step in 0..7 {
                let hash = blake3::hash(&weights(step));
                assert!(store.read_chunk(hash.as_bytes()).expect("reads") == weights(step), "step {step}");
            }
        }
    }

    #[test]
    fn a_flipped_byte_anywhere_is_never_read_as_content() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let content = bytes(2, 3000);
        let mut writer = PackWriter::create(&layout, "a").expect("pack");
        let (buffer, _) = writer.put(&content, ItemKind::BYTES, None).expect("stored");
        let path = writer.path().expect("written").to_owned();
        let sound = std::fs::read(&path).expect("pack");
        for at in (0..sound.len()).step_by(7) {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x10;
            crate::base::files::write_atomic(&path, &damaged).expect("written");
            let store = ChunkStore::open(&layout).expect("opens");
            match store.read(&buffer) {
                Ok(read) => assert_eq!(read, content, "byte {at}"),
                Err(ChunkError::Missing { .. } | ChunkError::Damaged { .. }) => {
                    let clean = store.verify(&path).is_ok_and(|(_, damage)| damage.is_empty());
                    assert!(!clean || at < 64, "byte {at} is not found by verification");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}
