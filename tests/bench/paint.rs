//! First paint of the interface on a project with 1,000 runs.

use std::fs;

use crate::env::TestProject;
use crate::terminal::Terminal;
use crate::{Row, measure, target};

const RUNS: usize = 1000;
const ROUNDS: usize = 9;

pub(crate) fn first_paint() -> Vec<Row> {
    let project = project_with_runs();
    let milliseconds = measure::median(
        (0..ROUNDS)
            .map(|_| {
                let (elapsed, mut terminal) = measure::time(|| {
                    let mut terminal = Terminal::start(&project, &[], 80, 24);
                    // Any run's status word: the list itself is there, not only the frame around it.
                    terminal.wait_for("finished");
                    terminal
                });
                terminal.send("q");
                terminal.wait_for_exit();
                elapsed.as_secs_f64() * 1000.0
            })
            .collect(),
    );
    vec![Row {
        what: format!("first paint of the interface with {RUNS} runs, process start included (median of {ROUNDS})"),
        figure: format!("{milliseconds:.0} ms"),
        target: target("≤ 100 ms", milliseconds <= 100.0),
    }]
}

/// One real run, copied under new ids: what it holds does not matter here, how many there are does.
fn project_with_runs() -> TestProject {
    let project = TestProject::git();
    project.write(
        "train.py",
        "import afterlog\nfor epoch in afterlog.loop('epoch', range(20)):\n    afterlog.log('loss', 1 / (epoch + 1))\n",
    );
    project.afterlog(&["run", "train.py"]).ok();
    let first = project.run_ids().remove(0);
    let runs = project.path().join(".afterlog/runs");
    let meta = fs::read_to_string(runs.join(&first).join("meta.json")).expect("meta.json");
    for number in 1..RUNS {
        let id = format!("{}{number:04}", &first[..6]);
        let copy = runs.join(&id);
        fs::create_dir(&copy).expect("folder");
        for entry in fs::read_dir(runs.join(&first)).expect("run").map(|e| e.expect("entry")) {
            fs::copy(entry.path(), copy.join(entry.file_name())).expect("copied");
        }
        fs::remove_file(copy.join("meta.json")).expect("removed");
        project.write(&format!(".afterlog/runs/{id}/meta.json"), meta.replace(&first, &id));
    }
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(project.run_ids().len(), RUNS);
    project
}
