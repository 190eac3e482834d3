//! The stored checkpoints of a run, read from its recorder's journal and the packs; no database.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::ids::RunId;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::engine::replay::Lacking;
use crate::engine::{Error, stored};
use crate::model::run::Checkpoint;
use crate::store::chunks::{ChunkStore, PacksLock};
use crate::store::layout::Layout;

/// What a worker may have to load.
pub(super) struct States {
    stored: HashMap<u64, StoredCheckpoint>,
    /// What the record tells of all checkpoints, also of those that are gone.
    digests: HashMap<u64, BTreeMap<String, String>>,
    chunks: ChunkStore,
    /// Until what is needed is held open, nobody may remove it.
    opening: Option<PacksLock>,
}

/// A checkpoint's bytes, verified.
pub(super) struct Loaded {
    pub(super) skeleton: Vec<u8>,
    pub(super) buffers: Vec<Vec<u8>>,
}

impl States {
    /// Reads what a run's recorder stored and what of it is there.
    pub(super) fn open(layout: &Layout, run: &RunId) -> Result<Self, Error> {
        let opening = PacksLock::shared(layout)?;
        let chunks = ChunkStore::open(layout)?;
        let there = |found: &StoredCheckpoint| found.all_buffers().all(|buffer| chunks.holds(buffer));
        let digests = stored::read(layout, run, 0, 0)?.checkpoints.into_iter();
        let digests = digests.map(|stored| (stored.checkpoint.seq, stored.checkpoint.digests)).collect();
        let found = stored::kept(layout, run, 0)?.into_iter().filter(there);
        let stored = found.map(|found| (found.checkpoint.seq, found)).collect();
        Ok(Self { stored, digests, chunks, opening })
    }

    /// The digests of a recorded state.
    pub(super) fn digests(&self, seq: u64) -> Option<&BTreeMap<String, String>> {
        self.digests.get(&seq)
    }

    /// The checkpoints that are there, in order of capture.
    pub(super) fn checkpoints(&self) -> Vec<Checkpoint> {
        let mut found: Vec<Checkpoint> = self.stored.values().map(|stored| stored.checkpoint.clone()).collect();
        found.sort_by_key(|checkpoint| checkpoint.seq);
        found
    }

    /// Does without these checkpoints from now on.
    pub(super) fn forget(&mut self, lacking: &[Lacking]) {
        /// Where so many are damaged, each further one would cost a start of the script.
        const SEVERAL: usize = 3;
        let all = lacking.len() >= SEVERAL || lacking.contains(&Lacking::Any);
        self.stored.retain(|seq, _| !all && !lacking.contains(&Lacking::Checkpoint(*seq)));
    }

    /// Keeps these checkpoints readable from now on, whatever is removed from the store, and lets others go.
    pub(super) fn hold(&mut self, checkpoints: &BTreeSet<u64>) {
        for stored in checkpoints.iter().filter_map(|seq| self.stored.get(seq)) {
            for buffer in stored.all_buffers() {
                // Where no more files can be open at once, reading tells whether it is still there.
                self.chunks.pin(buffer);
            }
        }
        self.opening = None;
    }

    /// Reads a checkpoint whole.
    ///
    /// # Errors
    /// In words, if it is not there or any of its bytes are not what was stored.
    pub(super) fn load(&self, seq: u64) -> Result<Loaded, String> {
        let stored = self.stored.get(&seq).ok_or("it is not stored any more")?;
        let read = |buffer| self.chunks.read(buffer).map_err(|error| error.to_string());
        let buffers = stored.buffers.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Loaded { skeleton: read(&stored.skeleton)?, buffers })
    }
}
