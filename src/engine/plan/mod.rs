//! Gathers what planning needs to know of each run and has all of them planned together.

mod iterations;
mod known;
mod one;
mod scripts;
mod workers;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use rayon::prelude::*;

pub use self::iterations::{BadIterations, Choice, Iterations};
pub(in crate::engine) use self::known::{Learnt, Replayed};
use self::one::Gathered;
pub(in crate::engine) use self::one::{ended_by_itself, readable};
use self::scripts::Scripts;
pub(in crate::engine) use self::workers::{Need, choose};
use crate::analysis::planner::{self, Rates, RunInput};
use crate::analysis::query::Condition;
use crate::base::ids::{JobId, RunId};
use crate::engine::Error;
use crate::engine::given::Given;
use crate::engine::machine::Machine;
use crate::engine::progress::{Part, Waiting};
use crate::engine::project::Project;
use crate::engine::propagate;
use crate::engine::replay::isolation;
use crate::model::instrument::InstrumentationPlan;
use crate::model::plan::{Asked, BlockUse, Isolation, ReplayPlan, RunPlanState, Segment};
use crate::model::run::{RunStatus, RunSummary};
use crate::store::chunks::ChunkStore;
use crate::store::layout::names;

/// What a user asks to replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplayRequest {
    pub names: Vec<String>,
    /// `None`: all runs.
    pub runs: Option<Vec<RunId>>,
    /// Iterations of the main loop; `None`: all.
    pub iterations: Option<Iterations>,
    /// Of these runs and iterations, those that fulfil it.
    pub condition: Option<Condition>,
    /// Workers; `None`: as many as the cores are enough for.
    pub workers: Option<usize>,
    /// Whether what is known already is computed again.
    pub force: bool,
    /// Another interpreter than the runs' own.
    pub python: Option<PathBuf>,
    /// Variables set instead of what was recorded.
    pub given: Given,
}

impl ReplayRequest {
    /// The request that a plan was made for, but of these runs; `None` where the plan does not hold it.
    ///
    /// # Errors
    /// If it cannot be read as what it was.
    pub fn again(plan: &ReplayPlan, runs: Vec<RunId>) -> Result<Option<Self>, Error> {
        let Some(asked) = &plan.asked else { return Ok(None) };
        let unreadable = |error: BadIterations| Error::BadSelection {
            text: asked.iterations.clone().unwrap_or_default(),
            reason: error.to_string(),
        };
        Ok(Some(Self {
            names: plan.names.clone(),
            runs: Some(runs),
            iterations: asked.iterations.as_deref().map(str::parse).transpose().map_err(unreadable)?,
            condition: asked.condition.as_deref().map(Condition::parse).transpose()?,
            workers: asked.workers,
            force: asked.force,
            python: asked.python.clone(),
            given: Given::again(&asked.given),
        }))
    }

    fn asked(&self, runs: &[RunId]) -> Asked {
        Asked {
            runs: runs.to_vec(),
            iterations: self.iterations.as_ref().map(Iterations::to_string),
            condition: self.condition.as_ref().map(|condition| condition.text.clone()),
            workers: self.workers,
            force: self.force,
            python: self.python.clone(),
            given: self.given.kept(),
        }
    }
}

/// Plans a replay, until nobody waits for it any more, with what is known of the cost of replays. Nothing is executed.
///
/// # Errors
/// If a name is logged by no script of the working tree, the store cannot be read, or it is over.
pub(in crate::engine) fn plan(
    project: &Project,
    request: &ReplayRequest,
    waiting: Waiting<'_>,
) -> Result<(ReplayPlan, Learnt), Error> {
    let summaries = project.runs()?;
    let mut runs = match &request.runs {
        Some(runs) => runs.clone(),
        None => summaries.iter().map(|run| run.id.clone()).collect(),
    };
    let asked = request.asked(&runs);
    let mut chosen = request.condition.as_ref().map(|condition| project.choose(&runs, condition)).transpose()?;
    if let Some(chosen) = &mut chosen {
        runs = std::mem::take(&mut chosen.runs);
    }
    let left_out = chosen.as_mut().map(|chosen| std::mem::take(&mut chosen.left_out)).unwrap_or_default();
    let previews = propagate::executable(project, &request.names, &runs, waiting)?;
    let scripts = Scripts::of(project, &summaries, &previews, waiting)?;
    let replayed = Replayed::of(project, &summaries)?;
    let here = Machine::here();
    let gathering = one::Gathering {
        project,
        request,
        scripts: &scripts,
        replayed: &replayed,
        chunks: ChunkStore::open(project.layout())?,
        here: &here,
    };
    let mut selections = chosen.map(|chosen| chosen.by_run).unwrap_or_default();
    let chosen: Vec<_> = previews.into_iter().map(|preview| (selections.remove(&preview.run), preview)).collect();
    let (done, all) = (AtomicUsize::new(0), chosen.len());
    let gathered = chosen.into_par_iter().map(|(selection, preview)| {
        if waiting.is_over() {
            return Err(Error::Stopped);
        }
        waiting.tell(Part::Gathering, done.fetch_add(1, Ordering::Relaxed), all);
        gathering.one(selection, preview)
    });
    let mut gathered: Vec<Gathered<'_>> = gathered.collect::<Result<_, _>>()?;
    if let Some(name) = request.iterations.as_ref().and_then(|iterations| iterations.loop_name.as_deref()) {
        check_loop(name, gathered.iter().filter_map(|one| one.instrumentation))?;
    }
    let inputs: Vec<_> = gathered.iter().filter_map(|one| Some((one.input()?, one.need()?))).collect();
    let needs: Vec<Need> = inputs.iter().map(|(_, need)| *need).collect();
    let enough = |workers| workers::enough(&inputs, workers);
    let (workers, fewer_workers) = workers::choose(&needs, request.workers, &here, enough);
    let planned = plan_together(&mut gathered, workers);
    let isolation =
        if planned.segments.is_empty() { Isolation::default() } else { isolation::choose(project.layout())? };
    let rates = gathered.iter().filter_map(Gathered::rates);
    let (low, high) = range(rates.clone(), planned.makespan_ns);
    let learnt_from = rates.map(|rates| rates.learnt_from).max().unwrap_or(0);
    let plan = ReplayPlan {
        job: JobId::generate(),
        names: request.names.clone(),
        asked: Some(asked),
        workers,
        fewer_workers,
        runs: gathered.into_iter().map(|one| one.plan).collect(),
        makespan_ns: (low, high),
        expected_ns: planned.makespan_ns,
        learnt_from,
        segments: planned.segments,
        isolation,
        training_ms: training(project, &summaries),
        left_out,
    };
    Ok((plan, replayed.learnt()))
}

/// The widest range of those that these rates give.
pub(in crate::engine) fn range(rates: impl Iterator<Item = Rates>, ns: u64) -> (u64, u64) {
    let ranges = rates.map(|rates| rates.range_ns(ns));
    ranges.reduce(|(low, high), (lower, higher)| (low.min(lower), high.max(higher))).unwrap_or((ns, ns))
}

/// Plans what is asked of these runs, and notes with each what comes of it.
fn plan_together(gathered: &mut [Gathered<'_>], workers: usize) -> planner::Planned {
    let open: Vec<usize> = (0..gathered.len()).filter(|at| gathered[*at].record.is_some()).collect();
    let inputs: Vec<RunInput<'_>> = gathered.iter().filter_map(Gathered::input).collect();
    let planned = planner::plan(&inputs, workers);
    let mut segments: HashMap<&RunId, Vec<&Segment>> = HashMap::new();
    for segment in &planned.segments {
        segments.entry(&segment.run).or_default().push(segment);
    }
    let uses = |input: &RunInput<'_>| {
        let of_run = segments.get(input.run).map(Vec::as_slice).unwrap_or_default();
        planner::block_uses(input, of_run.iter().copied())
    };
    let blocks: Vec<Vec<BlockUse>> = inputs.par_iter().map(uses).collect();
    for ((at, notes), blocks) in open.into_iter().zip(&planned.notes).zip(blocks) {
        let plan = &mut gathered[at].plan;
        plan.notes.extend(notes.iter().cloned());
        plan.notes.extend(blocks.iter().filter_map(BlockUse::note));
        plan.blocks = blocks;
        let is_replayed = segments.contains_key(&plan.run);
        plan.state = if is_replayed { RunPlanState::Replay } else { RunPlanState::Complete };
    }
    planned
}

/// When runs trained. The journal's last change, rounded up to whole milliseconds, tells best when one ended; one that
/// trains goes on until later.
pub(in crate::engine) fn training(project: &Project, runs: &[RunSummary]) -> Vec<(i64, i64)> {
    let window = |run: &RunSummary| {
        let journal = project.layout().run(&run.id).join(names::EVENTS);
        let written = std::fs::metadata(journal).and_then(|journal| journal.modified()).ok();
        let written = written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let written = written.and_then(|at| i64::try_from(at.as_millis() + 1).ok()).unwrap_or(0);
        let end =
            if run.status == RunStatus::Running { i64::MAX } else { written.max(run.started_ms + run.duration_ms) };
        (run.started_ms, end)
    };
    runs.iter().map(window).collect()
}

/// Whether iterations can be chosen by this loop. Without any version to replay there is nothing to choose from.
fn check_loop<'a>(
    name: &str,
    instrumentations: impl Iterator<Item = &'a InstrumentationPlan> + Clone,
) -> Result<(), Error> {
    let is_main = |known: &&crate::model::instrument::LoopPlan| known.is_main;
    let all = instrumentations.flat_map(|instrumentation| &instrumentation.loops);
    let main: BTreeSet<&str> = all.clone().filter(is_main).map(|known| known.name.as_str()).collect();
    if main.is_empty() || main.contains(name) {
        return Ok(());
    }
    let is_inner = all.clone().any(|known| known.name == name);
    let main = main.into_iter().map(str::to_owned).collect();
    Err(Error::NotAMainLoop { name: name.to_owned(), is_inner, main })
}
