//! How far a replay's estimated time is from what it takes: with nothing learnt, and after a few replays.

use afterlog::engine::plan::ReplayRequest;
use afterlog::engine::project::Project;

use crate::env::TestProject;
use crate::{Row, measure, target};

const ROUNDS: usize = 14;
/// So many replays are there to learn from.
const LEARNING: usize = 4;

pub(crate) fn error_of_estimates() -> Vec<Row> {
    let test = TestProject::git();
    test.write("train.py", SCRIPT);
    for size in ["40", "70", "100"] {
        test.afterlog(&["run", "--checkpoints", "all", "train.py", &format!("size={size}")]).ok();
    }
    test.write("train.py", SCRIPT.replace("        # here\n", "        afterlog.log(\"probe\", w[0])\n"));
    let project = Project::require(&test.path()).expect("a store");
    let request =
        ReplayRequest { names: vec!["probe".to_owned()], force: true, workers: Some(1), ..ReplayRequest::default() };
    let errors: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            project.refresh().expect("reads");
            let plan = project.plan(&request).expect("plans");
            test.afterlog(&["replay", "probe", "--force", "--jobs", "1", "--yes"]).ok();
            project.refresh().expect("reads");
            let jobs = project.jobs().expect("reads");
            let took = jobs.last().and_then(|job| job.took_ns()).expect("a job that is done");
            #[allow(clippy::cast_precision_loss, reason = "a ratio of times")]
            let error = plan.expected_ns as f64 / took as f64 - 1.0;
            error
        })
        .collect();
    let (first, later) = (errors[0], &errors[LEARNING..]);
    let close = later.iter().filter(|error| error.abs() <= 0.2).count();
    let median = measure::median(later.iter().map(|error| error.abs()).collect());
    vec![
        Row {
            what: "a replay's estimate against its time, nothing learnt".to_owned(),
            figure: format!("{:+.0} %", 100.0 * first),
            target: None,
        },
        Row {
            what: format!("the same after {LEARNING} replays: within 20 % (median error {:.0} %)", 100.0 * median),
            figure: format!("{close} of {}", later.len()),
            target: target("9 of 10", close * 10 >= later.len() * 9),
        },
    ]
}

const SCRIPT: &str = r#"
import random
import afterlog

size = afterlog.arg("size", 40)
w = [random.random() for _ in range(2000)]
for epoch in afterlog.loop("epoch", range(10)):
    for step in afterlog.loop("step", range(size)):
        for at in range(len(w)):
            w[at] += 0.1 * random.random()
        # here
    afterlog.log("sum", sum(w))
"#;
