//! Searching panel 4: a row that holds a word, or a line of the detail where that has the whole body.

use crate::model::probe::Placement;
use crate::tui::app::App;
use crate::tui::app::replay::{Replay, Stage};
use crate::tui::views::replay::{detail_text, last_offset};

impl Replay {
    /// The line of the detail that was found last, as long as the user has not gone on from there.
    pub fn found_line(&self) -> Option<usize> {
        self.found.filter(|(_, offset)| *offset == self.detail_offset).map(|(line, _)| line)
    }

    /// Shows the detail from its beginning.
    pub(super) fn read_anew(&mut self) {
        (self.detail_offset, self.found) = (0, None);
    }

    /// What a row of this stage says, for a search.
    fn row_text(&self, row: usize) -> String {
        let placement = |p: &Placement| format!("{} {} {}", p.name, p.status.word(), p.reasons.join(" "));
        let all = |placements: &[Placement]| placements.iter().map(placement).collect::<Vec<_>>().join(" ");
        let text = match self.stage {
            Stage::Choose => {
                self.statements.as_ref().and_then(|all| all.get(row)).map(|s| format!("{} {}", s.name, s.text))
            }
            Stage::Preview => self.preview.get(row).map(|(run, found)| format!("{run} {}", all(&found.placements))),
            Stage::Plan => self.plan.as_ref().and_then(|plan| {
                let planned =
                    plan.runs.get(row).map(|r| format!("{} {} {}", r.run, all(&r.placements), r.notes.join(" ")));
                let left_out = || plan.left_out.get(row - plan.runs.len()).map(|l| format!("{} {}", l.run, l.why));
                planned.or_else(left_out)
            }),
            Stage::Job => self
                .current_job()
                .and_then(|job| job.segments.get(row))
                .map(|segment| format!("{} {} {}", segment.run, segment.state.word(), segment.notes.join(" "))),
        };
        text.unwrap_or_default()
    }
}

impl App {
    /// Goes to the next row, or line of the detail, that holds what was searched for, going round.
    pub(super) fn search_replay(&mut self, backwards: bool) {
        let needle = self.replay.search.to_lowercase();
        if needle.is_empty() {
            return self.say("nothing to search for yet: type / and a word");
        }
        let detail = if self.zoom { detail_text(self) } else { Vec::new() };
        let (length, from) = match self.zoom {
            true => (detail.len(), self.replay.found_line().unwrap_or(self.replay.detail_offset)),
            false => (self.replay.length(), self.replay.cursor.selected),
        };
        let text = |row: usize| if self.zoom { detail[row].clone() } else { self.replay.row_text(row) };
        let found = (1..=length)
            .map(|step| (from + if backwards { length - step } else { step }) % length)
            .find(|row| text(*row).to_lowercase().contains(&needle));
        match found {
            Some(line) if self.zoom => {
                // The last lines cannot all be the first one shown.
                let offset = line.min(last_offset(self));
                self.replay.detail_offset = offset;
                self.replay.found = Some((line, offset));
            }
            Some(row) => {
                let height = self.list_height();
                self.replay.cursor.go(row, length, height);
                self.replay.detail_offset = 0;
            }
            None => self.complain(format!("nothing here holds '{}'", self.replay.search)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::tui::app::App;
    use crate::tui::app::fixture::{plan, press, with_replay};
    use crate::tui::views::replay::detail_text;

    #[test]
    fn a_word_leads_to_the_next_row_that_holds_it() {
        let mut app = with_replay(80, 24, 2);
        press(&mut app, "/uncertain\n");
        assert_eq!(app.replay.cursor.selected, 1);
        press(&mut app, "/exact\n");
        assert_eq!(app.replay.cursor.selected, 0);
        press(&mut app, "n");
        assert_eq!(app.replay.cursor.selected, 0, "round to the only one");
        press(&mut app, "/nowhere\n");
        assert!(app.notice.is_some_and(|notice| notice.is_error));
    }

    #[test]
    fn the_detail_is_searched_beyond_the_last_line_that_can_be_the_first_one() {
        let mut app = with_replay(80, 24, 3);
        let mut plan = plan();
        plan.runs[0].notes = (0..40).map(|n| if n > 36 { format!("here {n}") } else { format!("note {n}") }).collect();
        app.replay.plan = Some(Arc::new(plan));
        press(&mut app, "z/here\n");
        let found = |app: &App| {
            let line = app.replay.found_line().expect("a line");
            detail_text(app)[line].clone()
        };
        let mut seen = vec![found(&app)];
        for _ in 0..3 {
            press(&mut app, "n");
            seen.push(found(&app));
        }
        let numbers: Vec<&str> = seen.iter().filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!(numbers, ["37", "38", "39", "37"]);
        press(&mut app, "N");
        assert!(found(&app).ends_with("39"));
        press(&mut app, "g");
        assert_eq!(app.replay.found_line(), None, "the user has gone on");
    }
}
