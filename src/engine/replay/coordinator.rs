//! Runs a job's segments, a worker process each, and notes what becomes of them in the job's journal.
//!
//! Holds the job's lock for as long as it lives (see `spawn::coordinator`). Its workers die with it.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::process::Child;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::files;
use crate::base::ids::JobId;
use crate::engine::machine::Machine;
use crate::engine::replay::devices::Devices;
use crate::engine::replay::forkserver::Servers;
use crate::engine::replay::prefix::Prefixes;
use crate::engine::replay::{isolation, read_plan, worker};
use crate::engine::{Error, replay, spawn};
use crate::model::job::{CheckReport, SegmentState, SegmentStatus};
use crate::model::plan::{ReplayPlan, Segment};
use crate::store::journal::{self, Event, Writer};
use crate::store::layout::{Layout, names};

/// How often finished workers and a wish to cancel are looked for.
const POLL: Duration = Duration::from_millis(20);
/// The end of a failed worker's output that is kept with its state.
const MAX_MESSAGE_BYTES: usize = 4000;

/// Performs a job to its end.
///
/// # Errors
/// If the job has no plan, or its journal cannot be written.
pub fn run(layout: &Layout, job: &JobId) -> Result<(), Error> {
    spawn::leave_terminal();
    let folder = layout.job(job);
    replay::clear_leftovers(layout);
    let plan = read_plan(layout, job)?;
    let mut coordinator = Coordinator {
        layout,
        plan: &plan,
        journal: Writer::open(&folder.join(names::JOB))?,
        prefixes: Prefixes::of(layout, &plan),
        servers: Servers::of(layout, &plan),
        running: Vec::new(),
        devices: Devices::of(Machine::here().gpus),
        unreadable: HashSet::new(),
        unshared: HashSet::new(),
        whole: HashSet::new(),
    };
    coordinator.perform()
}

struct Coordinator<'a> {
    layout: &'a Layout,
    plan: &'a ReplayPlan,
    journal: Writer,
    /// These ask the servers, too.
    prefixes: Prefixes<'a>,
    servers: Servers<'a>,
    running: Vec<(Child, SegmentStatus)>,
    devices: Devices,
    /// Checkpoints that segments could not read.
    unreadable: HashSet<(u32, u64)>,
    /// Segments whose process could not be forked where the main loop begins, or was killed with the one that forked it.
    unshared: HashSet<u32>,
    /// Segments that failed for want of what they did not execute.
    whole: HashSet<u32>,
}

impl<'a> Coordinator<'a> {
    fn perform(&mut self) -> Result<(), Error> {
        let mut waiting: Vec<&Segment> = self.plan.segments.iter().collect();
        // Longest first, taken from the back.
        waiting.sort_by_key(|segment| segment.cost.total_ns());
        let cancel = self.layout.job(&self.plan.job).join(names::CANCEL);
        while !waiting.is_empty() || !self.running.is_empty() {
            if cancel.exists() {
                return self.cancel(&waiting);
            }
            while self.running.len() < self.plan.workers.max(1) {
                let Some(at) = waiting.iter().rposition(|segment| self.can_have_devices(segment)) else { break };
                let segment = waiting.remove(at);
                self.start(segment)?;
            }
            self.collect()?;
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The GPUs that a segment's run has to see, if that is not what its environment says.
    fn wants_devices(&self, segment: &Segment) -> Option<u32> {
        let run = self.plan.runs.iter().find(|run| run.run == segment.run)?;
        run.environment.as_ref()?.devices.filter(|count| *count > 0)
    }

    fn can_have_devices(&self, segment: &Segment) -> bool {
        self.wants_devices(segment).is_none_or(|count| self.devices.are_free(count))
    }

    fn start(&mut self, segment: &Segment) -> Result<(), Error> {
        let devices = self.wants_devices(segment).and_then(|count| self.devices.take(segment.id, count));
        let mut status = SegmentStatus::queued(self.plan, segment);
        status.started_ms = Some(now_ms());
        status.state = SegmentState::Running { done_steps: 0 };
        let folder = self.layout.segment(&self.plan.job, segment.id);
        files::create_dir_all(&folder)?;
        let log = folder.join(names::WORKER_LOG);
        let log = OpenOptions::new().create(true).append(true).open(&log).map_err(files::at("open", &log))?;
        let is_alone = self.unshared.contains(&segment.id);
        let shared = if is_alone { None } else { self.prefixes.serving(segment, &mut self.servers) };
        let sharing = shared.map_or(spawn::Sharing::Nothing, spawn::Sharing::Asks);
        let what = spawn::Segment { job: &self.plan.job, number: segment.id, devices: devices.as_deref(), sharing };
        let server = if is_alone { None } else { self.servers.serving(&segment.run) };
        let is_forked = server.is_some();
        match spawn::worker(self.layout.root(), what, &log, server) {
            Ok(child) => {
                if is_forked {
                    status.imports = self.servers.imports(&segment.run);
                }
                self.note(&status)?;
                self.running.push((child, status));
            }
            Err(error) => {
                self.devices.give_back(segment.id);
                status.state = SegmentState::Failed { message: error.to_string(), traceback: None };
                self.note(&status)?;
            }
        }
        Ok(())
    }

    /// Notes the workers that have ended.
    fn collect(&mut self) -> Result<(), Error> {
        self.prefixes.collect();
        let mut ended = Vec::new();
        self.running.retain_mut(|(child, status)| match spawn::ended_with_group(child) {
            Ok(None) => true,
            Ok(Some(exit)) => {
                ended.push((spawn::outcome(exit), status.clone()));
                false
            }
            Err(_) => {
                ended.push(((1, None), status.clone()));
                false
            }
        });
        for (outcome, mut status) in ended {
            self.clear(status.id);
            self.devices.give_back(status.id);
            if let Some(segment) = self.repeated(&status) {
                self.start(segment)?;
                continue;
            }
            self.servers.ended(&status.run);
            if let Some(segment) = self.plan.segments.iter().find(|segment| segment.id == status.id) {
                self.prefixes.ended(segment);
            }
            status.ended_ms = Some(now_ms());
            status.state = self.outcome(&status, outcome);
            self.note(&status)?;
        }
        Ok(())
    }

    /// The segment, if it ended for want of a checkpoint that is damaged, of a process that others share, or of what was
    /// not executed: its worker does without the first two, or executes everything, the next time.
    fn repeated(&mut self, status: &SegmentStatus) -> Option<&'a Segment> {
        let journal = self.layout.segment(&self.plan.job, status.id).join(names::EVENTS);
        let ending = ending(&journal)?;
        // Never the same twice.
        let is_new = match ending.unreadable {
            Some(checkpoint) => self.unreadable.insert((status.id, checkpoint)),
            None if ending.unshared => self.unshared.insert(status.id),
            None => ending.failed_bereft() && !self.run_ended_as(&ending, status) && self.whole.insert(status.id),
        };
        self.plan.segments.iter().find(|segment| is_new && segment.id == status.id)
    }

    /// Removes what an ended worker's script wrote: it is nobody's, and its mounts have vanished.
    fn clear(&self, segment: u32) {
        for folder in worker::leftovers(self.layout, &self.plan.job, segment) {
            // What cannot be removed now is removed before the next job.
            let _ = isolation::clear(&folder);
        }
    }

    /// What a worker's exit code, or the signal that ended it, and its segment's journal say.
    fn outcome(&self, segment: &SegmentStatus, (code, signal): (i32, Option<i32>)) -> SegmentState {
        let folder = self.layout.segment(&self.plan.job, segment.id);
        let ending = ending(&folder.join(names::EVENTS));
        match ending {
            Some(ending) if ending.exit_code == 0 && code == 0 => SegmentState::Done { check: CheckReport::default() },
            // An error of the run's own is what its replay is to end with.
            Some(failed) if failed.exit_code != 0 && self.run_ended_as(&failed, segment) => {
                SegmentState::Done { check: CheckReport::default() }
            }
            Some(Ending { exception: Some(exception), traceback, .. }) => {
                SegmentState::Failed { message: exception, traceback }
            }
            _ => {
                let log = files::read_text(&folder.join(names::WORKER_LOG)).unwrap_or_default();
                let output = files::read_text(&folder.join(names::OUTPUT)).unwrap_or_default();
                let what = if log.trim().is_empty() { &output } else { &log };
                let reason = match signal {
                    Some(signal) => format!("the worker was killed by signal {signal}"),
                    // As a shell says it: the worker gives the code of its script.
                    None if (129..=192).contains(&code) => format!("the script was killed by signal {}", code - 128),
                    None => format!("the worker ended with code {code}"),
                };
                // Where there is room for one line only, it is the last.
                let message = format!("{}\n{reason}", tail(what)).trim_start().to_owned();
                SegmentState::Failed { message, traceback: None }
            }
        }
    }

    /// Whether the run came to the same end: the same exit code and exception in the same iteration.
    fn run_ended_as(&self, replayed: &Ending, segment: &SegmentStatus) -> bool {
        let recorded = ending(&self.layout.run(&segment.run).join(names::EVENTS));
        recorded.is_some_and(|recorded| {
            let of = |ending: &Ending| (ending.exit_code, ending.exception.clone(), ending.iteration);
            of(&recorded) == of(replayed)
        })
    }

    fn cancel(&mut self, waiting: &[&Segment]) -> Result<(), Error> {
        for (mut child, mut status) in std::mem::take(&mut self.running) {
            spawn::end_group(&mut child);
            self.clear(status.id);
            status.ended_ms = Some(now_ms());
            status.state = SegmentState::Cancelled;
            self.note(&status)?;
        }
        for segment in waiting {
            let mut status = SegmentStatus::queued(self.plan, segment);
            status.state = SegmentState::Cancelled;
            self.note(&status)?;
        }
        Ok(())
    }

    fn note(&mut self, status: &SegmentStatus) -> Result<(), Error> {
        let json = serde_json::json!({ "type": "segment", "segment": status }).to_string();
        Ok(self.journal.append(&[Event::Json(json)])?)
    }
}

/// The end of a script, as it noted it itself.
#[derive(Debug, serde::Deserialize)]
struct Ending {
    exit_code: i32,
    exception: Option<String>,
    traceback: Option<String>,
    /// The checkpoint that could not be read.
    unreadable: Option<u64>,
    /// Whether it is to be begun anew, without what others of the run share.
    #[serde(default)]
    unshared: bool,
    /// Whether it looked for what skipped iterations or blocks may have made or changed.
    #[serde(default)]
    bereft: bool,
    /// The last iteration of an outermost loop.
    #[serde(skip)]
    iteration: Option<u64>,
}

impl Ending {
    fn failed_bereft(&self) -> bool {
        self.bereft && self.exit_code != 0
    }
}

/// The end of what a journal tells of last.
fn ending(path: &std::path::Path) -> Option<Ending> {
    let mut offset = 0;
    let mut last: Option<Ending> = None;
    let (mut depth, mut iteration) = (0_usize, None);
    loop {
        let batch = journal::read_from(path, offset).ok()?;
        for event in &batch.events {
            match event {
                // Performed once more.
                Event::Start(_) => (last, depth, iteration) = (None, 0, None),
                Event::LoopEnter { .. } => depth += 1,
                Event::LoopExit { .. } => depth = depth.saturating_sub(1),
                Event::Iteration { index, .. } if depth == 1 => iteration = Some(*index),
                Event::End(json) => {
                    last = serde_json::from_str(json).ok();
                    last.iter_mut().for_each(|ending| ending.iteration = iteration);
                }
                _ => {}
            }
        }
        offset = batch.next_offset;
        if !batch.more {
            return last;
        }
    }
}

/// The last lines of a text.
fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(MAX_MESSAGE_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].trim()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
