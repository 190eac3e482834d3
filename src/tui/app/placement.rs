//! One placement explained, and corrected: moved by statement, to another place that was found, left out, taken back.

use crossterm::event::{KeyCode, KeyEvent};

use crate::base::ids::RunId;
use crate::base::units::counted;
use crate::model::probe::{Placement, PlacementStatus, Propagation};
use crate::tui::app::list;
use crate::tui::app::overlay::Overlay;
use crate::tui::app::replay::Stage;
use crate::tui::app::{App, Panel};
use crate::tui::event::{Choice, Correction, Effect, Request};
use crate::tui::keys;

/// Lines of the version shown on either side.
const AROUND: usize = 3;

/// A placement in one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    pub run: RunId,
    pub placement: Placement,
    /// Which of the statements that log the name, from 0.
    pub statement: usize,
    /// The lines around it, numbered; without a number its own.
    pub context: Vec<(Option<u32>, String)>,
    /// A decision is being tried.
    pub waiting: bool,
    pub offset: usize,
}

impl Explained {
    /// Of a version's placements, one: where it stands in the text with all of them.
    pub fn of(run: RunId, propagation: &Propagation, at: usize) -> Option<Self> {
        let placement = propagation.placements.get(at)?.clone();
        let same = |other: &&Placement| other.name == placement.name;
        let statement = propagation.placements[..at].iter().filter(same).count();
        let after = placement.after_line;
        let first = placement.line.map(|line| line - placement.within.min(line)).or(after.map(|line| line + 1));
        let own = if placement.status.is_placed() { lines_of(&placement) } else { 0 };
        let context = first.map(|first| context(propagation.text.lines(), first, own, after.unwrap_or(first - 1)));
        let context = context.unwrap_or_default();
        Some(Self { run, placement, statement, context, waiting: false, offset: 0 })
    }
}

fn lines_of(placement: &Placement) -> u32 {
    u32::try_from(placement.text.trim_end().lines().count()).unwrap_or(u32::MAX)
}

/// The lines of a text around those from `first` on: `own` of them bear no number, and the one before is `after` in the
/// version.
pub fn context<'t>(
    lines: impl Iterator<Item = &'t str>,
    first: u32,
    own: u32,
    after: u32,
) -> Vec<(Option<u32>, String)> {
    let around = u32::try_from(AROUND).unwrap_or_default();
    let (from, end) = (first.saturating_sub(around), first.saturating_add(own));
    let numbered = |at: u32| match at {
        _ if at < first => Some((after + 1).saturating_sub(first - at)),
        _ if at < end => None,
        _ => Some(after + 1 + (at - end)),
    };
    let shown = (1..).zip(lines).filter(|(at, _)| (from..end.saturating_add(around)).contains(at));
    shown.map(|(at, line)| (numbered(at), line.to_owned())).collect()
}

/// The placement that needs attention most: what a row shows for several statements.
pub fn worst(placements: &[Placement]) -> Option<usize> {
    let attention = |placement: &Placement| match placement.status {
        PlacementStatus::AlreadyThere | PlacementStatus::Excluded => 0,
        PlacementStatus::Exact => 1,
        PlacementStatus::Adapted => 2,
        PlacementStatus::NotApplicable => 3,
        PlacementStatus::Uncertain => 4,
    };
    (0..placements.len()).max_by_key(|at| (attention(&placements[*at]), std::cmp::Reverse(*at)))
}

/// Whether somebody should look at a version's placements: one is uncertain, or there is none, and nobody decided so.
pub fn is_doubtful(placements: &[Placement]) -> bool {
    let doubtful = |status| matches!(status, PlacementStatus::Uncertain | PlacementStatus::NotApplicable);
    placements.iter().any(|placement| doubtful(placement.status) && placement.decided_in.is_none())
}

impl App {
    /// Explains the placement under the cursor that needs it most, to be corrected.
    pub(super) fn explain_preview(&mut self) -> Vec<Effect> {
        let selected = self.replay.preview.get(self.replay.cursor.selected);
        let explained = selected
            .and_then(|(run, propagation)| Explained::of(run.clone(), propagation, worst(&propagation.placements)?));
        match explained {
            Some(explained) => self.open(Overlay::Placement(Box::new(explained))),
            None => Vec::new(),
        }
    }

    /// Goes to the next version, going round, whose placements somebody should look at.
    pub(super) fn next_doubtful(&mut self, backwards: bool) {
        let (length, from) = (self.replay.preview.len(), self.replay.cursor.selected);
        let found = (1..=length)
            .map(|step| (from + if backwards { length - step } else { step }) % length)
            .find(|at| is_doubtful(&self.replay.preview[*at].1.placements));
        match found {
            Some(row) => {
                let height = self.list_height();
                self.replay.cursor.go(row, length, height);
                self.replay.detail_offset = 0;
            }
            None => self.say("every placement is certain"),
        }
    }

    pub(super) fn placement_key(&mut self, mut explained: Explained, key: KeyEvent) -> Vec<Effect> {
        let others = explained.placement.alternatives.len();
        let choice = match key.code {
            KeyCode::Char('J') => Some(Choice::Down),
            KeyCode::Char('K') => Some(Choice::Up),
            KeyCode::Char('x') => Some(Choice::Exclude),
            KeyCode::Char('u') => Some(Choice::Reset),
            KeyCode::Char(c) => c.to_digit(10).and_then(|n| usize::try_from(n).ok()).map(Choice::Other),
            KeyCode::Enter => return Vec::new(),
            _ => None,
        };
        match choice {
            // While a decision is being tried, what the others will be is not known here.
            Some(Choice::Other(number)) if !explained.waiting && !(1..=others).contains(&number) => {
                self.complain(format!("there is no other place {number}"));
            }
            Some(choice) => {
                explained.waiting = true;
                let correction = Correction {
                    run: explained.run.clone(),
                    name: explained.placement.name.clone(),
                    statement: explained.statement,
                    choice,
                };
                self.overlay = Some(Overlay::Placement(Box::new(explained)));
                return vec![self.ask(Request::Correct(correction))];
            }
            None => match self.keys.command(self.context(), key) {
                Some(keys::Command::Leave) => return Vec::new(),
                Some(command) => list::scroll(&mut explained.offset, command, 200, self.overlay_height()),
                None => {}
            },
        }
        self.open(Overlay::Placement(Box::new(explained)))
    }

    pub(super) fn take_corrected(
        &mut self,
        correction: &Correction,
        propagation: &Propagation,
        others: usize,
    ) -> Vec<Effect> {
        let numbered = propagation.placements.iter().enumerate().filter(|(_, p)| p.name == correction.name);
        let at = numbered.map(|(at, _)| at).nth(correction.statement);
        let now = at.and_then(|at| Explained::of(correction.run.clone(), propagation, at));
        let said = match (&now, correction.choice) {
            (_, Choice::Exclude) => "left out here".to_owned(),
            (_, Choice::Reset) => "as it was found".to_owned(),
            (Some(now), _) => now.placement.line.map_or("moved".to_owned(), |line| format!("moved to line {line}")),
            (None, _) => "moved".to_owned(),
        };
        let too = if others > 0 {
            format!("; so it is in {}, too", counted(others as u64, "other run"))
        } else {
            String::new()
        };
        self.say(format!("{said}{too}"));
        if let (Some(open), Some(now)) = (self.placement_mut(), now)
            && open.run == now.run
            && open.placement.name == now.placement.name
            && open.statement == now.statement
        {
            *open = now;
        }
        match self.panel {
            Panel::Diff => self.ask_diff_again(),
            Panel::Replay if self.replay.stage == Stage::Preview => self.ask_preview(),
            Panel::Timeline | Panel::Results | Panel::Replay => Vec::new(),
        }
    }

    /// A decision that was refused leaves everything as it was.
    pub(super) fn correction_refused(&mut self) {
        if let Some(explained) = self.placement_mut() {
            explained.waiting = false;
        }
    }
}
