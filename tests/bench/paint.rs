//! First paint of the interface on a project with 10,000 runs, and how long a key waits for its frame there.

use std::time::Duration;

use crate::many::project_with_runs;
use crate::terminal::Terminal;
use crate::{Row, measure, target};

const RUNS: u32 = 10_000;
const ROUNDS: usize = 9;
/// Keys of each kind.
const KEYS: usize = 200;

pub(crate) fn first_paint() -> Vec<Row> {
    let project = project_with_runs(RUNS, |_, _| {});
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
