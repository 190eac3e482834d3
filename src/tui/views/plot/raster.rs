//! Curves as dots: braille, half blocks or letters.

use ratatui::layout::Rect;

use crate::tui::app::plot::Dots;
use crate::tui::app::plot::curves::cell;
use crate::tui::theme::Role;
use crate::tui::views::Pen;

/// Bits of the dots of a braille cell, by column and row.
const BRAILLE: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// By bits: the upper half, the lower one, both.
const HALVES: [&str; 4] = [" ", "▀", "▄", "█"];

/// A field of dots, and whose they are.
pub(super) struct Raster {
    dots: Dots,
    field: Rect,
    /// Dots across and down a cell.
    per_cell: (usize, usize),
    cells: Vec<(u8, Role, char)>,
}

impl Raster {
    pub(super) fn new(dots: Dots, field: Rect) -> Self {
        let per_cell = match dots {
            Dots::Braille => (2, 4),
            Dots::Blocks => (1, 2),
            Dots::Letters => (1, 1),
        };
        let cells = vec![(0, Role::Text, ' '); usize::from(field.width) * usize::from(field.height)];
        Self { dots, field, per_cell, cells }
    }

    /// The dot at a share of the field's width and height, from its top left.
    pub(super) fn dot(&self, x: f64, y: f64) -> (usize, usize) {
        let (width, height) = (usize::from(self.field.width), usize::from(self.field.height));
        (cell(x, 1.0, width * self.per_cell.0), cell(y, 1.0, height * self.per_cell.1))
    }

    /// The place on the screen of a dot.
    pub(super) fn place(&self, (x, y): (usize, usize)) -> (u16, u16) {
        let across = u16::try_from(x / self.per_cell.0).unwrap_or(0);
        let down = u16::try_from(y / self.per_cell.1).unwrap_or(0);
        (self.field.x + across, self.field.y + down)
    }

    pub(super) fn set(&mut self, (x, y): (usize, usize), role: Role, letter: char) {
        let index = y / self.per_cell.1 * usize::from(self.field.width) + x / self.per_cell.0;
        let bit = match self.dots {
            Dots::Braille => BRAILLE[x % 2][y % 4],
            Dots::Blocks => 1 << (y % 2),
            Dots::Letters => 1,
        };
        if let Some(cell) = self.cells.get_mut(index) {
            *cell = (cell.0 | bit, role, letter);
        }
    }

    /// A straight line. Letters would be too thick for one: they stand for values alone.
    pub(super) fn line(&mut self, from: (usize, usize), to: (usize, usize), role: Role, letter: char) {
        if self.dots == Dots::Letters {
            return self.set(to, role, letter);
        }
        let steps = to.0.abs_diff(from.0).max(to.1.abs_diff(from.1));
        let between = |from: usize, to: usize, step: usize| {
            if to >= from { from + (to - from) * step / steps.max(1) } else { from - (from - to) * step / steps.max(1) }
        };
        for step in 0..=steps {
            self.set((between(from.0, to.0, step), between(from.1, to.1, step)), role, letter);
        }
    }

    pub(super) fn draw(&self, pen: &mut Pen<'_>) {
        let width = usize::from(self.field.width).max(1);
        for (index, (bits, role, letter)) in self.cells.iter().enumerate().filter(|(_, c)| c.0 != 0) {
            let (x, y) = (u16::try_from(index % width).unwrap_or(0), u16::try_from(index / width).unwrap_or(0));
            let mut buffer = [0; 4];
            let glyph = match self.dots {
                Dots::Braille => &*char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ').encode_utf8(&mut buffer),
                Dots::Blocks => HALVES[usize::from(bits & 3)],
                Dots::Letters => letter.encode_utf8(&mut buffer),
            };
            pen.put(self.field.x + x, self.field.y + y, 1, glyph, *role);
        }
    }
}
