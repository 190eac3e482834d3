//! First paint of the interface on a project with 10,000 runs, and how long a key waits for its frame there.

use std::time::Duration;

use afterlog::base::ids::RunId;
use afterlog::engine::project::Project;
use afterlog::store::db::{Db, DbError};

use crate::env::TestProject;
use crate::terminal::Terminal;
use crate::{Row, measure, target};

const RUNS: u32 = 10_000;
const ROUNDS: usize = 9;
/// Keys of each kind.
const KEYS: usize = 200;

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
    let mut rows = vec![Row {
        what: format!("first paint of the interface with {RUNS} runs, process start included (median of {ROUNDS})"),
        figure: format!("{milliseconds:.0} ms"),
        target: target("≤ 100 ms", milliseconds <= 100.0),
    }];
    let mut terminal = Terminal::start(&project, &[], 200, 60);
    terminal.wait_for("finished");
    for (what, keys) in [("down a row", ["j", "k"]), ("down a page", ["\x06", "\x02"])] {
        terminal.listen(Duration::from_millis(500));
        let mut waited: Vec<f64> = (0..KEYS)
            .map(|at| {
                let elapsed = terminal.time_to_answer(keys[at % 2]).as_secs_f64() * 1000.0;
                terminal.listen(Duration::from_millis(30));
                elapsed
            })
            .collect();
        waited.sort_by(f64::total_cmp);
        let (median, late) = (waited[KEYS / 2], waited[KEYS * 99 / 100]);
        rows.push(Row {
            what: format!("key to frame at 200×60 with {RUNS} runs, {what} (median, 99th percentile of {KEYS})"),
            figure: format!("{median:.1} ms, {late:.1} ms"),
            target: target("≤ 16 ms", late <= 16.0),
        });
    }
    terminal.send("q");
    terminal.wait_for_exit();
    rows
}

/// One real run, and its row in the database under new ids: what it holds does not matter here, how many there are does.
fn project_with_runs() -> TestProject {
    let project = TestProject::git();
    project.write(
        "train.py",
        "import afterlog\nfor epoch in afterlog.loop('epoch', range(20)):\n    afterlog.log('loss', 1 / (epoch + 1))\n",
    );
    project.afterlog(&["run", "train.py"]).ok();
    let opened = Project::require(&project.path()).expect("a project");
    let mut db = Db::open(opened.layout()).expect("a database");
    let id: RunId = project.run_ids()[0].parse().expect("an id");
    let recorded = db.run(&id).expect("read").expect("the run");
    db.write::<(), DbError>(|writing| {
        for number in 1..RUNS {
            let mut row = recorded.clone();
            row.summary.id = format!("{number:010}").parse().expect("an id");
            row.meta.id = row.summary.id.clone();
            writing.set_run(&row)?;
        }
        Ok(())
    })
    .expect("written");
    project
}
