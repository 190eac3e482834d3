//! Gathers what planning needs to know of each run and joins the runs' segments into one plan.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::SystemTime;

use crate::analysis::planner::{self, Rates, RunInput};
use crate::analysis::python;
use crate::analysis::query::Condition;
use crate::base::ids::{JobId, RunId};
use crate::base::units::counted;
use crate::engine::project::{Project, Selection};
use crate::engine::propagate::{self, Preview};
use crate::engine::replay::isolation;
use crate::engine::{Error, sources, stored};
use crate::model::instrument::{InstrumentationPlan, Reach};
use crate::model::job::SegmentState;
use crate::model::plan::{Isolation, ReplayPlan, RunPlan, RunPlanState, Segment, Stop};
use crate::model::probe::PlacementStatus;
use crate::model::run::{Checkpoint, RunDetail, RunStatus, RunSummary};
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
    /// Workers; `None`: as many as there are cores.
    pub workers: Option<usize>,
}

/// A choice of iterations of one loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterations {
    /// `None`: the main loop, whatever its name.
    pub loop_name: Option<String>,
    pub choice: Choice,
}

/// Which iterations of a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    All,
    Last,
    /// Inclusive ranges.
    Ranges(Vec<(u64, u64)>),
}

/// Text that chooses no iterations, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadIterations(String);

impl FromStr for Iterations {
    type Err = BadIterations;

    /// Reads `LOOP=SPEC`: `epoch=all`, `epoch=last`, `epoch=3`, `epoch=2..5`, `epoch=0,4`; or SPEC alone.
    fn from_str(text: &str) -> Result<Self, BadIterations> {
        let bad = |what: String| BadIterations(what);
        let (loop_name, spec) = match text.split_once('=') {
            Some((name, spec)) => (Some(name.to_owned()), spec),
            None => (None, text),
        };
        let number = |text: &str| {
            let wrong = || bad(format!("'{text}' is not an iteration's number: write 2..5, 0,4, last, or epoch=2..5"));
            text.trim().parse::<u64>().map_err(|_| wrong())
        };
        let range = |part: &str| match part.split_once("..") {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first <= last { Ok((first, last)) } else { Err(bad(format!("{part} ends before it begins"))) }
            }
            None => number(part).map(|only| (only, only)),
        };
        let choice = match spec {
            "all" => Choice::All,
            "last" => Choice::Last,
            _ => Choice::Ranges(spec.split(',').map(range).collect::<Result<_, _>>()?),
        };
        Ok(Self { loop_name, choice })
    }
}

impl Iterations {
    /// What of it a run with `count` iterations of its main loop cannot give, in words.
    fn not_there(&self, main_loop: &str, count: u64) -> Option<String> {
        match (&self.loop_name, main_loop) {
            (Some(name), main) if name == main => {}
            (Some(name), "") => return Some(format!("it has no main loop, and so no iterations of {name}")),
            (Some(name), main) => {
                return Some(format!("its main loop is {main}, and so it has no iterations of {name}"));
            }
            (None, "") => return Some("it has no main loop, and so no iterations to choose from".to_owned()),
            (None, _) => {}
        }
        let Choice::Ranges(ranges) = &self.choice else { return None };
        let beyond: Vec<String> = ranges
            .iter()
            .filter(|(_, last)| *last >= count)
            .map(|(first, last)| match (count.max(*first), *last) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}..{last}"),
            })
            .collect();
        let there = match count {
            0 => "none".to_owned(),
            1 => "only 0".to_owned(),
            _ => format!("only 0..{}", count - 1),
        };
        (!beyond.is_empty()).then(|| format!("{main_loop} {} was asked for, the run has {there}", beyond.join(", ")))
    }
}

impl Choice {
    fn holds(&self, index: u64, count: u64) -> bool {
        match self {
            Self::All => true,
            Self::Last => index + 1 == count,
            Self::Ranges(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&index)),
        }
    }
}

/// Plans a replay. Nothing is executed.
///
/// # Errors
/// If a name is logged by no script of the working tree, or the store cannot be read.
pub fn plan(project: &Project, request: &ReplayRequest) -> Result<ReplayPlan, Error> {
    let mut runs = match &request.runs {
        Some(runs) => runs.clone(),
        None => project.runs()?.into_iter().map(|run| run.id).collect(),
    };
    let mut chosen = request.condition.as_ref().map(|condition| project.choose(&runs, condition)).transpose()?;
    if let Some(chosen) = &mut chosen {
        runs = std::mem::take(&mut chosen.runs);
    }
    let workers = request.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let chunks = ChunkStore::open(project.layout())?;
    let mut plan = ReplayPlan {
        job: JobId::generate(),
        names: request.names.clone(),
        workers,
        runs: Vec::new(),
        segments: Vec::new(),
        makespan_ns: (0, 0),
        isolation: Isolation::default(),
        training_ms: training(project)?,
        left_out: chosen.as_mut().map(|chosen| std::mem::take(&mut chosen.left_out)).unwrap_or_default(),
    };
    let mut loops = Loops::default();
    for preview in propagate::preview(project, &request.names, &runs)? {
        let selection = chosen.as_mut().and_then(|chosen| chosen.by_run.remove(&preview.run));
        let (run_plan, segments) = plan_one(project, request, selection, preview, workers, &chunks, &mut loops)?;
        plan.runs.push(run_plan);
        for mut segment in segments {
            segment.id = u32::try_from(plan.segments.len()).unwrap_or(u32::MAX);
            plan.segments.push(segment);
        }
    }
    if let Some(name) = request.iterations.as_ref().and_then(|iterations| iterations.loop_name.as_deref()) {
        loops.check(name)?;
    }
    if !plan.segments.is_empty() {
        plan.isolation = isolation::choose(project.layout())?;
    }
    let makespan = planner::makespan_ns(plan.segments.iter().map(|segment| segment.cost.total_ns()), workers);
    // Recorded times vary from machine to machine and with what else runs: a fifth less to a half more.
    plan.makespan_ns = (makespan - makespan / 5, makespan + makespan / 2);
    Ok(plan)
}

/// When runs trained. The journal's last change, rounded up to whole milliseconds, tells best when one ended; one that
/// trains goes on until later.
fn training(project: &Project) -> Result<Vec<(i64, i64)>, Error> {
    let window = |run: RunSummary| {
        let journal = project.layout().run(&run.id).join(names::EVENTS);
        let written = std::fs::metadata(journal).and_then(|journal| journal.modified()).ok();
        let written = written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let written = written.and_then(|at| i64::try_from(at.as_millis() + 1).ok()).unwrap_or(0);
        let end =
            if run.status == RunStatus::Running { i64::MAX } else { written.max(run.started_ms + run.duration_ms) };
        (run.started_ms, end)
    };
    Ok(project.runs()?.into_iter().map(window).collect())
}

fn plan_one(
    project: &Project,
    request: &ReplayRequest,
    selection: Option<Selection>,
    preview: Preview,
    workers: usize,
    chunks: &ChunkStore,
    loops: &mut Loops,
) -> Result<(RunPlan, Vec<Segment>), Error> {
    let detail = project.run_detail(&preview.run)?;
    let placed = preview.propagation.placements.iter().any(|placement| placement.status.is_placed());
    let mut plan = RunPlan {
        run: preview.run.clone(),
        version: detail.meta.version.clone(),
        script: preview.script.clone(),
        placements: preview.propagation.placements.clone(),
        probed_source: placed.then(|| preview.propagation.text.clone()),
        inserted: preview.propagation.inserted.clone(),
        probe_hash: blake3::hash(format!("{}\n{}", detail.meta.version, preview.propagation.text).as_bytes()).to_hex()
            [..32]
            .to_owned(),
        reach: Reach::default(),
        wanted: Vec::new(),
        known: Vec::new(),
        state: RunPlanState::NotApplicable,
        notes: preview.propagation.problems.clone(),
    };
    if !placed {
        let settled = |status| matches!(status, PlacementStatus::AlreadyThere | PlacementStatus::Excluded);
        if plan.placements.iter().all(|placement| settled(placement.status)) && !plan.placements.is_empty() {
            plan.state = RunPlanState::Complete;
        }
        return Ok((plan, Vec::new()));
    }
    if detail.summary.status == RunStatus::Running {
        plan.notes.push("the run is still training: replay it when it has ended".into());
        return Ok((plan, Vec::new()));
    }
    if !detail.meta.launcher.is_empty() {
        // One of several processes computes other values by itself.
        let launcher = detail.meta.launcher.join(" ");
        plan.notes.push(format!("it was started by {launcher}: only what Python runs by itself can be replayed yet"));
        return Ok((plan, Vec::new()));
    }
    let sources =
        sources::of_version(&project.versions()?, &plan.version, &plan.script, Some(&preview.propagation.text))?;
    let instrumentation = python::instrument(&plan.script, &sources, &plan.inserted);
    plan.reach = python::reach(&plan.script, &sources, &preview.propagation.inserted);
    // What is in the loop also runs after it then.
    plan.reach.after |= detail.timings.entered_again && (plan.reach.body || !plan.reach.blocks.is_empty());
    let main_loop = instrumentation.main.as_ref().and_then(|key| instrumentation.find(key));
    let main_name = main_loop.map(|main| main.name.clone()).unwrap_or_default();
    loops.add(&instrumentation, &main_name);
    plan.wanted = wanted(&detail, request, &main_name);
    if let Some(iterations) = &request.iterations {
        let count = detail.timings.iterations.len() as u64;
        plan.notes.extend(iterations.not_there(&main_name, count));
        if plan.wanted.is_empty() {
            return Ok((plan, Vec::new()));
        }
    }
    let mut outside = (plan.reach.before || plan.reach.after) && request.iterations.is_none();
    if let Some(selection) = selection {
        plan.wanted.retain(|at| selection.iterations.contains(at));
        plan.notes.extend(selection.notes);
        if let Some(why) = selection.not_outside.filter(|_| outside) {
            plan.notes.push(format!("left out by --where: what is logged outside the main loop: {why}"));
            outside = false;
        }
        if plan.wanted.is_empty() && !outside {
            plan.notes.push("--where leaves nothing of what was asked for".into());
            plan.state = RunPlanState::Complete;
            return Ok((plan, Vec::new()));
        }
    }
    let ended = ended_by_itself(&detail.summary);
    let done = known(project, &plan, plan.reach.after && ended)?;
    plan.known = plan.wanted.iter().copied().filter(|at| done.iterations.contains(at)).collect();
    let open: Vec<u64> = plan.wanted.iter().copied().filter(|at| !done.iterations.contains(at)).collect();
    outside &= !done.outside;
    let checkpoints = readable(project, &detail, chunks)?;
    plan.notes.extend(thinned(project, &plan.run)?);
    let planned = planner::plan_run(&RunInput {
        run: &plan.run,
        instrumentation: &instrumentation,
        reach: &plan.reach,
        checkpoints: &checkpoints,
        timings: &detail.timings,
        ended,
        wanted: &open,
        outside,
        workers,
        rates: Rates::default(),
    });
    plan.notes.extend(planned.notes);
    plan.state = if planned.segments.is_empty() { RunPlanState::Complete } else { RunPlanState::Replay };
    Ok((plan, planned.segments))
}

/// Whether the script itself, and not a signal (Ctrl-C), ended the run: only then would it end there again.
fn ended_by_itself(run: &RunSummary) -> bool {
    // As a shell says it; `sys.exit(-1)` is 255.
    let signalled = run.exit_code.is_some_and(|code| (129..=192).contains(&code));
    matches!(run.status, RunStatus::Finished | RunStatus::Failed) && !signalled
}

/// The iterations that the request asks for, of those that the run began.
fn wanted(detail: &RunDetail, request: &ReplayRequest, main_loop: &str) -> Vec<u64> {
    let count = detail.timings.iterations.len() as u64;
    let asked_for = |at: &u64| match &request.iterations {
        Some(Iterations { loop_name, choice }) => {
            loop_name.as_deref().is_none_or(|name| name == main_loop) && choice.holds(*at, count)
        }
        None => true,
    };
    (0..count).filter(asked_for).collect()
}

/// Names of the loops of the versions that are replayed.
#[derive(Default)]
struct Loops {
    main: BTreeSet<String>,
    all: BTreeSet<String>,
}

impl Loops {
    fn add(&mut self, instrumentation: &InstrumentationPlan, main: &str) {
        self.main.extend((!main.is_empty()).then(|| main.to_owned()));
        self.all.extend(instrumentation.loops.iter().map(|known| known.name.clone()));
    }

    /// Whether iterations can be chosen by this loop. Without any version to replay there is nothing to choose from.
    fn check(self, name: &str) -> Result<(), Error> {
        if self.main.is_empty() || self.main.contains(name) {
            return Ok(());
        }
        let is_inner = self.all.contains(name);
        Err(Error::NotAMainLoop { name: name.to_owned(), is_inner, main: self.main.into_iter().collect() })
    }
}

/// What earlier replays of the same version and statements have filled.
#[derive(Default)]
struct Known {
    iterations: BTreeSet<u64>,
    outside: bool,
}

/// `after` says whether what comes after the main loop is to be known too.
fn known(project: &Project, plan: &RunPlan, after: bool) -> Result<Known, Error> {
    let mut known = Known::default();
    for segment in project.segments_of(&plan.run)? {
        let same = segment.probe_hash == plan.probe_hash;
        let SegmentState::Done { check } = &segment.status.state else { continue };
        // What diverged may go better after the user has put back what had changed.
        if !same || check.first_difference.is_some() {
            continue;
        }
        known.iterations.extend(&segment.wanted);
        // Every segment executes what comes before the loop; what comes after it only one that ran on to the end.
        known.outside |= segment.status.stop == Stop::AtEnd || !after;
    }
    Ok(known)
}

/// What replay has to do without since checkpoints were removed, in words.
fn thinned(project: &Project, run: &RunId) -> Result<Option<String>, Error> {
    let gone = stored::dropped(project.layout(), run)?.len();
    let what = counted(gone as u64, "checkpoint");
    Ok((gone > 0)
        .then(|| format!("{what} of this run were removed to save space: more is executed, from earlier ones")))
}

/// The run's checkpoints whose bytes are there.
fn readable(project: &Project, detail: &RunDetail, chunks: &ChunkStore) -> Result<Vec<Checkpoint>, Error> {
    let stored = project.stored_checkpoints(&detail.summary.id)?;
    let there = |stored: &crate::engine::checkpoint::StoredCheckpoint| {
        chunks.holds(&stored.skeleton) && stored.buffers.iter().all(|buffer| chunks.holds(buffer))
    };
    Ok(stored.into_iter().filter(there).map(|stored| stored.checkpoint).collect())
}

#[cfg(test)]
mod tests {
    use super::{Choice, Iterations};

    #[test]
    fn what_a_run_does_not_have_is_said() {
        let said = |text: &str, count| text.parse::<Iterations>().expect("iterations").not_there("epoch", count);
        for (text, count) in [("epoch=0,2", 3), ("epoch=all", 0), ("epoch=last", 3)] {
            assert_eq!(said(text, count), None, "{text}");
        }
        assert_eq!(said("epoch=1..4,9", 3).as_deref(), Some("epoch 3..4, 9 was asked for, the run has only 0..2"));
        assert_eq!(said("epoch=0", 0).as_deref(), Some("epoch 0 was asked for, the run has none"));
        assert!(said("step=0", 3).is_some_and(|text| text.contains("its main loop is epoch")));
    }

    #[test]
    fn iterations_are_read_as_written() {
        let parsed = |text: &str| text.parse::<Iterations>().map(|iterations| iterations.choice);
        assert_eq!(parsed("epoch=all"), Ok(Choice::All));
        assert_eq!(parsed("epoch=last"), Ok(Choice::Last));
        assert_eq!(parsed("epoch=0,4,2..5"), Ok(Choice::Ranges(vec![(0, 0), (4, 4), (2, 5)])));
        let unnamed: Iterations = "50..60".parse().expect("iterations");
        assert_eq!(unnamed, Iterations { loop_name: None, choice: Choice::Ranges(vec![(50, 60)]) });
        assert_eq!(unnamed.not_there("step", 70), None);
        assert!(unnamed.not_there("", 0).is_some_and(|text| text.contains("no main loop")));
        for bad in ["epoch", "epoch=", "", "=", "epoch=x", "epoch=5..2", "epoch=-1"] {
            assert!(bad.parse::<Iterations>().is_err(), "{bad}");
        }
    }
}
