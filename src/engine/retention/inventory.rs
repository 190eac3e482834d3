//! What there is: every run's checkpoints, every chunk, and who needs which.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::analysis::retention::{Chunk, Holding, Unit};
use crate::base::files::at;
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::engine::{replay, stored};
use crate::model::run::{Checkpoint, CheckpointKind};
use crate::store::chunks::{ChunkStore, Hash, StoredBuffer};
use crate::store::layout::{Layout, is_held, names};

/// A run and what the recorders of its processes stored.
pub(super) struct RunInventory {
    pub(super) run: RunId,
    /// Whether its checkpoints must all stay.
    pub(super) fixed: bool,
    pub(super) ranks: BTreeMap<u64, RankInventory>,
}

/// What the recorder of one process stored.
#[derive(Default)]
pub(super) struct RankInventory {
    /// Whether its journal may name more than could be read.
    pub(super) damaged: bool,
    stored: Vec<StoredCheckpoint>,
    dropped: BTreeSet<u64>,
    /// Where its journal goes on. Whether a recorder does is not asked: one that just begins holds no lock yet.
    next_offset: u64,
}

/// Everything that was ever stored, and every chunk that is.
pub(super) struct Inventory {
    /// Oldest first.
    pub(super) runs: Vec<RunInventory>,
    pub(super) chunks: Vec<Chunk>,
    numbers: HashMap<Hash, usize>,
    /// Sizes of all files of packs.
    pub(super) pack_bytes: u64,
}

impl RankInventory {
    fn is_there(&self, stored: &StoredCheckpoint) -> bool {
        !self.dropped.contains(&stored.checkpoint.seq)
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &StoredCheckpoint> {
        self.stored.iter().filter(|stored| self.is_there(stored))
    }
}

impl RunInventory {
    fn read(layout: &Layout, run: RunId, replayed: &HashSet<RunId>, own: Option<&RunId>) -> Result<Self, Error> {
        // Asked before reading: what a recorder that has ended stored is all there.
        let running = is_running(layout, &run);
        let fixed = (running && own != Some(&run)) || replayed.contains(&run);
        let mut ranks = BTreeMap::new();
        for rank in layout.ranks(&run) {
            let read = stored::read(layout, &run, rank, 0)?;
            let dropped = stored::dropped(layout, &run, rank)?;
            let stored::Stored { checkpoints: stored, next_offset, damaged } = read;
            ranks.insert(rank, RankInventory { damaged, stored, dropped, next_offset });
        }
        Ok(Self { run, fixed, ranks })
    }

    /// The checkpoints of all ranks by the iteration that follows them, whether they are still there or not: what one rank
    /// keeps of an iteration is of no use without the others.
    pub(super) fn iterations(&self) -> BTreeMap<u64, Vec<(&StoredCheckpoint, bool)>> {
        let mut iterations: BTreeMap<u64, Vec<(&StoredCheckpoint, bool)>> = BTreeMap::new();
        for rank in self.ranks.values() {
            for stored in &rank.stored {
                let found = iterations.entry(followed_by(&stored.checkpoint)).or_default();
                found.push((stored, rank.is_there(stored)));
            }
        }
        iterations
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &StoredCheckpoint> {
        self.ranks.values().flat_map(RankInventory::kept)
    }
}

/// The iteration that begins in a checkpoint's state or soon after. What the blocks of an iteration leave behind is what the
/// next one begins with: neither takes room beside the other, and so both stay or both go.
pub(super) fn followed_by(checkpoint: &Checkpoint) -> u64 {
    match checkpoint.kind {
        CheckpointKind::IterationStart => checkpoint.iteration,
        CheckpointKind::BlockEnd { .. } => checkpoint.iteration + 1,
    }
}

/// Whether a run's script goes on.
pub(super) fn is_running(layout: &Layout, run: &RunId) -> bool {
    is_held(&layout.run(run).join(names::LOCK))
}

/// The run that a pack is of.
pub(super) fn run_of(pack: &Path) -> Option<RunId> {
    pack.file_stem()?.to_str()?.split('-').next()?.parse().ok()
}

/// The chunks that a checkpoint consists of.
fn hashes(stored: &StoredCheckpoint) -> impl Iterator<Item = Hash> {
    stored.all_buffers().flat_map(StoredBuffer::hashes)
}

impl Inventory {
    /// Reads it all. `own` is a running run whose recorder asks, and whose checkpoints may go too.
    pub(super) fn read(layout: &Layout, own: Option<&RunId>) -> Result<Self, Error> {
        let replayed = replay::replayed_now(layout);
        let runs = layout.run_ids()?.into_iter().map(|run| RunInventory::read(layout, run, &replayed, own));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let mut inventory = Self { runs, chunks: Vec::new(), numbers: HashMap::new(), pack_bytes: 0 };
        inventory.read_packs(layout)?;
        Ok(inventory)
    }

    fn read_packs(&mut self, layout: &Layout) -> Result<(), Error> {
        let mut bases: Vec<(usize, Hash)> = Vec::new();
        for path in ChunkStore::pack_paths(layout)? {
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            self.pack_bytes += meta.len();
            // A file that is no pack is reported by `fsck`.
            for kept in ChunkStore::kept_in(&path).unwrap_or_default() {
                let number = *self.numbers.entry(kept.hash).or_insert(self.chunks.len());
                if number == self.chunks.len() {
                    self.chunks.push(Chunk { bytes: 0, alone: 0, base: None });
                    bases.extend(kept.base.map(|base| (number, base)));
                }
                // Two recorders at once may have stored the same: both copies count.
                self.chunks[number].bytes += kept.bytes;
                // Compressed by itself a chunk rarely takes more of what it held.
                self.chunks[number].alone += kept.bytes.max(kept.raw_bytes / 8 * 7);
            }
        }
        for (number, base) in bases {
            self.chunks[number].base = self.numbers.get(&base).copied();
        }
        Ok(())
    }

    /// The same as the pure planner sees it.
    pub(super) fn holdings(&self) -> Vec<Holding> {
        let unit = |iteration: u64, checkpoints: &[(&StoredCheckpoint, bool)]| {
            let there = checkpoints.iter().filter(|(_, is_there)| *is_there).map(|(stored, _)| stored);
            let chunks: Vec<usize> = there
                .clone()
                .flat_map(|stored| hashes(stored))
                .filter_map(|hash| self.numbers.get(&hash).copied())
                .collect();
            Unit { iteration, dropped: there.count() == 0, chunks }
        };
        let holding = |run: &RunInventory| {
            let iterations = run.iterations();
            let units = iterations.iter().map(|(iteration, found)| unit(*iteration, found)).collect();
            Holding { fixed: run.fixed, units }
        };
        self.runs.iter().map(holding).collect()
    }

    /// The chunks that checkpoints need which are not given up.
    pub(super) fn live(&self) -> HashSet<Hash> {
        self.runs.iter().flat_map(RunInventory::kept).flat_map(hashes).collect()
    }

    /// The chunks that have come to be needed since this was read.
    pub(super) fn more(&mut self, layout: &Layout) -> Result<Vec<Hash>, Error> {
        let known: HashSet<RunId> = self.runs.iter().map(|run| run.run.clone()).collect();
        for run in layout.run_ids()?.into_iter().filter(|run| !known.contains(run)) {
            self.runs.push(RunInventory { run, fixed: true, ranks: BTreeMap::new() });
        }
        let mut found = Vec::new();
        for run in &mut self.runs {
            for rank in layout.ranks(&run.run) {
                let known = run.ranks.entry(rank).or_default();
                let read = stored::read(layout, &run.run, rank, known.next_offset)?;
                found.extend(read.checkpoints.iter().flat_map(hashes));
                known.next_offset = read.next_offset;
            }
        }
        Ok(found)
    }

    /// Sizes of each file below a folder, summed.
    pub(super) fn folder_bytes(folder: &Path) -> Result<u64, Error> {
        let mut total = 0;
        for entry in std::fs::read_dir(folder).map_err(at("list", folder))?.flatten() {
            // What vanishes meanwhile takes no room.
            let Ok(meta) = entry.metadata() else { continue };
            total += if meta.is_dir() { Self::folder_bytes(&entry.path())? } else { meta.len() };
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::Inventory;
    use crate::base::ids::RunId;
    use crate::engine::checkpoint::StoredCheckpoint;
    use crate::model::position::Position;
    use crate::model::run::{Checkpoint, CheckpointKind};
    use crate::store::chunks::{ItemKind, PackWriter};
    use crate::store::journal::{Event, Writer};
    use crate::store::layout::{Layout, names};

    #[test]
    fn what_a_run_seen_before_its_lock_stores_is_needed() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let run = RunId::generate();
        std::fs::create_dir_all(layout.run(&run)).expect("a run that begins");
        let mut inventory = Inventory::read(&layout, None).expect("reads");
        let mut pack = PackWriter::create(&layout, run.as_str()).expect("packs");
        let (skeleton, _) = pack.put(b"tree", ItemKind::BYTES, None).expect("stored");
        let checkpoint = Checkpoint {
            seq: 0,
            kind: CheckpointKind::IterationStart,
            iteration: 0,
            position: Position(Vec::new()),
            bytes: 4,
            stored_bytes: 4,
            stall_ns: 0,
            missing: Default::default(),
            digests: Default::default(),
        };
        let stored = StoredCheckpoint { checkpoint, skeleton: skeleton.clone(), buffers: Vec::new() };
        let json = serde_json::to_string(&stored).expect("json");
        let mut journal = Writer::open(&layout.run(&run).join(names::RECORDER)).expect("journal");
        journal.append(&[Event::Stored(json)]).expect("written");
        assert_eq!(inventory.more(&layout).expect("reads"), skeleton.hashes().collect::<Vec<_>>());
    }
}
