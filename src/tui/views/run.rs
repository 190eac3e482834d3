//! One run in detail.

use ratatui::layout::Rect;

use crate::tui::app::App;
use crate::tui::app::run::{Line, Section, skipped};
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::views::Pen;

/// Columns of the labels before what they stand for.
const LABEL: u16 = 13;
/// Columns of a bar's label, where they are long, and of the bar.
const LONGEST_LABEL: usize = 24;
const BAR: u16 = 10;

/// Draws the section shown: with a cursor where the run has the whole body, else its beginning, or the end of the output.
pub(super) fn draw(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let Some(selected) = app.timeline.selected() else { return };
    let view = &app.timeline.view;
    let mut x = area.x + 1;
    if app.zoom {
        x += pen.pieces(x, area.y, area.right() - x, &[(selected.id.as_str(), Role::Title), ("  ", Role::Dim)]);
    }
    for section in Section::ALL {
        let role = if section == view.section { Role::TabActive } else { Role::Tab };
        x += pen.put(x, area.y, area.right().saturating_sub(x), section.title(), role) + 1;
    }
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let lines = app.run_lines();
    if lines.is_empty() {
        let why = app.timeline.unread.as_ref().filter(|(run, _)| *run == selected.id);
        let Some((_, why)) = why else {
            pen.put(area.x + 1, area.y, area.width - 1, "reading …", Role::Dim);
            return;
        };
        let said = text::wrap(&text::clean(&format!("it cannot be read: {why}")), usize::from(area.width - 1));
        for (y, line) in (area.y..area.bottom()).zip(said) {
            pen.put(area.x + 1, y, area.width - 1, &line, Role::Bad);
        }
        return;
    }
    let from = match (app.zoom, view.section) {
        (true, _) => view.cursor.offset,
        (false, Section::Output) => lines.len().saturating_sub(usize::from(area.height)),
        (false, _) => 0,
    };
    let labels = label_width(&lines);
    if !app.zoom && view.section != Section::Output {
        return draw_wrapped(pen, area, &lines, labels);
    }
    for (y, (number, line)) in (area.y..area.bottom()).zip(lines.iter().enumerate().skip(from)) {
        if app.zoom && number == view.cursor.selected {
            pen.cursor(y, area.x);
        }
        let place = Rect { x: area.x + 1, y, width: area.width.saturating_sub(1), height: 1 };
        draw_line(pen, place, line, labels, if app.zoom { view.skipped } else { 0 });
        if app.zoom {
            mark_match(pen, place, line, &view.search, view.skipped);
        }
    }
}

/// Beside the list there is no scrolling sideways: what is long goes on in the next line.
fn draw_wrapped(pen: &mut Pen<'_>, area: Rect, lines: &[Line<'_>], labels: u16) {
    let mut y = area.y;
    for line in lines {
        let place = Rect { x: area.x + 1, y, width: area.width.saturating_sub(1), height: 1 };
        if y >= area.bottom() {
            return;
        }
        if let Line::Said { label, text, role } = line
            && !label.is_empty()
        {
            pen.put(place.x, y, LABEL.min(place.width), label, Role::Dim);
            let room = place.width.saturating_sub(LABEL);
            for part in text::wrap(&text::clean(text), usize::from(room)) {
                if y < area.bottom() {
                    pen.put(place.x + LABEL, y, room, &part, *role);
                }
                y += 1;
            }
        } else {
            draw_line(pen, place, line, labels, 0);
            y += 1;
        }
    }
}

fn label_width(lines: &[Line<'_>]) -> u16 {
    let label = |line: &Line<'_>| match line {
        Line::Bar { label, .. } => text::width(label).min(LONGEST_LABEL),
        Line::Said { .. } | Line::Output(_) => 0,
    };
    u16::try_from(lines.iter().map(label).max().unwrap_or(0)).unwrap_or(0)
}

fn draw_line(pen: &mut Pen<'_>, area: Rect, line: &Line<'_>, labels: u16, skip: usize) {
    let Rect { x, y, width, .. } = area;
    match line {
        Line::Said { label, text, role } => {
            let labelled = !label.is_empty() || (matches!(role, Role::Text) && !text.is_empty());
            let used = if labelled { pen.put(x, y, LABEL.min(width), label, Role::Dim).max(LABEL) } else { 0 };
            let safe = text::clean(text);
            pen.put(x + used, y, width.saturating_sub(used), text::skip_columns(&safe, skip), *role);
        }
        Line::Output(painted) => {
            let (mut used, mut skip) = (0, skip);
            for (piece, style) in painted.pieces() {
                let rest = skipped(piece, &mut skip);
                if used < width {
                    let style = pen.look.theme.reduced(style);
                    used += pen.put_styled(x + used, y, width - used, rest, style);
                }
            }
        }
        Line::Bar { label, part, whole, text } => {
            let labels = labels.min(width / 3);
            pen.put(x, y, labels, label, Role::Dim);
            let bar = if width < 4 * BAR { BAR / 2 } else { BAR };
            pen.bar(x + labels + 1, y, bar.min(width.saturating_sub(labels + 1)), *part, *whole);
            let used = labels + bar + 2;
            pen.put(x + used, y, width.saturating_sub(used), text, Role::Text);
        }
    }
}

/// Shows where in an output's line the word searched for stands.
fn mark_match(pen: &mut Pen<'_>, area: Rect, line: &Line<'_>, search: &str, skip: usize) {
    let (Line::Output(painted), false) = (line, search.is_empty()) else { return };
    // Where lower case has other lengths, the place is not known.
    let lower = painted.text.to_lowercase();
    let Some(at) = lower.find(&search.to_lowercase()).filter(|_| lower.len() == painted.text.len()) else { return };
    let (Some(before), Some(word)) = (painted.text.get(..at), painted.text.get(at..at + search.len())) else { return };
    let column = text::width(before).checked_sub(skip).and_then(|column| u16::try_from(column).ok());
    if let Some(column) = column.filter(|column| *column < area.width) {
        let width = u16::try_from(text::width(word)).unwrap_or(0).min(area.width - column);
        pen.tint(Rect { x: area.x + column, width, ..area }, Role::Match);
    }
}
