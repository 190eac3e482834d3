//! Replays that meet damaged checkpoints, runs that still train, and a full disk: nothing wrong, nothing lost, and said.

#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::env::TestProject;

const SCRIPT: &str = "\
import os, random, time
import afterlog
random.seed(1)
state = [0.0] * 3000
for epoch in afterlog.loop('epoch', range(6)):
    if epoch == 4 and os.environ.get('_WAIT'):
        print('waiting', flush=True)
        while not os.path.exists('go'):
            time.sleep(0.02)
    for step in afterlog.loop('step', range(3)):
        state[step] += random.random()
    afterlog.log('total', sum(state))
";
const STATEMENT: &str = "    afterlog.log('twice', 2 * sum(state))\n";

/// The values of a column by epoch.
fn values(project: &TestProject, name: &str) -> Vec<String> {
    let csv = project.afterlog(&["grid", name, "--no-verdicts", "--format", "csv"]).ok();
    csv.lines().skip(1).map(|line| line.rsplit(',').next().expect("a cell").to_owned()).collect()
}

#[track_caller]
fn all_twice(project: &TestProject, from: usize) {
    let number = |text: &String| text.parse::<f64>().unwrap_or(f64::NAN);
    let (totals, twice) = (values(project, "total"), values(project, "twice"));
    let wrong = totals.iter().zip(&twice).skip(from).filter(|(total, twice)| number(total) * 2.0 != number(twice));
    assert!(twice.len() > from && wrong.count() == 0, "{totals:?} {twice:?}");
}

#[test]
fn a_damaged_checkpoint_is_done_without_and_the_segment_says_from_where_it_began_instead() {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", format!("{SCRIPT}{STATEMENT}"));
    let packs = project.path().join(".afterlog/packs");
    let pack = fs::read_dir(&packs).expect("packs").next().expect("one pack").expect("entry").path();
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).expect("writable");
    let mut bytes = fs::read(&pack).expect("pack");
    let records: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"CHNK")).collect();
    // Near the end: what the last iterations need. Further on than a base's hash.
    for record in &records[records.len() / 2..] {
        bytes[record + 90] ^= 0x55;
    }
    fs::write(&pack, &bytes).expect("damaged");
    let replayed = project.afterlog(&["replay", "twice", "--iters", "epoch=5", "--yes"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stderr.contains("cannot be restored: it is executed from"), "{replayed:?}");
    assert!(project.afterlog(&["jobs", "show"]).ok().contains("cannot be restored"));
    all_twice(&project, 5);
    // What was done in vain first is not shown, and a database made anew shows the same.
    let grid = project.afterlog(&["grid", "total", "twice", "--verdicts", "--format", "csv"]).ok();
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(grid, project.afterlog(&["grid", "total", "twice", "--verdicts", "--format", "csv"]).ok());
}

#[test]
fn of_a_run_that_still_trains_what_is_finished_is_replayed_and_the_rest_later() {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    let mut command = project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
    let mut training = command.env("_WAIT", "1").stdout(Stdio::piped()).spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(training.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    // Its journal is written every 100 ms.
    std::thread::sleep(std::time::Duration::from_millis(600));
    project.write("train.py", format!("{SCRIPT}{STATEMENT}"));
    let replayed = project.afterlog(&["replay", "twice", "--yes"]);
    project.write("go", "");
    assert!(training.wait().expect("ends").success());
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stdout.contains("still training: what it has finished is replayed"), "{replayed:?}");
    let twice = values(&project, "twice");
    assert_eq!(twice.iter().filter(|value| !value.is_empty()).count(), 4, "{twice:?}");
    let rest = project.afterlog(&["replay", "twice", "--yes"]).ok();
    assert!(!rest.contains("still training"), "{rest}");
    all_twice(&project, 0);
}

#[test]
fn on_a_full_disk_a_replay_fails_says_why_and_the_same_command_finishes_it_later() {
    let project = TestProject::plain();
    project.write("train.py", SCRIPT.replace("sum(state))", "sum(state))\n    afterlog.log('text', 'x' * 50000)"));
    let statement = STATEMENT.trim_end();
    let lines = format!(
        "\
mkdir -p .afterlog
mount -t tmpfs -o size=20M tmpfs .afterlog
$1 run --checkpoints off train.py
echo \"{statement}\" >> train.py
$1 replay twice --iters epoch=0 --yes
mount -o remount,size=$(($(df --output=used -k .afterlog | tail -1) + 150))k .afterlog
$1 replay twice --yes && exit 9
mount -o remount,size=20M .afterlog
echo '== room'
$1 replay twice --yes
$1 grid total twice --no-verdicts --format csv
"
    );
    let afterlog = project.afterlog_command(&[]).get_program().to_str().expect("UTF-8").to_owned();
    let finished = project.run("unshare", &["-Urm", "sh", "-ec", &lines, "sh", &afterlog]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (_, room) = finished.stdout.split_once("== room").expect("there was room again");
    assert!(finished.stderr.contains("likely: the store's disk has"), "{finished:?}");
    let rows: Vec<Vec<f64>> = room
        .lines()
        .skip_while(|line| !line.starts_with("run,epoch"))
        .skip(1)
        .map(|line| line.split(',').skip(2).map(|cell| cell.parse().unwrap_or(f64::NAN)).collect())
        .collect();
    assert_eq!(rows.len(), 6, "{room}");
    assert!(rows.iter().all(|row| row[0] * 2.0 == row[1]), "{room}");
}
