//! What lies over a panel, in a box of its own.

use ratatui::layout::Rect;

use crate::analysis::compare::Comparison;
use crate::model::grid::Cell;
use crate::tui::app::App;
use crate::tui::app::list::{Cursor, LineEdit};
use crate::tui::app::overlay::{Overlay, matching};
use crate::tui::app::table::{Column, Statistics, text as cell_text, title};
use crate::tui::keymap::Keymap;
use crate::tui::keys::{self, Binding, Context};
use crate::tui::text;
use crate::tui::theme::{Glyphs, Role};
use crate::tui::views::timeline::{short, short_float};
use crate::tui::views::{Pen, editor};

/// Columns of a box's text: longer lines are hard to read.
const WIDEST: u16 = 90;

/// Columns beside a box in which nothing can be read.
const NARROW: u16 = 8;

/// Bytes of a value that are laid out to be read, and of one among the frequent ones: a key is answered within a frame.
const MOST_READ: usize = 64 << 10;
const MOST_FREQUENT: usize = 1 << 10;

/// Columns of the longest bar beside a frequent value.
const FREQUENCY: usize = 12;

pub(super) type Lines = Vec<(String, Role)>;

pub(super) fn draw(app: &App, overlay: &Overlay, pen: &mut Pen<'_>) {
    match overlay {
        // Drawn in the footer, so that the list stays visible.
        Overlay::Prompt { .. } => {}
        Overlay::Palette { input, cursor } => {
            let found = matching(app.context(), &input.text);
            let area = frame(app, pen, "commands", usize::MAX);
            line_edit(pen, Rect { height: 1, ..area }, input);
            let rows = found.iter().enumerate().skip(cursor.offset);
            for (y, (position, binding)) in (area.y + 1..area.bottom()).zip(rows) {
                let role = if position == cursor.selected { Role::Selected } else { Role::Text };
                pen.put(area.x, y, area.width, &key_line(&app.keys, binding), role);
            }
        }
        Overlay::Editor(editor) => editor::draw(app, editor, pen),
        Overlay::Help { .. }
        | Overlay::Placement(_)
        | Overlay::Cell { .. }
        | Overlay::Statistics { .. }
        | Overlay::ConfirmCancel { .. } => {
            let glyphs = *pen.glyphs();
            if let Some(read) = read(app, overlay, &glyphs) {
                lines(app, pen, &read.title, read.lines, read.offset);
            }
        }
        Overlay::Partings { comparison, cursor } => partings(app, pen, comparison, *cursor),
        Overlay::Columns { cursor } => {
            let area = frame(app, pen, "columns: Space shows or hides", app.results.all_names.len());
            let rows = app.results.all_names.iter().enumerate().skip(cursor.offset);
            for (y, (position, name)) in (area.y..area.bottom()).zip(rows) {
                let chosen = app.results.chosen.as_ref().is_none_or(|chosen| chosen.contains(name));
                let sign = if chosen && !app.results.hidden.contains(name) { "[x] " } else { "[ ] " };
                let role = if position == cursor.selected { Role::Selected } else { Role::Text };
                pen.pieces(area.x, y, area.width, &[(sign, Role::Key), (name, role)]);
            }
        }
        Overlay::Metrics { names, cursor } => {
            let area = frame(app, pen, "value in the list: Enter shows it", names.len());
            for (y, (position, name)) in (area.y..area.bottom()).zip(names.iter().enumerate().skip(cursor.offset)) {
                let role = if position == cursor.selected { Role::Selected } else { Role::Text };
                pen.put(area.x, y, area.width, name, role);
            }
        }
        Overlay::Jobs { cursor } => {
            let area = frame(app, pen, "replays: Enter shows one", app.replay.jobs.len());
            let rows = app.replay.jobs.iter().rev().enumerate().skip(cursor.offset);
            for (y, (position, job)) in (area.y..area.bottom()).zip(rows) {
                let done = job.segments.iter().filter(|s| s.state.word() == "done").count();
                let state = if job.active { "running" } else { "over" };
                let role = if position == cursor.selected { Role::Selected } else { Role::Text };
                let rest = format!("  {state:<8} {done}/{} done  {}", job.segments.len(), job.names.join(", "));
                pen.pieces(area.x, y, area.width, &[(job.id.as_str(), role), (&rest, Role::Text)]);
            }
        }
    }
}

/// An overlay that is read from its first line to its last.
struct Read {
    title: String,
    lines: Lines,
    offset: usize,
}

fn read(app: &App, overlay: &Overlay, glyphs: &Glyphs) -> Option<Read> {
    let (title, lines, offset) = match overlay {
        Overlay::Help { offset, over: Some(over) } => {
            let (title, own, more) = over.about();
            let key = |(keys, what): &(&str, &str)| (format!("{keys:<16} {what}"), Role::Text);
            let general = [("? F1", "this help"), ("Esc", "close")];
            let rest = own.iter().filter(|(keys, _)| *keys != "Esc" && !more.iter().any(|(k, _)| k == keys));
            (format!("keys in {title}"), rest.chain(more).chain(&general).map(key).collect(), *offset)
        }
        Overlay::Help { offset, over: None } => {
            let own = keys::bindings(app.context()).map(|b| (key_line(&app.keys, b), Role::Text));
            let place = if app.context() == Context::Run { "a run" } else { app.panel.title() };
            (format!("keys in {place}"), own.collect(), *offset)
        }
        Overlay::Placement(explained) => {
            let title = format!("{} in {}", explained.placement.name, explained.run);
            (title, editor::placement(explained, glyphs), explained.offset)
        }
        Overlay::Cell { offset } => ("value".to_owned(), cell_lines(app, glyphs), *offset),
        Overlay::Statistics { statistics, offset } => {
            (statistics.title.clone(), statistics_lines(statistics, glyphs), *offset)
        }
        Overlay::ConfirmCancel { job } => {
            let said = vec![
                (format!("Cancel replay {job}?"), Role::Title),
                ("What is finished stays. y cancels it, any other key does not.".to_owned(), Role::Text),
            ];
            ("cancel".to_owned(), said, 0)
        }
        _ => return None,
    };
    Some(Read { title, lines, offset })
}

/// The first line of an overlay's text at most: beyond it, scrolling back would begin with keys that do nothing.
pub fn last_offset(app: &App, overlay: &Overlay) -> usize {
    // Signs are as wide in every set.
    let read = read(app, overlay, &crate::tui::theme::UNICODE);
    let height = usize::from(app.size.1).saturating_sub(4);
    read.map_or(0, |read| wrapped(app, read.lines).len().saturating_sub(height))
}

/// Where two runs part: a line a name.
fn partings(app: &App, pen: &mut Pen<'_>, comparison: &Comparison, cursor: Cursor) {
    let title = "where two runs part: Enter shows them side by side, t tolerance";
    let area = frame(app, pen, title, comparison.columns.len().max(1) + 1);
    let [a, b] = &comparison.runs;
    let beyond = comparison.tolerance.map_or(String::new(), |tolerance| format!("   beyond {tolerance:e}"));
    pen.put(area.x, area.y, area.width, &format!("A {a}   B {b}{beyond}"), Role::Dim);
    if comparison.columns.is_empty() {
        pen.put(area.x, area.y + 1, area.width, "they have no value at the same position", Role::Warning);
    }
    let different = pen.glyphs().diverged;
    let rows = comparison.columns.iter().enumerate().skip(cursor.offset);
    for (y, (at, column)) in (area.y + 1..area.bottom()).zip(rows) {
        let role = if at == cursor.selected { Role::Selected } else { Role::Text };
        let name = format!("{:<14}", text::fit(&text::clean(&column.name), 14, pen.glyphs().ellipsis));
        let parting = column.decisive(comparison.tolerance.is_some());
        let rest = match parting {
            None => format!("  the same in {} values", column.common),
            Some(p) => {
                let position = if p.position.is_empty() { "outside loops" } else { &p.position };
                let [x, y] = [0, 1].map(|side| short(&p.values[side]));
                format!("  {position:<18}  {x} {different} {y}   {} of {} differ", column.differing, column.common)
            }
        };
        let rest_role = if parting.is_some() { Role::Text } else { Role::Dim };
        pen.pieces(area.x, y, area.width, &[(&name, role), (&rest, rest_role)]);
    }
}

fn key_line(keymap: &Keymap, binding: &Binding) -> String {
    format!("{:<16} {}", keymap.keys(binding).join(" "), binding.what)
}

/// Where the rows of a list to choose from are drawn, if it is one.
pub fn list_area(app: &App, overlay: &Overlay) -> Option<Rect> {
    let (lines, header) = match overlay {
        Overlay::Palette { .. } => (usize::MAX, 1),
        Overlay::Partings { comparison, .. } => (comparison.columns.len().max(1) + 1, 1),
        Overlay::Columns { .. } => (app.results.all_names.len(), 0),
        Overlay::Metrics { names, .. } => (names.len(), 0),
        Overlay::Jobs { .. } => (app.replay.jobs.len(), 0),
        _ => return None,
    };
    let area = inside(boxed(app, lines));
    Some(Rect { y: area.y + header, height: area.height.saturating_sub(header), ..area })
}

/// Where a box for so many lines stands.
fn boxed(app: &App, lines: usize) -> Rect {
    let (width, height) = app.size;
    let inner_width = width.saturating_sub(6).min(WIDEST);
    Rect {
        x: (width.saturating_sub(inner_width + 4)) / 2,
        y: 1,
        width: inner_width + 4,
        height: u16::try_from(lines.saturating_add(2)).unwrap_or(u16::MAX).min(height.saturating_sub(2)),
    }
}

/// What of a box its text has.
fn inside(area: Rect) -> Rect {
    Rect { x: area.x + 2, y: area.y + 1, width: area.width - 4, height: area.height.saturating_sub(2) }
}

/// A box with a title, for so many lines as far as there is room; gives what is inside.
pub(super) fn frame(app: &App, pen: &mut Pen<'_>, title: &str, lines: usize) -> Rect {
    let width = app.size.0;
    let area = boxed(app, lines);
    // With a margin: what lies beneath would seem to go on beside the box, and of what is cut off nobody can make anything.
    let margin = if area.x <= NARROW { area.x } else { 1 };
    pen.clear(Rect { x: area.x.saturating_sub(margin), width: area.width + 2 * margin + width % 2, ..area });
    pen.rule(area.x, area.y, area.width);
    pen.put(area.x + 2, area.y, area.width.saturating_sub(4), &format!(" {title} "), Role::TabActive);
    pen.rule(area.x, area.bottom() - 1, area.width);
    let bar = pen.look.glyphs.bar;
    for y in area.y + 1..area.bottom() - 1 {
        pen.put(area.x, y, 1, bar, Role::Rule);
        pen.put(area.right() - 1, y, 1, bar, Role::Rule);
    }
    inside(area)
}

/// The beginning of a text, and what to say of the rest.
fn cut<'t>(text: &'t str, most: usize, glyphs: &Glyphs) -> (&'t str, Option<String>) {
    let shown = text::cut_bytes(text, most);
    let rest = text.len() - shown.len();
    (shown, (rest > 0).then(|| format!("{} {rest} more bytes", glyphs.ellipsis)))
}

fn wrapped(app: &App, lines: Lines) -> Lines {
    let columns = usize::from(app.size.0.saturating_sub(6).min(WIDEST));
    let wrap = |(line, role): (String, Role)| text::wrap(&line, columns).into_iter().map(move |l| (l, role));
    lines.into_iter().flat_map(wrap).collect()
}

fn lines(app: &App, pen: &mut Pen<'_>, title: &str, lines: Lines, offset: usize) {
    let wrapped = wrapped(app, lines);
    let area = frame(app, pen, title, wrapped.len());
    let last = wrapped.len().saturating_sub(usize::from(area.height));
    for (y, (line, role)) in (area.y..area.bottom()).zip(wrapped.into_iter().skip(offset.min(last))) {
        pen.put(area.x, y, area.width, &line, role);
    }
}

fn cell_lines(app: &App, glyphs: &Glyphs) -> Lines {
    let results = &app.results;
    let (grid, column, row) = (&results.grid, results.selected(), results.row());
    let mut lines = vec![(title(grid, column).to_owned(), Role::Title)];
    let cell = match column {
        Column::Name(i) => grid.names.get(i).and_then(|n| n.cells.get(row)),
        Column::Run | Column::Loop(_) => None,
    };
    match cell {
        Some(Cell::Differs(difference)) => {
            lines.push(("diverged: the replay gave another value than the run recorded".into(), Role::Bad));
            for (label, value) in [("recorded", &difference.recorded), ("replayed", &difference.replayed)] {
                let text = text::written(value);
                let (shown, more) = cut(&text, MOST_READ / 2, glyphs);
                lines.push((format!("{label} {shown}"), Role::Text));
                lines.extend(more.map(|more| (more, Role::Dim)));
            }
        }
        Some(Cell::Value { value, verdict }) => {
            lines.push((format!("{}, {}", verdict.word(), value.type_name()), Role::Dim));
            let text = text::written(value);
            let (shown, more) = cut(&text, MOST_READ, glyphs);
            lines.extend(shown.lines().map(|l| (l.to_owned(), Role::Text)));
            lines.extend(more.map(|more| (more, Role::Dim)));
        }
        Some(Cell::Empty) => lines.push(("never logged at this position".into(), Role::Dim)),
        Some(Cell::Pending) => lines.push(("being replayed".into(), Role::Running)),
        Some(Cell::Failed) => lines.push(("its replay failed: w shows the replay".into(), Role::Bad)),
        None => lines.push((cell_text(grid, column, row), Role::Text)),
    }
    lines
}

fn statistics_lines(s: &Statistics, glyphs: &Glyphs) -> Lines {
    let mut lines: Lines = vec![(format!("{} values, {} distinct", s.values, s.distinct), Role::Text)];
    for (count, what) in [
        (s.empty, "never logged"),
        (s.pending, "being replayed"),
        (s.failed, "failed"),
        (s.differing, "diverged"),
        (s.nan, "NaN"),
    ] {
        if count > 0 {
            lines.push((format!("{count} {what}"), Role::Warning));
        }
    }
    if let Some(quartiles) = s.quartiles {
        for (label, x) in ["minimum", "lower quartile", "median", "upper quartile", "maximum"].iter().zip(quartiles) {
            lines.push((format!("{label:<16} {}", short_float(x)), Role::Text));
        }
        lines.push((format!("{:<16} {}", "mean", short_float(s.mean)), Role::Text));
        lines.push((format!("{:<16} {}", "deviation", short_float(s.deviation)), Role::Text));
    }
    if let Some(most) = s.histogram.iter().max().filter(|most| **most > 0) {
        let levels = glyphs.spark.len();
        // An empty part stays empty; the least that is not shows.
        let bar = |count: &usize| match count {
            0 => " ",
            count => glyphs.spark[(count * levels).div_ceil(*most).clamp(1, levels) - 1],
        };
        lines.push((
            format!("{:<16} {}", "distribution", s.histogram.iter().map(bar).collect::<String>()),
            Role::Accent,
        ));
    }
    if s.distinct < s.values {
        lines.push((String::new(), Role::Text));
        let most = s.frequent.first().map_or(1, |(_, count)| (*count).max(1));
        lines.extend(s.frequent.iter().map(|(value, count)| {
            let bar = glyphs.full.repeat((count * FREQUENCY).div_ceil(most));
            let (value, more) = cut(value, MOST_FREQUENT, glyphs);
            (format!("{count:>8} {bar:<FREQUENCY$} {value}{}", more.unwrap_or_default()), Role::Text)
        }));
    }
    lines
}

/// A line being typed, with its cursor.
pub(super) fn line_edit(pen: &mut Pen<'_>, area: Rect, input: &LineEdit) {
    let before = text::clean(&input.text[..input.at]).into_owned();
    let room = usize::from(area.width.saturating_sub(2));
    let before = text::skip_columns(&before, text::width(&before).saturating_sub(room));
    let mut x = area.x + pen.put(area.x, area.y, area.width, before, Role::Text);
    let mut rest = input.text[input.at..].chars();
    let under = rest.next().map_or(" ".to_owned(), String::from);
    x += pen.put(x, area.y, area.right().saturating_sub(x), &under, Role::Selected);
    pen.put(x, area.y, area.right().saturating_sub(x), rest.as_str(), Role::Text);
}

#[cfg(test)]
mod tests {
    use super::{MOST_READ, last_offset, read, wrapped};
    use crate::model::grid::Cell;
    use crate::model::value::Value;
    use crate::model::verdict::Verdict;
    use crate::tui::app::App;
    use crate::tui::app::fixture::{app, give_grid, nested, press};
    use crate::tui::app::overlay::Overlay;
    use crate::tui::app::table::Column;
    use crate::tui::theme::UNICODE;

    /// The box of a cell that has this.
    fn opened(cell: Cell) -> App {
        let mut app = app(80, 24);
        let mut grid = nested();
        grid.names[0].cells[0] = cell;
        let effects = press(&mut app, "3");
        give_grid(&mut app, &effects, grid);
        let loss = |column: &Column| *column == Column::Name(0);
        app.results.column = app.results.visible().iter().position(loss).expect("a column");
        press(&mut app, "\n");
        assert!(matches!(app.overlay, Some(Overlay::Cell { .. })), "{:?}", app.overlay);
        app
    }

    #[test]
    fn of_a_long_value_no_more_is_laid_out_than_a_frame_has_time_for_and_the_rest_is_told() {
        let long = || Value::Text("x".repeat(3_000_000));
        let value = opened(Cell::Value { value: long(), verdict: Verdict::Recorded });
        let differs = opened(Cell::differs(long(), Value::Text("y".repeat(2_000_000))));
        for (mut app, said) in [(value, 3_000_000 - MOST_READ), (differs, 2_000_000 - MOST_READ / 2)] {
            let overlay = app.overlay.clone().expect("a box");
            let lines = wrapped(&app, read(&app, &overlay, &UNICODE).expect("text").lines);
            let laid_out: usize = lines.iter().map(|(line, _)| line.len()).sum();
            assert!((MOST_READ..MOST_READ + 500).contains(&laid_out), "{laid_out}");
            assert_eq!(lines.last().expect("lines").0, format!("… {said} more bytes"));
            press(&mut app, "G");
            let end = last_offset(&app, &overlay);
            assert!(matches!(app.overlay, Some(Overlay::Cell { offset }) if offset == end && end > 800), "its end");
        }
    }
}
