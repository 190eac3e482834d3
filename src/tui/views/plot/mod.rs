//! A column as curves, one a run, with a crosshair and a legend that has every run's value under it.

mod raster;

use ratatui::layout::Rect;

use crate::model::grid::Grid;
use crate::model::verdict::Verdict;
use crate::tui::app::App;
use crate::tui::app::arguments::tell_apart;
use crate::tui::app::plot::curves::{Curve, Curves, Point};
use crate::tui::app::plot::{AXIS, Dots, Plot, Scale, parts};
use crate::tui::app::table::{self, title};
use crate::tui::theme::Role;
use crate::tui::views::plot::raster::Raster;
use crate::tui::views::{Pen, timeline};

const SERIES: [Role; 4] = [Role::Series1, Role::Series2, Role::Series3, Role::Series4];
/// A value that is no number, on the upper border: good values of what is watched are more often low.
const NOT_A_NUMBER: &str = "N";

/// The vertical extent, on the scale that is drawn.
#[derive(Debug, Clone, Copy)]
struct Extent {
    low: f64,
    high: f64,
    logarithmic: bool,
}

pub(super) fn draw(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let results = &app.results;
    let Some(plot) = &results.plot else { return };
    let Some(curves) = &plot.curves else {
        let name = title(&results.grid, results.selected());
        pen.put(area.x + 1, area.y, area.width - 1, &format!("{name} …"), Role::Dim);
        return;
    };
    let dots = if pen.glyphs().plain { Dots::Letters } else { results.dots };
    heading(plot, curves, &results.grid, pen, area);
    let Some(parts) = parts(area, curves.curves.len()).filter(|_| !curves.curves.is_empty()) else {
        let said = if curves.curves.is_empty() { "no numbers to plot in this column" } else { "no room for a plot" };
        pen.put(area.x + 1, area.y + 1, area.width - 1, said, Role::Warning);
        return;
    };
    let Some(extent) = extent(plot) else {
        let said = match plot.scale {
            Scale::Linear => "no finite numbers in what is shown",
            Scale::Logarithmic => "nothing above zero: there is no logarithmic scale for it (. back to the grid)",
        };
        pen.put(area.x + 1, area.y + 2, area.width - 1, said, Role::Warning);
        legend(app, plot, pen, parts.legend);
        return;
    };
    axes(plot, curves, extent, pen, parts.field);
    crosshair(plot, pen, parts.field);
    let mut raster = Raster::new(dots, parts.field);
    // The selected run last: on top.
    let selected = plot.legend.selected;
    let mut all: Vec<(usize, &Curve)> = plot.shown().collect();
    all.sort_by_key(|(at, _)| *at == selected);
    for (at, curve) in &all {
        line(&mut raster, curve, curves, extent, (role(*at), letter(*at)));
    }
    raster.draw(pen);
    for (at, curve) in &all {
        marks(pen, &raster, parts.field, curve, curves, extent, role(*at));
        if curves.curves.len() > 1 && dots != Dots::Letters {
            name(pen, &raster, parts.field, curve, curves, extent, (role(*at), letter(*at)));
        }
    }
    legend(app, plot, pen, parts.legend);
}

fn role(run: usize) -> Role {
    SERIES[run % SERIES.len()]
}

/// One letter a run, since colours repeat and may be missing.
fn letter(run: usize) -> char {
    char::from(b'a' + u8::try_from(run % 26).unwrap_or(0))
}

fn heading(plot: &Plot, curves: &Curves, grid: &Grid, pen: &mut Pen<'_>, area: Rect) {
    let scale = match plot.scale {
        Scale::Linear => "linear",
        Scale::Logarithmic => "logarithmic",
    };
    let mut x = area.x + 1;
    x += pen.put(x, area.y, area.right() - x, &curves.title, Role::Title) + 2;
    let over = format!("{scale}  over {}", counted(curves));
    x += pen.put(x, area.y, area.right().saturating_sub(x), &over, Role::Dim) + 2;
    let here = plot.point().and_then(|p| usize::try_from(p.row).ok()).map(|row| table::position(grid, row));
    let here = here.filter(|here| !here.is_empty()).unwrap_or_default();
    pen.right(x, area.y, area.right().saturating_sub(x + 1), &here, Role::Key);
}

/// What the position counts, in words.
fn counted(curves: &Curves) -> String {
    match curves.loops.get(curves.axis) {
        None => "nothing: it lies outside every loop".into(),
        Some(axis) if curves.axis == 0 => axis.clone(),
        Some(axis) => format!("{axis} of every {}", curves.loops[..curves.axis].join(", ")),
    }
}

fn extent(plot: &Plot) -> Option<Extent> {
    let logarithmic = plot.scale == Scale::Logarithmic;
    let ranges = plot.shown().filter_map(|(_, c)| if logarithmic { c.positive } else { c.range });
    let (low, high) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let (low, high) = if logarithmic { (low.log10(), high.log10()) } else { (low, high) };
    Some(Extent { low, high, logarithmic })
}

impl Extent {
    /// The share of the height from the top; `None` for what has no place on the scale.
    fn share(self, y: f64) -> Option<f64> {
        let y = if self.logarithmic { y.log10() } else { y };
        if !y.is_finite() {
            return None;
        }
        // Halves first: the difference of two finite numbers need not be finite.
        let (height, below) = (self.high / 2.0 - self.low / 2.0, self.high / 2.0 - y / 2.0);
        Some(if height > 0.0 { below / height } else { 0.5 })
    }

    fn shown(self, y: f64) -> String {
        timeline::short_float(if self.logarithmic { 10_f64.powf(y) } else { y })
    }
}

/// The share of the width from the left.
fn across(curves: &Curves, x: f64) -> f64 {
    let (first, last) = curves.span;
    if last > first { (x - first) / (last - first) } else { 0.0 }
}

fn axes(plot: &Plot, curves: &Curves, extent: Extent, pen: &mut Pen<'_>, field: Rect) {
    let left = field.x - AXIS;
    if extent.high > extent.low {
        let middle = extent.low / 2.0 + extent.high / 2.0;
        for (y, value) in
            [(field.y, extent.high), (field.y + field.height / 2, middle), (field.bottom() - 1, extent.low)]
        {
            pen.right(left, y, AXIS - 1, &extent.shown(value), Role::Dim);
        }
    } else {
        pen.right(left, field.y + field.height / 2, AXIS - 1, &extent.shown(extent.low), Role::Dim);
    }
    let y = field.bottom();
    pen.put(field.x, y, field.width, &place(curves.span.0), Role::Dim);
    pen.right(field.x, y, field.width, &place(curves.span.1), Role::Dim);
    let x = u16::try_from(plot.cell(plot.at, field.width)).unwrap_or(0);
    let here = place(plot.at);
    let columns = u16::try_from(here.len()).unwrap_or(0);
    let at = (field.x + x).min(field.right().saturating_sub(columns));
    pen.clear(Rect { x: at.saturating_sub(1), y, width: columns + 2, height: 1 });
    pen.put(at, y, columns, &here, Role::Key);
}

/// A position: whole ones without a point.
fn place(x: f64) -> String {
    if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.3}") }
}

fn crosshair(plot: &Plot, pen: &mut Pen<'_>, field: Rect) {
    let x = field.x + u16::try_from(plot.cell(plot.at, field.width)).unwrap_or(0);
    let bar = pen.glyphs().bar;
    for y in field.top()..field.bottom() {
        pen.put(x, y, 1, bar, Role::Rule);
    }
}

fn line(raster: &mut Raster, curve: &Curve, curves: &Curves, extent: Extent, (role, letter): (Role, char)) {
    let mut previous = None;
    for point in &curve.drawn {
        let dot = extent.share(point.y).map(|share| raster.dot(across(curves, point.x), share));
        if let Some(dot) = dot {
            // What cannot be drawn leaves a gap.
            raster.line(previous.unwrap_or(dot), dot, role, letter);
        }
        previous = dot;
    }
}

/// Signs over the curve: doubtful values in their place, what has no place on the border nearest to it.
fn marks(pen: &mut Pen<'_>, raster: &Raster, field: Rect, curve: &Curve, curves: &Curves, extent: Extent, role: Role) {
    let glyphs = *pen.glyphs();
    for point in &curve.drawn {
        let across = across(curves, point.x);
        let (x, y) = raster.place(raster.dot(across, extent.share(point.y).unwrap_or(0.0)));
        let bottom = field.bottom() - 1;
        if point.y.is_nan() {
            pen.put(x, field.y, 1, NOT_A_NUMBER, Role::Bad);
        } else if point.y == f64::INFINITY {
            pen.put(x, field.y, 1, glyphs.ascending, Role::Bad);
        } else if extent.share(point.y).is_none() {
            pen.put(x, bottom, 1, glyphs.descending, Role::Bad);
        } else if point.verdict == Verdict::Diverged {
            pen.put(x, y, 1, glyphs.diverged, Role::Bad);
        } else if point.verdict == Verdict::Unverified {
            pen.put(x, y, 1, glyphs.unverified, role);
        }
    }
}

/// The run's letter beside the end of its curve, which may bear a mark.
fn name(
    pen: &mut Pen<'_>,
    raster: &Raster,
    field: Rect,
    curve: &Curve,
    curves: &Curves,
    extent: Extent,
    (role, letter): (Role, char),
) {
    let end = curve.drawn.iter().rev().find_map(|p| extent.share(p.y).map(|share| (p.x, share)));
    if let Some((x, share)) = end {
        let (x, y) = raster.place(raster.dot(across(curves, x), share));
        let y = if y > field.y { y - 1 } else { y + 1 };
        pen.put(x, y, 1, letter.encode_utf8(&mut [0; 4]), role);
    }
}

fn legend(app: &App, plot: &Plot, pen: &mut Pen<'_>, area: Rect) {
    let runs = || plot.runs().iter().enumerate().skip(plot.legend.offset).take(usize::from(area.height));
    let known: Vec<_> = runs().map(|(_, curve)| app.timeline.run(&curve.run)).collect();
    for (y, ((at, curve), apart)) in (area.y..area.bottom()).zip(runs().zip(tell_apart(&known))) {
        if at == plot.legend.selected {
            pen.cursor(y, area.x);
        }
        let sign = format!("{} ", letter(at));
        let mut x = area.x + 1 + pen.put(area.x + 1, y, 2, &sign, role(at));
        let hidden = plot.hidden.contains(&curve.run);
        let name = match (hidden, at == plot.legend.selected) {
            (true, _) => Role::Dim,
            (false, true) => Role::Title,
            (false, false) => Role::Text,
        };
        x += pen.put(x, y, 11, &curve.run, name).max(10) + 1;
        if hidden {
            pen.put(x, y, area.right().saturating_sub(x), "hidden (Space shows it)", Role::Dim);
            continue;
        }
        x += value(plot, curve, &app.results.grid, pen, (x, y), area.right());
        let counts = counts(curve, plot.scale);
        x += pen.put(x + 1, y, area.right().saturating_sub(x + 1), &counts, Role::Warning);
        x += if counts.is_empty() { 1 } else { 3 };
        pen.put(x, y, area.right().saturating_sub(x), &apart, Role::Dim);
    }
    let hidden = plot.runs().len().saturating_sub(plot.legend.offset + usize::from(area.height));
    if hidden > 0 {
        let said = format!(" {hidden} more: j k ");
        pen.right(area.x, area.bottom() - 1, area.width, &said, Role::Key);
    }
}

/// A run's value under the crosshair, or the last one before it with its position. Columns used.
fn value(plot: &Plot, curve: &Curve, grid: &Grid, pen: &mut Pen<'_>, (x, y): (u16, u16), right: u16) -> u16 {
    let room = right.saturating_sub(x);
    let glyphs = *pen.glyphs();
    let Some(point) = curve.at(plot.at) else { return pen.put(x, y, room, glyphs.empty, Role::Dim) };
    let number = if point.y.is_finite() { timeline::short_float(point.y) } else { point.y.to_string() };
    let exact = point.x >= plot.at;
    let (mark, mark_role) = sign(point, glyphs);
    let mut used = pen.put(x, y, room.min(11), &number, if exact { Role::Text } else { Role::Dim }).max(10) + 1;
    used += pen.put(x + used, y, room.saturating_sub(used), mark, mark_role).max(1) + 1;
    if !exact {
        let row = usize::try_from(point.row).unwrap_or(0);
        let said = format!("at {}", table::position(grid, row));
        used += pen.put(x + used, y, room.saturating_sub(used), &said, Role::Dim) + 1;
    }
    used
}

fn sign(point: &Point, glyphs: crate::tui::theme::Glyphs) -> (&'static str, Role) {
    match point.verdict {
        Verdict::Recorded => ("", Role::Text),
        Verdict::Verified => (glyphs.verified, Role::Good),
        Verdict::Unverified => (glyphs.unverified, Role::Warning),
        Verdict::Diverged => (glyphs.diverged, Role::Bad),
    }
}

/// What of a run's values the curve does not show as such.
fn counts(curve: &Curve, scale: Scale) -> String {
    let counts = curve.counts;
    let not_positive = if scale == Scale::Logarithmic { counts.not_positive } else { 0 };
    let said = [
        (counts.nan, "NaN"),
        (counts.infinite, "infinite"),
        (not_positive, "not above zero"),
        (counts.diverged, "diverged"),
        (counts.unverified, "unverified"),
    ];
    let said = said.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    said.collect::<Vec<_>>().join(", ")
}
