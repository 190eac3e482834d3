//! The keys of what lies over a panel: for the line at the bottom, and for its help.

use crate::tui::app::overlay::Overlay;

/// Keys with a word or two each, those at the front also at the bottom of the screen.
type Keys = &'static [(&'static str, &'static str)];

/// Where a line is typed.
const LINE: Keys = &[
    ("Left Right", "a character back or on"),
    ("Home Ctrl-a", "to the beginning"),
    ("End Ctrl-e", "to the end"),
    ("Ctrl-w", "remove the word before the cursor"),
    ("Ctrl-u", "remove all before the cursor"),
];
/// Where something is read.
const READING: Keys = &[
    ("g G", "to the beginning, to the end"),
    ("Ctrl-d Ctrl-u", "half a page down, up"),
    ("Ctrl-f Ctrl-b", "a page down, up"),
];

impl Overlay {
    /// What it is called, its own keys as the bottom line shows them, and further ones.
    pub fn about(&self) -> (&'static str, Keys, Keys) {
        match self {
            Self::Help { .. } => ("help", &[("j k", "scroll"), ("Esc", "close")], READING),
            Self::Palette { .. } => {
                ("the list of commands", &[("Enter", "do it"), ("↓ ↑", "choose"), ("Esc", "close")], LINE)
            }
            Self::Prompt { .. } => ("a line to type", &[("Enter", "take it"), ("Esc", "close")], LINE),
            Self::Placement(_) => (
                "a placement",
                &[
                    ("J K", "move"),
                    ("1-9", "other place"),
                    ("e", "edit"),
                    ("x", "exclude"),
                    ("u", "as found"),
                    ("Esc", "close"),
                ],
                &[
                    ("J K", "a statement down or up, in this version and all with the same code around it"),
                    ("e", "log something else or stand elsewhere, in all with the same code around it"),
                    ("x", "leave it out of this version and all with the same code around it"),
                    ("u", "forget what was decided for this version"),
                    ("Tab", "in the diff: the same statement in the other version"),
                    ("j k", "scroll"),
                ],
            ),
            Self::Editor(editor) if editor.rewritten.is_some() => (
                "a log statement in one version",
                &[
                    ("Enter", "keep"),
                    ("Tab", "complete/next"),
                    ("↓ ↑", "choose"),
                    ("Ctrl-b", "before/after"),
                    ("Esc", "close"),
                ],
                &[
                    ("Enter", "keep it for this version and all with the same code around it"),
                    ("Tab", "complete the name under the cursor, else to the next field"),
                    ("S-Tab", "to the field before"),
                    ("↓ ↑", "choose what completes the name; on the line: a line down or up"),
                    ("Ctrl-b", "the statement stands before the line instead of after it"),
                    ("Ctrl-w Ctrl-u", "remove the word, or all, before the cursor"),
                ],
            ),
            Self::Editor(_) => (
                "a log statement",
                &[
                    ("Enter", "add"),
                    ("Tab", "complete/next"),
                    ("↓ ↑", "choose"),
                    ("Ctrl-b", "before/after"),
                    ("Ctrl-t", "the tree's"),
                    ("Esc", "close"),
                ],
                &[
                    ("Enter", "in the name: to the expression; then keep it and see where it lands"),
                    ("Tab", "complete the name under the cursor, else to the next field"),
                    ("S-Tab", "to the field before"),
                    ("Ctrl-t", "take one that stands in the working tree's script instead"),
                    ("Ctrl-b", "the statement stands before the line instead of after it"),
                    ("Ctrl-w Ctrl-u", "remove the word, or all, before the cursor"),
                ],
            ),
            Self::Cell { .. } => ("a value", &[("j k", "scroll"), ("Esc", "close")], READING),
            Self::Statistics { .. } => ("statistics", &[("j k", "scroll"), ("Esc", "close")], READING),
            Self::Partings { .. } => (
                "where two runs part",
                &[("Enter", "side by side"), ("t", "tolerance"), ("Esc", "close")],
                &[
                    ("j k", "choose a column"),
                    ("Enter", "both runs side by side, at the first difference of the column"),
                ],
            ),
            Self::Columns { .. } => ("columns", &[("Space", "show or hide"), ("Esc", "close")], READING),
            Self::Metrics { .. } => ("the choice of a value", &[("Enter", "show it"), ("Esc", "close")], READING),
            Self::Jobs { .. } => ("replays", &[("Enter", "show"), ("Esc", "close")], READING),
            Self::ConfirmCancel { .. } => ("cancelling", &[("y", "cancel the replay"), ("Esc", "let it go on")], &[]),
        }
    }

    /// Whether letters are typed into it.
    pub fn takes_text(&self) -> bool {
        matches!(self, Self::Prompt { .. } | Self::Palette { .. } | Self::Editor(_))
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use std::sync::Arc;

    use crate::model::probe::PlacementStatus;
    use crate::tui::app::App;
    use crate::tui::app::fixture::{
        answer, asks, draft, give_kept, id, press, propagation, with_editor, with_grid, with_replay,
    };
    use crate::tui::app::overlay::Overlay;
    use crate::tui::app::replay::Stage;
    use crate::tui::event::{Answer, Event, Request};

    #[test]
    fn what_lies_over_a_panel_has_help_of_its_own_and_is_there_again_afterwards() {
        let mut app = with_grid(80, 24);
        press(&mut app, "C?");
        assert!(matches!(&app.overlay, Some(Overlay::Help { over: Some(over), .. }) if **over != Overlay::palette()));
        press(&mut app, "?");
        assert!(matches!(app.overlay, Some(Overlay::Columns { .. })));
        press(&mut app, "?\x1b");
        assert!(matches!(app.overlay, Some(Overlay::Columns { .. })));
        press(&mut app, "\x1b");
        assert_eq!(app.overlay, None);
    }

    #[test]
    fn where_letters_are_typed_only_f1_asks() {
        let (mut app, _) = with_editor(80, 24);
        press(&mut app, "?");
        assert!(matches!(&app.overlay, Some(Overlay::Editor(editor)) if editor.name.text == "?"));
        app.update(Event::Key(KeyEvent::new(KeyCode::F(1), KeyModifiers::NONE)));
        assert!(matches!(app.overlay, Some(Overlay::Help { .. })));
        press(&mut app, "q");
        assert!(matches!(app.overlay, Some(Overlay::Editor(_))), "nothing that was typed is lost");
    }

    fn ask_for_help(app: &mut App) {
        app.update(Event::Key(KeyEvent::new(KeyCode::F(1), KeyModifiers::NONE)));
        assert!(matches!(app.overlay, Some(Overlay::Help { over: Some(_), .. })));
    }

    #[test]
    fn what_comes_of_a_statement_while_its_help_is_read_is_there_afterwards() {
        let (mut app, _) = with_editor(80, 24);
        let tried = press(&mut app, "n\nloss");
        press(&mut app, "\n");
        ask_for_help(&mut app);
        let kept = answer(&mut app, &tried, Answer::Draft(Arc::new(draft(Ok(Vec::new())))));
        assert!(matches!(asks(&kept)[0].request, Request::Keep(_)), "Enter was pressed before");
        assert!(matches!(app.overlay, Some(Overlay::Help { .. })));
        give_kept(&mut app, &kept);
        assert_eq!(app.overlay, None, "there is nothing left to explain");
        let (mut app, _) = with_editor(80, 24);
        ask_for_help(&mut app);
        app.update(Event::Paste("norm".into()));
        press(&mut app, "\x1b");
        assert!(matches!(&app.overlay, Some(Overlay::Editor(editor)) if editor.name.text == "norm"));
    }

    #[test]
    fn a_placement_that_is_moved_while_its_help_is_read_has_moved_afterwards() {
        let mut app = with_replay(80, 24, 2);
        assert_eq!(app.replay.stage, Stage::Preview);
        let effects = press(&mut app, "mJ");
        let Request::Correct(correction) = asks(&effects)[0].request.clone() else { panic!("{effects:?}") };
        ask_for_help(&mut app);
        assert_eq!(correction.run, id(1));
        let moved = Box::new(propagation(2, PlacementStatus::Exact));
        answer(&mut app, &effects, Answer::Corrected { correction, propagation: moved, others: 0 });
        press(&mut app, "\x1b");
        let Some(Overlay::Placement(open)) = &app.overlay else { panic!("{:?}", app.overlay) };
        assert_eq!((open.placement.after_line, open.waiting), (Some(2), false));
    }
}
