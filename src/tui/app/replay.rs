//! Panel 4: from log statements over their preview and the plan to a running job. Each stage follows from the one before.
//! What jobs are like stands in [`super::job`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::ids::{JobId, RunId};
use crate::model::job::JobStatus;
use crate::model::plan::ReplayPlan;
use crate::model::probe::{LogStatement, Propagation};
use crate::tui::app::left::Steps;
use crate::tui::app::list::{self, Cursor};
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Answer, Effect, PlanRequest, Request};
use crate::tui::keys::Command;
use crate::tui::views::replay::last_offset;

const MOST_WORKERS: usize = 64;
/// What is waited for first, in words.
pub(super) const LOOKING: &str = "looking for log statements that your runs lack";
/// And then.
pub(super) const PLACING: &str = "placing the statement into every version";
pub(super) const PLANNING: &str = "planning";
pub(super) const STARTING: &str = "starting";

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
    /// The names and the runs that the preview was asked for.
    previewed: Option<(Vec<String>, Option<Vec<RunId>>)>,
    pub iterations: Vec<String>,
    /// As `--where` on the command line; empty for none.
    pub condition: String,
    /// As many as the user wants; `None`: as many as the plan finds good.
    pub(super) workers: Option<usize>,
    /// What is counted from where there is no plan yet.
    cores: usize,
    /// The runs that are replayed; `None`: all.
    pub runs: Option<Vec<RunId>>,
    /// What the plan that is there was asked for, or the last one that is being made.
    planned: Option<PlanRequest>,
    pub(super) asked: Option<PlanRequest>,
    /// What the jobs that were started here were asked for.
    pub(super) requests: HashMap<JobId, PlanRequest>,
    pub plan: Option<Arc<ReplayPlan>>,
    pub cursor: Cursor,
    pub jobs: Vec<JobStatus>,
    pub steps: Steps,
    pub job: Option<JobId>,
    /// The end of the selected segment's output.
    pub log: Option<(JobId, u32, Vec<String>)>,
    pub detail_offset: usize,
    /// The line of the detail that a search found last, and what was the first line then.
    pub(super) found: Option<(usize, usize)>,
    pub search: String,
}

impl Replay {
    pub(super) fn new(cores: usize) -> Self {
        Self {
            stage: Stage::Choose,
            waiting: None,
            statements: None,
            chosen: BTreeSet::new(),
            preview: Vec::new(),
            previewed: None,
            iterations: Vec::new(),
            condition: String::new(),
            workers: None,
            cores,
            runs: None,
            planned: None,
            asked: None,
            requests: HashMap::new(),
            plan: None,
            cursor: Cursor::default(),
            jobs: Vec::new(),
            steps: Steps::default(),
            job: None,
            log: None,
            detail_offset: 0,
            found: None,
            search: String::new(),
        }
    }

    /// Rows in the list of this stage.
    pub fn length(&self) -> usize {
        match self.stage {
            Stage::Choose => self.statements.as_ref().map_or(0, Vec::len),
            Stage::Preview => self.preview.len(),
            Stage::Plan => self.plan.as_ref().map_or(0, |plan| plan.runs.len() + plan.left_out.len()),
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

    /// Goes back to what the last plan was made for.
    pub(super) fn plan_refused(&mut self) {
        self.waiting = None;
        self.asked = None;
        match self.planned.clone() {
            Some(planned) => {
                (self.iterations, self.condition, self.workers) =
                    (planned.iterations, planned.condition, planned.workers);
                // A preview shows the runs that it was asked for.
                if self.stage == Stage::Plan {
                    self.runs = planned.runs;
                }
            }
            None => {
                self.iterations.clear();
                self.condition.clear();
            }
        }
    }

    /// This is no longer waited for. Something else may be.
    pub(super) fn no_longer(&mut self, waited_for: &str) {
        self.waiting = self.waiting.filter(|waiting| *waiting != waited_for);
    }

    /// The preview that is there is of something else: it is left.
    pub(super) fn preview_stopped(&mut self) {
        self.previewed = None;
        self.preview.clear();
        if self.stage == Stage::Preview {
            self.enter(Stage::Choose);
        }
    }

    /// Forgets what the last plan was asked for.
    fn ask_afresh(&mut self) {
        (self.planned, self.asked) = (None, None);
        (self.runs, self.workers) = (None, None);
        self.iterations.clear();
        self.condition.clear();
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.cursor = Cursor::default();
        self.read_anew();
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
        let mut effects = self.stop_planning().unwrap_or_default();
        self.replay.enter(Stage::Choose);
        self.replay.waiting = Some(LOOKING);
        self.replay.ask_afresh();
        effects.push(self.ask(Request::Statements));
        effects
    }

    /// Shows one name's place in every version, on the way to its replay.
    pub(super) fn replay_of(&mut self, name: String, iterations: &str) -> Vec<Effect> {
        let mut effects = self.begin_replay();
        self.replay.chosen = BTreeSet::from([name]);
        self.replay.iterations = iterations.split_whitespace().map(str::to_owned).collect();
        effects.extend(self.ask_preview());
        effects
    }

    /// Asks where what is chosen lands in every version.
    pub(super) fn ask_preview(&mut self) -> Vec<Effect> {
        let names = self.names();
        if names.is_empty() {
            return Vec::new();
        }
        self.replay.waiting = Some(PLACING);
        self.replay.previewed = Some((names.clone(), self.replay.runs.clone()));
        vec![self.ask(Request::Preview { names, runs: self.replay.runs.clone() })]
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
        // One that was written a moment ago is not in the list yet.
        let new: Vec<String> = self.replay.chosen.iter().filter(|name| !names.contains(name)).cloned().collect();
        names.extend(new);
        names
    }

    /// Whether the runs that are replayed are those that are marked now.
    pub fn replays_marked(&self) -> bool {
        self.replay.runs.as_ref() == Some(&self.timeline.marked)
    }

    /// All runs, or those that are marked: marks serve other ends, too.
    fn toggle_only_marked(&mut self) -> Vec<Effect> {
        if self.replay.runs.take().is_none() {
            if self.timeline.marked.is_empty() {
                self.say("no run is marked: Space in the timeline marks one");
                return Vec::new();
            }
            self.replay.runs = Some(self.timeline.marked.clone());
        }
        if self.replay.stage == Stage::Plan { self.ask_plan() } else { self.ask_preview() }
    }

    /// One worker more or less than are planned with.
    fn change_workers(&mut self, more: bool) -> Vec<Effect> {
        let replay = &mut self.replay;
        // An older plan was made for something else.
        let planned = replay.plan.as_ref().filter(|_| replay.planned.is_some()).map(|plan| plan.workers);
        let now = replay.workers.or(planned).unwrap_or(replay.cores);
        let wanted = if more { now + 1 } else { now.saturating_sub(1) };
        replay.workers = Some(wanted.clamp(1, MOST_WORKERS));
        self.ask_plan()
    }

    fn ask_plan(&mut self) -> Vec<Effect> {
        self.replay.waiting = Some(PLANNING);
        let request = PlanRequest {
            names: self.names(),
            runs: self.replay.runs.clone(),
            iterations: self.replay.iterations.clone(),
            condition: self.replay.condition.clone(),
            workers: self.replay.workers,
        };
        self.replay.asked = Some(request.clone());
        vec![self.ask(Request::Plan(request))]
    }

    pub(super) fn replay_command(&mut self, command: Command) -> Vec<Effect> {
        let stage = self.replay.stage;
        match command {
            Command::Open => return self.go_on(),
            Command::Mark if stage == Stage::Choose => self.toggle_statement(),
            Command::MoreWorkers | Command::FewerWorkers | Command::Iterations | Command::Filter
                if !matches!(stage, Stage::Preview | Stage::Plan) =>
            {
                self.say("iterations, conditions and workers are chosen with the plan: r, then Enter");
            }
            Command::Filter => return self.open(Overlay::prompt(Purpose::Condition, &self.replay.condition)),
            Command::Search => return self.open(Overlay::prompt(Purpose::Search, "")),
            Command::SearchNext | Command::SearchPrevious => self.search_replay(command == Command::SearchPrevious),
            Command::Correct if stage == Stage::Preview => return self.explain_preview(),
            Command::NextStatement | Command::PreviousStatement if stage == Stage::Preview => {
                self.next_doubtful(command == Command::PreviousStatement);
            }
            Command::OnlyMarked if matches!(stage, Stage::Preview | Stage::Plan) => return self.toggle_only_marked(),
            Command::Retry if stage == Stage::Job => return self.plan_again(),
            Command::MoreWorkers | Command::FewerWorkers => {
                return self.change_workers(command == Command::MoreWorkers);
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
                    self.replay.read_anew();
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
                self.ask_preview()
            }
            Stage::Preview => self.ask_plan(),
            Stage::Plan => match self.replay.plan.clone() {
                _ if self.replay.waiting.is_some() => Vec::new(),
                Some(plan) if !plan.segments.is_empty() => {
                    self.replay.waiting = Some(STARTING);
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
        if let Some(effects) = self.stop_planning() {
            return Some(effects);
        }
        let stage = match self.replay.stage {
            Stage::Choose => return None,
            Stage::Job => return None,
            Stage::Preview => Stage::Choose,
            Stage::Plan => Stage::Preview,
        };
        self.replay.waiting = None;
        self.replay.enter(stage);
        if stage == Stage::Preview
            && !self
                .replay
                .previewed
                .as_ref()
                .is_some_and(|(names, runs)| *names == self.names() && *runs == self.replay.runs)
        {
            // The plan was for other runs or statements than what is shown of before.
            self.replay.preview.clear();
            return Some(self.ask_preview());
        }
        Some(Vec::new())
    }

    pub(super) fn set_condition(&mut self, text: String) -> Vec<Effect> {
        self.replay.condition = text;
        self.ask_plan()
    }

    /// `epoch=last step=0,3` as given.
    pub(super) fn set_iterations(&mut self, text: &str) -> Vec<Effect> {
        self.replay.iterations = text.split_whitespace().map(str::to_owned).collect();
        self.ask_plan()
    }

    pub(super) fn take_replay(&mut self, answer: Answer) -> Vec<Effect> {
        self.replay.no_longer(match answer {
            Answer::Statements(_) => LOOKING,
            Answer::Preview(_) => PLACING,
            Answer::Plan(_) => PLANNING,
            Answer::Started(_) => STARTING,
            _ => "",
        });
        match answer {
            Answer::Statements(statements) => {
                // The only one is surely meant.
                if let [only] = &statements[..] {
                    self.replay.chosen.insert(only.name.clone());
                }
                self.replay.chosen.retain(|name| statements.iter().any(|statement| statement.name == *name));
                self.replay.statements = Some(statements);
                Vec::new()
            }
            Answer::Preview(preview) => {
                let runs = |preview: &[(RunId, Propagation)]| -> Vec<RunId> {
                    preview.iter().map(|(run, _)| run.clone()).collect()
                };
                // After a correction the user stays where they are.
                let same = self.replay.stage == Stage::Preview && runs(&preview) == runs(&self.replay.preview);
                self.replay.preview = preview;
                // Whoever has gone on meanwhile is not called back.
                let gone_on = self.replay.stage >= Stage::Plan || self.replay.waiting == Some(PLANNING);
                if !same && !gone_on {
                    self.replay.enter(Stage::Preview);
                }
                Vec::new()
            }
            Answer::Plan(plan) => {
                self.replay.plan = Some(plan);
                self.replay.planned = self.replay.asked.take();
                if self.replay.stage != Stage::Plan {
                    self.replay.enter(Stage::Plan);
                }
                Vec::new()
            }
            Answer::Started(job) => {
                if let Some(request) = self.replay.planned.take() {
                    self.show_columns(&request.names);
                    self.replay.requests.insert(job.clone(), request);
                }
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

    pub(super) fn click_replay(&mut self, row: usize) -> Vec<Effect> {
        let (length, height) = (self.replay.length(), self.list_height());
        let row = self.replay.cursor.offset + row;
        self.replay.cursor.go(row, length, height);
        if self.replay.stage == Stage::Job { self.ask_log() } else { Vec::new() }
    }

    pub(super) fn settle_replay(&mut self, height: usize) {
        let length = self.replay.length();
        self.replay.cursor.settle(length, height);
        if self.replay.detail_offset > 0 {
            self.replay.detail_offset = self.replay.detail_offset.min(last_offset(self));
        }
    }
}
