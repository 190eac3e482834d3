//! Ingests one run: `events.aflj` of the script and `recorder.aflj` of its recorder.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::ids::RunId;
use crate::engine::ingest::fold::{Columns, Context};
use crate::engine::ingest::summary::{self, Spark};
use crate::engine::ingest::timing::Timed;
use crate::engine::ingest::{length, read, source};
use crate::engine::{Error, stored};
use crate::model::instrument::InstrumentationPlan;
use crate::model::run::{Checkpoint, RunMeta, RunStatus, RunTimings};
use crate::store::db::{Db, RunRow, Writing};
use crate::store::journal::{Batch, Event};
use crate::store::layout::{self, Layout, names};

/// The signal that a script cannot take in.
const SIGKILL: i32 = 9;

/// The ingester's state between readings of a run's journals.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    context: Context,
    timed: Timed,
    spark: Spark,
    /// When the interpreter started, in Unix milliseconds.
    started_ms: Option<i64>,
    /// What the script said at its end.
    script_end: Option<End>,
    /// What the recorder saw of the script's end.
    recorder_end: Option<End>,
}

/// An end event.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct End {
    exit_code: Option<i32>,
    signal: Option<i32>,
    exception: Option<String>,
    t_ns: Option<u64>,
    unix_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Start {
    unix_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Stored {
    checkpoint: Checkpoint,
}

/// Ingests what is new of a run; true if anything changed.
pub(super) fn ingest(layout: &Layout, db: &mut Db, id: &RunId) -> Result<bool, Error> {
    let folder = layout.run(id);
    // A run whose folder is being made has no meta yet; a damaged one is reported by `fsck`.
    let Some(meta) = files::read(&folder.join(names::META)).ok().and_then(|m| serde_json::from_slice(&m).ok()) else {
        return Ok(false);
    };
    let mut changed = false;
    loop {
        // Asked before reading: if nobody holds it now, the journals are complete when read afterwards.
        let lock = folder.join(names::LOCK);
        let held = layout::is_held(&lock);
        let ended = !held && lock.exists();
        if !ended && !has_news(layout, db, id, held)? {
            return Ok(changed);
        }
        let more = db.write(|writing| one_stretch(layout, writing, &meta, held, ended))?;
        changed = true;
        if !more {
            return Ok(changed);
        }
    }
}

/// Forgets the checkpoints that were given up since they were ingested.
pub(super) fn forget_dropped(layout: &Layout, db: &mut Db, id: &RunId) -> Result<(), Error> {
    let dropped = stored::dropped(layout, id, 0)?;
    if dropped.is_empty() {
        return Ok(());
    }
    db.write(|writing| {
        let Some(mut row) = writing.run(id)? else { return Ok(()) };
        dropped.iter().try_for_each(|seq| writing.remove_checkpoint(id, *seq))?;
        let left = stored::kept(layout, id, 0)?;
        (row.summary.checkpoints, row.summary.checkpoint_bytes) =
            left.iter().fold((0, 0), |(count, bytes), left| (count + 1, bytes + left.checkpoint.stored_bytes));
        Ok(writing.set_run(&row)?)
    })
}

fn has_news(layout: &Layout, db: &Db, id: &RunId, held: bool) -> Result<bool, Error> {
    let Some(row) = db.run(id)? else { return Ok(true) };
    if (row.summary.status == RunStatus::Lost) == held && row.summary.exit_code.is_none() {
        return Ok(true);
    }
    for file in [names::EVENTS, names::RECORDER] {
        let path = layout.run(id).join(file);
        if length(&path) != db.journal(&source(layout, &path))?.0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ingests the next stretch of both journals; true if there is more.
fn one_stretch(layout: &Layout, writing: &Writing<'_>, meta: &RunMeta, held: bool, ended: bool) -> Result<bool, Error> {
    let folder = layout.run(&meta.id);
    let fresh =
        || RunRow { settled: false, summary: summary::empty(meta), meta: meta.clone(), timings: RunTimings::default() };
    let mut row = writing.run(&meta.id)?.unwrap_or_else(fresh);
    let (events_path, recorder_path) = (folder.join(names::EVENTS), folder.join(names::RECORDER));
    let (events_source, recorder_source) = (source(layout, &events_path), source(layout, &recorder_path));
    let (events_at, state) = writing.journal(&events_source)?;
    let mut state: State = match state.and_then(|json| serde_json::from_str(&json).ok()) {
        Some(state) => state,
        None => State { timed: Timed::new(&instrumentation(layout, &meta.id)), ..State::default() },
    };
    let (events, notes) = read(&events_path, events_at);
    notes.into_iter().for_each(|note| summary::note(&mut row.summary, note));
    let columns = take_events(&mut row, &mut state, &events);
    writing.append(meta.id.as_str(), &columns)?;

    let (recorder_at, _) = writing.journal(&recorder_source)?;
    let (recorder, notes) = read(&recorder_path, recorder_at);
    notes.into_iter().for_each(|note| summary::note(&mut row.summary, note));
    take_recorder(layout, &mut row, &mut state, &recorder, writing)?;

    let more = events.more || recorder.more;
    row.settled = ended && !more;
    if row.settled && events.torn_bytes > 0 {
        let bytes = events.torn_bytes;
        summary::note(
            &mut row.summary,
            format!("the last {bytes} bytes of the journal were cut off when the process died"),
        );
    }
    if row.settled && state.script_end.is_none() && state.recorder_end.as_ref().is_some_and(|end| end.signal.is_none())
    {
        let how = "the script's journal has no end (os._exit, exec, a full disk)";
        summary::note(&mut row.summary, format!("{how}: what it logged last may be missing"));
    }
    let signal = state.recorder_end.as_ref().and_then(|end| end.signal);
    // A script that said how it ended (Ctrl-C) is not to be told twice.
    if let (Some(signal), None, true) = (signal, &state.script_end, row.settled) {
        summary::note(&mut row.summary, format!("the script was ended by {}", signal_name(signal)));
    }
    finish(&mut row, &state, held);
    writing.append_iterations(&meta.id, &state.timed.take_left(&mut row.timings))?;
    writing.set_run(&row)?;
    let json = serde_json::to_string(&state).unwrap_or_default();
    writing.set_journal(&events_source, events.next_offset, &json)?;
    writing.set_journal(&recorder_source, recorder.next_offset, "")?;
    Ok(more)
}

/// `signal 15 (SIGTERM)`.
fn signal_name(number: i32) -> String {
    let name = nix::sys::signal::Signal::try_from(number).map(|signal| format!(" ({})", signal.as_str()));
    format!("signal {number}{}", name.unwrap_or_default())
}

fn instrumentation(layout: &Layout, id: &RunId) -> InstrumentationPlan {
    let path = layout.run(id).join(names::INSTRUMENTATION);
    // Without it the outermost loop counts as the main loop.
    files::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

fn take_events(row: &mut RunRow, state: &mut State, batch: &Batch) -> Vec<crate::store::db::Appended> {
    let mut columns = Columns::new(&mut state.context);
    // A script may log a million names.
    let mut known: HashSet<String> = row.summary.names.iter().cloned().collect();
    for (at, event) in batch.events.iter().enumerate() {
        columns.context.lost |= batch.gap() == Some(at);
        columns.take(event);
        let depth = columns.context.open.len();
        match event {
            Event::LoopEnter { .. } | Event::Iteration { .. } | Event::LoopExit { .. } if columns.context.lost => {}
            Event::LoopEnter { key, .. } => {
                let key = key.and_then(|key| columns.context.name(key));
                state.timed.take(event, depth, key, &mut row.timings);
            }
            Event::Iteration { .. } | Event::LoopExit { .. } => {
                state.timed.take(event, depth, None, &mut row.timings);
            }
            Event::Log { name, value } => {
                if let Some(name) = columns.context.name(*name) {
                    summary::logged(&mut row.summary, &mut known, &mut state.spark, name, value);
                }
            }
            Event::Argument { name, value } => {
                if let Some(name) = columns.context.name(*name)
                    && !row.summary.args.iter().any(|(known, _)| known == name)
                {
                    row.summary.args.push((name.to_owned(), value.clone()));
                }
            }
            Event::Note(text) => summary::note(&mut row.summary, text.clone()),
            Event::Start(json) => {
                state.started_ms = serde_json::from_str::<Start>(json).ok().and_then(|start| start.unix_ms);
            }
            Event::End(json) => {
                let end: End = serde_json::from_str(json).unwrap_or_default();
                state.timed.ended(end.t_ns, &mut row.timings);
                state.script_end = Some(end);
            }
            _ => {}
        }
    }
    columns.context.lost |= batch.gap().is_some();
    columns.finish()
}

fn take_recorder(
    layout: &Layout,
    row: &mut RunRow,
    state: &mut State,
    batch: &Batch,
    writing: &Writing<'_>,
) -> Result<(), Error> {
    // Where that cannot be read, `fsck` says so; what is gone is noticed when it is to be loaded.
    let dropped = stored::dropped(layout, &row.meta.id, 0).unwrap_or_default();
    for event in &batch.events {
        match event {
            Event::Stored(json) => match serde_json::from_str::<Stored>(json) {
                Ok(Stored { checkpoint }) if dropped.contains(&checkpoint.seq) => {}
                Ok(Stored { checkpoint }) => {
                    row.summary.checkpoints += 1;
                    row.summary.checkpoint_bytes += checkpoint.stored_bytes;
                    writing.set_checkpoint(&row.meta.id, checkpoint.seq, json)?;
                }
                Err(error) => summary::note(&mut row.summary, format!("a stored checkpoint is not readable: {error}")),
            },
            Event::Note(text) => summary::note(&mut row.summary, text.clone()),
            Event::End(json) => state.recorder_end = Some(serde_json::from_str(json).unwrap_or_default()),
            _ => {}
        }
    }
    Ok(())
}

/// Brings status, duration and counts up to what was read.
fn finish(row: &mut RunRow, state: &State, held: bool) {
    state.timed.so_far(&mut row.timings);
    let summary = &mut row.summary;
    summary.iterations = state.timed.begun;
    summary.spark = state.spark.points();
    let end = state.script_end.as_ref().or(state.recorder_end.as_ref());
    summary.exit_code = state.recorder_end.as_ref().and_then(|e| e.exit_code).or(end.and_then(|e| e.exit_code));
    // Nobody can say more of it (the system kills so what takes too much memory); of other signals it is known what ended it.
    let killed = state.recorder_end.as_ref().is_some_and(|end| end.signal == Some(SIGKILL));
    summary.status = match (&state.script_end, &state.recorder_end) {
        (None, Some(_)) if killed => RunStatus::Lost,
        (Some(end), _) | (None, Some(end)) => {
            // What runs after the script's end, or another of its processes, may still fail.
            let failed_later =
                state.recorder_end.as_ref().is_some_and(|end| end.exit_code.is_some_and(|code| code != 0));
            if end.exit_code == Some(0) && end.exception.is_none() && !failed_later {
                RunStatus::Finished
            } else {
                RunStatus::Failed
            }
        }
        (None, None) if held => RunStatus::Running,
        (None, None) => RunStatus::Lost,
    };
    let journalled = i64::try_from(state.timed.last_ns / 1_000_000).unwrap_or(i64::MAX);
    let last_ms = state.started_ms.unwrap_or(summary.started_ms).saturating_add(journalled);
    let ended_ms = end.and_then(|end| end.unix_ms).unwrap_or(last_ms);
    summary.duration_ms = (ended_ms - summary.started_ms).max(0);
}
