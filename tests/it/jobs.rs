//! Replays as jobs: started and left, found again, followed, stopped, and what they left undone computed later.

#![allow(clippy::disallowed_methods, reason = "a test removes the program while it runs")]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::env::TestProject;

/// Long enough for a loaded machine; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The run that _HOLD (such a name's variable is the shell's, also in a replay) names stands still in its second epoch.
const SCRIPT: &str = "\
import os, random, time
import afterlog
random.seed(3)
which = afterlog.arg('which', '')
total = 0.0
for epoch in afterlog.loop('epoch', range(4)):
    for step in afterlog.loop('step', range(2)):
        total += random.random()
    if epoch == 1 and os.environ.get('_HOLD') == which:
        time.sleep(600)
    afterlog.log('total', total)
";

/// Two runs, and a statement that they lack.
fn recorded(statement: &str) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    for which in ["which=held", "which=other"] {
        project.afterlog(&["run", "--checkpoints", "off", "train.py", which]).ok();
    }
    project.write("train.py", format!("{SCRIPT}    {statement}\n"));
    project
}

const TWICE: &str = "afterlog.log('twice', 2 * total)";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[track_caller]
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a replay of which one run stands still, and leaves it; gives its job.
fn held(project: &TestProject, more: &[&str]) -> String {
    let arguments = [&["replay", "twice", "--yes", "--detach", "--jobs", "2"], more].concat();
    let output = project.afterlog_command(&arguments).env("_HOLD", "held").output().expect("starts");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.len(), 11, "the job's id alone: {said:?}");
    said.trim().to_owned()
}

fn shown(project: &TestProject, job: &str) -> Value {
    json(&project.afterlog(&["jobs", "show", job, "--json"]).ok())
}

/// Follows the job in a group of its own, as a shell does.
fn attach(project: &TestProject, job: &str) -> Child {
    let mut command = project.afterlog_command(&["jobs", "attach", job]);
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

#[test]
fn a_replay_that_was_left_is_listed_followed_left_again_cancelled_and_finished_later() {
    let project = recorded(TWICE);
    let job = held(&project, &[]);
    until("the other run", || (shown(&project, &job)["counts"]["verified"] == 1).then_some(()));
    let listed = json(&project.afterlog(&["jobs", "--format", "json"]).ok());
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&Value::from(job.clone()), &Value::from("running")));
    assert_eq!(listed[0]["runs"].as_array().map(Vec::len), Some(2), "{listed}");
    let table = project.afterlog(&["jobs"]).ok();
    assert!(table.contains(&job) && table.contains("running"), "{table}");

    let mut following = attach(&project, &job[..9]);
    let mut stderr = following.stderr.take().expect("piped");
    let (mut said, mut bytes) = (String::new(), [0; 300]);
    // Its handler stands once it has told of the run that is done. That may come with the first line, or alone.
    until("the finished segment", || {
        let more = stderr.read(&mut bytes).expect("more");
        assert!(more > 0, "it follows: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..more]));
        said.contains("[1/2]").then_some(())
    });
    kill(Pid::from_raw(i32::try_from(following.id()).expect("process id")), Signal::SIGINT).expect("interrupted");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("the rest");
    assert_eq!(following.wait().expect("ends").code(), Some(130), "{rest}");
    assert!(rest.contains(&format!("the replay goes on: `afterlog jobs cancel {job}`")), "{rest}");
    assert_eq!(shown(&project, &job)["state"], "running");

    let refused = project.afterlog(&["jobs", "retry", &job, "--yes"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("still going on"), "{refused:?}");

    let cancelled = project.afterlog(&["jobs", "cancel"]).ok();
    assert!(cancelled.contains("1 verified, 1 cancelled"), "{cancelled}");
    assert_eq!(shown(&project, &job)["state"], "cancelled");
    assert_eq!(project.afterlog(&["jobs", "attach"]).code, Some(4), "it has ended, and not well");
    assert!(project.afterlog(&["jobs", "cancel", "--all"]).stderr.contains("nothing is going on"));

    let again = json(&project.afterlog(&["jobs", "retry", &job, "--yes", "--format", "json"]).ok());
    assert_eq!((&again["counts"]["total"], &again["state"]), (&Value::from(1), &Value::from("done")), "{again}");
    let csv = project.afterlog(&["grid", "twice", "--verdicts", "--format", "csv"]).ok();
    assert_eq!(csv.lines().filter(|line| line.ends_with(",verified")).count(), 8, "{csv}");
    let nothing = project.afterlog(&["jobs", "retry", again["id"].as_str().expect("an id")]);
    assert!(nothing.code == Some(0) && nothing.stderr.contains("nothing of"), "{nothing:?}");
}

#[test]
fn a_retry_asks_for_the_same_iterations_under_the_same_condition() {
    let project = recorded(TWICE);
    let job = held(&project, &["--iters", "epoch=1..3", "--where", "total > 2.0"]);
    until("the other run", || (shown(&project, &job)["counts"]["verified"] == 1).then_some(()));
    let first = json(&project.afterlog(&["replay", "twice", "--dry-run", "--format", "json"]).ok());
    assert_eq!(first["runs"][0]["wanted"], serde_json::json!([0, 1, 2, 3]));
    project.afterlog(&["jobs", "cancel", &job]).ok();
    let plan = json(&project.afterlog(&["jobs", "retry", &job, "--dry-run", "--format", "json"]).ok());
    let runs = plan["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 1, "only the run that was left undone: {plan}");
    assert_eq!(runs[0]["run"], *project.run_ids()[0]);
    let csv = project.afterlog(&["grid", "total", "--format", "csv"]).ok();
    let total = |epoch: usize| csv.lines().nth(1 + epoch).and_then(|l| l.rsplit(',').next()?.parse::<f64>().ok());
    let expected: Vec<usize> = (1..4).filter(|epoch| total(*epoch) > Some(2.0)).collect();
    assert!(!expected.is_empty() && expected.len() < 4, "{csv}");
    assert_eq!(runs[0]["wanted"], serde_json::json!(expected), "{csv}");
}

#[test]
fn a_statement_that_raises_in_one_version_fails_there_alone_and_its_traceback_is_kept() {
    let project = recorded("afterlog.log('twice', 2 * total / (which != 'held'))");
    let replayed = project.afterlog(&["replay", "twice", "--yes"]);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    let csv = project.afterlog(&["grid", "twice", "--verdicts", "--format", "csv"]).ok();
    assert_eq!(csv.lines().filter(|line| line.ends_with(",verified")).count(), 4, "the other run's: {csv}");
    assert_eq!(shown(&project, "last")["counts"]["failed"], 1);
    let log = project.afterlog(&["jobs", "log", "last"]).ok();
    assert!(log.contains("Traceback") && log.contains("ZeroDivisionError"), "{log}");
    assert_eq!(log.matches("ZeroDivisionError: ").count(), 1, "once: {log}");
    // The same fails again, and what is there is not computed again.
    let again = project.afterlog(&["jobs", "retry", "--yes", "--format", "json"]);
    assert_eq!(again.code, Some(4), "{again:?}");
    assert_eq!(
        json(&again.stdout)["counts"],
        serde_json::json!({"total": 1, "queued": 0, "running": 0, "verified": 0,
        "unverified": 0, "diverged": 0, "failed": 1, "cancelled": 0})
    );
}

#[test]
fn jobs_are_named_by_a_unique_beginning_or_refused_with_a_way_out() {
    let project = recorded(TWICE);
    for arguments in
        [&["jobs", "show", "zzz"][..], &["jobs", "show"], &["jobs", "cancel", "zzz"], &["jobs", "log", "zzz"]]
    {
        let refused = project.afterlog(arguments);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("`afterlog jobs` lists all of them"), "{refused:?}");
    }
    assert_eq!(project.afterlog(&["jobs", "--format", "json"]).ok(), "[]\n");
    project.afterlog(&["replay", "twice", "--runs", "last", "--yes"]).ok();
    project.afterlog(&["replay", "twice", "--yes"]).ok();
    let listed = json(&project.afterlog(&["jobs", "--format", "json"]).ok());
    let second = listed[1]["id"].as_str().expect("an id");
    assert_eq!(shown(&project, "last")["id"], second);
    assert_eq!(shown(&project, &second[..9])["id"], second);
    let ambiguous = project.afterlog(&["jobs", "show", &second[..1]]);
    assert!(ambiguous.code == Some(1) && ambiguous.stderr.contains("could be"), "{ambiguous:?}");
    let missing = project.afterlog(&["jobs", "log", "last", "7"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("has no segment 7"), "{missing:?}");
}

#[test]
fn a_replay_goes_on_as_the_program_that_it_was_when_another_takes_its_place() {
    let project = recorded(TWICE);
    let copy = project.home().join("afterlog");
    std::fs::copy(env!("CARGO_BIN_EXE_afterlog"), &copy).expect("copied");
    let mut command = project.command(&copy);
    command.args(["replay", "twice", "--yes", "--detach", "--jobs", "1"]).env("_HOLD", "nobody");
    let output = command.output().expect("starts");
    assert!(output.status.success(), "{output:?}");
    // Its coordinator starts a second worker after this.
    std::fs::remove_file(&copy).expect("removed");
    std::fs::write(&copy, "another program").expect("replaced");
    until("the end", || (shown(&project, "last")["counts"]["verified"] == 2).then_some(()));
}
