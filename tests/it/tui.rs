//! The interface in a real pseudo-terminal: what it says, and that the terminal is given back on every path.

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
