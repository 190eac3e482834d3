//! The one writer of a recorder's packs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::pack::{self, MAX_DEPTH, PACK_MAGIC};
use super::store::Pack;
use super::{CHUNK_BYTES, ChunkError, ChunkStore, Hash, ItemKind, PacksLock, StoredBuffer, encoding, from_hex, to_hex};
use crate::base::files;
use crate::store::layout::Layout;

/// A pack beyond this size is closed and another one begun: a long run's packs are swept one by one.
const PACK_BYTES: u64 = 1 << 28;

/// Appends chunks to packs of its own, leaving out those that some pack holds already.
///
/// What it takes for stored stays so only while the packs' lock is held shared: see [`PackWriter::begin`].
#[derive(Debug)]
pub struct PackWriter {
    store: ChunkStore,
    name: String,
    layout: Layout,
    /// The pack being written, and its number among all; `None` until something is.
    file: Option<(File, PathBuf, usize)>,
    /// Number of the next pack, and bytes in this one.
    next: u32,
    written: u64,
    generation: u64,
}

impl PackWriter {
    /// Gets ready to write packs of this name, which are made when there is something to write.
    ///
    /// # Errors
    /// If the packs that there are cannot be listed.
    pub fn create(layout: &Layout, name: &str) -> Result<Self, ChunkError> {
        let lock = PacksLock::shared(layout)?;
        let generation = lock.map_or(0, |lock| lock.generation());
        let store = ChunkStore::open(layout)?;
        Ok(Self { store, name: name.to_owned(), layout: layout.clone(), file: None, next: 0, written: 0, generation })
    }

    /// Takes the packs' lock for putting buffers; what has been removed since the last time is known afterwards. The lock
    /// must be held until a journal names what was put.
    ///
    /// # Errors
    /// If the lock cannot be taken or the packs not be read.
    pub fn begin(&mut self) -> Result<Option<PacksLock>, ChunkError> {
        let lock = PacksLock::shared(&self.layout)?;
        let generation = lock.as_ref().map_or(0, PacksLock::generation);
        if generation != self.generation {
            self.store = ChunkStore::open(&self.layout)?;
            self.generation = generation;
            self.file = self.file.take().and_then(|(file, path, _)| {
                let number = self.store.packs.iter().position(|pack| pack.path == path)?;
                Some((file, path, number))
            });
        }
        Ok(lock)
    }

    /// Stores a buffer. Gives it and the bytes that it added to the pack. `before` is the same buffer of the run's previous
    /// checkpoint: where that pays, only the difference to it is kept.
    ///
    /// # Errors
    /// If the pack cannot be written; what was written before stays readable.
    pub fn put(
        &mut self,
        bytes: &[u8],
        kind: ItemKind,
        before: Option<&StoredBuffer>,
    ) -> Result<(StoredBuffer, u64), ChunkError> {
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
        let hashes: Vec<Hash> = chunks.par_iter().map(|chunk| *blake3::hash(chunk).as_bytes()).collect();
        let mut fresh: Vec<(usize, Hash)> = Vec::new();
        for (number, hash) in hashes.iter().enumerate() {
            if !self.store.has(hash) && !fresh.iter().any(|(_, known)| known == hash) {
                fresh.push((number, *hash));
            }
        }
        let before = before.filter(|before| before.len == bytes.len() as u64 && encoding::has_differences(kind));
        // Whether differences pay is a matter of what the buffer is (gradients change wholly): the first chunk tells.
        let mut bases = before;
        let mut records = Vec::new();
        if let (Some(found), Some((number, hash))) = (before, fresh.first()) {
            let (record, is_difference) = self.record(hash, chunks[*number], kind, found.chunks.get(*number));
            records.push(record);
            bases = bases.filter(|_| is_difference);
        }
        let base_of = |number: usize| bases.and_then(|before| before.chunks.get(number));
        let rest = &fresh[records.len()..];
        records.par_extend(
            rest.par_iter().map(|(number, hash)| self.record(hash, chunks[*number], kind, base_of(*number)).0),
        );
        let mut added = 0;
        for record in &records {
            self.append(record)?;
            added += record.len() as u64;
        }
        Ok((StoredBuffer { len: bytes.len() as u64, chunks: hashes.iter().map(to_hex).collect() }, added))
    }

    /// The record of a chunk, and whether it is the difference to its base.
    fn record(&self, hash: &Hash, chunk: &[u8], kind: ItemKind, base: Option<&String>) -> (Vec<u8>, bool) {
        // One that is known and yet stored again has lost its base: only by itself it takes that copy's place.
        let base = base.filter(|_| !self.store.index.contains_key(hash));
        let base = base.and_then(|hex| from_hex(hex)).and_then(|base| {
            let (_, record) = self.store.index.get(&base)?;
            (record.depth < MAX_DEPTH).then_some((base, record.depth + 1))
        });
        // A chain that has reached its end begins anew: that too is a reason to go on with differences afterwards.
        let Some((base, depth)) = base else {
            return (pack::record(hash, chunk.len(), &encoding::encode(chunk, kind), None), true);
        };
        let raw = self.store.read_chunk(&base).ok();
        match raw.and_then(|raw| encoding::encode_difference(chunk, &raw, kind)) {
            Some(encoded) => (pack::record(hash, chunk.len(), &encoded, Some((base, depth))), true),
            None => (pack::record(hash, chunk.len(), &encoding::encode(chunk, kind), None), false),
        }
    }

    fn append(&mut self, record: &[u8]) -> Result<(), ChunkError> {
        if self.file.is_none() || self.written >= PACK_BYTES {
            self.next_pack()?;
        }
        let Some((file, path, pack)) = &mut self.file else { return Ok(()) };
        if let Err(error) = file.write_all(record) {
            let error = files::at("write", path)(error);
            // Half a record ends what can be listed: nothing may follow it.
            self.file = None;
            return Err(error.into());
        }
        if let Some(record) = pack::parse(record, self.written + pack::RECORD_BYTES as u64) {
            self.store.index.insert(record.hash, (*pack, record));
        }
        self.written += record.len() as u64;
        Ok(())
    }

    fn next_pack(&mut self) -> Result<(), ChunkError> {
        self.sync()?;
        let name = if self.next == 0 { self.name.clone() } else { format!("{}-{}", self.name, self.next) };
        let path = self.layout.packs().join(format!("{name}.pack"));
        let mut file =
            OpenOptions::new().create_new(true).append(true).open(&path).map_err(files::at("create", &path))?;
        self.next += 1;
        file.write_all(PACK_MAGIC).map_err(files::at("write", &path))?;
        // What a journal names must be found after a power cut, and so must its file.
        files::sync(&self.layout.packs())?;
        self.written = PACK_MAGIC.len() as u64;
        self.store.packs.push(Pack { path: path.clone(), file: None });
        self.file = Some((file, path, self.store.packs.len() - 1));
        Ok(())
    }

    /// Ends the pack being written, so that it can be swept.
    ///
    /// # Errors
    /// If the disk refuses what was written.
    pub fn close_pack(&mut self) -> Result<(), ChunkError> {
        self.sync()?;
        self.file = None;
        Ok(())
    }

    /// Makes everything written so far survive a power cut.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&self) -> Result<(), ChunkError> {
        let Some((file, path, _)) = &self.file else { return Ok(()) };
        Ok(file.sync_data().map_err(files::at("sync", path))?)
    }

    /// The pack being written.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(_, path, _)| path.as_path())
    }
}
