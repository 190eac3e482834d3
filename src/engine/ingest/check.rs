//! The deferred check of a segment: reads both journals, a stretch at a time, for `analysis::verify`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::analysis::python;
use crate::analysis::verify::{self, Happening, LoopEnd, LoopRole, Place, Trace, Unit};
use crate::base::files;
use crate::engine::ingest::fold::Context;
use crate::engine::ingest::{given, read};
use crate::model::instrument::{InstrumentationPlan, LoopPlan};
use crate::model::job::{CheckReport, SegmentState};
use crate::model::plan::{ReplayPlan, RunPlan};
use crate::model::run::RunStatus;
use crate::store::db::SegmentRow;
use crate::store::journal::{Event, LoopExit, Stream};
use crate::store::layout::{Layout, names};

/// Compares what a segment logged with what its run recorded; `status` is the run's, `states` the iterations in which
/// states were equal, and `starts` says how often its script was started: the last time counts.
pub(super) fn values(
    layout: &Layout,
    plan: &ReplayPlan,
    segment: &SegmentRow,
    status: RunStatus,
    (states, starts): (&BTreeSet<u64>, usize),
) -> CheckReport {
    let no_statements = Added { names: plan.names.iter().cloned().collect(), script: "", lines: &[] };
    let run_plan = plan.runs.iter().find(|run| run.run == segment.run);
    let added = run_plan.map_or(no_statements, Added::new);
    let nothing = Added { names: BTreeSet::new(), script: "", lines: &[] };
    let recorded = Units::new(&layout.run(&segment.run), status == RunStatus::Finished, &nothing);
    let whole = matches!(segment.status.state, SegmentState::Done { .. });
    let mut replayed = Units::new(&layout.segment(&segment.job, segment.status.id), whole, &added);
    replayed.starts_to_pass = if starts > 1 { starts } else { 0 };
    let (mut report, mut equal) = verify::check(recorded, replayed, &added.names);
    report.refused = run_plan.map(by_chance).unwrap_or_default();
    report.refused.extend(run_plan.map(given::relied_on).unwrap_or_default());
    equal.extend(states.iter().copied().map(Place::Iteration));
    if let Some(planned) = plan.segments.iter().find(|planned| planned.id == segment.status.id) {
        report.unproven = verify::unproven(&planned.steps, &segment.wanted, &equal);
    }
    report
}

/// What the added statements log that comes out differently each time, whatever was seeded.
fn by_chance(plan: &RunPlan) -> Vec<String> {
    let calls = python::fresh_calls(plan.probed_source.as_deref().unwrap_or_default(), &plan.inserted);
    let words = |call: &python::ChanceCall| {
        format!("rely on {}() of line {}, which gives something else each time", call.name, call.line)
    };
    calls.iter().map(words).collect()
}

/// The statements that a replay added to a version.
pub(super) struct Added<'a> {
    /// What they log.
    pub(super) names: BTreeSet<String>,
    script: &'a str,
    lines: &'a [(u32, u32)],
}

impl<'a> Added<'a> {
    pub(super) fn new(plan: &'a RunPlan) -> Self {
        let mut added = Self { names: BTreeSet::new(), script: &plan.script, lines: &plan.inserted };
        let placed = plan.placements.iter().filter(|placement| placement.status.is_placed());
        added.names.extend(placed.map(|placement| placement.name.clone()));
        let statements = python::log_statements(plan.probed_source.as_deref().unwrap_or_default());
        let new = statements.into_iter().filter(|statement| added.holds(statement.first_line));
        let new: Vec<String> = new.map(|statement| statement.name).collect();
        added.names.extend(new);
        added
    }

    fn holds(&self, line: u32) -> bool {
        self.lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    fn role(&self, plan: &LoopPlan) -> LoopRole {
        if plan.file == self.script && self.holds(plan.first_line) {
            LoopRole::Added
        } else if plan.is_main {
            LoopRole::Main
        } else if plan.wrap.as_ref().is_some_and(|wrap| wrap.was_silent) {
            LoopRole::Silent
        } else {
            LoopRole::Other
        }
    }
}

/// The units of a journal's execution, read as they are asked for.
struct Units<'a> {
    journal: PathBuf,
    offset: u64,
    events: std::vec::IntoIter<Event>,
    /// Whether nothing follows `events`: the journal ends here, or has a gap behind which nobody knows where things are.
    last: bool,
    /// Whether the process said that it ended.
    ended: bool,
    context: Context,
    /// What stands before so many starts of the script does not count.
    starts_to_pass: usize,
    instrumentation: InstrumentationPlan,
    added: &'a Added<'a>,
    /// `None` once the last unit was given.
    trace: Option<Trace>,
}

impl<'a> Units<'a> {
    fn new(folder: &Path, whole: bool, added: &'a Added<'a>) -> Self {
        let instrumentation = files::read(&folder.join(names::INSTRUMENTATION)).ok();
        Self {
            journal: folder.join(names::EVENTS),
            offset: 0,
            events: Vec::new().into_iter(),
            last: false,
            ended: false,
            context: Context::default(),
            starts_to_pass: 0,
            // Without it no main loop is known, and the whole is one unit.
            instrumentation: instrumentation.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default(),
            added,
            trace: Some(Trace::new(whole)),
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.next() {
                return Some(event);
            }
            if self.last {
                return None;
            }
            let (mut batch, _) = read(&self.journal, self.offset);
            self.last = !batch.more;
            if let Some(gap) = batch.gap() {
                batch.events.truncate(gap);
                self.last = true;
                self.ended = false;
            }
            self.offset = batch.next_offset;
            self.events = batch.events.into_iter();
        }
    }

    fn role(&self, key: Option<u32>) -> LoopRole {
        let key = key.and_then(|key| self.context.name(key));
        // The run's own loop, but run by an added statement.
        if key.is_some_and(|key| key.ends_with('+')) {
            return LoopRole::Added;
        }
        let plan = key.and_then(|key| self.instrumentation.find(key));
        plan.map_or(LoopRole::Other, |plan| self.added.role(plan))
    }

    fn take(&mut self, event: &Event) -> Option<Unit> {
        let unknown = "";
        let happening = match event {
            Event::LoopEnter { name, key, .. } => {
                Happening::Enter { name: self.context.name(*name).unwrap_or(unknown), role: self.role(*key) }
            }
            Event::Iteration { index, .. } => Happening::Iterate(*index),
            Event::IterationValue(value) => Happening::IteratedValue(value),
            Event::LoopExit { how, .. } => Happening::Exit(match how {
                LoopExit::Exhausted => LoopEnd::Exhausted,
                LoopExit::Early => LoopEnd::Early,
                LoopExit::Skipped => LoopEnd::Skipped,
            }),
            Event::Log { name, value } => Happening::Log { name: self.context.name(*name).unwrap_or(unknown), value },
            Event::Line { stream, text } => Happening::Printed { error: *stream == Stream::Error, line: text },
            _ => return None,
        };
        self.trace.as_mut()?.take(&happening)
    }
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        while let Some(event) = self.next_event() {
            if self.starts_to_pass > 0 {
                self.starts_to_pass -= usize::from(matches!(event, Event::Start(_)));
                continue;
            }
            match event {
                Event::Name { id, text } => self.context.intern(id, text),
                Event::End(_) => self.ended = true,
                event => {
                    if let Some(unit) = self.take(&event) {
                        return Some(unit);
                    }
                }
            }
        }
        self.trace.take()?.finish(self.ended)
    }
}
