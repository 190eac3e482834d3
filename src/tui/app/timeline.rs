//! Panel 1: the runs, newest first, and the detail of one.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::base::ids::RunId;
use crate::engine::project::FOLDER_GONE;
use crate::model::run::{RunStatus, RunSummary};
use crate::model::source::{ChangedFile, VersionId};
use crate::tui::app::columns::{Column, Order, ranked};
use crate::tui::app::command_line::otherwise;
use crate::tui::app::filter::{Field, Filter};
use crate::tui::app::list::Cursor;
use crate::tui::app::metric::Metric;
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::run::RunView;
use crate::tui::app::{App, Panel};
use crate::tui::event::{Detail, Effect, Request};
use crate::tui::keys::Command;
use crate::tui::text::{self, short};

/// Columns of cursor, graph and id.
pub const FIXED: u16 = 13;
/// Said of a run whose folder somebody removed.
const DELETED: &str = "folder deleted";
/// Said of a run whose code, or that of the one before, cannot be read.
const NO_CODE: &str = "code gone";
/// Said of a run in which nothing changed.
pub const SAME_AGAIN: &str = "same again";

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
    /// Changed files from one version to another; `None` where one of them is gone.
    pub changes: HashMap<(VersionId, VersionId), Option<Vec<ChangedFile>>>,
    pub detail: Option<Detail>,
    /// Why the detail of a run is not there.
    pub unread: Option<(RunId, String)>,
    pub view: RunView,
    pub order: Order,
    /// Every run is compared with this one rather than with the one before.
    pub baseline: Option<RunId>,
    /// Where a range of marks begins.
    pub range: Option<RunId>,
    pub columns: Vec<Column>,
    /// The name whose last values all runs show, if it is one: then it stands in the title alone.
    pub common: Option<String>,
    /// The value that rows show; `None`: what each run's summary names.
    pub metric: Option<Metric>,
    /// Columns that the texts seen so far take: of what changed, of the last value.
    pub widest: (usize, usize),
}

impl Timeline {
    /// Without runs yet.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, ..Self::default() }
    }

    /// The run under the cursor.
    pub fn selected(&self) -> Option<&RunSummary> {
        self.rows.get(self.cursor.selected).and_then(|row| self.runs.get(*row))
    }

    /// What a run is compared with: the baseline, else the run before, of the same script where there is one.
    pub fn previous(&self, index: usize) -> Option<&RunSummary> {
        let run = self.runs.get(index)?;
        if let Some(baseline) = self.baseline.as_ref().filter(|id| **id != run.id) {
            return position(&self.runs, baseline).map(|at| &self.runs[at]);
        }
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
        self.find_common();
        let there = |id: &RunId| position(&self.runs, id).is_some();
        self.marked.retain(there);
        self.baseline = self.baseline.take().filter(there);
        self.range = self.range.take().filter(there);
        self.refilter(selected);
    }

    fn find_common(&mut self) {
        let mut metrics = self.runs.iter().filter_map(|run| self.value(run)).map(|(name, _)| name);
        let first = metrics.next();
        self.common = first.filter(|first| metrics.all(|name| name == *first)).map(str::to_owned);
    }

    /// Shows another value in every row.
    pub fn set_metric(&mut self, metric: Option<Metric>) {
        let selected = self.selected().map(|run| run.id.clone());
        self.metric = metric;
        self.widest.1 = 0;
        self.find_common();
        self.refilter(selected);
    }

    /// Computes the rows shown, keeping a run selected if it is still among them.
    fn refilter(&mut self, keep: Option<RunId>) {
        let passes = |run: &RunSummary| self.filter.as_ref().is_none_or(|filter| passes(filter, run));
        let mut rows: Vec<usize> = (0..self.runs.len()).rev().filter(|i| passes(&self.runs[*i])).collect();
        let value = |i: usize| self.value(&self.runs[i]).and_then(|(_, value)| value.as_f64()).filter(|x| !x.is_nan());
        match self.order {
            Order::Newest => {}
            // Runs without a value come last either way.
            Order::SmallestValue => rows.sort_by(|a, b| ranked(value(*a), value(*b), false)),
            Order::LargestValue => rows.sort_by(|a, b| ranked(value(*a), value(*b), true)),
            Order::Longest => rows.sort_by_key(|i| std::cmp::Reverse(self.runs[*i].duration_ms)),
        }
        self.rows = rows;
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

    pub fn take_changes(&mut self, changes: Vec<(RunId, RunId, Option<Vec<ChangedFile>>)>) {
        for (older, newer, files) in changes {
            let version = |id: &RunId| position(&self.runs, id).map(|at| self.runs[at].version.clone());
            if let (Some(older), Some(newer)) = (version(&older), version(&newer)) {
                self.changes.insert((older, newer), files);
            }
        }
    }

    /// Whether there is something that [`Self::leave`] leaves.
    pub fn can_leave(&self) -> bool {
        let narrowed = self.range.is_some() || self.filter.is_some() || !self.marked.is_empty();
        narrowed || self.order != Order::Newest || self.baseline.is_some()
    }

    /// Leaves range, filter, order, marks or baseline: the first of them that there is.
    pub fn leave(&mut self) -> Option<Vec<Effect>> {
        if self.range.take().is_some() {
        } else if self.filter.is_some() {
            self.set_filter(None);
        } else if self.order != Order::Newest {
            self.set_order(Order::Newest);
        } else if !self.marked.is_empty() {
            self.marked.clear();
        } else if self.baseline.take().is_some() {
            self.widest = (0, 0);
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

    fn set_order(&mut self, order: Order) {
        let selected = self.selected().map(|run| run.id.clone());
        self.order = order;
        self.refilter(selected);
    }

    /// Rows between the beginning of a range and the cursor.
    pub fn in_range(&self) -> Option<RangeInclusive<usize>> {
        let from = self.range.as_ref()?;
        let from = position(&self.runs, from)?;
        let at = self.rows.iter().position(|row| *row == from)?;
        Some(at.min(self.cursor.selected)..=at.max(self.cursor.selected))
    }

    fn toggle_range(&mut self) {
        match self.in_range() {
            Some(rows) => {
                let already: HashSet<RunId> = self.marked.iter().cloned().collect();
                let ids = self.rows[rows].iter().map(|row| self.runs[*row].id.clone());
                self.marked.extend(ids.filter(|id| !already.contains(id)));
                self.range = None;
            }
            None => self.range = self.selected().map(|run| run.id.clone()),
        }
    }

    /// What a run changed against what it is compared with: arguments, then files. `pending` stands for files not known
    /// yet.
    pub fn changed(&self, index: usize, pending: &str, minus: &str) -> String {
        let run = &self.runs[index];
        let name = run.name.as_ref().map_or(String::new(), |name| format!("[{name}] "));
        let Some(previous) = self.previous(index) else {
            let arguments: Vec<String> = run.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let arguments = if arguments.is_empty() { run.command.join(" ") } else { arguments.join(" ") };
            let deleted = if is_gone(run) { format!("{DELETED}  ") } else { String::new() };
            return format!("{name}{deleted}{} {arguments}", run.script).trim_end().to_owned();
        };
        let mut parts: Vec<String> = is_gone(run).then(|| DELETED.to_owned()).into_iter().collect();
        for (argument, value) in &run.args {
            let old = previous.args.iter().find(|(name, _)| name == argument).map(|(_, value)| value);
            if old.is_none_or(|old| !old.same_bits(value)) {
                parts.push(format!("{argument}={}", short(value)));
            }
        }
        parts.extend(Some(otherwise(previous, run)).filter(|words| !words.is_empty()));
        if previous.version != run.version {
            match self.changes.get(&(previous.version.clone(), run.version.clone())) {
                None => parts.push(pending.to_owned()),
                Some(None) => parts.push(NO_CODE.to_owned()),
                Some(Some(files)) => {
                    let file = |f: &ChangedFile| format!("{} +{} {minus}{}", f.path, f.added_lines, f.removed_lines);
                    parts.extend(files.iter().map(file));
                }
            }
        }
        if parts.is_empty() { format!("{name}{SAME_AGAIN}") } else { format!("{name}{}", parts.join("  ")) }
    }

    /// Takes note of how wide the texts in the window are. What was seen counts on, so that the layout does not jump.
    fn measure(&mut self, height: usize) {
        let mut widest = self.widest;
        for index in self.rows.iter().skip(self.cursor.offset).take(height) {
            widest.0 = widest.0.max(text::width(&text::clean(&self.changed(*index, "…", "−"))));
            if let Some((name, value)) = self.value(&self.runs[*index]) {
                let name = if self.common.is_some() { 0 } else { text::width(&text::clean(name)) + 1 };
                widest.1 = widest.1.max(name + text::width(&short(value)));
            }
        }
        widest.1 = widest.1.max(self.common.as_ref().map_or(0, |name| text::width(&text::clean(name)).min(12)));
        self.widest = widest;
    }

    /// Columns that the list would like.
    pub fn wanted_width(&self) -> u16 {
        let columns = self.columns.iter().map(|column| column.width(self.widest) + 1);
        FIXED + columns.sum::<u16>()
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

/// Whether all that is left of a run is what the database holds.
pub fn is_gone(run: &RunSummary) -> bool {
    run.notes.iter().any(|note| note == FOLDER_GONE)
}

/// Where a run stands among all: they are sorted by id.
fn position(runs: &[RunSummary], id: &RunId) -> Option<usize> {
    runs.binary_search_by(|run| run.id.cmp(id)).ok()
}

/// What a run's row and detail say, for words in filters and searches.
fn all_text(run: &RunSummary) -> String {
    let mut words: Vec<String> = run.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.extend(run.command.iter().filter(|word| !words.contains(word)).cloned().collect::<Vec<_>>());
    let name = run.name.as_deref().unwrap_or("");
    let (id, script, status, version) = (&run.id, &run.script, run.status.word(), run.version.short());
    format!("{id} {name} {script} {status} {version} {}", words.join(" "))
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
            let value = argument(name).or_else(|| run.last_values.get(name)).or_else(|| metric(name))?;
            Some(value.as_f64().map_or_else(|| Field::Text(value.to_string()), Field::Number))
        }
    };
    filter.matches(field, || all_text(run))
}

impl App {
    pub(super) fn timeline_command(&mut self, command: Command) -> Vec<Effect> {
        let height = self.list_height();
        if self.zoom
            && let Some(effects) = self.run_command(command)
        {
            return effects;
        }
        match command {
            Command::Open => {
                self.zoom = !self.zoom && self.timeline.selected().is_some();
                self.timeline.view.cursor = Cursor::default();
                self.go_to_end_of_output();
            }
            Command::NextSection | Command::PreviousSection => self.turn_section(command),
            Command::Edit => return self.edit_here(),
            Command::Sort => {
                self.timeline.set_order(self.timeline.order.next());
                self.say(self.timeline.order.words());
                return self.ask_changes();
            }
            Command::Metric => return self.choose_metric(),
            Command::Pin => return self.pin(self.timeline.selected().map(|run| run.id.clone())),
            Command::MarkRange => {
                self.timeline.toggle_range();
                if self.timeline.range.is_some() {
                    self.say("move, then press it again: all between is marked");
                }
            }
            Command::Mark => {
                self.timeline.toggle_mark();
                return self.timeline_command(Command::Down);
            }
            Command::Diff => return self.open_diff(),
            Command::Search => return self.open(Overlay::prompt(Purpose::Search, "")),
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

    /// Compares every run with this one from now on; if it is that one already, with the run before each.
    pub(super) fn pin(&mut self, run: Option<RunId>) -> Vec<Effect> {
        let Some(run) = run else { return Vec::new() };
        let unpinned = self.timeline.baseline.as_ref() == Some(&run);
        self.timeline.baseline = (!unpinned).then_some(run);
        self.timeline.widest = (0, 0);
        self.say(if unpinned { "compared with the run before each" } else { "every run is compared with this one" });
        self.ask_changes()
    }

    /// Keeps both cursors inside their lists, and learns how wide the texts are.
    pub(super) fn settle_timeline(&mut self, height: usize) {
        self.timeline.cursor.settle(self.timeline.rows.len(), height);
        self.timeline.measure(height);
        if self.zoom {
            let length = self.run_lines().len();
            self.timeline.view.cursor.settle(length, height);
        }
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
        self.renew(Request::Detail(id)).into_iter().collect()
    }

    /// Asks what changed in the code for the rows in and around the window.
    pub(super) fn ask_changes(&mut self) -> Vec<Effect> {
        let height = self.list_height();
        let timeline = &self.timeline;
        let window = timeline.rows.iter().skip(timeline.cursor.offset.saturating_sub(height)).take(3 * height);
        let window: Vec<usize> = window.copied().collect();
        let pairs: Vec<(RunId, RunId)> = window
            .iter()
            .filter_map(|row| {
                let run = &timeline.runs[*row];
                let previous = timeline.previous(*row)?;
                let key = (previous.version.clone(), run.version.clone());
                let wanted = previous.version != run.version && !timeline.changes.contains_key(&key);
                wanted.then(|| (previous.id.clone(), run.id.clone()))
            })
            .collect();
        let mut effects: Vec<Effect> = self.ask_courses(&window).into_iter().collect();
        if !pairs.is_empty() {
            let asked = self.renew(Request::Changes(pairs));
            effects.splice(0..0, asked);
        }
        effects
    }
}
