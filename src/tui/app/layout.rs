//! Where things stand on the screen: the one computation that updates (for page sizes) and views share. Pure.

use ratatui::layout::Rect;

/// Below this nothing useful fits.
pub const SMALLEST: (u16, u16) = (40, 10);
/// From here on, list and detail stand side by side.
pub const WIDE: u16 = 120;
/// From here on, a diff is side by side unless the user says otherwise.
pub const SPLIT: u16 = 130;

/// Columns that a detail beside a list has at least.
const NARROWEST_DETAIL: u16 = 42;

/// Columns of a plan's rows with their titles.
const WIDEST_ROW: u16 = 75;

/// The areas of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    pub tabs: Rect,
    /// One line that says what the panel shows.
    pub header: Rect,
    /// The panel's main part, column titles included.
    pub main: Rect,
    /// Beside or below the main part.
    pub detail: Option<Rect>,
    pub footer: Rect,
}

/// How a panel shares the body with its detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The main part alone.
    Alone,
    /// Detail at the right where there is room; the main part would like so many columns.
    Beside(u16),
    /// Detail at the right where there is room, else below.
    BesideOrBelow,
}

/// The areas for a size; `None` if the terminal is too small for anything.
pub fn areas(size: (u16, u16), share: Share) -> Option<Areas> {
    let (width, height) = size;
    if width < SMALLEST.0 || height < SMALLEST.1 {
        return None;
    }
    let line = |y| Rect::new(0, y, width, 1);
    let body = Rect::new(0, 2, width, height - 3);
    let (main, detail) = match share {
        Share::Beside(_) | Share::BesideOrBelow if width >= WIDE => {
            let left = match share {
                Share::Beside(wanted) => wanted.clamp(width * 9 / 20, width - (width * 3 / 10).max(NARROWEST_DETAIL)),
                Share::Alone | Share::BesideOrBelow => (width * 11 / 20).max(WIDEST_ROW).min(width - NARROWEST_DETAIL),
            };
            (Rect { width: left, ..body }, Some(Rect { x: left + 1, width: width - left - 1, ..body }))
        }
        Share::BesideOrBelow if body.height >= 12 => {
            let top = body.height / 2;
            (Rect { height: top, ..body }, Some(Rect { y: body.y + top, height: body.height - top, ..body }))
        }
        Share::Alone | Share::Beside(_) | Share::BesideOrBelow => (body, None),
    };
    Some(Areas { tabs: line(0), header: line(1), main, detail, footer: line(height - 1) })
}
