//! The probe editor: a log statement written for a line of a version, tried at every key, kept without touching a file.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use crate::analysis::propagate::{Misfit, Wish};
use crate::base::ids::RunId;
use crate::engine::propagate::Written;
use crate::tui::app::App;
use crate::tui::app::list::LineEdit;
use crate::tui::app::overlay::{Overlay, edit};
use crate::tui::event::{Effect, Request};

/// Completions that are shown at a time.
pub const OFFERED: usize = 5;

/// A statement being written.
#[derive(Debug, Clone, PartialEq)]
pub struct Editor {
    pub script: String,
    /// The version that has the line.
    pub version: RunId,
    pub line: u32,
    pub before: bool,
    pub field: Field,
    pub name: LineEdit,
    pub expression: LineEdit,
    /// Of the replay that follows; empty for all.
    pub iterations: LineEdit,
    /// What came of the last try. It stays until the next one is there.
    pub draft: Option<Arc<Draft>>,
    /// Whether the draft is of what stands there now.
    pub is_tried: bool,
    /// Enter was pressed before that was known.
    wanted: bool,
    /// It is being kept.
    keeping: bool,
    /// The selected completion.
    pub offer: usize,
}

/// Where the user types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Name,
    Expression,
    Iterations,
}

impl Field {
    pub const ALL: [Self; 3] = [Self::Name, Self::Expression, Self::Iterations];

    fn beside(self, step: usize) -> Self {
        let at = Self::ALL.iter().position(|field| *field == self).unwrap_or(0);
        Self::ALL[(at + step) % Self::ALL.len()]
    }
}

/// A statement tried at its place, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it will be, and what may go wrong with it; or why it cannot be.
    pub result: Result<Vec<String>, Misfit>,
    /// The lines around it, numbered; without a number those that are new.
    pub context: Vec<(Option<u32>, String)>,
    /// The line after which it is to stand.
    pub after: u32,
    /// What can be read at the place, nearest first.
    pub readable: Vec<String>,
    pub replaces: bool,
    /// What is wrong with the iterations.
    pub iterations: Option<String>,
}

impl Editor {
    pub fn new(script: String, version: RunId, line: u32) -> Self {
        Self {
            script,
            version,
            line,
            before: false,
            field: Field::Name,
            name: LineEdit::default(),
            expression: LineEdit::default(),
            iterations: LineEdit::default(),
            draft: None,
            is_tried: false,
            wanted: false,
            keeping: false,
            offer: 0,
        }
    }

    /// The name that it will log: what was typed, or else what the expression suggests.
    pub fn log_name(&self) -> String {
        let typed = self.name.text.trim();
        if !typed.is_empty() {
            return typed.to_owned();
        }
        let words = self.expression.text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.filter(|word| !word.is_empty()).take(4).collect::<Vec<_>>().join("_")
    }

    fn written(&self) -> Written {
        Written {
            name: self.log_name(),
            expression: self.expression.text.clone(),
            script: self.script.clone(),
            version: Some(self.version.clone()),
            place: if self.before { Wish::Before(self.line) } else { Wish::After(self.line, None) },
        }
    }

    /// The name that stands before the cursor, as far as it was typed.
    fn word(&self) -> &str {
        let before = &self.expression.text[..self.expression.at];
        let start = before.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
        &before[start.map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8))..]
    }

    /// What the word before the cursor can become, best first; where there is none, what can be read at the place.
    pub fn offers(&self) -> Vec<&str> {
        if self.field == Field::Iterations {
            return Vec::new();
        }
        let (word, known) = (self.word(), self.draft.as_ref().map_or(&[][..], |draft| &draft.readable));
        if word.is_empty() {
            return known.iter().map(String::as_str).collect();
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return Vec::new();
        }
        let pattern = Pattern::parse(word, CaseMatching::Smart, Normalization::Smart);
        let (mut matcher, mut buffer) = (Matcher::new(Config::DEFAULT), Vec::new());
        let scored = known.iter().filter(|name| *name != word).filter_map(|name| {
            let score = pattern.score(Utf32Str::new(name, &mut buffer), &mut matcher)?;
            // A beginning is what most people type.
            Some(((name.starts_with(word), score), name.as_str()))
        });
        let mut found: Vec<_> = scored.collect();
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// Puts the selected completion in place of the word. Whether there was one to complete.
    fn complete(&mut self) -> bool {
        if self.field != Field::Expression {
            return false;
        }
        let word = self.word().to_owned();
        let Some(offer) = self.offers().get(self.offer).map(|offer| (*offer).to_owned()) else { return false };
        if word.is_empty() && !self.expression.text.is_empty() && self.offer == 0 {
            return false;
        }
        let at = self.expression.at - word.len();
        self.expression.text.replace_range(at..self.expression.at, &offer);
        self.expression.at = at + offer.len();
        self.offer = 0;
        true
    }

    fn input(&mut self) -> &mut LineEdit {
        match self.field {
            Field::Name => &mut self.name,
            Field::Expression => &mut self.expression,
            Field::Iterations => &mut self.iterations,
        }
    }

    fn paste(&mut self, text: &str) {
        self.input().insert(text.lines().next().unwrap_or(""));
    }

    /// Whether what is wrong is only that there is more to come.
    pub fn is_unfinished(&self) -> bool {
        let at = self.draft.as_ref().and_then(|draft| draft.result.as_ref().err()).and_then(|misfit| misfit.at);
        at.is_some_and(|at| at >= self.expression.text.trim_end().len())
    }

    /// What must be put right before it can be kept.
    pub fn problem(&self) -> Option<&str> {
        let draft = self.draft.as_ref()?;
        match &draft.result {
            Err(misfit) => Some(&misfit.what),
            Ok(_) => draft.iterations.as_deref(),
        }
    }
}

impl App {
    /// Opens the editor for a line of a run's script.
    pub(super) fn open_editor(&mut self, script: String, version: RunId, line: u32) -> Vec<Effect> {
        let editor = Editor::new(script, version, line);
        self.try_draft(editor)
    }

    /// Has the statement tried, and goes on being open.
    fn try_draft(&mut self, mut editor: Editor) -> Vec<Effect> {
        (editor.is_tried, editor.wanted, editor.keeping) = (false, false, false);
        let request = Request::Draft { written: editor.written(), iterations: editor.iterations.text.clone() };
        self.put_editor(editor);
        vec![self.ask(request)]
    }

    /// Shows the editor as it is now, under its help where that is read.
    fn put_editor(&mut self, editor: Editor) {
        match self.editor_mut() {
            Some(open) => *open = editor,
            None => self.overlay = Some(Overlay::Editor(Box::new(editor))),
        }
    }

    pub(super) fn editor_paste(&mut self, text: &str) -> Vec<Effect> {
        let Some(editor) = self.editor_mut() else { return Vec::new() };
        editor.paste(text);
        let editor = editor.clone();
        self.try_draft(editor)
    }

    pub(super) fn editor_key(&mut self, mut editor: Editor, key: KeyEvent) -> Vec<Effect> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let offers = if editor.field == Field::Expression { editor.offers().len() } else { 0 };
        match key.code {
            KeyCode::Enter if editor.field == Field::Name => editor.field = Field::Expression,
            KeyCode::Enter => return self.keep_draft(editor),
            KeyCode::Tab if editor.complete() => return self.try_draft(editor),
            KeyCode::Tab => editor.field = editor.field.beside(1),
            KeyCode::BackTab => editor.field = editor.field.beside(2),
            KeyCode::Char('n') if control && offers > 0 => editor.offer = (editor.offer + 1) % offers,
            KeyCode::Char('p') if control && offers > 0 => editor.offer = (editor.offer + offers - 1) % offers,
            KeyCode::Down if offers > 0 => editor.offer = (editor.offer + 1) % offers,
            KeyCode::Up if offers > 0 => editor.offer = (editor.offer + offers - 1) % offers,
            KeyCode::Down => editor.field = editor.field.beside(1),
            KeyCode::Up => editor.field = editor.field.beside(2),
            KeyCode::Char('b') if control => {
                editor.before = !editor.before;
                return self.try_draft(editor);
            }
            KeyCode::Char('t') if control => return self.begin_replay(),
            _ => {
                if edit(editor.input(), key) {
                    editor.offer = 0;
                    return self.try_draft(editor);
                }
            }
        }
        self.open(Overlay::Editor(Box::new(editor)))
    }

    fn keep_draft(&mut self, mut editor: Editor) -> Vec<Effect> {
        if !editor.is_tried {
            // Whether it can be kept is known in a moment.
            editor.wanted = true;
            self.put_editor(editor);
            return Vec::new();
        }
        editor.wanted = false;
        if editor.keeping {
            self.put_editor(editor);
            return Vec::new();
        }
        if editor.problem().is_some() {
            if let Some(at) = editor.draft.as_ref().and_then(|d| d.result.as_ref().err()).and_then(|misfit| misfit.at) {
                editor.field = Field::Expression;
                editor.expression.at = editor.expression.text.floor_char_boundary(at);
            }
            self.put_editor(editor);
            return Vec::new();
        }
        editor.keeping = true;
        let request = Request::Keep(editor.written());
        self.put_editor(editor);
        vec![self.ask(request)]
    }

    pub(super) fn take_draft(&mut self, draft: Arc<Draft>) -> Vec<Effect> {
        let Some(editor) = self.editor_mut() else { return Vec::new() };
        editor.draft = Some(draft);
        editor.is_tried = true;
        let editor = editor.clone();
        if editor.wanted { self.keep_draft(editor) } else { Vec::new() }
    }

    /// What was to be done was not: the editor stays open for another try.
    pub(super) fn keeping_refused(&mut self) {
        if let Some(editor) = self.editor_mut() {
            editor.keeping = false;
        }
    }

    /// The statement is kept: it is shown in every version.
    pub(super) fn take_kept(&mut self, name: String) -> Vec<Effect> {
        let mut iterations = String::new();
        if let Some(editor) = self.editor_mut() {
            iterations.clone_from(&editor.iterations.text);
            self.overlay = None;
        }
        self.replay_of(name, &iterations)
    }
}
