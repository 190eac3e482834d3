//! What planning needs to know of one run.

use crate::analysis::planner::{Rates, RunInput};
use crate::base::ids::RunId;
use crate::base::units::counted;
use crate::engine::checkpoint::StoredCheckpoint;
use crate::engine::machine::Machine;
use crate::engine::plan::ReplayRequest;
use crate::engine::plan::iterations::Iterations;
use crate::engine::plan::known::Replayed;
use crate::engine::plan::scripts::{Analysed, Scripts, has_place};
use crate::engine::plan::workers::Need;
use crate::engine::project::{FOLDER_GONE, Project, Selection};
use crate::engine::propagate::Preview;
use crate::engine::{Error, stored};
use crate::model::instrument::{InstrumentationPlan, Reach};
use crate::model::plan::{RunPlan, RunPlanState};
use crate::model::probe::{Placement, PlacementStatus};
use crate::model::run::{Checkpoint, RunStatus, RunSummary, RunTimings};
use crate::store::chunks::ChunkStore;
use crate::store::db::RunRow;

/// What is the same for all runs.
pub(super) struct Gathering<'a> {
    pub(super) project: &'a Project,
    pub(super) request: &'a ReplayRequest,
    pub(super) scripts: &'a Scripts,
    pub(super) replayed: &'a Replayed,
    pub(super) chunks: ChunkStore,
    pub(super) here: &'a Machine,
}

/// A run's part of the plan, and what its segments are planned from.
pub(super) struct Gathered<'a> {
    pub(super) plan: RunPlan,
    /// Of the script with the statements in it, where there is one.
    pub(super) instrumentation: Option<&'a InstrumentationPlan>,
    /// `None` where there is nothing to plan.
    pub(super) record: Option<Record>,
}

/// What a run left behind, and what of it is still asked for.
pub(super) struct Record {
    timings: RunTimings,
    checkpoints: Vec<Checkpoint>,
    ended: bool,
    open: Vec<u64>,
    outside: bool,
    rates: Rates,
    need: Need,
}

impl Gathered<'_> {
    /// What replays of its script cost, where it is to be replayed.
    pub(super) fn rates(&self) -> Option<Rates> {
        self.record.as_ref().map(|record| record.rates)
    }

    /// What its replay takes of the machine.
    pub(super) fn need(&self) -> Option<Need> {
        self.record.as_ref().map(|record| record.need)
    }

    /// What the planner is to know.
    pub(super) fn input(&self) -> Option<RunInput<'_>> {
        let record = self.record.as_ref()?;
        Some(RunInput {
            run: &self.plan.run,
            instrumentation: self.instrumentation?,
            reach: &self.plan.reach,
            checkpoints: &record.checkpoints,
            timings: &record.timings,
            ended: record.ended,
            wanted: &record.open,
            outside: record.outside,
            rates: record.rates,
        })
    }
}

impl<'a> Gathering<'a> {
    /// Gathers what there is to know of a run, of which a condition may have selected a part.
    pub(super) fn one(&self, selection: Option<Selection>, preview: Preview) -> Result<Gathered<'a>, Error> {
        let (row, timings) = self.project.run_with_timings(&preview.run)?;
        let mut plan = begun(&row, &preview);
        let analysed = self.scripts.of_run(&preview.run).filter(|_| has_place(&preview));
        let record = match analysed {
            Some(analysed) => self.record(&row, timings, analysed, selection, &mut plan)?,
            None => {
                let settled = |status| matches!(status, PlacementStatus::AlreadyThere | PlacementStatus::Excluded);
                if plan.placements.iter().all(|placement| settled(placement.status)) && !plan.placements.is_empty() {
                    plan.state = RunPlanState::Complete;
                }
                None
            }
        };
        let can_run = row.meta.launcher.is_empty();
        let instrumentation = analysed.filter(|_| can_run).map(|analysed| &analysed.instrumentation);
        Ok(Gathered { plan, instrumentation, record })
    }

    fn record(
        &self,
        row: &RunRow,
        timings: RunTimings,
        analysed: &Analysed,
        selection: Option<Selection>,
        plan: &mut RunPlan,
    ) -> Result<Option<Record>, Error> {
        if !row.meta.launcher.is_empty() {
            // One of several processes computes other values by itself.
            let launcher = row.meta.launcher.join(" ");
            plan.notes
                .push(format!("it was started by {launcher}: only what Python runs by itself can be replayed yet"));
            return Ok(None);
        }
        if !self.project.layout().run(&row.meta.id).is_dir() {
            plan.notes.push(format!("it cannot be replayed: {FOLDER_GONE}"));
            return Ok(None);
        }
        plan.reach = analysed.reach.clone();
        plan.levels = analysed.levels();
        // What is in the loop also runs after it then.
        plan.reach.after |= timings.entered_again && (plan.reach.body || !plan.reach.blocks.is_empty());
        let instrumentation = &analysed.instrumentation;
        let main_loop = instrumentation.main.as_ref().and_then(|key| instrumentation.find(key));
        let main_name = main_loop.map(|main| main.name.as_str()).unwrap_or_default();
        let count = timings.iterations.len() as u64;
        plan.wanted = wanted(count, self.request.iterations.as_ref(), main_name);
        if row.summary.status == RunStatus::Running {
            plan.notes.push("the run is still training: what it has finished is replayed".into());
            let finished = timings.iterations.iter().take_while(|iteration| iteration.complete).count() as u64;
            plan.wanted.retain(|at| *at < finished);
        }
        if let Some(iterations) = &self.request.iterations {
            plan.notes.extend(iterations.not_there(main_name, count));
            if plan.wanted.is_empty() {
                return Ok(None);
            }
        }
        let mut outside = (plan.reach.before || plan.reach.after) && self.request.iterations.is_none();
        if selection.is_some_and(|selection| !leaves(selection, plan, &mut outside)) {
            return Ok(None);
        }
        let ended = ended_by_itself(&row.summary);
        let mut open = plan.wanted.clone();
        if !self.request.force {
            let done = self.replayed.known(plan, plan.reach.after && ended);
            plan.known = plan.wanted.iter().copied().filter(|at| done.iterations.contains(at)).collect();
            open.retain(|at| !done.iterations.contains(at));
            outside &= !done.outside;
        }
        let checkpoints = self.checkpoints(plan)?;
        let rates = self.replayed.rates(&plan.script);
        let need = Need::of(self.project.layout(), &row.meta, self.here);
        Ok(Some(Record { timings, checkpoints, ended, open, outside, rates, need }))
    }

    /// The run's checkpoints whose bytes are there. Says what is missing.
    fn checkpoints(&self, plan: &mut RunPlan) -> Result<Vec<Checkpoint>, Error> {
        let (found, damaged) = readable(self.project, &plan.run, &self.chunks)?;
        if damaged > 0 {
            let what = counted(damaged, "checkpoint");
            plan.notes.push(format!("{what} of this run cannot be read: more is executed, from earlier ones"));
        }
        let removed = stored::dropped(self.project.layout(), &plan.run, 0)?.len() as u64;
        if removed > 0 {
            let what = counted(removed, "checkpoint");
            let why = "were removed to save space: more is executed, from earlier ones";
            plan.notes.push(format!("{what} of this run {why}"));
        }
        Ok(found)
    }
}

/// The run's checkpoints whose bytes are there, and how many are not.
pub(in crate::engine) fn readable(
    project: &Project,
    run: &RunId,
    chunks: &ChunkStore,
) -> Result<(Vec<Checkpoint>, u64), Error> {
    let stored = project.stored_checkpoints(run)?;
    let count = stored.len();
    let there = |stored: &StoredCheckpoint| stored.all_buffers().all(|buffer| chunks.holds(buffer));
    let found: Vec<Checkpoint> = stored.into_iter().filter(there).map(|stored| stored.checkpoint).collect();
    let damaged = (count - found.len()) as u64;
    Ok((found, damaged))
}

/// The plan of a run of which nothing is known but where the statements land.
fn begun(row: &RunRow, preview: &Preview) -> RunPlan {
    let propagation = &preview.propagation;
    let version = &row.meta.version;
    let content = format!("{version}\n{}", propagation.text);
    RunPlan {
        run: preview.run.clone(),
        version: version.clone(),
        script: preview.script.clone(),
        placements: propagation.placements.iter().map(as_shown).collect(),
        probed_source: has_place(preview).then(|| propagation.text.clone()),
        inserted: propagation.inserted.clone(),
        probe_hash: blake3::hash(content.as_bytes()).to_hex()[..32].to_owned(),
        reach: Reach::default(),
        levels: Vec::new(),
        blocks: Vec::new(),
        wanted: Vec::new(),
        known: Vec::new(),
        state: RunPlanState::NotApplicable,
        environment: None,
        shared_prefix_ns: None,
        notes: propagation.problems.clone(),
    }
}

/// Takes out what a condition does not select; false if nothing is left.
fn leaves(selection: Selection, plan: &mut RunPlan, outside: &mut bool) -> bool {
    plan.wanted.retain(|at| selection.iterations.contains(at));
    plan.notes.extend(selection.notes);
    if let Some(why) = selection.not_outside.filter(|_| *outside) {
        plan.notes.push(format!("left out by --where: what is logged outside the main loop: {why}"));
        *outside = false;
    }
    let something = !plan.wanted.is_empty() || *outside;
    if !something {
        plan.notes.push("--where leaves nothing of what was asked for".into());
        plan.state = RunPlanState::Complete;
    }
    something
}

/// Whether the script itself, and not a signal (Ctrl-C), ended the run: only then would it end there again.
pub(in crate::engine) fn ended_by_itself(run: &RunSummary) -> bool {
    // As a shell says it; `sys.exit(-1)` is 255.
    let signalled = run.exit_code.is_some_and(|code| (129..=192).contains(&code));
    matches!(run.status, RunStatus::Finished | RunStatus::Failed) && !signalled
}

/// The iterations that the request asks for, of those that the run began.
fn wanted(count: u64, iterations: Option<&Iterations>, main_loop: &str) -> Vec<u64> {
    let asked_for = |at: &u64| match iterations {
        Some(Iterations { loop_name, choice }) => {
            loop_name.as_deref().is_none_or(|name| name == main_loop) && choice.holds(*at, count)
        }
        None => true,
    };
    // Iterations of a loop that cannot be entered are part of the whole.
    if main_loop.is_empty() { Vec::new() } else { (0..count).filter(asked_for).collect() }
}

/// The line of what is executed says nothing to whoever looks at the preview.
fn as_shown(placement: &Placement) -> Placement {
    Placement { line: placement.shown_line.or(placement.line), shown_line: None, ..placement.clone() }
}
