//! What comes from the background: answers, failures, and what the lists show.

use crate::model::job::JobStatus;
use crate::model::run::{RunStatus, RunSummary};
use crate::tui::app::overlay::Overlay;
use crate::tui::app::replay::{LOOKING, PLACING, STARTING};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Answer, Effect, Slot, Survey};

impl App {
    pub(super) fn answered(&mut self, slot: Slot, generation: u64, result: Result<Answer, String>) -> Vec<Effect> {
        if slot != Slot::Action && self.generations[slot as usize] != generation {
            return Vec::new();
        }
        self.working.end(slot);
        let again = self.renewed.get_mut(&slot);
        let again = again.and_then(|(request, again)| std::mem::take(again).then(|| request.clone()));
        let mut effects = match result {
            Ok(answer) => self.take(answer),
            Err(message) => self.failed(slot, message),
        };
        // Unless what came has led to something else.
        let again = again.filter(|_| !self.working.is_asked(slot));
        effects.extend(again.map(|request| self.ask(request)));
        effects
    }

    fn take(&mut self, answer: Answer) -> Vec<Effect> {
        match answer {
            Answer::Survey(survey) => self.take_survey(*survey),
            Answer::Changes(changes) => {
                self.timeline.take_changes(changes);
                Vec::new()
            }
            Answer::Courses { name, courses } => self.take_courses(&name, courses),
            Answer::Detail(detail) => {
                self.take_detail(*detail);
                Vec::new()
            }
            Answer::Diff(document) => self.take_document(document),
            Answer::Highlight { file, colours } => {
                self.diff.colours.insert(file, colours);
                Vec::new()
            }
            Answer::Grid(grid) => self.take_grid(grid),
            Answer::Arranged(arranged) => self.take_arranged(arranged),
            Answer::Curves(curves) => {
                self.take_curves(curves);
                Vec::new()
            }
            Answer::Compared(comparison) => self.take_comparison(comparison),
            Answer::Nothing => Vec::new(),
            Answer::Statistics(statistics) => self.open(Overlay::Statistics { statistics, offset: 0 }),
            Answer::Found(found) => {
                self.take_found(found);
                Vec::new()
            }
            Answer::Exported { path, rows } => {
                self.say(format!("{rows} rows written to {}", path.display()));
                Vec::new()
            }
            Answer::Draft(draft) => self.take_draft(draft),
            Answer::Kept(written) => self.take_kept(&written),
            Answer::Corrected { correction, propagation, others } => {
                self.take_corrected(&correction, &propagation, others)
            }
            Answer::Statements(_)
            | Answer::Preview(_)
            | Answer::Plan(_)
            | Answer::Started(_)
            | Answer::Cancelled(_)
            | Answer::SegmentLog(..) => self.take_replay(answer),
        }
    }

    fn failed(&mut self, slot: Slot, message: String) -> Vec<Effect> {
        self.given_up(slot);
        if slot == Slot::Survey {
            // The list stays as it was; where it is empty, it says why.
            self.surveyed = true;
            self.trouble = Some(message.clone());
        }
        if slot == Slot::Detail {
            self.timeline.unread = self.timeline.selected().map(|run| (run.id.clone(), message.clone()));
        }
        self.complain(message);
        if matches!(slot, Slot::Grid | Slot::Arrange) { self.ask_grid_again() } else { Vec::new() }
    }

    /// What was asked for does not come: all is as before.
    pub(super) fn given_up(&mut self, slot: Slot) {
        match slot {
            Slot::Diff => self.diff.waiting = false,
            Slot::Grid => self.results.waiting = false,
            Slot::Draft => self.draft_refused(),
            // It keeps no newer one from coming, and the next one is not for where this one would have led.
            Slot::Arrange => (self.results.incoming, self.results.jump) = (None, None),
            Slot::Courses => self.courses_refused(),
            Slot::Plan => self.replay.plan_refused(),
            Slot::Statements => self.replay.no_longer(LOOKING),
            Slot::Preview => self.replay.no_longer(PLACING),
            Slot::Action => {
                self.replay.no_longer(STARTING);
                self.correction_refused();
                self.keeping_refused();
            }
            _ => {}
        }
    }

    /// Takes what the lists show, keeping every selection by id; asks anew for what is on the screen.
    pub(super) fn take_survey(&mut self, survey: Survey) -> Vec<Effect> {
        self.surveyed = true;
        self.trouble = None;
        let Survey { runs, names, jobs, notice } = survey;
        if let Some(notice) = notice {
            self.complain(notice);
        }
        if self.is_old(&runs, &names, &jobs) {
            return Vec::new();
        }
        self.timeline.take_runs(runs);
        let mut effects = self.ask_changes();
        // What was asked for last is looked at first.
        let replayed: Vec<String> = jobs.iter().rev().flat_map(|job| job.names.iter().cloned()).collect();
        self.results.all_names = names;
        self.results.all_names.sort_by_key(|name| replayed.iter().position(|n| n == name).unwrap_or(usize::MAX));
        effects.extend(self.replay_take_jobs(jobs));
        match self.panel {
            Panel::Timeline => effects.extend(self.ask_detail()),
            Panel::Results => effects.extend(self.renew_grid()),
            Panel::Diff | Panel::Replay => {}
        }
        effects
    }

    /// Whether all that was found is there already and nothing goes on that logs or prints: the watcher's first look finds
    /// what the first survey has shown.
    fn is_old(&self, runs: &[RunSummary], names: &[String], jobs: &[JobStatus]) -> bool {
        let goes_on = || runs.iter().any(|run| run.status == RunStatus::Running) || jobs.iter().any(|job| job.active);
        self.timeline.runs == runs
            && self.replay.jobs == jobs
            && self.results.all_names.len() == names.len()
            && !goes_on()
    }
}
