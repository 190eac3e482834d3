//! What wheel and clicks do: the same as keys would, at the place pointed to.

use crossterm::event::{MouseEvent, MouseEventKind};

use crate::tui::app::{App, Panel};
use crate::tui::event::Effect;
use crate::tui::keys::{Command, Context};

impl App {
    pub(super) fn mouse(&mut self, mouse: MouseEvent) -> Vec<Effect> {
        match mouse.kind {
            MouseEventKind::ScrollDown | MouseEventKind::ScrollUp => {
                let command = if mouse.kind == MouseEventKind::ScrollDown { Command::Down } else { Command::Up };
                // An overlay keeps its own keys; the wheel moves what lies under the pointer, three rows a notch.
                if self.overlay.is_some() {
                    return Vec::new();
                }
                (0..3).flat_map(|_| self.command(command)).collect()
            }
            MouseEventKind::Down(_) if self.overlay.is_none() => self.click(mouse.column, mouse.row),
            _ => Vec::new(),
        }
    }

    fn click(&mut self, column: u16, row: u16) -> Vec<Effect> {
        let Some(areas) = self.areas() else { return Vec::new() };
        if row == areas.tabs.y {
            return tab_at(column).map_or_else(Vec::new, |panel| self.show(panel));
        }
        let titles = usize::from(areas.main.height).saturating_sub(self.list_height());
        let first = usize::from(areas.main.y) + titles;
        let inside = usize::from(row) >= first && column < areas.main.right() && row < areas.main.bottom();
        if inside && self.context() == Context::Plot {
            self.click_plot(column);
            return Vec::new();
        }
        if inside { self.click_row(usize::from(row) - first) } else { Vec::new() }
    }

    fn click_row(&mut self, row: usize) -> Vec<Effect> {
        let height = self.list_height();
        match self.panel {
            Panel::Timeline if self.zoom => {
                let length = self.run_lines().len();
                let cursor = &mut self.timeline.view.cursor;
                cursor.go(cursor.offset + row, length, height);
                Vec::new()
            }
            Panel::Timeline => {
                let cursor = &mut self.timeline.cursor;
                cursor.go(cursor.offset + row, self.timeline.rows.len(), height);
                self.ask_detail()
            }
            Panel::Diff => {
                let cursor = &mut self.diff.cursor;
                cursor.go(cursor.offset + row, self.diff.rows.len(), height);
                Vec::new()
            }
            Panel::Results => {
                let shown = self.results.shown();
                let cursor = &mut self.results.cursor;
                cursor.go(cursor.offset + row, shown, height);
                Vec::new()
            }
            Panel::Replay => self.click_replay(row),
        }
    }
}

/// The tab under a column of the first line; [`tab_columns`] says where each stands.
fn tab_at(column: u16) -> Option<Panel> {
    tab_columns().find(|(_, start, width)| column >= *start && column < start + width).map(|(panel, ..)| panel)
}

/// Each panel's tab: first column and width of `1 Timeline`.
pub fn tab_columns() -> impl Iterator<Item = (Panel, u16, u16)> {
    Panel::ALL.into_iter().scan(1_u16, |start, panel| {
        let width = u16::try_from(panel.title().len()).unwrap_or(0) + 2;
        let at = *start;
        *start += width + 2;
        Some((panel, at, width))
    })
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

    use crate::tui::app::fixture::{plot, with_grid};
    use crate::tui::app::{App, Panel};
    use crate::tui::event::Event;

    fn click(app: &mut App, column: u16, row: u16) {
        let kind = MouseEventKind::Down(MouseButton::Left);
        app.update(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    }

    #[test]
    fn a_click_in_the_plot_takes_the_crosshair_to_the_nearest_value() {
        let mut app = with_grid(80, 24);
        plot(&mut app);
        let at = |app: &App| app.results.plot.as_ref().expect("a plot").at;
        let (first, last) = app.results.plot.as_ref().and_then(|p| p.curves.as_ref()).expect("curves").span;
        click(&mut app, 79, 8);
        assert_eq!(at(&app).to_bits(), last.to_bits());
        click(&mut app, 12, 8);
        assert_eq!(at(&app).to_bits(), first.to_bits());
        click(&mut app, 46, 8);
        assert!(at(&app) > first && at(&app) < last, "{}", at(&app));
        click(&mut app, 1, 0);
        assert_eq!(app.panel, Panel::Timeline);
    }
}
