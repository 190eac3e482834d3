//! Replays of which something is killed: no hang, no orphan, nothing finished is lost, and the rest can be computed later.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::env::TestProject;

/// Long enough for a loaded machine; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds in its second epoch when it is the run that _HOLD names. `marker` makes its processes known by their arguments.
const SCRIPT: &str = "\
import os, random, sys, time
import afterlog
random.seed(3)
which, marker = afterlog.arg('which', ''), afterlog.arg('marker', '')
total = 0.0
for epoch in afterlog.loop('epoch', range(3)):
    for step in afterlog.loop('step', range(2)):
        total += random.random()
    if epoch == 1 and os.environ.get('_HOLD') == which:
        if os.fork() == 0:
            time.sleep(600)
        print('holding', flush=True)
        time.sleep(600)
    afterlog.log('total', total)
";

pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes that have all these texts among their arguments, oldest first. The dead that nobody waited for are none.
pub(crate) fn processes(texts: &[&str]) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let mut found: Vec<i32> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            texts.iter().all(|text| line.contains(text)).then_some(pid)
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(Pid::from_raw).collect()
}

/// A replay of two runs of which one has finished and the other holds.
struct Replaying {
    project: TestProject,
    marker: String,
    job: String,
    afterlog: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
    before: std::collections::BTreeMap<String, String>,
}

impl Replaying {
    fn begin() -> Self {
        let project = TestProject::git();
        project.write("train.py", SCRIPT);
        project.commit("start");
        let marker = format!("marker={}", project.home().display());
        for which in ["which=held", "which=other"] {
            // Without checkpoints there is one segment a run, whatever the timings.
            project.afterlog(&["run", "--checkpoints", "off", "train.py", which, &marker]).ok();
        }
        project.write("train.py", format!("{SCRIPT}    afterlog.log('twice', 2 * total)\n"));
        let before = project.fingerprint();
        let mut command = project.afterlog_command(&["replay", "twice", "--yes", "--jobs", "2"]);
        // In a group of its own, as a shell starts it.
        command.env("_HOLD", "held").process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut afterlog = command.spawn().expect("starts");
        let mut stderr = BufReader::new(afterlog.stderr.take().expect("piped"));
        let mut said = String::new();
        stderr.read_line(&mut said).expect("a line");
        assert!(said.contains("[1/2]") && said.contains("verified"), "{said}");
        let jobs = project.path().join(".afterlog/jobs");
        let job = std::fs::read_dir(&jobs).expect("jobs").flatten().next().expect("one job").file_name();
        let job = job.to_string_lossy().into_owned();
        until("the script to hold", || {
            let segments = std::fs::read_dir(jobs.join(&job).join("segments")).ok()?;
            let mut logs = segments.flatten().map(|segment| std::fs::read_to_string(segment.path().join("output.log")));
            logs.any(|log| log.is_ok_and(|log| log.contains("holding"))).then_some(())
        });
        Self { project, marker, job, afterlog, stderr, said, before }
    }

    /// The one process, or the first of those, that has these texts among its arguments.
    fn process(&self, text: &str) -> Pid {
        *processes(&[text, &self.job]).first().expect("it runs")
    }

    /// Waits for the end of `afterlog replay`, which must leave no process, nothing of the user's changed, and only the
    /// held run to compute. Gives its exit code and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let status = until("the end of the replay", || self.afterlog.try_wait().expect("waited"));
        self.stderr.read_to_string(&mut self.said).expect("the rest");
        until("the end of all its processes", || processes(&[&self.marker]).is_empty().then_some(()));
        until("the end of its helpers", || processes(&[&self.job]).is_empty().then_some(()));
        assert_eq!(self.before, self.project.fingerprint());
        let held = &self.project.run_ids()[0];
        let plan = self.project.afterlog(&["replay", "twice", "--dry-run", "--format", "json"]).ok();
        let plan: serde_json::Value = serde_json::from_str(&plan).expect("a JSON plan");
        let segments = plan["segments"].as_array().expect("segments");
        assert!(!segments.is_empty() && segments.iter().all(|segment| segment["run"] == **held), "{plan}");
        let rest = self.project.afterlog(&["replay", "twice", "--yes"]);
        assert_eq!(rest.code, Some(0), "{rest:?}");
        let csv = self.project.afterlog(&["grid", "total", "twice", "--verdicts", "--format", "csv"]).ok();
        assert_eq!(csv.lines().filter(|line| line.ends_with(",verified")).count(), 6, "{csv}");
        let scratch = self.project.run("find", &[".afterlog", "-name", "scratch"]).ok();
        assert_eq!(scratch, "", "what was left behind is swept up by the next replay");
        (status.code(), self.said)
    }
}

pub(crate) fn kill_now(process: Pid) {
    kill(process, Signal::SIGKILL).expect("killed");
}

#[test]
fn a_killed_script_fails_its_segment_and_no_other() {
    let replaying = Replaying::begin();
    kill_now(*processes(&["launch.py", &replaying.marker]).first().expect("it runs"));
    let (code, said) = replaying.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("failed: the script was killed by signal 9"), "{said}");
}

#[test]
fn a_killed_worker_fails_its_segment_and_takes_its_script_along() {
    let replaying = Replaying::begin();
    kill_now(replaying.process("__worker"));
    let (code, said) = replaying.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("failed: the worker was killed by signal 9"), "{said}");
}

#[test]
fn what_a_killed_fork_server_had_forked_is_begun_anew_once_and_nothing_is_left_running() {
    let replaying = Replaying::begin();
    let before = processes(&["launch.py", &replaying.marker]);
    // What the script itself forked is in its worker's process group.
    kill_now(replaying.process("serve.py"));
    let anew = until("the script to hold again", || {
        let now = processes(&["launch.py", &replaying.marker]);
        (now.len() == 2 && !now.iter().any(|process| before.contains(process))).then_some(now)
    });
    kill_now(anew[0]);
    let (code, said) = replaying.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("failed: the script was killed by signal 9"), "{said}");
}

#[test]
fn a_killed_coordinator_ends_the_replay_for_who_follows_it() {
    let replaying = Replaying::begin();
    // What the script itself forked is nobody's then.
    let forked = processes(&["launch.py", &replaying.marker])[1..].to_vec();
    kill_now(replaying.process("__coordinate"));
    until("the end of the worker", || processes(&["__worker", &replaying.job]).is_empty().then_some(()));
    until("the end of the script", || (processes(&["launch.py", &replaying.marker]) == forked).then_some(()));
    forked.into_iter().for_each(kill_now);
    let (code, said) = replaying.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("cancelled") && said.contains("the same command computes what is left"), "{said}");
}

#[test]
fn ctrl_c_cancels_keeps_what_is_finished_and_says_so() {
    let replaying = Replaying::begin();
    let group = Pid::from_raw(i32::try_from(replaying.afterlog.id()).expect("process id"));
    killpg(group, Signal::SIGINT).expect("interrupted");
    let (code, said) = replaying.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("what is finished is kept") && said.contains("cancelled"), "{said}");
}

#[test]
fn a_replay_goes_on_when_who_follows_it_is_killed() {
    let mut replaying = Replaying::begin();
    replaying.afterlog.kill().expect("killed");
    replaying.afterlog.wait().expect("gone");
    assert_eq!(processes(&["__worker", &replaying.job]).len(), 1);
    kill_now(*processes(&["launch.py", &replaying.marker]).first().expect("it runs"));
    until("the end of the job", || processes(&["__coordinate", &replaying.job]).is_empty().then_some(()));
    replaying.end();
}
