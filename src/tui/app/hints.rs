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
