//! What lies over a panel: help, palette, prompts, lists to choose from, explanations. One at a time.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};

use crate::analysis::compare::Comparison;
use crate::analysis::query::Condition;
use crate::base::ids::JobId;
use crate::tui::app::editor::Editor;
use crate::tui::app::filter::Filter;
use crate::tui::app::list::{self, Cursor, LineEdit};
use crate::tui::app::placement::Explained;
use crate::tui::app::table::Statistics;
use crate::tui::app::{App, Panel};
use crate::tui::event::{Effect, Request};
use crate::tui::keys::{self, Binding, Command, Context};
use crate::tui::views::overlay::last_offset;

/// What lies over the panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    Help {
        offset: usize,
        /// What it explains, if that is not the panel; it is there again afterwards.
        over: Option<Box<Overlay>>,
    },
    Palette {
        input: LineEdit,
        cursor: Cursor,
    },
    Prompt {
        purpose: Purpose,
        input: LineEdit,
    },
    Placement(Box<Explained>),
    Editor(Box<Editor>),
    /// The whole value under the cursor of the grid.
    Cell {
        offset: usize,
    },
    Statistics {
        statistics: Box<Statistics>,
        offset: usize,
    },
    /// Where two runs part.
    Partings {
        comparison: Arc<Comparison>,
        cursor: Cursor,
    },
    Columns {
        cursor: Cursor,
    },
    /// Which value the list of runs shows.
    Metrics {
        names: Vec<String>,
        cursor: Cursor,
    },
    Jobs {
        cursor: Cursor,
    },
    ConfirmCancel {
        job: JobId,
    },
}

/// What a line is typed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Search,
    Filter,
    Export,
    Iterations,
    Tolerance,
    Condition,
}

impl Purpose {
    /// What stands before the line.
    pub fn label(self) -> &'static str {
        match self {
            Self::Search => "search: ",
            Self::Filter => "filter: ",
            Self::Export => "write to (.csv, .json): ",
            Self::Tolerance => "differences up to (1e-6; empty: none): ",
            Self::Iterations => "iterations (last, 0,4, epoch=2..5; empty: all): ",
            Self::Condition => "only where (e.g. epoch >= 3): ",
        }
    }
}

impl Overlay {
    pub(super) fn palette() -> Self {
        Self::Palette { input: LineEdit::default(), cursor: Cursor::default() }
    }

    pub(super) fn prompt(purpose: Purpose, text: &str) -> Self {
        Self::Prompt { purpose, input: LineEdit::with(text) }
    }

    /// What is there again when it closes.
    fn under(self) -> Option<Self> {
        match self {
            Self::Help { over, .. } => over.map(|over| *over),
            _ => None,
        }
    }

    /// What a help explains, else itself: where answers go that come while the help is read.
    fn explained(&mut self) -> &mut Self {
        match self {
            Self::Help { over: Some(over), .. } => over,
            _ => self,
        }
    }

    pub(super) fn paste(&mut self, text: &str) {
        if let Self::Palette { input, .. } | Self::Prompt { input, .. } = self.explained() {
            input.insert(text.lines().next().unwrap_or(""));
        }
    }
}

/// The bindings that match what was typed into the palette, best first.
pub fn matching(context: Context, typed: &str) -> Vec<&'static Binding> {
    let offered = keys::bindings(context).filter(|b| b.command != Command::Palette);
    let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut found: Vec<(u32, &'static Binding)> = offered
        .filter_map(|binding| {
            // The word at the bottom of the screen is what users know it by.
            let word = binding.hint.rsplit('|').next().unwrap_or_default();
            let mut score = |text| pattern.score(nucleo_matcher::Utf32Str::new(text, &mut buffer), &mut matcher);
            let named = score(word).filter(|_| !typed.is_empty()).map(|score| score.saturating_mul(2));
            score(binding.what).max(named).map(|score| (score, binding))
        })
        .collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, binding)| binding).collect()
}

/// Lets a line take an editing key; whether it did.
pub(super) fn edit(input: &mut LineEdit, key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('a') if control => input.home(),
        KeyCode::Char('e') if control => input.end(),
        KeyCode::Char('u') if control => input.kill_before(),
        KeyCode::Char('w') if control => input.kill_word(),
        KeyCode::Char(c) if !control => input.insert(c.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace => input.backspace(),
        KeyCode::Delete => input.delete(),
        KeyCode::Left => input.left(),
        KeyCode::Right => input.right(),
        KeyCode::Home => input.home(),
        KeyCode::End => input.end(),
        _ => return false,
    }
    true
}

impl App {
    /// The editor, if it is open.
    pub(super) fn editor_mut(&mut self) -> Option<&mut Editor> {
        match self.overlay.as_mut().map(Overlay::explained) {
            Some(Overlay::Editor(editor)) => Some(editor),
            _ => None,
        }
    }

    /// The placement that is explained, if one is.
    pub(super) fn placement_mut(&mut self) -> Option<&mut Explained> {
        match self.overlay.as_mut().map(Overlay::explained) {
            Some(Overlay::Placement(explained)) => Some(explained),
            _ => None,
        }
    }

    /// Rows of a list in an overlay.
    pub fn overlay_height(&self) -> usize {
        usize::from(self.size.1).saturating_sub(6).max(1)
    }

    /// Keeps the cursor of a list inside it and its box, whatever both are now.
    pub(super) fn settle_overlay(&mut self) {
        let last = self.overlay.as_ref().map_or(0, |overlay| last_offset(self, overlay));
        match &mut self.overlay {
            Some(Overlay::Help { offset, .. } | Overlay::Cell { offset } | Overlay::Statistics { offset, .. }) => {
                *offset = last.min(*offset);
            }
            Some(Overlay::Placement(explained)) => explained.offset = last.min(explained.offset),
            _ => {}
        }
        if let Some((cursor, length, height)) = self.chosen_from() {
            cursor.settle(length, height);
        }
    }

    /// Cursor, length and height of the list in a box, if there is one.
    pub(super) fn chosen_from(&mut self) -> Option<(&mut Cursor, usize, usize)> {
        let (height, context) = (self.overlay_height(), self.context());
        let (cursor, length) = match self.overlay.as_mut().map(Overlay::explained)? {
            Overlay::Palette { input, cursor } => (cursor, matching(context, &input.text).len()),
            // One line is the header's.
            Overlay::Partings { comparison, cursor } => {
                return Some((cursor, comparison.columns.len(), height.saturating_sub(1)));
            }
            Overlay::Columns { cursor } => (cursor, self.results.all_names.len()),
            Overlay::Metrics { names, cursor } => (cursor, names.len()),
            Overlay::Jobs { cursor } => (cursor, self.replay.jobs.len()),
            _ => return None,
        };
        Some((cursor, length, height))
    }

    /// Gives a key to the overlay that was open; it stays open unless the key closes it.
    pub(super) fn overlay_key(&mut self, overlay: Overlay, key: KeyEvent) -> Vec<Effect> {
        let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if control_c || key.code == KeyCode::Esc {
            self.overlay = overlay.under();
            return Vec::new();
        }
        let asks = key.code == KeyCode::F(1) || key.code == KeyCode::Char('?') && !overlay.takes_text();
        if asks && !matches!(overlay, Overlay::Help { .. }) {
            return self.open(Overlay::Help { offset: 0, over: Some(Box::new(overlay)) });
        }
        match overlay {
            Overlay::Prompt { purpose, input } => self.prompt_key(purpose, input, key),
            Overlay::Palette { input, cursor } => self.palette_key(input, cursor, key),
            Overlay::Editor(editor) => self.editor_key(*editor, key),
            Overlay::Placement(explained) => self.placement_key(*explained, key),
            Overlay::ConfirmCancel { job } => match key.code {
                KeyCode::Char('y') => vec![self.ask(Request::Cancel(job))],
                _ => Vec::new(),
            },
            other => self.reading_key(other, key),
        }
    }

    fn prompt_key(&mut self, purpose: Purpose, mut input: LineEdit, key: KeyEvent) -> Vec<Effect> {
        if key.code == KeyCode::Enter {
            return self.submit(purpose, input);
        }
        // An empty line left by Backspace closes, as in vi.
        if !(key.code == KeyCode::Backspace && input.text.is_empty()) {
            edit(&mut input, key);
            self.overlay = Some(Overlay::Prompt { purpose, input });
        }
        Vec::new()
    }

    fn submit(&mut self, purpose: Purpose, input: LineEdit) -> Vec<Effect> {
        match purpose {
            Purpose::Search => self.search(input.text),
            Purpose::Filter | Purpose::Tolerance => {
                let done = match (purpose, self.panel) {
                    (Purpose::Tolerance, _) => self.set_tolerance(&input.text),
                    (_, Panel::Results) => self.filter_results(&input.text),
                    _ => self.filter_timeline(&input.text),
                };
                done.unwrap_or_else(|message| {
                    self.complain(message);
                    self.open(Overlay::Prompt { purpose, input })
                })
            }
            Purpose::Export if input.text.trim().is_empty() => Vec::new(),
            Purpose::Export => self.export(&input.text),
            Purpose::Iterations => self.set_iterations(&input.text),
            Purpose::Condition => self.submit_condition(input),
        }
    }

    /// Takes a condition, or puts the cursor on what is wrong with it.
    fn submit_condition(&mut self, mut input: LineEdit) -> Vec<Effect> {
        let text = input.text.trim().to_owned();
        match Condition::parse(&text) {
            Err(error) if !text.is_empty() => {
                let before = input.text.len() - input.text.trim_start().len();
                input.at = input.text.floor_char_boundary(before + error.at);
                let column = input.text[..input.at].chars().count() + 1;
                let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                self.complain(format!("character {column}: {}{hint}", error.what));
                self.open(Overlay::Prompt { purpose: Purpose::Condition, input })
            }
            _ => self.set_condition(text),
        }
    }

    fn filter_timeline(&mut self, text: &str) -> Result<Vec<Effect>, String> {
        self.timeline.set_filter(Filter::parse(text)?);
        let mut effects = self.ask_changes();
        effects.extend(self.ask_detail());
        Ok(effects)
    }

    /// Searches for what was typed; for nothing typed, for what was searched for before, as in vi.
    fn search(&mut self, text: String) -> Vec<Effect> {
        let searched = match self.panel {
            Panel::Timeline if self.zoom => &mut self.timeline.view.search,
            Panel::Timeline => &mut self.timeline.search,
            Panel::Diff => &mut self.diff.search,
            Panel::Results => &mut self.results.search,
            Panel::Replay => &mut self.replay.search,
        };
        if !text.is_empty() {
            *searched = text;
        }
        match self.panel {
            Panel::Timeline if self.zoom => {
                self.search_run(false);
                Vec::new()
            }
            Panel::Timeline => self.search_timeline(false),
            Panel::Diff => self.search_diff(false),
            Panel::Results => self.search_results(false),
            Panel::Replay => {
                self.search_replay(false);
                Vec::new()
            }
        }
    }

    fn palette_key(&mut self, mut input: LineEdit, mut cursor: Cursor, key: KeyEvent) -> Vec<Effect> {
        let height = self.overlay_height();
        let found = matching(self.context(), &input.text);
        match key.code {
            KeyCode::Enter => {
                let command = found.get(cursor.selected).map(|binding| binding.command);
                return command.map_or_else(Vec::new, |command| self.command(command));
            }
            KeyCode::Down | KeyCode::Tab => cursor.act(Command::Down, found.len(), height),
            KeyCode::Up | KeyCode::BackTab => cursor.act(Command::Up, found.len(), height),
            _ if edit(&mut input, key) => cursor = Cursor::default(),
            _ => {}
        }
        self.open(Overlay::Palette { input, cursor })
    }

    /// Overlays that are read or chosen from: movements move, Enter chooses, `q` closes.
    fn reading_key(&mut self, mut overlay: Overlay, key: KeyEvent) -> Vec<Effect> {
        let command = self.keys.command(self.context(), key);
        let height = self.overlay_height();
        match (&mut overlay, command) {
            (_, Some(Command::Leave)) | (Overlay::Help { .. }, Some(Command::Help)) => {
                self.overlay = overlay.under();
                return Vec::new();
            }
            (Overlay::Metrics { names, cursor }, Some(Command::Open)) => {
                let name = names.get(cursor.selected).cloned();
                return self.show_metric(name);
            }
            (Overlay::Metrics { names, cursor }, Some(command)) => cursor.act(command, names.len(), height),
            (Overlay::Columns { cursor }, _) if key.code == KeyCode::Char(' ') || command == Some(Command::Open) => {
                let name = self.results.all_names.get(cursor.selected).cloned();
                let effects = name.map_or_else(Vec::new, |name| self.toggle_column(&name));
                self.overlay = Some(overlay);
                return effects;
            }
            (Overlay::Jobs { cursor }, Some(Command::Open)) => {
                let newest_first = self.replay.jobs.iter().rev().nth(cursor.selected).map(|job| job.id.clone());
                return newest_first.map_or_else(Vec::new, |id| self.open_job(id));
            }
            (Overlay::Partings { comparison, cursor }, Some(Command::Open)) => {
                let comparison = Arc::clone(comparison);
                return self.show_beside(&comparison, cursor.selected);
            }
            (Overlay::Partings { .. }, _) if key.code == KeyCode::Char('t') => return self.ask_tolerance(),
            (Overlay::Partings { comparison, cursor }, Some(command)) => {
                // One line is the header's.
                cursor.act(command, comparison.columns.len(), height.saturating_sub(1));
            }
            (Overlay::Columns { cursor }, Some(command)) => cursor.act(command, self.results.all_names.len(), height),
            (Overlay::Jobs { cursor }, Some(command)) => cursor.act(command, self.replay.jobs.len(), height),
            (
                Overlay::Help { offset, .. } | Overlay::Cell { offset } | Overlay::Statistics { offset, .. },
                Some(command),
            ) => list::scroll(offset, command, usize::MAX, height),
            _ => {}
        }
        self.open(overlay)
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::matching;
    use crate::tui::app::fixture::{press, with_diff};
    use crate::tui::event::{Effect, Event};
    use crate::tui::keys::{Command, Context};

    #[test]
    fn a_command_is_found_by_the_word_that_stands_for_it_at_the_bottom() {
        for (typed, command) in [("pin", Command::Pin), ("diff", Command::Diff), ("replay jobs", Command::Jobs)] {
            assert_eq!(matching(Context::Timeline, typed).first().map(|b| b.command), Some(command), "{typed}");
        }
    }

    #[test]
    fn escape_and_a_control_key_that_arrive_together_are_both_taken() {
        let mut app = with_diff(80, 24);
        press(&mut app, "?");
        assert!(app.overlay.is_some());
        let both = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::ALT | KeyModifiers::CONTROL);
        assert!(matches!(app.update(Event::Key(both))[..], [Effect::Quit]));
        assert!(app.overlay.is_none());
    }
}
