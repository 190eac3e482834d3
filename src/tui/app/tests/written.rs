//! Log statements that are written, or rewritten for one version.

use std::sync::Arc;

use crate::analysis::propagate::Misfit;
use crate::model::probe::PlacementStatus;
use crate::tui::app::document::{Document, FileDiff, Row, Sides};
use crate::tui::app::editor::{Editor, Field};
use crate::tui::app::fixture::{
    answer, app, asks, draft, give_kept, id, press, propagation, with_diff, with_editor, with_replay,
};
use crate::tui::app::overlay::Overlay;
use crate::tui::app::{App, Panel};
use crate::tui::event::{Answer, Request};

fn editor(app: &App) -> &Editor {
    match &app.overlay {
        Some(Overlay::Editor(editor)) => editor,
        other => panic!("no editor, but {other:?}"),
    }
}

#[test]
fn a_statement_is_written_for_the_line_under_the_cursor_with_names_completed() {
    let (mut app, _) = with_editor(80, 24);
    assert_eq!((editor(&app).script.as_str(), &editor(&app).version, editor(&app).line), ("train.py", &id(4), 43));
    press(&mut app, "n\nmo");
    assert_eq!(editor(&app).offers(), ["model", "model.weight"]);
    press(&mut app, "\t * lo\t");
    assert_eq!(editor(&app).expression.text, "model * loss");
    // Nothing is left to complete.
    press(&mut app, "\t");
    assert_eq!(editor(&app).field, Field::Iterations);
    let effects = press(&mut app, "last");
    let Request::Draft { written, iterations } = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert_eq!(
        (written.name.as_str(), written.expression.as_str(), iterations.as_str()),
        ("n", "model * loss", "last")
    );
    // The older version's own line belongs to the older run.
    let mut app = with_diff(80, 24);
    press(&mut app, "j");
    let row = app.diff.rows[app.diff.cursor.selected];
    assert_eq!(row, Row::Left(1));
    press(&mut app, "a");
    assert_eq!((&editor(&app).version, editor(&app).line), (&id(3), 2));
}

#[test]
fn enter_keeps_what_was_tried_last_once_and_shows_its_places() {
    let (mut app, _) = with_editor(80, 24);
    let tried = press(&mut app, "n\nloss");
    assert!(press(&mut app, "\n").is_empty(), "not before it is known whether it can stand there");
    let effects = answer(&mut app, &tried, Answer::Draft(Arc::new(draft(Ok(Vec::new())))));
    assert!(matches!(asks(&effects)[0].request, Request::Keep(_)));
    assert!(press(&mut app, "\n").is_empty(), "once");
    let effects = give_kept(&mut app, &effects);
    assert_eq!(app.panel, Panel::Replay);
    let asked: Vec<&Request> = asks(&effects).into_iter().map(|ask| &ask.request).collect();
    assert!(matches!(asked[..], [Request::Statements, Request::Preview { names, .. }] if *names == ["n"]));
}

#[test]
fn what_is_being_written_when_another_is_kept_stays_open_and_closes_when_it_is_kept_itself() {
    let (mut app, _) = with_editor(80, 24);
    let tried = press(&mut app, "n\nloss");
    press(&mut app, "\n");
    let first = answer(&mut app, &tried, Answer::Draft(Arc::new(draft(Ok(Vec::new())))));
    press(&mut app, "\x1ba");
    let tried = press(&mut app, "m\nmodel");
    let effects = give_kept(&mut app, &first);
    assert!(matches!(asks(&effects)[0].request, Request::Diff { .. }), "it is shown in the version");
    assert_eq!((app.panel, editor(&app).expression.text.as_str()), (Panel::Diff, "model"));
    answer(&mut app, &tried, Answer::Draft(Arc::new(draft(Ok(Vec::new())))));
    let second = press(&mut app, "\n");
    give_kept(&mut app, &second);
    assert_eq!((app.panel, &app.overlay), (Panel::Replay, &None));
}

#[test]
fn what_was_typed_since_a_statement_was_rewritten_is_not_lost() {
    let mut app = with_replay(80, 24, 2);
    let tried = press(&mut app, "ome");
    answer(&mut app, &tried, Answer::Draft(Arc::new(draft(Ok(Vec::new())))));
    let effects = press(&mut app, "\n");
    let Request::Correct(correction) = asks(&effects)[0].request.clone() else { panic!("{effects:?}") };
    press(&mut app, " * 2");
    let propagation = Box::new(propagation(2, PlacementStatus::Exact));
    answer(&mut app, &effects, Answer::Corrected { correction, propagation, others: 0 });
    assert_eq!(editor(&app).expression.text, "norm(net) * 2");
}

#[test]
fn what_cannot_stand_there_is_not_kept_and_the_cursor_goes_to_it() {
    let (mut app, _) = with_editor(80, 24);
    let tried = press(&mut app, "n\nloss + lo");
    let misfit = Misfit { what: "`lo` has no value there".into(), at: Some(7) };
    answer(&mut app, &tried, Answer::Draft(Arc::new(draft(Err(misfit)))));
    assert!(press(&mut app, "\n").is_empty());
    assert_eq!(editor(&app).expression.at, 7);
    assert_eq!(editor(&app).problem(), Some("`lo` has no value there"));
}

#[test]
fn the_script_of_a_run_is_opened_whole_to_write_for() {
    let mut app = app(80, 24);
    let effects = press(&mut app, "a");
    assert_eq!(asks(&effects)[0].request, Request::Diff { left: id(5), right: id(5) });
    let text: String = (0..30).map(|i| format!("x_{i} = {i}\n")).collect();
    let sides = Sides { left: &text, right: &text, into_left: None, into_right: None };
    let file = FileDiff { is_script: true, ..FileDiff::new("train.py".into(), None, sides) };
    let document = Document { left: id(5), right: id(5), files: vec![file] };
    answer(&mut app, &effects, Answer::Diff(Arc::new(document)));
    assert_eq!(app.diff.rows.len(), 30, "nothing is folded");
    press(&mut app, "jja");
    assert_eq!((&editor(&app).version, editor(&app).line), (&id(5), 3));
}
