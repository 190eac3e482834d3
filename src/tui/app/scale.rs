//! Much of everything: what is asked and drawn depends on the window, not on how much there is.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::fixture::{answer, app, asks, give_grid, id, press, run, survey};
use super::*;
use crate::model::grid::{Cell, Grid, LoopColumn, NameColumn};
use crate::model::run::RunStatus;
use crate::model::source::{FileChange, VersionId};
use crate::model::value::Value;
use crate::model::verdict::Verdict;
use crate::tui::app::document::{Document, FileDiff, Sides};
use crate::tui::event::Answer;
use crate::tui::highlight::highlight;
use crate::tui::theme::{Background, Depth, Theme, UNICODE};
use crate::tui::views::{Look, draw};

fn screen(app: &App) -> String {
    let look = Look { theme: Theme::bundled(Background::Dark, Depth::True), glyphs: UNICODE };
    let mut buffer = Buffer::empty(Rect::new(0, 0, app.size.0, app.size.1));
    draw(app, &look, &mut buffer);
    buffer.content().iter().map(|cell| cell.symbol()).collect()
}

#[test]
fn of_a_hundred_thousand_versions_only_those_around_the_window_are_asked_about() {
    let mut app = app(80, 24);
    let mut all = survey();
    all.runs = (1..=100_000).map(|number| run(number, RunStatus::Finished)).collect();
    for (number, run) in all.runs.iter_mut().enumerate() {
        run.version = VersionId(format!("{number:040x}"));
    }
    app.update(Event::Changed(Box::new(all)));
    for (keys, selected) in [("G", id(1)), ("g", id(100_000)), ("/0000054321\n", id(54_321)), ("s", id(54_321))] {
        let effects = press(&mut app, keys);
        let pairs: usize = asks(&effects)
            .iter()
            .map(|ask| if let Request::Changes(pairs) = &ask.request { pairs.len() } else { 0 })
            .sum();
        assert!(pairs <= 3 * 24, "{pairs} pairs for a window of 24 rows");
        assert_eq!(app.timeline.selected().expect("a run").id, selected, "{keys}");
        assert!(screen(&app).contains(selected.as_str()));
    }
    press(&mut app, "&lr<1.1e-6\n");
    assert_eq!(
        app.timeline.rows.len(),
        100_000 - 90_909,
        "runs whose learning rate, 0.1 over their number, is so small"
    );
}

#[test]
fn a_million_rows_are_sorted_filtered_and_scrolled() {
    const ROWS: i64 = 1_000_000;
    let mut app = app(120, 40);
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let cell = |row: i64| Cell::Value { value: Value::Float((row * 7919 % ROWS) as f64), verdict: Verdict::Recorded };
    let grid = Grid {
        runs: vec![id(1)],
        rows_run: vec![0; usize::try_from(ROWS).expect("fits")],
        loops: vec![LoopColumn { name: "step".into(), index: (0..ROWS).collect(), values: None }],
        names: vec![NameColumn { name: "loss".into(), cells: (0..ROWS).map(cell).collect() }],
        ..Grid::default()
    };
    let effects = press(&mut app, "3");
    give_grid(&mut app, &effects, grid);
    press(&mut app, "G");
    assert!(screen(&app).contains("999999"));
    let effects = press(&mut app, "g]");
    fixture::settle(&mut app, effects);
    assert!(screen(&app).contains("999999"), "the largest value first");
    let effects = press(&mut app, "&loss<25\n");
    fixture::settle(&mut app, effects);
    assert_eq!(app.results.shown(), 25);
}

#[test]
fn a_hundred_thousand_changed_lines_and_a_line_of_a_megabyte_are_shown() {
    let left: String = (0..130_000).map(|line| format!("x_{line} = {line}\n")).collect();
    let long = format!("weights = [{}]\n", "0.125, ".repeat(150_000));
    let right = format!("{}{long}", left.replace("9 = ", "9 = 1 + "));
    let sides = Sides { left: &left, right: &right, into_left: None, into_right: None };
    let file = FileDiff::new("train.py".into(), Some(FileChange::Modified), sides);
    assert!(file.added > 13_000 && file.removed + 1 == file.added, "+{} -{}", file.added, file.removed);
    for size in [(80, 24), (200, 60)] {
        let mut app = app(size.0, size.1);
        let effects = press(&mut app, "jd");
        let document = Document { left: id(3), right: id(4), files: vec![file.clone()] };
        answer(&mut app, &effects, Answer::Diff(Arc::new(document)));
        press(&mut app, "]]]G");
        assert!(screen(&app).contains("weights = [0.125"));
        press(&mut app, "llll");
        assert!(screen(&app).contains("0.125, 0.125"));
    }
    // Nobody waits for colours of such a line.
    assert!(highlight("train.py", &[long], || false).iter().all(|line| line.len() < 10_000));
}
