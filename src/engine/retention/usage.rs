//! What the store's bytes are, and what each choice of keeping checkpoints would free and cost.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::inventory::{Inventory, RankInventory, RunInventory, is_running};
use crate::analysis::planner;
use crate::analysis::retention::{Holding, Ledger, last_level, stays};
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::project::Project;
use crate::model::run::{Checkpoint, RunDetail};
use crate::store::layout::names;

/// All bytes of a store: the parts add up to `total`, which is what the file system says.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Usage {
    pub runs: Vec<RunUsage>,
    /// All packs: what runs own, what they share (once), and what no checkpoint needs.
    pub checkpoint_bytes: u64,
    pub shared_bytes: u64,
    pub unneeded_bytes: u64,
    /// The folders of all runs: journals, output, facts.
    pub run_bytes: u64,
    pub replay_bytes: u64,
    pub database_bytes: u64,
    /// The versions' repository, where the project has no git of its own.
    pub version_bytes: u64,
    pub other_bytes: u64,
    pub total_bytes: u64,
}

/// The bytes of one run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RunUsage {
    pub run: RunId,
    pub name: Option<String>,
    pub running: bool,
    /// Iterations that have checkpoints, of those that ever had some, of all.
    pub kept_iterations: usize,
    pub stored_iterations: usize,
    pub iterations: usize,
    pub checkpoints: usize,
    /// Bytes of chunks that this run alone needs, and of those that others need too.
    pub own_bytes: u64,
    pub shared_bytes: u64,
    pub journal_bytes: u64,
    pub output_bytes: u64,
    pub other_bytes: u64,
    /// The files of its version, as they are in the work tree; git keeps them compressed and once for all versions.
    pub version_bytes: u64,
    pub choices: Vec<Choice>,
}

/// A choice of what to keep of a run's checkpoints.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Choice {
    /// In words.
    pub keep: String,
    pub iterations: usize,
    pub frees_bytes: u64,
    /// Iterations that must be executed for the values of one, at most and on average.
    pub most_iterations: u64,
    pub mean_iterations: f64,
    /// The same in the time that the run took for them, with what comes before its main loop.
    pub most_ns: u64,
    pub mean_ns: u64,
}

/// Measures a store. Choices are worked out for the runs in `chosen`.
///
/// # Errors
/// If it cannot be read.
pub fn usage(project: &Project, chosen: &[RunId]) -> Result<Usage, Error> {
    let layout = project.layout();
    let inventory = Inventory::read(layout, None)?;
    let holdings = inventory.holdings();
    let mut users: HashMap<usize, u32> = HashMap::new();
    let needs: Vec<BTreeSet<usize>> = holdings.iter().map(chunks_of).collect();
    needs.iter().flatten().for_each(|chunk| *users.entry(*chunk).or_default() += 1);
    let bytes = |chunk: &usize| inventory.chunks[*chunk].bytes;
    let shared: u64 = users.iter().filter(|(_, runs)| **runs > 1).map(|(chunk, _)| bytes(chunk)).sum();
    let mut ledger = Ledger::new(&inventory.chunks, &holdings);
    let mut runs = Vec::new();
    for ((run, holding), needs) in inventory.runs.iter().zip(&holdings).zip(&needs) {
        // A folder without a record of the run is being made, or was never finished.
        let Ok(detail) = project.run_detail(&run.run) else { continue };
        let (own, others): (Vec<usize>, Vec<usize>) = needs.iter().partition(|chunk| users[*chunk] == 1);
        let mut usage = of_run(project, run, holding, &detail)?;
        usage.own_bytes = own.iter().map(bytes).sum();
        usage.shared_bytes = others.iter().map(bytes).sum();
        if chosen.contains(&run.run) {
            usage.choices = choices(project, run, holding, &detail, &mut ledger);
        }
        runs.push(usage);
    }
    let in_memory = file_bytes(&layout.database().with_file_name("db.sqlite-shm"));
    let total_bytes = Inventory::folder_bytes(layout.store())?.saturating_sub(in_memory);
    let part = |path: &Path| if path.exists() { Inventory::folder_bytes(path) } else { Ok(0) };
    let (run_bytes, replay_bytes) = (part(&layout.runs())?, part(&layout.jobs())?);
    let version_bytes = part(&layout.private_repository())?;
    let database_bytes = database_bytes(&layout.database());
    let needed: u64 = users.keys().map(bytes).sum();
    let known = inventory.pack_bytes + run_bytes + replay_bytes + version_bytes + database_bytes;
    Ok(Usage {
        runs,
        checkpoint_bytes: inventory.pack_bytes,
        shared_bytes: shared,
        unneeded_bytes: inventory.pack_bytes.saturating_sub(needed),
        run_bytes,
        replay_bytes,
        database_bytes,
        version_bytes,
        other_bytes: total_bytes.saturating_sub(known),
        total_bytes,
    })
}

fn chunks_of(holding: &Holding) -> BTreeSet<usize> {
    holding.units.iter().filter(|unit| !unit.dropped).flat_map(|unit| unit.chunks.iter().copied()).collect()
}

fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// The database with its journal. What SQLite keeps in shared memory beside it is there only while it is open, as now.
fn database_bytes(path: &Path) -> u64 {
    ["", "-wal"].iter().map(|end| file_bytes(&path.with_file_name(format!("db.sqlite{end}")))).sum()
}

fn of_run(project: &Project, run: &RunInventory, holding: &Holding, detail: &RunDetail) -> Result<RunUsage, Error> {
    let folder = project.layout().run(&run.run);
    let of_ranks = |files: &[&str]| -> u64 {
        let folders = run.ranks.keys().map(|rank| project.layout().rank(&run.run, *rank));
        folders.map(|folder| files.iter().map(|name| file_bytes(&folder.join(name))).sum::<u64>()).sum()
    };
    let journal_bytes = of_ranks(&[names::EVENTS, names::RECORDER]);
    let output_bytes = of_ranks(&[names::OUTPUT]);
    Ok(RunUsage {
        run: run.run.clone(),
        name: detail.summary.name.clone(),
        running: is_running(project.layout(), &run.run),
        kept_iterations: holding.units.iter().filter(|unit| !unit.dropped).count(),
        stored_iterations: holding.units.len(),
        iterations: detail.timings.iterations.len(),
        checkpoints: run.kept().count(),
        own_bytes: 0,
        shared_bytes: 0,
        journal_bytes,
        output_bytes,
        other_bytes: Inventory::folder_bytes(&folder)?.saturating_sub(journal_bytes + output_bytes),
        version_bytes: project.versions()?.bytes(&detail.meta.version).unwrap_or(0),
        choices: Vec::new(),
    })
}

/// Each choice there is, from keeping everything to keeping nothing.
fn choices(
    project: &Project,
    run: &RunInventory,
    holding: &Holding,
    detail: &RunDetail,
    ledger: &mut Ledger<'_>,
) -> Vec<Choice> {
    let count = holding.units.len();
    let instrumentation = project.instrumentation(&run.run);
    let kept = run.ranks.get(&0).into_iter().flat_map(RankInventory::kept);
    let kept: Vec<Checkpoint> = kept.map(|stored| stored.checkpoint.clone()).collect();
    let starts = planner::starts(&instrumentation, &kept);
    let levels = (0..=last_level(count)).map(Some).chain([None]);
    let mut choices: Vec<Choice> = Vec::new();
    for level in levels {
        let left =
            |place: usize| !holding.units[place].dropped && level.is_some_and(|level| stays(place, count, level));
        let goes = || holding.units.iter().enumerate().filter(|(place, unit)| !unit.dropped && !left(*place));
        let before = ledger.total;
        goes().for_each(|(_, unit)| ledger.remove(unit));
        let frees_bytes = before.saturating_sub(ledger.total);
        goes().for_each(|(_, unit)| ledger.add(unit));
        let iterations: Vec<u64> =
            (0..count).filter(|place| left(*place)).map(|at| holding.units[at].iteration).collect();
        let keep = match level {
            Some(0) => "all that is there".to_owned(),
            Some(level) if level == last_level(count) => "first and last".to_owned(),
            Some(level) => format!("every {}th", 1_u64 << level),
            None => "none".to_owned(),
        };
        let same = choices.last_mut().filter(|last| last.iterations == iterations.len() && level.is_some());
        if let Some(last) = same {
            // Where little is left, several levels come to the same: the last one says it best.
            if last.frees_bytes > 0 {
                last.keep = keep;
            }
        } else {
            let from: BTreeSet<u64> = iterations.iter().copied().filter(|at| starts.contains(at)).collect();
            choices.push(cost(keep.replace("2th", "2nd"), iterations.len(), frees_bytes, &from, detail));
        }
    }
    choices
}

/// What replaying one iteration costs when it can be entered at these.
fn cost(keep: String, iterations: usize, frees_bytes: u64, starts: &BTreeSet<u64>, detail: &RunDetail) -> Choice {
    let timings = &detail.timings;
    let (mut executed, mut ns) = (0_u64, 0_u64);
    let (mut most, mut sum, mut most_ns, mut sum_ns) = (0, 0, 0, 0_u64);
    for (iteration, timing) in (0_u64..).zip(&timings.iterations) {
        if starts.contains(&iteration) {
            (executed, ns) = (0, 0);
        }
        executed += 1;
        ns += timing.total_ns;
        most = most.max(executed);
        sum += executed;
        most_ns = most_ns.max(timings.prefix_ns + ns);
        sum_ns = sum_ns.saturating_add(timings.prefix_ns + ns);
    }
    let count = timings.iterations.len().max(1) as u64;
    // Iterations are counted in thousandths, so that no precision is lost on the way to a float.
    let mean_iterations = f64::from(u32::try_from(sum * 1000 / count).unwrap_or(u32::MAX)) / 1000.0;
    Choice { keep, iterations, frees_bytes, most_iterations: most, mean_iterations, most_ns, mean_ns: sum_ns / count }
}
