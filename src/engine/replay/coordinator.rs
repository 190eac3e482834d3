//! Runs a job's segments, a worker process each, and notes what becomes of them in the job's journal.
//!
//! Holds the job's lock for as long as it lives: who sees the lock free knows that nobody works on the job any more.

use std::fs::OpenOptions;
use std::process::Child;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::files;
use crate::base::ids::JobId;
use crate::engine::replay::{isolation, read_plan, worker};
use crate::engine::{Error, spawn};
use crate::model::job::{CheckReport, SegmentState, SegmentStatus};
use crate::model::plan::{ReplayPlan, Segment};
use crate::store::journal::{self, Event, Writer};
use crate::store::layout::{Layout, Lock, names};

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
    // Somebody else works on it already.
    let Some(_lock) = Lock::acquire(&folder.join(names::LOCK))? else { return Ok(()) };
    let plan = read_plan(layout, job)?;
    let mut coordinator =
        Coordinator { layout, plan: &plan, journal: Writer::open(&folder.join(names::JOB))?, running: Vec::new() };
    coordinator.perform()
}

struct Coordinator<'a> {
    layout: &'a Layout,
    plan: &'a ReplayPlan,
    journal: Writer,
    running: Vec<(Child, SegmentStatus)>,
}

impl Coordinator<'_> {
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
                let Some(segment) = waiting.pop() else { break };
                self.start(segment)?;
            }
            self.collect()?;
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn start(&mut self, segment: &Segment) -> Result<(), Error> {
        let mut status = SegmentStatus::queued(self.plan, segment);
        status.started_ms = Some(now_ms());
        status.state = SegmentState::Running { done_steps: 0 };
        let folder = self.layout.segment(&self.plan.job, segment.id);
        files::create_dir_all(&folder)?;
        let log = folder.join(names::WORKER_LOG);
        let log = OpenOptions::new().create(true).append(true).open(&log).map_err(files::at("open", &log))?;
        match spawn::worker(self.layout.root(), &self.plan.job, segment.id, &log) {
            Ok(child) => {
                self.note(&status)?;
                self.running.push((child, status));
            }
            Err(error) => {
                status.state = SegmentState::Failed { message: error.to_string(), traceback: None };
                self.note(&status)?;
            }
        }
        Ok(())
    }

    /// Notes the workers that have ended.
    fn collect(&mut self) -> Result<(), Error> {
        let mut ended = Vec::new();
        self.running.retain_mut(|(child, status)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(exit)) => {
                ended.push((spawn::outcome(exit).0, status.clone()));
                false
            }
            Err(_) => {
                ended.push((1, status.clone()));
                false
            }
        });
        for (code, mut status) in ended {
            // Its mounts vanished with it; what it wrote is nobody's.
            for folder in worker::leftovers(self.layout, &self.plan.job, status.id) {
                let _ = isolation::clear(&folder);
            }
            status.ended_ms = Some(now_ms());
            status.state = self.outcome(status.id, code);
            self.note(&status)?;
        }
        Ok(())
    }

    /// What a worker's exit code and its segment's journal say.
    fn outcome(&self, segment: u32, code: i32) -> SegmentState {
        let folder = self.layout.segment(&self.plan.job, segment);
        let ending = ending(&folder.join(names::EVENTS));
        match ending {
            Some(ending) if ending.exit_code == 0 && code == 0 => SegmentState::Done { check: CheckReport::default() },
            Some(Ending { exception: Some(exception), traceback, .. }) => {
                SegmentState::Failed { message: exception, traceback }
            }
            _ => {
                let log = files::read_text(&folder.join(names::WORKER_LOG)).unwrap_or_default();
                let output = files::read_text(&folder.join(names::OUTPUT)).unwrap_or_default();
                let what = if log.trim().is_empty() { &output } else { &log };
                let message = format!("the worker ended with code {code}: {}", tail(what));
                SegmentState::Failed { message: message.trim_end_matches(": ").to_owned(), traceback: None }
            }
        }
    }

    fn cancel(&mut self, waiting: &[&Segment]) -> Result<(), Error> {
        for (mut child, mut status) in std::mem::take(&mut self.running) {
            // The worker dies with its child: both are in one process group, or the pipe between them breaks.
            let _ = child.kill();
            let _ = child.wait();
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
}

fn ending(path: &std::path::Path) -> Option<Ending> {
    let mut offset = 0;
    let mut last = None;
    loop {
        let batch = journal::read_from(path, offset).ok()?;
        for event in &batch.events {
            if let Event::End(json) = event {
                last = serde_json::from_str(json).ok();
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
