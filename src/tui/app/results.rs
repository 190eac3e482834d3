//! Panel 3: the grid of values.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::ids::RunId;
use crate::model::grid::Grid;
use crate::tui::app::beside::Jump;
use crate::tui::app::list::Cursor;
use crate::tui::app::overlay::{Overlay, Purpose};
use crate::tui::app::plot::{Dots, Plot};
use crate::tui::app::table::profile::Profile;
use crate::tui::app::table::{
    self, Arranged, Arrangement, Column, Direction, Found, Hunt, RowFilter, Target, all_columns, column_named, row_at,
    rows_shown, title,
};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Effect, Request, Slot};
use crate::tui::keys::Command;

/// How cells show their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CellStyle {
    /// Six digits.
    #[default]
    Short,
    /// Every digit.
    Full,
    /// Six digits on a colour by their place in the column's range, or beside a bar.
    Heat,
}

impl CellStyle {
    fn next(self) -> Self {
        match self {
            Self::Short => Self::Full,
            Self::Full => Self::Heat,
            Self::Heat => Self::Short,
        }
    }
}

/// The grid and where the user is in it.
#[derive(Debug, Default)]
pub struct Results {
    pub all_names: Vec<String>,
    /// Names chosen as columns; `None`: all.
    pub chosen: Option<Vec<String>>,
    pub waiting: bool,
    pub loaded: bool,
    /// All runs' values, as they came.
    pub base: Arc<Grid>,
    /// What is shown: those, or two runs side by side.
    pub grid: Arc<Grid>,
    /// There is newer data than the grid under way was asked for.
    again: bool,
    /// A newer grid that is being arranged; until that is done the older one stays as it is.
    pub(super) incoming: Option<Arc<Grid>>,
    pub arrangement: Arrangement,
    /// The one that the rows on the screen have.
    pub(super) arranged_by: Arrangement,
    pub arranged: Option<Arranged>,
    /// What the arrangement was before two runs were put side by side.
    pub before: Option<Arrangement>,
    pub jump: Option<Jump>,
    pub compared: Option<[RunId; 2]>,
    /// Up to where differences do not count; `None`: every bit does.
    pub tolerance: Option<f64>,
    pub hidden: BTreeSet<String>,
    pub hide_unchanged: bool,
    pub cursor: Cursor,
    /// Index of the selected column among those visible.
    pub column: usize,
    /// First scrolling column drawn, among those visible.
    pub first_column: usize,
    /// The last column that stays at the left, by its title; `None`: the loops.
    pub freeze: Option<String>,
    pub cells: CellStyle,
    /// Stay at the end as rows come.
    pub follow: bool,
    pub plot: Option<Plot>,
    /// What plots are drawn with.
    pub dots: Dots,
    pub search: String,
    /// The file that an export was last asked for.
    pub(super) exported: Option<PathBuf>,
}

impl Results {
    /// Rows, or all of the grid's.
    pub fn order(&self) -> Option<&Arc<Vec<u32>>> {
        self.arranged.as_ref().and_then(|arranged| arranged.order.as_ref())
    }

    /// How many rows are shown.
    pub fn shown(&self) -> usize {
        rows_shown(&self.grid, self.order())
    }

    /// The grid's row under the cursor.
    pub fn row(&self) -> usize {
        row_at(self.order(), self.cursor.selected)
    }

    /// Where a row of the grid is shown; if it is not, and rows stand as they came, the next one that is.
    fn position(&self, row: usize) -> Option<usize> {
        let is = |known: &u32| usize::try_from(*known).is_ok_and(|known| known == row);
        match self.order() {
            None => Some(row),
            Some(order) if self.arrangement.sort.is_empty() => {
                Some(order.partition_point(|known| usize::try_from(*known).is_ok_and(|known| known < row)))
            }
            Some(order) => order.iter().position(is),
        }
    }

    /// Columns as shown: run and loops first, then names that are neither hidden nor constant.
    pub fn visible(&self) -> Vec<Column> {
        let unchanged = |i: usize| self.hide_unchanged && self.profile(i).unchanged;
        let shown = |column: &Column| match column {
            Column::Name(i) => !self.hidden.contains(title(&self.grid, *column)) && !unchanged(*i),
            Column::Run => self.beside().is_none(),
            Column::Loop(_) => true,
        };
        all_columns(&self.grid).into_iter().filter(shown).collect()
    }

    /// What a name's column is like.
    pub fn profile(&self, name: usize) -> Profile {
        self.arranged.as_ref().and_then(|a| a.profiles.get(name)).copied().unwrap_or_default()
    }

    /// Columns that stay at the left: up to the one chosen, else the run and the loops.
    pub fn frozen(&self) -> usize {
        let chosen = self.freeze.as_ref().and_then(|freeze| {
            let at = self.visible().iter().position(|column| title(&self.grid, *column) == freeze)?;
            Some(at + 1)
        });
        chosen.unwrap_or_else(|| self.unscrolled())
    }

    /// The run and the loops.
    pub fn unscrolled(&self) -> usize {
        usize::from(self.beside().is_none()) + self.grid.loops.len()
    }

    /// The column without whose values rows are left out; it leaves out none while it is not among the columns.
    pub fn valued(&self) -> Option<&str> {
        self.arrangement.valued.as_deref().filter(|column| column_named(&self.grid, column).is_some())
    }

    /// What rows are sorted by; a column that is not there, say because it was taken out, sorts nothing.
    pub fn sorted(&self) -> impl Iterator<Item = &(String, Direction)> {
        self.arrangement.sort.iter().filter(|(column, _)| column_named(&self.grid, column).is_some())
    }

    /// The selected column.
    pub fn selected(&self) -> Column {
        self.visible().get(self.column).copied().unwrap_or(Column::Run)
    }

    fn take_arranged(&mut self, mut arranged: Arranged) {
        if let Some(again) = arranged.renewed.take() {
            self.arrangement.filter = Some(again);
        }
        let came = self.incoming.is_some();
        if let Some(grid) = self.incoming.take() {
            self.loaded = true;
            self.base = grid;
        }
        // With other rows around it the user stays on their row; by another order they look from the same place.
        let reordered =
            self.arrangement.sort != self.arranged_by.sort || self.arrangement.beside != self.arranged_by.beside;
        let row = (!came && !reordered).then(|| self.row());
        let selected = title(&self.grid, self.selected()).to_owned();
        let first = self.grid.is_empty();
        self.grid = arranged.grid.as_ref().unwrap_or(&self.base).clone();
        self.arranged = Some(arranged);
        let column = self.visible().iter().position(|c| title(&self.grid, *c) == selected);
        self.column = match column {
            Some(column) if !first => column,
            // At first, the first name: what can be sorted, plotted and read.
            _ => self.unscrolled(),
        };
        if let Some(at) = row.and_then(|row| self.position(row)) {
            let above = self.cursor.selected - self.cursor.offset.min(self.cursor.selected);
            self.cursor = Cursor { selected: at, offset: at.saturating_sub(above) };
        }
        if self.follow {
            self.cursor.selected = self.shown().saturating_sub(1);
        }
    }
}

impl App {
    pub(super) fn show_results(&mut self) -> Vec<Effect> {
        self.ask_grid()
    }

    /// Asks for the grid of the names chosen, over the marked runs or all.
    pub(super) fn ask_grid(&mut self) -> Vec<Effect> {
        let names = self.results.chosen.clone().unwrap_or_else(|| self.results.all_names.clone());
        if names.is_empty() {
            self.results.grid = Arc::default();
            self.results.base = Arc::default();
            self.results.incoming = None;
            self.results.arranged = None;
            self.results.waiting = false;
            // What is under way has columns that nobody wants any more.
            return [Slot::Grid, Slot::Arrange].into_iter().filter_map(|slot| self.drop_asked(slot)).collect();
        }
        self.results.again = false;
        let marked = &self.timeline.marked;
        let runs = (!marked.is_empty()).then(|| marked.clone());
        self.results.waiting = true;
        vec![self.ask(Request::Grid { names, runs })]
    }

    /// Asks for the grid of newer data, once the one under way is shown: were it dropped for each change, a slow one would
    /// never come while a run goes on.
    pub(super) fn renew_grid(&mut self) -> Vec<Effect> {
        self.results.again = self.results.waiting || self.results.incoming.is_some();
        if self.results.again { Vec::new() } else { self.ask_grid_quietly() }
    }

    /// Asks for newer data that came while something was under way that has failed.
    pub(super) fn ask_grid_again(&mut self) -> Vec<Effect> {
        let wanted = self.results.again && self.panel == Panel::Results;
        if wanted { self.ask_grid_quietly() } else { Vec::new() }
    }

    /// Nobody asked for newer data: it is not spoken of, and Esc is for what the user does.
    fn ask_grid_quietly(&mut self) -> Vec<Effect> {
        let effects = self.ask_grid();
        self.working.end(Slot::Grid);
        effects
    }

    pub(super) fn take_grid(&mut self, grid: Arc<Grid>) -> Vec<Effect> {
        self.results.waiting = false;
        self.results.incoming = Some(grid);
        let effects = self.ask_arranged();
        if self.results.loaded {
            // The older one is there meanwhile.
            self.working.end(Slot::Arrange);
        }
        effects
    }

    pub(super) fn ask_arranged(&mut self) -> Vec<Effect> {
        let grid = self.results.incoming.as_ref().unwrap_or(&self.results.base).clone();
        let arrangement = self.results.arrangement.clone();
        let renew = self.results.incoming.is_some();
        vec![self.ask(Request::Arrange { grid, arrangement, renew })]
    }

    pub(super) fn take_arranged(&mut self, arranged: Arranged) -> Vec<Effect> {
        // Newer values that nobody asked for bring curves that nobody asked for, unless some were being waited for.
        let renewed = self.results.incoming.is_some() && self.results.loaded;
        let quietly = renewed && !self.working.is_asked(Slot::Curves);
        self.results.take_arranged(arranged);
        self.results.arranged_by = self.results.arrangement.clone();
        if self.results.arrangement.beside.is_none() {
            self.results.before = None;
        }
        if let Some(row) = self.results.jumped() {
            let height = self.list_height();
            self.results.cursor.go(row, self.results.shown(), height);
            // What led there is seen, too.
            self.results.cursor.offset =
                row.saturating_sub(height / 2).min(self.results.shown().saturating_sub(height));
        }
        let mut effects = self.ask_curves();
        if quietly {
            self.working.end(Slot::Curves);
        }
        effects.extend(self.ask_grid_again());
        effects
    }

    pub(super) fn results_command(&mut self, command: Command) -> Vec<Effect> {
        if self.results.plot.is_some() {
            return self.plot_command(command);
        }
        let visible = self.results.visible();
        let last = visible.len().saturating_sub(1);
        match command {
            Command::Left => self.results.column = self.results.column.min(last).saturating_sub(1),
            Command::Right => self.results.column = (self.results.column + 1).min(last),
            Command::FirstColumn => self.results.column = 0,
            Command::LastColumn => self.results.column = last,
            Command::SortAscending => return self.sort(Direction::Ascending, false),
            Command::SortDescending => return self.sort(Direction::Descending, false),
            Command::ThenAscending => return self.sort(Direction::Ascending, true),
            Command::ThenDescending => return self.sort(Direction::Descending, true),
            Command::Freeze => self.freeze(),
            Command::Baseline => return self.pin(self.results.run().cloned()),
            Command::Divergence => return self.find_divergence(),
            Command::HideColumn => self.hide_column(),
            Command::ChooseColumns => return self.open(Overlay::Columns { cursor: Cursor::default() }),
            Command::HideUnchanged => {
                self.results.hide_unchanged = !self.results.hide_unchanged;
                let hidden = if self.results.hide_unchanged {
                    "columns that never change are hidden"
                } else {
                    "all columns are shown"
                };
                self.say(hidden);
            }
            Command::OnlyValued => return self.only_valued(),
            Command::Statistics => {
                let (grid, order) = (self.results.grid.clone(), self.results.order().cloned());
                let column = self.results.selected();
                return vec![self.ask(Request::Statistics { grid, order, column })];
            }
            Command::Plot => return self.open_plot(),
            Command::NextDifferent => return self.hunt(false, Target::OtherValue),
            Command::PreviousDifferent => return self.hunt(true, Target::OtherValue),
            Command::CellStyle => self.results.cells = self.results.cells.next(),
            Command::Search => return self.open(Overlay::prompt(Purpose::Search, "")),
            Command::SearchNext | Command::SearchPrevious => {
                return self.search_results(command == Command::SearchPrevious);
            }
            Command::Filter => {
                let text = self.results.arrangement.filter.as_ref().map_or("", RowFilter::text);
                return self.open(Overlay::prompt(Purpose::Filter, text));
            }
            Command::Export => return self.open_export(),
            Command::Open => return self.open_cell(),
            Command::Copy => {
                return vec![Effect::Copy(table::text(
                    &self.results.grid,
                    self.results.selected(),
                    self.results.row(),
                ))];
            }
            Command::CopyRow => {
                let row = self.results.row();
                let cells: Vec<String> = visible.iter().map(|c| table::text(&self.results.grid, *c, row)).collect();
                return vec![Effect::Copy(cells.join("\t"))];
            }
            _ => {
                let height = self.list_height();
                self.results.cursor.act(command, self.results.shown(), height);
                self.results.follow = command == Command::Bottom;
            }
        }
        Vec::new()
    }

    /// Sorts by the selected column, after those before or by it alone; the same key again takes that back.
    fn sort(&mut self, direction: Direction, then: bool) -> Vec<Effect> {
        let wanted = (title(&self.results.grid, self.results.selected()).to_owned(), direction);
        let sort = &mut self.results.arrangement.sort;
        let again = if then { sort.contains(&wanted) } else { sort.as_slice() == std::slice::from_ref(&wanted) };
        sort.retain(|(column, _)| then && *column != wanted.0);
        if !again {
            sort.push(wanted);
        }
        self.ask_arranged()
    }

    /// Leaves out rows where the selected column has no value: what is logged once an epoch drowns among the steps.
    fn only_valued(&mut self) -> Vec<Effect> {
        let column = title(&self.results.grid, self.results.selected()).to_owned();
        let valued = &mut self.results.arrangement.valued;
        *valued = if valued.as_ref() == Some(&column) { None } else { Some(column) };
        self.ask_arranged()
    }

    /// Keeps the columns up to the selected one at the left; on the same column again, no more than the loops.
    fn freeze(&mut self) {
        let column = title(&self.results.grid, self.results.selected()).to_owned();
        if self.results.freeze.take().is_some_and(|before| before == column) {
            self.say("run and loops stay at the left");
        } else {
            self.say(format!("columns up to {column} stay at the left (f again releases them)"));
            self.results.freeze = Some(column);
        }
    }

    /// Shows only rows that pass.
    ///
    /// # Errors
    /// With what is wrong with the filter, in words.
    pub(super) fn filter_results(&mut self, text: &str) -> Result<Vec<Effect>, String> {
        self.results.arrangement.filter = RowFilter::parse(text, &self.results.grid, &self.timeline.runs)?;
        Ok(self.ask_arranged())
    }

    fn hide_column(&mut self) {
        let column = self.results.selected();
        if !matches!(column, Column::Name(_)) {
            self.say("run and loops are always shown");
            return;
        }
        let name = title(&self.results.grid, column).to_owned();
        self.say(format!("{name} is hidden (C shows the columns)"));
        self.results.hidden.insert(name);
    }

    fn hunt(&mut self, backwards: bool, target: Target) -> Vec<Effect> {
        let columns = match target {
            Target::OtherValue => vec![self.results.selected()],
            Target::Text(_) => self.results.visible(),
        };
        let (grid, order) = (self.results.grid.clone(), self.results.order().cloned());
        let hunt = Hunt { from: self.results.cursor.selected, backwards, target, columns };
        vec![self.ask(Request::Hunt { grid, order, hunt })]
    }

    pub(super) fn search_results(&mut self, backwards: bool) -> Vec<Effect> {
        if self.results.search.is_empty() {
            self.say("nothing to search for yet: type / and a word");
            return Vec::new();
        }
        self.hunt(backwards, Target::Text(self.results.search.clone()))
    }

    pub(super) fn take_found(&mut self, found: Option<Found>) {
        let Some(found) = found else {
            self.complain("nothing found");
            return;
        };
        if found.wrapped {
            self.say("went past the end");
        }
        let height = self.list_height();
        self.results.cursor.go(found.row, self.results.shown(), height);
        if let Some(column) = self.results.visible().iter().position(|c| *c == found.column) {
            self.results.column = column;
        }
    }

    fn open_cell(&mut self) -> Vec<Effect> {
        if self.results.shown() == 0 {
            return Vec::new();
        }
        self.open(Overlay::Cell { offset: 0 })
    }

    /// Leaves plot, then filter, then rows with a value, then sort, then two runs side by side.
    pub(super) fn leave_results(&mut self) -> Option<Vec<Effect>> {
        if self.results.plot.take().is_some() {
            return Some(Vec::new());
        }
        let valued = self.results.valued().is_some();
        let sorted = self.results.sorted().next().is_some();
        let arrangement = &mut self.results.arrangement;
        if arrangement.filter.take().is_none() && !(arrangement.valued.take().is_some() && valued) {
            arrangement.sort.clear();
            if !sorted {
                return self.leave_beside();
            }
        }
        Some(self.ask_arranged())
    }

    /// Adds a column, or takes it away again, from the chooser.
    pub(super) fn toggle_column(&mut self, name: &str) -> Vec<Effect> {
        self.results.hidden.remove(name);
        let all = self.results.all_names.clone();
        let chosen = self.results.chosen.get_or_insert(all);
        match chosen.iter().position(|n| n == name) {
            Some(at) if chosen.len() > 1 => {
                chosen.remove(at);
            }
            Some(_) => self.complain("one column must stay"),
            None => chosen.push(name.to_owned()),
        }
        if self.panel == Panel::Results { self.ask_grid() } else { Vec::new() }
    }

    /// What is being replayed is a column, whatever was chosen before.
    pub(super) fn show_columns(&mut self, names: &[String]) {
        for name in names {
            self.results.hidden.remove(name);
            if let Some(chosen) = self.results.chosen.as_mut().filter(|chosen| !chosen.contains(name)) {
                chosen.insert(0, name.clone());
            }
        }
    }

    pub(super) fn settle_results(&mut self, height: usize) {
        let shown = self.results.shown();
        self.results.cursor.settle(shown, height);
        let last = self.results.visible().len().saturating_sub(1);
        self.results.column = self.results.column.min(last);
        let frozen = crate::tui::views::results::frozen(self);
        let first = self.results.first_column.max(frozen);
        // The view draws as many columns as fit from `first_column` on; the selected one is brought in by width.
        self.results.first_column = crate::tui::views::results::first_column(self, first.min(last));
        self.settle_plot();
    }
}
