//! Files of data that no version holds: what was written anew with the same bytes proves as much as before, and what holds
//! something else is named, whatever the times say.

#![allow(clippy::disallowed_methods, reason = "tests write and replace files of data")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::env::{Finished, TestProject};
use crate::truth::values;

/// Reads a file in each iteration, and from a folder outside the project that an argument names.
const SCRIPT: &str = "\
import os, sys
import afterlog
outside = sys.argv[1]
total = 0.0
for epoch in afterlog.loop('epoch', range(4)):
    for step in afterlog.loop('step', range(3)):
        total += (epoch + step) / 3
    if os.path.exists('data/scale.txt'):
        scale = float(open('data/scale.txt').read())
    with open(os.path.join(outside, 'shift.txt')) as file:
        shift = float(file.read())
    afterlog.log('total', total * scale + shift)
";
const ADDED: &str = "    afterlog.log('seen', total * scale / 7 + shift)\n";

struct Case {
    project: TestProject,
    scale: PathBuf,
    shift: PathBuf,
}

/// The script with its data, not run yet.
fn prepared(script: &str) -> Case {
    let project = TestProject::git();
    project.write(".gitignore", "data/\n");
    project.write("data/scale.txt", "0.3");
    let shift = project.home().join("elsewhere/shift.txt");
    fs::create_dir_all(shift.parent().expect("a folder")).expect("made");
    fs::write(&shift, "0.25").expect("written");
    project.write("train.py", script);
    // What was written just before a run could have been written again unseen.
    std::thread::sleep(Duration::from_millis(60));
    let scale = project.path().join("data/scale.txt");
    Case { project, scale, shift }
}

fn recorded(script: &str) -> Case {
    let case = prepared(script);
    let outside = case.shift.parent().and_then(|folder| folder.to_str()).expect("UTF-8").to_owned();
    case.project.afterlog(&["run", "--checkpoints", "all", "train.py", &outside]).ok();
    case.project.write("train.py", format!("{script}{ADDED}"));
    std::thread::sleep(Duration::from_millis(60));
    case
}

impl Case {
    fn replay(&self) -> Finished {
        self.project.afterlog(&["replay", "seen", "--force", "--yes"])
    }
}

#[test]
fn data_written_again_with_the_same_bytes_leave_every_value_proven() {
    let full = recorded(&format!("{SCRIPT}{ADDED}"));
    let expected = values(&full.project, &["seen"]);
    let case = recorded(SCRIPT);
    let touched = SystemTime::now();
    for way in ["written", "replaced", "touched", "dated back"] {
        for (path, bytes) in [(&case.scale, "0.3"), (&case.shift, "0.25")] {
            match way {
                "written" => fs::write(path, bytes).expect("written"),
                "replaced" => {
                    fs::remove_file(path).expect("removed");
                    fs::write(path, bytes).expect("written");
                }
                _ => {
                    let time = if way == "touched" { touched } else { touched - Duration::from_secs(86_400) };
                    fs::File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("dated");
                }
            }
        }
        let replayed = case.replay();
        assert!(replayed.code == Some(0) && replayed.stderr.contains(" verified: "), "{way}: {replayed:?}");
        assert!(!replayed.stderr.contains("unverified"), "{way}: {replayed:?}");
        assert_eq!(values(&case.project, &["seen"]), expected, "{way}");
    }
}

#[test]
fn data_that_hold_something_else_are_named_whatever_their_times_say() {
    // The run logs nothing, so that no value tells.
    let script =
        SCRIPT.replace("    afterlog.log('total', total * scale + shift)\n", "    afterlog.log('even', epoch % 2)\n");
    let case = recorded(&script);
    let old = fs::metadata(&case.scale).and_then(|meta| meta.modified()).expect("its time");
    for time in [SystemTime::now(), old - Duration::from_secs(1), old] {
        fs::write(&case.scale, "0.4").expect("written");
        fs::File::options().write(true).open(&case.scale).and_then(|file| file.set_modified(time)).expect("dated");
        let replayed = case.replay();
        let said = "data/scale.txt: it does not hold what it held in the run";
        assert!(replayed.stderr.contains("unverified") && replayed.stderr.contains(said), "{replayed:?}");
    }
    fs::write(&case.scale, "0.3").expect("put back");
    let replayed = case.replay();
    assert!(!replayed.stderr.contains("unverified") && replayed.stderr.contains("verified"), "{replayed:?}");
    // Where a value differs, the file is what it may come from.
    let case = recorded(SCRIPT);
    fs::write(&case.shift, "0.26").expect("written");
    let replayed = case.replay();
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    assert!(replayed.stderr.contains("shift.txt (by its hash it holds something else) was changed"), "{replayed:?}");
}

#[test]
fn data_changed_while_the_run_went_on_are_never_taken_for_the_same() {
    // Read, then changed, and read no more; today it holds what it held when the run ended.
    let change = "    if epoch == 2:\n        os.system('printf 0.5 > data/scale.txt')\n";
    let case = recorded(&format!("{SCRIPT}{change}"));
    fs::write(&case.scale, "0.5").expect("the same bytes");
    let replayed = case.project.afterlog(&["replay", "seen", "--iters", "epoch=1", "--yes"]);
    assert!(replayed.stderr.contains("unverified") || replayed.stderr.contains("diverged"), "{replayed:?}");
    assert!(!replayed.stderr.contains(" verified: "), "{replayed:?}");
}

#[test]
fn a_time_of_change_that_the_script_asks_for_is_not_the_runs_once_the_file_was_touched() {
    for asks in [
        "os.path.getmtime('data/scale.txt')",
        "(lambda file: os.fstat(file.fileno()).st_mtime)(open('data/scale.txt'))",
        "[entry.stat().st_mtime for entry in os.scandir('data')][0]",
    ] {
        let script = SCRIPT.replace("    if os.path.exists", &format!("    age = {asks}\n    if os.path.exists"));
        let case = recorded(&script);
        let replayed = case.replay();
        assert!(
            !replayed.stderr.contains("unverified") && replayed.stderr.contains("verified"),
            "{asks}: {replayed:?}"
        );
        fs::write(&case.scale, "0.3").expect("the same bytes");
        let replayed = case.replay();
        assert!(replayed.stderr.contains("unverified"), "{asks}: {replayed:?}");
    }
}

#[test]
fn of_what_may_be_secret_no_hash_is_kept() {
    let case = prepared(&format!("keys = 'data/keys/server.pem data/.netrc data/secrets/pin.txt'\n{SCRIPT}"));
    for path in ["data/keys/server.pem", "data/.netrc", "data/secrets/pin.txt"] {
        case.project.write(path, "1234");
    }
    std::thread::sleep(Duration::from_millis(60));
    let outside = case.shift.parent().and_then(|folder| folder.to_str()).expect("UTF-8").to_owned();
    case.project.afterlog(&["run", "train.py", &outside]).ok();
    let run = case.project.path().join(".afterlog/runs").join(&case.project.run_ids()[0]);
    let kept = fs::read_to_string(run.join("data.json")).expect("what files held");
    assert!(kept.contains("data/scale.txt"), "{kept}");
    assert!(!["server.pem", ".netrc", "pin.txt"].iter().any(|name| kept.contains(name)), "{kept}");
}
