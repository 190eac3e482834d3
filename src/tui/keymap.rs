//! The table of keys with the user's changes: what a key does, and which keys stand for a command.

use std::collections::HashMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::tui::keys::{BINDINGS, Binding, Command, Context, bindings};

/// Keys that have names.
const NAMED: [&str; 16] = [
    "Space",
    "Enter",
    "Esc",
    "Tab",
    "BackTab",
    "Backspace",
    "Delete",
    "Insert",
    "Up",
    "Down",
    "Left",
    "Right",
    "Home",
    "End",
    "PageUp",
    "PageDown",
];

/// The keys that the user gave to commands; everything else is as in [`BINDINGS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keymap {
    own: HashMap<(Context, Command), Vec<String>>,
}

impl Keymap {
    /// The command bound to a key in a context. Within a panel its own bindings win over those that hold everywhere.
    pub fn command(&self, context: Context, key: KeyEvent) -> Option<Command> {
        let name = name(key)?;
        let found = self.bound(context, &name).or_else(|| self.bound(Context::Everywhere, &name));
        // Whatever the settings say, there is a way out.
        found.or((name == "Ctrl-c").then_some(Command::Quit))
    }

    /// The keys of a row of the table, as people write them.
    pub fn keys<'a>(&'a self, binding: &'a Binding) -> Vec<&'a str> {
        match self.own.get(&(binding.context, binding.command)) {
            Some(keys) => keys.iter().map(String::as_str).collect(),
            None => binding.keys.to_vec(),
        }
    }

    /// What the line at the bottom says of a row: keys and word. `None` where it is not offered.
    pub fn hint<'a>(&'a self, binding: &'a Binding) -> Option<(&'a str, &'static str)> {
        let first = || self.keys(binding).first().copied();
        let Some((keys, word)) = binding.hint.split_once('|') else {
            return first().filter(|_| !binding.hint.is_empty()).map(|key| (key, binding.hint));
        };
        // Said of several commands at once: true only while all of them are where they were.
        let context = binding.context;
        let stands = keys.split(' ').all(|key| self.bound(context, key) == Self::default().bound(context, key));
        if stands { Some((keys, word)) } else { first().map(|key| (key, word)) }
    }

    /// Gives a command other keys. The caller has checked them by [`is_key`] and [`Keymap::holder`].
    pub fn set(&mut self, context: Context, command: Command, keys: Vec<String>) {
        self.own.insert((context, command), keys);
    }

    /// Takes back what [`Keymap::set`] did since `before`.
    pub fn reset(&mut self, context: Context, command: Command, before: &Self) {
        match before.own.get(&(context, command)) {
            Some(keys) => self.own.insert((context, command), keys.clone()),
            None => self.own.remove(&(context, command)),
        };
    }

    /// Another command that has this key in the same context.
    pub fn holder(&self, context: Context, command: Command, key: &str) -> Option<Command> {
        let others = BINDINGS.iter().filter(|b| b.context == context && b.command != command);
        others.into_iter().find(|b| self.keys(b).contains(&key)).map(|b| b.command)
    }

    fn bound(&self, context: Context, key: &str) -> Option<Command> {
        bindings(context).find(|b| b.context == context && self.keys(b).contains(&key)).map(|b| b.command)
    }
}

/// Whether a terminal can send a key of this name.
pub fn is_key(text: &str) -> bool {
    let base = text.strip_prefix("Alt-").or_else(|| text.strip_prefix("Ctrl-")).unwrap_or(text);
    let mut chars = base.chars();
    let single = match (chars.next(), chars.next()) {
        (Some(c), None) => !c.is_control() && c != ' ',
        _ => false,
    };
    if text.starts_with("Ctrl-") && base.len() < text.len() {
        return base.len() == 1 && !base.contains(|c: char| c.is_ascii_uppercase());
    }
    let function = base.strip_prefix('F').and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=12).contains(&n));
    single || (base.len() == text.len() && (function || NAMED.contains(&base)))
}

/// A key as the table spells it.
fn name(key: KeyEvent) -> Option<String> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if key.modifiers.contains(KeyModifiers::ALT) {
        return match key.code {
            KeyCode::Char(c) if !control => Some(format!("Alt-{c}")),
            _ => None,
        };
    }
    let base = match key.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(c) if control => return Some(format!("Ctrl-{}", c.to_ascii_lowercase())),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::F(n) => format!("F{n}"),
        KeyCode::Enter => "Enter".into(),
        KeyCode::Esc => "Esc".into(),
        KeyCode::Tab => "Tab".into(),
        KeyCode::BackTab => "BackTab".into(),
        KeyCode::Backspace => "Backspace".into(),
        KeyCode::Delete => "Delete".into(),
        KeyCode::Insert => "Insert".into(),
        KeyCode::Up => "Up".into(),
        KeyCode::Down => "Down".into(),
        KeyCode::Left => "Left".into(),
        KeyCode::Right => "Right".into(),
        KeyCode::Home => "Home".into(),
        KeyCode::End => "End".into(),
        KeyCode::PageUp => "PageUp".into(),
        KeyCode::PageDown => "PageDown".into(),
        _ => return None,
    };
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(c: char) -> KeyEvent {
        KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)
    }

    #[test]
    fn a_panel_s_own_keys_win_over_the_general_ones() {
        let keymap = Keymap::default();
        assert_eq!(keymap.command(Context::Diff, key('J')), Some(Command::NextFile));
        assert_eq!(keymap.command(Context::Timeline, key('J')), None);
        assert_eq!(keymap.command(Context::Results, key('j')), Some(Command::Down));
        let control_s = KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL);
        assert_eq!(keymap.command(Context::Results, control_s), Some(Command::Export));
    }

    #[test]
    fn keys_that_were_given_away_do_what_they_were_given_to_and_hints_follow() {
        let mut keymap = Keymap::default();
        keymap.set(Context::Diff, Command::PreviousHunk, vec!["Alt-p".into()]);
        let alt_p = KeyEvent::new(KeyCode::Char('p'), KeyModifiers::ALT);
        assert_eq!(keymap.command(Context::Diff, alt_p), Some(Command::PreviousHunk));
        assert_eq!(keymap.command(Context::Diff, key('[')), None);
        let next = BINDINGS.iter().find(|b| b.command == Command::NextHunk).expect("a row");
        assert_eq!(Keymap::default().hint(next), Some(("[ ]", "change")));
        assert_eq!(keymap.hint(next), Some(("]", "change")));
    }

    #[test]
    fn there_is_always_a_way_out() {
        let mut keymap = Keymap::default();
        keymap.set(Context::Everywhere, Command::Quit, Vec::new());
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(keymap.command(Context::Timeline, control_c), Some(Command::Quit));
    }

    #[test]
    fn names_of_keys_are_those_that_a_terminal_sends() {
        for good in ["j", "J", "ä", "?", "Ctrl-s", "Alt-x", "F12", "PageDown", "Space", "-", "C", "F"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "jj", " ", "ctrl-s", "Ctrl-S", "Ctrl-", "F13", "F0", "space", "Alt-F1", "Shift-a"] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
