//! Removes from the packs what nobody needs: whole packs, or by writing a pack anew with what is left.
//!
//! A pack is replaced by renaming a finished, synced copy over it, so that whoever is killed at whatever moment leaves
//! every chunk that is needed in place. Copying needs no lock; the exclusive one is held for the moment in which what
//! has come to be needed meanwhile is looked at again and the copy takes the pack's place. A difference to a chunk that
//! nobody needs for itself is encoded anew, and only then that chunk goes: whatever a pack holds, its base is there.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pack::{self, MAX_DEPTH, PACK_MAGIC, Record};
use super::store::Pack;
use super::{CHUNK_BYTES, ChunkError, ChunkStore, Hash, PacksLock, encoding};
use crate::base::files::{self, at};
use crate::store::layout::Layout;

/// A pack is written anew for this part of it, unless room is short: less is not worth the copying.
const WORTH: u64 = 8;
/// What a pack being written anew is called until it is whole.
const UNFINISHED: &str = "pack-tmp";

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub removed_packs: u64,
    pub rewritten_packs: u64,
    pub freed_bytes: u64,
    /// Whether it ended before its end, since others held on to the packs for longer than there was patience.
    pub gave_up: bool,
}

/// How to sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// Whether packs are written anew for every byte.
    pub thorough: bool,
    /// How long others are waited for; `None` without a bound.
    pub patience: Option<Duration>,
}

/// Removes what is not `live` from all packs but those that `keep` names. `more` gives, under the exclusive lock, what has
/// come to be needed since `live` was gathered.
///
/// # Errors
/// If a pack cannot be read or written; what is needed stays in any case.
pub fn sweep<E: From<ChunkError>>(
    layout: &Layout,
    live: HashSet<Hash>,
    keep: &dyn Fn(&Path) -> bool,
    more: &mut dyn FnMut() -> Result<Vec<Hash>, E>,
    how: How,
) -> Result<Swept, E> {
    remove_unfinished(layout)?;
    let store = ChunkStore::open(layout)?;
    let mut sweep =
        Sweep { layout, store, live, needed: HashMap::new(), noted: Vec::new(), how, swept: Swept::default() };
    sweep.note_all_needs();
    // Differences stand in later packs than their bases, as a rule: what needs an earlier chunk is seen to first.
    for number in (0..sweep.store.packs.len()).rev() {
        if !sweep.swept.gave_up && !keep(&sweep.store.packs[number].path) {
            sweep.pack(number, more)?;
        }
    }
    Ok(sweep.swept)
}

/// Removes what a sweep that was killed left behind.
fn remove_unfinished(layout: &Layout) -> Result<(), ChunkError> {
    let folder = layout.packs();
    for entry in fs::read_dir(&folder).map_err(at("list", &folder))?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == UNFINISHED) {
            fs::remove_file(entry.path()).map_err(at("remove", &entry.path()))?;
        }
    }
    Ok(())
}

struct Sweep<'a> {
    layout: &'a Layout,
    store: ChunkStore,
    live: HashSet<Hash>,
    /// The packs with differences to a chunk.
    needed: HashMap<Hash, HashSet<usize>>,
    /// How much of each pack that takes into account.
    noted: Vec<u64>,
    how: How,
    swept: Swept,
}

/// What becomes of a pack.
struct Fate {
    path: PathBuf,
    length: u64,
    stay: Vec<Record>,
    go: Vec<Record>,
}

impl Sweep<'_> {
    /// Notes what the differences of all packs need, as far as that is not known.
    fn note_all_needs(&mut self) {
        self.noted.resize(self.store.packs.len(), 0);
        for number in 0..self.store.packs.len() {
            let path = &self.store.packs[number].path;
            if fs::metadata(path).is_ok_and(|meta| meta.len() == self.noted[number]) {
                continue;
            }
            let Ok((records, end)) = pack::list(path) else { continue };
            self.noted[number] = end;
            self.note_needs(number, &records);
        }
    }

    /// Notes what has come to be needed since, by packs that have grown and by new ones. To be called under the lock.
    fn note_new_needs(&mut self) -> Result<(), ChunkError> {
        for path in ChunkStore::pack_paths(self.layout)? {
            if !self.store.packs.iter().any(|pack| pack.path == path) {
                self.store.packs.push(Pack { path, file: None });
            }
        }
        self.note_all_needs();
        Ok(())
    }

    /// Whether a pack other than this one has a difference to the chunk.
    fn is_needed_outside(&self, number: usize, hash: &Hash) -> bool {
        self.needed.get(hash).is_some_and(|packs| packs.iter().any(|pack| *pack != number))
    }

    fn note_needs(&mut self, number: usize, records: &[Record]) {
        for base in records.iter().filter_map(|record| record.base) {
            self.needed.entry(base).or_default().insert(number);
        }
    }

    fn pack<E: From<ChunkError>>(
        &mut self,
        number: usize,
        more: &mut dyn FnMut() -> Result<Vec<Hash>, E>,
    ) -> Result<(), E> {
        let Some(fate) = self.fate(number)? else { return Ok(()) };
        let copy = fate.path.with_extension(UNFINISHED);
        let written = if fate.stay.is_empty() { Ok(true) } else { self.copy(&fate, &copy) };
        let replaced = match written {
            Ok(true) => self.replace(number, &fate, &copy, more),
            // A damaged chunk is left to whoever asks for it: it is told there.
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        // In its place by now, or of no use.
        let _ = fs::remove_file(&copy);
        replaced
    }

    /// What is to go from a pack; `None` where nothing is, or too little.
    fn fate(&self, number: usize) -> Result<Option<Fate>, ChunkError> {
        let path = self.store.packs[number].path.clone();
        let Ok((records, end)) = pack::list(&path) else { return Ok(None) };
        let length = fs::metadata(&path).map_err(at("read", &path))?.len();
        // More than a torn record is damage, and what lies behind it may be needed.
        let torn = length.saturating_sub(end);
        if torn > 2 * CHUNK_BYTES as u64 || (torn > 0 && pack::goes_on_behind(&path, end)?) {
            return Ok(None);
        }
        let outside = |hash: &Hash| self.is_needed_outside(number, hash);
        // What stays only because others need it stays as it is, and so does what it is the difference to.
        let mut inside: HashSet<Hash> = HashSet::new();
        for record in records.iter().rev() {
            let live = self.live.contains(&record.hash);
            if !live && (outside(&record.hash) || inside.contains(&record.hash)) {
                inside.insert(record.hash);
                inside.extend(record.base);
            }
        }
        let stays = |record: &Record| self.live.contains(&record.hash) || inside.contains(&record.hash);
        let (stay, go): (Vec<Record>, Vec<Record>) = records.into_iter().partition(stays);
        let freed = go.iter().map(Record::bytes).sum::<u64>() + torn;
        let pays = freed > 0 && (self.how.thorough || freed * WORTH >= length);
        Ok((stay.is_empty() || pays).then_some(Fate { path, length, stay, go }))
    }

    /// Copies what stays. False if that needs a chunk that cannot be read.
    fn copy(&mut self, fate: &Fate, copy: &Path) -> Result<bool, ChunkError> {
        let failed = || at("write", copy);
        let source = File::open(&fate.path).map_err(at("open", &fate.path))?;
        let mut target = BufWriter::with_capacity(1 << 20, File::create(copy).map_err(at("create", copy))?);
        target.write_all(PACK_MAGIC).map_err(failed())?;
        for record in &fate.stay {
            let alone = record.base.is_none_or(|base| self.live.contains(&base));
            let bytes = if alone || !self.live.contains(&record.hash) {
                pack::read_whole(&fate.path, &source, record)?
            } else {
                match self.encoded_anew(record) {
                    Ok(bytes) => bytes,
                    Err(ChunkError::Missing { .. } | ChunkError::Damaged { .. }) => return Ok(false),
                    Err(error) => return Err(error),
                }
            };
            target.write_all(&bytes).map_err(failed())?;
        }
        let file = target.into_inner().map_err(|error| at("write", copy)(error.into_error()))?;
        file.sync_all().map_err(failed())?;
        Ok(true)
    }

    /// A chunk as the difference to the nearest chunk of its chain that stays, or by itself.
    fn encoded_anew(&self, record: &Record) -> Result<Vec<u8>, ChunkError> {
        let raw = self.store.read_chunk(&record.hash)?;
        let mut ancestor = record.base;
        while let Some(hash) = ancestor {
            let Some((_, found)) = self.store.index.get(&hash) else { break };
            if self.live.contains(&hash) && found.depth < MAX_DEPTH {
                let base = self.store.read_chunk(&hash)?;
                let Some(encoded) = encoding::encode_difference(&raw, &base, record.kind()) else { break };
                return Ok(pack::record(&record.hash, raw.len(), &encoded, Some((hash, found.depth + 1))));
            }
            ancestor = found.base;
        }
        Ok(pack::record(&record.hash, raw.len(), &encoding::encode(&raw, record.kind()), None))
    }

    /// Puts the copy in the pack's place, with what has come to be needed meanwhile.
    fn replace<E: From<ChunkError>>(
        &mut self,
        number: usize,
        fate: &Fate,
        copy: &Path,
        more: &mut dyn FnMut() -> Result<Vec<Hash>, E>,
    ) -> Result<(), E> {
        let Some(lock) = PacksLock::exclusive(self.layout, self.how.patience).map_err(ChunkError::from)? else {
            self.swept.gave_up = true;
            return Ok(());
        };
        self.live.extend(more()?);
        self.note_new_needs()?;
        // Rare: a recorder has found a chunk here that no checkpoint had any more. The next sweep sees to it.
        let wanted = |hash: &Hash| self.live.contains(hash) || self.is_needed_outside(number, hash);
        if fate.go.iter().any(|record| wanted(&record.hash)) {
            return Ok(());
        }
        if fate.stay.is_empty() {
            lock.count_removal().map_err(ChunkError::from)?;
            fs::remove_file(&fate.path).map_err(|error| ChunkError::from(at("remove", &fate.path)(error)))?;
            self.swept.removed_packs += 1;
            self.swept.freed_bytes += fate.length;
        } else {
            let length = fs::metadata(copy).map_err(|error| ChunkError::from(at("read", copy)(error)))?.len();
            lock.count_removal().map_err(ChunkError::from)?;
            fs::rename(copy, &fate.path).map_err(|error| ChunkError::from(at("replace", &fate.path)(error)))?;
            self.swept.rewritten_packs += 1;
            self.swept.freed_bytes += fate.length.saturating_sub(length);
        }
        files::sync(&self.layout.packs()).map_err(ChunkError::from)?;
        drop(lock);
        self.relist(number);
        Ok(())
    }

    /// Takes in what a pack holds now.
    fn relist(&mut self, number: usize) {
        self.store.index.retain(|_, (pack, _)| *pack != number);
        self.needed.values_mut().for_each(|packs| {
            packs.remove(&number);
        });
        self.noted[number] = 0;
        self.note_all_needs();
        self.store.list(number);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::super::{CHUNK_BYTES, ChunkError, ChunkStore, Hash, ItemKind, PackWriter, StoredBuffer};
    use super::{How, sweep};
    use crate::base::files;
    use crate::store::layout::Layout;

    const HOW: How = How { thorough: true, patience: None };
    const FLOATS: ItemKind = ItemKind { size: 4, is_float: true };

    /// Weights of two chunks after so many small steps.
    fn weights(step: u32) -> Vec<u8> {
        let mut bytes = vec![0; CHUNK_BYTES + 28];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        for (number, item) in (0_u32..).zip(bytes.as_chunks_mut::<4>().0) {
            let mantissa = u32::from_le_bytes(*item) & 0x003f_ffff;
            *item = (0x3d00_0000 + mantissa + step * (number % 97)).to_le_bytes();
        }
        bytes
    }

    /// Stores steps one after the other in two packs, each as the difference to the one before; gives them.
    fn stored(layout: &Layout, count: u32) -> Vec<StoredBuffer> {
        let mut found: Vec<StoredBuffer> = Vec::new();
        for (name, steps) in [("0000000001", 0..count / 2), ("0000000002", count / 2..count)] {
            let mut writer = PackWriter::create(layout, name).expect("packs");
            for step in steps {
                let _lock = writer.begin().expect("lock");
                found.push(writer.put(&weights(step), FLOATS, found.last()).expect("stored").0);
            }
        }
        found
    }

    fn live<'a>(buffers: impl IntoIterator<Item = &'a StoredBuffer>) -> HashSet<Hash> {
        buffers.into_iter().flat_map(StoredBuffer::hashes).collect()
    }

    fn bytes(layout: &Layout) -> u64 {
        let packs = ChunkStore::pack_paths(layout).expect("packs");
        packs.iter().map(|pack| std::fs::metadata(pack).expect("pack").len()).sum()
    }

    #[track_caller]
    fn is_sound(layout: &Layout, all: &[StoredBuffer], kept: &[usize]) {
        let store = ChunkStore::open(layout).expect("packs");
        for number in kept {
            let step = u32::try_from(*number).expect("small");
            assert!(store.read(&all[*number]).expect("reads") == weights(step), "step {step}");
        }
        for pack in ChunkStore::pack_paths(layout).expect("packs") {
            assert_eq!(store.verify(&pack).expect("a pack").1, []);
        }
    }

    #[test]
    fn whatever_is_kept_of_a_chain_of_differences_reads_back_and_the_rest_is_freed() {
        for kept in [vec![0, 4, 9], vec![3], vec![1, 2, 3], (0..10).collect(), vec![]] {
            let dir = tempfile::tempdir().expect("folder");
            let layout = Layout::create(dir.path()).expect("store");
            let all = stored(&layout, 10);
            let before = bytes(&layout);
            assert!(before < 10 * CHUNK_BYTES as u64 / 2, "kept as differences: {before}");
            let wanted = live(kept.iter().map(|number| &all[*number]));
            let mut more = || Ok::<_, ChunkError>(Vec::new());
            let swept = sweep(&layout, wanted.clone(), &|_: &Path| false, &mut more, HOW).expect("sweeps");
            is_sound(&layout, &all, &kept);
            let after = bytes(&layout);
            assert_eq!(swept.freed_bytes, before - after, "{kept:?}");
            // Without what goes each takes no more than by itself.
            assert!(after <= 32 + kept.len() as u64 * (CHUNK_BYTES as u64 + 200), "{kept:?}: {after} of {before}");
            let store = ChunkStore::open(&layout).expect("packs");
            let gone = (0..10).filter(|number| !kept.contains(number));
            for number in gone {
                assert!(all[number].hashes().filter(|hash| !wanted.contains(hash)).all(|hash| !store.has(&hash)));
            }
            let again = sweep(&layout, wanted, &|_: &Path| false, &mut more, HOW).expect("sweeps");
            assert_eq!(again.freed_bytes, 0, "{kept:?}");
        }
    }

    #[test]
    fn what_a_recorder_comes_to_need_meanwhile_stays_and_its_packs_are_left_alone() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let all = stored(&layout, 10);
        let needed: Vec<Hash> = all[7].hashes().collect();
        let mut more = || Ok::<_, ChunkError>(needed.clone());
        sweep(&layout, live([&all[0]]), &|_: &Path| false, &mut more, HOW).expect("sweeps");
        is_sound(&layout, &all, &[0, 7]);
        let open = |pack: &Path| pack.ends_with("0000000002.pack");
        sweep(&layout, HashSet::new(), &open, &mut || Ok::<_, ChunkError>(Vec::new()), HOW).expect("sweeps");
        is_sound(&layout, &all, &[7]);
    }

    #[test]
    fn what_a_difference_stored_meanwhile_is_the_difference_to_stays() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let all = stored(&layout, 2);
        let mut writer = PackWriter::create(&layout, "0000000003").expect("packs");
        let mut put = None;
        let mut more = || {
            // The base is no checkpoint's any more; only what is stored now is known to the journal.
            let (buffer, _) = writer.put(&weights(2), FLOATS, Some(&all[1]))?;
            put.get_or_insert(buffer.clone());
            Ok::<_, ChunkError>(buffer.hashes().collect())
        };
        sweep(&layout, HashSet::new(), &|_: &Path| false, &mut more, HOW).expect("sweeps");
        let store = ChunkStore::open(&layout).expect("packs");
        assert!(store.read(&put.expect("stored")).expect("reads") == weights(2));
    }

    #[test]
    fn a_damaged_header_near_the_end_does_not_cost_what_stands_behind_it() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let mut writer = PackWriter::create(&layout, "0000000001").expect("packs");
        let contents = [1_u8, 2, 3].map(|seed| vec![seed; 3000]);
        let buffers = contents.each_ref().map(|raw| writer.put(raw, ItemKind::BYTES, None).expect("stored").0);
        let path = writer.path().expect("written").to_owned();
        let sound = std::fs::read(&path).expect("pack");
        let second = sound.windows(4).enumerate().filter(|(_, four)| four == b"CHNK").nth(1).expect("a record").0;
        let mut damaged = sound.clone();
        damaged[second] ^= 1;
        files::write_atomic(&path, &damaged).expect("damaged");
        let mut more = || Ok::<_, ChunkError>(Vec::new());
        for wanted in [live([&buffers[2]]), live([&buffers[0], &buffers[2]])] {
            sweep(&layout, wanted, &|_: &Path| false, &mut more, HOW).expect("sweeps");
        }
        let mut repaired = std::fs::read(&path).expect("still there");
        repaired[second] ^= 1;
        files::write_atomic(&path, &repaired).expect("repaired");
        let store = ChunkStore::open(&layout).expect("packs");
        for (buffer, raw) in buffers.iter().zip(&contents) {
            assert!(store.read(buffer).expect("reads") == *raw);
        }
    }

    #[test]
    fn a_writer_notices_that_what_it_took_for_stored_is_gone() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let all = stored(&layout, 4);
        let mut writer = PackWriter::create(&layout, "0000000003").expect("packs");
        sweep(&layout, HashSet::new(), &|_: &Path| false, &mut || Ok::<_, ChunkError>(Vec::new()), HOW)
            .expect("sweeps");
        let _lock = writer.begin().expect("lock");
        let (again, added) = writer.put(&weights(2), FLOATS, Some(&all[1])).expect("stored");
        assert!(again == all[2] && added > 0);
        is_sound(&layout, &all, &[2]);
    }

    #[test]
    fn what_was_held_open_before_is_read_from_the_packs_as_they_were() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        let all = stored(&layout, 10);
        let mut store = ChunkStore::open(&layout).expect("packs");
        assert!(store.pin(&all[7]));
        sweep(&layout, live([&all[0]]), &|_: &Path| false, &mut || Ok::<_, ChunkError>(Vec::new()), HOW)
            .expect("sweeps");
        assert!(store.read(&all[7]).expect("reads") == weights(7));
    }
}
