//! Panel 1: the runs, newest first, and the detail of one.

use std::collections::HashMap;

use crate::base::ids::RunId;
use crate::model::run::{RunStatus, RunSummary};
use crate::model::source::{ChangedFile, VersionId};
use crate::tui::app::filter::{Field, Filter};
use crate::tui::app::list::{self, Cursor};
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Detail, Effect, Request};
use crate::tui::keys::Command;

/// Runs and where the user is among them.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Oldest first, as surveyed.
    pub runs: Vec<RunSummary>,
    /// Shown rows as indices into `runs`: newest first, filtered.
    pub rows: Vec<usize>,
    pub cursor: Cursor,
    /// In the order of marking.
    pub marked: Vec<RunId>,
    pub filter: Option<Filter>,
    pub search: String,
    /// Changed files from one version to another.
    pub changes: HashMap<(VersionId, VersionId), Vec<ChangedFile>>,
    pub detail: Option<Detail>,
    /// First line shown of the detail when it has the whole body.
    pub detail_offset: usize,
    pub detail_length: usize,
}

impl Timeline {
    /// The run under the cursor.
    pub fn selected(&self) -> Option<&RunSummary> {
        self.rows.get(self.cursor.selected).and_then(|row| self.runs.get(*row))
    }

    /// The run before another one, of the same script where there is one.
    pub fn previous(&self, index: usize) -> Option<&RunSummary> {
        let run = self.runs.get(index)?;
        let before = &self.runs[..index];
        before.iter().rev().find(|r| r.script == run.script).or(before.last())
    }

    /// Whether any run is going on.
    pub fn running(&self) -> usize {
        self.runs.iter().filter(|run| run.status == RunStatus::Running).count()
    }

    /// New data; the selection stays on its run.
    pub fn take_runs(&mut self, runs: Vec<RunSummary>) {
        let selected = self.selected().map(|run| run.id.clone());
        self.runs = runs;
        self.marked.retain(|id| self.runs.iter().any(|run| run.id == *id));
        self.refilter(selected);
    }

    /// Computes the rows shown, keeping a run selected if it is still among them.
    fn refilter(&mut self, keep: Option<RunId>) {
        let passes = |run: &RunSummary| self.filter.as_ref().is_none_or(|filter| passes(filter, run));
        self.rows = (0..self.runs.len()).rev().filter(|i| passes(&self.runs[*i])).collect();
        let kept = keep.and_then(|id| self.rows.iter().position(|row| self.runs[*row].id == id));
        if let Some(row) = kept {
            // The window moves along, so that new runs above do not push the list about.
            let shift = row.abs_diff(self.cursor.selected);
            self.cursor.offset = if row > self.cursor.selected && self.cursor.offset > 0 {
                self.cursor.offset + shift
            } else {
                self.cursor.offset
            };
            self.cursor.selected = row;
        }
    }

    pub fn take_changes(&mut self, changes: Vec<(RunId, RunId, Vec<ChangedFile>)>) {
        for (older, newer, files) in changes {
            let version = |id: &RunId| self.runs.iter().find(|run| run.id == *id).map(|run| run.version.clone());
            if let (Some(older), Some(newer)) = (version(&older), version(&newer)) {
                self.changes.insert((older, newer), files);
            }
        }
    }

    /// Leaves filter or marks, whichever was last to come.
    pub fn leave(&mut self) -> Option<Vec<Effect>> {
        if self.filter.is_some() {
            self.set_filter(None);
        } else if !self.marked.is_empty() {
            self.marked.clear();
        } else {
            return None;
        }
        Some(Vec::new())
    }

    pub fn set_filter(&mut self, filter: Option<Filter>) {
        let selected = self.selected().map(|run| run.id.clone());
        self.filter = filter;
        self.refilter(selected);
    }

    fn toggle_mark(&mut self) {
        let Some(id) = self.selected().map(|run| run.id.clone()) else { return };
        match self.marked.iter().position(|marked| *marked == id) {
            Some(at) => {
                self.marked.remove(at);
            }
            None => self.marked.push(id),
        }
    }

    /// The next row whose text holds the search, going round.
    fn find(&self, backwards: bool) -> Option<usize> {
        let needle = self.search.to_lowercase();
        let length = self.rows.len();
        (1..=length)
            .map(|step| {
                let step = if backwards { length - step } else { step };
                (self.cursor.selected + step) % length
            })
            .find(|row| all_text(&self.runs[self.rows[*row]]).to_lowercase().contains(&needle))
    }
}

/// What a run's row and detail say, for words in filters and searches.
fn all_text(run: &RunSummary) -> String {
    let args: Vec<String> = run.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let name = run.name.as_deref().unwrap_or("");
    format!("{} {name} {} {} {} {}", run.id, run.script, run.status.word(), run.version.short(), args.join(" "))
}

fn passes(filter: &Filter, run: &RunSummary) -> bool {
    let argument = |wanted: &str| run.args.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let metric = |wanted: &str| run.last_metric.as_ref().filter(|(name, _)| name == wanted).map(|(_, value)| value);
    let field = |name: &str| match name {
        "status" => Some(Field::Text(run.status.word().into())),
        "id" => Some(Field::Text(run.id.to_string())),
        "name" => Some(Field::Text(run.name.clone().unwrap_or_default())),
        "script" => Some(Field::Text(run.script.clone())),
        #[expect(clippy::cast_precision_loss, reason = "for comparisons only")]
        "iterations" => Some(Field::Number(run.iterations as f64)),
        #[expect(clippy::cast_precision_loss, reason = "for comparisons only")]
        "checkpoints" => Some(Field::Number(run.checkpoints as f64)),
        "logged" => Some(Field::Text(run.names.join(" "))),
        _ => {
            let value = argument(name).or_else(|| metric(name))?;
            Some(value.as_f64().map_or_else(|| Field::Text(value.to_string()), Field::Number))
        }
    };
    filter.matches(field, || all_text(run))
}

impl App {
    pub(super) fn timeline_command(&mut self, command: Command) -> Vec<Effect> {
        let height = self.list_height();
        if self.zoom && list::is_movement(command) {
            let length = self.timeline.detail_length;
            list::scroll(&mut self.timeline.detail_offset, command, length, height);
            return Vec::new();
        }
        match command {
            Command::Open => {
                self.zoom = !self.zoom && self.timeline.selected().is_some();
                self.timeline.detail_offset = 0;
            }
            Command::Mark => {
                self.timeline.toggle_mark();
                return self.timeline_command(Command::Down);
            }
            Command::Diff => return self.open_diff(),
            Command::Search => return self.open(Overlay::prompt(Purpose::Search, &self.timeline.search)),
            Command::Filter => {
                let text = self.timeline.filter.as_ref().map_or("", |f| &f.text);
                return self.open(Overlay::prompt(Purpose::Filter, text));
            }
            Command::SearchNext | Command::SearchPrevious => {
                return self.search_timeline(command == Command::SearchPrevious);
            }
            Command::Copy => {
                return self.timeline.selected().map(|run| Effect::Copy(run.id.to_string())).into_iter().collect();
            }
            Command::CopyRow => {
                return self.timeline.selected().map(|run| Effect::Copy(all_text(run))).into_iter().collect();
            }
            _ => {
                let before = self.timeline.cursor;
                self.timeline.cursor.act(command, self.timeline.rows.len(), height);
                if self.timeline.cursor != before {
                    let mut effects = self.ask_detail();
                    effects.extend(self.ask_changes());
                    return effects;
                }
            }
        }
        self.ask_detail()
    }

    pub(super) fn search_timeline(&mut self, backwards: bool) -> Vec<Effect> {
        if self.timeline.search.is_empty() {
            self.say("nothing to search for yet: type / and a word");
            return Vec::new();
        }
        match self.timeline.find(backwards) {
            Some(row) => {
                let height = self.list_height();
                self.timeline.cursor.go(row, self.timeline.rows.len(), height);
                self.ask_detail()
            }
            None => {
                self.complain(format!("no run matches '{}'", self.timeline.search));
                Vec::new()
            }
        }
    }

    /// Asks for the selected run's detail where it is visible.
    pub(super) fn ask_detail(&mut self) -> Vec<Effect> {
        let visible =
            self.panel == Panel::Timeline && (self.zoom || self.areas().is_some_and(|areas| areas.detail.is_some()));
        let Some(id) = self.timeline.selected().map(|run| run.id.clone()).filter(|_| visible) else {
            return Vec::new();
        };
        vec![self.ask(Request::Detail(id))]
    }

    /// Asks what changed in the code for the rows in and around the window.
    pub(super) fn ask_changes(&mut self) -> Vec<Effect> {
        let height = self.list_height();
        let timeline = &self.timeline;
        let window = timeline.rows.iter().skip(timeline.cursor.offset.saturating_sub(height)).take(3 * height);
        let pairs: Vec<(RunId, RunId)> = window
            .filter_map(|row| {
                let run = &timeline.runs[*row];
                let previous = timeline.previous(*row)?;
                let key = (previous.version.clone(), run.version.clone());
                let wanted = previous.version != run.version && !timeline.changes.contains_key(&key);
                wanted.then(|| (previous.id.clone(), run.id.clone()))
            })
            .collect();
        if pairs.is_empty() { Vec::new() } else { vec![self.ask(Request::Changes(pairs))] }
    }
}
