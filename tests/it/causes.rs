//! Whether a run can be replayed at all, and what a difference may come from: each cause only with what was seen.

use serde_json::Value;

use crate::env::TestProject;

const SCRIPT: &str = "\
import random, time, os
import afterlog
random.seed(1)
total = 0.0
for epoch in afterlog.loop('epoch', range(6)):
    for step in afterlog.loop('step', range(3)):
        total += random.random()
    afterlog.log('total', total)
";

fn recorded(script: &str) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project
}

/// The kinds and sentences of the causes of the last job's segments.
fn causes(project: &TestProject) -> Vec<(String, String)> {
    let job: Value = serde_json::from_str(&project.afterlog(&["jobs", "show", "--json"]).ok()).expect("JSON");
    let segments = job["segments"].as_array().expect("segments").iter();
    let all = segments.flat_map(|segment| segment["causes"].as_array().expect("causes"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    all.map(|cause| (text(&cause["kind"]), text(&cause["sentence"]))).collect()
}

#[test]
fn a_check_of_a_sound_run_says_so_and_keeps_no_values() {
    let project = recorded(SCRIPT);
    let before = project.fingerprint();
    let grid = project.afterlog(&["grid", "total", "--verdicts", "--format", "csv"]).ok();
    let checked = project.afterlog(&["replay", "--check", "--yes"]).ok();
    assert!(checked.contains("3 of 6 pieces are executed again"), "{checked}");
    assert!(checked.contains("replayable: 3 samples of it came out as recorded."), "{checked}");
    let json = project.afterlog(&["replay", "--check", "last", "--sample", "2", "--yes", "--format", "json"]).ok();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["counts"]["verified"], &json["checks"][0]["outcome"]),
        (&2.into(), &"replayable".into()),
        "{json}"
    );
    // The last iteration is always among them.
    assert!(json["segments"].as_array().is_some_and(|all| all.iter().any(|s| s["span"][1] == 5)), "{json}");
    assert_eq!(grid, project.afterlog(&["grid", "total", "--verdicts", "--format", "csv"]).ok());
    assert_eq!(before, project.fingerprint());
    let dry = project.afterlog(&["replay", "--check", "--dry-run"]).ok();
    assert!(dry.contains("3 segments"), "{dry}");
    assert_eq!(project.afterlog(&["replay", "--check", "zzz"]).code, Some(1));
}

#[test]
fn a_run_that_cannot_be_repeated_is_found_out_by_a_check_that_names_the_call() {
    let project =
        recorded(&SCRIPT.replace("    afterlog.log('total'", "    total += time.time()\n    afterlog.log('total'"));
    let checked = project.afterlog(&["replay", "--check", "--yes"]);
    assert_eq!(checked.code, Some(4), "{checked:?}");
    assert!(checked.stdout.contains("not replayable: total at epoch="), "{checked:?}");
    assert!(checked.stdout.contains("likely: the script calls time.time (line 8)"), "{checked:?}");
    assert!(causes(&project).iter().all(|(kind, _)| kind == "unseeded"), "{:?}", causes(&project));
}

#[test]
fn a_check_of_a_script_without_a_main_loop_executes_it_whole() {
    let project = recorded("import random\nimport afterlog\nrandom.seed(1)\nafterlog.log('x', random.random())\n");
    let checked = project.afterlog(&["replay", "--check", "--yes"]).ok();
    assert!(checked.contains("replayable: 1 sample of it came out as recorded."), "{checked}");
}

#[test]
fn a_statement_that_draws_random_numbers_is_named_as_the_cause() {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    project.write("train.py", format!("{SCRIPT}    afterlog.log('noise', random.random())\n"));
    let replayed = project.afterlog(&["replay", "noise", "--yes"]);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    let said = "the added statement calls random.random (line 9) and first logged at epoch=0, before the difference";
    assert!(replayed.stderr.contains(said), "{replayed:?}");
    assert!(matches!(&causes(&project)[..], [(kind, _)] if kind == "statement"), "{:?}", causes(&project));
}

#[test]
fn a_data_file_that_was_changed_or_removed_since_is_named() {
    let project = TestProject::git();
    let script = SCRIPT.replace("random.seed(1)", "random.seed(float(open('data/seed.txt').read()))");
    project.write(".gitignore", "data/\n");
    project.write("data/seed.txt", "1");
    project.write("train.py", &script);
    std::thread::sleep(std::time::Duration::from_millis(50));
    project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    project.write("train.py", format!("{script}    afterlog.log('twice', 2 * total)\n"));
    // After the moment up to which the run's own writes are taken for its own.
    std::thread::sleep(std::time::Duration::from_millis(50));
    project.write("data/seed.txt", "2");
    assert_eq!(project.afterlog(&["replay", "twice", "--yes"]).code, Some(4));
    let found = causes(&project);
    assert!(
        matches!(&found[..], [(kind, said)] if kind == "data_file"
        && said.contains("data/seed.txt (by its hash it holds something else) was changed after the run began")),
        "{found:?}"
    );
    std::fs::remove_file(project.path().join("data/seed.txt")).expect("removed");
    assert_eq!(project.afterlog(&["replay", "twice", "--yes"]).code, Some(4));
    let found = causes(&project);
    assert!(matches!(&found[..], [(_, said)] if said.contains("there is no data/seed.txt")), "{found:?}");
}
