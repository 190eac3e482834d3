//! The runs as rows.

use ratatui::layout::Rect;

use crate::base::units::{age_ms, counted};
use crate::model::run::RunStatus;
use crate::tui::app::App;
use crate::tui::app::columns::{Column, Order};
use crate::tui::app::layout::Areas;
use crate::tui::app::run::role_of;
use crate::tui::app::timeline::{FIXED, SAME_AGAIN, Timeline, is_gone};
use crate::tui::text;
use crate::tui::theme::{Glyphs, Role};
use crate::tui::views::{Pen, run};

pub(super) use crate::tui::text::{short, short_float};

pub(super) fn draw(app: &App, pen: &mut Pen<'_>, areas: Areas) {
    header(app, pen, areas.header);
    if app.zoom {
        run::draw(app, pen, areas.main);
        return;
    }
    list(app, pen, areas.main);
    if let Some(area) = areas.detail {
        run::draw(app, pen, area);
    }
}

fn header(app: &App, pen: &mut Pen<'_>, line: Rect) {
    let timeline = &app.timeline;
    if !app.surveyed {
        pen.put(line.x + 1, line.y, line.width, "reading the store …", Role::Dim);
        return;
    }
    let mut said = match timeline.rows.len() {
        shown if shown == timeline.runs.len() => counted(shown as u64, "run"),
        shown => format!("{shown} of {}", counted(timeline.runs.len() as u64, "run")),
    };
    if let Some(filter) = &timeline.filter {
        said.push_str(&format!("   filter: {} (Esc clears)", filter.text));
    }
    if timeline.order != Order::Newest {
        said.push_str(&format!("   {}", timeline.order.words()));
    }
    if let Some(pinned) = &timeline.baseline {
        said.push_str(&format!("   against {pinned}"));
    }
    if !timeline.marked.is_empty() {
        said.push_str(&format!("   {} marked", timeline.marked.len()));
    }
    pen.put(line.x + 1, line.y, line.width - 1, &said, Role::Dim);
    let place = format!("{}/{}", (timeline.cursor.selected + 1).min(timeline.rows.len()), timeline.rows.len());
    pen.right(line.right() - 14, line.y, 13, &place, Role::Dim);
}

/// The columns that fit, with position and width. What changed takes what the others leave; where there is too little
/// room, columns shrink, then go.
fn placed(timeline: &Timeline, area: Rect) -> Vec<(Column, u16, u16)> {
    let room = area.width.saturating_sub(FIXED);
    let mut columns: Vec<(Column, u16)> =
        timeline.columns.iter().map(|column| (*column, column.width(timeline.widest))).collect();
    let taken = |columns: &[(Column, u16)]| columns.iter().map(|(_, width)| width + 1).sum::<u16>();
    for (shrinking, least) in [(Column::Changed, 24), (Column::Course, 6), (Column::Changed, 12)] {
        let over = taken(&columns).saturating_sub(room);
        for (_, width) in columns.iter_mut().filter(|(column, _)| *column == shrinking) {
            *width = width.saturating_sub(over).max(least.min(*width));
        }
    }
    for gone in [Column::Course, Column::Checkpoints, Column::Value, Column::Age, Column::Status] {
        if taken(&columns) > room {
            columns.retain(|(column, _)| *column != gone);
        }
    }
    let mut rest = room.saturating_sub(taken(&columns));
    let mut x = area.x + FIXED;
    let mut placed = Vec::with_capacity(columns.len());
    for (column, mut width) in columns {
        if column == Column::Changed {
            width += std::mem::take(&mut rest);
        }
        placed.push((column, x + 1, width));
        x += width + 1;
    }
    placed
}

fn title(timeline: &Timeline, column: Column, width: u16) -> String {
    // The longest that fits: a title that is cut off says less than a short one.
    let fitting = |titles: [&str; 3]| {
        let fits = |title: &&&str| text::width(title) <= usize::from(width);
        titles.iter().find(fits).unwrap_or(&titles[2]).to_string()
    };
    match column {
        Column::Age => "age".into(),
        Column::Status => "status".into(),
        Column::Changed if timeline.baseline.is_some() => {
            fitting(["against the pinned run", "against pinned", "differs"])
        }
        Column::Changed => fitting(["since the run before", "since before", "changed"]),
        Column::Value => timeline.common.clone().unwrap_or_else(|| fitting(["last value", "value", "last"])),
        Column::Course => "course".into(),
        Column::Checkpoints => "ckpts".into(),
    }
}

fn list(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let timeline = &app.timeline;
    let columns = placed(timeline, area);
    let y = area.y;
    pen.put(area.x + 3, y, 10, "run", Role::Dim);
    for (column, x, width) in &columns {
        let title = title(timeline, *column, *width);
        match column {
            Column::Value | Column::Checkpoints => pen.right(*x, y, *width, &title, Role::Dim),
            _ => drop(pen.put(*x, y, *width, &title, Role::Dim)),
        }
    }
    let range = timeline.in_range();
    let shown = timeline.rows.iter().enumerate().skip(timeline.cursor.offset);
    for (y, (position, index)) in (area.y + 1..area.bottom()).zip(shown) {
        let ranged = range.as_ref().is_some_and(|rows| rows.contains(&position));
        head(app, pen, (area.x, y), *index, position == timeline.cursor.selected, ranged);
        for (column, x, width) in &columns {
            cell(app, pen, *column, Rect { x: *x, y, width: *width, height: 1 }, *index);
        }
    }
}

/// Cursor, graph and id of a run.
fn head(app: &App, pen: &mut Pen<'_>, (x, y): (u16, u16), index: usize, selected: bool, ranged: bool) {
    let timeline = &app.timeline;
    let run = &timeline.runs[index];
    let glyphs = *pen.glyphs();
    if selected {
        pen.cursor(y, x);
    }
    let node = match index {
        _ if timeline.baseline.as_ref() == Some(&run.id) => (glyphs.pinned, Role::Accent),
        _ if ranged || timeline.marked.contains(&run.id) => (glyphs.mark, Role::Marked),
        0 => (glyphs.first_run, Role::Dim),
        _ => (glyphs.later_run, Role::Dim),
    };
    pen.put(x + 1, y, 1, node.0, node.1);
    pen.put(x + 3, y, 10, run.id.as_str(), if selected { Role::Selected } else { Role::Text });
}

fn cell(app: &App, pen: &mut Pen<'_>, column: Column, area: Rect, index: usize) {
    let timeline = &app.timeline;
    let run = &timeline.runs[index];
    let glyphs = *pen.glyphs();
    let Rect { x, y, width, .. } = area;
    match column {
        Column::Age => drop(pen.put(x, y, width, &age_ms(app.now_ms - run.started_ms), Role::Dim)),
        Column::Status => {
            let (glyph, role) = status(&glyphs, run.status);
            pen.pieces(x, y, width, &[(glyph, role), (" ", role), (run.status.word(), role)]);
        }
        Column::Changed => {
            let text = timeline.changed(index, glyphs.pending, glyphs.minus);
            let role = match () {
                () if is_gone(run) => Role::Warning,
                () if text == SAME_AGAIN => Role::Dim,
                () => Role::Text,
            };
            pen.put(x, y, width, &text, role);
        }
        Column::Value => {
            let Some((name, value)) = timeline.value(run) else { return };
            let number = short(value);
            if timeline.common.is_none() {
                let left = width.saturating_sub(u16::try_from(text::width(&number)).unwrap_or(0) + 1);
                pen.put(x, y, left, name, Role::Dim);
            }
            pen.right(x, y, width, &number, Role::Text);
        }
        Column::Course => {
            pen.put(x, y, width, &spark(timeline.course(run), usize::from(width), &glyphs), Role::Accent);
        }
        Column::Checkpoints => pen.right(x, y, width, &format!("{}/{}", run.checkpoints, run.iterations), Role::Dim),
    }
}

/// A status as symbol and role; the word stands beside it.
pub(super) fn status(glyphs: &Glyphs, status: RunStatus) -> (&'static str, Role) {
    let glyph = match status {
        RunStatus::Running => glyphs.running,
        RunStatus::Finished => glyphs.finished,
        RunStatus::Failed => glyphs.failed,
        RunStatus::Lost => glyphs.lost,
    };
    (glyph, role_of(status))
}

/// The course of a metric, squeezed into `width` columns.
fn spark(values: &[f64], width: usize, glyphs: &Glyphs) -> String {
    let finite = || values.iter().copied().filter(|x| x.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let count = values.len().min(width);
    (0..count)
        .map(|i| {
            let x = values[if count > 1 { i * (values.len() - 1) / (count - 1) } else { values.len() - 1 }];
            if !x.is_finite() {
                return "!";
            }
            let share = if high > low { (x - low) / (high - low) } else { 0.0 };
            let levels = glyphs.spark.len();
            let level = (0..levels).rev().find(|l| {
                #[expect(clippy::cast_precision_loss, reason = "a handful of levels")]
                let threshold = *l as f64 / levels as f64;
                share >= threshold
            });
            glyphs.spark[level.unwrap_or(0)]
        })
        .collect()
}
