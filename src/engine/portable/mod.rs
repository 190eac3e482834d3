//! A checkpoint as a file that others open: torch, safetensors, NumPy.
//!
//! Checkpoints hold trees of plain data with numbers beside them. They are read here as data, verified by hash; no Python
//! runs, so that nothing of the user's is imported, unpickled or executed, whoever made the store.

mod formats;
mod kinds;
mod marshal;
#[cfg(test)]
mod tests;
mod value;
mod zip;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::base::files::at;
use crate::base::ids::RunId;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::engine::{Error, stored};
use crate::model::run::CheckpointKind;
use crate::store::chunks::{ChunkStore, PacksLock};
use crate::store::layout::Layout;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// What `torch.load(FILE, weights_only=True)` gives as a dict of state dicts.
    Pt,
    /// Tensors under their paths.
    Safetensors,
    /// Arrays under their paths.
    Npz,
}

impl FileFormat {
    /// The usual end of such files' names.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Pt => "pt",
            Self::Safetensors => "safetensors",
            Self::Npz => "npz",
        }
    }
}

/// Which state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before an iteration of the main loop.
    Start(u64),
    /// After it.
    End(u64),
    /// As its blocks left it: what the code after them did is missing.
    Blocks(u64),
    /// A checkpoint by its number.
    Sequence(u64),
}

/// What a file was written from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub path: PathBuf,
    /// Names of the variables in it.
    pub variables: Vec<String>,
    pub checkpoints: Vec<u64>,
    /// Paths of what has no form in the file: code, handles, pickles.
    pub left_out: BTreeSet<String>,
}

/// Writes the state of one rank of a run at a moment. An existing file is replaced only with `replace`.
///
/// # Errors
/// If nothing was stored of that moment, it cannot be read, or the file is there or cannot be written.
pub fn export(
    layout: &Layout,
    run: &RunId,
    rank: u64,
    moment: Moment,
    format: FileFormat,
    path: &Path,
    replace: bool,
) -> Result<Written, Error> {
    if path.exists() && !replace {
        return Err(Error::FileExists { path: path.to_owned() });
    }
    // Nothing is removed until what is wanted is held open.
    let opening = PacksLock::shared(layout)?;
    let kept = stored::kept(layout, run, rank)?;
    let chosen = choose(&kept, moment);
    if chosen.is_empty() {
        return Err(Error::NoCheckpoint { run: run.clone(), moment, nearest: nearest(&kept, moment) });
    }
    let mut chunks = ChunkStore::open(layout)?;
    for buffer in chosen.iter().flat_map(|stored| stored.all_buffers()) {
        // What is not there is told when it is read.
        chunks.pin(buffer);
    }
    drop(opening);
    let mut written =
        Written { path: path.to_owned(), variables: Vec::new(), checkpoints: Vec::new(), left_out: BTreeSet::new() };
    let mut variables: Vec<(String, value::Value)> = Vec::new();
    for stored in chosen {
        let buffers = stored.buffers.iter().map(|buffer| chunks.read(buffer)).collect::<Result<_, _>>()?;
        let damaged = || Error::BadFile {
            path: layout.packs(),
            what: format!("checkpoint {} of {run} is no tree", stored.checkpoint.seq),
        };
        let mut reader = value::Reader::new(&chunks.read(&stored.skeleton)?, buffers).ok_or_else(damaged)?;
        for (name, value) in reader.variables() {
            // What a later block leaves behind counts.
            variables.retain(|(known, _)| *known != name);
            variables.push((name, value));
        }
        written.checkpoints.push(stored.checkpoint.seq);
        written.left_out.extend(reader.left_out);
    }
    written.variables = variables.iter().map(|(name, _)| name.clone()).collect();
    written.left_out.extend(write(&variables, format, path, replace)?);
    Ok(written)
}

/// Writes the file whole, or leaves none.
fn write(
    variables: &[(String, value::Value)],
    format: FileFormat,
    path: &Path,
    replace: bool,
) -> Result<Vec<String>, Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    // Made anew, so that no file of somebody else's is ever opened; without leave to replace one at its own place.
    let target = if replace { path.with_file_name(name) } else { path.to_owned() };
    let opened: Result<File, _> = OpenOptions::new().write(true).create_new(true).open(&target);
    let file = opened.map_err(at("create", &target))?;
    let out = BufWriter::with_capacity(1 << 20, &file);
    let written = match format {
        FileFormat::Pt => formats::write_pt(out, variables),
        FileFormat::Safetensors => formats::write_safetensors(out, variables),
        FileFormat::Npz => formats::write_npz(out, variables),
    };
    let placed = written.and_then(|left_out| {
        if replace {
            // Whole on the disk before what was there is gone.
            file.sync_all()?;
            std::fs::rename(&target, path)?;
        }
        Ok(left_out)
    });
    placed.map_err(|source| {
        // Half a file is none.
        let _ = std::fs::remove_file(&target);
        at("write", path)(source).into()
    })
}

/// The checkpoints that together are the state of a moment.
fn choose(kept: &[StoredCheckpoint], moment: Moment) -> Vec<&StoredCheckpoint> {
    let is_start = |stored: &StoredCheckpoint| stored.checkpoint.kind == CheckpointKind::IterationStart;
    let start_of = |iteration: u64| {
        kept.iter().rfind(|stored| is_start(stored) && stored.checkpoint.iteration == iteration).into_iter().collect()
    };
    match moment {
        Moment::Sequence(seq) => kept.iter().filter(|stored| stored.checkpoint.seq == seq).collect(),
        Moment::Start(iteration) => start_of(iteration),
        Moment::End(iteration) => start_of(iteration + 1),
        Moment::Blocks(iteration) => {
            kept.iter().filter(|stored| !is_start(stored) && stored.checkpoint.iteration == iteration).collect()
        }
    }
}

/// The iterations nearest to a moment of which it could be written, before and after.
fn nearest(kept: &[StoredCheckpoint], moment: Moment) -> Vec<u64> {
    let (wanted, offset, starts) = match moment {
        Moment::Sequence(_) => return Vec::new(),
        Moment::Start(iteration) => (iteration, 0, true),
        Moment::End(iteration) => (iteration, 1, true),
        Moment::Blocks(iteration) => (iteration, 0, false),
    };
    let of_kind = |stored: &&StoredCheckpoint| (stored.checkpoint.kind == CheckpointKind::IterationStart) == starts;
    let iterations = kept.iter().filter(of_kind).filter_map(|stored| stored.checkpoint.iteration.checked_sub(offset));
    let found: BTreeSet<u64> = iterations.collect();
    found.range(..wanted).next_back().into_iter().chain(found.range(wanted..).next()).copied().collect()
}
