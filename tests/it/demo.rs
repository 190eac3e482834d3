//! The demo without its interface, held to full runs of all its versions. The interface's own story is in `picture.rs`.

use serde_json::Value;

use crate::env::TestProject;

/// Columns of these names, without the run's id and the mark of how the values are known.
fn values(project: &TestProject, run: &str) -> Vec<String> {
    let csv =
        project.afterlog(&["grid", "val_acc", "grad_norm", "--runs", run, "--no-verdicts", "--format", "csv"]).ok();
    csv.lines().map(|line| line.split_once(',').expect("a run's column").1.to_owned()).collect()
}

#[test]
fn each_value_of_the_demo_is_what_a_full_run_of_that_version_with_the_statement_logs() {
    let place = TestProject::plain();
    let folder = place.path().join("demo");
    let shown = place.afterlog(&["demo", "--no-tui", "--dir", folder.to_str().expect("UTF-8")]).ok();
    assert!(shown.contains("segments on") && shown.contains(" verified."), "{shown}");
    assert_eq!(shown.lines().filter(|line| line.ends_with('✓')).count(), 40, "{shown}");

    let demo = place.inside("demo");
    let runs: Vec<Value> = serde_json::from_str(&demo.afterlog(&["runs", "--format", "json"]).ok()).expect("JSON");
    assert_eq!(runs.len(), 4);
    let full = TestProject::plain();
    full.write("today.py", demo.read("train.py"));
    for run in &runs {
        let [id, version] = ["id", "version"].map(|key| run[key].as_str().expect("text"));
        full.write("then.py", demo.run("git", &["show", &format!("{version}:train.py")]).ok());
        full.afterlog(&["propagate", "--source", "today.py", "--target", "then.py", "--out", "train.py"]).ok();
        let arguments = run["args"].as_object().expect("arguments");
        let arguments: Vec<String> = arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        full.afterlog(&[&["run", "train.py"][..], &arguments].concat()).ok();
        assert_eq!(values(&demo, id), values(&full, "last"), "run {id}");
    }
}
