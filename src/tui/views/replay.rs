//! From log statements over preview and plan to the running job.

use ratatui::layout::Rect;

use crate::base::units::{counted, duration_ns};
use crate::model::job::{JobStatus, SegmentState, SegmentStatus};
use crate::model::plan::{RunPlan, RunPlanState, Segment};
use crate::model::probe::{Placement, PlacementStatus};
use crate::model::verdict::Verdict;
use crate::tui::app::App;
use crate::tui::app::layout::Areas;
use crate::tui::app::placement::{is_doubtful, worst};
use crate::tui::app::replay::Stage;
use crate::tui::text;
use crate::tui::theme::{Glyphs, Role};
use crate::tui::views::Pen;

/// Columns of prose at most: longer lines are hard to read.
const WIDEST_SAID: u16 = 88;

pub(super) fn draw(app: &App, pen: &mut Pen<'_>, areas: Areas) {
    header(app, pen, areas.header);
    let mut area = areas.main;
    if app.zoom {
        detail(app, pen, area);
        return;
    }
    match app.replay.stage {
        Stage::Choose => {}
        Stage::Preview => {
            pen.put(
                area.x + 1,
                area.y,
                area.width - 1,
                "  run         placement        where, and what was adapted or why there",
                Role::Dim,
            );
        }
        Stage::Plan => plan_titles(app, pen, area),
        Stage::Job => job_titles(app, pen, area),
    }
    let titles = u16::try_from(app.replay.title_rows()).unwrap_or(0).min(area.height);
    area = Rect { y: area.y + titles, height: area.height - titles, ..area };
    let cursor = app.replay.cursor;
    for (y, position) in (area.y..area.bottom()).zip(cursor.offset..app.replay.length()) {
        let line = Rect { y, height: 1, ..area };
        if position == cursor.selected {
            pen.cursor(y, line.x);
        }
        match app.replay.stage {
            Stage::Choose => statement_row(app, pen, line, position),
            Stage::Preview => preview_row(app, pen, line, position),
            Stage::Plan => plan_row(app, pen, line, position),
            Stage::Job => segment_row(app, pen, line, position),
        }
    }
    if app.replay.length() == 0 {
        nothing(app, pen, area);
    }
    if let Some(below) = areas.detail {
        let mut below = below;
        if below.x == 0 {
            pen.rule(below.x, below.y, below.width);
            below = Rect { y: below.y + 1, height: below.height - 1, ..below };
        }
        detail(app, pen, below);
    }
}

fn header(app: &App, pen: &mut Pen<'_>, line: Rect) {
    let replay = &app.replay;
    if let Some(waiting) = replay.waiting {
        pen.put(line.x + 1, line.y, line.width - 1, &format!("{waiting} …"), Role::Running);
        return;
    }
    let names = || replay.chosen.iter().cloned().collect::<Vec<_>>().join(", ");
    let said = match replay.stage {
        Stage::Choose => "log statements that your runs lack: Space chooses, Enter shows where they land".to_owned(),
        Stage::Preview => {
            let versions = replay.preview.len();
            let doubtful = replay.preview.iter().filter(|(_, p)| is_doubtful(&p.placements)).count();
            let marked = if app.replays_marked() { "marked " } else { "" };
            let all = format!("{} in {}", names(), counted(versions as u64, &format!("{marked}run")));
            if doubtful == 0 { all } else { format!("{all}, {doubtful} to look at") }
        }
        Stage::Plan => format!("plan for {}", names()),
        Stage::Job => match replay.current_job() {
            Some(job) => format!("replay {} of {}", job.id, job.names.join(", ")),
            None => "starting …".into(),
        },
    };
    pen.put(line.x + 1, line.y, line.width - 1, &said, Role::Text);
}

fn nothing(app: &App, pen: &mut Pen<'_>, area: Rect) {
    if app.replay.stage != Stage::Choose || app.replay.waiting.is_some() || app.replay.statements.is_none() {
        return;
    }
    let said = [
        "Every log statement of the working tree is in every run.",
        "Press a to write one for a line of the script, in no file of yours; or add it to the script, e.g. \
         afterlog.log(\"grad_norm\", norm), then press r: it is placed into every recorded version and replayed.",
    ];
    let width = area.width.saturating_sub(2);
    let lines = said.iter().flat_map(|text| text::wrap(text, usize::from(width.min(WIDEST_SAID))));
    for (y, text) in (area.y + 1..area.bottom()).zip(lines) {
        pen.put(area.x + 1, y, width, &text, Role::Text);
    }
}

fn statement_row(app: &App, pen: &mut Pen<'_>, line: Rect, position: usize) {
    let Some(statement) = app.replay.statements.as_ref().and_then(|s| s.get(position)) else { return };
    let chosen = app.replay.chosen.contains(&statement.name);
    let place = format!("  line {}  ", statement.first_line);
    let role = if position == app.replay.cursor.selected { Role::Selected } else { Role::Text };
    pen.pieces(
        line.x + 2,
        line.y,
        line.width - 2,
        &[
            (if chosen { "[x] " } else { "[ ] " }, Role::Key),
            (&statement.name, role),
            (&place, Role::Dim),
            (&statement.text, Role::Text),
        ],
    );
}

/// A placement's outcome as symbol and role.
fn placement_look(glyphs: &Glyphs, status: PlacementStatus) -> (&'static str, Role) {
    match status {
        PlacementStatus::Exact => (glyphs.finished, Role::Good),
        PlacementStatus::Adapted => (glyphs.statement, Role::Statement),
        PlacementStatus::Uncertain => (glyphs.uncertain, Role::Warning),
        PlacementStatus::AlreadyThere | PlacementStatus::Excluded => (glyphs.minus, Role::Dim),
        PlacementStatus::NotApplicable => (glyphs.failed, Role::Bad),
    }
}

fn placement_pieces(pen: &mut Pen<'_>, x: u16, y: u16, placements: &[Placement]) {
    let (glyph, role, word) = match worst(placements).map(|at| &placements[at]) {
        Some(p) => {
            let (glyph, role) = placement_look(pen.glyphs(), p.status);
            (glyph, role, p.status.word())
        }
        None => (pen.look.glyphs.empty, Role::Dim, "nothing"),
    };
    pen.pieces(x, y, 16, &[(glyph, role), (" ", role), (word, role)]);
}

fn preview_row(app: &App, pen: &mut Pen<'_>, line: Rect, position: usize) {
    let Some((run, propagation)) = app.replay.preview.get(position) else { return };
    let role = if position == app.replay.cursor.selected { Role::Selected } else { Role::Text };
    pen.put(line.x + 3, line.y, 10, run.as_str(), role);
    placement_pieces(pen, line.x + 15, line.y, &propagation.placements);
    let said = worst(&propagation.placements).map_or(String::new(), |at| {
        let p = &propagation.placements[at];
        let place = p.line.map_or(String::new(), |l| format!("line {l}  "));
        // What the user decided is said before what follows from it.
        let by_hand = p.reasons.iter().filter(|_| p.decided_in.is_some()).chain(&p.changes);
        let why =
            if p.changes.is_empty() { p.reasons.join("; ") } else { by_hand.cloned().collect::<Vec<_>>().join("; ") };
        format!("{place}{why}")
    });
    pen.put(line.x + 32, line.y, line.width.saturating_sub(32), &said, Role::Dim);
}

fn plan_titles(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let Some(plan) = &app.replay.plan else { return };
    let replayed = plan.runs.iter().filter(|r| r.state == RunPlanState::Replay).count();
    let (low, high) = plan.makespan_ns;
    let runs = counted(plan.runs.len() as u64, "run");
    let total = if plan.segments.is_empty() {
        format!("{replayed} of {runs}: nothing is left to replay, 3 shows the values")
    } else {
        let (segments, workers) =
            (counted(plan.segments.len() as u64, "segment"), counted(plan.workers as u64, "worker"));
        format!("{replayed} of {runs}, {segments}; with {workers} {} to {}", duration_ns(low), duration_ns(high))
    };
    pen.put(area.x + 1, area.y, area.width - 1, &total, Role::Title);
    let wanted =
        if app.replay.iterations.is_empty() { "all iterations".to_owned() } else { app.replay.iterations.join(" ") };
    let condition = match app.replay.condition.as_str() {
        "" => String::new(),
        condition => format!(", only where {condition}"),
    };
    let runs = match &app.replay.runs {
        None => "",
        Some(_) if app.replays_marked() => ", only the marked runs",
        Some(_) => ", only these runs",
    };
    pen.put(area.x + 1, area.y + 1, area.width - 1, &format!("{wanted}{condition}{runs}"), Role::Dim);
    let titles = "  run         placement        iterations   executed  skipped  estimate";
    pen.put(area.x + 1, area.y + 2, area.width - 1, titles, Role::Dim);
}

/// The segments of a run.
fn segments_of<'a>(app: &'a App, run: &'a RunPlan) -> impl Iterator<Item = &'a Segment> {
    app.replay.plan.iter().flat_map(|plan| &plan.segments).filter(|segment| segment.run == run.run)
}

/// `0–4, 7` from ascending numbers.
fn ranges(numbers: &[u64]) -> String {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for n in numbers {
        match parts.last_mut() {
            Some(last) if last.1 + 1 == *n => last.1 = *n,
            _ => parts.push((*n, *n)),
        }
    }
    let part = |(a, b): &(u64, u64)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

fn plan_row(app: &App, pen: &mut Pen<'_>, line: Rect, position: usize) {
    let Some(plan) = app.replay.plan.as_ref() else { return };
    let role = if position == app.replay.cursor.selected { Role::Selected } else { Role::Text };
    let Some(run) = plan.runs.get(position) else {
        if let Some(left_out) = plan.left_out.get(position - plan.runs.len()) {
            pen.put(line.x + 3, line.y, 10, left_out.run.as_str(), role);
            pen.put(
                line.x + 15,
                line.y,
                line.width.saturating_sub(15),
                &format!("left out: {}", left_out.why),
                Role::Dim,
            );
        }
        return;
    };
    pen.put(line.x + 3, line.y, 10, run.run.as_str(), role);
    placement_pieces(pen, line.x + 15, line.y, &run.placements);
    let rest = match run.state {
        RunPlanState::Complete => "complete: nothing to do".to_owned(),
        RunPlanState::NotApplicable => {
            let worst = worst(&run.placements).map(|at| &run.placements[at].reasons);
            let why = if run.notes.is_empty() { worst.unwrap_or(&run.notes) } else { &run.notes };
            format!("not replayed: {}", why.join("; "))
        }
        RunPlanState::Replay => {
            let wanted: Vec<u64> = run.wanted.iter().filter(|i| !run.known.contains(i)).copied().collect();
            let executed: usize = segments_of(app, run).map(|s| s.steps.len()).sum();
            let skipped: usize = segments_of(app, run).flat_map(|s| &s.steps).map(|step| step.skip.len()).sum();
            let cost: u64 = segments_of(app, run).map(|s| s.cost.total_ns()).sum();
            let mut wanted = ranges(&wanted);
            if wanted.is_empty() {
                wanted.push_str("prefix");
            }
            format!("{:<12} {executed:>8}  {skipped:>7}  {}", text::fit(&wanted, 12, "~"), duration_ns(cost))
        }
    };
    pen.put(line.x + 32, line.y, line.width.saturating_sub(32), &rest, Role::Text);
}

fn job_titles(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let Some(job) = app.replay.current_job() else { return };
    let count = |word: &str| job.segments.iter().filter(|s| s.state.word() == word).count();
    let steps: u64 = job.segments.iter().map(|s| s.steps).sum();
    let done: u64 = job.segments.iter().map(done_steps).sum();
    let state = if job.active { "running" } else { "over" };
    let mut said = format!("{state}: {}/{} segments done", count("done"), job.segments.len());
    for word in ["running", "failed", "cancelled"] {
        if count(word) > 0 {
            said.push_str(&format!(", {} {word}", count(word)));
        }
    }
    let left = app.replay.steps.of_job(job, app.now_ms).filter(|left| *left > 0);
    said.extend(left.map(|left| format!(", {} left", duration_ns(left))));
    let bar = area.width / 6;
    pen.bar(area.x + 1, area.y, bar, done, steps);
    let role = if count("failed") > 0 { Role::Bad } else { Role::Title };
    pen.put(area.x + bar + 2, area.y, area.width.saturating_sub(bar + 2), &said, role);
    pen.put(area.x + 1, area.y + 1, area.width - 1, "  #   run         span      state       progress", Role::Dim);
}

fn done_steps(segment: &SegmentStatus) -> u64 {
    match &segment.state {
        SegmentState::Queued | SegmentState::Cancelled | SegmentState::Failed { .. } => 0,
        SegmentState::Running { done_steps } => *done_steps,
        SegmentState::Done { .. } => segment.steps,
    }
}

fn segment_look(glyphs: &Glyphs, segment: &SegmentStatus) -> (&'static str, Role) {
    match &segment.state {
        SegmentState::Queued => (glyphs.queued, Role::Dim),
        SegmentState::Running { .. } => (glyphs.running, Role::Running),
        SegmentState::Done { check } => match check.verdict() {
            Verdict::Diverged => (glyphs.diverged, Role::Bad),
            Verdict::Unverified => (glyphs.unverified, Role::Warning),
            Verdict::Verified | Verdict::Recorded => (glyphs.finished, Role::Good),
        },
        SegmentState::Failed { .. } => (glyphs.failed, Role::Bad),
        SegmentState::Cancelled => (glyphs.cancelled, Role::Warning),
    }
}

fn segment_row(app: &App, pen: &mut Pen<'_>, line: Rect, position: usize) {
    let Some(job) = app.replay.current_job() else { return };
    let Some(segment) = job.segments.get(position) else { return };
    let (x, y) = (line.x, line.y);
    let role = if position == app.replay.cursor.selected { Role::Selected } else { Role::Text };
    pen.put(x + 3, y, 3, &segment.id.to_string(), Role::Dim);
    pen.put(x + 7, y, 10, segment.run.as_str(), role);
    let span = segment.span.map_or("prefix".into(), |(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    pen.put(x + 19, y, 9, &span, Role::Text);
    let (glyph, role) = segment_look(pen.glyphs(), segment);
    let word = match &segment.state {
        SegmentState::Done { check } => check.verdict().word(),
        other => other.word(),
    };
    pen.pieces(x + 29, y, 12, &[(glyph, role), (" ", role), (word, role)]);
    pen.bar(x + 42, y, 11.min(line.width.saturating_sub(43)), done_steps(segment), segment.steps.max(1));
    pen.put(x + 54, y, line.width.saturating_sub(54), &timing(app, job, segment), Role::Dim);
}

/// How long it took, or how long it will still take.
fn timing(app: &App, job: &JobStatus, segment: &SegmentStatus) -> String {
    let left = app.replay.steps.of_segment(&job.id, segment, app.now_ms);
    match (&segment.state, segment.started_ms, segment.ended_ms) {
        (SegmentState::Running { .. }, ..) => left.map_or(String::new(), in_time),
        (SegmentState::Queued, ..) => format!("about {}", duration_ns(segment.estimated_ns)),
        (_, Some(start), Some(end)) => duration_ns(u64::try_from(end - start).unwrap_or(0) * 1_000_000),
        _ => String::new(),
    }
}

/// How much time is left. What was to have ended by now has no number.
fn in_time(left_ns: u64) -> String {
    if left_ns == 0 { "soon".to_owned() } else { format!("{} left", duration_ns(left_ns)) }
}

/// The first line of the detail at most, where it has the whole body.
pub fn last_offset(app: &App) -> usize {
    let Some(areas) = app.areas() else { return 0 };
    // Signs are as wide in every set.
    let lines = detail_lines(app, areas.main, &crate::tui::theme::UNICODE);
    lines.len().saturating_sub(usize::from(areas.main.height))
}

/// The lines of the detail where it has the whole body.
pub fn detail_text(app: &App) -> Vec<String> {
    let lines = app.areas().map(|areas| detail_lines(app, areas.main, &crate::tui::theme::UNICODE));
    lines.unwrap_or_default().into_iter().map(|(line, _)| line).collect()
}

fn detail(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let lines = detail_lines(app, area, &pen.glyphs().clone());
    let found = app.replay.found_line().filter(|_| app.zoom);
    let shown = lines.into_iter().enumerate().skip(app.replay.detail_offset);
    for (y, (number, (line, role))) in (area.y..area.bottom()).zip(shown) {
        if found == Some(number) {
            pen.cursor(y, area.x);
        }
        pen.put(area.x + 1, y, area.width.saturating_sub(1), &line, role);
    }
}

/// What there is to say about the row under the cursor.
fn detail_lines(app: &App, area: Rect, glyphs: &Glyphs) -> Vec<(String, Role)> {
    let replay = &app.replay;
    let mut lines: Vec<(String, Role)> = Vec::new();
    match replay.stage {
        Stage::Choose => {
            if let Some(statement) = replay.statements.as_ref().and_then(|s| s.get(replay.cursor.selected)) {
                lines.push((format!("in {}", statement.scope), Role::Dim));
                lines.extend(statement.text.lines().map(|l| (l.to_owned(), Role::Statement)));
            }
        }
        Stage::Preview => {
            if let Some((_, propagation)) = replay.preview.get(replay.cursor.selected) {
                lines.extend(propagation.placements.iter().flat_map(placement_head));
                let columns = usize::from(area.width.saturating_sub(2));
                let around = usize::from(area.height / 6).clamp(2, 6);
                lines.extend(snippet(&propagation.text, &propagation.inserted, (around, columns), glyphs));
                lines.extend(propagation.placements.iter().flat_map(placement_rest));
                lines.extend(propagation.problems.iter().map(|p| (p.clone(), Role::Warning)));
            }
        }
        Stage::Plan => {
            if let Some(run) = replay.plan.as_ref().and_then(|p| p.runs.get(replay.cursor.selected)) {
                lines.extend(replay.plan.iter().filter_map(|p| p.isolation.notice()).map(|n| (n, Role::Warning)));
                let fewer = replay.plan.iter().filter_map(|p| p.fewer_workers.as_ref());
                // What the option does on the command line, keys do here.
                lines.extend(fewer.map(|why| (why.replace("--jobs decides", "+ and - decide"), Role::Dim)));
                lines.extend(run.notes.iter().map(|note| (note.clone(), Role::Warning)));
                lines.extend(run.placements.iter().flat_map(placement_lines));
            }
        }
        Stage::Job => lines = segment_lines(app),
    }
    let columns = usize::from(area.width.saturating_sub(2));
    lines.iter().flat_map(|(line, role)| text::wrap(line, columns).into_iter().map(move |l| (l, *role))).collect()
}

/// A placement in words.
pub(super) fn placement_lines(placement: &Placement) -> Vec<(String, Role)> {
    placement_head(placement).chain(placement_rest(placement)).collect()
}

/// Where it is and what speaks for or against it.
fn placement_head(placement: &Placement) -> impl Iterator<Item = (String, Role)> + '_ {
    let place = placement.line.map_or(String::new(), |line| format!(", line {line}"));
    let title = format!("{}: {}{place}", placement.name, placement.status.word());
    let reasons = placement.reasons.iter().map(|reason| (format!("  {reason}"), Role::Text));
    std::iter::once((title, Role::Title)).chain(reasons)
}

/// What was changed for it, and where else it could be.
fn placement_rest(placement: &Placement) -> impl Iterator<Item = (String, Role)> + '_ {
    let changes = placement.changes.iter().map(|change| (format!("  changed: {change}"), Role::Text));
    let others = (1..).zip(&placement.alternatives);
    changes.chain(others.map(|(n, a)| (format!("  {n}  or after line {}: {}", a.after_line, a.reason), Role::Dim)))
}

/// The inserted lines with some lines around them, each cut to the columns that there are.
fn snippet(
    source: &str,
    inserted: &[(u32, u32)],
    (around, columns): (usize, usize),
    glyphs: &Glyphs,
) -> Vec<(String, Role)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut shown = Vec::new();
    for (first, last) in inserted {
        let (first, last) = (usize::try_from(*first).unwrap_or(1), usize::try_from(*last).unwrap_or(1));
        for number in first.saturating_sub(around).max(1)..=(last + around).min(lines.len()) {
            let is_new = (first..=last).contains(&number);
            let (sign, role) = if is_new { (glyphs.statement, Role::Statement) } else { (" ", Role::Text) };
            let line = text::clean(lines[number - 1]);
            let line = text::fit(&line, columns.saturating_sub(7), glyphs.ellipsis);
            shown.push((format!("{number:>4} {sign} {line}"), role));
        }
    }
    shown
}

fn segment_lines(app: &App) -> Vec<(String, Role)> {
    let Some(segment) = app.replay.selected_segment() else { return Vec::new() };
    let mut lines = Vec::new();
    lines.extend(segment.isolation.notice().map(|notice| (notice, Role::Warning)));
    if let SegmentState::Done { check } = &segment.state {
        lines.extend(check.refused.iter().map(|what| (format!("it was refused to {what}"), Role::Warning)));
    }
    let causes = segment.causes.iter().map(|cause| (format!("likely: {}", cause.sentence), Role::Warning));
    lines.extend(segment.notes.iter().map(|note| (note.clone(), Role::Warning)).chain(causes));
    match &segment.state {
        SegmentState::Done { check } => match &check.first_difference {
            None => {
                let role = if check.verdict() == Verdict::Verified { Role::Good } else { Role::Warning };
                lines.push((check.words(), role));
            }
            Some(d) => {
                let value =
                    |v: &Option<crate::model::value::Value>| v.as_ref().map_or("nothing".into(), ToString::to_string);
                lines.push((
                    format!(
                        "first difference: {} at {}: recorded {}, replayed {}",
                        d.name,
                        d.position,
                        value(&d.recorded),
                        value(&d.replayed)
                    ),
                    Role::Bad,
                ));
            }
        },
        SegmentState::Failed { message, traceback } => {
            lines.push((message.clone(), Role::Bad));
            lines.extend(traceback.iter().flat_map(|t| t.lines()).map(|l| (l.to_owned(), Role::Text)));
        }
        SegmentState::Queued | SegmentState::Running { .. } | SegmentState::Cancelled => {}
    }
    if let Some((job, id, log)) = &app.replay.log
        && app.replay.job.as_ref() == Some(job)
        && *id == segment.id
    {
        let room = if app.zoom { log.len() } else { 40 };
        lines.extend(log[log.len().saturating_sub(room)..].iter().map(|l| (l.clone(), Role::Dim)));
    }
    lines
}
