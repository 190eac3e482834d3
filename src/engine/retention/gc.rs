//! The plan of a removal, and its performance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::config;
use super::inventory::{Inventory, RankInventory, followed_by, is_running, run_of};
use crate::analysis::retention::{self, Thinning};
use crate::base::files::at;
use crate::base::ids::RunId;
use crate::engine::{Error, replay, stored};
use crate::store::chunks::{ChunkStore, How, PacksLock, Swept, sweep};
use crate::store::layout::{Layout, Lock};

/// What a removal by itself aims for: so far below the budget that the next checkpoint does not exceed it again.
const HEADROOM: u64 = 8;
/// What differences leave when their bases go is estimated: so often a plan is made anew from what there is.
const MAX_ROUNDS: u32 = 4;
/// A recorder waits for others no longer: meanwhile it takes no snapshots.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcRequest {
    /// Bytes that checkpoints may take; `None`: as the settings say.
    pub budget: Option<u64>,
    /// Runs to thin to that many iterations at most, whatever the budget.
    pub thin_to: Option<(Vec<RunId>, usize)>,
    /// The running run whose recorder asks.
    pub own: Option<RunId>,
    /// How long others who read the packs are waited for; `None` without a bound.
    pub patience: Option<Duration>,
}

/// Checkpoints that a run is to give up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RunDrop {
    pub run: RunId,
    /// Iterations of the main loop that replay could begin with so far.
    pub iterations: Vec<u64>,
    /// Sequence numbers, by rank.
    pub checkpoints: BTreeMap<u64, BTreeSet<u64>>,
    /// Iterations that keep theirs.
    pub kept: usize,
}

/// What a removal will do. Data only: [`perform`] does it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GcPlan {
    /// Bytes that checkpoints may take; `None` without a limit.
    pub budget: Option<u64>,
    /// Bytes of all packs now.
    pub before: u64,
    /// The same afterwards, as far as it can be known.
    pub after: u64,
    /// Of these, what no checkpoint needs even now.
    pub unneeded: u64,
    pub drops: Vec<RunDrop>,
    /// What replays that were killed left behind.
    pub leftovers: Vec<PathBuf>,
}

impl GcPlan {
    /// Whether what is left is within the budget.
    pub fn is_within_budget(&self) -> bool {
        self.budget.is_none_or(|budget| self.after <= budget)
    }
}

/// What a removal did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    pub dropped: Vec<RunDrop>,
    pub swept: Swept,
    /// Bytes of all packs afterwards.
    pub after: u64,
}

/// Plans a removal. Nothing is changed.
///
/// # Errors
/// If the store or its settings cannot be read.
pub fn plan(layout: &Layout, request: &GcRequest) -> Result<GcPlan, Error> {
    plan_from(layout, request, &Inventory::read(layout, request.own.as_ref())?)
}

fn plan_from(layout: &Layout, request: &GcRequest, inventory: &Inventory) -> Result<GcPlan, Error> {
    let holdings = inventory.holdings();
    let budget = match request.budget {
        Some(budget) => Some(budget),
        // Who names runs to thin asks for no more than that.
        None if request.thin_to.is_some() => None,
        None => config::budget(layout, inventory.pack_bytes)?,
    };
    let packs = ChunkStore::pack_paths(layout)?.len() as u64;
    // A pack's own header.
    let fixed = packs * 16;
    let mut thinning = match &request.thin_to {
        Some((runs, most)) => {
            let chosen: Vec<bool> = inventory.runs.iter().map(|run| runs.contains(&run.run)).collect();
            retention::thin_to(&inventory.chunks, &holdings, &chosen, *most)
        }
        None => Thinning::default(),
    };
    if let Some(budget) = budget
        && request.thin_to.is_none()
    {
        thinning = retention::thin(&inventory.chunks, &holdings, budget.saturating_sub(fixed));
    }
    let needed = retention::Ledger::new(&inventory.chunks, &holdings).total;
    let drops = inventory.runs.iter().zip(&holdings).zip(&thinning.drop).filter(|(_, places)| !places.is_empty());
    let drops = drops.map(|((run, holding), places)| {
        let iterations: Vec<u64> = places.iter().map(|place| holding.units[*place].iteration).collect();
        let goes = |iteration: u64| iterations.contains(&iteration);
        let of_rank = |found: &RankInventory| -> BTreeSet<u64> {
            let kept = found.kept().map(|stored| &stored.checkpoint);
            kept.filter(|found| goes(followed_by(found))).map(|found| found.seq).collect()
        };
        let checkpoints = run.ranks.iter().map(|(rank, found)| (*rank, of_rank(found)));
        let checkpoints = checkpoints.filter(|(_, found)| !found.is_empty()).collect();
        let there = holding.units.iter().filter(|unit| !unit.dropped).count();
        RunDrop { run: run.run.clone(), kept: there - iterations.len(), checkpoints, iterations }
    });
    let after = if thinning.drop.is_empty() { needed } else { thinning.after } + fixed;
    Ok(GcPlan {
        budget,
        before: inventory.pack_bytes,
        after: after.min(inventory.pack_bytes),
        unneeded: inventory.pack_bytes.saturating_sub(needed + fixed),
        drops: drops.collect(),
        leftovers: replay::leftovers(layout),
    })
}

/// Performs a plan: gives up what it names, except of runs that have come into use since, and removes what nobody needs.
///
/// # Errors
/// If somebody else is at it, a journal is damaged (what it named may be needed), or files cannot be changed.
pub fn perform(layout: &Layout, request: &GcRequest, plan: &GcPlan) -> Result<GcReport, Error> {
    let busy = || Error::Unsupported {
        what: "checkpoints are being removed by somebody else".into(),
        instead: "wait for them to finish".into(),
    };
    let _lock = Lock::acquire(&layout.gc_lock())?.ok_or_else(busy)?;
    let mut report = GcReport::default();
    let mut plan = plan.clone();
    for round in 0..MAX_ROUNDS {
        give_up(layout, request, &plan, &mut report)?;
        if report.swept.gave_up {
            break;
        }
        let inventory = Inventory::read(layout, request.own.as_ref())?;
        let of_all =
            inventory.runs.iter().flat_map(|run| run.ranks.iter().map(move |(rank, found)| (run, rank, found)));
        if let Some((run, rank, _)) = of_all.into_iter().find(|(.., found)| found.damaged) {
            let path = layout.rank(&run.run, *rank).join(crate::store::layout::names::RECORDER);
            return Err(Error::BadFile {
                path,
                what: "it is damaged, and may name checkpoints that are needed".into(),
            });
        }
        let wanted = plan_from(layout, request, &inventory)?;
        let over = wanted.budget.is_some_and(|budget| inventory.pack_bytes > budget);
        remove(layout, request, inventory, over || plan.budget.is_none(), &mut report)?;
        plan = self::plan(layout, request)?;
        if report.swept.gave_up {
            break;
        }
        let within = plan.budget.is_none_or(|budget| plan.before <= budget);
        if within || (plan.drops.is_empty() && round > 0) {
            break;
        }
    }
    if report.swept.gave_up {
        plan = self::plan(layout, request)?;
    }
    replay::clear_leftovers(layout);
    report.after = plan.before;
    Ok(report)
}

/// Notes on the runs what is given up.
fn give_up(layout: &Layout, request: &GcRequest, plan: &GcPlan, report: &mut GcReport) -> Result<(), Error> {
    if plan.drops.is_empty() {
        return Ok(());
    }
    // Held, so that no worker opens its states in between, nor begins to.
    let Some(_lock) = PacksLock::exclusive(layout, request.patience)? else {
        report.swept.gave_up = true;
        return Ok(());
    };
    let replayed = replay::replayed_now(layout);
    for drop in &plan.drops {
        let running = is_running(layout, &drop.run) && request.own.as_ref() != Some(&drop.run);
        if running || replayed.contains(&drop.run) {
            continue;
        }
        for (rank, checkpoints) in &drop.checkpoints {
            stored::give_up(layout, &drop.run, *rank, checkpoints)?;
        }
        report.dropped.push(drop.clone());
    }
    Ok(())
}

fn remove(
    layout: &Layout,
    request: &GcRequest,
    mut inventory: Inventory,
    thorough: bool,
    report: &mut GcReport,
) -> Result<(), Error> {
    let live = inventory.live();
    let keep = |pack: &std::path::Path| {
        run_of(pack).is_some_and(|run| is_running(layout, &run) && request.own.as_ref() != Some(&run))
    };
    let how = How { thorough, patience: request.patience };
    let swept = sweep::<Error>(layout, live, &keep, &mut || inventory.more(layout), how)?;
    report.swept.removed_packs += swept.removed_packs;
    report.swept.rewritten_packs += swept.rewritten_packs;
    report.swept.freed_bytes += swept.freed_bytes;
    report.swept.gave_up |= swept.gave_up;
    Ok(())
}

/// Whether the checkpoints take more than the settings allow, and how much that is.
///
/// # Errors
/// If the store or its settings cannot be read.
pub fn exceeds(layout: &Layout) -> Result<Option<u64>, Error> {
    let mut taken = 0;
    for path in ChunkStore::pack_paths(layout)? {
        taken += std::fs::metadata(&path).map_err(at("read", &path)).map_or(0, |meta| meta.len());
    }
    Ok(config::budget(layout, taken)?.filter(|budget| taken > *budget))
}

/// Keeps the checkpoints within the budget, if they exceed it and nobody else does so already. Whoever reads the packs for
/// long is not waited for: the next time is soon enough.
///
/// # Errors
/// If the store cannot be read or changed.
pub fn automatic(layout: &Layout, own: Option<RunId>) -> Result<Option<GcReport>, Error> {
    let Some(budget) = exceeds(layout)? else { return Ok(None) };
    let request = GcRequest { budget: Some(budget - budget / HEADROOM), thin_to: None, own, patience: Some(PATIENCE) };
    match perform(layout, &request, &plan(layout, &request)?) {
        Ok(report) => Ok(Some(report)),
        Err(Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::automatic;
    use crate::base::files;
    use crate::store::chunks::{ChunkStore, ItemKind, PackWriter, PacksLock};
    use crate::store::layout::Layout;

    #[test]
    fn a_recorder_gives_up_where_others_hold_on_to_the_packs_and_removes_later() {
        let dir = tempfile::tempdir().expect("folder");
        let layout = Layout::create(dir.path()).expect("store");
        files::write_atomic(&layout.config(), b"budget = \"1KB\"\n").expect("written");
        let mut pack = PackWriter::create(&layout, "0000000001").expect("packs");
        let unneeded: Vec<u8> =
            (0..5000_u32).flat_map(|number| blake3::hash(&number.to_le_bytes()).as_bytes()[..4].to_vec()).collect();
        pack.put(&unneeded, ItemKind::BYTES, None).expect("stored");
        let packs = || ChunkStore::pack_paths(&layout).expect("packs").len();
        let reading = PacksLock::shared(&layout).expect("lock");
        let report = automatic(&layout, None).expect("no error").expect("it exceeds the budget");
        assert!(report.swept.gave_up && packs() == 1, "{report:?}");
        drop(reading);
        let report = automatic(&layout, None).expect("no error").expect("it exceeds the budget");
        assert!(!report.swept.gave_up && packs() == 0, "{report:?}");
    }
}
