//! What comes late, fails or is overtaken leaves nothing on the screen that waits for ever.

use super::*;

/// The requests of one slot among some effects.
fn of(effects: &[Effect], slot: Slot) -> Vec<Effect> {
    let is_of = |effect: &&Effect| matches!(effect, Effect::Ask(ask) if ask.request.slot() == slot);
    effects.iter().filter(is_of).cloned().collect()
}

fn fail(app: &mut App, effects: &[Effect]) -> Vec<Effect> {
    let Ask { generation, request } = asks(effects)[0];
    let (slot, generation) = (request.slot(), *generation);
    app.update(Event::Answered { slot, generation, result: Err("no".to_owned()) })
}

#[test]
fn a_slow_detail_comes_while_its_run_prints_and_is_asked_for_once_more_afterwards() {
    let mut app = app(120, 40);
    let slow = of(&press(&mut app, "G"), Slot::Detail);
    assert_eq!(slow.len(), 1);
    for _ in 0..3 {
        let again = app.update(Event::Changed(Box::new(survey())));
        assert!(of(&again, Slot::Detail).is_empty(), "the first is under way");
    }
    let again = answer(&mut app, &slow, Answer::Detail(Box::new(detail(1, ""))));
    assert!(app.timeline.detail.is_some());
    assert_eq!(of(&again, Slot::Detail).len(), 1, "it has printed more since");
    let last = answer(&mut app, &again, Answer::Detail(Box::new(detail(1, ""))));
    assert!(of(&last, Slot::Detail).is_empty());
    // Another run's does not wait for it.
    let effects = press(&mut app, "k");
    assert_eq!(of(&effects, Slot::Detail).len(), 1);
}

#[test]
fn a_detail_that_cannot_be_read_says_why_instead_of_reading_for_ever() {
    let mut app = app(120, 40);
    let effects = of(&press(&mut app, "G"), Slot::Detail);
    fail(&mut app, &effects);
    let (run, why) = app.timeline.unread.clone().expect("why");
    assert_eq!((run, why.as_str()), (id(1), "no"));
}

#[test]
fn changes_that_are_under_way_are_not_asked_for_anew_and_a_version_that_is_gone_is_said() {
    let mut app = app(80, 24);
    app.timeline.changes.clear();
    let first = of(&app.update(Event::Changed(Box::new(newer()))), Slot::Changes);
    assert_eq!(first.len(), 1);
    let second = app.update(Event::Changed(Box::new(newer())));
    assert!(of(&second, Slot::Changes).is_empty(), "they would be dropped for ever while a run goes on");
    let Request::Changes(pairs) = asks(&first)[0].request.clone() else { panic!("{first:?}") };
    let gone = pairs.into_iter().map(|(older, newer)| (older, newer, None)).collect();
    answer(&mut app, &first, Answer::Changes(gone));
    let said = app.timeline.changed(1, "…", "−");
    assert!(said.contains("code gone") && !said.contains('…'), "{said}");
    assert!(of(&app.update(Event::Changed(Box::new(newer()))), Slot::Changes).is_empty(), "it does not come back");
}

/// Runs of which one goes on, so that each look at them counts.
fn newer() -> Survey {
    let mut survey = survey();
    survey.runs[4].status = RunStatus::Running;
    survey
}

#[test]
fn a_plan_is_still_waited_for_when_something_else_ends_or_fails() {
    let mut app = with_replay(80, 24, 2);
    let placing = app.ask_preview();
    let planning = press(&mut app, "\n");
    assert!(app.replay.waiting.is_some());
    answer(&mut app, &placing, Answer::Preview(vec![(id(1), propagation(3, PlacementStatus::Exact))]));
    assert_eq!(app.replay.waiting, Some("planning"), "the places came, not the plan");
    let action = Event::Answered { slot: Slot::Action, generation: 0, result: Err("no".to_owned()) };
    app.update(action);
    assert_eq!(app.replay.waiting, Some("planning"));
    let placing = app.ask_preview();
    answer(&mut app, &planning, Answer::Plan(Arc::new(plan())));
    assert_eq!(app.replay.stage, Stage::Plan);
    answer(&mut app, &placing, Answer::Preview(vec![(id(2), propagation(3, PlacementStatus::Exact))]));
    assert_eq!((app.replay.stage, app.replay.preview.len()), (Stage::Plan, 1), "nobody is called back");
}

#[test]
fn newer_values_are_asked_for_when_those_under_way_could_not_be_read() {
    let mut app = with_grid(80, 24);
    let first = of(&app.update(Event::Changed(Box::new(newer()))), Slot::Grid);
    assert_eq!(first.len(), 1);
    assert!(of(&app.update(Event::Changed(Box::new(newer()))), Slot::Grid).is_empty());
    let again = fail(&mut app, &first);
    assert_eq!(of(&again, Slot::Grid).len(), 1);
    let last = fail(&mut app, &again);
    assert!(of(&last, Slot::Grid).is_empty() && !app.results.waiting, "once");
}

#[test]
fn a_grid_without_columns_is_not_filled_by_what_was_asked_for_before() {
    let mut app = app(80, 24);
    let effects = press(&mut app, "3");
    app.results.chosen = Some(Vec::new());
    let stopped = app.ask_grid();
    assert!(matches!(stopped[..], [Effect::Stop { slot: Slot::Grid, .. }]), "{stopped:?}");
    answer(&mut app, &effects, Answer::Grid(Arc::new(small())));
    assert!(app.results.grid.is_empty() && app.results.incoming.is_none() && !app.results.waiting);
}

#[test]
fn enter_tries_a_statement_again_that_could_not_be_tried() {
    let (mut app, _) = with_editor(80, 24);
    let tried = press(&mut app, "n\nloss");
    press(&mut app, "\n");
    fail(&mut app, &tried);
    let again = press(&mut app, "\n");
    assert!(matches!(asks(&again)[0].request, Request::Draft { .. }), "{again:?}");
    let kept = answer(&mut app, &again, Answer::Draft(Arc::new(draft(Ok(Vec::new())))));
    assert!(matches!(asks(&kept)[0].request, Request::Keep(_)), "as Enter asked");
}

#[test]
fn trouble_with_the_store_is_said_until_there_is_none() {
    let mut app = app(120, 40);
    app.update(Event::Trouble("the store is gone".to_owned()));
    assert!(app.notice.as_ref().is_some_and(|notice| notice.text == "the store is gone"));
    app.update(Event::Changed(Box::new(survey())));
    assert_eq!(app.notice, None);
    // What the user was told of something else stays.
    app.complain("not that key");
    app.update(Event::Changed(Box::new(survey())));
    assert!(app.notice.is_some());
}
