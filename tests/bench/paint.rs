//! First paint of the interface on a project with 10,000 runs, and how long a key waits for its frame there.

use std::time::Duration;

use crate::env::TestProject;
use crate::many::project_with_runs;
use crate::terminal::Terminal;
use crate::{Row, measure, target};

const RUNS: u32 = 10_000;
const ROUNDS: usize = 9;
/// Keys of each kind.
const KEYS: usize = 200;

/// Rows of the large grid, and its columns of values.
const LARGE: (usize, usize) = (1_000_000, 20);

const MILLION: &str = r#"
import random
import afterlog

names = [f"m{at:02}" for at in range(20)]
for epoch in afterlog.loop("epoch", range(100)):
    for step in afterlog.loop("step", range(10_000)):
        for name in names:
            afterlog.log(name, random.random())
"#;

/// A grid too large for any list: loading, scrolling, sorting, filtering it, and what memory that takes.
pub(crate) fn large_grid() -> Vec<Row> {
    let (rows, columns) = LARGE;
    let project = TestProject::git();
    project.write("train.py", MILLION);
    project.afterlog(&["run", "--quiet", "train.py"]).ok();
    let mut terminal = Terminal::start(&project, &[], 200, 60);
    terminal.wait_for("finished");
    let took = |terminal: &mut Terminal, keys: &str, sign: &str| {
        terminal.listen(Duration::from_millis(500));
        let (elapsed, ()) = measure::time(|| {
            terminal.send(keys);
            terminal.wait_for(sign);
        });
        elapsed.as_secs_f64() * 1000.0
    };
    let load = took(&mut terminal, "3", "1000000 rows");
    terminal.listen(Duration::from_millis(1000));
    let mut waited: Vec<f64> = (0..KEYS)
        .map(|at| {
            let elapsed = terminal.time_to_answer(["\x06", "\x02"][at % 2]).as_secs_f64() * 1000.0;
            terminal.listen(Duration::from_millis(30));
            elapsed
        })
        .collect();
    waited.sort_by(f64::total_cmp);
    let page = waited[KEYS * 99 / 100];
    let sort = took(&mut terminal, "]", "0.99999");
    terminal.send("&");
    terminal.wait_for("filter:");
    terminal.send("m00 < 0.5 and m01 < 0.001");
    terminal.wait_for("< 0.001");
    let (filter, ()) = measure::time(|| {
        terminal.send("\r");
        terminal.wait_until("the rows that are left", |screen| {
            screen.contains("rows") && screen.contains("(Esc clears)") && !screen.contains("1000000 rows")
        });
    });
    let filter = filter.as_secs_f64() * 1000.0;
    let status = std::fs::read_to_string(format!("/proc/{}/status", terminal.process_id())).expect("its status");
    let mebibytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1024
    };
    let memory = format!("{}, {} MiB", mebibytes("VmRSS:"), mebibytes("VmHWM:"));
    terminal.send("\x03");
    terminal.wait_for_exit();
    let of = |what: &str| format!("grid of {rows} rows × {columns}, {what}");
    vec![
        Row {
            what: of("a page down or up (99th percentile)"),
            figure: format!("{page:.1} ms"),
            target: target("≤ 16 ms", page <= 16.0),
        },
        Row {
            what: of("loaded; sorted; filtered"),
            figure: format!("{load:.0} ms; {sort:.0} ms; {filter:.0} ms"),
            target: None,
        },
        Row { what: of("memory, at most"), figure: memory, target: None },
    ]
}

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
        target: target("< 50 ms", milliseconds < 50.0),
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
