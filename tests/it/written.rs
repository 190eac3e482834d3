//! Log statements that are written beside a script: `afterlog probe add NAME --at FILE:LINE --expr EXPR`.

use crate::env::{Finished, TestProject};

const SCRIPT: &str = "\
import afterlog
w = 0.0
for epoch in afterlog.loop('epoch', range(2)):
    for step in afterlog.loop('step', range(3)):
        w += 0.1 * step
    afterlog.log('w', w)
";

fn recorded() -> TestProject {
    let project = TestProject::git();
    for text in [SCRIPT.replace("w ", "weight ").replace(", w)", ", weight)"), SCRIPT.to_owned()] {
        project.write("train.py", text);
        project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    }
    project
}

fn add(project: &TestProject, arguments: &[&str]) -> Finished {
    project.afterlog(&[&["probe", "add"], arguments].concat())
}

#[track_caller]
fn fails(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    words.iter().for_each(|word| assert!(finished.stderr.contains(word), "{word}: {finished:?}"));
}

/// The replayed values of a name in all runs, without the runs' ids.
fn values(project: &TestProject, name: &str) -> Vec<String> {
    let csv = project.afterlog(&["grid", name, "--no-verdicts", "--format", "csv"]).ok();
    csv.lines().skip(1).map(|line| line.split_once(',').expect("a run").1.to_owned()).collect()
}

#[test]
fn a_statement_that_no_file_gets_is_replayed_in_every_version() {
    let project = recorded();
    let before = project.fingerprint();
    let added = add(&project, &["twice", "--at", "train.py:5", "--expr", "2 * w"]).ok();
    assert_eq!(added, "twice  train.py:6  afterlog.log(\"twice\", 2 * w)\n");
    project.afterlog(&["replay", "twice", "--yes"]).ok();
    let expected = ["0,0,0.0", "0,1,0.2", "0,2,0.6", "1,0,0.6", "1,1,0.8", "1,2,1.2"];
    let found = values(&project, "twice");
    assert_eq!(found.len(), 12, "{found:?}");
    for (found, expected) in found.iter().zip(expected.iter().chain(&expected)) {
        let (place, value) = expected.rsplit_once(',').expect("a value");
        let number: f64 = found.rsplit_once(',').expect("a value").1.parse().expect("a number");
        assert!(found.starts_with(place), "{found}");
        assert!((number - value.parse::<f64>().expect("a number")).abs() < 1e-9, "{found}");
    }
    assert_eq!(project.fingerprint(), before, "no file of the user's has changed");
}

#[test]
fn values_of_a_statement_that_was_replaced_are_not_shown_for_the_new_one() {
    let project = recorded();
    add(&project, &["x", "--at", "train.py:5", "--expr", "step + 10"]).ok();
    project.afterlog(&["replay", "x", "--runs", "last", "--yes"]).ok();
    assert!(values(&project, "x").iter().any(|row| row.ends_with(",12")));
    fails(&add(&project, &["x", "--at", "train.py:5", "--expr", "step + 20"]), &["there is a probe 'x'", "--replace"]);
    add(&project, &["x", "--at", "train.py:5", "--expr", "step + 20", "--replace"]).ok();
    assert!(!values(&project, "x").iter().any(|row| row.ends_with(",12")), "{:?}", values(&project, "x"));
    project.afterlog(&["replay", "x", "--runs", "last", "--yes"]).ok();
    assert!(values(&project, "x").iter().any(|row| row.ends_with(",22")));
}

#[test]
fn what_cannot_be_logged_at_a_place_is_refused_with_the_reason() {
    let project = recorded();
    let at = |place: &str, expr: &str| add(&project, &["n", "--at", place, "--expr", expr]);
    fails(&at("train.py:5", "w + ws"), &["`ws` has no value there", "character 5"]);
    fails(&at("train.py:2", "epoch"), &["`epoch` has no value there"]);
    fails(&at("train.py:5", "w +"), &["character 4"]);
    fails(&at("train.py:50", "w"), &["there is no line 50"]);
    fails(&add(&project, &["w", "--at", "train.py:5", "--expr", "w"]), &["logs 'w'", "choose another name"]);
    let before = add(&project, &["n", "--at", "train.py:5", "--before", "--expr", "w, step"]).ok();
    assert_eq!(before, "n  train.py:5  afterlog.log(\"n\", (w, step))\n");
    let first = &project.run_ids()[0];
    let older = add(&project, &["old", "--at", "train.py:5", "--expr", "weight", "--run", first]).ok();
    assert!(older.contains("afterlog.log(\"old\", weight)"), "{older}");
    let list = project.afterlog(&["probe", "list", "--format", "csv"]).ok();
    assert_eq!(list.lines().count(), 3, "{list}");
}
