//! Plans the re-execution of samples of runs as they were, to find out whether they can be replayed at all.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::analysis::planner::{self, Rates};
use crate::analysis::python;
use crate::base::ids::{JobId, RunId};
use crate::base::units::counted;
use crate::engine::given::Given;
use crate::engine::machine::Machine;
use crate::engine::plan::{Learnt, Need, Replayed, choose, ended_by_itself, range, readable, training};
use crate::engine::project::Project;
use crate::engine::replay::isolation;
use crate::engine::{Error, sources};
use crate::model::instrument::{InstrumentationPlan, Reach};
use crate::model::plan::{Cost, Isolation, ReplayPlan, ReplayStep, RunPlan, RunPlanState, Segment, Stop, Work};
use crate::model::run::{Checkpoint, RunDetail, RunStatus};
use crate::store::chunks::ChunkStore;

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    pub runs: Vec<RunId>,
    /// Segments of each run, evenly spread over it, the last one included.
    pub sample: usize,
    /// Workers; `None`: as many as the cores are enough for.
    pub workers: Option<usize>,
    /// Another interpreter than the runs' own.
    pub python: Option<PathBuf>,
    /// Variables set instead of what was recorded.
    pub given: Given,
}

/// Plans a check. Nothing is executed.
///
/// # Errors
/// If a run is not known, or its version cannot be read.
pub(in crate::engine) fn plan(project: &Project, request: &CheckRequest) -> Result<(ReplayPlan, Learnt), Error> {
    let chunks = ChunkStore::open(project.layout())?;
    let here = Machine::here();
    let summaries = project.runs()?;
    let replayed = Replayed::of(project, &summaries)?;
    let (mut needs, mut learnt): (HashMap<RunId, Need>, Vec<Rates>) = (HashMap::new(), Vec::new());
    let mut runs = Vec::new();
    let mut segments: Vec<Segment> = Vec::new();
    for id in &request.runs {
        let detail = project.run_detail(id)?;
        let rates = replayed.rates(&detail.meta.script);
        let (run, sampled) = one(project, &detail, request.sample.max(1), &chunks, &rates)?;
        if !sampled.is_empty() {
            needs.insert(id.clone(), Need::of(project.layout(), &detail.meta, &here));
            learnt.push(rates);
        }
        runs.push(run);
        segments.extend(sampled);
    }
    for (id, segment) in (0..).zip(&mut segments) {
        segment.id = id;
    }
    let work = segments.iter().map(|segment| (segment.cost, needs[&segment.run].busy_thousandths));
    let enough = |cores| planner::workers_for(cores, work);
    let each: Vec<Need> = needs.values().copied().collect();
    let (workers, fewer_workers) = choose(&each, request.workers, &here, enough);
    let isolation = if segments.is_empty() { Isolation::default() } else { isolation::choose(project.layout())? };
    let makespan = planner::makespan_ns(segments.iter().map(|segment| segment.cost.total_ns()), workers);
    let plan = ReplayPlan {
        job: JobId::generate(),
        // Nothing new is asked for: no value of it is one of the grid's.
        names: Vec::new(),
        workers,
        fewer_workers,
        runs,
        segments,
        makespan_ns: range(learnt.iter().copied(), makespan),
        expected_ns: makespan,
        learnt_from: learnt.iter().map(|rates| rates.learnt_from).max().unwrap_or(0),
        isolation,
        training_ms: training(project, &summaries),
        left_out: Vec::new(),
        asked: None,
    };
    Ok((plan, replayed.learnt()))
}

fn one(
    project: &Project,
    detail: &RunDetail,
    sample: usize,
    chunks: &ChunkStore,
    rates: &Rates,
) -> Result<(RunPlan, Vec<Segment>), Error> {
    let (id, version, script) = (&detail.summary.id, &detail.meta.version, &detail.meta.script);
    // Of a script that is not UTF-8 the version's own file is executed as it is.
    let bytes = project.versions()?.read_file(version, script)?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let mut plan = RunPlan {
        run: id.clone(),
        version: version.clone(),
        script: script.clone(),
        placements: Vec::new(),
        probed_source: text,
        inserted: Vec::new(),
        // Of nothing that a statement was added to.
        probe_hash: format!("check-{version}"),
        reach: Reach::default(),
        levels: Vec::new(),
        blocks: Vec::new(),
        wanted: Vec::new(),
        known: Vec::new(),
        state: RunPlanState::NotApplicable,
        environment: None,
        shared_prefix_ns: None,
        notes: Vec::new(),
    };
    if !detail.meta.launcher.is_empty() {
        let launcher = detail.meta.launcher.join(" ");
        plan.notes.push(format!("it was started by {launcher}: only what Python runs by itself can be replayed yet"));
        return Ok((plan, Vec::new()));
    }
    let sources = sources::of_version(&project.versions()?, version, script, plan.probed_source.as_deref())?;
    let instrumentation = python::instrument(script, &sources, &[]);
    // Every block is executed, so that its end can be compared with the record.
    let blocks = instrumentation.loops.iter().filter(|known| known.is_block).map(|known| known.key.clone());
    plan.reach = Reach { before: false, body: true, blocks: blocks.collect(), after: true };
    let checkpoints = readable(project, id, chunks)?.0;
    let ended = ended_by_itself(&detail.summary);
    let stretches = stretches(detail, &instrumentation, &checkpoints);
    let total = stretches.len();
    let segments: Vec<Segment> = spread(total, sample)
        .into_iter()
        .map(|at| {
            let stop = if at + 1 == total && ended { Stop::AtEnd } else { Stop::AfterLastStep };
            segment(detail, (&instrumentation, &plan.reach, &checkpoints), stretches[at].clone(), stop, rates)
        })
        .collect();
    if detail.summary.status == RunStatus::Running {
        plan.notes.push("the run is still training: what it has finished is checked".into());
    }
    if segments.is_empty() {
        plan.notes.push(
            "it finished no iteration of a main loop, and did not end by itself: there is nothing to check".into(),
        );
        return Ok((plan, segments));
    }
    plan.wanted = segments.iter().flat_map(|segment| segment.wanted.iter().copied()).collect();
    let are = if segments.len() == 1 { "is" } else { "are" };
    plan.notes.push(format!("{} of {} {are} executed again", segments.len(), counted(total as u64, "piece")));
    plan.state = RunPlanState::Replay;
    Ok((plan, segments))
}

/// The run's finished iterations, cut where a state can be restored. One empty stretch is a script without a main loop.
fn stretches(detail: &RunDetail, plan: &InstrumentationPlan, checkpoints: &[Checkpoint]) -> Vec<Vec<u64>> {
    let ended = ended_by_itself(&detail.summary);
    if plan.main.is_none() {
        return if ended { vec![Vec::new()] } else { Vec::new() };
    }
    let finished = detail.timings.iterations.iter().take_while(|iteration| iteration.complete || ended).count() as u64;
    let starts = planner::starts(plan, checkpoints);
    let mut found: Vec<Vec<u64>> = Vec::new();
    for iteration in 0..finished {
        match found.last_mut() {
            Some(stretch) if !starts.contains(&iteration) => stretch.push(iteration),
            _ => found.push(vec![iteration]),
        }
    }
    found
}

/// `sample` of `total` places, evenly spread, the last one included.
fn spread(total: usize, sample: usize) -> Vec<usize> {
    let sample = sample.min(total);
    (1..=sample).map(|number| number * total / sample - 1).collect()
}

fn segment(
    detail: &RunDetail,
    (instrumentation, reach, checkpoints): (&InstrumentationPlan, &Reach, &[Checkpoint]),
    wanted: Vec<u64>,
    stop: Stop,
    rates: &Rates,
) -> Segment {
    // A state that nobody has, so that it is planned from those that there are.
    let nowhere = |iteration| ReplayStep { iteration, restore: Some(u64::MAX), skip: Vec::new(), expect: Vec::new() };
    let steps = wanted.last().map(|last| nowhere(*last)).into_iter().collect();
    let stop = if wanted.is_empty() { Stop::AtEnd } else { stop };
    let run = detail.summary.id.clone();
    let (cost, work) = (Cost::default(), Work::default());
    let asked = Segment { id: 0, run, steps, stop, wanted, cost, range_ns: (0, 0), work };
    let mut segment = planner::again(&asked, instrumentation, reach, checkpoints);
    let took = |step: &ReplayStep| {
        let timing = usize::try_from(step.iteration).ok().and_then(|at| detail.timings.iterations.get(at));
        timing.map_or(0, |timing| timing.total_ns)
    };
    let suffix_ns = if stop == Stop::AtEnd { detail.timings.suffix_ns } else { 0 };
    let needed = planner::needs(&segment);
    segment.work = Work {
        prefix_ns: detail.timings.prefix_ns,
        execute_ns: segment.steps.iter().map(took).sum::<u64>() + suffix_ns,
        restores: needed.len() as u64,
        restored_bytes: checkpoints.iter().filter(|found| needed.contains(&found.seq)).map(|found| found.bytes).sum(),
    };
    segment.cost = rates.cost(segment.work);
    segment.range_ns = rates.range_ns(segment.cost.total_ns());
    segment
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn samples_are_spread_evenly_and_hold_the_last() {
        assert_eq!(spread(10, 3), [2, 5, 9]);
        assert_eq!(spread(3, 3), [0, 1, 2]);
        assert_eq!(spread(2, 5), [0, 1]);
        assert_eq!(spread(7, 1), [6]);
        assert!(spread(0, 3).is_empty());
    }
}
