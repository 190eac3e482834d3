//! What a user sets for a replay instead of what its run had: a folder of data that was moved, and what is secret.

#![allow(clippy::disallowed_methods, reason = "tests move folders of data")]

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::env::TestProject;
use crate::environment::{everything_kept, holds};
use crate::truth::values;

/// Reads a file of data in each epoch; its steps may be skipped.
const SCRIPT: &str = "\
import os, pathlib
import afterlog
folder = os.environ['DATA_DIR']
items = [float(line) for line in open(os.path.join(folder, 'items.txt'))]
total = 0.0
class Data:
    def __init__(self, root):
        self.root, self.files, self.read = pathlib.Path(root), [os.path.join(root, 'scale.txt'), 7], 0
    def scale(self, file):
        self.read += 1
        return float((self.root / self.files[file]).read_text())
data = Data(folder)
for epoch in afterlog.loop('epoch', range(4)):
    for step in afterlog.loop('step', range(len(items))):
        total += items[step] * (epoch + 1) / 3
        data.read += 1
    folder = os.path.abspath(folder)
    afterlog.log('total', total * data.scale(0) + data.read)
";

/// A run of this script, with its data in a folder of HOME.
fn recorded(text: &str) -> TestProject {
    let project = TestProject::git();
    let old = project.home().join("old");
    fs::create_dir(&old).expect("made");
    fs::write(old.join("items.txt"), "0.1\n0.7\n1e-9\n").expect("written");
    fs::write(old.join("scale.txt"), "0.3").expect("written");
    project.write("train.py", text);
    let mut command = project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
    let output = command.env("DATA_DIR", &old).output().expect("starts");
    assert!(output.status.success(), "{output:?}");
    project
}

/// A run whose data have been moved to another folder. Gives that one, and what a full run with the statement logs.
fn moved(statement: &str) -> (TestProject, String, Vec<String>) {
    let probed = format!("{SCRIPT}    {statement}\n");
    let (full, project) = (recorded(&probed), recorded(SCRIPT));
    project.write("train.py", probed);
    let new = project.home().join("new");
    fs::rename(project.home().join("old"), &new).expect("moved");
    let [theirs, ours] = [&full, &project].map(|project| project.home().to_str().expect("UTF-8").to_owned());
    let full = values(&full, &["seen"]).into_iter().map(|row| row.replace(&theirs, &ours)).collect();
    (project, new.to_str().expect("UTF-8").to_owned(), full)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_moved_folder_of_data_is_found_where_the_replay_is_told_and_the_values_are_proven() {
    let (project, new, full) = moved("afterlog.log('seen', total / 7)");
    assert!(!full.is_empty());
    let failed = project.afterlog(&["replay", "seen", "--yes"]);
    assert!(failed.code != Some(0) && failed.stderr.contains("FileNotFoundError"), "{failed:?}");
    let given = format!("DATA_DIR={new}");
    for fork in ["always", "off"] {
        let options = ["replay", "seen", "--yes", "--force", "--jobs", "2", "--env", &given];
        let output = project.afterlog_command(&options).env("AFTERLOG_FORK", fork).output().expect("starts");
        let told = said(&output);
        assert!(output.status.success() && !told.contains("unverified") && !told.contains("diverged"), "{told}");
        let sentence = format!("DATA_DIR is set to {new:?} by --env, the run had ");
        assert_eq!(told.matches(&sentence).count(), 2, "in the plan and beside the segments: {told}");
        assert_eq!(values(&project, &["seen"]), full);
    }
    // What is proven is known, whatever it was computed with.
    let plan: Value =
        serde_json::from_str(&project.afterlog(&["replay", "seen", "--dry-run", "--format", "json"]).ok())
            .expect("JSON");
    assert_eq!(plan["segments"], serde_json::json!([]), "{plan}");
    let options = ["replay", "seen", "--force", "--dry-run", "--format", "json", "--env", &given];
    let plan: Value = serde_json::from_str(&project.afterlog(&options).ok()).expect("JSON");
    let told = &plan["runs"][0]["environment"]["given"][0];
    assert_eq!((told["name"].as_str(), told["value"].as_str()), (Some("DATA_DIR"), Some(new.as_str())), "{plan}");
    assert!(told["recorded"].as_str().is_some_and(|old| old.ends_with("/old")), "{plan}");
    let shown: Value = serde_json::from_str(&project.afterlog(&["jobs", "show", "--json"]).ok()).expect("JSON");
    assert_eq!(shown["segments"][0]["given"][0]["value"], new, "{shown}");
    let checked = project.afterlog(&["replay", "--check", "last", "--yes", "--env", &given]).ok();
    assert!(checked.contains("DATA_DIR is set to") && !checked.contains("unverified"), "{checked}");
}

#[test]
fn a_value_that_shows_what_was_set_is_not_taken_for_the_runs() {
    for statement in [
        "afterlog.log('seen', os.path.join(folder, 'x'))",
        "afterlog.log('seen', [folder])",
        "afterlog.log('seen', len(os.environ['DATA_DIR']))",
    ] {
        let (project, new, full) = moved(statement);
        let told = project.afterlog(&["replay", "seen", "--yes", "--env", &format!("DATA_DIR={new}")]).stderr;
        assert!(told.contains("unverified: it was refused to rely on DATA_DIR, which --env sets"), "{told}");
        // Nor known: with the run's folder back in its place they are the run's.
        fs::rename(&new, project.home().join("old")).expect("moved back");
        project.afterlog(&["replay", "seen", "--yes"]).ok();
        assert_eq!(values(&project, &["seen"]), full, "{statement}");
    }
}

#[test]
fn a_secret_that_is_set_for_a_replay_reaches_the_script_and_no_file() {
    let (project, new, _) =
        moved("afterlog.log('seen', len(os.environ.get('MY_TOKEN', '')) + len(os.environ.get('DB', '')))");
    let (token, database) = ("mZ81xw-token-of-ada", "postgres://ada:mZ81xw-of-the-database@db/runs");
    let given = [format!("DATA_DIR={new}"), format!("MY_TOKEN={token}"), format!("DB={database}")];
    let given = given.iter().flat_map(|given| ["--env", given]).collect::<Vec<_>>();
    for (fork, iterations) in [("always", "0"), ("off", "1..3")] {
        let options = [&["replay", "seen", "--yes", "--jobs", "2", "--iters", iterations][..], &given].concat();
        let output = project.afterlog_command(&options).env("AFTERLOG_FORK", fork).output().expect("starts");
        let told = said(&output);
        assert!(output.status.success() && told.contains("MY_TOKEN is set by --env (its value is not kept)"), "{told}");
        assert!(!told.contains("mZ81xw"), "{told}");
    }
    let seen = values(&project, &["seen"]);
    let length = format!(",{}", token.len() + database.len());
    assert!(seen.len() == 4 && seen.iter().all(|row| row.ends_with(&length)), "{seen:?}");
    let kept = everything_kept(&project);
    assert!(holds(&kept, &new) && holds(&kept, "MY_TOKEN") && !holds(&kept, "mZ81xw"), "names are kept, no secret is");
}
