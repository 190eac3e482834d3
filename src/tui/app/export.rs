//! Writing the rows shown to a file: over one that was there already only when that is asked for twice.

use std::path::PathBuf;

use crate::tui::app::App;
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::event::{Effect, Request, Slot};

impl App {
    pub(super) fn open_export(&mut self) -> Vec<Effect> {
        let before = self.results.exported.as_ref().map_or("grid.csv".into(), |path| path.to_string_lossy());
        let prompt = Overlay::prompt(Purpose::Export, &before);
        self.open(prompt)
    }

    pub(super) fn export(&mut self, path: &str) -> Vec<Effect> {
        if self.working.is_asked(Slot::Export) {
            self.complain("the file before is still being written: Esc stops that");
            return Vec::new();
        }
        let path = PathBuf::from(path.trim());
        // What was there the first time is ours by now, or the user has been told.
        let replace = self.results.exported.replace(path.clone()).is_some_and(|before| before == path);
        let (grid, order) = (self.results.grid.clone(), self.results.order().cloned());
        let columns = self.results.visible();
        vec![self.ask(Request::Export { path, replace, grid, order, columns })]
    }
}

#[cfg(test)]
mod tests {
    use crate::tui::app::App;
    use crate::tui::app::fixture::{answer, asks, press, with_grid};
    use crate::tui::event::{Answer, Request};

    #[test]
    fn a_file_is_replaced_only_when_it_is_asked_for_again() {
        let mut app = with_grid(80, 24);
        let replaces = |app: &mut App, keys: &str| {
            app.open_export();
            let effects = press(app, keys);
            let Request::Export { path, replace, .. } = &asks(&effects)[0].request else { panic!("{effects:?}") };
            let written = (path.display().to_string(), *replace);
            answer(app, &effects, Answer::Exported { path: path.clone(), rows: 6 });
            written
        };
        assert_eq!(replaces(&mut app, "\n"), ("grid.csv".to_owned(), false));
        assert_eq!(replaces(&mut app, "\n"), ("grid.csv".to_owned(), true));
        assert_eq!(replaces(&mut app, "x\n"), ("grid.csvx".to_owned(), false));
        assert_eq!(replaces(&mut app, "\n"), ("grid.csvx".to_owned(), true));
    }
}
