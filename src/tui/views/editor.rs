//! The probe editor, and a placement that is being corrected.

use ratatui::layout::Rect;

use crate::tui::app::App;
use crate::tui::app::editor::{Draft, Editor, Field, OFFERED};
use crate::tui::app::placement::Explained;
use crate::tui::text;
use crate::tui::theme::{Glyphs, Role};
use crate::tui::views::Pen;
use crate::tui::views::overlay::{Lines, frame, line_edit};
use crate::tui::views::replay::placement_lines;

/// Columns of the fields' names.
const LABEL: u16 = 12;

pub(super) fn draw(app: &App, editor: &Editor, pen: &mut Pen<'_>) {
    let side = if editor.before { "before" } else { "after" };
    let title = match editor.rewritten {
        Some(_) => format!("what {} logs in {} and where the same code is around it", editor.name.text, editor.version),
        None => format!("log statement {side} line {} of {} in {}", editor.line, editor.script, editor.version),
    };
    let context = context_of(editor, pen.glyphs());
    let area = frame(app, pen, &title, 5 + OFFERED + context.len());
    let mut y = area.y;
    for field in editor.fields().iter().copied() {
        let (label, input, empty) = match (field, &editor.rewritten) {
            (Field::Name, _) => ("name", &editor.name, editor.log_name()),
            (Field::Expression, _) => ("expression", &editor.expression, String::new()),
            (Field::Place, Some(rewritten)) => {
                let label = if editor.before { "before line" } else { "after line" };
                (label, &rewritten.place, String::new())
            }
            (Field::Iterations | Field::Place, _) => {
                ("iterations", &editor.iterations, "all (or last, 0,4, epoch=2..5)".to_owned())
            }
        };
        let role = if field == editor.field { Role::Key } else { Role::Dim };
        pen.put(area.x, y, LABEL, label, role);
        let line = Rect { x: area.x + LABEL, y, width: area.width.saturating_sub(LABEL), height: 1 };
        if field == editor.field {
            line_edit(pen, line, input);
        } else if input.text.is_empty() {
            pen.put(line.x, y, line.width, &empty, Role::Dim);
        } else {
            pen.put(line.x, y, line.width, &input.text, Role::Text);
        }
        y += 1;
    }
    let rest = Rect { y, height: area.bottom().saturating_sub(y), ..area };
    // On a small screen, what is wrong and the place matter more than what could be typed.
    let needed = 1 + u16::try_from(context.len()).unwrap_or(rest.height);
    let room = rest.height.saturating_sub(needed).min(u16::try_from(OFFERED).unwrap_or(0));
    offers(editor, pen, Rect { height: room, ..rest });
    let mut y = rest.y + room;
    if y < area.bottom() {
        status(editor, pen, Rect { y, height: 1, ..area });
        y += 1;
    }
    // The lines nearest to the statement, where not all have room.
    let height = usize::from(area.bottom().saturating_sub(y));
    let own = context.iter().position(|(_, role)| *role == Role::Statement).unwrap_or(context.len() / 2);
    let first = own.saturating_sub(height / 2).min(context.len().saturating_sub(height));
    for (y, (line, role)) in (y..area.bottom()).zip(&context[first..]) {
        pen.put(area.x, y, area.width, line, *role);
    }
}

/// The lines around it; a mark where it will be, as long as it is none.
fn context_of(editor: &Editor, glyphs: &Glyphs) -> Lines {
    let Some(draft) = &editor.draft else { return Vec::new() };
    let mut lines = numbered(&draft.context, glyphs);
    if draft.result.is_err() && !lines.is_empty() {
        let before = draft.context.iter().take_while(|(number, _)| number.is_some_and(|number| number <= draft.after));
        lines.insert(before.count(), (format!("     {} {}", glyphs.statement, glyphs.ellipsis), Role::Statement));
    }
    lines
}

/// What can be typed, the selected one marked. Its rows stay when there is nothing: the lines below would jump.
fn offers(editor: &Editor, pen: &mut Pen<'_>, area: Rect) {
    let offers = editor.offers();
    let height = usize::from(area.height);
    let first = (editor.offer + 1).saturating_sub(height);
    for (y, (at, offer)) in (area.y..area.bottom()).zip(offers.iter().enumerate().skip(first)) {
        let selected = at == editor.offer && editor.field == Field::Expression;
        let role = if selected { Role::Selected } else { Role::Dim };
        pen.put(area.x + LABEL, y, area.width.saturating_sub(LABEL), offer, role);
    }
}

fn status(editor: &Editor, pen: &mut Pen<'_>, line: Rect) {
    let glyphs = *pen.glyphs();
    let typed = !editor.expression.text.trim().is_empty();
    let (glyph, said, role) = match editor.draft.as_deref() {
        None => (glyphs.pending, "reading the version".to_owned(), Role::Dim),
        Some(_) if !typed => {
            (" ", "what shall be logged? any expression of names that have a value here".into(), Role::Dim)
        }
        Some(draft) => match editor.problem() {
            Some(problem) if editor.is_unfinished() => (glyphs.pending, problem.to_owned(), Role::Dim),
            Some(problem) => (glyphs.failed, problem.to_owned(), Role::Bad),
            None => stands(editor, draft, &glyphs),
        },
    };
    pen.pieces(line.x, line.y, line.width, &[(glyph, role), (" ", role), (&said, role)]);
}

fn stands(editor: &Editor, draft: &Draft, glyphs: &Glyphs) -> (&'static str, String, Role) {
    let doubts = draft.result.as_deref().unwrap_or_default();
    if draft.replaces {
        return (glyphs.uncertain, format!("replaces the probe {} that there is", editor.log_name()), Role::Warning);
    }
    match doubts {
        [] => {
            (glyphs.finished, "everything it reads has a value here; no file of yours changes".to_owned(), Role::Good)
        }
        _ => (glyphs.uncertain, doubts.join("; "), Role::Warning),
    }
}

/// Lines of a version with their numbers; those of a statement with its sign.
fn numbered(context: &[(Option<u32>, String)], glyphs: &Glyphs) -> Lines {
    let line = |(number, line): &(Option<u32>, String)| {
        let line = text::clean(line);
        match number {
            Some(number) => (format!("{number:>4}   {line}"), Role::Text),
            None => (format!("     {} {line}", glyphs.statement), Role::Statement),
        }
    };
    context.iter().map(line).collect()
}

/// A placement in words, with the lines around it.
pub(super) fn placement(explained: &Explained, glyphs: &Glyphs) -> Lines {
    let mut lines = numbered(&explained.context, glyphs);
    if explained.waiting {
        lines.push(("trying …".to_owned(), Role::Running));
    }
    lines.extend(placement_lines(&explained.placement));
    lines
}
