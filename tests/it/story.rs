//! The interface's story, by keyboard alone in a real pseudo-terminal: from a run that went wrong over a log statement
//! written for a line of its script to the values in every version.

use std::collections::BTreeMap;

use crate::env::TestProject;
use crate::terminal::Terminal;

const SCRIPT: &str = "\
import random
import afterlog

lr = afterlog.arg('lr', 0.1)
random.seed(3)
weight = 0.0
for epoch in afterlog.loop('epoch', range(3)):
    for step in afterlog.loop('step', range(4)):
        x = random.random()
        grad = weight - x
        weight -= lr * grad
        afterlog.log('loss', grad * grad)
    val_acc = 1.0 - abs(0.5 - weight)
    afterlog.log('val_acc', val_acc)
";
const STEP: &str = "        weight -= lr * grad\n";
const GRADIENT: &str = "        grad = weight - x\n";

/// The script with some of its text replaced.
fn edited(changes: &[(&str, &str)]) -> String {
    let mut text = SCRIPT.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

/// The statement after a line, reading `variable`.
fn logged(text: &str, after: &str, variable: &str) -> String {
    assert!(text.contains(after), "{text}");
    text.replace(after, &format!("{after}        afterlog.log('size', abs({variable}))\n"))
}

/// Twelve versions, oldest first, each with what it would have been with the statement in it.
fn versions() -> Vec<(String, String)> {
    let renamed = |changes: &[(&str, &str)], after: &str, variable: &str| {
        let text = edited(changes);
        let with = logged(&text, after, variable);
        (text, with)
    };
    let changed = |after: &str, changes: &[(&str, &str)]| renamed(changes, after, "grad");
    let halved = "        grad = weight - x\n        if epoch > 0:\n            grad = 0.5 * grad\n";
    let damped = "        grad = weight - x\n        if step > 1:\n            grad = 0.9 * grad\n";
    vec![
        renamed(&[("grad", "g"), ("weight", "w")], "        w -= lr * g\n", "g"),
        renamed(&[("grad", "g")], "        weight -= lr * g\n", "g"),
        renamed(&[("grad", "g"), ("seed(3)", "seed(4)")], "        weight -= lr * g\n", "g"),
        changed(STEP, &[("seed(3)", "seed(4)")]),
        // Not beside its neighbour but before the `if`: that is uncertain. The user moves this one after the step.
        changed(STEP, &[(GRADIENT, halved)]),
        changed(GRADIENT, &[(GRADIENT, damped)]),
        changed(STEP, &[]),
        changed(STEP, &[("range(4)", "range(5)")]),
        changed(STEP, &[("'lr', 0.1", "'lr', 0.2")]),
        changed(STEP, &[("'lr', 0.1", "'lr', 1.9")]),
        changed(STEP, &[("random.random()", "random.random() + 0.01")]),
        changed(STEP, &[("'lr', 0.1", "'lr', 0.3")]),
    ]
}

/// The values of `size` in a CSV file, by run and position.
fn sizes(csv: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = |name: &str| header.iter().position(|title| *title == name).expect(name);
    let (run, epoch, step, size) = (column("run"), column("epoch"), column("step"), column("size"));
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        if !cells[size].is_empty() {
            let position = format!("{} {}", cells[epoch], cells[step]);
            found.entry(cells[run].to_owned()).or_default().push((position, cells[size].to_owned()));
        }
    }
    found
}

#[test]
fn a_value_nobody_logged_is_asked_for_and_exported_by_keyboard_alone() {
    let project = TestProject::git();
    for (text, _) in versions() {
        project.write("train.py", text);
        project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    }
    let before = project.fingerprint();
    let mut terminal = Terminal::start(&project, &[], 100, 30);
    terminal.wait_for("12 runs");
    // The run that went wrong, against the one before.
    terminal.send("/lr=1.9\r");
    terminal.send("d");
    terminal.wait_for("»0");
    // The statement, at a line of the source.
    terminal.send("/weight -= lr\r");
    terminal.send("a");
    terminal.wait_for("log statement after line 11 of train.py");
    terminal.send("size\rabs(gr");
    terminal.wait_for("unexpected EOF");
    terminal.send("\t)");
    terminal.wait_for("everything it reads has a value here");
    terminal.wait_for("afterlog.log(\"size\", abs(grad))");
    terminal.send("\r");
    // It lands in twelve versions, in two of them somebody should look.
    terminal.wait_for("size in 12 runs, 2 to look at");
    terminal.send("o");
    terminal.wait_for("grad = 0.5 * grad");
    terminal.send("m");
    terminal.wait_for("as found");
    terminal.send("J");
    terminal.wait_for("moved to line 12");
    terminal.wait_for("the branch at line 11 is not around it");
    terminal.send("u");
    terminal.wait_for("as it was found");
    terminal.send("1");
    terminal.wait_for("moved to line 14");
    terminal.send("\x1b");
    terminal.wait_for("1 to look at");
    // The plan and its cost, then the replay.
    terminal.send("\r");
    terminal.wait_for("12 of 12 runs");
    terminal.wait_for("estimate");
    terminal.send("\r");
    terminal.wait_for("segments done");
    terminal.send("3");
    terminal.wait_for("183 rows");
    terminal.wait_until("the grid is full", |screen| screen.contains(" ✓") && !screen.contains('…'));
    terminal.send("4");
    terminal.wait_for("over: ");
    terminal.send("3.");
    terminal.wait_for("crosshair");
    terminal.send("\x1b");
    // The next key would make Alt of an Esc that was not read yet.
    terminal.wait_for("[ ] sort");
    terminal.send("\x13");
    terminal.wait_for("write to (.csv");
    terminal.send("\r");
    terminal.wait_for("183 rows written to grid.csv");
    terminal.send("q");
    terminal.send("q");
    assert_eq!(terminal.wait_for_exit(), 0);

    let exported = sizes(&project.read("grid.csv"));
    std::fs::remove_file(project.path().join("grid.csv")).expect("removed");
    assert_eq!(project.fingerprint(), before, "nothing of the user's has changed");
    let full = TestProject::plain();
    for (run, (_, with)) in project.run_ids().iter().zip(versions()) {
        full.write("train.py", &with);
        full.afterlog(&["run", "train.py"]).ok();
        let csv = full.afterlog(&["grid", "size", "--runs", "last", "--no-verdicts", "--format", "csv"]).ok();
        let expected = sizes(&csv).into_values().next().expect("values");
        assert!(expected.len() >= 12);
        assert_eq!(exported[run], expected, "run {run} of\n{with}");
    }
}

/// In the older version there is no noise, and none can be made up: what is logged there the user writes.
#[test]
fn what_one_version_logs_is_written_by_hand_where_it_can_log_nothing_else_and_taken_back() {
    let project = TestProject::git();
    let noisy = "        noise = random.random()\n        grad = weight - x + 0.01 * noise\n";
    let newer = edited(&[(GRADIENT, noisy)]);
    for text in [SCRIPT, &newer] {
        project.write("train.py", text);
        project.afterlog(&["run", "train.py"]).ok();
    }
    project.write("train.py", logged(&newer, STEP, "noise"));
    let before = project.fingerprint();
    let mut terminal = Terminal::start(&project, &[], 100, 30);
    terminal.wait_for("2 runs");
    terminal.send("r");
    terminal.wait_for("[x] size");
    terminal.send("\r");
    terminal.wait_for("1 to look at");
    terminal.send("o");
    terminal.wait_for("`noise`");
    terminal.send("me");
    terminal.wait_for("what size logs in");
    // Everything before the cursor goes; the names of that version are offered.
    terminal.send("\x15abs(noise)");
    terminal.wait_for("`noise` has no value there");
    terminal.send("\x15abs(grad)\t");
    // It stands at line 13 of the newest version: a line further down than where it is wanted.
    terminal.wait_for("after line  12");
    terminal.send("\x1b[A");
    terminal.wait_for("after line  11");
    terminal.wait_for("afterlog.log(\"size\", abs(grad))");
    terminal.wait_for("everything it reads has a value here");
    terminal.send("\r");
    terminal.wait_for("as you wrote it, line 12");
    terminal.send("\x1b");
    terminal.wait_for("Enter plan");
    terminal.wait_until("nothing to look at", |screen| !screen.contains("to look at"));
    // It is shown in the diff, and taken back there.
    terminal.send("1");
    terminal.wait_for("finished");
    terminal.send("d");
    terminal.wait_for("log←size by hand older");
    terminal.send("o\r");
    terminal.wait_for("as you wrote it in");
    terminal.send("u");
    terminal.wait_for("as it was found");
    terminal.send("\x1b");
    terminal.wait_until("nothing by hand", |screen| !screen.contains("by hand"));
    terminal.send("\x03");
    assert_eq!(terminal.wait_for_exit(), 0);
    assert_eq!(project.fingerprint(), before, "no file of the user's has changed");
}
