//! What comes before a run's main loop, executed once for several of its segments, by a process that forks one for each.
//!
//! That process has a worker, a folder and a view of the file system of its own; those of the segments
//! have a copy of what it wrote. It does nothing else, so that this stays as it is (`assets/runtime/afterlog/_prefix.py`).
//! Whatever does not work here only costs time: a segment's Python then executes all of its script.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::process::Child;

use crate::base::files::at;
use crate::base::ids::RunId;
use crate::engine::replay::forkserver::{self, Servers};
use crate::engine::replay::{isolation, worker};
use crate::engine::{Error, spawn};
use crate::model::plan::{ReplayPlan, RunPlan, Segment, Stop};
use crate::store::layout::Layout;

/// Those of a job's runs that have several segments. They end when this is dropped.
pub(super) struct Prefixes<'a> {
    layout: &'a Layout,
    plan: &'a ReplayPlan,
    of: HashMap<&'a RunId, Shared>,
    /// So many may be there at once: each takes the memory of a process of its run.
    most: usize,
}

struct Shared {
    /// Segments that may share it and have not ended.
    left: usize,
    state: State,
}

enum State {
    NotStarted,
    Running { worker: Child, asked: OwnedFd },
    Gone,
}

/// The number of the folder that a run's shared process has among those of segments.
pub(super) fn number(plan: &ReplayPlan, run: &RunId) -> u32 {
    let at = plan.runs.iter().position(|known| known.run == *run).unwrap_or(0);
    u32::try_from(plan.segments.len() + at).unwrap_or(u32::MAX)
}

/// Whether a segment's values can be had in a process that has not begun for it alone.
pub(super) fn may_share(segment: &Segment, run: &RunPlan) -> bool {
    // Statements before the main loop are watched where states are restored, and only there.
    segment.stop != Stop::AtMainLoop && !segment.steps.is_empty() && (segment.restores() || run.inserted.is_empty())
}

impl<'a> Prefixes<'a> {
    /// Of what several segments of the plan share. Starts nothing yet.
    pub(super) fn of(layout: &'a Layout, plan: &'a ReplayPlan) -> Self {
        let mut of = HashMap::new();
        if !forkserver::is_off() {
            for run in plan.runs.iter().filter(|run| run.shared_prefix_ns.is_some()) {
                let sharing = plan.segments.iter().filter(|segment| segment.run == run.run && may_share(segment, run));
                of.insert(&run.run, Shared { left: sharing.count(), state: State::NotStarted });
            }
        }
        Self { layout, plan, of, most: plan.workers.max(1) }
    }

    /// Where a segment that is about to start asks for its process, if it is to.
    pub(super) fn serving(&mut self, segment: &Segment, servers: &mut Servers<'_>) -> Option<&OwnedFd> {
        let run = self.plan.runs.iter().find(|run| run.run == segment.run)?;
        let running = self.of.values().filter(|shared| matches!(shared.state, State::Running { .. })).count();
        let shared = self.of.get_mut(&segment.run).filter(|_| may_share(segment, run))?;
        if matches!(shared.state, State::NotStarted) && shared.left > 1 && running < self.most {
            let started = start(self.layout, self.plan, segment, servers);
            shared.state = started.map_or(State::Gone, |(worker, asked)| State::Running { worker, asked });
        }
        match &shared.state {
            State::Running { asked, .. } => Some(asked),
            State::NotStarted | State::Gone => None,
        }
    }

    /// Told of each segment that has ended.
    pub(super) fn ended(&mut self, segment: &Segment) {
        let run = self.plan.runs.iter().find(|run| run.run == segment.run);
        let shares = run.is_some_and(|run| may_share(segment, run));
        let Some(shared) = self.of.get_mut(&segment.run).filter(|_| shares) else { return };
        shared.left = shared.left.saturating_sub(1);
        if shared.left == 0 {
            shared.end(self.layout, self.plan, &segment.run);
        }
    }

    /// Ends what is left of those that have ended by themselves: whoever waits for them is told so then.
    pub(super) fn collect(&mut self) {
        for (run, shared) in &mut self.of {
            if let State::Running { worker, .. } = &mut shared.state
                && !matches!(spawn::ended_with_group(worker), Ok(None))
            {
                shared.end(self.layout, self.plan, run);
            }
        }
    }
}

impl Shared {
    fn end(&mut self, layout: &Layout, plan: &ReplayPlan, run: &RunId) {
        if let State::Running { mut worker, .. } = std::mem::replace(&mut self.state, State::Gone) {
            spawn::end_group(&mut worker);
            for folder in worker::leftovers(layout, &plan.job, number(plan, run)) {
                // What cannot be removed now is removed before the next job.
                let _ = isolation::clear(&folder);
            }
        }
    }
}

impl Drop for Prefixes<'_> {
    fn drop(&mut self) {
        for (run, shared) in &mut self.of {
            shared.end(self.layout, self.plan, run);
        }
    }
}

fn start(
    layout: &Layout,
    plan: &ReplayPlan,
    segment: &Segment,
    servers: &mut Servers<'_>,
) -> Result<(Child, OwnedFd), Error> {
    let folder = layout.job(&plan.job);
    let log = folder.join(format!("prefix-{}.log", number(plan, &segment.run)));
    let file = OpenOptions::new().create(true).append(true).open(&log).map_err(at("open", &log))?;
    crate::base::files::create_dir_all(&layout.segment(&plan.job, number(plan, &segment.run)))?;
    let (asked, theirs) = spawn::fork::channel().map_err(at("serve", &folder))?;
    let sharing = spawn::Sharing::Serves(theirs);
    let what = spawn::Segment { job: &plan.job, number: segment.id, devices: None, sharing };
    Ok((spawn::worker(layout.root(), what, &file, servers.serving(&segment.run))?, asked))
}
