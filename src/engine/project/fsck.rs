//! Checks everything at rest: database, run records, journals, checkpoint packs, versions.

use std::path::Path;

use crate::base::files;
use crate::base::ids::RunId;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::engine::project::Project;
use crate::engine::{Error, ingest, probes, stored};
use crate::model::run::RunMeta;
use crate::store::chunks::{ChunkStore, PacksLock};
use crate::store::journal;
use crate::store::layout::{is_held, names};
use crate::store::versions::Versions;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    pub runs: usize,
    pub journals: usize,
    pub probes: usize,
    pub chunks: u64,
    pub problems: Vec<Problem>,
    /// What is no damage but worth knowing: a journal that ends in the middle of a frame.
    pub remarks: Vec<String>,
}

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub hint: Option<String>,
}

impl FsckReport {
    fn add(&mut self, what: impl ToString, hint: Option<&str>) {
        self.problems.push(Problem { what: what.to_string(), hint: hint.map(str::to_owned) });
    }
}

impl Project {
    /// Reads everything in the store and says what is damaged. Changes nothing.
    ///
    /// # Errors
    /// If the store's folders cannot be listed.
    pub fn fsck(&self) -> Result<FsckReport, Error> {
        let mut report = FsckReport::default();
        match self.query(|db| Ok(db.check()?)) {
            Ok(lines) => {
                lines.iter().for_each(|line| report.add(format!("database: {line}"), Some("afterlog rebuild")))
            }
            Err(error) => report.add(&error, Some("afterlog rebuild")),
        }
        let versions = self.versions();
        if let Err(error) = &versions {
            report.add(error, None);
        }
        for id in self.layout().run_ids()? {
            report.runs += 1;
            self.check_run(&id, versions.as_ref().ok(), &mut report);
        }
        for job in self.layout().job_ids()? {
            self.check_journal(&self.layout().job(&job).join(names::JOB), &mut report);
            let segments = std::fs::read_dir(self.layout().job(&job).join("segments"));
            for segment in segments.into_iter().flatten().flatten() {
                self.check_journal(&segment.path().join(names::EVENTS), &mut report);
            }
        }
        let (probes, damaged) = probes::all(self.layout())?;
        report.probes = probes.len() + damaged.len();
        damaged.iter().for_each(|error| {
            report
                .add(error, Some("what was moved and excluded in it is lost: removed by hand, it can be added again"));
        });
        // Nothing is removed meanwhile, and what journals name is in the packs already.
        let _lock = PacksLock::shared(self.layout())?;
        let stored = self.stored_of_all(&mut report)?;
        match ChunkStore::open(self.layout()) {
            Ok(chunks) => {
                for pack in ChunkStore::pack_paths(self.layout())? {
                    check_pack(&chunks, &pack, &mut report);
                }
                stored.iter().for_each(|(run, stored)| check_checkpoint(&chunks, run, stored, &mut report));
            }
            Err(error) => report.add(error, None),
        }
        Ok(report)
    }

    /// The checkpoints of all runs that were not given up, and whose each is, in words.
    fn stored_of_all(&self, report: &mut FsckReport) -> Result<Vec<(String, StoredCheckpoint)>, Error> {
        let mut all = Vec::new();
        let runs = self.layout().run_ids()?;
        for (id, rank) in runs.iter().flat_map(|id| self.layout().ranks(id).into_iter().map(move |rank| (id, rank))) {
            let dropped = stored::dropped(self.layout(), id, rank).unwrap_or_else(|error| {
                report.add(error, Some("removed by hand it counts as empty"));
                std::collections::BTreeSet::new()
            });
            // What of the journal cannot be read was reported as its damage.
            let read = stored::read(self.layout(), id, rank, 0).unwrap_or_default();
            let there = read.checkpoints.into_iter().filter(|stored| !dropped.contains(&stored.checkpoint.seq));
            let of = if rank == 0 { id.to_string() } else { format!("{id} rank {rank}") };
            all.extend(there.map(|stored| (of.clone(), stored)));
        }
        Ok(all)
    }

    fn check_run(&self, id: &RunId, versions: Option<&Versions>, report: &mut FsckReport) {
        let folder = self.layout().run(id);
        for of_rank in self.layout().ranks(id).into_iter().map(|rank| self.layout().rank(id, rank)) {
            self.check_journal(&of_rank.join(names::EVENTS), report);
            self.check_journal(&of_rank.join(names::RECORDER), report);
        }
        let path = folder.join(names::META);
        // Written before a run's script starts: without it, and with nothing journalled, one is just beginning or never did.
        let journalled = journal::read_from(&folder.join(names::EVENTS), 0).is_ok_and(|batch| !batch.events.is_empty());
        if !path.exists() && !journalled {
            if !is_held(&folder.join(names::LOCK)) {
                report.remarks.push(format!("run {id} never began: its folder can be removed"));
            }
            return;
        }
        let meta = match files::read(&path) {
            Ok(json) => serde_json::from_slice::<RunMeta>(&json).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match meta {
            Err(error) => report.add(format!("run {id}: {} is not readable: {error}", path.display()), None),
            Ok(meta) => {
                if let Some(Err(error)) = versions.map(|versions| versions.list_files(&meta.version)) {
                    report.add(format!("run {id}: its version cannot be read: {error}"), None);
                }
            }
        }
    }

    /// A torn end is what a killed process leaves behind, or one that is just writing: no damage.
    fn check_journal(&self, path: &Path, report: &mut FsckReport) {
        if !path.exists() {
            return;
        }
        report.journals += 1;
        self.check_length(path, report);
        let mut offset = 0;
        loop {
            let batch = match journal::read_from(path, offset) {
                Ok(batch) => batch,
                Err(error) => return report.add(error, None),
            };
            for damage in &batch.damage {
                let (bytes, at, what) = (damage.bytes, damage.offset, damage.what);
                report.add(format!("{}: {bytes} bytes at offset {at}: {what}", path.display()), None);
            }
            offset = batch.next_offset;
            if batch.more {
                continue;
            }
            if batch.torn_bytes > 0 {
                let (path, bytes) = (path.display(), batch.torn_bytes);
                report.remarks.push(format!("{path} ends in the middle of a write: {bytes} bytes are not counted"));
            }
            return;
        }
    }

    /// Journals only grow: one shorter than what was read of it has lost its end.
    fn check_length(&self, path: &Path, report: &mut FsckReport) {
        // Where the database is what is damaged there is nothing to compare with.
        let ingested = self.query(|db| Ok(db.journal(&ingest::source(self.layout(), path))?.0)).unwrap_or(0);
        let length = std::fs::metadata(path).map_or(0, |meta| meta.len());
        if length < ingested {
            let hint = "the database still has what it held: export that before `afterlog rebuild`";
            report.add(format!("{}: its last {} bytes are gone", path.display(), ingested - length), Some(hint));
        }
    }
}

const INSTEAD: &str = "replays that need this checkpoint start from an earlier one";

fn check_pack(chunks: &ChunkStore, path: &Path, report: &mut FsckReport) {
    match chunks.verify(path) {
        Ok((sound, damage)) => {
            report.chunks += sound;
            damage.iter().for_each(|damage| report.add(format!("{}: {}", path.display(), damage.what), Some(INSTEAD)));
        }
        Err(error) => report.add(error, Some(INSTEAD)),
    }
}

/// A checkpoint that nobody gave up must be in the packs.
fn check_checkpoint(chunks: &ChunkStore, run: &str, stored: &StoredCheckpoint, report: &mut FsckReport) {
    if !stored.all_buffers().all(|buffer| chunks.holds(buffer)) {
        let found = &stored.checkpoint;
        report.add(format!("run {run}: checkpoint {} ({}) is not whole", found.seq, found.position), Some(INSTEAD));
    }
}
