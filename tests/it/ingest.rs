//! The database is derived: made anew it says the same, damage costs only what was damaged and is said, and any number of
//! processes may ingest at once.

#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use crate::env::{Finished, TestProject};

/// Loops with values of their own, several types, and a journal that is spread over many frames.
const SCRIPT: &str = r#"
import random
import afterlog
from afterlog import _flordb

random.seed(5)
weights = [0.0] * 500
for epoch in afterlog.loop("epoch", range(6)):
    for size in afterlog.loop("batch", [10, 20, 30]):
        weights[size] += random.random()
        afterlog.log("loss", random.gauss(0.0, size))
    afterlog.log("kind", "even" if epoch % 2 == 0 else epoch)
    afterlog.log("total", sum(weights))
    _flordb.flush()
"#;
const GRID: [&str; 6] = ["grid", "loss", "kind", "total", "--format", "csv"];

fn recorded(runs: usize) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    project.commit("start");
    for _ in 0..runs {
        project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    }
    project
}

fn journal(project: &TestProject) -> PathBuf {
    project.path().join(".afterlog/runs").join(&project.run_ids()[0]).join("events.aflj")
}

/// The grid's lines; none where nothing of the names is left.
#[track_caller]
fn lines(project: &TestProject) -> Vec<String> {
    let finished = project.afterlog(&GRID);
    assert!(matches!(finished.code, Some(0 | 1)) && !finished.stderr.contains("panicked"), "{finished:?}");
    finished.stdout.lines().skip(1).map(str::to_owned).collect()
}

#[track_caller]
fn fsck(project: &TestProject) -> Finished {
    let finished = project.afterlog(&["fsck"]);
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    finished
}

/// All that the front ends show of the store.
fn shown(project: &TestProject) -> Vec<String> {
    let csv = |name| project.afterlog(&["grid", name, "--format", "csv", "--verdicts"]).stdout;
    let mut shown = ["twice", "loss", "kind", "total"].map(csv).to_vec();
    shown.extend([project.afterlog(&["runs", "--format", "json"]).ok()]);
    shown.extend(project.run_ids().iter().map(|run| project.afterlog(&["show", run, "--json"]).ok()));
    shown
}

#[test]
fn a_rebuilt_database_says_the_same_replayed_values_and_verdicts_included() {
    let project = recorded(2);
    project.write(
        "train.py",
        SCRIPT.replace("    _flordb.flush", "    afterlog.log('twice', 2 * epoch)\n    _flordb.flush"),
    );
    project.afterlog(&["replay", "twice", "--yes"]).ok();
    // Newer values of the same name, for one run only.
    project.write(
        "train.py",
        SCRIPT.replace("    _flordb.flush", "    afterlog.log('twice', 3 * epoch)\n    _flordb.flush"),
    );
    project.afterlog(&["replay", "twice", "--yes", "--runs", "last"]).ok();
    let before = shown(&project);
    assert!(before[0].contains("verified") && before[1].contains("recorded"), "{before:?}");
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(before, shown(&project));
    for file in ["db.sqlite", "db.sqlite-wal", "db.sqlite-shm"] {
        let _ = fs::remove_file(project.path().join(".afterlog").join(file));
    }
    assert_eq!(before, shown(&project), "a database that is gone is made anew");
    assert_eq!(fsck(&project).code, Some(0));
}

/// Whether rows are some of these in their order, each with all its values or some of them.
fn are_left_of(rows: &[String], whole: &[String]) -> bool {
    // The run, the epoch, the batch and its value.
    const POSITION: usize = 4;
    let is_of = |row: &str, whole: &str| {
        let mut columns = row.split(',').zip(whole.split(',')).enumerate();
        columns.all(|(column, (a, b))| a == b || column >= POSITION && a.is_empty())
    };
    let mut whole = whole.iter();
    rows.iter().all(|row| whole.any(|other| is_of(row, other)))
}

/// Where the frames of a journal end: after the header of 16 bytes each has its length, a checksum and so many bytes.
fn frame_ends(journal: &[u8]) -> Vec<usize> {
    let mut ends = vec![16];
    while let Some(length) = ends.last().and_then(|at| journal.get(*at..at + 4)) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        ends.push(ends.last().expect("one") + 8 + usize::try_from(length).expect("small"));
    }
    ends
}

#[test]
fn a_journal_that_ends_too_early_keeps_what_precedes_and_fsck_says_so() {
    let project = recorded(1);
    let whole = lines(&project);
    assert_eq!(whole.len(), 6 * 3 + 6);
    let path = journal(&project);
    let bytes = fs::read(&path).expect("journal");
    let mut kept = 0;
    for length in (0..bytes.len()).step_by(bytes.len() / 24).chain([bytes.len() - 1]) {
        fs::write(&path, &bytes[..length]).expect("cut");
        let found = fsck(&project);
        // Where a frame ends the journal is one of a run that was killed there.
        if !frame_ends(&bytes).contains(&length) {
            assert_eq!(found.code, Some(3), "cut to {length} of {}: {found:?}", bytes.len());
            assert!(found.stdout.contains("events.aflj"), "{found:?}");
        }
        project.afterlog(&["rebuild"]).ok();
        let now = lines(&project);
        assert!(are_left_of(&now, &whole), "{length}: {now:?}");
        assert!(now.len() >= kept, "more of the file, more of the values");
        kept = now.len();
        fs::write(&path, &bytes).expect("whole again");
        project.afterlog(&["rebuild"]).ok();
    }
    assert!((1..=whole.len()).contains(&kept));
    assert_eq!(lines(&project), whole);
}

#[test]
fn a_flipped_byte_in_a_journal_never_moves_a_value_and_is_found() {
    let project = recorded(1);
    let whole = lines(&project);
    let path = journal(&project);
    let bytes = fs::read(&path).expect("journal");
    let mut partly = 0;
    // The magic number, the lengths and checksums of the first frame, and places all over.
    for at in [0, 16, 17, 20].into_iter().chain((24..bytes.len()).step_by(bytes.len() / 24)).chain([bytes.len() - 1]) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("flipped");
        let found = fsck(&project);
        assert_eq!(found.code, Some(3), "byte {at} of {}: {found:?}", bytes.len());
        project.afterlog(&["rebuild"]).ok();
        let now = lines(&project);
        assert!(now.len() < whole.len() || at > bytes.len() / 2, "byte {at}: something is lost");
        assert!(are_left_of(&now, &whole), "byte {at}: {now:?}");
        partly += usize::from(!now.is_empty());
    }
    assert!(partly > 5, "what precedes is kept");
}

#[test]
fn a_flipped_byte_anywhere_in_a_pack_is_found() {
    let project = recorded(1);
    let packs = project.path().join(".afterlog/packs");
    let pack = fs::read_dir(&packs).expect("packs").next().expect("one pack").expect("entry").path();
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).expect("writable");
    let bytes = fs::read(&pack).expect("pack");
    assert_eq!(fsck(&project).code, Some(0));
    for at in (0..bytes.len()).step_by(bytes.len() / 24) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x01;
        fs::write(&pack, &damaged).expect("flipped");
        let found = fsck(&project);
        assert_eq!(found.code, Some(3), "byte {at} of {}: {found:?}", bytes.len());
    }
    fs::write(&pack, &bytes).expect("whole again");
    assert_eq!(fsck(&project).code, Some(0));
}

#[test]
fn several_processes_ingest_a_live_run_at_once_and_nothing_is_lost_or_doubled() {
    let project = recorded(0);
    // The run waits in its middle until it has been seen there.
    let wait = "    import os, time\n    while epoch == 3 and not all(map(os.path.exists, ['.afterlog/a', '.afterlog/b'])): time.sleep(0.01)\n";
    project.write("train.py", format!("{SCRIPT}{wait}"));
    let mut run = project
        .afterlog_command(&["run", "train.py"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let readers = std::thread::scope(|scope| {
        let reader = |mark: &'static str| {
            let mut seen = 0;
            let mut grids = Vec::new();
            loop {
                let ended = fs::read_dir(project.path().join(".afterlog/runs")).is_ok_and(|mut runs| {
                    let lock = |run: fs::DirEntry| fs::File::open(run.path().join("lock"));
                    runs.any(|run| run.and_then(lock).is_ok_and(|file| file.try_lock().is_ok()))
                });
                let now = lines(&project);
                assert!(now.len() >= seen, "values that were there stay");
                seen = now.len();
                if (1..24).contains(&seen) {
                    fs::write(project.path().join(".afterlog").join(mark), "").expect("written");
                }
                grids.push(now);
                if ended && seen == 24 || grids.len() > 400 {
                    return grids;
                }
            }
        };
        let threads = ["a", "b"].map(|mark| scope.spawn(move || reader(mark)));
        threads.map(|thread| thread.join().expect("reads"))
    });
    assert!(run.wait().expect("ends").success());
    let whole = lines(&project);
    assert_eq!(whole.len(), 24);
    for grids in readers {
        assert!(grids.iter().any(|grid| (1..24).contains(&grid.len())), "it read while the run was live");
        assert_eq!(grids.last(), Some(&whole));
    }
    // What was taken in bit by bit is what is taken in at once.
    let details = || project.afterlog(&["show", "last", "--json"]).ok();
    let bit_by_bit = details();
    project.afterlog(&["rebuild"]).ok();
    assert_eq!((lines(&project), details()), (whole, bit_by_bit));
}

#[test]
fn a_database_of_an_earlier_schema_is_brought_up_and_filled_again() {
    let project = recorded(1);
    let before = shown(&project);
    let connection = rusqlite::Connection::open(project.path().join(".afterlog/db.sqlite")).expect("opens");
    connection.execute_batch("DROP TABLE iteration; DROP TABLE placement; PRAGMA user_version = 1").expect("written");
    drop(connection);
    assert_eq!(before, shown(&project));
}

#[test]
fn a_database_that_is_newer_or_no_database_is_told_from_one_that_can_be_used() {
    let project = recorded(1);
    let whole = lines(&project);
    let database = project.path().join(".afterlog/db.sqlite");
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection.execute_batch("PRAGMA user_version = 99").expect("written");
    drop(connection);
    for command in [&["runs"][..], &["rebuild"], &GRID] {
        let finished = project.afterlog(command);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("newer") && finished.stderr.contains("99"), "{finished:?}");
    }
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(project.path().join(".afterlog").join(format!("db.sqlite{suffix}")));
    }
    fs::write(&database, "this is no database, though it is long enough to be one: ".repeat(200)).expect("overwritten");
    let finished = project.afterlog(&GRID);
    assert_eq!(finished.code, Some(3), "{finished:?}");
    assert!(finished.stderr.contains("afterlog rebuild"), "{finished:?}");
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(lines(&project), whole);
}

#[test]
fn a_count_is_a_run_s_last_value_until_something_is_measured() {
    let project = TestProject::git();
    let last = |script: &str| {
        project.write("train.py", script);
        project.afterlog(&["run", "train.py"]).ok();
        let runs: serde_json::Value =
            serde_json::from_str(&project.afterlog(&["runs", "--format", "json"]).ok()).expect("JSON");
        let metric = runs.as_array().and_then(|all| all.iter().max_by_key(|run| run["started_ms"].as_i64()).cloned());
        metric.expect("a run")["last_metric"].clone()
    };
    let counts = "import afterlog\nfor epoch in range(3):\n    afterlog.log('correct', epoch * 10)\n";
    assert_eq!(last(counts), serde_json::json!({"name": "correct", "value": 20}));
    let measures = format!("{counts}    afterlog.log('loss', 0.5)\n");
    assert_eq!(last(&measures), serde_json::json!({"name": "loss", "value": 0.5}));
}

#[test]
fn of_many_names_some_are_listed_and_all_are_kept() {
    let project = TestProject::git();
    project.write("train.py", "import afterlog\nfor i in range(3000):\n    afterlog.log(f'n{i}', i)\n");
    project.afterlog(&["run", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    let names = shown.lines().find(|line| line.starts_with("names ")).expect("a line of names");
    assert!(names.contains(" n0 n1 ") && names.ends_with(" n99 … and 2900 more names"), "{names}");
    let json: serde_json::Value =
        serde_json::from_str(&project.afterlog(&["show", "last", "--json"]).ok()).expect("JSON");
    assert_eq!(json["names"].as_array().map(Vec::len), Some(3000));
    for (name, value) in [("n0", "0"), ("n1777", "1777"), ("n2999", "2999")] {
        let grid = project.afterlog(&["grid", name, "--format", "csv"]).ok();
        assert!(grid.lines().nth(1).is_some_and(|line| line.ends_with(&format!(",{value}"))), "{grid}");
    }
}
