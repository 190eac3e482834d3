//! What recording costs where training does nothing that takes long: tight loops, and a single log call.

use crate::env::TestProject;
use crate::{Row, measure, target};

const PAIRS: usize = 5;

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
        target: target("≤ 1.05", ratio <= 1.05),
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
    let nanoseconds: f64 =
        output.lines().rev().find_map(|line| line.strip_prefix("cost ")?.parse().ok()).expect("a figure");
    let mut rows = vec![Row {
        what: "a log call of a float, less an empty call".into(),
        figure: format!("{:.2} µs", nanoseconds / 1000.0),
        target: target("≤ 1 µs", nanoseconds <= 1000.0),
    }];
    for version in ["3.4.12", "4.0.1"] {
        let project = crate::workloads::project_of(&LOG_CALLS.replace("import afterlog", "import flordb as afterlog"));
        let output = project.run(crate::workloads::flordb_python(version), &["train.py"]).ok();
        let nanoseconds: f64 =
            output.lines().rev().find_map(|line| line.strip_prefix("cost ")?.parse().ok()).expect("a figure");
        let figure = format!("{:.0} µs", nanoseconds / 1000.0);
        rows.push(Row { what: format!("the same with FlorDB {version}"), figure, target: None });
    }
    rows
}

const LOG_CALLS: &str = r#"
import time
import afterlog

def nothing(name, value):
    return value

def cost(call, count=20_000):
    start = time.perf_counter_ns()
    for i in range(count):
        call("loss", 0.5)
    return (time.perf_counter_ns() - start) / count

rounds = sorted(cost(afterlog.log) - cost(nothing) for _ in range(5))
print('cost', rounds[2])
"#;
