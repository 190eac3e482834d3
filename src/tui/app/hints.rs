//! What the bottom line offers: in a panel of several stages only what is of use in this one.

use crate::tui::app::replay::Stage;
use crate::tui::app::{App, Panel};
use crate::tui::keys::Command;

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

    /// Whether a command is of use where the user is: what the bottom line offers.
    pub fn offers(&self, command: Command) -> bool {
        if self.panel != Panel::Replay {
            return true;
        }
        match command {
            Command::Mark | Command::AddStatement => self.replay.stage == Stage::Choose,
            Command::Correct | Command::NextStatement => self.replay.stage == Stage::Preview,
            Command::OnlyMarked => {
                matches!(self.replay.stage, Stage::Preview | Stage::Plan) && !self.timeline.marked.is_empty()
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
    use crate::tui::app::fixture::{answer, app, asks, id, press, propagation, statement};
    use crate::tui::event::{Answer, Effect, Request};

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
}
