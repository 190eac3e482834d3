//! `afterlog doctor` says what this machine allows, and fails only where something needed is missing.

use crate::env::TestProject;

fn findings(text: &str) -> Vec<(String, String)> {
    let found: Vec<serde_json::Value> = serde_json::from_str(text).expect("a JSON list");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    found.iter().map(|finding| (text(&finding["what"]), text(&finding["level"]))).collect()
}

#[test]
fn everything_is_looked_at_and_the_project_left_alone() {
    let project = TestProject::git();
    let before = project.fingerprint();
    let found = findings(&project.afterlog(&["doctor", "--format", "json"]).ok());
    for what in ["isolation", "shared memory", "python", "git", "disk", "memory", "cores", "GPUs", "terminal"] {
        assert!(found.iter().any(|(known, _)| known == what), "{what}: {found:?}");
    }
    assert_eq!(before, project.fingerprint());
    assert!(!project.path().join(".afterlog").exists(), "looking makes no store");
    let lines = project.afterlog(&["doctor"]).ok();
    assert_eq!(lines.lines().count(), found.len(), "{lines}");
    for (line, (what, level)) in lines.lines().zip(&found) {
        assert!(line.contains(what) && line.contains(level), "{line}");
    }
}

#[test]
fn where_python_is_missing_it_fails_and_says_what_to_do() {
    let project = TestProject::git();
    let output = project.afterlog_command(&["doctor"]).env("PATH", "/nonexistent").output().expect("starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("fail  python") && said.contains("put python3 on PATH"), "{said}");
}

#[test]
fn another_isolation_is_a_warning_that_says_what_follows() {
    let project = TestProject::git();
    let output = project.afterlog_command(&["doctor"]).env("AFTERLOG_ISOLATION", "scratch").output().expect("starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warn  isolation") && said.contains("scratch copy at another path"), "{said}");
}
