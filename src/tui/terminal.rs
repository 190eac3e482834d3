//! The user's terminal: taken over last, given back on every path, written to once a frame.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{execute, queue};
use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

/// More than this does not pass through tmux and many terminals.
const MOST_COPIED: usize = 75_000;
/// Whether the terminal is ours at this moment: for the paths that may come twice.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The screen and what is on it.
pub struct Screen {
    shown: Buffer,
    next: Buffer,
    bytes: Vec<u8>,
    mouse: bool,
}

/// Whether the interface can run here at all.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If the terminal does not accept it; then it is as it was.
    pub fn take(mouse: bool) -> io::Result<Self> {
        let (width, height) = crossterm::terminal::size()?;
        let area = Rect::new(0, 0, width, height);
        let screen = Self { shown: Buffer::empty(area), next: Buffer::empty(area), bytes: Vec::new(), mouse };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        TAKEN.store(true, Ordering::SeqCst);
        execute!(out, EnterAlternateScreen, EnableBracketedPaste, Hide)?;
        if self.mouse {
            execute!(out, EnableMouseCapture)?;
        }
        // Last, so that a failure above leaves a terminal that echoes.
        enable_raw_mode()
    }

    /// Takes the terminal again after it was given back, and draws everything at the next frame.
    ///
    /// # Errors
    /// As for [`Screen::take`].
    pub fn retake(&mut self) -> io::Result<()> {
        TAKEN.store(false, Ordering::SeqCst);
        self.enter()?;
        self.redraw()
    }

    /// Forgets what is on the screen.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn redraw(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(b"\x1b[m\x1b[2J")?;
        out.flush()?;
        self.shown.reset();
        Ok(())
    }

    /// Draws a frame: only cells that changed are written, in one go; nothing if none did.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn draw(&mut self, size: (u16, u16), view: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        let area = Rect::new(0, 0, size.0, size.1);
        if self.shown.area != area {
            self.shown = Buffer::empty(area);
            self.redraw()?;
        }
        self.next.resize(area);
        self.next.reset();
        view(&mut self.next);
        self.bytes.clear();
        encode(&self.shown, &self.next, &mut self.bytes);
        std::mem::swap(&mut self.shown, &mut self.next);
        if self.bytes.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.bytes)?;
        out.flush()
    }

    /// Puts text into the clipboard by OSC 52; `false` if it is too long for that.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn copy(&self, text: &str) -> io::Result<bool> {
        if text.len() > MOST_COPIED {
            return Ok(false);
        }
        let mut sequence = format!("\x1b]52;c;{}\x07", base64(text.as_bytes()));
        if std::env::var_os("TMUX").is_some() {
            // tmux takes the plain one where `set-clipboard` is on, and hands on the other with `allow-passthrough`.
            sequence.push_str(&format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b")));
        }
        let mut out = io::stdout().lock();
        out.write_all(sequence.as_bytes())?;
        out.flush()?;
        Ok(true)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back as it was. May be called at any time, more than once, from a panic too.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Each step is tried even if one before it failed; a terminal that is gone needs none of them.
    let _ = disable_raw_mode();
    let mut out = io::stdout().lock();
    let _ = queue!(out, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = out.write_all(b"\x1b[m");
    let _ = out.flush();
}

/// Has the terminal echo again and nothing more: for when whoever draws cannot be waited for.
pub fn abandon() {
    if TAKEN.load(Ordering::SeqCst) {
        // A terminal that is gone needs it not.
        let _ = disable_raw_mode();
    }
}

/// The bytes that turn one screen into the other, as a synchronized update; none if they are equal.
pub fn encode(shown: &Buffer, next: &Buffer, bytes: &mut Vec<u8>) {
    let mut style = (Color::Reset, Color::Reset, Modifier::empty());
    let mut at = None;
    for (x, y, cell) in shown.diff(next) {
        if bytes.is_empty() {
            bytes.extend(b"\x1b[?2026h");
        }
        if at != Some((x, y)) {
            bytes.extend(format!("\x1b[{};{}H", y + 1, x + 1).bytes());
        }
        let wanted = (cell.fg, cell.bg, cell.modifier);
        if wanted != style {
            push_style(style, wanted, bytes);
            style = wanted;
        }
        bytes.extend(cell.symbol().bytes());
        let width = u16::try_from(unicode_width::UnicodeWidthStr::width(cell.symbol())).unwrap_or(1);
        at = Some((x + width, y));
    }
    if !bytes.is_empty() {
        if style != (Color::Reset, Color::Reset, Modifier::empty()) {
            bytes.extend(b"\x1b[m");
        }
        bytes.extend(b"\x1b[?2026l");
    }
}

type Look = (Color, Color, Modifier);

/// From one look to another: only what changes, where the attributes stay.
fn push_style(before: Look, wanted: Look, bytes: &mut Vec<u8>) {
    let (fg, bg, modifier) = wanted;
    if modifier == before.2 {
        let mut parameters = Vec::new();
        for (old, new, base) in [(before.0, fg, 30), (before.1, bg, 40)] {
            if new != old && new == Color::Reset {
                parameters.extend(format!(";{}", base + 9).bytes());
            } else if new != old {
                push_colour(new, base, &mut parameters);
            }
        }
        bytes.extend(b"\x1b[");
        bytes.extend(parameters.get(1..).unwrap_or_default());
        return bytes.push(b'm');
    }
    bytes.extend(b"\x1b[0");
    for (attribute, code) in [
        (Modifier::BOLD, ";1"),
        (Modifier::DIM, ";2"),
        (Modifier::ITALIC, ";3"),
        (Modifier::UNDERLINED, ";4"),
        (Modifier::REVERSED, ";7"),
    ] {
        if modifier.contains(attribute) {
            bytes.extend(code.bytes());
        }
    }
    push_colour(fg, 30, bytes);
    push_colour(bg, 40, bytes);
    bytes.push(b'm');
}

/// A colour's parameters; `base` is 30 for text and 40 for background.
fn push_colour(colour: Color, base: u8, bytes: &mut Vec<u8>) {
    let sixteen = |n: u8| if n < 8 { base + n } else { base + 52 + n };
    let plain = match colour {
        Color::Reset => return,
        Color::Rgb(r, g, b) => return bytes.extend(format!(";{};2;{r};{g};{b}", base + 8).bytes()),
        Color::Indexed(n) => return bytes.extend(format!(";{};5;{n}", base + 8).bytes()),
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
    };
    bytes.extend(format!(";{}", sixteen(plain)).bytes());
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * digit) & 63).unwrap_or(0);
            text.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

/// Whether there is somebody who could continue this job once it has stopped: a process of this session that is not of the
/// job, and started somebody of it. Of one without, which POSIX calls orphaned, a stop would be the end.
pub fn may_stop() -> bool {
    let (Ok(session), group) = (getsid(None), getpgrp()) else { return false };
    let mut process = getppid();
    while process.as_raw() > 1 {
        match (getsid(Some(process)), getpgid(Some(process))) {
            (Ok(its), Ok(other)) if its == session && other != group => return true,
            (Ok(its), Ok(_)) if its == session => {}
            _ => return false,
        }
        let Some(parent) = parent_of(process) else { return false };
        process = parent;
    }
    false
}

fn parent_of(process: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it may hold anything, brackets too.
    let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?;
    Some(Pid::from_raw(parent.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipboard_text_is_encoded_as_rfc_4648_says() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|t| base64(t.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    #[test]
    fn an_unchanged_screen_writes_nothing() {
        let buffer = Buffer::with_lines(["a漢b"]);
        let mut bytes = Vec::new();
        encode(&buffer, &buffer, &mut bytes);
        assert!(bytes.is_empty());
    }
}
