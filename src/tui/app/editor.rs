//! The probe editor: a log statement written for a line of a version, or rewritten for one version, tried at every key,
//! kept without touching a file.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use crate::analysis::propagate::{Misfit, Wish};
use crate::analysis::python::logged_expression;
use crate::base::ids::RunId;
use crate::engine::propagate::Written;
use crate::model::probe::{PlacementStatus, Spot};
use crate::tui::app::list::LineEdit;
use crate::tui::app::overlay::{Overlay, edit};
use crate::tui::app::placement::Explained;
use crate::tui::app::{App, Panel};
use crate::tui::event::{Choice, Correction, Effect, Request};

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
    /// What is rewritten for this version and all with the same code around it; `None`: a new statement for all.
    pub rewritten: Option<Rewritten>,
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

/// A statement that is there already.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewritten {
    /// Which of the statements that log the name, from 0.
    pub statement: usize,
    /// Where it stands, if it does.
    spot: Option<Spot>,
    /// The line after which it is to stand, as typed.
    pub place: LineEdit,
}

/// Where the user types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Name,
    Expression,
    Iterations,
    /// After which line a statement is to stand that is rewritten.
    Place,
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
            rewritten: None,
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

    /// For a placement that is corrected in its version.
    fn rewriting(script: String, explained: &Explained) -> Self {
        let placement = &explained.placement;
        let spot = || Some(Spot { after_line: placement.after_line?, column: placement.column? });
        let spot = if placement.status.is_placed() { spot() } else { None };
        // Where it stands nowhere, what is likely to be near: another place, or its line in the newest version.
        let other = placement.alternatives.first().map(|other| other.after_line);
        let near = placement.after_line.or(other).unwrap_or(placement.source_line.saturating_sub(1));
        let place = LineEdit::with(&near.to_string());
        let logged = logged_expression(&placement.text, &placement.name).unwrap_or_default();
        Self {
            rewritten: Some(Rewritten { statement: explained.statement, spot, place }),
            field: Field::Expression,
            name: LineEdit::with(&placement.name),
            expression: LineEdit::with(&logged),
            ..Self::new(script, explained.run.clone(), near)
        }
    }

    /// What can be typed, in its order on the screen.
    pub fn fields(&self) -> &'static [Field] {
        match self.rewritten {
            None => &[Field::Name, Field::Expression, Field::Iterations],
            Some(_) => &[Field::Expression, Field::Place],
        }
    }

    fn go(&mut self, step: usize) {
        let fields = self.fields();
        let at = fields.iter().position(|field| *field == self.field).unwrap_or(0);
        self.field = fields[(at + step) % fields.len()];
    }

    /// A line further down or up: the lines of the version pass by.
    fn step(&mut self, down: bool) {
        let Some(rewritten) = &mut self.rewritten else { return };
        let line: u32 = rewritten.place.text.trim().parse().unwrap_or(0);
        let line = if down { line.saturating_add(1) } else { line.saturating_sub(1) };
        rewritten.place = LineEdit::with(&line.to_string());
    }

    /// The decision that it stands for, if it is one about a version.
    pub(super) fn correction(&self) -> Option<Correction> {
        let rewritten = self.rewritten.as_ref()?;
        let line: Option<u32> = rewritten.place.text.trim().parse().ok();
        // Of several blocks that end on a line it stays in the one that it stands in.
        let column = rewritten.spot.filter(|spot| Some(spot.after_line) == line).map(|spot| spot.column);
        let place = line.map(|line| if self.before { Wish::Before(line) } else { Wish::After(line, column) });
        Some(Correction {
            run: self.version.clone(),
            name: self.name.text.clone(),
            statement: rewritten.statement,
            choice: Choice::Rewrite { expression: self.expression.text.clone(), place },
        })
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
        if matches!(self.field, Field::Iterations | Field::Place) {
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
            Field::Place => self.rewritten.as_mut().map_or(&mut self.iterations, |rewritten| &mut rewritten.place),
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

    /// Opens the editor for what a statement logs in one version.
    pub(super) fn open_rewriting(&mut self, explained: Explained) -> Vec<Effect> {
        if explained.placement.status == PlacementStatus::AlreadyThere {
            self.complain("this run logged it itself: there is nothing to write");
            return self.open(Overlay::Placement(Box::new(explained)));
        }
        let Some(run) = self.timeline.runs.iter().find(|run| run.id == explained.run) else {
            self.complain("the run is gone");
            return Vec::new();
        };
        let editor = Editor::rewriting(run.script.clone(), &explained);
        self.try_draft(editor)
    }

    /// Has the statement tried, and goes on being open.
    fn try_draft(&mut self, mut editor: Editor) -> Vec<Effect> {
        (editor.is_tried, editor.wanted, editor.keeping) = (false, false, false);
        let request = match editor.correction() {
            Some(correction) => Request::Redraft { correction, script: editor.script.clone() },
            None => Request::Draft { written: editor.written(), iterations: editor.iterations.text.clone() },
        };
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
            KeyCode::Tab => editor.go(1),
            KeyCode::BackTab => editor.go(editor.fields().len() - 1),
            KeyCode::Char('n') if control && offers > 0 => editor.offer = (editor.offer + 1) % offers,
            KeyCode::Char('p') if control && offers > 0 => editor.offer = (editor.offer + offers - 1) % offers,
            KeyCode::Down if offers > 0 => editor.offer = (editor.offer + 1) % offers,
            KeyCode::Up if offers > 0 => editor.offer = (editor.offer + offers - 1) % offers,
            KeyCode::Down | KeyCode::Up if editor.field == Field::Place => {
                editor.step(key.code == KeyCode::Down);
                return self.try_draft(editor);
            }
            KeyCode::Down => editor.go(1),
            KeyCode::Up => editor.go(editor.fields().len() - 1),
            KeyCode::Char('b') if control => {
                editor.before = !editor.before;
                return self.try_draft(editor);
            }
            KeyCode::Char('t') if control && editor.rewritten.is_none() => return self.begin_replay(),
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
            if !self.is_trying() {
                let effects = self.try_draft(editor);
                self.editor_mut().into_iter().for_each(|editor| editor.wanted = true);
                return effects;
            }
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
        let request = match editor.correction() {
            Some(correction) => Request::Correct(correction),
            None => Request::Keep(editor.written()),
        };
        self.put_editor(editor);
        vec![self.ask(request)]
    }

    /// What is written could not be tried: it is not kept either, and Enter tries it once more.
    pub(super) fn draft_refused(&mut self) {
        if let Some(editor) = self.editor_mut() {
            editor.wanted = false;
        }
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

    /// The statement is kept: it is shown in every version. What is being written meanwhile, be it another one or more of
    /// the same, stays open where it is.
    pub(super) fn take_kept(&mut self, kept: &Written) -> Vec<Effect> {
        let mut iterations = String::new();
        match self.editor_mut() {
            Some(editor) if editor.rewritten.is_none() && editor.written() == *kept => {
                iterations.clone_from(&editor.iterations.text);
                self.overlay = None;
            }
            Some(_) => {
                self.say(format!("{} is kept", kept.name));
                return if self.panel == Panel::Diff { self.ask_diff_again() } else { Vec::new() };
            }
            None => {}
        }
        self.replay_of(kept.name.clone(), &iterations)
    }
}
