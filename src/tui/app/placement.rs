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
                self.replay.read_anew();
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
            KeyCode::Tab => {
                let beside = self.beside_explained(&explained.run).unwrap_or(explained);
                return self.open(Overlay::Placement(Box::new(beside)));
            }
            KeyCode::Char('e') if !explained.waiting => return self.open_rewriting(explained),
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
        let written = |line: Option<u32>| line.map_or(String::new(), |line| format!(", line {line}"));
        let said = match (&now, &correction.choice) {
            (_, Choice::Rewrite { .. }) => {
                let line = now.as_ref().and_then(|now| now.placement.line);
                format!("as you wrote it{}; u takes it back", written(line))
            }
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
        if self.is_rewriting(correction) {
            // What it was opened from is there again.
            self.overlay = now.clone().map(|now| Overlay::Placement(Box::new(now)));
        } else if let (Some(open), Some(now)) = (self.placement_mut(), now)
            && open.run == now.run
            && open.placement.name == now.placement.name
            && open.statement == now.statement
        {
            *open = now;
        } else {
            // There may be no such statement any more.
            self.correction_refused();
        }
        match self.panel {
            Panel::Diff => self.ask_diff_again(),
            Panel::Replay if self.replay.stage == Stage::Preview => self.ask_preview(),
            Panel::Timeline | Panel::Results | Panel::Replay => Vec::new(),
        }
    }

    /// Whether the editor is open on what was decided, as it was decided: what was typed since is not lost.
    fn is_rewriting(&mut self, correction: &Correction) -> bool {
        self.editor_mut().is_some_and(|editor| editor.correction().as_ref() == Some(correction))
    }

    /// A decision that was refused leaves everything as it was.
    pub(super) fn correction_refused(&mut self) {
        if let Some(explained) = self.placement_mut() {
            explained.waiting = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::analysis::propagate::Wish;
    use crate::model::probe::PlacementStatus;
    use crate::tui::app::App;
    use crate::tui::app::editor::{Editor, Field};
    use crate::tui::app::fixture::{answer, asks, draft, id, press, propagation, with_replay};
    use crate::tui::app::overlay::Overlay;
    use crate::tui::event::{Answer, Ask, Choice, Correction, Effect, Event, Request, Slot};

    fn editor(app: &App) -> &Editor {
        match &app.overlay {
            Some(Overlay::Editor(editor)) => editor,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_one_version_logs_is_rewritten_from_its_placement_and_shown_there_again() {
        let mut app = with_replay(80, 24, 2);
        let effects = press(&mut app, "ome");
        let Request::Redraft { correction, script } = asks(&effects)[0].request.clone() else { panic!("{effects:?}") };
        let place = Some(Wish::After(3, Some(5)));
        let choice = Choice::Rewrite { expression: "norm(net)".into(), place };
        assert_eq!((correction.run, correction.name.as_str(), correction.choice), (id(2), "norm", choice));
        assert_eq!(script, "train.py");
        assert_eq!(editor(&app).fields(), [Field::Expression, Field::Place], "the name stays");
        let tried = press(&mut app, " * 2");
        answer(&mut app, &tried, Answer::Draft(Arc::new(draft(Ok(Vec::new())))));
        let effects = press(&mut app, "\n");
        let Request::Correct(correction) = asks(&effects)[0].request.clone() else { panic!("{effects:?}") };
        let Choice::Rewrite { expression, .. } = &correction.choice else { panic!("{correction:?}") };
        assert_eq!(expression, "norm(net) * 2");
        let Effect::Ask(Ask { generation, .. }) = effects[0] else { panic!("{effects:?}") };
        let result = Err("not there: `net` has no value".to_owned());
        app.update(Event::Answered { slot: Slot::Action, generation, result });
        assert_eq!(editor(&app).expression.text, "norm(net) * 2", "what was typed stays");
        let effects = press(&mut app, "\n");
        let mut propagation = propagation(2, PlacementStatus::Exact);
        propagation.placements[0].decided_in = Some(id(2));
        let corrected = Answer::Corrected { correction, propagation: Box::new(propagation), others: 0 };
        let effects = answer(&mut app, &effects, corrected);
        assert!(matches!(asks(&effects)[0].request, Request::Preview { .. }));
        assert!(matches!(&app.overlay, Some(Overlay::Placement(open)) if open.placement.decided_in == Some(id(2))));
    }

    #[test]
    fn another_line_and_none_are_what_is_typed_as_the_place_of_what_is_rewritten() {
        let mut app = with_replay(80, 24, 2);
        press(&mut app, "ome");
        let place = |effects: &[Effect]| match &asks(effects)[0].request {
            Request::Redraft { correction: Correction { choice: Choice::Rewrite { place, .. }, .. }, .. } => *place,
            other => panic!("{other:?}"),
        };
        press(&mut app, "\t");
        assert_eq!(place(&press(&mut app, "↓")), Some(Wish::After(4, None)));
        assert_eq!(place(&press(&mut app, "\x08")), None);
        assert_eq!(place(&press(&mut app, "1")), Some(Wish::After(1, None)), "in whatever block");
        assert_eq!(place(&press(&mut app, "\x083")), Some(Wish::After(3, Some(5))), "where it was");
    }
}
