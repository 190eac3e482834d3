//! A column as curves, one a run: braille dots, or ASCII where those cannot be shown.

use ratatui::layout::Rect;

use crate::tui::app::App;
use crate::tui::app::results::Plot;
use crate::tui::app::table::{Column, number, row_at, run_of, title};
use crate::tui::theme::Role;
use crate::tui::views::{Pen, timeline};

/// More points than this are thinned out evenly: a screen has no more dots.
const MOST_POINTS: usize = 20_000;
const SERIES: [Role; 4] = [Role::Series1, Role::Series2, Role::Series3, Role::Series4];
/// One letter a run where there is neither braille nor reliable colour.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
/// Columns kept for the axis.
const AXIS: u16 = 11;

struct Curve {
    run: String,
    /// Position within the run, and value.
    points: Vec<(usize, f64)>,
}

pub(super) fn draw(app: &App, pen: &mut Pen<'_>, area: Rect) {
    let results = &app.results;
    let logarithmic = results.plot == Some(Plot::Logarithmic);
    let curves = curves(app, logarithmic);
    let scale = if logarithmic { "logarithmic; . ends" } else { "linear; . logarithmic" };
    let name = title(&results.grid, results.selected());
    pen.put(area.x + 1, area.y, area.width - 1, &format!("{name}   {scale}   h l other column   Esc grid"), Role::Dim);
    let values = || curves.iter().flat_map(|c| c.points.iter().map(|p| p.1));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if low > high || area.height < 5 || area.width < AXIS + 10 {
        pen.put(area.x + 1, area.y + 2, area.width - 1, "no numbers to plot in this column", Role::Warning);
        return;
    }
    let field = Rect { x: area.x + AXIS, y: area.y + 1, width: area.width - AXIS - 1, height: area.height - 3 };
    let shown = |x: f64| timeline::short_float(if logarithmic { 10_f64.powf(x) } else { x });
    for (y, x) in [(field.y, high), (field.y + field.height / 2, f64::midpoint(low, high)), (field.bottom() - 1, low)] {
        pen.right(area.x, y, AXIS - 1, &shown(x), Role::Dim);
    }
    let longest = curves.iter().flat_map(|c| c.points.last()).map(|p| p.0).max().unwrap_or(0);
    if pen.glyphs().plain {
        draw_letters(pen, field, &curves, (low, high), longest);
    } else {
        draw_dots(pen, field, &curves, (low, high), longest);
    }
    pen.right(field.x, field.bottom(), field.width, &format!("row {longest} of its run"), Role::Dim);
    legend(pen, area, &curves);
}

fn legend(pen: &mut Pen<'_>, area: Rect, curves: &[Curve]) {
    let (mut x, y) = (area.x + 1, area.bottom() - 1);
    for ((curve, role), letter) in curves.iter().zip(SERIES.iter().cycle()).zip(LETTERS.chars().cycle()) {
        let sign = if pen.glyphs().plain { letter.to_string() } else { "━".to_owned() };
        if x + 14 > area.right() {
            break;
        }
        x += pen.pieces(x, y, 13, &[(&sign, *role), (" ", Role::Text), (&curve.run, Role::Dim)]) + 2;
    }
}

/// The finite values of the selected column in the rows shown, by run.
fn curves(app: &App, logarithmic: bool) -> Vec<Curve> {
    let results = &app.results;
    let column = results.selected();
    let rows = results.shown();
    let step = rows.div_ceil(MOST_POINTS).max(1);
    let mut curves: Vec<Curve> = Vec::new();
    let mut seen: std::collections::HashMap<u32, (usize, usize)> = std::collections::HashMap::new();
    for position in (0..rows).step_by(step) {
        let row = row_at(results.order(), position);
        let Some(run) = results.grid.rows_run.get(row) else { continue };
        let (curve, at) = seen.entry(*run).or_insert_with(|| {
            let name = run_of(&results.grid, row).unwrap_or("").to_owned();
            curves.push(Curve { run: name, points: Vec::new() });
            (curves.len() - 1, 0)
        });
        let value = match column {
            Column::Run => None,
            Column::Loop(_) | Column::Name(_) => number(&results.grid, column, row),
        };
        let value = if logarithmic { value.filter(|x| *x > 0.0).map(f64::log10) } else { value };
        if let Some(x) = value.filter(|x| x.is_finite()) {
            curves[*curve].points.push((*at, x));
        }
        *at += step;
    }
    curves.retain(|curve| !curve.points.is_empty());
    curves
}

/// Where `at` of `0..=most` falls among `cells` cells.
fn cell(at: f64, most: f64, cells: usize) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "cells of a screen")]
    let place = if most > 0.0 { at / most * (cells.saturating_sub(1)) as f64 } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..cells by construction")]
    let cell = place.round().max(0.0) as usize;
    cell.min(cells.saturating_sub(1))
}

#[expect(clippy::cast_precision_loss, reason = "positions on a screen")]
fn draw_letters(pen: &mut Pen<'_>, field: Rect, curves: &[Curve], (low, high): (f64, f64), longest: usize) {
    for ((curve, role), letter) in curves.iter().zip(SERIES.iter().cycle()).zip(LETTERS.chars().cycle()) {
        for (at, value) in &curve.points {
            let x = cell(*at as f64, longest as f64, usize::from(field.width));
            let y = cell(high - value, high - low, usize::from(field.height));
            let (x, y) = (u16::try_from(x).unwrap_or(0), u16::try_from(y).unwrap_or(0));
            pen.put(field.x + x, field.y + y, 1, letter.encode_utf8(&mut [0; 4]), *role);
        }
    }
}

/// Two by four dots a cell; neighbours are joined by straight lines.
#[expect(clippy::cast_precision_loss, reason = "positions on a screen")]
fn draw_dots(pen: &mut Pen<'_>, field: Rect, curves: &[Curve], (low, high): (f64, f64), longest: usize) {
    /// Bits of the dots of a braille cell, by column and row.
    const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    let (width, height) = (usize::from(field.width), usize::from(field.height));
    let mut cells = vec![(0_u8, Role::Text); width * height];
    for (curve, role) in curves.iter().zip(SERIES.iter().cycle()) {
        let dots = curve.points.iter().map(|(at, value)| {
            (cell(*at as f64, longest as f64, width * 2), cell(high - value, high - low, height * 4))
        });
        let mut previous: Option<(usize, usize)> = None;
        for (x, y) in dots {
            let (from_x, from_y) = previous.unwrap_or((x, y));
            let steps = x.abs_diff(from_x).max(y.abs_diff(from_y));
            for step in 0..=steps {
                let between = |from: usize, to: usize| {
                    if to >= from {
                        from + (to - from) * step / steps.max(1)
                    } else {
                        from - (from - to) * step / steps.max(1)
                    }
                };
                let (x, y) = (between(from_x, x), between(from_y, y));
                let cell = &mut cells[y / 4 * width + x / 2];
                *cell = (cell.0 | BITS[x % 2][y % 4], *role);
            }
            previous = Some((x, y));
        }
    }
    for (index, (bits, role)) in cells.iter().enumerate().filter(|(_, c)| c.0 != 0) {
        let glyph = char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ');
        let (x, y) = (u16::try_from(index % width).unwrap_or(0), u16::try_from(index / width).unwrap_or(0));
        pen.put(field.x + x, field.y + y, 1, glyph.encode_utf8(&mut [0; 4]), *role);
    }
}
