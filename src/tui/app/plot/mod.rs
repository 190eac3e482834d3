//! The plot over the grid's place: what is plotted, the crosshair, and which run of the legend is looked at.

pub mod curves;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use ratatui::layout::Rect;

use crate::tui::app::App;
use crate::tui::app::list::Cursor;
use crate::tui::app::plot::curves::{Curve, Curves, Point, Wanted, cell};
use crate::tui::app::table::{Column, title};
use crate::tui::event::{Effect, Request};
use crate::tui::keys::Command;

/// Columns kept for the axis.
pub const AXIS: u16 = 11;
/// Cells that a page moves the crosshair by.
const PAGE: usize = 10;

/// The vertical scale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    #[default]
    Linear,
    Logarithmic,
}

/// What curves are drawn with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dots {
    /// Two by four a cell.
    #[default]
    Braille,
    /// One by two a cell, for fonts without braille.
    Blocks,
    /// One letter a run.
    Letters,
}

/// A plot of the selected column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plot {
    pub scale: Scale,
    /// The loop that is counted; `None`: the innermost.
    pub axis: Option<String>,
    /// The newest curves; older ones stay until these have come.
    pub curves: Option<Arc<Curves>>,
    /// The crosshair.
    pub at: f64,
    /// The row of the grid that the crosshair came from: where it goes when the positions are counted anew.
    row: Option<u32>,
    /// Among the runs.
    pub legend: Cursor,
    /// Runs that are not drawn, and that the scale does not care for.
    pub hidden: BTreeSet<String>,
}

/// Where the parts of a plot stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    pub field: Rect,
    pub legend: Rect,
}

/// The parts for so many runs; `None` if there is no room.
pub fn parts(area: Rect, runs: usize) -> Option<Parts> {
    let wanted = u16::try_from(runs).unwrap_or(u16::MAX);
    let legend = wanted.min((area.height / 4).max(1));
    if area.height < legend + 4 || area.width < AXIS + 10 {
        return None;
    }
    // Above it the title, below it the axis.
    let field =
        Rect { x: area.x + AXIS, y: area.y + 1, width: area.width - AXIS - 1, height: area.height - 2 - legend };
    Some(Parts { field, legend: Rect { y: area.bottom() - legend, height: legend, ..area } })
}

impl Plot {
    /// The runs that have values.
    pub fn runs(&self) -> &[Curve] {
        self.curves.as_ref().map_or(&[], |curves| &curves.curves)
    }

    /// The cell across a field of this width that a position falls in.
    pub fn cell(&self, x: f64, width: u16) -> usize {
        let (first, last) = self.curves.as_ref().map_or((0.0, 0.0), |curves| curves.span);
        cell(x - first, last - first, usize::from(width))
    }

    /// The point of the selected run at the crosshair, or of any run that has one there.
    pub fn point(&self) -> Option<&Point> {
        let own = self.runs().get(self.legend.selected).and_then(|curve| curve.at(self.at));
        let exact = || self.runs().iter().filter_map(|curve| curve.at(self.at)).find(|p| p.x >= self.at);
        own.filter(|p| p.x >= self.at).or_else(exact).or(own)
    }

    /// The runs that are drawn, with their places among all.
    pub fn shown(&self) -> impl Iterator<Item = (usize, &Curve)> {
        self.runs().iter().enumerate().filter(|(_, curve)| !self.hidden.contains(&curve.run))
    }

    /// Newer curves: the crosshair goes to the value nearest to the row that it came from.
    fn take(&mut self, curves: Arc<Curves>) {
        let all = || curves.curves.iter().enumerate().flat_map(|(run, c)| c.points.iter().map(move |p| (run, p)));
        let nearest = match self.row {
            Some(row) => all().min_by_key(|(_, p)| p.row.abs_diff(row)),
            None => all().max_by(|a, b| a.1.x.total_cmp(&b.1.x)),
        };
        (self.legend.selected, self.at) = nearest.map_or((0, 0.0), |(run, p)| (run, p.x));
        self.curves = Some(Arc::clone(&curves));
    }

    /// Moves the crosshair to the next value that stands in another cell.
    fn step(&mut self, right: bool, width: u16) {
        let here = self.cell(self.at, width);
        let runs = self.shown().map(|(_, curve)| curve);
        let next = if right {
            let ahead = runs.filter_map(|c| c.points.get(c.points.partition_point(|p| self.cell(p.x, width) <= here)));
            ahead.map(|p| p.x).min_by(f64::total_cmp)
        } else {
            let behind =
                runs.filter_map(|c| c.points[..c.points.partition_point(|p| self.cell(p.x, width) < here)].last());
            behind.map(|p| p.x).max_by(f64::total_cmp)
        };
        self.put(next.unwrap_or(self.at));
    }

    fn put(&mut self, at: f64) {
        self.at = at;
        self.row = self.point().map(|p| p.row);
    }
}

impl App {
    /// Opens the plot of the selected column at the row under the cursor.
    pub(super) fn open_plot(&mut self) -> Vec<Effect> {
        let row = (self.results.shown() > 0).then(|| u32::try_from(self.results.row()).unwrap_or(u32::MAX));
        self.results.plot = Some(Plot { row, ..Plot::default() });
        self.ask_curves()
    }

    /// Asks for the curves of the selected column.
    pub(super) fn ask_curves(&mut self) -> Vec<Effect> {
        let Some(plot) = &self.results.plot else { return Vec::new() };
        let wanted = Wanted { column: self.results.selected(), axis: plot.axis.clone() };
        let (grid, order) = (self.results.grid.clone(), self.results.order().cloned());
        vec![self.ask(Request::Curves { grid, order, wanted })]
    }

    pub(super) fn take_curves(&mut self, curves: Arc<Curves>) {
        if let Some(plot) = &mut self.results.plot {
            plot.take(curves);
        }
    }

    /// The width of the field that curves are drawn in.
    fn field_width(&self) -> u16 {
        let runs = self.results.plot.as_ref().map_or(0, |plot| plot.runs().len());
        let parts = self.areas().and_then(|areas| parts(areas.main, runs));
        parts.map_or(1, |parts| parts.field.width)
    }

    pub(super) fn plot_command(&mut self, command: Command) -> Vec<Effect> {
        let width = self.field_width();
        let height = self.legend_height();
        let Some(plot) = &mut self.results.plot else { return Vec::new() };
        let span = plot.curves.as_ref().map_or((0.0, 0.0), |curves| curves.span);
        match command {
            Command::Left | Command::Right => plot.step(command == Command::Right, width),
            Command::PageUp | Command::PageDown | Command::HalfPageUp | Command::HalfPageDown => {
                let right = matches!(command, Command::PageDown | Command::HalfPageDown);
                (0..PAGE).for_each(|_| plot.step(right, width));
            }
            Command::FirstColumn | Command::Top => plot.put(span.0),
            Command::LastColumn | Command::Bottom => plot.put(span.1),
            Command::Up | Command::Down => {
                let runs = plot.runs().len();
                plot.legend.act(command, runs, height);
                plot.put(plot.at);
            }
            Command::Mark => {
                let run = plot.runs().get(plot.legend.selected).map(|curve| curve.run.clone()).unwrap_or_default();
                if !plot.hidden.remove(&run) {
                    plot.hidden.insert(run);
                }
            }
            Command::NextColumn | Command::PreviousColumn => return self.plot_beside(command == Command::NextColumn),
            Command::Axis => return self.next_axis(),
            Command::CellStyle => {
                self.results.dots = match self.results.dots {
                    Dots::Braille => Dots::Blocks,
                    Dots::Blocks => Dots::Letters,
                    Dots::Letters => Dots::Braille,
                }
            }
            Command::Plot => match plot.scale {
                Scale::Linear => plot.scale = Scale::Logarithmic,
                Scale::Logarithmic => self.results.plot = None,
            },
            Command::Open => return self.leave_plot_for_row(),
            Command::Copy => {
                let row = plot.point().and_then(|p| usize::try_from(p.row).ok());
                let text =
                    row.map(|row| crate::tui::app::table::text(&self.results.grid, self.results.selected(), row));
                return text.map(Effect::Copy).into_iter().collect();
            }
            Command::Search => self.say("there is nothing to search in a plot: Esc goes back to the grid"),
            _ => {}
        }
        Vec::new()
    }

    fn legend_height(&self) -> usize {
        let runs = self.results.plot.as_ref().map_or(0, |plot| plot.runs().len());
        let parts = self.areas().and_then(|areas| parts(areas.main, runs));
        parts.map_or(1, |parts| usize::from(parts.legend.height))
    }

    /// Plots the next column that can hold numbers.
    fn plot_beside(&mut self, forward: bool) -> Vec<Effect> {
        let visible = self.results.visible();
        let names: Vec<usize> = (0..visible.len()).filter(|at| matches!(visible[*at], Column::Name(_))).collect();
        let present = self.results.column;
        let next = if forward {
            names.iter().find(|at| **at > present).or(names.first())
        } else {
            names.iter().rev().find(|at| **at < present).or(names.last())
        };
        self.results.column = next.copied().unwrap_or(present);
        self.ask_curves()
    }

    /// Counts by the next outer loop; from the outermost, by the innermost again.
    fn next_axis(&mut self) -> Vec<Effect> {
        let Some(plot) = &mut self.results.plot else { return Vec::new() };
        let Some(curves) = &plot.curves else { return Vec::new() };
        if curves.loops.len() < 2 {
            let column = title(&self.results.grid, self.results.selected()).to_owned();
            self.say(format!("{column} lies in no more than one loop"));
            return Vec::new();
        }
        let next = (curves.axis + curves.loops.len() - 1) % curves.loops.len();
        plot.axis = Some(curves.loops[next].clone());
        self.ask_curves()
    }

    /// Back to the grid, at the row of the crosshair.
    fn leave_plot_for_row(&mut self) -> Vec<Effect> {
        let row = self.results.plot.as_ref().and_then(|plot| plot.point()).map(|p| p.row);
        self.results.plot = None;
        let position = row.and_then(|row| match self.results.order() {
            Some(order) => order.iter().position(|shown| *shown == row),
            None => usize::try_from(row).ok(),
        });
        if let Some(position) = position {
            let height = self.list_height();
            self.results.cursor.go(position, self.results.shown(), height);
        }
        Vec::new()
    }

    /// The crosshair to the column that was clicked.
    pub(super) fn click_plot(&mut self, column: u16) {
        let width = self.field_width();
        let Some(areas) = self.areas() else { return };
        let Some(plot) = &mut self.results.plot else { return };
        let (first, last) = plot.curves.as_ref().map_or((0.0, 0.0), |curves| curves.span);
        let cells = width.saturating_sub(1).max(1);
        let share = f64::from(column.saturating_sub(areas.main.x + AXIS).min(cells)) / f64::from(cells);
        let wanted = first + share * (last - first);
        let nearest = plot.runs().iter().flat_map(|curve| {
            let next = curve.points.partition_point(|p| p.x <= wanted);
            [next.checked_sub(1), Some(next)].into_iter().flatten().filter_map(|at| curve.points.get(at)).map(|p| p.x)
        });
        if let Some(x) = nearest.min_by(|a, b| (a - wanted).abs().total_cmp(&(b - wanted).abs())) {
            plot.put(x);
        }
    }

    pub(super) fn settle_plot(&mut self) {
        let height = self.legend_height();
        if let Some(plot) = &mut self.results.plot {
            let runs = plot.runs().len();
            plot.legend.settle(runs, height);
        }
    }
}
