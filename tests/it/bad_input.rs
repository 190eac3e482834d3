//! Wrong input of every kind gives a clear message and the right exit code, loses nothing and never harms training.

#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::env::{Finished, TestProject};

const SCRIPT: &str = "\
import afterlog
afterlog.log('seed', 3)
for epoch in afterlog.loop('epoch', range(3)):
    for step in afterlog.loop('step', range(4)):
        afterlog.log('loss', 1.0 / (1 + epoch * 4 + step))
";

fn recorded() -> TestProject {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    project.commit("start");
    project.afterlog(&["run", "train.py"]).ok();
    project
}

/// The command fails with this code, says each of these things, and shows no panic and no Rust source.
#[track_caller]
fn fails(finished: &Finished, code: i32, says: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    for text in says {
        assert!(finished.stderr.contains(text), "'{text}' is missing in\n{}", finished.stderr);
    }
    assert!(!finished.stderr.contains("panicked") && !finished.stderr.contains(".rs:"), "{}", finished.stderr);
}

#[test]
fn a_missing_script_is_named_with_a_near_match() {
    let project = recorded();
    fails(&project.afterlog(&["run", "trian.py"]), 1, &["trian.py", "train.py"]);
}

#[test]
fn a_syntax_error_is_pythons_own_message_and_code() {
    let project = TestProject::git();
    project.write("train.py", "import afterlog\nfor x in range(3)\n    pass\n");
    let finished = project.afterlog(&["run", "train.py"]);
    fails(&finished, 1, &["SyntaxError", "train.py\", line 2"]);
}

#[test]
fn a_folder_without_git_is_recorded_all_the_same() {
    let project = TestProject::plain();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "train.py"]).ok();
    let csv = project.afterlog(&["grid", "loss", "--format", "csv"]).ok();
    assert_eq!(csv.lines().count(), 13, "{csv}");
    assert!(!project.path().join(".git").exists());
}

#[test]
fn unknown_runs_and_names_are_user_errors_with_a_way_out() {
    let project = recorded();
    fails(&project.afterlog(&["show", "zzzz"]), 1, &["zzzz"]);
    fails(&project.afterlog(&["grid", "lss"]), 1, &["lss", "loss"]);
    fails(&project.afterlog(&["replay", "grad_norm", "--yes"]), 1, &["grad_norm"]);
    fails(&project.afterlog(&["diff", "zzzz", "last"]), 1, &["zzzz"]);
}

#[test]
fn wrong_usage_exits_with_two() {
    let project = recorded();
    fails(&project.afterlog(&["frobnicate"]), 2, &["frobnicate"]);
    fails(&project.afterlog(&["grid", "loss", "--format", "xml"]), 2, &["xml"]);
    fails(&project.afterlog(&["replay", "seed", "--iters", "epoch"]), 2, &["epoch"]);
}

#[test]
fn nothing_recorded_yet_says_how_to_begin() {
    let project = TestProject::git();
    for command in [&["runs"][..], &["grid", "loss"], &["show", "last"]] {
        let finished = project.afterlog(command);
        assert!(finished.stderr.contains("afterlog run"), "{finished:?}");
    }
    assert!(!project.path().join(".afterlog").exists(), "looking must not create a store");
}

#[test]
fn a_replay_asks_before_it_runs_and_refuses_without_a_terminal() {
    let project = recorded();
    project.write(
        "train.py",
        SCRIPT.replace("afterlog.log('seed', 3)", "afterlog.log('seed', 3)\nafterlog.log('twice', 6)"),
    );
    fails(&project.afterlog(&["replay", "twice"]), 1, &["--yes"]);
}

#[test]
fn iterations_of_a_loop_that_is_not_the_main_loop_are_refused() {
    let project = recorded();
    project.write("train.py", format!("{SCRIPT}    afterlog.log('twice', 2 * epoch)\n"));
    let replay = |iterations: &str| project.afterlog(&["replay", "twice", "--iters", iterations, "--yes"]);
    fails(&replay("epochs=0"), 1, &["'epochs'", "the main loop: epoch"]);
    fails(&replay("step=1"), 1, &["'step' is a loop inside the main loop", "the main loop: epoch"]);
    assert!(!project.path().join(".afterlog/jobs").read_dir().is_ok_and(|mut jobs| jobs.next().is_some()));
    let beyond = replay("epoch=7");
    assert_eq!(beyond.code, Some(4), "{beyond:?}");
    assert!(beyond.stdout.contains("epoch 7 was asked for, the run has only 0..2"), "{beyond:?}");
    let partly = replay("epoch=2..9").ok();
    assert!(partly.contains("epoch 3..9 was asked for") && partly.contains(" verified"), "{partly}");
    let csv = project.afterlog(&["grid", "twice", "--no-verdicts", "--format", "csv"]).ok();
    // Those before it may have led up to it.
    assert!(csv.lines().last().is_some_and(|line| line.ends_with(",2,4")), "{csv}");
}

#[test]
fn a_name_logged_with_two_types_keeps_both() {
    let project = TestProject::git();
    project.write("train.py", "import afterlog\nfor epoch in afterlog.loop('epoch', range(2)):\n    afterlog.log('x', 1.5 if epoch else 'n/a')\n");
    project.afterlog(&["run", "train.py"]).ok();
    let csv = project.afterlog(&["grid", "x", "--format", "csv"]).ok();
    let values: Vec<&str> = csv.lines().skip(1).map(|line| line.rsplit(',').next().expect("a cell")).collect();
    assert_eq!(values, ["n/a", "1.5"]);
}

#[test]
fn an_object_that_cannot_be_pickled_never_stops_training_and_is_named() {
    let project = TestProject::git();
    project.write(
        "train.py",
        "\
import threading
import afterlog
class Model: pass
model = Model()
model.lock = threading.Lock()
with afterlog.checkpointing(model=model):
    for epoch in afterlog.loop('epoch', range(2)):
        for step in afterlog.loop('step', range(2)):
            model.lock.acquire(); model.lock.release()
        afterlog.log('done', epoch)
",
    );
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("lock"), "what was not captured is named:\n{shown}");
}

#[test]
fn without_python_run_says_what_is_missing() {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    let output = project.afterlog_command(&["run", "train.py"]).env("PATH", "/nonexistent").output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("python3"), "{message}");
}

#[test]
fn a_store_that_cannot_be_written_is_read_all_the_same() {
    let project = TestProject::git();
    project.write("train.py", "import afterlog\nfor epoch in afterlog.loop('epoch', range(3)):\n    afterlog.log('loss', epoch / 2)\n    print('said once')\n");
    project.afterlog(&["run", "train.py"]).ok();
    let grid = project.afterlog(&["grid", "loss", "--format", "csv"]).ok();
    // Root may write whatever the permissions are, but not to a file system mounted for reading.
    let read_only = "mount --bind . . && mount -o remount,bind,ro . && cd \"$PWD\" && exec \"$@\"";
    let afterlog = project.afterlog_command(&[]).get_program().to_str().expect("UTF-8").to_owned();
    let run = |args: &[&str]| {
        let isolated = ["-Urm", "sh", "-c", read_only, "sh", &afterlog];
        project.run("unshare", &[&isolated[..], args].concat())
    };
    assert_eq!(run(&["grid", "loss", "--format", "csv"]).ok(), grid);
    assert!(run(&["runs"]).ok().contains("train.py"));
    assert_eq!(run(&["fsck"]).code, Some(0));
    let replay = run(&["replay", "loss", "--yes"]);
    assert!(replay.code == Some(0), "there is nothing to replay: {replay:?}");
}

#[test]
fn a_read_only_folder_does_not_stop_training() {
    let project = TestProject::git();
    project.write("train.py", "print('trained')\nraise SystemExit(7)\n");
    // The superuser writes wherever it likes; a file in the store's place stops it too.
    project.write(".afterlog", "not a folder");
    let finished = project.afterlog(&["run", "train.py"]);
    assert_eq!(finished.code, Some(7), "{finished:?}");
    assert_eq!(finished.stdout, "trained\n");
    assert!(finished.stderr.contains("afterlog"), "the loss is said: {finished:?}");
}

#[test]
fn a_store_from_a_newer_version_is_left_alone() {
    let project = recorded();
    project.write(".afterlog/format", "999\n");
    let before = project.fingerprint();
    fails(&project.afterlog(&["runs"]), 1, &["999"]);
    let finished = project.afterlog(&["run", "train.py"]);
    assert_eq!(finished.code, Some(0), "training goes on: {finished:?}");
    assert!(finished.stderr.contains("999"), "{finished:?}");
    assert_eq!(before, project.fingerprint());
}

#[test]
fn a_torn_journal_keeps_everything_before_the_tear() {
    let project = recorded();
    let journal = project.path().join(".afterlog/runs").join(&project.run_ids()[0]).join("events.aflj");
    let bytes = fs::read(&journal).expect("journal");
    fs::write(&journal, &bytes[..bytes.len() - 3]).expect("torn");
    let rebuilt = project.afterlog(&["rebuild"]);
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    let finished = project.afterlog(&["fsck"]);
    assert!(finished.stdout.contains("events.aflj") || finished.stderr.contains("events.aflj"), "{finished:?}");
    assert_eq!(project.run_ids().len(), 1);
}

#[test]
fn a_flipped_byte_in_a_pack_is_found_and_never_restored() {
    let project = TestProject::git();
    let script = "\
import afterlog
state = [0.0] * 2000
for epoch in afterlog.loop('epoch', range(4)):
    for step in afterlog.loop('step', range(3)):
        state[step] += epoch + 0.5
    afterlog.log('sum', sum(state))
";
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let packs = project.path().join(".afterlog/packs");
    let pack = fs::read_dir(&packs).expect("packs").next().expect("one pack").expect("entry").path();
    let mut permissions = fs::metadata(&pack).expect("pack").permissions();
    permissions.set_mode(0o644);
    fs::set_permissions(&pack, permissions).expect("writable");
    let mut bytes = fs::read(&pack).expect("pack");
    // Somewhere inside the chunks, past the header: every chunk of this store is needed by some state.
    for at in (64..bytes.len() / 2).step_by(97) {
        bytes[at] ^= 0x20;
    }
    fs::write(&pack, &bytes).expect("flipped");
    let finished = project.afterlog(&["fsck"]);
    assert_eq!(finished.code, Some(3), "{finished:?}");
    project.write(
        "train.py",
        script.replace("    afterlog.log('sum'", "    afterlog.log('first', state[0])\n    afterlog.log('sum'"),
    );
    let replayed = project.afterlog(&["replay", "first", "--yes"]);
    let csv = project.afterlog(&["grid", "first", "--no-verdicts", "--format", "csv"]);
    // Whatever was filled in is right (from states before the damage or re-executed); the rest is said to be missing.
    for (line, right) in csv.stdout.lines().skip(1).zip(["0.5", "2.0", "4.5", "8.0"]) {
        let value = line.rsplit(',').next().expect("a cell");
        assert!(value.is_empty() || value == right, "{line}: {replayed:?}");
    }
    assert!(matches!(replayed.code, Some(0 | 3 | 4)), "{replayed:?}");
}
