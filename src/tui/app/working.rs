//! Work that takes its time: which is under way, what is said of it, and stopping it.

use crate::engine::progress::{Part, Progress};
use crate::tui::app::{App, Panel};
use crate::tui::event::{Effect, SLOTS, Slot};

/// What is under way.
#[derive(Debug, Default)]
pub struct Working {
    /// By slot: a request whose answer is not there.
    asked: [bool; SLOTS],
    /// Those that have taken long enough to be spoken of, the last one last.
    slow: Vec<Slot>,
    /// How far they are, as far as they say.
    at: Vec<(Slot, Progress)>,
}

impl Working {
    pub(super) fn begin(&mut self, slot: Slot) {
        self.end(slot);
        self.asked[slot as usize] = true;
    }

    pub(super) fn end(&mut self, slot: Slot) {
        self.asked[slot as usize] = false;
        self.slow.retain(|known| *known != slot);
        self.at.retain(|(known, _)| *known != slot);
    }

    pub(super) fn is_at(&mut self, slot: Slot, progress: Progress) {
        if self.is_asked(slot) {
            self.at.retain(|(known, _)| *known != slot);
            self.at.push((slot, progress));
        }
    }

    /// Whether an answer is awaited.
    pub(super) fn is_asked(&self, slot: Slot) -> bool {
        self.asked[slot as usize]
    }

    pub(super) fn is_slow(&mut self, slot: Slot) {
        if self.is_asked(slot) && !self.slow.contains(&slot) {
            self.slow.push(slot);
        }
    }
}

/// What a slot's work is, in words, and the panel that waits for it; `None` for what nobody waits for.
fn words(slot: Slot) -> Option<(&'static str, Option<Panel>)> {
    match slot {
        Slot::Diff => Some(("comparing two versions", Some(Panel::Diff))),
        Slot::Preview => Some(("placing the statement into every version", Some(Panel::Replay))),
        Slot::Plan => Some(("planning", Some(Panel::Replay))),
        Slot::Grid => Some(("reading the values", Some(Panel::Results))),
        Slot::Arrange => Some(("arranging the rows", Some(Panel::Results))),
        Slot::Statistics => Some(("counting values", Some(Panel::Results))),
        Slot::Hunt => Some(("searching", Some(Panel::Results))),
        Slot::Curves => Some(("laying out curves", Some(Panel::Results))),
        Slot::Compare => Some(("comparing two runs", None)),
        Slot::Export => Some(("writing the rows", None)),
        _ => None,
    }
}

/// How far something is, in words.
fn in_words(Progress { of, done, all }: Progress) -> String {
    let (doing, things) = match of {
        Part::Placing => ("placing the statement", "versions"),
        Part::Analysing => ("planning", "versions"),
        Part::Gathering => ("planning", "runs"),
    };
    format!("{doing}: {} of {} {things}", grouped(done), grouped(all))
}

/// A number that can be read at a glance: `10,000`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

impl App {
    /// What takes its time now, and how far it is.
    pub fn progress(&self) -> Option<String> {
        let (slot, said) = self.slowest()?;
        let at = self.working.at.iter().find(|(known, _)| *known == slot);
        Some(at.map_or_else(|| said.to_owned(), |(_, progress)| in_words(*progress)))
    }

    fn slowest(&self) -> Option<(Slot, &'static str)> {
        self.working.slow.iter().rev().find_map(|slot| {
            let (said, panel) = words(*slot)?;
            panel.is_none_or(|panel| panel == self.panel).then_some((*slot, said))
        })
    }

    /// What takes its time now, in words.
    pub fn working_on(&self) -> Option<&'static str> {
        self.slowest().map(|(_, said)| said)
    }

    /// Stops what takes its time; everything stays as it was before. `None` if nothing does.
    pub(super) fn stop_working(&mut self) -> Option<Vec<Effect>> {
        let (slot, said) = self.slowest()?;
        Some(self.stop(slot, said))
    }

    /// Stops what would lead to the next stage of a replay, however long it takes: it would come after the user has gone.
    pub(super) fn stop_planning(&mut self) -> Option<Vec<Effect>> {
        let slot = [Slot::Plan, Slot::Preview].into_iter().find(|slot| self.working.is_asked(*slot))?;
        let (said, _) = words(slot)?;
        Some(self.stop(slot, said))
    }

    fn stop(&mut self, slot: Slot, said: &str) -> Vec<Effect> {
        self.working.end(slot);
        self.given_up(slot);
        if slot == Slot::Arrange {
            self.results.arrangement = self.results.arranged_by.clone();
        }
        if slot == Slot::Preview {
            self.replay.preview_stopped();
        }
        self.say(format!("stopped {said}"));
        vec![self.outdate(slot)]
    }

    /// Whether a statement that is being written is being tried.
    pub(super) fn is_trying(&self) -> bool {
        self.working.is_asked(Slot::Draft)
    }

    /// Nobody waits any more for what is under way in a slot, if something is.
    pub(super) fn drop_asked(&mut self, slot: Slot) -> Option<Effect> {
        self.working.is_asked(slot).then(|| {
            self.working.end(slot);
            self.outdate(slot)
        })
    }

    /// A number of its own: what was asked for is outdated, and an answer on its way is dropped.
    fn outdate(&mut self, slot: Slot) -> Effect {
        self.generations[slot as usize] += 1;
        Effect::Stop { slot, generation: self.generations[slot as usize] }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::engine::progress::{Part, Progress};
    use crate::tui::app::fixture::{
        answer, app, asks, give_grid, id, nested, plan, plot, press, settle, survey, with_grid, with_nested,
        with_replay,
    };
    use crate::tui::app::replay::Stage;
    use crate::tui::app::table::arrange;
    use crate::tui::app::table::tests::small;
    use crate::tui::app::{App, Panel};
    use crate::tui::event::{Answer, Ask, Effect, Event, Request, Slot};

    fn slow(app: &mut App, effects: &[Effect]) -> Slot {
        let ask = asks(effects)[0];
        app.update(Event::Slow { slot: ask.request.slot(), generation: ask.generation });
        ask.request.slot()
    }

    #[test]
    fn what_takes_its_time_is_said_and_escape_stops_it() {
        let mut app = app(80, 24);
        let effects = press(&mut app, "3");
        assert_eq!(app.working_on(), None, "not at once");
        assert_eq!(slow(&mut app, &effects), Slot::Grid);
        assert_eq!(app.working_on(), Some("reading the values"));
        let stopped = press(&mut app, "\x1b");
        assert!(matches!(stopped[..], [Effect::Stop { slot: Slot::Grid, .. }]), "{stopped:?}");
        assert!(!app.results.waiting && app.working_on().is_none());
        answer(&mut app, &effects, Answer::Grid(Arc::new(small())));
        assert!(app.results.incoming.is_none(), "it was not wanted any more");
        let effects = press(&mut app, "13");
        give_grid(&mut app, &effects, small());
        assert!(app.results.loaded, "the next one is");
    }

    #[test]
    fn how_far_placing_and_planning_are_is_said_and_of_what_is_over_no_more() {
        let mut app = with_replay(80, 24, 1);
        let placing = press(&mut app, "\n");
        let tell = |app: &mut App, effects: &[Effect], progress| {
            let Ask { generation, request } = asks(effects)[0];
            app.update(Event::Progress { slot: request.slot(), generation: *generation, progress });
        };
        let at = |of, done| Progress { of, done, all: 10_000 };
        tell(&mut app, &placing, at(Part::Placing, 0));
        assert_eq!(app.progress(), None, "not at once");
        slow(&mut app, &placing);
        tell(&mut app, &placing, at(Part::Placing, 1204));
        assert_eq!(app.progress().as_deref(), Some("placing the statement: 1,204 of 10,000 versions"));
        let again = press(&mut app, "\x1b\n");
        slow(&mut app, &again);
        tell(&mut app, &placing, at(Part::Placing, 2000));
        assert_eq!(app.progress().as_deref(), Some("placing the statement into every version"), "that was stopped");
        answer(&mut app, &again, Answer::Preview(Vec::new()));
        let planning = press(&mut app, "\n");
        slow(&mut app, &planning);
        tell(&mut app, &planning, at(Part::Gathering, 999));
        assert_eq!(app.progress().as_deref(), Some("planning: 999 of 10,000 runs"));
    }

    #[test]
    fn a_sort_that_is_stopped_leaves_the_rows_and_what_is_said_of_them() {
        let mut app = with_grid(80, 24);
        let effects = press(&mut app, "]");
        assert_eq!(app.results.arrangement.sort.len(), 1);
        slow(&mut app, &effects);
        press(&mut app, "\x1b");
        assert!(app.results.arrangement.sort.is_empty());
        press(&mut app, "\x1b");
        assert_eq!(app.panel, Panel::Timeline, "Esc goes out again");
    }

    #[test]
    fn leaving_two_runs_side_by_side_can_be_stopped_and_loses_nothing_of_what_was_before() {
        let mut app = with_nested(80, 24);
        let effects = press(&mut app, "[");
        settle(&mut app, effects);
        let effects = press(&mut app, "v");
        settle(&mut app, effects);
        let before = app.results.arrangement.clone();
        app.timeline.marked = vec![id(1), id(2)];
        let effects = press(&mut app, "D");
        settle(&mut app, effects);
        // Stopped on the way there, it leads nowhere.
        let effects = press(&mut app, "\n");
        assert_eq!(slow(&mut app, &effects), Slot::Arrange);
        press(&mut app, "\x1b");
        assert_eq!((&app.results.arrangement, &app.results.jump), (&before, &None));
        let effects = press(&mut app, "D");
        settle(&mut app, effects);
        let effects = press(&mut app, "\n");
        settle(&mut app, effects);
        assert!(app.results.beside().is_some());
        let effects = press(&mut app, "\x1b");
        assert_eq!(slow(&mut app, &effects), Slot::Arrange);
        press(&mut app, "\x1b");
        assert!(app.results.arrangement.beside.is_some() && app.results.jump.is_none(), "still the two");
        let effects = press(&mut app, "\x1b");
        settle(&mut app, effects);
        assert_eq!(app.results.arrangement, before);
    }

    #[test]
    fn planning_and_placing_that_are_stopped_lead_nowhere_afterwards() {
        let mut app = with_replay(80, 24, 2);
        let effects = press(&mut app, "\n");
        assert_eq!(slow(&mut app, &effects), Slot::Plan);
        assert_eq!(app.working_on(), Some("planning"));
        let stopped = press(&mut app, "\x1b");
        assert!(matches!(stopped[..], [Effect::Stop { slot: Slot::Plan, .. }]), "{stopped:?}");
        answer(&mut app, &effects, Answer::Plan(Arc::new(plan())));
        assert_eq!((app.replay.stage, app.replay.waiting), (Stage::Preview, None));
        // One that is fast, too, must not come after the user has gone.
        let effects = press(&mut app, "\n");
        press(&mut app, "\x1b");
        answer(&mut app, &effects, Answer::Plan(Arc::new(plan())));
        assert_eq!(app.replay.stage, Stage::Preview);
        press(&mut app, "\x1b");
        assert_eq!(app.replay.stage, Stage::Choose);
        let effects = press(&mut app, "\n");
        assert_eq!(slow(&mut app, &effects), Slot::Preview);
        press(&mut app, "\x1b");
        answer(&mut app, &effects, Answer::Preview(Vec::new()));
        assert_eq!((app.replay.stage, app.replay.waiting, app.panel), (Stage::Choose, None, Panel::Replay));
        let effects = press(&mut app, "\n");
        press(&mut app, "r");
        answer(&mut app, &effects, Answer::Preview(Vec::new()));
        assert_eq!(app.replay.stage, Stage::Choose, "beginning anew does not lead on either");
    }

    #[test]
    fn curves_of_newer_values_are_not_spoken_of_and_escape_leaves_the_plot() {
        let mut app = with_nested(80, 24);
        plot(&mut app);
        let renew = |app: &mut App| {
            let effects = app.update(Event::Changed(Box::new(survey())));
            let effects = answer(app, &effects, Answer::Grid(Arc::new(nested())));
            let Request::Arrange { grid, arrangement, .. } = asks(&effects)[0].request.clone() else { panic!() };
            let arranged = arrange(&grid, &arrangement, &|| false).expect("arranged");
            answer(app, &effects, Answer::Arranged(arranged))
        };
        let curves = renew(&mut app);
        assert_eq!(slow(&mut app, &curves), Slot::Curves);
        assert_eq!(app.working_on(), None);
        // Those of another column are waited for, whatever grid they are of in the end.
        press(&mut app, "\t");
        let curves = renew(&mut app);
        slow(&mut app, &curves);
        assert_eq!(app.working_on(), Some("laying out curves"));
        press(&mut app, "\x1b");
        assert!(app.results.plot.is_some());
        press(&mut app, "\x1b");
        assert!(app.results.plot.is_none());
    }

    #[test]
    fn newer_values_that_nobody_asked_for_are_not_spoken_of_and_leave_escape_to_the_user() {
        let mut app = with_grid(80, 24);
        let effects = press(&mut app, "&loss>0\n");
        settle(&mut app, effects);
        let renewed = app.update(Event::Changed(Box::new(survey())));
        assert_eq!(slow(&mut app, &renewed), Slot::Grid);
        assert_eq!(app.working_on(), None);
        press(&mut app, "\x1b");
        assert_eq!(app.results.arrangement.filter, None);
    }

    #[test]
    fn other_rows_around_it_leave_the_user_on_their_row() {
        let mut app = with_grid(80, 24);
        press(&mut app, "jj");
        let effects = press(&mut app, "&norm>2\n");
        settle(&mut app, effects);
        assert_eq!((app.results.shown(), app.results.cursor.selected, app.results.row()), (2, 1, 2));
        let effects = press(&mut app, "\x1b");
        settle(&mut app, effects);
        assert_eq!((app.results.shown(), app.results.row()), (6, 2));
        let effects = press(&mut app, "]");
        settle(&mut app, effects);
        assert_eq!(app.results.cursor.selected, 2, "another order is looked at from the same place");
    }

    #[test]
    fn one_export_at_a_time_is_written_and_what_was_answered_is_not_slow() {
        let mut app = with_grid(80, 24);
        let effects = app.export("a.csv");
        assert!(matches!(asks(&effects)[0].request, Request::Export { .. }));
        assert!(app.export("b.csv").is_empty());
        answer(&mut app, &effects, Answer::Exported { path: "a.csv".into(), rows: 6 });
        slow(&mut app, &effects);
        assert_eq!(app.working_on(), None);
    }
}
