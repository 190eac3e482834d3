//! What a user sets for a replay instead of what its run had: a folder of data that was moved, and what is secret.

#![allow(clippy::disallowed_methods, reason = "tests move folders of data")]

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::env::{Finished, TestProject};
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

fn said_of(finished: &Finished) -> String {
    format!("{}{}", finished.stderr, finished.stdout)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_moved_folder_of_data_is_found_where_the_replay_is_told_and_the_values_are_marked() {
    let (project, new, full) = moved("afterlog.log('seen', total / 7)");
    assert!(!full.is_empty());
    let failed = project.afterlog(&["replay", "seen", "--yes"]);
    assert!(failed.code != Some(0) && failed.stderr.contains("FileNotFoundError"), "{failed:?}");
    let given = format!("DATA_DIR={new}");
    for fork in ["always", "off"] {
        let options = ["replay", "seen", "--yes", "--force", "--jobs", "2", "--env", &given];
        let output = project.afterlog_command(&options).env("AFTERLOG_FORK", fork).output().expect("starts");
        let told = said(&output);
        assert!(output.status.success() && !told.contains("diverged"), "{told}");
        assert!(told.contains("unverified: it was refused to rely on DATA_DIR, which --env sets"), "{told}");
        let sentence = format!("DATA_DIR is set to {new:?} by --env, the run had ");
        assert_eq!(told.matches(&sentence).count(), 2, "in the plan and beside the segments: {told}");
        assert_eq!(values(&project, &["seen"]), full);
    }
    let options = ["replay", "seen", "--force", "--dry-run", "--format", "json", "--env", &given];
    let plan: Value = serde_json::from_str(&project.afterlog(&options).ok()).expect("JSON");
    let told = &plan["runs"][0]["environment"]["given"][0];
    assert_eq!((told["name"].as_str(), told["value"].as_str()), (Some("DATA_DIR"), Some(new.as_str())), "{plan}");
    assert!(told["recorded"].as_str().is_some_and(|old| old.ends_with("/old")), "{plan}");
    let shown: Value = serde_json::from_str(&project.afterlog(&["jobs", "show", "--json"]).ok()).expect("JSON");
    assert_eq!(shown["segments"][0]["given"][0]["value"], new, "{shown}");
    let checked = project.afterlog(&["replay", "--check", "last", "--yes", "--env", &given]);
    assert!(said_of(&checked).contains("DATA_DIR is set to"), "{checked:?}");
}

#[test]
fn what_follows_from_a_variable_that_is_set_is_neither_proven_nor_known() {
    for statement in [
        "afterlog.log('seen', os.path.join(folder, 'x'))",
        "afterlog.log('seen', os.path.basename(folder))",
        "afterlog.log('seen', len(folder))",
        "afterlog.log('seen', total / 7)",
    ] {
        let (project, new, full) = moved(statement);
        let told = project.afterlog(&["replay", "seen", "--yes", "--env", &format!("DATA_DIR={new}")]).stderr;
        assert!(told.contains("unverified: it was refused to rely on DATA_DIR, which --env sets"), "{told}");
        // With the run's folder back in its place the values are the run's.
        fs::rename(&new, project.home().join("old")).expect("moved back");
        let told = project.afterlog(&["replay", "seen", "--yes"]).stderr;
        assert!(told.contains(" verified") && !told.contains("unverified"), "{told}");
        assert_eq!(values(&project, &["seen"]), full, "{statement}");
    }
}

#[test]
fn data_of_another_folder_that_is_older_than_the_run_are_not_taken_for_the_runs() {
    let (project, new, _) = moved("afterlog.log('seen', epoch + data.scale(0))");
    let other = project.home().join("other");
    fs::create_dir(&other).expect("made");
    fs::copy(std::path::Path::new(&new).join("items.txt"), other.join("items.txt")).expect("copied");
    fs::write(other.join("scale.txt"), "0.9").expect("written");
    let told = project.afterlog(&["replay", "seen", "--yes", "--env", &format!("DATA_DIR={}", other.display())]);
    let differs = "other/scale.txt (by its hash it holds something else)";
    assert!(!told.stderr.contains(" verified") && told.stderr.contains(differs), "{told:?}");
}

#[test]
fn a_secret_is_not_taken_and_shown_nowhere() {
    let (project, _, _) = moved("afterlog.log('seen', len(os.environ.get('MY_TOKEN', '')))");
    for secret in ["MY_TOKEN=mZ81xw-token-of-ada", "DB=postgres://ada:mZ81xw-of-the-database@db/runs"] {
        let refused = project.afterlog(&["replay", "seen", "--yes", "--env", secret]);
        assert!(refused.code == Some(1) && refused.stderr.contains("set it in the shell"), "{refused:?}");
        assert!(!said_of(&refused).contains("mZ81xw"), "{refused:?}");
    }
    assert!(!holds(&everything_kept(&project), "mZ81xw"), "no secret is kept");
}
