//! What wheel and clicks do: the same as keys would, at the place pointed to.

use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use crate::tui::app::overlay::Overlay;
use crate::tui::app::{App, Panel};
use crate::tui::event::Effect;
use crate::tui::keys::{Command, Context};
use crate::tui::views::overlay::list_area;
use crate::tui::views::results::column_under;

/// Rows that a notch of the wheel moves.
const NOTCH: usize = 3;

impl App {
    pub(super) fn mouse(&mut self, mouse: MouseEvent) -> Vec<Effect> {
        match mouse.kind {
            MouseEventKind::ScrollDown | MouseEventKind::ScrollUp => {
                self.clicked = None;
                let down = mouse.kind == MouseEventKind::ScrollDown;
                (0..NOTCH).flat_map(|_| self.scroll_wheel(down)).collect()
            }
            MouseEventKind::Down(MouseButton::Left) => self.click(mouse.column, mouse.row),
            _ => Vec::new(),
        }
    }

    /// A row down or up: in what lies over the panel, if it is read or chosen from, else in the panel.
    fn scroll_wheel(&mut self, down: bool) -> Vec<Effect> {
        let (command, key) = if down { (Command::Down, KeyCode::Down) } else { (Command::Up, KeyCode::Up) };
        match self.overlay.take() {
            None => self.command(command),
            // There, arrows change what was typed or decided.
            Some(overlay @ (Overlay::Prompt { .. } | Overlay::Editor(_) | Overlay::ConfirmCancel { .. })) => {
                self.open(overlay)
            }
            Some(overlay) => self.overlay_key(overlay, KeyEvent::from(key)),
        }
    }

    /// A click on a row of a list chooses it; another one there does what Enter does. Beside the rows it does nothing. The
    /// row that is chosen from the start is no other: nothing happens at once.
    fn click_overlay(&mut self, column: u16, row: u16) -> Vec<Effect> {
        let Some(area) = self.overlay.as_ref().and_then(|overlay| list_area(self, overlay)) else { return Vec::new() };
        let Some((cursor, length, _)) = self.chosen_from() else { return Vec::new() };
        let wanted = cursor.offset + usize::from(row.saturating_sub(area.y));
        if !area.contains(Position { x: column, y: row }) || wanted >= length {
            return Vec::new();
        }
        cursor.selected = wanted;
        if self.clicked.replace(wanted) != Some(wanted) {
            return Vec::new();
        }
        let Some(overlay) = self.overlay.take() else { return Vec::new() };
        let kind = std::mem::discriminant(&overlay);
        let effects = self.overlay_key(overlay, KeyEvent::from(KeyCode::Enter));
        // In a list that stays, each further click does it again.
        if self.overlay.as_ref().map(std::mem::discriminant) != Some(kind) {
            self.clicked = None;
        }
        effects
    }

    fn click(&mut self, column: u16, row: u16) -> Vec<Effect> {
        let Some(areas) = self.areas() else { return Vec::new() };
        if self.overlay.is_some() {
            return self.click_overlay(column, row);
        }
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
        let titles = areas.main.y..areas.main.y + u16::try_from(titles).unwrap_or(0);
        if self.panel == Panel::Results && (inside || titles.contains(&row)) {
            self.results.column = column_under(self, column).unwrap_or(self.results.column);
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

    use crate::tui::app::fixture::{plot, press, with_grid};
    use crate::tui::app::overlay::Overlay;
    use crate::tui::app::table::Column;
    use crate::tui::app::{App, Panel};
    use crate::tui::event::Event;

    fn mouse(app: &mut App, kind: MouseEventKind, column: u16, row: u16) {
        app.update(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    }

    fn click(app: &mut App, column: u16, row: u16) {
        mouse(app, MouseEventKind::Down(MouseButton::Left), column, row);
    }

    #[test]
    fn a_click_in_the_grid_chooses_row_and_column() {
        let mut app = with_grid(80, 24);
        click(&mut app, 3, 5);
        assert_eq!((app.results.cursor.selected, app.results.selected()), (2, Column::Run));
        click(&mut app, 14, 2);
        assert_eq!((app.results.cursor.selected, app.results.selected()), (2, Column::Loop(0)), "a title");
    }

    #[test]
    fn the_wheel_scrolls_a_help_and_not_beyond_its_end() {
        let mut app = with_grid(80, 24);
        press(&mut app, "?");
        let offset = |app: &App| match &app.overlay {
            Some(Overlay::Help { offset, .. }) => *offset,
            other => panic!("{other:?}"),
        };
        mouse(&mut app, MouseEventKind::ScrollDown, 20, 10);
        assert_eq!(offset(&app), 3);
        press(&mut app, "G");
        let last = offset(&app);
        press(&mut app, "jk");
        assert_eq!(offset(&app), last - 1, "the way back begins at once");
    }

    #[test]
    fn a_click_chooses_in_a_list_and_a_second_one_does_it() {
        let mut app = with_grid(80, 24);
        press(&mut app, "C");
        click(&mut app, 10, 3);
        assert!(matches!(&app.overlay, Some(Overlay::Columns { cursor }) if cursor.selected == 1));
        let chosen = app.results.chosen.clone();
        click(&mut app, 10, 3);
        assert_ne!(app.results.chosen, chosen);
        let toggled = app.results.chosen.clone();
        click(&mut app, 10, 3);
        assert_ne!(app.results.chosen, toggled, "each further one does, too");
        let toggled = app.results.chosen.clone();
        press(&mut app, "k");
        click(&mut app, 10, 2);
        assert_eq!(app.results.chosen, toggled, "the first click after a key");
        click(&mut app, 10, 20);
        assert!(matches!(&app.overlay, Some(Overlay::Columns { cursor }) if cursor.selected == 0), "none is there");
    }

    #[test]
    fn a_click_beside_a_box_or_with_another_button_does_nothing() {
        let mut app = with_grid(200, 24);
        press(&mut app, ":");
        let palette = app.overlay.clone();
        assert!(matches!(palette, Some(Overlay::Palette { .. })), "{palette:?}");
        for (column, row) in [(2, 3), (52, 3), (197, 3), (60, 2), (60, 1)] {
            click(&mut app, column, row);
            assert_eq!(app.overlay, palette, "{column} {row}");
        }
        mouse(&mut app, MouseEventKind::Down(MouseButton::Right), 60, 3);
        assert_eq!(app.overlay, palette);
        click(&mut app, 60, 3);
        assert_eq!(app.overlay, palette, "it is chosen from the start, but not by the user");
        click(&mut app, 60, 3);
        assert_ne!(app.overlay, palette, "the row itself");
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
