//! Panel 2: two versions and the log statements placed into them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::ids::RunId;
use crate::tui::app::document::{Document, FileDiff, Row, Side, Statement};
use crate::tui::app::layout::SPLIT;
use crate::tui::app::list::Cursor;
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::placement::{Explained, context};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Effect, Request};
use crate::tui::highlight::Highlighted;
use crate::tui::keys::Command;

/// A diff being read.
#[derive(Debug, Default)]
pub struct Diff {
    /// Asked for: older and newer run.
    pub wanted: Option<(RunId, RunId)>,
    pub waiting: bool,
    pub document: Option<Arc<Document>>,
    /// Index of the file shown.
    pub file: usize,
    pub rows: Vec<Row>,
    pub cursor: Cursor,
    /// The user's choice of layout, over what the width suggests.
    pub split: Option<bool>,
    /// Columns scrolled to the right.
    pub column: usize,
    pub search: String,
    unfolded: BTreeSet<usize>,
    /// Colours of files by index, as they come.
    pub colours: HashMap<usize, Arc<Highlighted>>,
}

impl Diff {
    /// The file shown.
    pub fn current(&self) -> Option<&FileDiff> {
        self.document.as_ref().and_then(|document| document.files.get(self.file))
    }

    /// The first row of each group of rows that satisfy the condition, after or before the cursor.
    fn jump<K: PartialEq>(&self, backwards: bool, what: impl Fn(&FileDiff, Row) -> Option<K>) -> Option<usize> {
        let file = self.current()?;
        let starts = |row: &usize| {
            let here = what(file, self.rows[*row]);
            here.is_some() && (*row == 0 || what(file, self.rows[*row - 1]) != here)
        };
        if backwards {
            (0..self.cursor.selected).rev().find(starts)
        } else {
            (self.cursor.selected + 1..self.rows.len()).find(starts)
        }
    }

    /// Whether a row, or what it folds away, holds a text in lower case.
    fn holds(&self, row: Row, needle: &str) -> bool {
        let holds = |row| self.row_text(row).to_lowercase().contains(needle);
        match row {
            Row::Fold { first, count } => (first..first + count).map(Row::Both).any(holds),
            Row::Both(_) | Row::Left(_) | Row::Right(_) => holds(row),
        }
    }

    fn row_text(&self, row: Row) -> String {
        let Some(file) = self.current() else { return String::new() };
        let (left, right) = file.texts(row);
        format!("{} {}", left.unwrap_or(""), right.unwrap_or(""))
    }
}

impl App {
    /// Whether the diff is drawn side by side.
    pub fn is_split(&self) -> bool {
        let alone = self.diff.document.as_ref().is_some_and(|document| document.left == document.right);
        !alone && self.diff.split.unwrap_or(self.size.0 >= SPLIT)
    }

    /// Opens the diff of the selected run against the last marked one, or the one before.
    pub(super) fn open_diff(&mut self) -> Vec<Effect> {
        let Some(index) = self.timeline.rows.get(self.timeline.cursor.selected).copied() else {
            return Vec::new();
        };
        let selected = self.timeline.runs[index].id.clone();
        let marked = self.timeline.marked.iter().rev().find(|id| **id != selected).cloned();
        let Some(other) = marked.or_else(|| self.timeline.previous(index).map(|run| run.id.clone())) else {
            self.complain("this is the first run: nothing is older; mark another run with Space, then d");
            return Vec::new();
        };
        // Ids sort by time: the older version stands on the left.
        let wanted = if other < selected { (other, selected) } else { (selected, other) };
        self.panel = Panel::Diff;
        self.zoom = false;
        self.want(wanted)
    }

    /// Shows the script of one run, for adding a log statement; in the diff, its editor at the line under the cursor.
    pub(super) fn add_statement(&mut self) -> Vec<Effect> {
        let run = match self.panel {
            Panel::Diff if self.diff.current().is_some() => return self.add_statement_here(),
            Panel::Diff if self.diff.waiting => {
                self.say("the versions are still being compared");
                return Vec::new();
            }
            Panel::Results => {
                let (grid, row) = (&self.results.grid, self.results.row());
                let run = grid.rows_run.get(row).and_then(|run| grid.runs.get(usize::try_from(*run).ok()?));
                run.cloned()
            }
            // Two runs of the same code.
            Panel::Diff if self.diff.document.is_some() => {
                self.diff.document.as_ref().map(|document| document.right.clone())
            }
            // Of the newest run, where the panel has none of its own.
            Panel::Replay | Panel::Diff => self.timeline.runs.last().map(|run| run.id.clone()),
            Panel::Timeline => self.timeline.selected().map(|run| run.id.clone()),
        };
        let Some(run) = run else { return Vec::new() };
        self.panel = Panel::Diff;
        self.zoom = false;
        self.say("a on a line adds a log statement after it, in no file of yours");
        self.want((run.clone(), run))
    }

    fn add_statement_here(&mut self) -> Vec<Effect> {
        let (Some(document), Some(file)) = (&self.diff.document, self.diff.current()) else { return Vec::new() };
        let row = self.diff.rows.get(self.diff.cursor.selected).copied();
        if !file.is_script {
            self.complain(format!("log statements are added to the script that was run, and {} is not", file.path));
            return Vec::new();
        }
        let Some((line, side)) = row.and_then(|row| file.line_on(row)) else {
            self.say("Enter unfolds these lines; then a adds a log statement after one");
            return Vec::new();
        };
        let version = if side == Side::Left { document.left.clone() } else { document.right.clone() };
        let (script, line) = (file.path.clone(), u32::try_from(line + 1).unwrap_or(u32::MAX));
        self.open_editor(script, version, line)
    }

    /// Asks for what is shown anew: a statement was moved.
    pub(super) fn ask_diff_again(&mut self) -> Vec<Effect> {
        self.diff.wanted.clone().map_or_else(Vec::new, |wanted| self.want(wanted))
    }

    fn want(&mut self, wanted: (RunId, RunId)) -> Vec<Effect> {
        self.diff.wanted = Some(wanted.clone());
        self.diff.waiting = true;
        vec![self.ask(Request::Diff { left: wanted.0, right: wanted.1 })]
    }

    /// The diff of before, or that of the selected run.
    pub(super) fn show_diff(&mut self) -> Vec<Effect> {
        match self.diff.wanted.clone() {
            // Asked anew: the working tree may hold other log statements by now.
            Some(wanted) => self.want(wanted),
            None if self.timeline.runs.len() > 1 => {
                // The first run has no predecessor, but its successor has.
                if self.timeline.selected().map(|r| &r.id) == self.timeline.runs.first().map(|r| &r.id) {
                    let (first, second) = (self.timeline.runs[0].id.clone(), self.timeline.runs[1].id.clone());
                    return self.want((first, second));
                }
                self.open_diff()
            }
            None => Vec::new(),
        }
    }

    pub(super) fn take_document(&mut self, document: Arc<Document>) -> Vec<Effect> {
        self.diff.waiting = false;
        if self.diff.document.as_ref() == Some(&document) {
            return Vec::new();
        }
        let same =
            self.diff.document.as_ref().is_some_and(|old| old.left == document.left && old.right == document.right);
        self.diff.document = Some(document);
        self.diff.colours.clear();
        let file = if same { self.diff.file } else { 0 };
        let (cursor, unfolded) = (self.diff.cursor, std::mem::take(&mut self.diff.unfolded));
        let effects = self.show_file(file);
        if same {
            self.diff.unfolded.extend(unfolded);
            self.relayout_diff();
            self.diff.cursor = cursor;
        }
        effects
    }

    /// Shows a file, from its first change or statement on.
    fn show_file(&mut self, file: usize) -> Vec<Effect> {
        let Some(document) = self.diff.document.clone() else { return Vec::new() };
        self.diff.file = file.min(document.files.len().saturating_sub(1));
        // A script alone is there to be read.
        let alone = document.left == document.right;
        self.diff.unfolded = self.diff.current().filter(|_| alone).map(FileDiff::folds).unwrap_or_default();
        self.diff.column = 0;
        self.diff.cursor = Cursor::default();
        self.relayout_diff();
        let file = self.diff.file;
        if document.files.is_empty() || self.diff.colours.contains_key(&file) {
            return Vec::new();
        }
        vec![self.ask(Request::Highlight { document, file })]
    }

    /// Computes the rows anew, staying on the same pair of lines.
    pub(super) fn relayout_diff(&mut self) {
        let split = self.is_split();
        let Some(file) = self.diff.current() else {
            self.diff.rows.clear();
            return;
        };
        let pair = |row: &Row| match row {
            Row::Fold { first, .. } => *first,
            Row::Both(i) | Row::Left(i) | Row::Right(i) => *i,
        };
        let here = self.diff.rows.get(self.diff.cursor.selected).map(pair);
        let rows = file.rows(split, &self.diff.unfolded);
        if let Some(here) = here {
            self.diff.cursor.selected = rows.iter().position(|row| pair(row) >= here).unwrap_or(0);
        }
        self.diff.rows = rows;
    }

    pub(super) fn diff_command(&mut self, command: Command) -> Vec<Effect> {
        let height = self.list_height();
        let is_change = |file: &FileDiff, row| file.is_change(row).then_some(());
        let is_statement = |file: &FileDiff, row| {
            file.statement_on(row).map(|one| (one.on_left, one.number, one.placement.name.clone()))
        };
        let target = match command {
            Command::NextHunk => self.diff.jump(false, is_change),
            Command::PreviousHunk => self.diff.jump(true, is_change),
            Command::NextStatement => self.diff.jump(false, is_statement),
            Command::PreviousStatement => self.diff.jump(true, is_statement),
            Command::NextFile | Command::PreviousFile => return self.next_file(command == Command::PreviousFile),
            Command::Open => return self.open_row(),
            Command::Edit => return self.edit_line(),
            Command::Diff => return self.open_diff(),
            Command::ToggleSplit => {
                self.diff.split = Some(!self.is_split());
                self.relayout_diff();
                return Vec::new();
            }
            Command::Left | Command::Right | Command::FirstColumn => {
                self.diff.column = match command {
                    Command::Left => self.diff.column.saturating_sub(8),
                    Command::Right => (self.diff.column + 8).min(1000),
                    _ => 0,
                };
                return Vec::new();
            }
            Command::Search => return self.open(Overlay::prompt(Purpose::Search, "")),
            Command::SearchNext | Command::SearchPrevious => {
                return self.search_diff(command == Command::SearchPrevious);
            }
            Command::Copy | Command::CopyRow => {
                let row = self.diff.rows.get(self.diff.cursor.selected);
                return row.map(|row| Effect::Copy(self.diff.row_text(*row).trim().to_owned())).into_iter().collect();
            }
            _ => {
                self.diff.cursor.act(command, self.diff.rows.len(), height);
                return Vec::new();
            }
        };
        match target {
            Some(row) => self.go_to_row(row),
            None => self.say(match command {
                Command::NextHunk | Command::PreviousHunk => "no more changes in this file (J: next file)",
                _ => "no more log statements in this file (J: next file)",
            }),
        }
        Vec::new()
    }

    /// Goes to a row with some lines of context above it.
    fn go_to_row(&mut self, row: usize) {
        let height = self.list_height();
        self.diff.cursor.go(row, self.diff.rows.len(), height);
        self.diff.cursor.offset = row.saturating_sub(height / 3);
    }

    fn next_file(&mut self, backwards: bool) -> Vec<Effect> {
        let files = self.diff.document.as_ref().map_or(0, |document| document.files.len());
        if files < 2 {
            self.say("there is no other file");
            return Vec::new();
        }
        let step = if backwards { files - 1 } else { 1 };
        self.show_file((self.diff.file + step) % files)
    }

    /// Opens the working tree's file where the line under the cursor is in the newer version.
    fn edit_line(&mut self) -> Vec<Effect> {
        let Some(file) = self.diff.current() else { return Vec::new() };
        let row = self.diff.rows.get(self.diff.cursor.selected).copied();
        let line = row.and_then(|row| file.right_line(row)).unwrap_or(0);
        let line = u32::try_from(line + 1).unwrap_or(1);
        vec![Effect::Edit { path: file.path.clone().into(), line }]
    }

    /// Unfolds, or explains a statement's placement.
    fn open_row(&mut self) -> Vec<Effect> {
        let Some(row) = self.diff.rows.get(self.diff.cursor.selected).copied() else { return Vec::new() };
        if let Row::Fold { first, .. } = row {
            self.diff.unfolded.insert(first);
            self.relayout_diff();
            return Vec::new();
        }
        let statement = self.diff.current().and_then(|file| file.statement_on(row));
        match statement.and_then(|statement| self.explained(statement)) {
            Some(explained) => self.open(Overlay::Placement(Box::new(explained))),
            None => Vec::new(),
        }
    }

    /// The same statement in the other version than the one that is explained, if it stands beside it.
    pub(super) fn beside_explained(&self, run: &RunId) -> Option<Explained> {
        let document = self.diff.document.as_ref().filter(|_| self.panel == Panel::Diff)?;
        let other = if *run == document.left { Side::Right } else { Side::Left };
        let row = self.diff.rows.get(self.diff.cursor.selected)?;
        self.explained(self.diff.current()?.statement_of(*row, other)?)
    }

    /// A statement's placement, with the version's lines around it.
    fn explained(&self, statement: &Statement) -> Option<Explained> {
        let (document, file) = (self.diff.document.as_ref()?, self.diff.current()?);
        let (run, lines) =
            if statement.on_left { (&document.left, &file.left) } else { (&document.right, &file.right) };
        let after = statement.placement.after_line.unwrap_or_default();
        let at = usize::try_from(after).unwrap_or_default().min(lines.len());
        let texts = lines[..at].iter().chain(&statement.lines).chain(&lines[at..]).map(String::as_str);
        let own = u32::try_from(statement.lines.len()).unwrap_or_default();
        let context = context(texts, after + 1, own, after);
        let placement = statement.placement.clone();
        let (run, statement) = (run.clone(), statement.number);
        Some(Explained { run, placement, statement, context, waiting: false, offset: 0 })
    }

    pub(super) fn search_diff(&mut self, backwards: bool) -> Vec<Effect> {
        let needle = self.diff.search.to_lowercase();
        let length = self.diff.rows.len();
        let found = (1..=length)
            .map(|step| (self.diff.cursor.selected + if backwards { length - step } else { step }) % length)
            .find(|row| self.diff.holds(self.diff.rows[*row], &needle));
        match found {
            Some(row) if !needle.is_empty() => {
                let row = self.unfold(row, &needle);
                self.go_to_row(row);
            }
            _ => self.complain(format!("'{}' is not in this file", self.diff.search)),
        }
        Vec::new()
    }

    /// Opens a fold in which something was found; the row of what was found.
    fn unfold(&mut self, row: usize, needle: &str) -> usize {
        let Row::Fold { first, count } = self.diff.rows[row] else { return row };
        let mut hidden = (first..first + count).map(Row::Both);
        let wanted = hidden.find(|row| self.diff.holds(*row, needle));
        self.diff.unfolded.insert(first);
        self.relayout_diff();
        self.diff.rows.iter().position(|row| Some(*row) == wanted).unwrap_or(row)
    }
}

#[cfg(test)]
mod tests {
    use crate::tui::app::document::{Document, FileDiff, Row, Sides};
    use crate::tui::app::fixture::{answer, app, asks, id, press};
    use crate::tui::event::{Answer, Effect, Request};
    use crate::tui::keys::Command;

    #[test]
    fn the_editor_opens_at_a_line_of_the_newer_version_from_every_row() {
        let same: String = (0..30).map(|line| format!("same {line}\n")).collect();
        let (left, right) = (format!("a\n{same}removed\nend\n"), format!("a\nnew\nnewer\n{same}end\n"));
        let sides = Sides { left: &left, right: &right, into_left: None, into_right: None };
        let file = FileDiff::new("train.py".into(), None, sides);
        let mut app = app(80, 40);
        let effects = press(&mut app, "jd");
        let document = Document { left: id(3), right: id(4), files: vec![file] };
        answer(&mut app, &effects, Answer::Diff(document.into()));
        let mut opened = |row: usize| {
            app.diff.cursor.selected = row;
            let Effect::Edit { line, .. } = press(&mut app, "e")[0] else { panic!("no editor") };
            let text = right.lines().nth(usize::try_from(line).expect("small") - 1);
            (app.diff.rows[row], text.expect("a line").to_owned())
        };
        assert_eq!(opened(1).1, "new");
        let (row, line) = opened(6);
        assert!(matches!(row, Row::Fold { .. }), "{row:?}");
        assert_eq!(line, "same 3", "the first that is folded away");
        let (row, line) = opened(10);
        assert!(matches!(row, Row::Left(_)), "{row:?}");
        assert_eq!(line, "same 29", "above what was removed");
    }

    #[test]
    fn of_two_runs_with_the_same_code_the_newer_ones_script_is_opened_for_a_statement() {
        let mut app = app(80, 24);
        let effects = press(&mut app, "jd");
        let document = Document { left: id(3), right: id(4), files: Vec::new() };
        answer(&mut app, &effects, Answer::Diff(document.into()));
        assert!(app.offers(Command::AddStatement) && !app.offers(Command::NextHunk));
        let effects = press(&mut app, "a");
        let Request::Diff { left, right } = &asks(&effects)[0].request else { panic!("{effects:?}") };
        assert_eq!((left, right), (&id(4), &id(4)));
    }
}
