//! A program's output as it looked: its colours and weights are kept as data, whatever else a terminal would perform is
//! dropped or shown as text.

use ratatui::style::{Color, Modifier, Style};

use crate::tui::text::{clean, cut_bytes};

/// Longer lines are cut: nobody reads a megabyte on one line.
const LONGEST_LINE: usize = 4096;

/// A line, safe to draw, and how its parts look: the byte at which each part ends, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Painted {
    pub text: String,
    pub parts: Vec<(usize, Style)>,
}

impl Painted {
    /// The parts with their texts.
    pub fn pieces(&self) -> impl Iterator<Item = (&str, Style)> {
        let starts = std::iter::once(0).chain(self.parts.iter().map(|(end, _)| *end));
        starts.zip(&self.parts).map(|(start, (end, style))| (&self.text[start..*end], *style))
    }

    fn push(&mut self, text: &str, style: Style) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(&clean(text));
        match self.parts.last_mut() {
            Some((end, same)) if *same == style => *end = self.text.len(),
            _ => self.parts.push((self.text.len(), style)),
        }
    }
}

/// The lines of an output; of a line that redraws itself (`\r`) the last state. A style holds until it is changed.
pub fn painted_lines(text: &str) -> Vec<Painted> {
    let mut style = Style::new();
    text.lines().map(|line| painted(line.trim_end_matches('\r'), &mut style)).collect()
}

fn painted(line: &str, style: &mut Style) -> Painted {
    let mut painted = Painted::default();
    let mut rest = cut_bytes(line, 4 * LONGEST_LINE);
    while let Some(at) = rest.find(['\x1b', '\r']) {
        painted.push(&rest[..at], *style);
        let after = &rest[at + 1..];
        rest = match (&rest[at..=at], after.as_bytes().first()) {
            ("\r", _) => {
                painted = Painted::default();
                after
            }
            (_, Some(b'[')) => control_sequence(&after[1..], style),
            (_, Some(b']')) => after.split_once(['\x07', '\\']).map_or("", |(_, rest)| rest),
            _ => {
                // A lone escape stays, to be shown as what it is.
                painted.push("\x1b", *style);
                after
            }
        };
        if painted.text.len() > LONGEST_LINE {
            return painted;
        }
    }
    painted.push(rest, *style);
    painted
}

/// Takes a control sequence from behind its `ESC [`; gives what follows it.
fn control_sequence<'a>(text: &'a str, style: &mut Style) -> &'a str {
    let Some(end) = text.find(|c: char| ('\x40'..='\x7e').contains(&c)) else { return "" };
    if text.as_bytes()[end] == b'm' {
        select(&text[..end], style);
    }
    &text[end + 1..]
}

/// Performs a "select graphic rendition" on a style. What is not known is left out.
fn select(parameters: &str, style: &mut Style) {
    let mut numbers = parameters.split([';', ':']).map(|n| if n.is_empty() { Some(0) } else { n.parse::<u16>().ok() });
    while let Some(number) = numbers.next() {
        let Some(number) = number else { continue };
        match number {
            0 => *style = Style::new(),
            1 => *style = style.add_modifier(Modifier::BOLD),
            2 => *style = style.add_modifier(Modifier::DIM),
            3 => *style = style.add_modifier(Modifier::ITALIC),
            4 => *style = style.add_modifier(Modifier::UNDERLINED),
            7 => *style = style.add_modifier(Modifier::REVERSED),
            22 => *style = without(*style, Modifier::BOLD | Modifier::DIM),
            23 => *style = without(*style, Modifier::ITALIC),
            24 => *style = without(*style, Modifier::UNDERLINED),
            27 => *style = without(*style, Modifier::REVERSED),
            30..=37 | 90..=97 => style.fg = Some(sixteen(number)),
            40..=47 | 100..=107 => style.bg = Some(sixteen(number - 10)),
            39 => style.fg = None,
            49 => style.bg = None,
            38 => style.fg = extended(&mut numbers).or(style.fg),
            48 => style.bg = extended(&mut numbers).or(style.bg),
            _ => {}
        }
    }
}

fn without(mut style: Style, modifier: Modifier) -> Style {
    style.add_modifier.remove(modifier);
    style
}

/// `5;n` or `2;r;g;b`.
fn extended(numbers: &mut impl Iterator<Item = Option<u16>>) -> Option<Color> {
    let mut byte = || numbers.next().flatten().and_then(|n| u8::try_from(n).ok());
    match byte()? {
        5 => byte().map(Color::Indexed),
        2 => Some(Color::Rgb(byte()?, byte()?, byte()?)),
        _ => None,
    }
}

/// A colour of the sixteen by its parameter for text.
fn sixteen(number: u16) -> Color {
    match number {
        30 => Color::Black,
        31 => Color::Red,
        32 => Color::Green,
        33 => Color::Yellow,
        34 => Color::Blue,
        35 => Color::Magenta,
        36 => Color::Cyan,
        37 => Color::Gray,
        90 => Color::DarkGray,
        91 => Color::LightRed,
        92 => Color::LightGreen,
        93 => Color::LightYellow,
        94 => Color::LightBlue,
        95 => Color::LightMagenta,
        96 => Color::LightCyan,
        _ => Color::White,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_are_kept_over_lines_and_nothing_else_is_performed() {
        let lines = painted_lines("a \x1b[1;31mred\x1b[22m thin\nstill\x1b[0m plain\x1b[2Jx\x1b]0;title\x07y\x07\n");
        let pieces: Vec<Vec<(&str, Style)>> = lines.iter().map(|line| line.pieces().collect()).collect();
        let red = Style::new().fg(Color::Red);
        assert_eq!(pieces[0], [("a ", Style::new()), ("red", red.add_modifier(Modifier::BOLD)), (" thin", red)]);
        assert_eq!(pieces[1], [("still", red), (" plainxy\u{fffd}", Style::new())]);
    }

    #[test]
    fn a_progress_bar_shows_its_last_state_and_extended_colours_are_read() {
        let lines = painted_lines("10%\r50%\r\x1b[38;5;200;48;2;1;2;3mdone\x1b[m\r\n");
        let style = Style::new().fg(Color::Indexed(200)).bg(Color::Rgb(1, 2, 3));
        assert_eq!(lines, [Painted { text: "done".into(), parts: vec![(4, style)] }]);
    }

    proptest! {
        #[test]
        fn no_control_character_survives_and_parts_cover_the_text(text in "(\\PC|[\\x00-\\x1f;0-9\\[\\]m]){0,60}") {
            for line in painted_lines(&text) {
                prop_assert!(!line.text.chars().any(char::is_control));
                prop_assert_eq!(line.pieces().map(|(piece, _)| piece).collect::<String>(), line.text.clone());
            }
        }
    }
}
