//! The chunks of all packs, and the one writer of each pack.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::pack::{self, Record};
use super::{CHUNK_BYTES, ChunkError, ItemKind, StoredBuffer, encoding};
use crate::base::files;
use crate::store::layout::Layout;

/// The index of every chunk in a project's packs, as they were when it was opened.
#[derive(Debug, Default)]
pub struct ChunkStore {
    folder: PathBuf,
    packs: Vec<PathBuf>,
    index: HashMap<[u8; 32], (usize, Record)>,
}

impl ChunkStore {
    /// Opens all packs. A file that is no pack is passed over here and reported by `fsck`.
    ///
    /// # Errors
    /// If the folder of packs cannot be listed.
    pub fn open(layout: &Layout) -> Result<Self, ChunkError> {
        let folder = layout.packs();
        let mut store = Self { packs: Self::pack_paths(layout)?, folder, index: HashMap::new() };
        for (number, path) in store.packs.iter().enumerate() {
            let Ok((records, _)) = pack::list(path) else { continue };
            store.index.extend(records.into_iter().map(|record| (record.hash, (number, record))));
        }
        Ok(store)
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

    /// Whether every chunk of the buffer is there (not whether it is sound).
    pub fn holds(&self, buffer: &StoredBuffer) -> bool {
        buffer.chunks.iter().all(|hex| parse_hash(hex).is_some_and(|hash| self.index.contains_key(&hash)))
    }

    /// Reads a whole buffer, verifying each chunk's hash.
    ///
    /// # Errors
    /// If a chunk is missing or damaged; never gives bytes that were not stored.
    pub fn read(&self, buffer: &StoredBuffer) -> Result<Vec<u8>, ChunkError> {
        let chunks: Vec<Vec<u8>> =
            buffer.chunks.par_iter().map(|hex| self.read_chunk(hex)).collect::<Result<_, _>>()?;
        Ok(chunks.concat())
    }

    fn read_chunk(&self, hex: &str) -> Result<Vec<u8>, ChunkError> {
        let missing = || ChunkError::Missing { hash: hex.to_owned() };
        let (number, record) = parse_hash(hex).and_then(|hash| self.index.get(&hash)).ok_or_else(missing)?;
        let path = &self.packs[*number];
        let file = File::open(path).map_err(files::at("open", path))?;
        pack::read(path, &file, record)
    }

    /// Begins a new pack; its chunks join this index as they are written.
    ///
    /// # Errors
    /// If a pack of this name exists or cannot be made.
    pub fn into_writer(self, name: &str) -> Result<PackWriter, ChunkError> {
        let path = self.folder.join(format!("{name}.pack"));
        let mut file =
            OpenOptions::new().create_new(true).append(true).open(&path).map_err(files::at("create", &path))?;
        file.write_all(pack::PACK_MAGIC).map_err(files::at("write", &path))?;
        let known = self.index.into_keys().collect();
        Ok(PackWriter { known, file, path })
    }
}

fn parse_hash(hex: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(hex).ok().map(Into::into)
}

/// Appends chunks to one pack, leaving out those that some pack holds already.
#[derive(Debug)]
pub struct PackWriter {
    known: HashSet<[u8; 32]>,
    file: File,
    path: PathBuf,
}

impl PackWriter {
    /// Stores a buffer. Gives it and the bytes that it added to the pack.
    ///
    /// # Errors
    /// If the pack cannot be written; what was written before stays readable.
    pub fn put(&mut self, bytes: &[u8], kind: ItemKind) -> Result<(StoredBuffer, u64), ChunkError> {
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
        let hashes: Vec<[u8; 32]> = chunks.par_iter().map(|chunk| *blake3::hash(chunk).as_bytes()).collect();
        let mut fresh: Vec<([u8; 32], &[u8])> = Vec::new();
        for (hash, chunk) in hashes.iter().zip(&chunks) {
            if self.known.insert(*hash) {
                fresh.push((*hash, chunk));
            }
        }
        let records: Vec<Vec<u8>> = fresh
            .par_iter()
            .map(|(hash, chunk)| pack::record(hash, chunk.len(), &encoding::encode(chunk, kind)))
            .collect();
        let mut added = 0;
        for (record, (hash, _)) in records.iter().zip(&fresh) {
            if let Err(error) = self.file.write_all(record) {
                self.known.remove(hash);
                return Err(files::at("write", &self.path)(error).into());
            }
            added += record.len() as u64;
        }
        let hex = |hash: &[u8; 32]| blake3::Hash::from_bytes(*hash).to_hex().to_string();
        Ok((StoredBuffer { len: bytes.len() as u64, chunks: hashes.iter().map(hex).collect() }, added))
    }

    /// Makes everything written so far survive a power cut.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> Result<(), ChunkError> {
        Ok(self.file.sync_data().map_err(files::at("sync", &self.path))?)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CHUNK_BYTES, ChunkError, ItemKind, verify_pack};
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

        let mut writer = ChunkStore::open(&layout).expect("opens").into_writer("a").expect("pack");
        let (a, added_a) = writer.put(&first, FLOATS).expect("stored");
        let (b, added_b) = writer.put(&second, FLOATS).expect("stored");
        let chunk = CHUNK_BYTES as u64;
        assert!(added_a > 3 * chunk && added_b < chunk + 1000, "{added_a} {added_b}");

        let mut other = ChunkStore::open(&layout).expect("opens").into_writer("b").expect("pack");
        assert_eq!(other.put(&first, FLOATS).expect("stored"), (a.clone(), 0), "shared between packs");

        let store = ChunkStore::open(&layout).expect("opens");
        assert_eq!(store.read(&a).expect("reads"), first);
        assert_eq!(store.read(&b).expect("reads"), second);
    }

    #[test]
    fn a_flipped_byte_anywhere_is_never_read_as_content() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let content = bytes(2, 3000);
        let mut writer = ChunkStore::open(&layout).expect("opens").into_writer("a").expect("pack");
        let (buffer, _) = writer.put(&content, ItemKind::BYTES).expect("stored");
        let path = writer.path().to_owned();
        let sound = std::fs::read(&path).expect("pack");
        for at in (0..sound.len()).step_by(7) {
            let mut damaged = sound.clone();
            damaged[at] ^= 0x10;
            crate::base::files::write_atomic(&path, &damaged).expect("written");
            let store = ChunkStore::open(&layout).expect("opens");
            match store.read(&buffer) {
                Ok(read) => assert_eq!(read, content, "byte {at}"),
                Err(ChunkError::Missing { .. } | ChunkError::Damaged { .. }) => {
                    let clean = verify_pack(&path).is_ok_and(|(_, damage)| damage.is_empty());
                    assert!(!clean || at < 64, "byte {at} is not found by verification");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}
