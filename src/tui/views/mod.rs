//! Drawing: the state in, cells out. Nothing here changes the state, reads a file or asks the time.

pub mod diff;
pub mod editor;
pub mod heat;
pub mod overlay;
pub mod plot;
pub mod replay;
pub mod results;
pub mod run;
pub mod timeline;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::app::overlay::Overlay;
use crate::tui::app::{App, Notice, Panel, Place, tab_columns};
use crate::tui::keys::{self, Command};
use crate::tui::text;
use crate::tui::theme::{Glyphs, Role, Theme};

/// How everything looks.
#[derive(Debug, Clone)]
pub struct Look {
    pub theme: Theme,
    pub glyphs: Glyphs,
}

/// Writes into the cells. All text goes through here: it is made safe and never leaves its place.
pub struct Pen<'a> {
    buffer: &'a mut Buffer,
    pub look: &'a Look,
}

impl Pen<'_> {
    pub fn glyphs(&self) -> &Glyphs {
        &self.look.glyphs
    }

    /// Writes text into at most `width` columns; returns the columns used.
    pub fn put(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) -> u16 {
        self.put_styled(x, y, width, text, self.look.theme.style(role))
    }

    pub fn put_styled(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if x >= area.right() || y >= area.bottom() {
            return 0;
        }
        let width = width.min(area.right() - x);
        let safe = text::clean(text);
        let fitted = text::fit(&safe, usize::from(width), self.look.glyphs.ellipsis);
        let (end, _) = self.buffer.set_stringn(x, y, &fitted, usize::from(width), style);
        end - x
    }

    /// Writes text so that it ends at the right edge of its place.
    pub fn right(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) {
        self.right_styled(x, y, width, text, self.look.theme.style(role));
    }

    pub fn right_styled(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let columns = u16::try_from(text::width(&text::clean(text))).unwrap_or(u16::MAX).min(width);
        self.put_styled(x + width - columns, y, columns, text, style);
    }

    /// Writes pieces one after the other; returns the columns used.
    pub fn pieces(&mut self, x: u16, y: u16, width: u16, pieces: &[(&str, Role)]) -> u16 {
        let mut used = 0;
        for (text, role) in pieces {
            if used >= width {
                break;
            }
            used += self.put(x + used, y, width - used, text, *role);
        }
        used
    }

    /// Lays a role's style over a place without changing its text.
    pub fn tint(&mut self, area: Rect, role: Role) {
        self.shade(area, self.look.theme.style(role));
    }

    pub fn shade(&mut self, area: Rect, style: Style) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, style);
    }

    /// Empties a place.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// A horizontal line.
    pub fn rule(&mut self, x: u16, y: u16, width: u16) {
        let line = self.look.glyphs.rule.repeat(usize::from(width));
        self.put(x, y, width, &line, Role::Rule);
    }

    /// The mark of the selected row, in the first column.
    pub fn cursor(&mut self, y: u16, x: u16) {
        let glyph = self.look.glyphs.cursor;
        self.put(x, y, 1, glyph, Role::Accent);
    }

    /// `count` of `total` as a bar of `width` columns.
    pub fn bar(&mut self, x: u16, y: u16, width: u16, count: u64, total: u64) {
        let full = u64::from(width) * count.min(total) / total.max(1);
        let full = u16::try_from(full).unwrap_or(width);
        let glyphs = self.look.glyphs;
        let rest = glyphs.rest.repeat(usize::from(width - full));
        self.put(x, y, full, &glyphs.full.repeat(usize::from(full)), Role::Running);
        self.put(x + full, y, width - full, &rest, Role::Dim);
    }
}

/// Draws everything.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer) {
    let mut pen = Pen { buffer, look };
    let Some(areas) = app.areas() else {
        let (width, height) = app.size;
        let message = "enlarge terminal";
        let columns = u16::try_from(message.len()).unwrap_or(0);
        pen.put(width.saturating_sub(columns) / 2, height / 2, width, message, Role::Warning);
        return;
    };
    tabs(app, &mut pen, areas.tabs);
    if app.place == Place::Nothing || (app.surveyed && app.timeline.runs.is_empty()) {
        first_start(app, &mut pen, areas.main);
    } else {
        match app.panel {
            Panel::Timeline => timeline::draw(app, &mut pen, areas),
            Panel::Diff => diff::draw(app, &mut pen, areas),
            Panel::Results => results::draw(app, &mut pen, areas),
            Panel::Replay => replay::draw(app, &mut pen, areas),
        }
        if let Some(detail) = areas.detail.filter(|detail| detail.x > 0) {
            for y in detail.top()..detail.bottom() {
                pen.put(detail.x - 1, y, 1, look.glyphs.bar, Role::Rule);
            }
        }
    }
    footer(app, &mut pen, areas.footer);
    if let Some(overlay) = &app.overlay {
        overlay::draw(app, overlay, &mut pen);
    }
}

fn tabs(app: &App, pen: &mut Pen<'_>, line: Rect) {
    let mut end = 0;
    for (number, (panel, x, width)) in (1_u8..).zip(tab_columns()) {
        let role = if panel == app.panel { Role::TabActive } else { Role::Tab };
        pen.put(x, line.y, width, &format!("{number} {}", panel.title()), role);
        end = x + width;
    }
    let mut right = String::new();
    let running = app.timeline.running();
    if running > 0 {
        right.push_str(&format!("{} {running} running  ", pen.glyphs().running));
    }
    if app.replay.active() > 0 {
        right.push_str(&format!("{} replaying  ", pen.glyphs().running));
    }
    if let Place::Project(name) = &app.place {
        right.push_str(name);
    }
    let room = line.width.saturating_sub(end + 3);
    let role = if running + app.replay.active() > 0 { Role::Running } else { Role::Dim };
    pen.right(end + 2, line.y, room, &right, role);
}

/// What to type when there is nothing to show, or why nothing can be shown.
fn first_start(app: &App, pen: &mut Pen<'_>, area: Rect) {
    if let Some(trouble) = &app.trouble {
        let columns = area.width.saturating_sub(2);
        pen.put(area.x + 1, area.y + 1, columns, "The runs recorded here cannot be read.", Role::Bad);
        let lines = text::wrap(&text::clean(trouble), usize::from(columns));
        for (y, line) in (area.y + 2..area.bottom()).zip(lines) {
            pen.put(area.x + 1, y, columns, &line, Role::Text);
        }
        return;
    }
    let lines = [
        ("No runs are recorded here yet.", Role::Title),
        ("  afterlog run train.py lr=0.01   records a run of your training script", Role::Text),
        ("  afterlog                        shows it; add a log statement, press r", Role::Text),
        ("  afterlog demo                   makes a small project to try it on", Role::Text),
    ];
    for (y, (text, role)) in (area.y + 1..area.bottom()).zip(lines) {
        pen.put(area.x + 1, y, area.width.saturating_sub(2), text, role);
    }
    if let Place::Project(_) = app.place {
        // A recorded project whose runs were all taken away, or cannot be read: the notice below says why.
        pen.rule(area.x + 1, area.y, area.width.saturating_sub(2));
    }
}

/// The prompt, a message, or the keys that matter here.
fn footer(app: &App, pen: &mut Pen<'_>, line: Rect) {
    let (x, y, width) = (line.x, line.y, line.width);
    if let Some(Overlay::Prompt { purpose, input }) = &app.overlay {
        let used = pen.put(x, y, width, purpose.label(), Role::Key);
        overlay::line_edit(pen, Rect { x: x + used, y, width: width.saturating_sub(used), height: 1 }, input);
        // A complaint about what was typed goes above the line.
        if let Some(notice) = &app.notice {
            tell(notice, pen, Rect { y: y - 1, ..line });
        }
        return;
    }
    if let Some(notice) = &app.notice {
        tell(notice, pen, line);
        return;
    }
    if let Some(said) = app.progress().filter(|_| app.overlay.is_none()) {
        pen.put(x + 1, y, width - 1, &format!("{said} {}  Esc stops it", pen.glyphs().ellipsis), Role::Running);
        return;
    }
    if app.place == Place::Nothing {
        hints(pen, line, [("q", "quit")].into_iter());
        return;
    }
    if let Some(overlay) = &app.overlay {
        let (_, own, _) = overlay.about();
        let help = if overlay.takes_text() { "F1" } else { "?" };
        let help = (!matches!(overlay, Overlay::Help { .. })).then_some((help, "help"));
        let (others, close): (Vec<_>, Vec<_>) = own.iter().copied().partition(|(key, _)| *key != "Esc");
        offer(pen, line, others, help.into_iter().chain(close).collect());
        return;
    }
    let own = keys::bindings(app.context()).filter(|binding| app.offers(binding.command));
    let hint = |binding: &'static keys::Binding| {
        let (key, word) = app.keys.hint(binding)?;
        let word = match binding.command {
            Command::Open if app.panel == Panel::Replay => app.next_step(),
            Command::Leave => app.way_out(),
            _ => word,
        };
        Some((binding.command, (key, word)))
    };
    // Help and the way out are always there; the rest as far as there is room.
    let (always, others): (Vec<_>, Vec<_>) =
        own.filter_map(hint).partition(|(command, _)| matches!(command, Command::Help | Command::Leave));
    let others = others.into_iter().map(|(_, hint)| hint).collect();
    offer(pen, line, others, always.into_iter().map(|(_, hint)| hint).collect());
}

/// A message whose last line is this one; a long one takes further lines above it.
fn tell(notice: &Notice, pen: &mut Pen<'_>, line: Rect) {
    let role = if notice.is_error { Role::Bad } else { Role::Good };
    let columns = line.width.saturating_sub(1);
    let mut lines = text::wrap(&text::clean(&notice.text), usize::from(columns));
    let most = usize::from(line.y / 2).max(1);
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            last.push_str(pen.glyphs().ellipsis);
        }
    }
    let above = u16::try_from(lines.len()).unwrap_or(1).saturating_sub(1);
    for (y, text) in (line.y.saturating_sub(above)..=line.y).zip(lines) {
        pen.clear(Rect { y, height: 1, ..line });
        pen.put(line.x + 1, y, columns, &text, role);
    }
}

/// A key with a word.
type Hint<'h> = (&'h str, &'h str);

/// As many hints as there is room for, those at the end always.
fn offer(pen: &mut Pen<'_>, line: Rect, others: Vec<Hint<'_>>, always: Vec<Hint<'_>>) {
    let kept: u16 = always.iter().map(|(key, what)| columns(key, what)).sum();
    let room = line.width.saturating_sub(kept + 1);
    let fitting = others.into_iter().scan(0, |end, hint| {
        *end += columns(hint.0, hint.1);
        (*end <= room).then_some(hint)
    });
    hints(pen, line, fitting.collect::<Vec<_>>().into_iter().chain(always));
}

/// Columns that a key and its word take, with the space after them.
fn columns(key: &str, what: &str) -> u16 {
    u16::try_from(text::width(key) + text::width(what) + 3).unwrap_or(u16::MAX)
}

/// Keys with a word each, as many as there is room for.
fn hints<'h>(pen: &mut Pen<'_>, line: Rect, hints: impl Iterator<Item = (&'h str, &'h str)>) {
    let mut at = line.x + 1;
    for (key, what) in hints {
        let needed = columns(key, what).saturating_sub(2);
        if at + needed > line.right() {
            break;
        }
        at += pen.pieces(at, line.y, needed, &[(key, Role::Key), (" ", Role::Dim), (what, Role::Dim)]) + 2;
    }
}

#[cfg(test)]
mod tests;
