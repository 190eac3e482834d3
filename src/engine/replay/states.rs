//! The stored checkpoints of a run, read from its recorder's journal and the packs; no database.

use std::collections::HashMap;

use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::store::chunks::ChunkStore;
use crate::store::journal::{self, Event};
use crate::store::layout::{Layout, names};

/// What a worker may have to load.
pub(super) struct States {
    stored: HashMap<u64, StoredCheckpoint>,
    chunks: ChunkStore,
}

/// A checkpoint's bytes, verified.
pub(super) struct Loaded {
    pub(super) skeleton: Vec<u8>,
    pub(super) buffers: Vec<Vec<u8>>,
}

impl States {
    /// Reads what a run's recorder stored.
    pub(super) fn open(layout: &Layout, run: &RunId) -> Result<Self, Error> {
        let path = layout.run(run).join(names::RECORDER);
        let mut stored = HashMap::new();
        let mut offset = 0;
        loop {
            let batch = journal::read_from(&path, offset)?;
            for event in &batch.events {
                if let Event::Stored(json) = event
                    && let Ok(checkpoint) = serde_json::from_str::<StoredCheckpoint>(json)
                {
                    stored.insert(checkpoint.checkpoint.seq, checkpoint);
                }
            }
            offset = batch.next_offset;
            if !batch.more {
                break;
            }
        }
        Ok(Self { stored, chunks: ChunkStore::open(layout)? })
    }

    /// Reads a checkpoint whole.
    ///
    /// # Errors
    /// In words, if it is not there or any of its bytes are not what was stored.
    pub(super) fn load(&self, seq: u64) -> Result<Loaded, String> {
        let stored = self.stored.get(&seq).ok_or("it was not stored")?;
        let read = |buffer| self.chunks.read(buffer).map_err(|error| error.to_string());
        let buffers = stored.buffers.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Loaded { skeleton: read(&stored.skeleton)?, buffers })
    }
}
