//! The interface beside training that goes on, and under what terminals do to programs.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::TestProject;
use crate::terminal::Terminal;

/// A script that logs a value for each line that is written into a file, and ends with the line `end`.
const LED: &str = r#"
import sys, time
import afterlog

led = afterlog.arg("led", "by")
seen = 0
for epoch in range(1000):
    while True:
        lines = open(led).read().split("\n")[:-1]
        if len(lines) > seen:
            break
        time.sleep(0.02)
    word = lines[seen]
    seen += 1
    if word == "end":
        break
    print("\x1b[31mheard\x1b[0m", word, flush=True)
    afterlog.log("loss", float(word))
"#;

struct Training {
    process: std::process::Child,
    led: std::path::PathBuf,
}

impl Training {
    #[allow(clippy::disallowed_methods, reason = "the ban on starting processes is for the program itself")]
    fn start(project: &TestProject, name: &str) -> Self {
        project.write(name, "");
        let mut command =
            project.afterlog_command(&["run", "--quiet", "--name", name, "train.py", &format!("led={name}")]);
        let process = command.stdout(std::process::Stdio::null()).spawn().expect("the run starts");
        Self { process, led: project.path().join(name) }
    }

    fn say(&self, word: &str) {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.led).expect("the file");
        writeln!(file, "{word}").expect("said");
    }

    fn end(mut self) {
        self.say("end");
        assert!(self.process.wait().expect("ended").success());
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        // A test that failed half-way must not leave it behind.
        let _ = self.process.kill();
    }
}

#[test]
fn values_of_runs_that_go_on_come_into_list_detail_and_grid_by_themselves() {
    let project = TestProject::git();
    project.write(".gitignore", "one\ntwo\n");
    project.write("train.py", LED);
    let mut terminal = Terminal::start(&project, &[], 160, 30);
    terminal.wait_for("afterlog run train.py");
    let (one, two) = (Training::start(&project, "one"), Training::start(&project, "two"));
    one.say("0.125");
    two.say("0.25");
    // The first run is found by an interface that was opened before there was any.
    terminal.wait_for("2 running");
    terminal.wait_until("both values", |screen| screen.contains("0.125") && screen.contains("0.25"));
    one.say("0.0625");
    two.say("0.5");
    terminal.wait_until("the next values", |screen| screen.contains("0.0625") && screen.contains("0.5"));
    terminal.send("]");
    terminal.wait_for("heard 0.");
    two.say("0.75");
    one.say("0.03125");
    terminal.wait_until("what is printed", |screen| screen.contains("heard 0.75") || screen.contains("heard 0.03125"));
    terminal.send("3");
    terminal.wait_until("the grid", |screen| screen.contains("0.75") && screen.contains("0.03125"));
    one.say("7.5");
    terminal.wait_for("7.5");
    one.end();
    two.end();
    terminal.wait_until("both have ended", |screen| !screen.contains("running"));
    terminal.listen(Duration::from_millis(2500));
    assert_eq!(terminal.listen(Duration::from_millis(2500)), 0, "idle again");
    terminal.send("qq");
    assert_eq!(terminal.wait_for_exit(), 0);
}

fn recorded(script: &str) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--quiet", "train.py"]);
    project
}

#[test]
fn a_run_is_read_searched_and_opened_where_its_traceback_points() {
    let project = recorded("for epoch in range(3):\n    print('line', epoch)\n\nraise ValueError('the end')\n");
    project.write("editor.sh", "#!/bin/sh\necho \"edited $1 $2\" > edited\n");
    project.run("chmod", &["+x", "editor.sh"]).ok();
    let editor = project.path().join("editor.sh").display().to_string();
    let mut terminal = Terminal::start_with(&project, &[("EDITOR", &editor)], 80, 24);
    terminal.wait_for("failed");
    terminal.send("\r]");
    terminal.wait_for("ValueError: the end");
    terminal.send("/line 4\r");
    terminal
        .wait_until("the match", |screen| screen.lines().any(|line| line.starts_with('▌') && line.contains("line 4")));
    terminal.send("e");
    let written = project.path().join("edited");
    terminal.wait_until("the interface is back", |_| written.exists());
    let expected = format!("edited +4 {}/train.py\n", std::fs::canonicalize(project.path()).expect("a path").display());
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while project.read("edited") != expected && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(project.read("edited"), expected);
    terminal.send("]");
    terminal.wait_for("before");
    terminal.send("qq");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn suspended_it_gives_the_terminal_back_and_continued_it_draws_everything_again() {
    let project = recorded("print('done')\n");
    let mut terminal = Terminal::start_as_job(&project, &[], (80, 24));
    terminal.wait_for("train.py");
    terminal.send("\x1a");
    terminal.wait_for("job stopped");
    assert!(!terminal.parser.screen().alternate_screen());
    assert!(!terminal.screen().contains("1 run"));
    terminal.send("\n");
    terminal.wait_for("train.py");
    assert!(terminal.parser.screen().alternate_screen());
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn where_nobody_could_continue_it_it_does_not_stop() {
    let project = recorded("print('done')\n");
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("train.py");
    terminal.send("\x1a");
    terminal.wait_for("no shell here");
    let process = Pid::from_raw(i32::try_from(terminal.process_id()).expect("a process id"));
    kill(process, Signal::SIGTSTP).expect("sent");
    terminal.send("?");
    terminal.wait_for("keys in Timeline");
    terminal.send("\x1b");
    terminal.wait_until("the help is closed", |screen| !screen.contains("keys in Timeline"));
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn signals_for_the_editor_do_not_end_the_interface_and_stop_it_with_the_editor() {
    let project = recorded("print('done')\n");
    let signals = "echo $PPID > id\nkill -INT $PPID\nkill -TSTP $PPID\nuntil [ -e go ]; do sleep 0.05; done\n";
    project.write("editor.sh", format!("#!/bin/sh\n{signals}"));
    project.run("chmod", &["+x", "editor.sh"]).ok();
    let editor = project.path().join("editor.sh").display().to_string();
    let mut terminal = Terminal::start_as_job(&project, &[("EDITOR", &editor)], (80, 24));
    terminal.wait_for("train.py");
    terminal.send("e");
    terminal.wait_for("job stopped");
    let id = project.read("id");
    let stopped = || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).expect("its state");
        state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !stopped() {
        assert!(std::time::Instant::now() < deadline, "the shell does not see it stop:\n{}", terminal.screen());
        terminal.listen(Duration::from_millis(20));
    }
    assert!(!terminal.parser.screen().alternate_screen());
    terminal.send("\n");
    project.write("go", "");
    while !terminal.parser.screen().alternate_screen() {
        assert!(!terminal.has_ended() && std::time::Instant::now() < deadline, "{}", terminal.screen());
        terminal.listen(Duration::from_millis(20));
    }
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn a_storm_of_sizes_ends_in_the_last_one_with_every_key_obeyed() {
    let project = recorded("print('done')\n");
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("train.py");
    for step in 0..150_u16 {
        let (columns, rows) = (1 + step * 37 % 400, 1 + step * 53 % 120);
        terminal.resize(columns, rows);
    }
    terminal.resize(100, 30);
    // The last size has been taken when its frame is there.
    terminal.wait_until("the last size", |screen| {
        screen.lines().next().is_some_and(|line| (98..=100).contains(&line.trim_end().len()))
    });
    terminal.listen(Duration::from_millis(300));
    terminal.send("?");
    terminal.wait_for("keys in Timeline");
    terminal.send("\x1b");
    terminal.wait_until("the help is closed", |screen| !screen.contains("keys in Timeline"));
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn nothing_that_a_script_says_is_performed_by_the_terminal() {
    let hostile = "\\x1b]0;owned\\x07\\x1b[5;5Howned\\x1b[?1049l\\u202e\\x9b2J";
    let script = format!(
        "import afterlog\nbad = \"{hostile}\"\nprint(bad)\nlr = afterlog.arg('lr', bad)\n\
         for epoch in range(2):\n    afterlog.log('a' + bad, 0.5)\n    afterlog.log('b', bad)\n"
    );
    let project = recorded(&script);
    let mut terminal = Terminal::start(&project, &[], 160, 40);
    terminal.wait_for("finished");
    for keys in ["]", "]", "]", "]", "\r", "]", "[", "q", "3", "?", "\x1b", "\r", "\x1b", "C", "\x1b", "1"] {
        terminal.send(keys);
        terminal.listen(Duration::from_millis(150));
    }
    terminal.wait_for("train.py");
    assert!(terminal.parser.screen().alternate_screen());
    for bytes in [&b"\x1b]0;"[..], b"\x1b[5;5Howned", b"\x1b[?1049l", b"\xe2\x80\xae", b"\xc2\x9b"] {
        assert!(!terminal.bytes.windows(bytes.len()).any(|window| window == bytes), "{bytes:?}");
    }
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn a_damaged_database_is_done_without_and_said_with_what_to_do_about_it() {
    let project = recorded("print('done')\nimport afterlog\nfor e in range(3): afterlog.log('loss', 0.5 / (e + 1))\n");
    project.write(".afterlog/db.sqlite", "this is no database ".repeat(1000));
    let mut terminal = Terminal::start(&project, &[], 120, 24);
    terminal.wait_until("what is wrong, and the runs all the same", |screen| {
        screen.contains("afterlog rebuild") && screen.contains("finished") && !screen.contains("No runs")
    });
    terminal.send("3");
    terminal.wait_for("0.16667");
    terminal.send("qq");
    assert_eq!(terminal.wait_for_exit(), 0);
    assert!(project.read(".afterlog/db.sqlite").starts_with("this is no database"), "nothing is written over");
    project.afterlog(&["rebuild"]).ok();
    let mut terminal = Terminal::start(&project, &[], 120, 24);
    terminal.wait_for("finished");
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}
