//! The runs as rows, and one run in detail.

use ratatui::layout::Rect;

use crate::base::units::{age_ms, bytes, duration_ns};
use crate::model::run::{RunStatus, RunSummary};
use crate::model::value::Value;
use crate::tui::app::App;
use crate::tui::app::layout::Areas;
use crate::tui::app::timeline::Timeline;
use crate::tui::event::Detail;
use crate::tui::theme::{Glyphs, Role};
use crate::tui::views::Pen;

pub(super) fn draw(app: &App, pen: &mut Pen<'_>, areas: Areas) {
    header(app, pen, areas.header);
    if app.zoom {
        detail(app, pen, areas.main, app.timeline.detail_offset);
        return;
    }
    list(app, pen, areas.main);
    if let Some(area) = areas.detail {
        detail(app, pen, area, 0);
    }
}

fn header(app: &App, pen: &mut Pen<'_>, line: Rect) {
    let timeline = &app.timeline;
    if !app.surveyed {
        pen.put(line.x + 1, line.y, line.width, "reading the store …", Role::Dim);
        return;
    }
    let mut said = match timeline.rows.len() {
        shown if shown == timeline.runs.len() => format!("{shown} runs"),
        shown => format!("{shown} of {} runs", timeline.runs.len()),
    };
    if let Some(filter) = &timeline.filter {
        said.push_str(&format!("   filter: {} (Esc clears)", filter.text));
    }
    if !timeline.marked.is_empty() {
        said.push_str(&format!("   {} marked", timeline.marked.len()));
    }
    pen.put(line.x + 1, line.y, line.width - 1, &said, Role::Dim);
    let place = format!("{}/{}", (timeline.cursor.selected + 1).min(timeline.rows.len()), timeline.rows.len());
    pen.right(line.right() - 14, line.y, 13, &place, Role::Dim);
}

/// Columns of the list: position and width. What changed takes what the others leave.
struct Columns {
    age: u16,
    status: u16,
    changed: (u16, u16),
    metric: (u16, u16),
    spark: (u16, u16),
    checkpoints: (u16, u16),
}

fn columns(area: Rect) -> Columns {
    let spark = match area.width {
        ..70 => 0,
        70..100 => 8,
        _ => 16,
    };
    let (metric, checkpoints) = match area.width {
        ..60 => (0, 0),
        60..100 => (15, 7),
        _ => (18, 7),
    };
    let end = area.right();
    let checkpoints_at = end - checkpoints;
    let spark_at = checkpoints_at - spark - u16::from(spark > 0);
    let metric_at = spark_at - metric - 1;
    let changed_at = area.x + 14 + 5 + 11;
    Columns {
        age: area.x + 14,
        status: area.x + 19,
        changed: (changed_at, metric_at.saturating_sub(changed_at + 1)),
        metric: (metric_at, metric),
        spark: (spark_at, spark),
        checkpoints: (checkpoints_at, checkpoints),
    }
}

fn list(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let at = columns(area);
    let y = area.y;
    for (x, width, title) in [
        (area.x + 3, 10, "run"),
        (at.age, 4, "age"),
        (at.status, 10, "status"),
        (at.changed.0, at.changed.1, "changed since the run before"),
        (at.metric.0, at.metric.1, "last value"),
        (at.spark.0, at.spark.1, "course"),
        (at.checkpoints.0, at.checkpoints.1, "  ckpts"),
    ] {
        pen.put(x, y, width, title, Role::Dim);
    }
    let timeline = &app.timeline;
    let shown = timeline.rows.iter().enumerate().skip(timeline.cursor.offset);
    for (y, (position, index)) in (area.y + 1..area.bottom()).zip(shown) {
        row(app, pen, &at, (area.x, y), *index, position == timeline.cursor.selected);
    }
}

fn row(app: &App, pen: &mut Pen<'_>, at: &Columns, (x, y): (u16, u16), index: usize, selected: bool) {
    let timeline = &app.timeline;
    let run = &timeline.runs[index];
    let glyphs = *pen.glyphs();
    if selected {
        pen.cursor(y, x);
    }
    let marked = timeline.marked.contains(&run.id);
    let node = match (marked, index) {
        (true, _) => (glyphs.mark, Role::Marked),
        (false, 0) => (glyphs.first_run, Role::Dim),
        (false, _) => (glyphs.later_run, Role::Dim),
    };
    pen.put(x + 1, y, 1, node.0, node.1);
    let id_role = if selected { Role::Selected } else { Role::Text };
    pen.put(x + 3, y, 10, run.id.as_str(), id_role);
    pen.put(at.age, y, 4, &age_ms(app.now_ms - run.started_ms), Role::Dim);
    let (glyph, role) = status(&glyphs, run.status);
    pen.pieces(at.status, y, 10, &[(glyph, role), (" ", role), (run.status.word(), role)]);
    pen.put(at.changed.0, y, at.changed.1, &changed(timeline, index, &glyphs), Role::Text);
    if let Some((name, value)) = &run.last_metric {
        let number = short(value);
        let name_width = at.metric.1.saturating_sub(u16::try_from(number.len()).unwrap_or(0) + 1);
        pen.put(at.metric.0, y, name_width, name, Role::Dim);
        pen.right(at.metric.0, y, at.metric.1, &number, Role::Text);
    }
    pen.put(at.spark.0, y, at.spark.1, &spark(&run.spark, usize::from(at.spark.1), &glyphs), Role::Accent);
    let density = format!("{}/{}", run.checkpoints, run.iterations);
    pen.right(at.checkpoints.0, y, at.checkpoints.1, &density, Role::Dim);
}

/// A status as symbol and role; the word stands beside it.
pub(super) fn status(glyphs: &Glyphs, status: RunStatus) -> (&'static str, Role) {
    match status {
        RunStatus::Running => (glyphs.running, Role::Running),
        RunStatus::Finished => (glyphs.finished, Role::Good),
        RunStatus::Failed => (glyphs.failed, Role::Bad),
        RunStatus::Lost => (glyphs.lost, Role::Warning),
    }
}

/// What a run changed against the one before: arguments, then files.
fn changed(timeline: &Timeline, index: usize, glyphs: &Glyphs) -> String {
    let run = &timeline.runs[index];
    let name = run.name.as_ref().map_or(String::new(), |name| format!("[{name}] "));
    let Some(previous) = timeline.previous(index) else {
        return format!("{name}{} {}", run.script, arguments(run));
    };
    let mut parts: Vec<String> = Vec::new();
    for (argument, value) in &run.args {
        let old = previous.args.iter().find(|(name, _)| name == argument).map(|(_, value)| value);
        if old.is_none_or(|old| !old.same_bits(value)) {
            parts.push(format!("{argument}={}", short(value)));
        }
    }
    if previous.version != run.version {
        match timeline.changes.get(&(previous.version.clone(), run.version.clone())) {
            None => parts.push(glyphs.pending.to_owned()),
            Some(files) => parts.extend(
                files
                    .iter()
                    .map(|file| format!("{} +{} {}{}", file.path, file.added_lines, glyphs.minus, file.removed_lines)),
            ),
        }
    }
    if parts.is_empty() { format!("{name}same again") } else { format!("{name}{}", parts.join("  ")) }
}

fn arguments(run: &RunSummary) -> String {
    run.args.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// A value in few columns.
pub(super) fn short(value: &Value) -> String {
    match value {
        Value::Float(x) if x.is_finite() => short_float(*x),
        other => other.to_string(),
    }
}

/// Six significant digits, or all if there are fewer.
pub(super) fn short_float(x: f64) -> String {
    let full = Value::Float(x).to_string();
    if full.len() <= 9 {
        return full;
    }
    let magnitude = x.abs();
    if !(1e-4..1e7).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let digits: usize = match magnitude {
        m if m >= 1e6 => 0,
        m if m >= 1e5 => 1,
        m if m >= 1e4 => 2,
        m if m >= 1e3 => 3,
        m if m >= 1e2 => 4,
        _ => 5,
    };
    format!("{x:.digits$}")
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

/// Everything about the selected run.
fn detail(app: &App, pen: &mut Pen<'_>, area: Rect, offset: usize) {
    let Some(selected) = app.timeline.selected() else { return };
    let loaded = app.timeline.detail.as_ref().filter(|detail| detail.run.summary.id == selected.id);
    let Some(loaded) = loaded else {
        pen.put(area.x + 1, area.y, area.width - 1, selected.id.as_str(), Role::Title);
        return;
    };
    let lines = detail_lines(loaded, app, usize::from(area.height), app.zoom, pen.glyphs());
    for (y, (label, text, role)) in (area.y..area.bottom()).zip(lines.iter().skip(offset)) {
        let used = if label.is_empty() { 0 } else { pen.put(area.x + 1, y, 13, label, Role::Dim).max(13) };
        pen.put(area.x + 1 + used, y, area.width.saturating_sub(used + 1), text, *role);
    }
}

type Lines = Vec<(&'static str, String, Role)>;

/// The lines of a run's detail: label, text, role. The whole output when zoomed, else its end.
pub(in crate::tui) fn detail_lines(detail: &Detail, app: &App, height: usize, whole: bool, glyphs: &Glyphs) -> Lines {
    let (run, meta) = (&detail.run.summary, &detail.run.meta);
    let (glyph, role) = status(glyphs, run.status);
    let exit = run.exit_code.filter(|code| *code != 0).map_or(String::new(), |code| format!(", exit code {code}"));
    let name = run.name.as_ref().map_or(String::new(), |name| format!("  {name}"));
    let duration = duration_ns(u64::try_from(run.duration_ms).unwrap_or(0) * 1_000_000);
    let mut lines: Lines = vec![
        ("", format!("{}{name}", run.id), Role::Title),
        (
            "status",
            format!("{glyph} {}{exit}, {duration}, {} ago", run.status.word(), age_ms(app.now_ms - run.started_ms)),
            role,
        ),
        ("script", format!("{} {}", run.script, meta.args.join(" ")), Role::Text),
        (
            "version",
            format!(
                "{}{}",
                run.version.short(),
                meta.head.as_ref().map_or(String::new(), |h| format!("  on {}", h.short()))
            ),
            Role::Text,
        ),
        ("python", meta.python.display().to_string(), Role::Text),
        ("host", meta.hostname.clone(), Role::Text),
    ];
    if !run.args.is_empty() {
        lines.push(("arguments", arguments(run), Role::Text));
    }
    lines.push(("logged", run.names.join(" "), Role::Text));
    lines.push((
        "checkpoints",
        format!("{} in {} iterations, {}", run.checkpoints, run.iterations, bytes(run.checkpoint_bytes)),
        Role::Text,
    ));
    let complete: Vec<u64> = detail.run.timings.iterations.iter().filter(|i| i.complete).map(|i| i.total_ns).collect();
    if let Some(mean) = complete.iter().sum::<u64>().checked_div(u64::try_from(complete.len()).unwrap_or(0)) {
        let prefix = duration_ns(detail.run.timings.prefix_ns);
        lines.push(("timing", format!("{prefix} before the loop, {} an iteration", duration_ns(mean)), Role::Text));
    }
    let mut missing: Vec<&(String, String)> = detail.run.checkpoints.iter().flat_map(|c| &c.missing).collect();
    missing.sort();
    missing.dedup();
    lines.extend(missing.iter().map(|(variable, why)| ("not captured", format!("{variable}: {why}"), Role::Warning)));
    lines.extend(
        meta.left_out.iter().map(|file| ("left out", format!("{}: {}", file.path, file.reason), Role::Warning)),
    );
    lines.extend(run.notes.iter().map(|note| ("note", note.clone(), Role::Warning)));
    if !detail.output.is_empty() {
        lines.push(("", String::new(), Role::Text));
        lines.push(("output", String::new(), Role::Dim));
        let room = if whole { usize::MAX } else { height.saturating_sub(lines.len()) };
        let start = detail.output.len().saturating_sub(room);
        lines.extend(detail.output[start..].iter().map(|line| ("", line.clone(), Role::Text)));
    }
    lines
}
