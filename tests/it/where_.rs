//! `--where` leaves rows out of a grid, and runs and iterations out of a replay, before anything runs.

use crate::env::{Finished, TestProject};

/// Three runs whose arguments, epochs and values are known; the last one has no epochs.
fn recorded() -> TestProject {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    for (name, args) in
        [("slow", ["lr=0.001", "epochs=4"]), ("fast", ["lr=0.1", "epochs=4"]), ("none", ["lr=0.1", "epochs=0"])]
    {
        let command = ["run", "--checkpoints", "all", "--name", name, "train.py"];
        project.afterlog(&[&command[..], &args].concat()).ok();
    }
    project
}

/// `val_acc` is 0, 0.25, 0.5, 0.75 over the epochs, `loss` ten times the epoch and a step; `final` the rate after all.
const SCRIPT: &str = r#"
import afterlog

lr = afterlog.arg("lr", 0.01)
epochs = afterlog.arg("epochs", 4)
tag = "a b"
total = 0
for epoch in afterlog.loop("epoch", range(epochs)):
    for step in afterlog.loop("step", range(2)):
        total += 1
        afterlog.log("loss", float(10 * epoch + step))
    afterlog.log("val_acc", epoch / 4)
    if epoch == 1:
        afterlog.log("tag/kind", tag)
    afterlog.log("lr", lr / (epoch + 1))
afterlog.log("final", lr)
"#;

impl Where<'_> {
    /// The rows of a grid that fulfil a condition, without runs' ids.
    #[track_caller]
    fn grid(&self, names: &[&str], condition: &str) -> Vec<String> {
        let csv = self
            .0
            .afterlog(&[&["grid"], names, &["--format", "csv", "--no-verdicts", "--where", condition]].concat())
            .ok();
        csv.lines().skip(1).map(|line| line.split_once(',').expect("a run's id").1.to_owned()).collect()
    }

    /// By run, the iterations that a replay would compute and what else is said of it; then the runs left out and why.
    #[track_caller]
    fn plan(&self, args: &[&str]) -> (Vec<Planned>, Vec<(usize, String)>) {
        let ids = self.0.run_ids();
        let number =
            |id: &serde_json::Value| ids.iter().position(|known| known == id.as_str().expect("an id")).expect("a run");
        let command = [&["replay", "total", "--dry-run", "--format", "json"], args].concat();
        let plan: serde_json::Value = serde_json::from_str(&self.0.afterlog(&command).ok()).expect("JSON");
        let list = |list: &serde_json::Value| {
            list.as_array()
                .expect("a list")
                .iter()
                .map(|one| one.as_str().map_or(one.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let runs = plan["runs"].as_array().expect("runs").iter();
        let left_out = plan["left_out"].as_array().expect("runs").iter();
        (
            runs.map(|run| (number(&run["run"]), list(&run["wanted"]), list(&run["notes"]))).collect(),
            left_out.map(|run| (number(&run["run"]), run["why"].as_str().expect("text").to_owned())).collect(),
        )
    }
}

struct Where<'a>(&'a TestProject);

/// A run, its iterations and its notes.
type Planned = (usize, String, String);

fn rows(rows: &[&str]) -> Vec<String> {
    rows.iter().map(|row| (*row).to_owned()).collect()
}

#[test]
fn a_grid_has_the_rows_that_fulfil_a_condition() {
    let project = recorded();
    let it = Where(&project);
    assert_eq!(it.grid(&["val_acc"], "val_acc > 0.3 and arg.lr < 0.01"), rows(&["2,0.5", "3,0.75"]));
    // A column that is not shown: the accuracy of the epoch around a step, an argument, the rate logged after all.
    assert_eq!(it.grid(&["loss"], "val_acc = 0.75 and arg.lr > 1e-3 and step = 1"), rows(&["3,1,31.0"]));
    assert_eq!(
        it.grid(&["loss"], "final = 0.1 and epoch in (0, 3) and loss not in (0, 1)"),
        rows(&["3,0,30.0", "3,1,31.0"])
    );
    assert_eq!(it.grid(&["val_acc"], "log.lr < 0.001 and val_acc < 0.5"), rows(&["1,0.25"]));
    assert_eq!(it.grid(&["val_acc"], "tag/kind like 'a%' and name = 'fast'"), rows(&["1,0.25"]));
    assert_eq!(
        it.grid(&["val_acc"], "name = 'slow' and `tag/kind` is null and not epoch = 0"),
        rows(&["2,0.5", "3,0.75"])
    );
    assert_eq!(it.grid(&["val_acc"], "0 < val_acc <= 0.25 and status = 'finished'"), rows(&["1,0.25", "1,0.25"]));
    let first = &project.run_ids()[0];
    assert_eq!(it.grid(&["final"], &format!("run = '{first}'")), rows(&["0.001"]));
    // Header and all other columns are those of the grid without it.
    let all = project.afterlog(&["grid", "val_acc", "--format", "csv"]).ok();
    let some = project.afterlog(&["grid", "val_acc", "--format", "csv", "--where", "loss >= 0 or epoch >= 0"]).ok();
    assert_eq!(some, all);
    let none = project.afterlog(&["grid", "val_acc", "--where", "loss > 5"]);
    assert!(none.code == Some(0) && none.stderr.contains("no row fulfils the condition"), "{none:?}");
    let clash = project.afterlog(&["grid", "val_acc", "--where", "val_acc = 'high'"]);
    assert!(clash.stderr.contains("'val_acc' is a number where --where takes it for a text"), "{clash:?}");
}

#[test]
fn a_condition_that_means_nothing_is_a_usage_error_that_shows_the_place() {
    let project = recorded();
    for (condition, what, mark, hint) in [
        ("val_acc < 0.8 an x", "wrong at column 15: after a condition stands and, or, or nothing", 16, ""),
        (
            "epoch > 1 and val_ac < 1",
            "wrong at column 15: there is no loop, logged value or argument 'val_ac'",
            16,
            "did you mean val_acc?",
        ),
        ("status = finished", "argument 'finished'", 11, "a text stands in quotes: 'finished'"),
        ("lr > 1e-3", "wrong at column 1: 'lr' is a logged value and an argument", 2, "write log.lr or arg.lr"),
        ("lr = null", "write", 7, "write is null or is not null"),
    ] {
        for command in [&["grid", "val_acc"][..], &["replay", "val_acc", "--yes"]] {
            let Finished { code, stderr, .. } = project.afterlog(&[command, &["--where", condition]].concat());
            assert_eq!(code, Some(2), "{condition}: {stderr}");
            assert!(stderr.contains(what) && stderr.contains(hint), "{condition}: {stderr}");
            let shown = format!("\n  {condition}\n{}^\n", " ".repeat(mark));
            assert!(stderr.contains(&shown), "{condition}: {stderr}");
        }
    }
}

#[test]
fn a_replay_computes_only_the_iterations_and_runs_that_fulfil_a_condition() {
    let project = recorded();
    let log = "    afterlog.log(\"val_acc\", epoch / 4)\n";
    project.write("train.py", SCRIPT.replace(log, &format!("{log}    afterlog.log(\"total\", total)\n")));
    let it = Where(&project);

    let (runs, left_out) = it.plan(&["--where", "val_acc < 0.6 and arg.lr > 1e-3 and epoch >= 1"]);
    let notes = "left out by --where: epoch 0: epoch >= 1 does not hold; epoch 3: val_acc < 0.6 does not hold";
    assert_eq!(runs, [(1, "1 2".into(), notes.into())]);
    assert_eq!(left_out[0], (0, "arg.lr > 0.001 does not hold (lr is 0.001)".into()));
    assert_eq!(left_out[1].0, 2);
    assert!(left_out[1].1.contains("val_acc < 0.6 is neither true nor false"), "{left_out:?}");
    assert!(left_out[1].1.contains("'val_acc' was neither logged nor replayed in this run"), "{left_out:?}");

    // Values within the iteration and around it; chosen runs and iterations on top.
    let wanted = |args: &[&str]| -> Vec<(usize, String)> {
        it.plan(args).0.into_iter().map(|(run, wanted, _)| (run, wanted)).collect()
    };
    assert_eq!(wanted(&["--where", "loss in (11, 30) and final < 0.01"]), [(0, "1 3".into())]);
    assert_eq!(wanted(&["--where", "loss < 25", "--iters", "epoch=2..3", "--runs", "fast"]), [(1, "2".into())]);
    assert_eq!(wanted(&["--where", "tag/kind is null", "--runs", "slow"]), [(0, "0 2 3".into())]);
    assert_eq!(wanted(&["--where", "name like 's%'"]), [(0, "0 1 2 3".into())]);
    let nothing = project.afterlog(&["replay", "total", "--yes", "--where", "loss < 5", "--iters", "epoch=3"]);
    assert!(nothing.code == Some(0) && nothing.stdout.contains("--where leaves nothing"), "{nothing:?}");

    // Not computed yet: null, and that is said.
    let (runs, left_out) = it.plan(&["--where", "total > 2"]);
    assert!(runs.is_empty() && left_out.iter().all(|(_, why)| why.contains("'total' was neither logged nor replayed")));
    let (_, left_out) = it.plan(&["--where", "total > 2", "--runs", "fast"]);
    assert_eq!(left_out.len(), 1, "{left_out:?}");

    let before = project.fingerprint();
    project.afterlog(&["replay", "total", "--yes", "--where", "val_acc < 0.6 and arg.lr > 1e-3 and epoch >= 1"]).ok();
    assert_eq!(before, project.fingerprint());
    let values = project.afterlog(&["grid", "total", "--format", "csv", "--no-verdicts"]).ok();
    let values: Vec<&str> =
        values.lines().skip(1).filter_map(|line| line.split_once(',').map(|(_, rest)| rest)).collect();
    assert_eq!(values, ["1,4", "2,6"]);
    // Now they are values like others.
    assert_eq!(wanted(&["--where", "total > 4"]), [(1, "2".into())]);
    assert_eq!(it.grid(&["val_acc"], "total > 4"), rows(&["2,0.5"]));
}

#[test]
fn what_lies_outside_the_main_loop_is_replayed_where_a_condition_on_the_run_holds() {
    let project = recorded();
    project.write("train.py", format!("{SCRIPT}afterlog.log(\"total\", total)\n"));
    let it = Where(&project);
    let (runs, left_out) = it.plan(&["--where", "arg.lr > 1e-3"]);
    assert_eq!(runs.iter().map(|(run, ..)| *run).collect::<Vec<_>>(), [1, 2], "{runs:?}");
    assert_eq!(left_out, [(0, "arg.lr > 0.001 does not hold (lr is 0.001)".into())]);
    let (runs, _) = it.plan(&["--where", "epoch >= 1", "--runs", "fast"]);
    assert!(runs[0].2.contains("left out by --where: what is logged outside the main loop"), "{runs:?}");
    project.afterlog(&["replay", "total", "--yes", "--where", "arg.lr > 1e-3 and final = 0.1"]).ok();
    assert_eq!(it.grid(&["total"], "name = 'fast'"), rows(&["8"]));
    assert_eq!(it.grid(&["total"], "name = 'none'"), rows(&["0"]));
    assert_eq!(it.grid(&["total"], "name = 'slow'"), rows(&[]));
}
