//! The README's pictures: a real session in a pseudo-terminal, filmed from what a terminal would show.
//!
//! `AFTERLOG_PICTURE=1 cargo test picture` writes them to `assets/picture.svg` and `assets/session.svg`; without the
//! variable the same session is run and drawn, and only looked at.

use std::time::Duration;

use crate::env::TestProject;
use crate::svg::{Film, picture};
use crate::terminal::Terminal;

const COLUMNS: u16 = 100;
const ROWS: u16 = 28;
/// What a page of code may hold of it.
const MOST_BYTES: usize = 400_000;
/// Screens shown while the grid fills, at most.
const FILLING: usize = 12;

/// A terminal and the film of it.
struct Session {
    terminal: Terminal,
    film: Film,
}

impl Session {
    /// Types, waits for a text and shows the screen for so long.
    #[track_caller]
    fn press(&mut self, keys: &str, awaited: &str, ms: u32, key: &str, what: &str) {
        self.terminal.send(keys);
        self.terminal.wait_for(awaited);
        self.show(ms, key, what);
    }

    /// Shows the screen once nothing more comes.
    fn show(&mut self, ms: u32, key: &str, what: &str) {
        while self.terminal.listen(Duration::from_millis(250)) > 0 {}
        self.film.take(self.terminal.parser.screen(), ms, key, what);
    }

    /// Types letter by letter.
    fn type_text(&mut self, text: &str, what: &str) {
        for letter in text.chars() {
            self.terminal.send(letter.encode_utf8(&mut [0; 4]));
            while self.terminal.listen(Duration::from_millis(60)) > 0 {}
            self.film.take(self.terminal.parser.screen(), 110, "", what);
        }
    }
}

/// The story that the README tells, by keyboard alone: what was logged, what changed, a statement for a line, where it
/// lands, the plan, the values as they come, their plot.
#[test]
fn from_an_added_log_statement_to_verified_values_by_keyboard() {
    let project = TestProject::plain();
    let folder = project.path().join("spirals");
    let folder = folder.to_str().expect("a UTF-8 path");
    let mut terminal = Terminal::start(&project, &["demo", "--dir", folder], COLUMNS, ROWS);
    terminal.wait_for("4 runs");
    terminal.wait_for("train.py +");
    let mut session = Session { terminal, film: Film::default() };
    session.show(2500, "", "Four recorded runs, newest first: what changed, how it went.");
    let once = "What was logged, once an epoch.";
    session.press("3", "val_acc", 900, "3", once);
    // Without what is logged at the end, and without the step's loss.
    session.press("C", "Space shows or hides", 600, "C", once);
    session.press(" ", "[ ] best_acc", 300, "Space", once);
    session.press("j ", "[ ] loss", 600, "Space", once);
    session.terminal.send("\x1b");
    session.terminal.wait_for("40 rows");
    session.terminal.wait_until("no column of steps", |screen| !screen.contains("step") && !screen.contains("│"));
    session.show(1500, "Esc", once);
    session.press("1", "4 runs", 600, "1", "Four recorded runs, newest first: what changed, how it went.");
    session.press("d", "»", 3000, "d", "What changed in the code since the run before.");
    let writing = "Log a value that nobody logged: at a line, with names completed.";
    session.press("/", "search:", 300, "/", writing);
    session.type_text("best = max", writing);
    session.press("\r", "best = max(best, accuracy)", 900, "/", writing);
    session.press("a", "log statement after line", 900, "a", writing);
    session.type_text("grad_sq", writing);
    session.press("\r", "expression", 300, "", writing);
    session.type_text("opt", writing);
    session.press("\t", "optimizer", 500, "Tab", writing);
    session.type_text(".grad_norm ** 2", writing);
    session.press("", "everything it reads has a value here", 2200, "", "It is checked while you type.");
    session.press("\r", "grad_sq in 4 runs", 3000, "Enter", "It lands in every version, adapted to its names.");
    session.press("\r", "Enter start", 3000, "Enter", "The plan: what is executed, what is skipped, what it costs.");
    session.terminal.send("\r");
    session.terminal.wait_for("segments done");
    session.terminal.send("3");
    let filling = "The replays' values come into the grid, each checked against the record.";
    session
        .terminal
        .wait_until("a place for every value", |screen| screen.contains("train_loss") && screen.contains("grad_sq"));
    for _ in 0..FILLING {
        session.film.take(session.terminal.parser.screen(), 350, "3", filling);
        session.terminal.listen(Duration::from_millis(300));
        if session.terminal.screen().contains('✓') && !session.terminal.screen().contains('…') {
            break;
        }
    }
    session.terminal.wait_until("the replay's end", |screen| screen.contains('✓') && !screen.contains('…'));
    let checked = "✓: replayed, and everything that the run had logged itself came out the same.";
    session.press("h", "verified", 3000, "", checked);
    let still = picture(session.terminal.parser.screen());
    session.press(".", "crosshair", 1200, ".", "All runs under one crosshair.");
    session.press(".", "logarithmic", 1500, ".", "All runs under one crosshair, on a logarithmic scale.");
    session.press("llll", "epoch=4", 3500, "l", "All runs under one crosshair, on a logarithmic scale.");
    assert!(still.contains("grad_sq") && still.contains('✓'));
    let film = session.film.svg();
    assert!(film.len() < MOST_BYTES, "{} bytes", film.len());
    if std::env::var_os("AFTERLOG_PICTURE").is_some() {
        project.write(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/picture.svg"), &still);
        project.write(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/session.svg"), &film);
    }
    // Out of the plot, back to the first panel, and out of it.
    let mut terminal = session.terminal;
    terminal.send("qq");
    terminal.wait_for("4 runs");
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}
