//! Panel 4: from log statements over their preview and the plan to a running job. Each stage follows from the one before.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::ids::{JobId, RunId};
use crate::model::job::{JobStatus, SegmentStatus};
use crate::model::plan::ReplayPlan;
use crate::model::probe::{LogStatement, Propagation};
use crate::tui::app::list::{self, Cursor};
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Answer, Effect, PlanRequest, Request};
use crate::tui::keys::Command;

const MOST_WORKERS: usize = 64;

/// How far the user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Which log statements.
    Choose,
    /// Where they land in every version.
    Preview,
    /// What it will cost.
    Plan,
    /// How it goes.
    Job,
}

/// The replay panel's state.
#[derive(Debug)]
pub struct Replay {
    pub stage: Stage,
    /// What is being waited for, in words.
    pub waiting: Option<&'static str>,
    /// Log statements of the working tree that some run lacks; `None`: not asked yet.
    pub statements: Option<Vec<LogStatement>>,
    pub chosen: BTreeSet<String>,
    pub preview: Vec<(RunId, Propagation)>,
    pub iterations: Vec<String>,
    pub workers: usize,
    /// Iterations and workers of the plan that is there.
    planned: (Vec<String>, usize),
    pub plan: Option<Arc<ReplayPlan>>,
    pub cursor: Cursor,
    pub jobs: Vec<JobStatus>,
    pub job: Option<JobId>,
    /// The end of the selected segment's output.
    pub log: Option<(JobId, u32, Vec<String>)>,
    pub detail_offset: usize,
}

impl Replay {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            stage: Stage::Choose,
            waiting: None,
            statements: None,
            chosen: BTreeSet::new(),
            preview: Vec::new(),
            iterations: Vec::new(),
            workers,
            planned: (Vec::new(), workers),
            plan: None,
            cursor: Cursor::default(),
            jobs: Vec::new(),
            job: None,
            log: None,
            detail_offset: 0,
        }
    }

    /// Rows in the list of this stage.
    pub fn length(&self) -> usize {
        match self.stage {
            Stage::Choose => self.statements.as_ref().map_or(0, Vec::len),
            Stage::Preview => self.preview.len(),
            Stage::Plan => self.plan.as_ref().map_or(0, |plan| plan.runs.len()),
            Stage::Job => self.current_job().map_or(0, |job| job.segments.len()),
        }
    }

    /// Rows above the list that belong to its stage.
    pub fn title_rows(&self) -> usize {
        match self.stage {
            Stage::Choose => 0,
            Stage::Preview => 1,
            Stage::Plan => 3,
            Stage::Job => 2,
        }
    }

    /// Whether there is something to show beside or below the list.
    pub fn has_detail(&self) -> bool {
        self.length() > 0
    }

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

    /// Goes back to what the last plan was made for.
    pub(super) fn plan_refused(&mut self) {
        self.waiting = None;
        (self.iterations, self.workers) = self.planned.clone();
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.cursor = Cursor::default();
        self.detail_offset = 0;
    }
}

impl App {
    /// Starts from the choice of log statements.
    pub(super) fn begin_replay(&mut self) -> Vec<Effect> {
        if self.place == super::Place::Nothing {
            return Vec::new();
        }
        self.panel = Panel::Replay;
        self.zoom = false;
        self.replay.enter(Stage::Choose);
        self.replay.waiting = Some("looking for log statements that your runs lack");
        self.replay.iterations.clear();
        self.replay.planned.0.clear();
        vec![self.ask(Request::Statements)]
    }

    pub(super) fn show_replay(&mut self) -> Vec<Effect> {
        match self.replay.stage {
            Stage::Choose => self.begin_replay(),
            Stage::Job => self.ask_log(),
            Stage::Preview | Stage::Plan => Vec::new(),
        }
    }

    /// What may be chosen and is, in the statements' order.
    fn names(&self) -> Vec<String> {
        let statements = self.replay.statements.as_deref().unwrap_or_default();
        let mut names: Vec<String> = Vec::new();
        for statement in statements.iter().filter(|s| self.replay.chosen.contains(&s.name)) {
            if !names.contains(&statement.name) {
                names.push(statement.name.clone());
            }
        }
        names
    }

    fn marked_runs(&self) -> Option<Vec<RunId>> {
        (!self.timeline.marked.is_empty()).then(|| self.timeline.marked.clone())
    }

    fn ask_plan(&mut self) -> Vec<Effect> {
        self.replay.waiting = Some("planning");
        let request = PlanRequest {
            names: self.names(),
            runs: self.marked_runs(),
            iterations: self.replay.iterations.clone(),
            workers: self.replay.workers,
        };
        vec![self.ask(Request::Plan(request))]
    }

    /// Asks for the log of the segment under the cursor.
    pub(super) fn ask_log(&mut self) -> Vec<Effect> {
        let (Some(job), Some(segment)) = (self.replay.job.clone(), self.replay.selected_segment().map(|s| s.id)) else {
            return Vec::new();
        };
        vec![self.ask(Request::SegmentLog(job, segment))]
    }

    pub(super) fn replay_command(&mut self, command: Command) -> Vec<Effect> {
        let stage = self.replay.stage;
        match command {
            Command::Open => return self.go_on(),
            Command::Mark if stage == Stage::Choose => self.toggle_statement(),
            Command::MoreWorkers | Command::FewerWorkers | Command::Iterations
                if !matches!(stage, Stage::Preview | Stage::Plan) =>
            {
                self.say("iterations and workers are chosen with the plan: r, then Enter");
            }
            Command::MoreWorkers | Command::FewerWorkers => {
                let workers = self.replay.workers;
                let workers = if command == Command::MoreWorkers { workers + 1 } else { workers.saturating_sub(1) };
                self.replay.workers = workers.clamp(1, MOST_WORKERS);
                return self.ask_plan();
            }
            Command::Iterations => {
                return self.open(Overlay::prompt(Purpose::Iterations, &self.replay.iterations.join(" ")));
            }
            Command::CancelJob if stage == Stage::Job => match self.replay.current_job() {
                Some(job) if job.active => return self.open(Overlay::ConfirmCancel { job: job.id.clone() }),
                _ => self.say("this replay is over"),
            },
            Command::Copy | Command::CopyRow => {
                let text = match stage {
                    Stage::Choose => self.names().join(" "),
                    Stage::Preview => {
                        self.replay.preview.get(self.replay.cursor.selected).map_or(String::new(), |p| p.0.to_string())
                    }
                    Stage::Plan => self
                        .replay
                        .plan
                        .as_ref()
                        .and_then(|p| p.runs.get(self.replay.cursor.selected))
                        .map_or(String::new(), |r| r.run.to_string()),
                    Stage::Job => self.replay.selected_segment().map_or(String::new(), |s| s.run.to_string()),
                };
                return vec![Effect::Copy(text)];
            }
            _ if self.zoom && list::is_movement(command) => {
                let height = self.areas().map_or(1, |a| usize::from(a.main.height));
                list::scroll(&mut self.replay.detail_offset, command, 10_000, height);
            }
            _ => {
                let (before, height) = (self.replay.cursor, self.list_height());
                self.replay.cursor.act(command, self.replay.length(), height);
                if self.replay.cursor.selected != before.selected {
                    self.replay.detail_offset = 0;
                    if stage == Stage::Job {
                        return self.ask_log();
                    }
                }
            }
        }
        Vec::new()
    }

    fn toggle_statement(&mut self) {
        let name =
            self.replay.statements.as_ref().and_then(|s| s.get(self.replay.cursor.selected)).map(|s| s.name.clone());
        if let Some(name) = name
            && !self.replay.chosen.remove(&name)
        {
            self.replay.chosen.insert(name);
        }
    }

    /// The next stage.
    fn go_on(&mut self) -> Vec<Effect> {
        match self.replay.stage {
            Stage::Choose => {
                if self.names().is_empty() {
                    self.toggle_statement();
                }
                let names = self.names();
                if names.is_empty() {
                    return Vec::new();
                }
                self.replay.waiting = Some("placing the statement into every version");
                vec![self.ask(Request::Preview { names, runs: self.marked_runs() })]
            }
            Stage::Preview => self.ask_plan(),
            Stage::Plan => match self.replay.plan.clone() {
                _ if self.replay.waiting.is_some() => Vec::new(),
                Some(plan) if !plan.segments.is_empty() => {
                    self.replay.waiting = Some("starting");
                    vec![self.ask(Request::Start(plan))]
                }
                _ => {
                    self.say("nothing is left to replay; 3 shows the values");
                    Vec::new()
                }
            },
            Stage::Job => {
                self.zoom = !self.zoom;
                self.ask_log()
            }
        }
    }

    pub(super) fn leave_replay(&mut self) -> Option<Vec<Effect>> {
        let stage = match self.replay.stage {
            Stage::Choose => return None,
            Stage::Job => return None,
            Stage::Preview => Stage::Choose,
            Stage::Plan => Stage::Preview,
        };
        self.replay.waiting = None;
        self.replay.enter(stage);
        Some(Vec::new())
    }

    /// `epoch=last step=0,3` as given.
    pub(super) fn set_iterations(&mut self, text: &str) -> Vec<Effect> {
        self.replay.iterations = text.split_whitespace().map(str::to_owned).collect();
        self.ask_plan()
    }

    pub(super) fn take_replay(&mut self, answer: Answer) -> Vec<Effect> {
        if !matches!(answer, Answer::SegmentLog(..)) {
            self.replay.waiting = None;
        }
        match answer {
            Answer::Statements(statements) => {
                // The only one is surely meant.
                if let [only] = &statements[..] {
                    self.replay.chosen.insert(only.name.clone());
                }
                self.replay.statements = Some(statements);
                Vec::new()
            }
            Answer::Preview(preview) => {
                self.replay.preview = preview;
                self.replay.enter(Stage::Preview);
                Vec::new()
            }
            Answer::Plan(plan) => {
                self.replay.plan = Some(plan);
                self.replay.planned = (self.replay.iterations.clone(), self.replay.workers);
                if self.replay.stage != Stage::Plan {
                    self.replay.enter(Stage::Plan);
                }
                Vec::new()
            }
            Answer::Started(job) => {
                self.replay.job = Some(job);
                self.replay.enter(Stage::Job);
                vec![self.ask(Request::Survey)]
            }
            Answer::Cancelled(_) => {
                self.say("cancelling; what is finished stays");
                vec![self.ask(Request::Survey)]
            }
            Answer::SegmentLog(job, segment, lines) => {
                self.replay.log = Some((job, segment, lines));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// New states of jobs. At the start, a job that is going on is shown again.
    pub(super) fn replay_take_jobs(&mut self, jobs: Vec<JobStatus>) -> Vec<Effect> {
        let was_active = self.replay.active();
        self.replay.jobs = jobs;
        if self.replay.job.is_none()
            && let Some(active) = self.replay.jobs.iter().rev().find(|job| job.active)
        {
            self.replay.job = Some(active.id.clone());
            self.replay.enter(Stage::Job);
        }
        if was_active > self.replay.active() {
            self.say("a replay has ended: 3 shows the values");
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
        self.replay.job = Some(id);
        self.replay.enter(Stage::Job);
        self.show(Panel::Replay)
    }

    pub(super) fn click_replay(&mut self, row: usize) -> Vec<Effect> {
        let (length, height) = (self.replay.length(), self.list_height());
        let row = self.replay.cursor.offset + row;
        self.replay.cursor.go(row, length, height);
        if self.replay.stage == Stage::Job { self.ask_log() } else { Vec::new() }
    }

    pub(super) fn settle_replay(&mut self, height: usize) {
        let length = self.replay.length();
        self.replay.cursor.settle(length, height);
    }
}
