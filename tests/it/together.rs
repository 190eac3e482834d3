//! Several processes of the program in one project at once: none is lost, none fails, and whoever looks sees them run.

use std::process::{Child, Stdio};

use crate::env::TestProject;

const SCRIPT: &str = "\
import afterlog
number = afterlog.arg('number', 0)
for epoch in afterlog.loop('epoch', range(3)):
    for step in afterlog.loop('step', range(5)):
        afterlog.log('loss', number + epoch + step / 7)
";
const RUNS: usize = 8;

fn begin(project: &TestProject, args: &[&str]) -> Child {
    let mut command = project.afterlog_command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

#[track_caller]
fn said(child: Child) -> String {
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn runs_that_begin_at_once_in_a_new_project_are_all_recorded() {
    // With a repository of the project's own, and with one that the first of them has to make.
    for project in [TestProject::git, TestProject::plain, TestProject::plain, TestProject::plain] {
        let project = project();
        project.write("train.py", SCRIPT);
        let numbers: Vec<String> = (0..RUNS).map(|number| format!("number={number}")).collect();
        let runs: Vec<Child> = numbers.iter().map(|number| begin(&project, &["run", "train.py", number])).collect();
        for run in runs {
            let said = said(run);
            assert!(said.starts_with("note: recorded run ") && said.lines().count() == 1, "{said}");
        }
        assert_eq!(project.run_ids().len(), RUNS);
        let csv = project.afterlog(&["grid", "loss", "--format", "csv"]).ok();
        assert_eq!(csv.lines().count(), 1 + RUNS * 15, "{csv}");
        let checked = project.afterlog(&["fsck"]).ok();
        assert!(checked.contains("sound"), "{checked}");
    }
}

#[test]
fn whoever_looks_while_a_database_is_made_waits_for_it() {
    let project = TestProject::plain();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "train.py"]).ok();
    for _ in 0..20 {
        for name in ["db.sqlite", "db.sqlite-wal", "db.sqlite-shm"] {
            // The last two go with the process that closes the database.
            let _ = std::fs::remove_file(project.path().join(".afterlog").join(name));
        }
        let lists: Vec<Child> = (0..RUNS).map(|_| begin(&project, &["runs", "--format", "csv"])).collect();
        for list in lists {
            let output = list.wait_with_output().expect("ends");
            let listed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && listed.contains("train.py"), "{output:?}");
        }
    }
}

#[test]
fn a_run_that_could_not_be_prepared_leaves_nothing_that_looks_damaged() {
    let project = TestProject::plain();
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", "train.py"]).ok();
    // The private repository's place is taken by something that is none.
    std::fs::rename(project.path().join(".afterlog/git"), project.path().join(".afterlog/kept")).expect("moved");
    project.write(".afterlog/git", "not a repository");
    let finished = project.afterlog(&["run", "train.py"]);
    assert!(finished.code == Some(0) && finished.stderr.contains("not recorded"), "{finished:?}");
    std::fs::remove_file(project.path().join(".afterlog/git")).expect("removed");
    std::fs::rename(project.path().join(".afterlog/kept"), project.path().join(".afterlog/git")).expect("moved");
    let folders = std::fs::read_dir(project.path().join(".afterlog/runs")).expect("runs").count();
    assert_eq!(folders, 1);
    // As one that was killed while it was being prepared leaves it.
    project.write(".afterlog/runs/0123456789/lock", "");
    let checked = project.afterlog(&["fsck"]).ok();
    assert!(checked.contains("sound"), "{checked}");
    assert_eq!(project.run_ids().len(), 1);
}
