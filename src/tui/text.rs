//! Text that is safe to draw and fits its place.
//!
//! Everything shown comes from scripts, logs and repositories. Whatever a terminal would perform (control bytes,
//! bidirectional overrides) is replaced here; nothing reaches the screen without passing through [`clean`].

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::value::Value;

/// What a tab is shown as.
const TAB: &str = "    ";
/// Longer lines are cut before anything else looks at them: nobody reads a megabyte on one line.
const LONGEST_LINE: usize = 4096;

/// The text with everything that a terminal would perform made visible: controls and direction marks become `�`,
/// tabs four spaces, a line end `⏎`.
pub fn clean(text: &str) -> Cow<'_, str> {
    let text = cut_bytes(text, LONGEST_LINE);
    if text.chars().all(|c| c != '\t' && !is_unsafe(c)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => safe.push_str(TAB),
            '\n' => safe.push('⏎'),
            c if is_unsafe(c) => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Whether a terminal would act on it instead of showing it, or show it in a misleading order.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

/// The lines of a program's output: escape sequences dropped, and of a line that redraws itself (`\r`) the last state.
pub fn output_lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            let line = line.trim_end_matches('\r');
            let line = line.rsplit('\r').next().unwrap_or(line);
            clean(&without_escapes(line)).into_owned()
        })
        .collect()
}

/// Drops CSI and OSC sequences whole; a lone escape stays, for [`clean`] to show.
fn without_escapes(line: &str) -> Cow<'_, str> {
    if !line.contains('\x1b') {
        return Cow::Borrowed(line);
    }
    let mut kept = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\x1b', Some('[')) => {
                rest.next();
                while rest.next().is_some_and(|c| !('\x40'..='\x7e').contains(&c)) {}
            }
            ('\x1b', Some(']')) => while rest.next().is_some_and(|c| c != '\x07' && c != '\\') {},
            _ => kept.push(c),
        }
    }
    Cow::Owned(kept)
}

/// Columns that cleaned text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The longest beginning that fits into `columns`, with `ellipsis` at its end if something had to go.
pub fn fit<'a>(text: &'a str, columns: usize, ellipsis: &str) -> Cow<'a, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(width(ellipsis));
    let mut kept = take_columns(text, room).to_owned();
    if width(ellipsis) <= columns {
        kept.push_str(ellipsis);
    }
    Cow::Owned(kept)
}

/// The longest beginning of at most `columns` columns; combining characters stay with their base.
pub fn take_columns(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += columns_of(c);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

/// What follows the first `columns` columns: for scrolling sideways. A wide character on the edge goes whole.
pub fn skip_columns(text: &str, columns: usize) -> &str {
    if columns == 0 {
        return text;
    }
    let mut used = 0;
    for (at, c) in text.char_indices() {
        if used >= columns && columns_of(c) > 0 {
            return &text[at..];
        }
        used += columns_of(c);
    }
    ""
}

/// Columns that a character adds at most: the emoji selector widens the character before it.
fn columns_of(c: char) -> usize {
    if c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(0) }
}

/// At most `bytes` bytes, cut between characters.
pub fn cut_bytes(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Breaks prose at spaces into lines of at most `columns`, each indented as the text is; longer words are broken
/// anywhere.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    wrap_by(text, columns, columns_of)
}

/// Every character is measured once: a word may be a megabyte long.
fn wrap_by(text: &str, columns: usize, mut columns_of: impl FnMut(char) -> usize) -> Vec<String> {
    let body = text.trim_start_matches(' ');
    let indent = (text.len() - body.len()).min(columns / 2).min(columns.saturating_sub(2));
    // A wide character has room on every line.
    let columns = (columns - indent).max(2);
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    for word in body.split(' ') {
        let (mut from, mut wide) = (0, 0);
        for (at, c) in word.char_indices() {
            let more = columns_of(c);
            if wide + more > columns && at > from {
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                lines.push(word[from..at].to_owned());
                (from, wide, used) = (at, 0, 0);
            }
            wide += more;
        }
        if !line.is_empty() && used + 1 + wide > columns {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if !line.is_empty() {
            line.push(' ');
            used += 1;
        }
        line.push_str(&word[from..]);
        used += wide;
    }
    lines.push(line);
    let margin = " ".repeat(indent);
    lines.into_iter().map(|line| format!("{margin}{line}")).collect()
}

/// A value in few columns; of a long text, no more than fits a line.
pub fn short(value: &Value) -> String {
    match value {
        Value::Float(x) if x.is_finite() => short_float(*x),
        other => beginning(other).into_owned(),
    }
}

/// A value in full as far as it fits a line: a list may show many that have megabytes.
pub fn beginning(value: &Value) -> Cow<'_, str> {
    let text = written(value);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut_bytes(text, LONGEST_LINE)),
        Cow::Owned(_) => text,
    }
}

/// A value in full; a text is not copied.
pub fn written(value: &Value) -> Cow<'_, str> {
    match value {
        Value::BigInt(text) | Value::Text(text) | Value::Json(text) | Value::Opaque(text) => Cow::Borrowed(text),
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => Cow::Owned(value.to_string()),
    }
}

/// Six significant digits, or all if there are fewer.
pub fn short_float(x: f64) -> String {
    let full = Value::Float(x).to_string();
    if full.len() <= 9 {
        return full;
    }
    let magnitude = x.abs();
    if !(1e-4..1e7).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let digits: usize = match magnitude {
        m if m >= 1e6 => 0,
        m if m >= 1e5 => 1,
        m if m >= 1e4 => 2,
        m if m >= 1e3 => 3,
        m if m >= 1e2 => 4,
        _ => 5,
    };
    format!("{x:.digits$}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_a_terminal_performs_survives() {
        assert_eq!(clean("a\x1b[2J\x07\u{9b}b\u{202e}c\td\n"), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}c    d⏎");
        assert_eq!(clean("plain ✓ 漢字 é"), "plain ✓ 漢字 é");
    }

    #[test]
    fn output_shows_the_last_state_of_a_progress_bar_without_its_colours() {
        assert_eq!(output_lines("10%\r50%\r\x1b[32m100%\x1b[0m\r\ndone\n"), ["100%", "done"]);
    }

    #[test]
    fn wide_and_combining_characters_are_never_cut_in_half() {
        assert_eq!(fit("漢字漢字", 5, "…"), "漢字…");
        assert_eq!(fit("e\u{301}e\u{301}e\u{301}", 2, "…"), "e\u{301}…");
        assert_eq!(skip_columns("漢字ab", 3), "ab");
        assert_eq!(take_columns("☁\u{fe0f}b", 1), "☁");
        assert_eq!(fit("abc", 0, "…"), "");
    }

    #[test]
    fn prose_wraps_at_spaces() {
        assert_eq!(wrap("the model was renamed", 9), ["the model", "was", "renamed"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("  a long one", 8), ["  a long", "  one"]);
        assert_eq!(wrap("    漢字", 2), ["漢", "字"]);
    }

    #[test]
    fn wrapping_measures_every_character_once_however_long_a_word_is() {
        for text in ["x".repeat(20_000), "漢字 and a".repeat(2_000)] {
            let mut measured = 0;
            let lines = wrap_by(&text, 40, |c| {
                measured += 1;
                columns_of(c)
            });
            assert!(lines.len() >= 250, "{}", lines.len());
            assert!(measured <= text.chars().count(), "{measured}");
        }
    }

    #[test]
    fn of_a_long_value_a_list_takes_no_more_than_a_line() {
        assert_eq!(short(&Value::Text("é".repeat(1_000_000))).len(), LONGEST_LINE);
        assert_eq!(short(&Value::Int(-3)), "-3");
    }

    proptest! {
        #[test]
        fn fitted_text_fits(text in ".{0,40}", columns in 0_usize..30) {
            let text = clean(&text).into_owned();
            prop_assert!(width(&fit(&text, columns, "…")) <= columns);
            prop_assert!(wrap(&text, columns).iter().all(|line| width(line) <= columns.max(2)));
        }
    }
}
