//! The interface in a real pseudo-terminal: what it says, and that the terminal is given back on every path.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::TestProject;
use crate::terminal::Terminal;

#[track_caller]
pub(crate) fn assert_given_back(terminal: &Terminal) {
    let screen = terminal.parser.screen();
    assert!(!screen.alternate_screen(), "the alternate screen was left");
    assert!(!screen.hide_cursor(), "the cursor shows again");
    assert!(!screen.bracketed_paste(), "pastes arrive as typed again");
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse is the terminal's again");
}

#[test]
fn a_first_start_says_what_to_type_writes_nothing_when_idle_and_quits() {
    let project = TestProject::plain();
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("afterlog run train.py");
    terminal.wait_for("quit");
    terminal.listen(std::time::Duration::from_millis(300));
    assert_eq!(terminal.listen(std::time::Duration::from_millis(1500)), 0);
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
    assert_given_back(&terminal);
    assert!(!project.path().join(".afterlog").exists(), "looking leaves no trace");
}

#[test]
fn signals_end_it_with_the_terminal_given_back() {
    let project = TestProject::plain();
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = Terminal::start(&project, &[], 80, 24);
        terminal.wait_for("afterlog run train.py");
        let process = Pid::from_raw(i32::try_from(terminal.process_id()).expect("a process id"));
        kill(process, signal).expect("sent");
        assert_eq!(terminal.wait_for_exit(), 128 + u32::try_from(signal as i32).expect("positive"));
        assert_given_back(&terminal);
    }
}

#[test]
fn tiny_terminals_are_told_to_grow_and_growing_helps() {
    let project = TestProject::plain();
    let mut terminal = Terminal::start(&project, &[], 30, 6);
    terminal.wait_for("enlarge terminal");
    terminal.resize(80, 24);
    terminal.wait_for("afterlog run train.py");
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn a_terminal_of_plain_lines_is_told_what_to_use_instead() {
    let project = TestProject::plain();
    let mut terminal = Terminal::start_with(&project, &[("TERM", "dumb")], 80, 24);
    terminal.wait_for("afterlog runs");
    assert_eq!(terminal.wait_for_exit(), 1);
    assert!(!terminal.bytes.contains(&0x1b) || !terminal.parser.screen().alternate_screen());
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let project = TestProject::plain();
    let finished = project.afterlog(&[]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("needs a terminal") && finished.stderr.contains("afterlog runs"));
}

#[test]
fn the_first_key_after_a_resize_does_what_it_says() {
    let project = TestProject::git();
    project.write("train.py", "for epoch in range(2):\n    print(epoch)\n");
    project.afterlog(&["run", "train.py"]).ok();
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("train.py");
    for columns in [81, 90, 100] {
        terminal.resize(columns, 24);
        // The size has been taken when its frame is there.
        terminal.listen(std::time::Duration::from_millis(300));
        terminal.send("?");
        terminal.wait_for("previous panel");
        terminal.send("\x1b");
        terminal.wait_until("the help is closed", |screen| !screen.contains("previous panel"));
    }
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

/// Reads its command line by itself.
const RAW: &str = "\
import sys
import afterlog
for epoch in afterlog.loop('epoch', range(2)):
    afterlog.log('loss\\n', float(sys.argv[1]))
print('printed', sys.argv[1])
";

#[test]
fn runs_that_only_their_command_line_tells_apart_are_told_apart_in_an_older_database_too() {
    let project = TestProject::git();
    project.write("train.py", RAW);
    for rate in ["0.25", "0.5", "0.5"] {
        project.afterlog(&["run", "train.py", rate]).ok();
    }
    let command = || project.afterlog(&["runs", "--format", "json"]).ok().matches("\"command\":[\"0.5\"]").count();
    assert_eq!(command(), 2);
    let connection = rusqlite::Connection::open(project.path().join(".afterlog/db.sqlite")).expect("opens");
    let older = "UPDATE run SET summary = json_remove(summary, '$.command'); PRAGMA user_version = 3";
    connection.execute_batch(older).expect("written");
    drop(connection);
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_until("all runs", |screen| screen.matches("finished").count() == 3);
    let screen = terminal.screen();
    assert_eq!(screen.matches("same again").count(), 1, "{screen}");
    assert!(screen.lines().any(|line| line.contains("finished 0.5 ")), "{screen}");
    terminal.send("q");
    terminal.wait_for_exit();
    assert_eq!(command(), 2);
}

#[test]
fn a_run_whose_folder_was_deleted_is_said_to_be_what_is_left_of_it() {
    let project = TestProject::git();
    project.write("train.py", RAW);
    project.afterlog(&["run", "train.py", "0.25"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.lines().any(|line| line.ends_with("loss\\n")), "a name's line end is no line's: {shown}");
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("finished");
    std::fs::remove_dir_all(project.path().join(".afterlog/runs").join(&project.run_ids()[0])).expect("removed");
    terminal.wait_for("folder deleted");
    terminal.send("\r]");
    terminal.wait_for("and with it what it printed");
    terminal.send("\x03");
    terminal.wait_for_exit();
    assert!(project.afterlog(&["show", "last"]).ok().contains("note: its folder in the store was deleted"));
}

#[test]
fn a_run_that_takes_long_to_begin_is_shown_when_it_has() {
    let project = TestProject::git();
    project.write("train.py", RAW);
    project.afterlog(&["run", "train.py", "0.25"]).ok();
    project.afterlog(&["run", "train.py", "0.5"]).ok();
    let store = project.path().join(".afterlog");
    // As it is while its version is taken: a folder that nobody can read anything of.
    let meta = store.join("runs").join(&project.run_ids()[1]).join("meta.json");
    let aside = store.join("runs").join(&project.run_ids()[1]).join("aside");
    std::fs::rename(&meta, &aside).expect("set aside");
    std::fs::remove_file(store.join("db.sqlite")).expect("the database, which is made anew");
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("1 run");
    // Longer than the store is left alone.
    while terminal.listen(Duration::from_millis(2500)) > 0 {}
    assert!(!terminal.screen().contains("2 runs"), "{}", terminal.screen());
    std::fs::rename(&aside, &meta).expect("put back");
    terminal.wait_for("2 runs");
    terminal.send("\x03");
    terminal.wait_for_exit();
}
