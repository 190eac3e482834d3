//! The deferred check on real replays: whatever a replay does otherwise than its run is noticed, logged or not.

use crate::env::{Finished, TestProject};

/// Records the script beside a file `mode` that says `first`, changes that to `second`, replays a statement at the end
/// of the loop `epoch`, and gives the project and what the replay said.
fn replay_elsewhere(script: &str, statement: &str, first: &str, second: &str, run: &[&str]) -> (TestProject, Finished) {
    let project = TestProject::git();
    project.write(".gitignore", "mode\n");
    project.write("mode", first);
    project.write("train.py", script);
    project.commit("start");
    project.afterlog(&[&["run"][..], run, &["train.py"]].concat()).ok();
    if second != first {
        project.write("mode", second);
    }
    let marker = "    # here\n";
    assert!(script.contains(marker));
    project.write("train.py", script.replace(marker, &format!("    {statement}\n")));
    let finished = project.afterlog(&["replay", "twice", "--yes", "--jobs", "1"]);
    (project, finished)
}

const ALL: [&str; 2] = ["--checkpoints", "all"];
const TWICE: &str = "afterlog.log('twice', 2 * epoch)";

fn verdicts(project: &TestProject) -> Vec<String> {
    let csv = project.afterlog(&["grid", "twice", "--verdicts", "--format", "csv"]).ok();
    csv.lines().skip(1).map(|line| line.rsplit_once(',').expect("a verdict").1.to_owned()).collect()
}

#[track_caller]
fn diverges(script: &str, named: &str) {
    let (project, replayed) = replay_elsewhere(script, TWICE, "full", "short", &ALL);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    assert!(replayed.stderr.contains(&format!("diverged: {named}")), "{replayed:?}");
    let verdicts = verdicts(&project);
    assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| verdict == "diverged"), "{verdicts:?}");
    // The control: where nothing changed, nothing is found.
    let (project, replayed) = replay_elsewhere(script, TWICE, "full", "full", &ALL);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stderr.contains("verified"), "{replayed:?}");
    assert!(self::verdicts(&project).iter().all(|verdict| verdict == "verified"));
}

#[test]
fn a_value_that_the_replay_does_not_log_diverges() {
    let script = r#"
import afterlog
full = open("mode").read() == "full"
for epoch in afterlog.loop("epoch", range(3)):
    for step in afterlog.loop("step", range(2)):
        pass
    afterlog.log("loss", 1.0 / (1 + epoch))
    if full:
        afterlog.log("accuracy", 0.5)
    # here
"#;
    diverges(script, "accuracy at epoch=0");
}

#[test]
fn a_loop_of_another_length_diverges_though_it_logs_nothing() {
    let script = r#"
import afterlog
for epoch in afterlog.loop("epoch", range(3)):
    afterlog.log("loss", 1.0 / (1 + epoch))
    # here
    for batch in afterlog.loop("batch", range(len(open("mode").read()))):
        afterlog.arg("unused", 1)
"#;
    let project = replay_elsewhere(script, TWICE, "full", "short", &["--checkpoints", "off"]);
    assert_eq!(project.1.code, Some(4), "{project:?}", project = project.1);
    assert!(project.1.stderr.contains("the course of loop batch"), "{:?}", project.1);
}

#[test]
fn leaving_the_main_loop_early_diverges() {
    let script = r#"
import afterlog
for epoch in afterlog.loop("epoch", range(4)):
    for step in afterlog.loop("step", range(2)):
        pass
    afterlog.log("loss", 1.0 / (1 + epoch))
    # here
    if epoch == 1 and open("mode").read() != "full":
        break
"#;
    diverges(script, "the course of loop epoch at epoch=1");
}

#[test]
fn a_main_loop_that_is_not_reached_diverges() {
    let script = r#"
import sys
import afterlog
afterlog.log("start", 1)
if open("mode").read() != "full":
    sys.exit(0)
for epoch in afterlog.loop("epoch", range(3)):
    afterlog.log("loss", 1.0 / (1 + epoch))
    # here
"#;
    let (project, replayed) = replay_elsewhere(script, TWICE, "full", "short", &ALL);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    assert!(replayed.stderr.contains("diverged: the course of loop epoch"), "{replayed:?}");
    assert_eq!(project.afterlog(&["replay", "twice", "--yes"]).code, Some(4), "what diverged is not taken for done");
}

#[test]
fn what_a_crashed_replay_logged_is_kept_but_not_called_verified() {
    let script = r#"
import afterlog
for epoch in afterlog.loop("epoch", range(4)):
    afterlog.log("loss", 1.0 / (1 + epoch))
    # here
    if epoch == 2 and open("mode").read() != "full":
        raise ValueError("not this time")
"#;
    let (project, replayed) = replay_elsewhere(script, TWICE, "full", "short", &["--checkpoints", "off"]);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    let verdicts = verdicts(&project);
    assert!(verdicts.iter().filter(|verdict| *verdict == "unverified").count() >= 2, "{verdicts:?}");
    assert!(!verdicts.iter().any(|verdict| verdict == "verified"), "{verdicts:?}");
}

#[test]
fn a_run_that_was_killed_is_compared_as_far_as_it_got() {
    let script = r#"
import os, signal, time
import afterlog
for epoch in afterlog.loop("epoch", range(4)):
    for step in afterlog.loop("step", range(2)):
        afterlog.log("loss", epoch + step / 10)
        if epoch == 2 and step == 1 and open("mode").read() == "full":
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
    afterlog.log("sum", 7 * epoch)
    # here
"#;
    let project = TestProject::git();
    project.write(".gitignore", "mode\n");
    project.write("mode", "full");
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]);
    project.write("mode", "short");
    project.write("train.py", script.replace("    # here\n", &format!("    {TWICE}\n")));
    let replayed = project.afterlog(&["replay", "twice", "--yes", "--jobs", "1"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert_eq!(verdicts(&project)[..2], ["verified", "verified"]);
}

#[test]
fn equal_values_before_the_loop_prove_nothing_about_restored_states() {
    let script = r#"
import afterlog
afterlog.log("classes", 10)
total = 0
for epoch in afterlog.loop("epoch", range(3)):
    total += epoch
    # here
"#;
    let (project, replayed) = replay_elsewhere(script, TWICE, "full", "full", &ALL);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(verdicts(&project).iter().all(|verdict| verdict == "unverified"), "{replayed:?}");
}

#[test]
fn a_hindsight_statement_may_share_a_name_with_the_runs_own() {
    let script = r#"
import afterlog
for epoch in afterlog.loop("epoch", range(3)):
    for step in afterlog.loop("step", range(2)):
        afterlog.log("twice", 2 * epoch + step)
    afterlog.log("loss", 1.0)
    # here
"#;
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    project.write("train.py", script.replace("    # here\n", &format!("    {TWICE}\n")));
    let replayed = project.afterlog(&["replay", "twice", "--yes", "--jobs", "1"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(!replayed.stderr.contains("diverged"), "{replayed:?}");
}

#[test]
fn a_loop_added_in_hindsight_is_not_taken_for_the_runs_own_of_the_same_name() {
    let script = r#"
import afterlog
total = 0
for epoch in afterlog.loop("epoch", range(4)):
    # here
    for step in afterlog.loop("step", range(3)):
        total += step + epoch
    afterlog.log("total", total)
"#;
    let added = "for step in afterlog.loop('step', range(2)):\n        afterlog.log('twice', 100 * total + step)";
    let (project, replayed) = replay_elsewhere(script, added, "full", "full", &ALL);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stdout.contains("4 blocks skipped"), "the run's own loop need not run: {replayed:?}");
    assert!(verdicts(&project).iter().all(|verdict| verdict == "verified"), "{replayed:?}");
    let grid = project.afterlog(&["grid", "twice", "--no-verdicts", "--format", "csv"]).ok();
    let values: Vec<&str> = grid.lines().skip(1).map(|line| line.rsplit_once(',').expect("a value").1).collect();
    assert_eq!(values, ["0", "1", "300", "301", "900", "901", "1800", "1801"]);
}

#[test]
fn generators_that_nobody_draws_from_vouch_for_nothing() {
    let script = r#"
import afterlog
total = 0
for epoch in afterlog.loop("epoch", range(3)):
    for step in afterlog.loop("step", range(3)):
        total += len(open("mode").read())
        # probe
    # here
"#;
    let project = TestProject::git();
    project.write("mode", "full");
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", script.replace("# probe", "afterlog.log('twice', total)"));
    let replayed = project.afterlog(&["replay", "twice", "--yes"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(verdicts(&project).iter().all(|verdict| verdict == "unverified"), "{replayed:?}");
}

#[test]
fn iterations_after_the_last_that_could_be_compared_are_unverified() {
    let script = r#"
import afterlog
total = 0.0
for epoch in afterlog.loop("epoch", range(6)):
    for step in afterlog.loop("step", range(4)):
        total += 0.1 * step
    if epoch % 3 == 1:
        afterlog.log("total", total)
    # here
"#;
    let (project, replayed) = replay_elsewhere(script, TWICE, "full", "full", &["--checkpoints", "off"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stderr.contains("nothing to compare from iteration 5 on"), "{replayed:?}");
    let expected: Vec<&str> = (0..6).map(|epoch| if epoch < 5 { "verified" } else { "unverified" }).collect();
    assert_eq!(verdicts(&project), expected);
    // With every block skipped, what comes out right later says nothing of the iterations before.
    let (project, replayed) = replay_elsewhere(script, TWICE, "full", "full", &ALL);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let expected: Vec<&str> = (0..6).map(|epoch| if epoch % 3 == 1 { "verified" } else { "unverified" }).collect();
    assert_eq!(verdicts(&project), expected);
}

#[test]
fn a_run_that_failed_by_itself_is_replayed_to_the_same_failure_and_verified() {
    let script = r#"
import afterlog
for epoch in afterlog.loop("epoch", range(5)):
    for step in afterlog.loop("step", range(6)):
        if epoch == 3 and step == 2:
            raise ValueError("boom")
        # here
    afterlog.log("loss", 1.0 / (1 + epoch))
"#;
    let project = TestProject::git();
    project.write("train.py", script);
    project.commit("start");
    assert_eq!(project.afterlog(&["run", "--checkpoints", "all", "train.py"]).code, Some(1));
    project.write("train.py", script.replace("# here", "afterlog.log('twice', 2 * step)"));
    let replayed = project.afterlog(&["replay", "twice", "--yes", "--jobs", "1"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let grid = project.afterlog(&["grid", "twice", "--verdicts", "--format", "csv"]).ok();
    let last: Vec<&str> = grid.lines().skip(1).map(|line| line.split_once(',').expect("a run").1).skip(17).collect();
    // Of the last iteration nothing could be compared.
    assert_eq!(last, ["2,5,10,verified", "3,0,0,unverified", "3,1,2,unverified"]);
    // A failure that comes earlier is none of the run's.
    project.write("train.py", script.replace("# here", "afterlog.log('other', 1 // (1 - epoch))"));
    let replayed = project.afterlog(&["replay", "other", "--yes", "--jobs", "1"]);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
}

#[test]
fn an_iteration_that_was_interrupted_is_not_replayed_as_if_the_run_had_finished_it() {
    let script = r#"
import os, signal
import afterlog
# Where tests run in the background of a shell, it is ignored from the start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for epoch in afterlog.loop("epoch", range(4)):
    for step in afterlog.loop("step", range(6)):
        if epoch == 2 and step == 3 and not os.path.exists("again"):
            os.kill(os.getpid(), signal.SIGINT)
    afterlog.log("loss", 1.0 / (1 + epoch))
    # here
"#;
    let project = TestProject::git();
    project.write("train.py", script);
    project.commit("start");
    assert_eq!(project.afterlog(&["run", "--checkpoints", "all", "train.py"]).code, Some(130));
    project.write("again", "");
    project.write("train.py", script.replace("# here", TWICE));
    project.afterlog(&["replay", "twice", "--yes"]).ok();
    assert_eq!(verdicts(&project), ["verified", "verified"]);
}

#[test]
fn a_run_that_gave_a_failing_exit_code_is_replayed_whole() {
    for code in [1, -1] {
        let script = format!(
            "import sys, afterlog\nfor epoch in afterlog.loop('epoch', range(4)):\n    afterlog.log('loss', 1.0 / (1 + epoch))\n    # here\n    if epoch == 2:\n        break\nsys.exit({code})\n"
        );
        let project = TestProject::git();
        project.write("train.py", &script);
        project.commit("start");
        assert_eq!(project.afterlog(&["run", "train.py"]).code, Some(code & 255));
        project.write("train.py", script.replace("# here", TWICE));
        project.afterlog(&["replay", "twice", "--yes"]).ok();
        assert_eq!(verdicts(&project), ["verified", "verified", "verified"]);
    }
}
