//! A cursor in a list with its window, and a line being typed. Pure.

use crate::tui::keys::Command;

/// Where the user is in a list, and the first row shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    pub selected: usize,
    pub offset: usize,
}

impl Cursor {
    /// Moves by a movement command in a list of `length` rows of which `height` are shown. Other commands do nothing.
    pub fn act(&mut self, command: Command, length: usize, height: usize) {
        let page = height.max(1);
        let last = length.saturating_sub(1);
        self.selected = match command {
            Command::Up => self.selected.saturating_sub(1),
            Command::Down => self.selected + 1,
            Command::Top => 0,
            Command::Bottom => last,
            Command::HalfPageUp => self.selected.saturating_sub(page / 2),
            Command::HalfPageDown => self.selected + page / 2,
            Command::PageUp => self.selected.saturating_sub(page),
            Command::PageDown => self.selected + page,
            _ => self.selected,
        }
        .min(last);
        self.settle(length, height);
    }

    /// Goes to a row.
    pub fn go(&mut self, row: usize, length: usize, height: usize) {
        self.selected = row;
        self.settle(length, height);
    }

    /// Brings selection and window back into the list, and the selection into the window.
    pub fn settle(&mut self, length: usize, height: usize) {
        let height = height.max(1);
        self.selected = self.selected.min(length.saturating_sub(1));
        self.offset = self.offset.min(length.saturating_sub(height)).min(self.selected);
        if self.selected >= self.offset + height {
            self.offset = self.selected + 1 - height;
        }
    }
}

/// Whether a command moves in a list.
pub fn is_movement(command: Command) -> bool {
    matches!(
        command,
        Command::Up
            | Command::Down
            | Command::Top
            | Command::Bottom
            | Command::HalfPageUp
            | Command::HalfPageDown
            | Command::PageUp
            | Command::PageDown
    )
}

/// Scrolls text of `length` lines in a window of `height`.
pub fn scroll(offset: &mut usize, command: Command, length: usize, height: usize) {
    let mut cursor = Cursor { selected: *offset, offset: 0 };
    cursor.act(command, length.saturating_sub(height) + 1, height);
    *offset = cursor.selected;
}

/// One line being typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineEdit {
    pub text: String,
    /// Byte position of the cursor, on a character's boundary.
    pub at: usize,
}

impl LineEdit {
    /// With a text to start from, the cursor at its end.
    pub fn with(text: &str) -> Self {
        Self { text: text.to_owned(), at: text.len() }
    }

    /// Types characters; controls are left out.
    pub fn insert(&mut self, text: &str) {
        let typed: String = text.chars().filter(|c| !c.is_control()).collect();
        self.text.insert_str(self.at, &typed);
        self.at += typed.len();
    }

    pub fn backspace(&mut self) {
        if let Some(c) = self.text[..self.at].chars().next_back() {
            self.at -= c.len_utf8();
            self.text.remove(self.at);
        }
    }

    pub fn delete(&mut self) {
        if self.at < self.text.len() {
            self.text.remove(self.at);
        }
    }

    pub fn left(&mut self) {
        self.at -= self.text[..self.at].chars().next_back().map_or(0, char::len_utf8);
    }

    pub fn right(&mut self) {
        self.at += self.text[self.at..].chars().next().map_or(0, char::len_utf8);
    }

    pub fn home(&mut self) {
        self.at = 0;
    }

    pub fn end(&mut self) {
        self.at = self.text.len();
    }

    /// Empties the line before the cursor.
    pub fn kill_before(&mut self) {
        self.text.drain(..self.at);
        self.at = 0;
    }

    /// Removes the word before the cursor.
    pub fn kill_word(&mut self) {
        let kept = self.text[..self.at].trim_end();
        let start = kept.rfind(' ').map_or(0, |space| space + 1);
        self.text.drain(start..self.at);
        self.at = start;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_edited_between_characters() {
        let mut line = LineEdit::with("läufe");
        line.left();
        line.backspace();
        line.insert("\x1bv");
        assert_eq!(line.text, "läuve");
        line.end();
        line.insert(" zwei");
        line.kill_word();
        assert_eq!(line.text, "läuve ");
        line.kill_before();
        assert_eq!((line.text.as_str(), line.at), ("", 0));
    }

    proptest! {
        #[test]
        fn the_selection_is_always_inside_list_and_window(
            moves in prop::collection::vec((0_usize..8, 0_usize..50, 0_usize..20), 1..40),
        ) {
            let commands = [
                Command::Up, Command::Down, Command::Top, Command::Bottom, Command::HalfPageUp,
                Command::HalfPageDown, Command::PageUp, Command::PageDown,
            ];
            let mut cursor = Cursor::default();
            for (command, length, height) in moves {
                cursor.act(commands[command], length, height);
                prop_assert!(cursor.selected < length.max(1));
                prop_assert!(cursor.selected >= cursor.offset && cursor.selected < cursor.offset + height.max(1));
            }
        }
    }
}
