//! What recording a training script costs, against the script alone and against FlorDB.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use crate::env::{self, TestProject};
use crate::measure::{self, Spread};
use crate::workloads::{self, Took, WORKLOADS, Workload};
use crate::{Row, target};

/// Pairs that run at the same time, sharing one core.
const PAIRS: usize = 5;
/// Rounds of all recorders in turn.
const ROUNDS: usize = 2;
const FLORDB: [&str; 2] = ["3.4.12", "4.0.1"];

/// The overhead of recording with its defaults; and what two plain runs differ by, since nothing less than that can be told.
pub(crate) fn adaptive() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut ratios = Vec::new();
    for workload in &WORKLOADS {
        let spread = in_step(workload, true);
        ratios.push(spread.median);
        rows.push(Row {
            what: format!("record ÷ plain, {}: the loop's CPU time, {PAIRS} pairs in step", workload.name),
            figure: spread.to_string(),
            target: target("≤ 1.03", spread.median <= 1.03),
        });
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    rows.push(Row {
        what: format!("record ÷ plain, mean of these {}", ratios.len()),
        figure: format!("{mean:.4}"),
        target: target("≤ 1.010", mean <= 1.010),
    });
    let first = &WORKLOADS[0];
    rows.push(Row {
        what: format!("plain ÷ plain, {}: the same", first.name),
        figure: in_step(first, false).to_string(),
        target: None,
    });
    rows
}

/// Whole runs of every recorder in turn: A B C A B C.
pub(crate) fn against_others<const WORKLOAD: usize>() -> Vec<Row> {
    in_turn(&WORKLOADS[WORKLOAD])
}

/// What a run costs once, before the script's first line and after its last.
pub(crate) fn start_up() -> Vec<Row> {
    let project = workloads::project_of("pass\n");
    let (recorded, plain, _) = measure::in_turn(
        9,
        || drop(project.afterlog(&["run", "train.py"]).ok()),
        || drop(project.run(env::torch_python(), &["train.py"]).ok()),
    );
    let added = (recorded.as_secs_f64() - plain.as_secs_f64()) * 1000.0;
    vec![Row {
        what: format!("a run of an empty script: record {recorded:.0?}, plain {plain:.0?}; added, once a run"),
        figure: format!("{added:.0} ms"),
        target: None,
    }]
}

/// Runs the script plain and recorded at the same time, their training on the same core and the recorder on any: the system
/// goes from one to the other every few milliseconds, so that whatever else the machine does, it does to both. Both begin
/// their loops together: whoever comes later finds the caches and the memory in use, and pays for it in its first epoch.
/// What happens by the clock, such as the journal's writes, happens twice as often as in a run that has the core to itself.
/// Where not `with_recorder` both are plain.
fn in_step(workload: &Workload, with_recorder: bool) -> Spread {
    let project = workload.waiting_project();
    let pinned = pinned_python(&project);
    let start = |recorded: bool| {
        let recorded = recorded && with_recorder;
        let mut command = if recorded { project.afterlog_command(&["run"]) } else { project.command(&pinned) };
        if recorded {
            command.arg(&pinned);
        }
        // Sets and dicts lie in memory by the hashes of strings: the same in both.
        workloads::start(command.arg("train.py").env("PYTHONHASHSEED", "0").stdin(Stdio::piped()))
    };
    let ratios = (0..PAIRS).map(|number| {
        // Who comes first differs from pair to pair.
        let mut first = start(number % 2 == 0);
        let mut second = start(number % 2 != 0);
        first.until_ready();
        second.until_ready();
        first.go();
        second.go();
        let (first, second) = (first.end().0, second.end().0);
        let (recorded, plain) = if number % 2 == 0 { (first, second) } else { (second, first) };
        recorded.loop_cpu / plain.loop_cpu
    });
    Spread::of(ratios.collect())
}

/// The interpreter, bound to one core.
fn pinned_python(project: &TestProject) -> PathBuf {
    let path = project.home().join("python3");
    let script = format!("#!/bin/sh\nexec taskset -c 0 '{}' \"$@\"\n", env::torch_python().display());
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

fn in_turn(workload: &Workload) -> Vec<Row> {
    let project = workload.project();
    let with_calls = workload.flordb_project();
    let recorded = |mode: &str| {
        workloads::start(&mut project.afterlog_command(&["run", "--checkpoints", mode, "train.py"])).end().0
    };
    let flordb = |version: &str| {
        let python = workloads::flordb_python(version);
        let project = with_calls.as_ref()?;
        Some(workloads::start(project.command(python).arg("train.py")).end().0)
    };
    let mut ratios: [Vec<(f64, f64)>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let plain = workloads::start(project.command(env::torch_python()).arg("train.py")).end().0;
        let others = [Some(recorded("adaptive")), Some(recorded("all")), flordb(FLORDB[0]), flordb(FLORDB[1])];
        for (ratios, took) in ratios.iter_mut().zip(others) {
            ratios.extend(took.map(|took: Took| (took.loop_wall / plain.loop_wall, took.whole / plain.whole)));
        }
    }
    let names = ["adaptive", "--checkpoints all", "FlorDB 3.4.12", "FlorDB 4.0.1, which keeps no state"];
    let measured = names.iter().zip(ratios).filter(|(_, ratios)| !ratios.is_empty());
    let row = |(name, ratios): (&&str, Vec<(f64, f64)>)| {
        let (loops, wholes): (Vec<f64>, Vec<f64>) = ratios.into_iter().unzip();
        Row {
            what: format!("{name} ÷ plain, {}: wall time of loop, whole run; {ROUNDS} rounds", workload.name),
            figure: format!("{:.3}, {:.3}", measure::median(loops), measure::median(wholes)),
            target: None,
        }
    };
    measured.map(row).collect()
}
