//! What recording costs: whole runs against plain ones, and a single log call.

use crate::env::TestProject;
use crate::{Row, measure};

const PAIRS: usize = 5;

/// An MLP trained with Adam for about ten seconds, logging each step, checkpointing adaptively.
pub(crate) fn record_against_plain_run() -> Vec<Row> {
    let project = TestProject::git().with_torch();
    project.write("train.py", include_str!("../fixtures/scripts/torch_mlp.py"));
    project.commit("start");
    // Without the recorder the API's calls work and record nothing.
    let runtime = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/runtime");
    let arguments = ["epochs=12", "steps=150", "width=512"];
    let (recorded, plain, ratio) = measure::in_turn(
        PAIRS,
        || {
            project.afterlog(&[&["run", "train.py"][..], &arguments].concat()).ok();
        },
        || {
            let mut plain = project.command(crate::env::torch_python());
            plain.env("PYTHONPATH", runtime).arg("train.py").args(arguments);
            assert!(plain.output().expect("python starts").status.success());
        },
    );
    vec![Row {
        what: format!("record ÷ plain run, torch MLP with Adam ({recorded:.1?} ÷ {plain:.1?}, {PAIRS} pairs)"),
        figure: format!("{ratio:.3}"),
        target: "≤ 1.05",
        met: ratio <= 1.05,
    }]
}

/// The worst case of a script that names no loops: nothing in them takes long. No iteration of theirs is kept, so that
/// they run as fast as ever.
pub(crate) fn hands_free_against_plain_run() -> Vec<Row> {
    let project = TestProject::git();
    project.write("train.py", TIGHT_LOOPS);
    project.commit("start");
    let (recorded, plain, ratio) = measure::in_turn(
        PAIRS,
        || drop(project.afterlog(&["run", "train.py"]).ok()),
        || drop(project.run(crate::env::python(), &["train.py"]).ok()),
    );
    vec![Row {
        what: format!("record ÷ plain run, hands-free, tight loops ({recorded:.1?} ÷ {plain:.1?}, {PAIRS} pairs)"),
        figure: format!("{ratio:.3}"),
        target: "≤ 1.05",
        met: ratio <= 1.05,
    }]
}

const TIGHT_LOOPS: &str = "\
def evaluate(rows):
    total = 0
    for row in rows:
        total += row & 3
    return total

rows = list(range(1000))
weights = [0.0] * 10
for epoch in range(20):
    for step in range(2_000_000):
        weights[step % 10] += 1e-6
    best = max(evaluate(rows) for _ in range(10))
    accuracy = evaluate(rows)
print(weights[0], accuracy)
";

/// Cost of `log("loss", x)` for a float in the training thread, measured inside a recorded script.
pub(crate) fn log_call() -> Vec<Row> {
    let project = TestProject::git();
    project.write("train.py", LOG_CALLS);
    let output = project.afterlog(&["run", "train.py"]).ok();
    let nanoseconds: f64 = output.lines().last().and_then(|l| l.parse().ok()).expect("a figure on the last line");
    vec![Row {
        what: "a log call of a float, less an empty call".into(),
        figure: format!("{:.2} µs", nanoseconds / 1000.0),
        target: "≤ 2 µs",
        met: nanoseconds <= 2000.0,
    }]
}

const LOG_CALLS: &str = r#"
import time
import afterlog

def nothing(name, value):
    return value

def cost(call, count=200_000):
    start = time.perf_counter_ns()
    for i in range(count):
        call("loss", 0.5)
    return (time.perf_counter_ns() - start) / count

rounds = sorted(cost(afterlog.log) - cost(nothing) for _ in range(7))
print(rounds[3])
"#;
