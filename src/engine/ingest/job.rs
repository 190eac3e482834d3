//! Ingests replay jobs: the coordinator's journal and each segment's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::ids::{JobId, RunId};
use crate::engine::Error;
use crate::engine::ingest::clock::Clock;
use crate::engine::ingest::fold::{Columns, Context};
use crate::engine::ingest::{causes, check, length, read, source};
use crate::engine::replay::AFRESH;
use crate::model::instrument::InstrumentationPlan;
use crate::model::job::{CheckReport, Difference, Imports, SegmentState, SegmentStatus};
use crate::model::plan::{ReplayPlan, RunPlan, Segment};
use crate::model::run::{Checkpoint, RunStatus};
use crate::store::db::{Db, JobRow, SegmentRow, Writing};
use crate::store::journal::Event;
use crate::store::layout::{self, Layout, names};

/// An event of a job's own journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum JobEvent {
    Segment {
        segment: Box<SegmentStatus>,
    },
    #[serde(other)]
    Other,
}

/// What the runtime says of a replay.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum StateEvent {
    /// How an executed block's end compares with the record.
    Compared {
        block: String,
        equal: u64,
        #[serde(default)]
        different: Vec<String>,
    },
    /// What it was not allowed to do.
    Refused { refused: String },
    /// A file that it read and that was changed since the run began, by somebody else than a run.
    Changed {
        changed: String,
        /// Whether it is known that it holds something else.
        #[serde(default)]
        differs: bool,
    },
}

/// The ingester's state between readings of a segment's journal.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    context: Context,
    states: CheckReport,
    /// Iterations of the main loop in which states were equal.
    #[serde(default)]
    equal_in: BTreeSet<u64>,
    /// Iterations of the main loop that were begun.
    #[serde(default)]
    begun: u64,
    /// Key of the main loop.
    #[serde(default)]
    main: Option<String>,
    #[serde(default)]
    clock: Clock,
    /// Files that are not what they were when the run began.
    #[serde(default)]
    changed: Vec<String>,
    /// Those of them that are known to hold something else.
    #[serde(default)]
    differs: BTreeSet<String>,
    /// What the user should know of how it was performed.
    #[serde(default)]
    notes: Vec<String>,
    /// Whether its script has ended: what is noted then is of the next time.
    #[serde(default)]
    ended: bool,
    /// How often its script was started.
    #[serde(default)]
    starts: usize,
}

/// Ingests what is new of all jobs; true if anything changed.
pub(super) fn ingest_all(layout: &Layout, db: &mut Db) -> Result<bool, Error> {
    let mut changed = false;
    let known: BTreeMap<JobId, bool> = db.jobs()?.into_iter().map(|job| (job.id, job.settled)).collect();
    for id in layout.job_ids()? {
        match known.get(&id) {
            Some(true) => {}
            is_known => changed |= ingest(layout, db, &id, is_known.is_none())?,
        }
    }
    Ok(changed)
}

/// A job that is new is taken in before its coordinator says anything.
fn ingest(layout: &Layout, db: &mut Db, id: &JobId, is_new: bool) -> Result<bool, Error> {
    let folder = layout.job(id);
    let plan = files::read(&folder.join(names::PLAN)).ok();
    let Some(plan) = plan.and_then(|json| serde_json::from_slice::<ReplayPlan>(&json).ok()) else { return Ok(false) };
    let lock = folder.join(names::LOCK);
    // Asked before reading, as for runs.
    let ended = !layout::is_held(&lock) && lock.exists();
    if !ended && !is_new && !has_news(layout, db, &plan)? {
        return Ok(false);
    }
    loop {
        let more = db.write(|writing| one_stretch(layout, writing, &plan, ended))?;
        if !more {
            break;
        }
    }
    check_ended(layout, db, &plan)?;
    if ended {
        db.write(|writing| writing.set_job(&job_row(&plan, true, started_ms(layout, id))).map_err(Error::from))?;
    }
    Ok(true)
}

fn job_row(plan: &ReplayPlan, settled: bool, started_ms: i64) -> JobRow {
    JobRow { id: plan.job.clone(), settled, names: plan.names.clone(), started_ms }
}

/// A plan is written when its job starts.
fn started_ms(layout: &Layout, id: &JobId) -> i64 {
    let modified = std::fs::metadata(layout.job(id).join(names::PLAN)).and_then(|meta| meta.modified());
    let since = modified.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|time| i64::try_from(time.as_millis()).ok()).unwrap_or(0)
}

/// The journal of a segment.
fn segment_journal(layout: &Layout, id: &JobId, segment: u32) -> PathBuf {
    layout.segment(id, segment).join(names::EVENTS)
}

fn has_news(layout: &Layout, db: &Db, plan: &ReplayPlan) -> Result<bool, Error> {
    let id = &plan.job;
    let own = layout.job(id).join(names::JOB);
    let segments = plan.segments.iter().map(|segment| segment_journal(layout, id, segment.id));
    for path in std::iter::once(own).chain(segments) {
        if length(&path) != db.journal(&source(layout, &path))?.0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ingests the next stretch of every journal of the job; true if there is more.
fn one_stretch(layout: &Layout, writing: &Writing<'_>, plan: &ReplayPlan, ended: bool) -> Result<bool, Error> {
    let id = &plan.job;
    let journal = layout.job(id).join(names::JOB);
    let (offset, _) = writing.journal(&source(layout, &journal))?;
    let mut rows = writing.segments_of_job(id)?;
    if rows.is_empty() {
        rows = plan.segments.iter().map(|segment| queued(plan, segment)).collect();
        writing.set_job(&job_row(plan, false, started_ms(layout, id)))?;
    }
    let (batch, _) = read(&journal, offset);
    let mut more = batch.more;
    for event in &batch.events {
        if let Event::Json(json) = event
            && let Ok(JobEvent::Segment { segment }) = serde_json::from_str(json)
            && let Some(row) = rows.iter_mut().find(|row| row.status.id == segment.id)
        {
            row.status = *segment;
        }
    }
    writing.set_journal(&source(layout, &journal), batch.next_offset, "")?;
    for row in &mut rows {
        more |= take_segment(layout, writing, row)?;
    }
    for row in &mut rows {
        // Its coordinator died: what it did not finish, nobody will.
        if ended && !more && matches!(row.status.state, SegmentState::Queued | SegmentState::Running { .. }) {
            row.status.state = SegmentState::Cancelled;
        }
        writing.set_segment(row)?;
    }
    Ok(more)
}

fn queued(plan: &ReplayPlan, segment: &Segment) -> SegmentRow {
    let run_plan: Option<&RunPlan> = plan.runs.iter().find(|run| run.run == segment.run);
    SegmentRow {
        job: plan.job.clone(),
        run: segment.run.clone(),
        probe_hash: run_plan.map(|run| run.probe_hash.clone()).unwrap_or_default(),
        names: plan.names.clone(),
        wanted: segment.wanted.clone(),
        status: SegmentStatus::queued(plan, segment),
        report: None,
    }
}

fn take_segment(layout: &Layout, writing: &Writing<'_>, row: &mut SegmentRow) -> Result<bool, Error> {
    let journal = segment_journal(layout, &row.job, row.status.id);
    let source = source(layout, &journal);
    let (offset, state) = writing.journal(&source)?;
    let (batch, _) = read(&journal, offset);
    if batch.next_offset == offset {
        return Ok(false);
    }
    let begun = || State { main: main_loop(layout, row), ..State::default() };
    let mut state: State = state.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_else(begun);
    for event in &batch.events {
        match event {
            Event::Note(_) if std::mem::take(&mut state.ended) => state.notes.clear(),
            Event::End(_) => state.ended = true,
            _ => {}
        }
        state.notes.extend(if let Event::Note(note) = event { Some(note.clone()) } else { None });
    }
    let starts: Vec<usize> =
        (0..batch.events.len()).filter(|at| matches!(batch.events[*at], Event::Start(_))).collect();
    if let (Some(_), true) = (starts.last(), state.starts + starts.len() > 1) {
        // Performed once more, from another state: what was before does not count.
        writing.remove_columns(&row.source())?;
        state = State { notes: state.notes, starts: state.starts, ended: state.ended, ..begun() };
    }
    state.starts += starts.len();
    let begin = starts.last().copied().filter(|_| state.starts > 1).unwrap_or(0);
    let mut columns = Columns::new(&mut state.context);
    for (at, event) in batch.events.iter().enumerate().skip(begin) {
        columns.context.lost |= batch.gap() == Some(at);
        columns.take(event);
        let entered = match event {
            Event::LoopEnter { key: Some(key), .. } => columns.context.name(*key),
            _ => None,
        };
        state.clock.take(event, entered.is_some() && entered == state.main.as_deref());
        state.begun += u64::from(matches!(event, Event::Iteration { .. }) && columns.context.open.len() == 1);
        let Event::State(json) = event else { continue };
        match serde_json::from_str(json) {
            Ok(StateEvent::Compared { block, equal, different }) => {
                state.states.equal_states += equal;
                if equal > 0 && different.is_empty() {
                    state.equal_in.extend(columns.context.position().0.first().map(|step| step.index));
                }
                if let (None, Some(variable)) = (&state.states.first_difference, different.first()) {
                    state.states.first_difference = Some(Difference {
                        name: format!("{variable} after {block}"),
                        position: columns.context.position(),
                        recorded: None,
                        replayed: None,
                    });
                }
            }
            Ok(StateEvent::Refused { refused }) => state.states.refused.push(refused),
            Ok(StateEvent::Changed { changed, differs }) => {
                state.differs.extend(differs.then(|| changed.clone()));
                state.changed.push(changed);
            }
            Err(_) => {}
        }
    }
    columns.context.lost |= batch.gap().is_some_and(|gap| gap >= begin);
    let pieces = columns.finish();
    if let SegmentState::Running { done_steps } = &mut row.status.state {
        *done_steps = state.begun.saturating_sub(1);
    }
    writing.append(&row.source(), &pieces)?;
    writing.set_journal(&source, batch.next_offset, &serde_json::to_string(&state).unwrap_or_default())?;
    Ok(batch.more)
}

/// The key of the main loop of the script with the statements in place.
fn main_loop(layout: &Layout, row: &SegmentRow) -> Option<String> {
    let path = layout.segment(&row.job, row.status.id).join(names::INSTRUMENTATION);
    let json = files::read(&path).ok()?;
    serde_json::from_slice::<InstrumentationPlan>(&json).ok()?.main
}

/// Performs the deferred check of every segment that has ended without one.
fn check_ended(layout: &Layout, db: &mut Db, plan: &ReplayPlan) -> Result<(), Error> {
    for mut row in db.segments()?.into_iter().filter(|row| row.job == plan.job && row.report.is_none()) {
        if matches!(row.status.state, SegmentState::Queued | SegmentState::Running { .. }) {
            continue;
        }
        let (_, state) = db.journal(&source(layout, &segment_journal(layout, &row.job, row.status.id)))?;
        let state: State = state.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        // Of a run that is not known any more nothing is sure.
        let run = db.run(&row.run)?;
        let status = run.as_ref().map_or(RunStatus::Lost, |run| run.summary.status);
        let mut report = check::values(layout, plan, &row, status, (&state.equal_in, state.starts));
        report.equal_states = state.states.equal_states;
        report.first_difference = report.first_difference.or(state.states.first_difference);
        report.refused.extend(state.states.refused);
        let mut said = BTreeSet::new();
        report.refused.retain(|what| said.insert(what.clone()));
        if let SegmentState::Done { check } = &mut row.status.state {
            *check = report.clone();
        }
        if matches!(row.status.state, SegmentState::Done { .. }) {
            row.status.took = state.clock.took(&row.status);
        }
        row.report = Some(report);
        if state.notes.iter().any(|note| note.starts_with(AFRESH)) {
            row.status.imports = Imports::Own;
        }
        row.status.notes = state.notes;
        let checkpoints = checkpoints(db, &row.run)?;
        let meta = run.as_ref().map(|run| &run.meta);
        row.status.causes =
            causes::of_segment(layout, plan, &row, meta, (&state.changed, &state.differs), &checkpoints);
        db.write(|writing| writing.set_segment(&row).map_err(Error::from))?;
    }
    Ok(())
}

fn checkpoints(db: &Db, run: &RunId) -> Result<Vec<Checkpoint>, Error> {
    #[derive(Deserialize)]
    struct Stored {
        checkpoint: Checkpoint,
    }
    let stored = db.checkpoints(run)?;
    let stored = stored.iter().filter_map(|json| serde_json::from_str::<Stored>(json).ok());
    Ok(stored.map(|stored| stored.checkpoint).collect())
}
