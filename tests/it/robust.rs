//! The interface when things go wrong around it: mistakes of its own, readers that are slow or gone, stores of any size.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use afterlog::base::ids::RunId;
use afterlog::engine::project::Project;
use afterlog::model::run::RunStatus;
use afterlog::model::value::Value;
use afterlog::tui::app::document::Document;
use afterlog::tui::background::Background;
use afterlog::tui::event::{Answer, Ask, Event, Request};
use afterlog::tui::panics;
use afterlog::tui::terminal::Screen;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::TestProject;
use crate::many::project_with_runs;
use crate::terminal::{FULL_SPEED, Terminal};
use crate::tui::assert_given_back;

const RUNS: u32 = 10_000;

/// Where the tests below that panic on purpose leave their report.
const REPORTS: &str = "AFTERLOG_TEST_REPORTS";

fn reports() -> Option<PathBuf> {
    std::env::var_os(REPORTS).map(PathBuf::from)
}

/// Runs one of the tests that panic on purpose, in a terminal and a process of its own.
fn panicking(project: &TestProject, name: &str) -> Terminal {
    let program = std::env::current_exe().expect("this program");
    let folder = project.path().join("reports").display().to_string();
    let name = format!("robust::{name}");
    let args = ["--exact", &name, "--ignored", "--nocapture"];
    Terminal::start_program(project, &program, &args, &[(REPORTS, &folder)], (100, 30))
}

fn only_report(project: &TestProject) -> String {
    let mut entries = std::fs::read_dir(project.path().join("reports")).expect("reports").map(|e| e.expect("entry"));
    let (Some(report), None) = (entries.next(), entries.next()) else { panic!("not one report") };
    std::fs::read_to_string(report.path()).expect("a report")
}

#[test]
#[ignore = "panics on purpose: the next test runs it in a terminal of its own"]
fn it_panics_while_drawing() {
    let Some(reports) = reports() else { return };
    panics::guard(Some(reports));
    let mut screen = Screen::take(true).expect("a terminal");
    screen
        .draw((20, 5), |buffer| {
            buffer.set_string(0, 0, "drawn", ratatui::style::Style::new());
        })
        .expect("drawn");
    screen.draw((20, 5), |buffer| buffer[(90, 90)].reset()).expect("never comes back");
}

#[test]
fn a_panic_while_drawing_gives_the_terminal_back_and_says_where_its_report_is() {
    let project = TestProject::plain();
    let mut terminal = panicking(&project, "it_panics_while_drawing");
    terminal.wait_for("what is known of it is in");
    assert_ne!(terminal.wait_for_exit(), 0);
    assert!(terminal.bytes.windows(5).any(|window| window == b"drawn"), "it had the screen");
    assert!(terminal.screen().contains("afterlog: internal error: index outside of buffer"), "{}", terminal.screen());
    assert!(terminal.echoes());
    assert_given_back(&terminal);
    let report = only_report(&project);
    for part in [env!("CARGO_PKG_VERSION"), "index outside of buffer", "it_panics_while_drawing"] {
        assert!(report.contains(part), "{part} in\n{report}");
    }
}

#[test]
#[ignore = "panics on purpose: the next test runs it in a process of its own"]
fn it_panics_in_the_background() {
    let Some(reports) = reports() else { return };
    panics::guard(Some(reports));
    let project = Project::open_or_create(&std::env::current_dir().expect("a folder")).expect("a store");
    let (events, answers) = channel();
    let mut background = Background::new(project, events);
    let run: RunId = "0000000001".parse().expect("an id");
    let empty = Document { left: run.clone(), right: run, files: Vec::new() };
    background.ask(Ask { generation: 1, request: Request::Highlight { document: Arc::new(empty), file: 7 } });
    background.ask(Ask { generation: 1, request: Request::Survey });
    let (mut told, mut surveyed) = (String::new(), false);
    while told.is_empty() || !surveyed {
        match answers.recv_timeout(Duration::from_secs(60)).expect("both are answered") {
            Event::Answered { result: Err(message), .. } => told = message,
            Event::Answered { result: Ok(Answer::Survey(_)), .. } => surveyed = true,
            _ => {}
        }
    }
    assert!(told.starts_with("internal error: what is known of it is in"), "{told}");
}

#[test]
fn a_panic_in_the_background_is_a_message_with_its_report_and_everything_else_goes_on() {
    let project = TestProject::plain();
    let mut terminal = panicking(&project, "it_panics_in_the_background");
    assert_eq!(terminal.wait_for_exit(), 0, "{}", terminal.screen());
    assert!(terminal.screen().contains("1 passed"), "{}", terminal.screen());
    let report = only_report(&project);
    assert!(report.contains("index out of bounds") && report.contains("background"), "{report}");
}

fn with_many_runs() -> TestProject {
    project_with_runs(RUNS, |number, row| {
        // So old that their ages stay while the test goes on.
        row.summary.started_ms -= 500 * 3_600_000;
        row.summary.last_metric = Some(("loss".into(), Value::Float(f64::from(number))));
        row.summary.status = if number % 1000 == 7 { RunStatus::Failed } else { RunStatus::Finished };
    })
}

#[test]
fn ten_thousand_runs_open_scroll_sort_filter_and_search() {
    let project = with_many_runs();
    let mut terminal = Terminal::start(&project, &[], 100, 30);
    terminal.wait_for("10000 runs");
    terminal.send("G");
    terminal.wait_for("10000/10000");
    terminal.send("g");
    terminal.wait_for("1/10000");
    for _ in 0..40 {
        terminal.send("\x06");
    }
    terminal.wait_until("forty pages down", |screen| {
        let place = screen.split("/10000").next().and_then(|before| before.rsplit(' ').next());
        place.and_then(|place| place.parse::<u32>().ok()).is_some_and(|place| place > 900)
    });
    terminal.send("ssg");
    terminal.wait_for("largest last value first");
    terminal.wait_for("9998");
    terminal.send("&status:failed\r");
    terminal.wait_for("10 of 10000 runs");
    terminal.send("\x1b");
    // The next key would make Alt of an Esc that was not read yet.
    terminal.wait_until("all runs", |screen| !screen.contains("filter: "));
    terminal.send("/0000004321\r");
    terminal.wait_until("the run", |screen| {
        screen.lines().any(|line| line.starts_with('▌') && line.contains("0000004321"))
    });
    // These have no folders, which is looked for and said once.
    terminal.send("k");
    terminal.wait_for("folder deleted");
    // However many there are, a step within the window costs two rows.
    terminal.listen(Duration::from_millis(500));
    terminal.send("k");
    let bytes = terminal.listen(Duration::from_millis(500));
    assert!((1..=300).contains(&bytes), "{bytes} bytes for a step");
    terminal.send("\x03");
    assert_eq!(terminal.wait_for_exit(), 0);
}

fn memory_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

/// A script that logs and prints until it is killed.
const BUSY: &str = "\
import time
import afterlog
for epoch in afterlog.loop('epoch', range(1000000)):
    afterlog.log('loss', 1 / (epoch + 1))
    print('epoch', epoch, flush=True)
    time.sleep(0.02)
";

struct Training(std::process::Child);

impl Training {
    #[allow(clippy::disallowed_methods, reason = "the ban on starting processes is for the program itself")]
    fn start(project: &TestProject) -> Self {
        let command = &mut project.afterlog_command(&["run", "--quiet", "busy.py"]);
        Self(command.stdout(std::process::Stdio::null()).spawn().expect("the run starts"))
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        // The recorder takes the script with it.
        let process = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        let _ = kill(process, Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_of_two_kilobytes_a_second_gets_every_key_answered_and_nothing_piles_up() {
    let project = with_many_runs();
    project.write("busy.py", BUSY);
    let training = Training::start(&project);
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("1 running");
    terminal.read_at(2_000);
    terminal.listen(Duration::from_secs(3));
    let before = memory_kb(terminal.process_id());
    terminal.listen(Duration::from_secs(6));
    let grown = memory_kb(terminal.process_id()).saturating_sub(before);
    assert!(grown < 60_000, "{grown} kB more");
    terminal.send("?");
    terminal.wait_for("keys in Timeline");
    terminal.send("\x1b");
    terminal.wait_until("the help is closed", |screen| !screen.contains("keys in Timeline"));
    // Nobody reads at all: surveys of ten thousand runs come several times a second, and must not queue up.
    terminal.read_at(0);
    let before = memory_kb(terminal.process_id());
    std::thread::sleep(Duration::from_secs(6));
    let grown = memory_kb(terminal.process_id()).saturating_sub(before);
    assert!(grown < 60_000, "{grown} kB more");
    terminal.read_at(FULL_SPEED);
    drop(training);
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn a_signal_ends_it_even_where_nobody_reads_what_it_writes() {
    let project = TestProject::plain();
    let mut terminal = Terminal::start(&project, &[], 300, 100);
    terminal.wait_for("afterlog run train.py");
    terminal.read_at(0);
    // Each draws everything anew: more than a terminal holds that is not read.
    for _ in 0..400 {
        terminal.send("\x0c");
        std::thread::sleep(Duration::from_millis(2));
    }
    let process = Pid::from_raw(i32::try_from(terminal.process_id()).expect("a process id"));
    kill(process, Signal::SIGTERM).expect("sent");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !terminal.has_ended() {
        assert!(Instant::now() < deadline, "it hangs on its output");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(terminal.echoes());
}

#[test]
fn a_store_of_a_newer_version_is_read_from_its_journals_as_far_as_they_are_known() {
    let project = TestProject::git();
    project.write("train.py", "import afterlog\nfor epoch in range(2):\n    afterlog.log('loss', 0.125)\n");
    project.afterlog(&["run", "train.py"]).ok();
    let database = project.path().join(".afterlog/db.sqlite");
    let connection = rusqlite::Connection::open(&database).expect("the database");
    connection.execute_batch("PRAGMA user_version = 99").expect("written");
    drop(connection);
    let before = std::fs::read(&database).expect("the database");
    let mut terminal = Terminal::start(&project, &[], 120, 24);
    terminal.wait_for("1 run");
    terminal.wait_for("newer");
    terminal.wait_for("0.125");
    terminal.send("3");
    terminal.wait_for("2 rows");
    terminal.send("\x03");
    assert_eq!(terminal.wait_for_exit(), 0);
    assert_eq!(std::fs::read(&database).expect("the database"), before, "nothing of it was changed");
}

#[test]
fn escape_sequences_that_arrive_in_pieces_are_keys_all_the_same() {
    let project = TestProject::git();
    project.write("train.py", "print('done')\n");
    for _ in 0..3 {
        project.afterlog(&["run", "train.py"]).ok();
    }
    let mut terminal = Terminal::start(&project, &[], 80, 24);
    terminal.wait_for("1/3");
    for (place, second_half) in [("2/3", "B"), ("3/3", "B"), ("2/3", "A")] {
        terminal.send("\x1b[");
        terminal.listen(Duration::from_millis(150));
        terminal.send(second_half);
        terminal.wait_for(place);
    }
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);
}

#[test]
fn within_tmux_it_shows_answers_and_leaves_as_elsewhere() {
    let Some(tmux) = ["/usr/bin/tmux", "/usr/local/bin/tmux"].map(PathBuf::from).into_iter().find(|p| p.exists())
    else {
        std::io::Write::write_all(&mut std::io::stderr(), b"left out: tmux is not installed\n").expect("said");
        return;
    };
    let project = TestProject::plain();
    let socket = project.path().join("socket").display().to_string();
    let program = format!("'{}'; echo code $?; read wait", env!("CARGO_BIN_EXE_afterlog"));
    let args = ["-f", "/dev/null", "-S", &socket, "new-session", &program];
    let home = project.home().display().to_string();
    let mut terminal =
        Terminal::start_program(&project, &tmux, &args, &[("HOME", &home), ("LANG", "C.UTF-8")], (100, 30));
    terminal.wait_for("afterlog run train.py");
    terminal.resize(60, 20);
    terminal.wait_for("afterlog run train.py");
    terminal.send("q");
    terminal.wait_for("code 0");
    terminal.send("\r");
    terminal.wait_for_exit();
}
