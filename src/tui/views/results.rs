//! The grid: only the rows and columns in the window are ever looked at.

use ratatui::layout::Rect;

use crate::base::units::counted;
use crate::model::grid::{Cell, Grid};
use crate::model::verdict::Verdict;
use crate::tui::app::App;
use crate::tui::app::layout::Areas;
use crate::tui::app::results::{CellStyle, Results};
use crate::tui::app::table::{self, Column, Direction, row_at, title};
use crate::tui::text;
use crate::tui::theme::{Glyphs, Role};
use crate::tui::views::heat::{Heat, step};
use crate::tui::views::{Pen, plot, timeline};

/// Columns of the bar beside a number, and the space after it.
const BAR: u16 = 2;
/// Columns that frozen ones must leave.
const LEAST_SCROLLED: u32 = 16;

pub(super) fn draw(app: &App, pen: &mut Pen<'_>, areas: Areas) {
    let results = &app.results;
    header(app, pen, areas.header);
    if results.grid.is_empty() {
        let said = if results.loaded || results.all_names.is_empty() {
            "nothing was logged yet: afterlog.log(\"loss\", loss) in the script"
        } else {
            "reading values …"
        };
        pen.put(areas.main.x + 1, areas.main.y + 1, areas.main.width - 1, said, Role::Dim);
        return;
    }
    if results.plot.is_some() {
        plot::draw(app, pen, areas.main);
        return;
    }
    let columns = placed(app, areas.main);
    titles(results, pen, areas.main, &columns);
    let height = usize::from(areas.main.height) - 1;
    let heat = Heat::of(&pen.look.theme).filter(|_| results.cells == CellStyle::Heat);
    for (y, position) in (areas.main.y + 1..).zip(results.cursor.offset..results.shown()).take(height) {
        row(results, pen, &columns, (areas.main.x, y), position, heat.as_ref());
    }
}

fn header(app: &App, pen: &mut Pen<'_>, line: Rect) {
    let results = &app.results;
    if results.waiting && results.grid.is_empty() {
        return;
    }
    let mut said = counted(results.shown() as u64, "row");
    if let Some([a, b]) = results.beside() {
        said.push_str(&format!("   A {a}  B {b} (Esc all runs)"));
    } else if !app.timeline.marked.is_empty() {
        said.push_str(&format!(" of {}", counted(app.timeline.marked.len() as u64, "marked run")));
    }
    for (at, (column, direction)) in results.sorted().enumerate() {
        let glyphs = pen.glyphs();
        let sign = if *direction == Direction::Ascending { glyphs.ascending } else { glyphs.descending };
        said.push_str(&format!("{}{sign} {column}", if at == 0 { "   " } else { " " }));
    }
    if let Some(column) = results.valued() {
        said.push_str(&format!("   with {column} (v all)"));
    }
    if let Some(filter) = &results.arrangement.filter {
        said.push_str(&format!("   filter: {} (Esc clears)", filter.text()));
    }
    if let Some(run) = &app.timeline.baseline {
        said.push_str(&format!("   baseline {run}"));
    }
    let used = pen.put(line.x + 1, line.y, line.width - 1, &said, Role::Dim) + 3;
    if results.plot.is_some() {
        // What is looked at there is under the crosshair.
        return;
    }
    let full = format!("{} {}", title(&results.grid, results.selected()), describe(results));
    pen.right(line.x + used, line.y, line.width.saturating_sub(used + 1), &full, Role::Text);
}

/// The selected cell in words: for the header.
fn describe(results: &Results) -> String {
    let Column::Name(i) = results.selected() else {
        return table::text(&results.grid, results.selected(), results.row());
    };
    match results.grid.names.get(i).and_then(|n| n.cells.get(results.row())) {
        None => String::new(),
        Some(Cell::Empty) => "never logged here".into(),
        Some(Cell::Pending) => "being replayed".into(),
        Some(Cell::Failed) => "its replay failed".into(),
        Some(Cell::Value { value, verdict }) => format!("{value}  {}", verdict.word()),
        Some(Cell::Differs(both)) => format!("recorded {}, replayed {}", both.recorded, both.replayed),
    }
}

/// A visible column and where it stands.
struct Placed {
    index: usize,
    column: Column,
    x: u16,
    width: u16,
}

/// Columns that this column of the grid needs for what is in the window, and those it has where there is room: wide
/// enough for any short number, so that widths do not jump about while scrolling.
fn widths(app: &App, column: Column) -> (u16, u16) {
    let results = &app.results;
    let grid = &results.grid;
    let name = u16::try_from(text::width(&text::clean(title(grid, column)))).unwrap_or(20);
    let widest = match column {
        Column::Run => 10,
        Column::Loop(_) => 6,
        Column::Name(_) => {
            let (first, last) = (results.cursor.offset, results.cursor.offset + app.list_height());
            let widths = (first..last.min(results.shown())).map(|position| {
                let row = row_at(results.order(), position);
                text::width(&text::clean(&cell_text(results, column, row)))
            });
            u16::try_from(widths.max().unwrap_or(0)).unwrap_or(24) + 2
        }
    };
    let least = if matches!(column, Column::Name(_)) { 12 } else { 5 };
    let needed = widest.max(name + 2).min(if results.cells == CellStyle::Full { 40 } else { 24 });
    let bar = if results.cells == CellStyle::Heat && matches!(column, Column::Name(_)) { BAR } else { 0 };
    (needed + bar, (needed + bar).max(least))
}

/// Columns that stay at the left, as far as they leave room for another one.
pub fn frozen(app: &App) -> usize {
    let results = &app.results;
    let chosen = results.frozen();
    let taken: u32 = results.visible().iter().take(chosen).map(|c| u32::from(widths(app, *c).1) + 1).sum();
    if taken + LEAST_SCROLLED > u32::from(app.size.0) { results.unscrolled().min(chosen) } else { chosen }
}

/// The first scrolling column such that the selected one is on the screen, starting from the present one.
pub fn first_column(app: &App, present: usize) -> usize {
    let results = &app.results;
    let visible = results.visible();
    let frozen = frozen(app);
    let selected = results.column;
    if selected < frozen || selected < present {
        return present.min(selected.max(frozen));
    }
    let total = |range: std::ops::Range<usize>| -> u32 {
        range.filter_map(|i| visible.get(i)).map(|c| u32::from(widths(app, *c).1) + 1).sum()
    };
    let room = u32::from(app.size.0).saturating_sub(total(0..frozen) + 1);
    let mut first = present;
    while first < selected && total(first..selected + 1) > room {
        first += 1;
    }
    first
}

/// The index, among those visible, of the column under this column of the screen.
pub fn column_under(app: &App, x: u16) -> Option<usize> {
    let columns = placed(app, app.areas()?.main);
    columns.iter().find(|column| (column.x..=column.x + column.width).contains(&x)).map(|column| column.index)
}

fn placed(app: &App, area: Rect) -> Vec<Placed> {
    let results = &app.results;
    let frozen = frozen(app);
    let mut x = area.x + 1;
    let mut placed = Vec::new();
    for (index, column) in results.visible().into_iter().enumerate() {
        if index >= frozen && index < results.first_column {
            continue;
        }
        let (needed, wanted) = widths(app, column);
        // A number cut in two would read as another number.
        if x >= area.right() || (index > results.first_column && x + needed > area.right()) {
            break;
        }
        let width = wanted.min(area.right() - x);
        placed.push(Placed { index, column, x, width });
        x += width + 1;
    }
    placed
}

fn titles(results: &Results, pen: &mut Pen<'_>, area: Rect, columns: &[Placed]) {
    for placed in columns {
        let name = title(&results.grid, placed.column);
        let sign = match results.arrangement.sort.iter().find(|(sorted, _)| sorted == name) {
            Some((_, Direction::Ascending)) => pen.glyphs().ascending,
            Some((_, Direction::Descending)) => pen.glyphs().descending,
            None => "",
        };
        let role = if placed.index == results.column { Role::TabActive } else { Role::Dim };
        let text = format!("{name}{sign}");
        match placed.column {
            Column::Run => {
                pen.put(placed.x, area.y, placed.width, &text, role);
            }
            Column::Name(i) if results.profile(i).textual => {
                pen.put(placed.x, area.y, placed.width.saturating_sub(2), &text, role);
            }
            Column::Loop(_) => pen.right(placed.x, area.y, placed.width, &text, role),
            Column::Name(_) => pen.right(placed.x, area.y, placed.width.saturating_sub(2), &text, role),
        }
    }
    // A line between what stays and what scrolls, where that is not the usual place.
    let frozen = columns.iter().rev().find(|c| c.index < results.first_column && results.freeze.is_some());
    if let Some(last) = frozen {
        let bar = pen.glyphs().bar;
        for y in area.top()..area.bottom() {
            pen.put(last.x + last.width, y, 1, bar, Role::Rule);
        }
    }
    let hidden = results.visible().len().saturating_sub(columns.last().map_or(0, |c| c.index + 1));
    if hidden > 0 {
        pen.put(area.right() - 1, area.y, 1, ">", Role::Key);
    }
}

fn row(
    results: &Results,
    pen: &mut Pen<'_>,
    columns: &[Placed],
    (x, y): (u16, u16),
    position: usize,
    heat: Option<&Heat>,
) {
    let selected = position == results.cursor.selected;
    let row = row_at(results.order(), position);
    if selected {
        pen.cursor(y, x);
    }
    for placed in columns {
        let here = selected && placed.index == results.column;
        let (mark, role) = mark(&results.grid, placed.column, row, pen.glyphs());
        let text_role = if here { Role::Selected } else { role };
        let value = cell_text(results, placed.column, row);
        match placed.column {
            Column::Run => {
                pen.put(placed.x, y, placed.width, &value, if here { Role::Selected } else { Role::Dim });
            }
            Column::Loop(_) => pen.right(placed.x, y, placed.width, &value, text_role),
            Column::Name(name) => {
                let room = placed.width.saturating_sub(2);
                let written = if value.is_empty() { mark } else { &value };
                let share = warmth(results, name, row).filter(|_| !value.is_empty());
                match (share, heat) {
                    (Some(share), Some(heat)) if !here => {
                        // To the mark, which keeps its own colour: a number that is not verified is seen first.
                        pen.shade(Rect { x: placed.x, y, width: room, height: 1 }, heat.shade(share));
                        pen.right_styled(placed.x, y, room, written, heat.shade(share));
                    }
                    (Some(share), None) => {
                        let bars = pen.glyphs().spark;
                        pen.put(placed.x, y, 1, bars[step(share, bars.len())], Role::Accent);
                        pen.right(placed.x + BAR, y, room.saturating_sub(BAR), written, text_role);
                    }
                    _ if results.profile(name).textual => {
                        pen.put(placed.x, y, room, written, text_role);
                    }
                    _ => pen.right(placed.x, y, room, written, text_role),
                }
                if !value.is_empty() {
                    pen.put(placed.x + placed.width - 1, y, 1, mark, role);
                }
            }
        }
    }
}

/// The place of a cell's number in its column's range, where cells show that.
fn warmth(results: &Results, name: usize, row: usize) -> Option<f64> {
    let scale = results.profile(name).scale.filter(|_| results.cells == CellStyle::Heat)?;
    scale.share(table::number(&results.grid, Column::Name(name), row)?)
}

/// What stands in a cell; empty where a glyph says it all.
fn cell_text(results: &Results, column: Column, row: usize) -> String {
    match column {
        Column::Name(i) if results.cells != CellStyle::Full => {
            let cell = results.grid.names.get(i).and_then(|n| n.cells.get(row));
            cell.and_then(Cell::shown).map_or_else(String::new, timeline::short)
        }
        Column::Name(i) => {
            let cell = results.grid.names.get(i).and_then(|n| n.cells.get(row));
            cell.and_then(Cell::shown).map_or_else(String::new, |value| text::beginning(value).into_owned())
        }
        Column::Run | Column::Loop(_) => table::text(&results.grid, column, row),
    }
}

/// The sign beside a value, or in place of one. No two states share a sign.
fn mark(grid: &Grid, column: Column, row: usize, glyphs: &Glyphs) -> (&'static str, Role) {
    let Column::Name(i) = column else { return ("", Role::Text) };
    match grid.names.get(i).and_then(|n| n.cells.get(row)) {
        None | Some(Cell::Empty) => (glyphs.empty, Role::Dim),
        Some(Cell::Pending) => (glyphs.pending, Role::Running),
        Some(Cell::Failed) => (glyphs.failed, Role::Bad),
        Some(Cell::Differs(_)) => (glyphs.diverged, Role::Bad),
        Some(Cell::Value { verdict, .. }) => match verdict {
            Verdict::Recorded => ("", Role::Text),
            Verdict::Verified => (glyphs.verified, Role::Good),
            Verdict::Unverified => (glyphs.unverified, Role::Warning),
            Verdict::Diverged => (glyphs.diverged, Role::Bad),
        },
    }
}
