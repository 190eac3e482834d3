//! `grid` over a million logged values, as a whole process, to CSV.

use crate::env::TestProject;
use crate::{Row, measure, target};

const ROUNDS: usize = 7;

pub(crate) fn million_values() -> Vec<Row> {
    let project = TestProject::git();
    project.write("train.py", MILLION);
    project.afterlog(&["run", "train.py"]).ok();
    let grid = || project.afterlog(&["grid", "loss", "--format", "csv"]).ok();
    assert_eq!(grid().lines().count(), 1_000_001, "a header and a row a value");
    let milliseconds = measure::median((0..ROUNDS).map(|_| measure::time(grid).0.as_secs_f64() * 1000.0).collect());
    vec![Row {
        what: format!("grid of 1,000,000 values to CSV, whole process (median of {ROUNDS})"),
        figure: format!("{milliseconds:.0} ms"),
        target: target("≤ 300 ms", milliseconds <= 300.0),
    }]
}

const MILLION: &str = r#"
import random
import afterlog

for epoch in afterlog.loop("epoch", range(100)):
    for step in afterlog.loop("step", range(10_000)):
        afterlog.log("loss", random.random())
"#;
