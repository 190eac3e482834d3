//! Panel 2: two versions and the log statements placed into them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::ids::RunId;
use crate::tui::app::document::{Document, FileDiff, Row};
use crate::tui::app::layout::SPLIT;
use crate::tui::app::list::Cursor;
use crate::tui::app::overlay::{Overlay, Purpose};
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
    fn jump(&self, backwards: bool, holds: impl Fn(&FileDiff, Row) -> bool) -> Option<usize> {
        let file = self.current()?;
        let starts = |row: &usize| holds(file, self.rows[*row]) && (*row == 0 || !holds(file, self.rows[*row - 1]));
        if backwards {
            (0..self.cursor.selected).rev().find(starts)
        } else {
            (self.cursor.selected + 1..self.rows.len()).find(starts)
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
        self.diff.split.unwrap_or(self.size.0 >= SPLIT)
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
        let cursor = self.diff.cursor;
        let effects = self.show_file(file);
        if same {
            self.diff.cursor = cursor;
        }
        effects
    }

    /// Shows a file, from its first change or statement on.
    fn show_file(&mut self, file: usize) -> Vec<Effect> {
        let Some(document) = self.diff.document.clone() else { return Vec::new() };
        self.diff.file = file.min(document.files.len().saturating_sub(1));
        self.diff.unfolded.clear();
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
        let is_change = FileDiff::is_change;
        let is_statement = |file: &FileDiff, row| file.statement_on(row).is_some();
        let target = match command {
            Command::NextHunk => self.diff.jump(false, is_change),
            Command::PreviousHunk => self.diff.jump(true, is_change),
            Command::NextStatement => self.diff.jump(false, is_statement),
            Command::PreviousStatement => self.diff.jump(true, is_statement),
            Command::NextFile | Command::PreviousFile => return self.next_file(command == Command::PreviousFile),
            Command::Open => return self.open_row(),
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
            Command::Search => return self.open(Overlay::prompt(Purpose::Search, &self.diff.search)),
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

    /// Unfolds, or explains a statement's placement.
    fn open_row(&mut self) -> Vec<Effect> {
        let Some(row) = self.diff.rows.get(self.diff.cursor.selected).copied() else { return Vec::new() };
        if let Row::Fold { first, .. } = row {
            self.diff.unfolded.insert(first);
            self.relayout_diff();
            return Vec::new();
        }
        let placement = self.diff.current().and_then(|file| file.statement_on(row)).map(|s| s.placement.clone());
        match placement {
            Some(placement) => self.open(Overlay::Placement { placement: Box::new(placement), offset: 0 }),
            None => Vec::new(),
        }
    }

    pub(super) fn search_diff(&mut self, backwards: bool) -> Vec<Effect> {
        let needle = self.diff.search.to_lowercase();
        let length = self.diff.rows.len();
        let found = (1..=length)
            .map(|step| (self.diff.cursor.selected + if backwards { length - step } else { step }) % length)
            .find(|row| self.diff.row_text(self.diff.rows[*row]).to_lowercase().contains(&needle));
        match found {
            Some(row) if !needle.is_empty() => self.go_to_row(row),
            _ => self.complain(format!("'{}' is not in the lines shown", self.diff.search)),
        }
        Vec::new()
    }
}
