//! The jobs of panel 4: the one shown, its segments and what they print, and planning again what one was asked for.

use std::collections::BTreeSet;

use crate::base::ids::{JobId, RunId};
use crate::model::job::{JobStatus, SegmentStatus};
use crate::tui::app::list::Cursor;
use crate::tui::app::overlay::Overlay;
use crate::tui::app::replay::{PLANNING, Replay, Stage};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Effect, PlanRequest, Request};

impl Replay {
    /// The job shown.
    pub fn current_job(&self) -> Option<&JobStatus> {
        let id = self.job.as_ref()?;
        self.jobs.iter().find(|job| job.id == *id)
    }

    /// The segment under the cursor.
    pub fn selected_segment(&self) -> Option<&SegmentStatus> {
        self.current_job().and_then(|job| job.segments.get(self.cursor.selected))
    }

    /// Whether any job is going on.
    pub fn active(&self) -> usize {
        self.jobs.iter().filter(|job| job.active).count()
    }
}

impl App {
    /// Plans what a job was asked for anew: what it has finished is known by then.
    pub(super) fn plan_again(&mut self) -> Vec<Effect> {
        let Some(job) = self.replay.current_job() else { return Vec::new() };
        // Of a job that was not started here, its names and runs are known.
        let runs: BTreeSet<RunId> = job.segments.iter().map(|segment| segment.run.clone()).collect();
        let names = job.names.clone();
        let request = self.replay.requests.get(&job.id).cloned().unwrap_or_else(|| PlanRequest {
            names,
            runs: Some(runs.into_iter().collect()),
            iterations: Vec::new(),
            condition: String::new(),
            workers: None,
        });
        self.replay.chosen = request.names.iter().cloned().collect();
        self.replay.iterations.clone_from(&request.iterations);
        self.replay.condition.clone_from(&request.condition);
        self.replay.runs.clone_from(&request.runs);
        self.replay.workers = request.workers;
        self.replay.waiting = Some(PLANNING);
        self.replay.asked = Some(request.clone());
        vec![self.ask(Request::Plan(request))]
    }

    /// Asks for the log of the segment under the cursor.
    pub(super) fn ask_log(&mut self) -> Vec<Effect> {
        let (Some(job), Some(segment)) = (self.replay.job.clone(), self.replay.selected_segment().map(|s| s.id)) else {
            return Vec::new();
        };
        self.renew(Request::SegmentLog(job, segment)).into_iter().collect()
    }

    /// New states of jobs. At the start, a job that is going on is shown again.
    pub(super) fn replay_take_jobs(&mut self, jobs: Vec<JobStatus>) -> Vec<Effect> {
        let was_active = self.replay.active();
        self.replay.steps.see(&jobs, self.now_ms);
        self.replay.jobs = jobs;
        if self.replay.job.is_none()
            && let Some(active) = self.replay.jobs.iter().rev().find(|job| job.active)
        {
            self.replay.job = Some(active.id.clone());
            self.replay.enter(Stage::Job);
        }
        if was_active > self.replay.active() {
            let shown = self.panel == Panel::Results;
            self.say(if shown { "a replay has ended" } else { "a replay has ended: 3 shows the values" });
        }
        if self.panel == Panel::Replay && self.replay.stage == Stage::Job { self.ask_log() } else { Vec::new() }
    }

    pub(super) fn open_jobs(&mut self) -> Vec<Effect> {
        if self.replay.jobs.is_empty() {
            self.say("nothing has been replayed yet: r chooses a log statement");
            return Vec::new();
        }
        self.open(Overlay::Jobs { cursor: Cursor::default() })
    }

    /// Shows a job, from the list of jobs.
    pub(super) fn open_job(&mut self, id: JobId) -> Vec<Effect> {
        // What was planned before would call the user back from there.
        let mut effects = self.stop_planning().unwrap_or_default();
        self.replay.job = Some(id);
        self.replay.enter(Stage::Job);
        effects.extend(self.show(Panel::Replay));
        effects
    }
}
