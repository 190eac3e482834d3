//! Events in, state and effects out.

mod stale;
mod written;

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::fixture::*;
use super::*;
use std::sync::Arc;

use crate::model::probe::PlacementStatus;
use crate::model::run::RunStatus;
use crate::tui::app::document::Row;
use crate::tui::app::overlay::Overlay;
use crate::tui::app::replay::Stage;
use crate::tui::app::table::tests::small;
use crate::tui::event::{Answer, Ask, Choice, Request, Survey};
use crate::tui::theme::{Background, Depth, Theme, UNICODE};
use crate::tui::views::{Look, draw};

#[test]
fn an_answer_to_an_outdated_question_is_dropped() {
    let mut app = app(80, 24);
    let first = press(&mut app, "3");
    let second = press(&mut app, "13");
    give_grid(&mut app, &first, Default::default());
    assert!(!app.results.loaded, "the first grid came too late");
    give_grid(&mut app, &second, Default::default());
    assert!(app.results.loaded);
}

#[test]
fn new_runs_leave_the_selection_on_its_run() {
    let mut app = app(80, 24);
    press(&mut app, "jj");
    let selected = app.timeline.selected().expect("a run").id.clone();
    let mut survey = survey();
    survey.runs.push(run(6, RunStatus::Running));
    app.update(Event::Changed(Box::new(survey)));
    assert_eq!(app.timeline.selected().expect("a run").id, selected);
    assert_eq!(app.timeline.cursor.selected, 3);
}

#[test]
fn d_compares_with_the_mark_older_version_first() {
    let mut app = app(80, 24);
    press(&mut app, "G ");
    let effects = press(&mut app, "gd");
    assert_eq!(asks(&effects)[0].request, Request::Diff { left: id(1), right: id(5) });
    let mut unmarked = fixture::app(80, 24);
    let effects = press(&mut unmarked, "d");
    assert_eq!(asks(&effects)[0].request, Request::Diff { left: id(4), right: id(5) });
    press(&mut unmarked, "1G");
    assert!(asks(&press(&mut unmarked, "d")).is_empty());
    assert!(unmarked.notice.is_some_and(|n| n.text.contains("first run")));
}

#[test]
fn a_filter_narrows_the_list_and_escape_widens_it_again() {
    let mut app = app(80, 24);
    press(&mut app, "&status:failed\n");
    assert_eq!(app.timeline.rows, [1]);
    press(&mut app, "\x1b");
    assert_eq!(app.timeline.rows.len(), 5);
    press(&mut app, "&lr<\n");
    assert!(app.notice.as_ref().is_some_and(|n| n.is_error) && app.overlay.is_some(), "it can be put right");
}

#[test]
fn a_filter_compares_any_logged_number_and_any_argument() {
    let mut app = app(80, 24);
    for (filter, rows) in [("loss<0.03", vec![4]), ("lr>0.04 status:failed", vec![1]), ("lr>=0.1", vec![0])] {
        press(&mut app, &format!("&{filter}\n"));
        assert_eq!(app.timeline.rows, rows, "{filter}");
        press(&mut app, "\x1b");
    }
}

#[test]
fn runs_are_sorted_by_their_last_value_with_the_selection_on_its_run() {
    let mut app = app(80, 24);
    press(&mut app, "jss");
    assert_eq!(app.timeline.rows, [0, 1, 2, 3, 4]);
    assert_eq!(app.timeline.selected().expect("a run").id, id(4));
    press(&mut app, "\x1b");
    assert_eq!(app.timeline.rows, [4, 3, 2, 1, 0]);
}

#[test]
fn a_pinned_run_is_what_every_run_is_compared_with() {
    let mut app = app(80, 24);
    let effects = press(&mut app, "jp");
    let Request::Changes(pairs) = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert!(pairs.iter().all(|(from, _)| *from == id(4)) && pairs.len() == 3, "{pairs:?}");
    assert!(app.timeline.changed(0, "…", "-").contains("lr=0.1"));
    let effects = press(&mut app, "gd");
    assert_eq!(asks(&effects)[0].request, Request::Diff { left: id(4), right: id(5) });
    press(&mut app, "1jp");
    assert_eq!(app.timeline.baseline, None);
}

#[test]
fn a_range_of_runs_is_marked_between_two_presses() {
    let mut app = app(80, 24);
    press(&mut app, "jvjj");
    assert_eq!(app.timeline.in_range(), Some(1..=3));
    press(&mut app, "v");
    assert_eq!(app.timeline.marked, [id(4), id(3), id(2)]);
}

#[test]
fn q_leaves_layer_by_layer_and_quits_only_at_the_outermost() {
    let mut app = with_grid(80, 24);
    plot(&mut app);
    assert!(press(&mut app, "q").is_empty() && app.results.plot.is_none());
    press(&mut app, "q");
    assert_eq!(app.panel, Panel::Timeline);
    assert_eq!(press(&mut app, "q"), [Effect::Quit]);
}

#[test]
fn statements_in_a_diff_are_reached_explained_and_counted_apart() {
    let mut app = with_diff(80, 24);
    // The older version's stands before it: there it is certain.
    press(&mut app, "oo");
    let file = app.diff.current().expect("a file");
    let row: Row = app.diff.rows[app.diff.cursor.selected];
    assert!(file.statement_on(row).expect("a statement").is_uncertain());
    assert_eq!((file.added, file.removed, file.statement_count()), (3, 2, 1));
    press(&mut app, "\n");
    assert!(matches!(app.overlay, Some(Overlay::Placement(_))));
}

#[test]
fn a_search_finds_what_is_folded_away_and_opens_it() {
    let mut app = with_diff(80, 24);
    assert!(app.diff.rows.iter().any(|row| matches!(row, Row::Fold { .. })));
    press(&mut app, "/step_20\n");
    let file = app.diff.current().expect("a file");
    assert_eq!(file.texts(app.diff.rows[app.diff.cursor.selected]).1, Some("    step_20 = 20"));
}

#[test]
fn a_placement_is_moved_left_out_and_taken_back_and_what_was_decided_needs_no_look() {
    let mut app = with_replay(80, 24, 2);
    press(&mut app, "o");
    assert_eq!(app.replay.cursor.selected, 1, "the uncertain one");
    press(&mut app, "m");
    assert!(press(&mut app, "1").is_empty(), "there is no other place");
    for (key, choice) in [("J", Choice::Down), ("K", Choice::Up), ("x", Choice::Exclude), ("u", Choice::Reset)] {
        let effects = press(&mut app, key);
        let Request::Correct(correction) = &asks(&effects)[0].request else { panic!("{effects:?}") };
        assert_eq!((&correction.run, &correction.choice), (&id(2), &choice));
    }
    assert_eq!(asks(&press(&mut app, "1")).len(), 1, "what the other places are after that is not known yet");
    let effects = press(&mut app, "J");
    let Request::Correct(correction) = asks(&effects)[0].request.clone() else { panic!("{effects:?}") };
    let mut propagation = propagation(2, PlacementStatus::Uncertain);
    propagation.placements[0].decided_in = Some(id(2));
    let corrected = Answer::Corrected { correction, propagation: Box::new(propagation.clone()), others: 1 };
    let effects = answer(&mut app, &effects, corrected);
    assert!(matches!(&app.overlay, Some(Overlay::Placement(open)) if open.placement.after_line == Some(2)));
    assert!(app.notice.as_ref().is_some_and(|notice| notice.text.contains("1 other run")));
    let certain = fixture::propagation(3, PlacementStatus::Exact);
    answer(&mut app, &effects, Answer::Preview(vec![(id(1), certain), (id(2), propagation)]));
    assert_eq!((app.replay.stage, app.replay.cursor.selected), (Stage::Preview, 1), "the user stays there");
    press(&mut app, "\x1bo");
    assert!(app.notice.as_ref().is_some_and(|notice| notice.text.contains("certain")));
}

#[test]
fn a_refused_move_says_why_and_leaves_the_placement_as_it_was() {
    let mut app = with_replay(80, 24, 2);
    let effects = press(&mut app, "mJ");
    let Effect::Ask(Ask { generation, .. }) = effects[0] else { panic!("{effects:?}") };
    let result = Err("not there: `net` has no value".to_owned());
    app.update(Event::Answered { slot: Slot::Action, generation, result });
    assert!(matches!(&app.overlay, Some(Overlay::Placement(open)) if !open.waiting));
    assert!(app.notice.is_some_and(|notice| notice.is_error));
}

#[test]
fn a_condition_with_a_mistake_stays_to_be_put_right_and_a_good_one_is_planned_for() {
    let mut app = with_replay(80, 24, 3);
    assert!(press(&mut app, "&epoch > > 1\n").is_empty());
    let Some(Overlay::Prompt { input, .. }) = &app.overlay else { panic!("closed") };
    assert_eq!(input.at, 8);
    assert!(app.notice.as_ref().is_some_and(|notice| notice.text.starts_with("character 9: ")));
    let effects = press(&mut app, "\x08\x08\n");
    let Request::Plan(request) = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert_eq!(request.condition, "epoch > 1");
}

#[test]
fn again_plans_what_the_job_was_asked_for() {
    let mut app = with_replay(80, 24, 3);
    let effects = press(&mut app, "ilast\n");
    answer(&mut app, &effects, Answer::Plan(Arc::new(plan())));
    let effects = press(&mut app, "\n");
    answer(&mut app, &effects, Answer::Started(job(true).id));
    app.update(Event::Changed(Box::new(Survey { jobs: vec![job(false)], ..survey() })));
    let effects = press(&mut app, "R");
    let Request::Plan(request) = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert_eq!((request.iterations.as_slice(), &request.runs), (&["last".to_owned()][..], &None));
    // One that was started elsewhere is known by its names and runs.
    let mut other = fixture::app(80, 24);
    other.update(Event::Changed(Box::new(Survey { jobs: vec![job(true)], ..survey() })));
    let effects = press(&mut other, "4R");
    let Request::Plan(request) = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert_eq!(request.runs, Some((1..=4).map(id).collect()));
}

#[test]
fn sorting_asks_the_background_and_the_same_key_again_undoes_it() {
    let mut app = with_grid(80, 24);
    let effects = press(&mut app, "]");
    let Request::Arrange { arrangement, .. } = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert_eq!(arrangement.sort, [("loss".into(), table::Direction::Descending)]);
    press(&mut app, "]");
    assert!(app.results.arrangement.sort.is_empty());
}

#[test]
fn rows_are_said_to_be_left_out_only_while_the_column_that_decides_is_there() {
    let mut app = with_grid(80, 24);
    let effects = press(&mut app, "v");
    fixture::settle(&mut app, effects);
    assert_eq!(app.results.valued(), Some("loss"));
    let effects = press(&mut app, "13");
    let mut without = table::tests::small();
    without.names.remove(0);
    give_grid(&mut app, &effects, without);
    assert_eq!((app.results.valued(), app.results.shown()), (None, 6));
    press(&mut app, "\x1b");
    assert_eq!(app.panel, Panel::Timeline, "no key is spent on what cannot be seen");
}

#[test]
fn sorted_and_filtered_rows_stay_until_newer_values_are_arranged() {
    let mut app = with_grid(80, 24);
    press(&mut app, "]");
    let (before, rows) = (app.results.grid.clone(), app.results.shown());
    let effects = app.update(Event::Changed(Box::new(survey())));
    let effects = answer(&mut app, &effects, Answer::Grid(Default::default()));
    assert!(std::sync::Arc::ptr_eq(&app.results.grid, &before));
    assert_eq!(app.results.shown(), rows);
    let Request::Arrange { grid, arrangement, .. } = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert!(!arrangement.sort.is_empty());
    let arranged = table::arrange(grid, arrangement, &|| false).expect("arranged");
    answer(&mut app, &effects, Answer::Arranged(arranged));
    assert_eq!(app.results.shown(), 0);
}

#[test]
fn a_slow_grid_is_shown_however_often_the_store_changes_meanwhile() {
    let mut app = app(80, 24);
    let slow = press(&mut app, "3");
    for _ in 0..3 {
        assert!(asks(&app.update(Event::Changed(Box::new(survey())))).is_empty(), "one is under way");
    }
    let effects = answer(&mut app, &slow, Answer::Grid(Arc::new(nested())));
    assert!(asks(&app.update(Event::Changed(Box::new(survey())))).is_empty(), "it is being arranged");
    let Request::Arrange { grid, arrangement, .. } = &asks(&effects)[0].request else { panic!("{effects:?}") };
    let arranged = table::arrange(grid, arrangement, &|| false).expect("arranged");
    let again = answer(&mut app, &effects, Answer::Arranged(arranged));
    assert!(app.results.loaded && matches!(asks(&again)[0].request, Request::Grid { .. }));
    give_grid(&mut app, &again, nested());
    assert_eq!(asks(&app.update(Event::Changed(Box::new(survey())))).len(), 1);
}

#[test]
fn what_is_found_to_be_as_it_was_is_not_read_again() {
    let mut app = with_grid(80, 24);
    let mut found = survey();
    found.runs[4].status = RunStatus::Finished;
    let effects = app.update(Event::Changed(Box::new(found.clone())));
    assert!(matches!(asks(&effects)[0].request, Request::Grid { .. }), "{effects:?}");
    give_grid(&mut app, &effects, small());
    assert!(app.update(Event::Changed(Box::new(found.clone()))).is_empty());
    found.runs[4].notes.push("a note".into());
    assert!(!app.update(Event::Changed(Box::new(found))).is_empty());
}

#[test]
fn a_column_that_was_taken_out_is_not_said_to_sort_and_no_key_is_spent_on_it() {
    let mut app = with_grid(80, 24);
    let effects = press(&mut app, "]");
    settle(&mut app, effects);
    assert_eq!(app.results.sorted().count(), 1);
    let mut without = small();
    without.names.retain(|column| column.name != app.results.arrangement.sort[0].0);
    let effects = press(&mut app, "13");
    give_grid(&mut app, &effects, without);
    assert_eq!((app.results.sorted().count(), app.results.arrangement.sort.len()), (0, 1), "it may come again");
    press(&mut app, "\x1b");
    assert_eq!(app.panel, Panel::Timeline);
}

/// On the second run of nested loops, with the first as the baseline, asked where they part.
fn with_partings() -> App {
    let mut app = with_nested(80, 24);
    press(&mut app, "pG");
    let effects = press(&mut app, "D");
    fixture::settle(&mut app, effects);
    app
}

#[test]
fn d_finds_where_baseline_and_run_part_and_enter_puts_them_side_by_side_there() {
    let mut app = with_partings();
    let Some(Overlay::Partings { comparison, .. }) = &app.overlay else { panic!("{:?}", app.overlay) };
    let (column, parting) = comparison.first().expect("a parting");
    assert_eq!((column.name.as_str(), parting.position.as_str()), ("loss", "epoch=0/step=0"));
    let effects = press(&mut app, "\n");
    fixture::settle(&mut app, effects);
    assert_eq!(app.results.beside(), Some(&[id(1), id(2)]));
    let titles: Vec<&str> = app.results.visible().iter().map(|c| table::title(&app.results.grid, *c)).collect();
    assert_eq!(titles, ["epoch", "step", "loss A", "loss B", "loss B-A", "acc A", "acc B", "acc B-A"]);
    assert_eq!(table::title(&app.results.grid, app.results.selected()), "loss B-A");
    assert_eq!(app.results.first_column, 2, "what it is the difference of is seen, too");
    let effects = press(&mut app, "jj\x1b");
    fixture::settle(&mut app, effects);
    assert!(app.results.beside().is_none());
    assert_eq!(app.results.cursor.selected, 2, "the same position of the first run");
}

#[test]
fn a_tolerance_moves_the_parting_and_one_that_is_no_number_can_be_put_right() {
    let mut app = with_partings();
    press(&mut app, "tx\n");
    assert!(app.notice.as_ref().is_some_and(|n| n.is_error) && app.overlay.is_some());
    let effects = press(&mut app, "\x080.3\n");
    fixture::settle(&mut app, effects);
    let Some(Overlay::Partings { comparison, .. }) = &app.overlay else { panic!("{:?}", app.overlay) };
    assert_eq!(comparison.tolerance, Some(0.3));
    assert_eq!(comparison.first().expect("a parting").1.position, "epoch=0/step=0");
    press(&mut app, "t\x08\x08\x08\x08");
    let effects = press(&mut app, "0.6\n");
    fixture::settle(&mut app, effects);
    let Some(Overlay::Partings { comparison, .. }) = &app.overlay else { panic!("{:?}", app.overlay) };
    assert_eq!(comparison.first().map(|(_, p)| p.position.as_str()), Some("epoch=1/step=1"), "infinite");
}

#[test]
fn two_marked_runs_are_compared_older_first_and_one_alone_with_nothing() {
    let mut app = with_nested(80, 24);
    assert!(press(&mut app, "D").is_empty() && app.notice.as_ref().is_some_and(|n| n.is_error));
    app.timeline.marked = vec![id(2), id(1)];
    let effects = press(&mut app, "D");
    assert!(matches!(&asks(&effects)[0].request, Request::Compare { runs, .. } if *runs == [id(1), id(2)]));
}

#[test]
fn space_takes_a_column_away_and_brings_it_back() {
    let mut app = with_grid(80, 24);
    app.results.all_names = vec!["acc".into(), "loss".into()];
    for names in [vec!["loss"], vec!["loss", "acc"]] {
        let effects = press(&mut app, "C ");
        let Request::Grid { names: asked, .. } = &asks(&effects)[0].request else { panic!("{effects:?}") };
        assert_eq!(*asked, names);
        press(&mut app, "\x1b");
    }
}

#[test]
fn replay_goes_from_statement_to_job_and_nothing_starts_without_the_plan() {
    let mut app = with_replay(80, 24, 3);
    assert_eq!(app.replay.stage, Stage::Plan);
    let effects = press(&mut app, "+");
    let Request::Plan(request) = &asks(&effects)[0].request else { panic!("{effects:?}") };
    assert_eq!(request.workers, Some(3));
    assert!(press(&mut app, "\n").is_empty(), "no start while the plan is being changed");
    let mut app = with_replay(80, 24, 4);
    assert_eq!((app.replay.stage, app.replay.active()), (Stage::Job, 1));
    press(&mut app, "x");
    let effects = press(&mut app, "y");
    assert!(matches!(asks(&effects)[0].request, Request::Cancel(_)));
}

#[test]
fn iterations_that_no_plan_can_be_made_for_are_forgotten() {
    let mut app = with_replay(80, 24, 3);
    let effects = press(&mut app, "ifoo=3\n");
    let [Effect::Ask(Ask { generation, .. })] = effects[..] else { panic!("{effects:?}") };
    let result = Err("no version has a main loop 'foo'".to_owned());
    app.update(Event::Answered { slot: Slot::Plan, generation, result });
    assert!(app.replay.iterations.is_empty() && app.notice.is_some());
    // Also where the first plan is asked for.
    press(&mut app, "\x1b");
    assert_eq!(app.replay.stage, Stage::Preview);
    let effects = press(&mut app, "iepoch=last\n");
    assert!(
        matches!(&effects[..], [Effect::Ask(Ask { request: Request::Plan(plan), .. })] if plan.iterations == ["epoch=last"])
    );
}

#[test]
fn a_job_that_goes_on_is_shown_again_after_a_restart() {
    let mut app = app(80, 24);
    app.update(Event::Changed(Box::new(Survey { jobs: vec![job(true)], ..survey() })));
    assert_eq!(app.panel, Panel::Timeline);
    press(&mut app, "4");
    assert_eq!(app.replay.current_job().map(|j| j.segments.len()), Some(4));
}

#[test]
fn the_palette_performs_what_it_lists() {
    let mut app = app(80, 24);
    press(&mut app, ":results\n");
    assert_eq!(app.panel, Panel::Results);
}

fn draws(app: &App) -> Buffer {
    let look = Look { theme: Theme::bundled(Background::Dark, Depth::True), glyphs: UNICODE };
    let mut buffer = Buffer::empty(Rect::new(0, 0, app.size.0, app.size.1));
    draw(app, &look, &mut buffer);
    buffer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_size_and_no_keys_lead_to_a_panic_or_lose_the_selection(
        start in 0_u8..12,
        steps in prop::collection::vec(
            (prop::option::weighted(0.1, (0_u16..400, 0_u16..120)), 0_usize..70), 1..40),
    ) {
        const KEYS: &str = "jkhlgG0$/n N&:?\x1b+yY1234\td rao[]JKsO\nSC-u.<>cix=w↓f5\x08z qm%{}ppDttvpeR";
        let keys: Vec<char> = KEYS.chars().collect();
        let mut app = match start {
            0 => app(80, 24),
            1 => with_diff(80, 24),
            2 => with_grid(80, 24),
            7 => App::new((80, 24), Place::Nothing, 1),
            8 => with_nested(80, 24),
            9 => {
                let mut app = with_nested(80, 24);
                plot(&mut app);
                app
            }
            10 => with_run(80, 24),
            11 => with_editor(80, 24).0,
            stage => with_replay(80, 24, stage - 2),
        };
        for (size, key) in steps {
            if let Some((width, height)) = size {
                app.update(Event::Resize(width, height));
            }
            let effects = press(&mut app, &keys[key % keys.len()].to_string());
            fixture::settle(&mut app, effects);
            draws(&app);
            let height = app.list_height();
            let (cursor, length) = match app.panel {
                Panel::Timeline => (app.timeline.cursor, app.timeline.rows.len()),
                Panel::Diff => (app.diff.cursor, app.diff.rows.len()),
                Panel::Results => (app.results.cursor, app.results.shown()),
                Panel::Replay => (app.replay.cursor, app.replay.length()),
            };
            prop_assert!(cursor.selected < length.max(1));
            prop_assert!(cursor.selected >= cursor.offset && cursor.selected < cursor.offset + height);
        }
    }
}
