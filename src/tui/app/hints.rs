//! What the bottom line offers: in a panel of several stages only what is of use in this one.

use crate::tui::app::replay::Stage;
use crate::tui::app::{App, Panel};
use crate::tui::keys::{Command, Context};

impl App {
    /// What Enter does, in a word or two.
    pub fn next_step(&self) -> &'static str {
        match self.replay.stage {
            Stage::Choose => "where it lands",
            Stage::Preview => "plan",
            Stage::Plan => "start",
            Stage::Job => "detail",
        }
    }

    /// Where `q` leads, in a word.
    pub fn way_out(&self) -> &'static str {
        match self.panel {
            Panel::Timeline if !self.zoom && !self.timeline.can_leave() && self.working_on().is_none() => "quit",
            _ => "back",
        }
    }

    /// Whether a command is of use where the user is: what the bottom line offers.
    pub fn offers(&self, command: Command) -> bool {
        if self.context() == Context::Plot {
            // A curve has no text.
            return command != Command::Search;
        }
        if self.panel == Panel::Diff && self.diff.current().is_none() {
            // No lines: the same code, or nothing yet.
            let of_use = [Command::AddStatement, Command::Replay, Command::Help, Command::Leave];
            return of_use.contains(&command);
        }
        if self.panel != Panel::Replay {
            return true;
        }
        match command {
            Command::Mark | Command::AddStatement => self.replay.stage == Stage::Choose,
            Command::Correct | Command::NextStatement => self.replay.stage == Stage::Preview,
            Command::OnlyMarked => {
                let of_use = self.replay.runs.is_some() || !self.timeline.marked.is_empty();
                matches!(self.replay.stage, Stage::Preview | Stage::Plan) && of_use
            }
            Command::MoreWorkers | Command::Iterations | Command::Filter => self.replay.stage == Stage::Plan,
            Command::CancelJob => {
                self.replay.stage == Stage::Job && self.replay.current_job().is_some_and(|job| job.active)
            }
            Command::Retry => self.replay.stage == Stage::Job,
            Command::Search => false,
            Command::Replay => self.replay.stage != Stage::Choose,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::probe::PlacementStatus;
    use std::sync::Arc;

    use crate::tui::app::fixture::{
        answer, app, asks, id, job, plan, press, propagation, statement, survey, with_replay,
    };
    use crate::tui::app::replay::Stage;
    use crate::tui::app::{App, Panel};
    use crate::tui::event::{Answer, Ask, Effect, Event, PlanRequest, Request, Slot, Survey};

    #[test]
    fn the_way_out_says_quit_only_where_the_next_q_quits() {
        for keys in ["", " ", "v", "&lr>0\n", "s", "p", "\n", "2", "3", "4"] {
            let mut app = app(80, 24);
            press(&mut app, keys);
            let said = app.way_out();
            let quits = press(&mut app, "q").contains(&Effect::Quit);
            assert_eq!(said == "quit", quits, "after {keys:?}");
        }
    }

    fn wanted(effects: &[Effect]) -> Option<Vec<crate::base::ids::RunId>> {
        match &asks(effects)[0].request {
            Request::Preview { runs, .. } => runs.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mark_narrows_a_replay_only_when_that_is_asked_for() {
        let mut app = app(80, 24);
        press(&mut app, "j ");
        let effects = press(&mut app, "r");
        answer(&mut app, &effects, Answer::Statements(vec![statement()]));
        let effects = press(&mut app, "\n");
        assert_eq!(wanted(&effects), None);
        let placed = propagation(4, PlacementStatus::Exact);
        answer(&mut app, &effects, Answer::Preview(vec![(id(4), placed)]));
        let effects = press(&mut app, "M");
        assert_eq!(wanted(&effects), Some(vec![id(4)]));
        assert_eq!(wanted(&press(&mut app, "M")), None);
    }

    fn planned(effects: &[Effect]) -> PlanRequest {
        match &asks(effects)[0].request {
            Request::Plan(request) => request.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The plan of two marked runs and no others.
    fn with_marked() -> App {
        let mut app = with_replay(80, 24, 3);
        press(&mut app, "1  4");
        let effects = press(&mut app, "M");
        assert_eq!(planned(&effects).runs, Some(vec![id(5), id(4)]));
        answer(&mut app, &effects, Answer::Plan(Arc::new(plan())));
        app
    }

    #[test]
    fn a_replay_of_some_runs_stays_one_of_them_when_the_marks_are_gone() {
        let mut app = with_marked();
        assert!(app.replays_marked());
        press(&mut app, "1\x1b4");
        assert!(app.timeline.marked.is_empty() && app.panel == Panel::Replay && !app.replays_marked());
        assert_eq!(planned(&press(&mut app, "+")).runs, Some(vec![id(5), id(4)]));
        // Without marks it can be widened still.
        assert_eq!(planned(&press(&mut app, "M")).runs, None);
    }

    #[test]
    fn a_plan_that_is_refused_leaves_the_runs_of_the_one_that_is_there() {
        let mut app = with_marked();
        let effects = press(&mut app, "M");
        let [Effect::Ask(Ask { generation, .. })] = effects[..] else { panic!("{effects:?}") };
        app.update(Event::Answered { slot: Slot::Plan, generation, result: Err("no".to_owned()) });
        assert_eq!(app.replay.runs, Some(vec![id(5), id(4)]));
    }

    #[test]
    fn what_a_job_is_planned_for_again_holds_for_every_change_of_that_plan() {
        let mut app = app(80, 24);
        app.update(Event::Changed(Box::new(Survey { jobs: vec![job(true)], ..survey() })));
        let effects = press(&mut app, "4R");
        let runs = planned(&effects).runs;
        answer(&mut app, &effects, Answer::Plan(Arc::new(plan())));
        assert_eq!(app.replay.stage, Stage::Plan);
        let changed = planned(&press(&mut app, "-"));
        assert_eq!((changed.runs, changed.workers), (runs, Some(1)));
    }

    #[test]
    fn workers_are_counted_from_those_of_the_plan_and_nobody_chose_before() {
        let mut app = with_replay(80, 24, 2);
        let effects = press(&mut app, "\n");
        assert_eq!(planned(&effects).workers, None);
        answer(&mut app, &effects, Answer::Plan(Arc::new(crate::model::plan::ReplayPlan { workers: 7, ..plan() })));
        assert_eq!(planned(&press(&mut app, "-")).workers, Some(6));
        assert_eq!(planned(&press(&mut app, "++")).workers, Some(8), "before the next plan is there");
    }
}
