//! The only writer to standard output and standard error.
//!
//! Text from stores, logs and repositories may hold control bytes; on a terminal they are shown, never performed.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Write};

use crate::cli::error::Error;

/// Wide enough for any table when nothing limits it.
const UNLIMITED: usize = usize::MAX;

/// Where a command writes.
pub struct Output {
    stdout: BufWriter<Box<dyn Write>>,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    colour: bool,
    /// What [`Output::progress`] shows now.
    progress: String,
}

impl Output {
    /// Standard output and standard error of this process.
    pub fn of_process() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            stdout: BufWriter::with_capacity(1 << 16, Box::new(io::stdout())),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            colour: !no_colour && !dumb,
            progress: String::new(),
        }
    }

    /// Whether a person reads standard output.
    pub fn is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether standard output takes colour.
    pub fn colour(&self) -> bool {
        self.colour && self.stdout_is_terminal
    }

    /// Columns that fit on the terminal; without one there is no limit.
    pub fn width(&self) -> usize {
        if !self.stdout_is_terminal {
            return UNLIMITED;
        }
        crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns))
    }

    /// Writes text as it is, apart from control characters on a terminal.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        let text = if self.stdout_is_terminal { sanitised(text) } else { Cow::Borrowed(text) };
        self.stdout.write_all(text.as_bytes()).map_err(Error::Output)
    }

    /// Writes text in a colour or weight (an SGR parameter such as `32` or `1`) where that is possible.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn styled(&mut self, sgr: &str, text: &str) -> Result<(), Error> {
        if !self.colour() {
            return self.text(text);
        }
        write!(self.stdout, "\x1b[{sgr}m").map_err(Error::Output)?;
        self.text(text)?;
        self.stdout.write_all(b"\x1b[0m").map_err(Error::Output)
    }

    /// Writes text and a line end.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn line(&mut self, text: &str) -> Result<(), Error> {
        self.text(text)?;
        self.text("\n")
    }

    /// Flushes; a command's output is complete only after this.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.stdout.flush().map_err(Error::Output)
    }

    /// One line on standard error about something that is not a failure.
    pub fn note(&mut self, text: &str) {
        self.stderr("note", "36", text);
    }

    /// How far something is: a line that the next one of standard error takes the place of. Nothing without a terminal.
    pub fn progress(&mut self, text: &str) {
        if !self.stderr_is_terminal || self.progress == text {
            return;
        }
        let width = crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        let shown: String = sanitised(text).chars().take(width.saturating_sub(1)).collect();
        let _ = io::stderr().write_all(format!("\r\x1b[K{shown}").as_bytes());
        text.clone_into(&mut self.progress);
    }

    /// What to do next, after an error.
    pub fn hint(&mut self, text: &str) {
        self.stderr("hint", "36", text);
    }

    /// The message of a failure.
    pub fn error(&mut self, heading: &str, text: &str) {
        self.stderr(heading, "1;31", text);
    }

    fn stderr(&self, heading: &str, colour: &str, text: &str) {
        let text = if self.stderr_is_terminal { sanitised(text) } else { Cow::Borrowed(text) };
        let line = if self.colour && self.stderr_is_terminal {
            format!("\x1b[{colour}m{heading}\x1b[0m: {text}\n")
        } else {
            format!("{heading}: {text}\n")
        };
        // Nowhere is left to report that standard error is gone.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// Replaces what a terminal would perform (escapes, cursor movements, bidirectional overrides) by `�`; keeps line ends and tabs.
pub fn sanitised(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| c == '\n' || c == '\t' || !(c.is_control() || is_direction_override(c));
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect())
}

fn is_direction_override(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::sanitised;

    #[test]
    fn control_characters_are_shown_not_performed() {
        assert_eq!(sanitised("a\x1b[2Jb\r\n\u{9b}c\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}\n\u{fffd}c\u{fffd}d");
        assert_eq!(sanitised("plain\ttext ✓\n"), "plain\ttext ✓\n");
    }
}
