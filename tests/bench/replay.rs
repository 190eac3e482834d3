//! Replay over several versions: against running them again with the statement in place, and against the least that any
//! replay needs, which is a process for each version that imports, builds the model and restores.

use std::process::{Child, Command};
use std::time::Duration;

use crate::env::TestProject;
use crate::measure::{median, time};
use crate::{Row, target};

const SCRIPT: &str = include_str!("../fixtures/scripts/torch_mlp.py");
/// Workers, and processes at once where there are none of ours.
const AT_ONCE: usize = 2;
pub(crate) const OUTER: &str = "sum(p.norm().item() for p in model.parameters())";
const INNER: &str = "sum(p.grad.norm().item() for p in model.parameters())";

/// How much is replayed.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) versions: usize,
    pub(crate) epochs: usize,
    steps: usize,
    pub(crate) rounds: usize,
}

/// `AFTERLOG_BENCH=long` asks for 20 epochs of about 3 s: minutes for each row, so once. `short` tries out that all works.
pub(crate) fn size() -> Size {
    match std::env::var("AFTERLOG_BENCH").as_deref() {
        Ok("long") => Size { versions: 2, epochs: 20, steps: 600, rounds: 1 },
        Ok("short") => Size { versions: 2, epochs: 3, steps: 10, rounds: 1 },
        _ => Size { versions: 4, epochs: 12, steps: 100, rounds: 3 },
    }
}

/// Two versions of six epochs of seconds each, as users' epochs are: enough that what is paid once hardly counts.
const LONG_EPOCHS: Size = Size { versions: 2, epochs: 6, steps: 600, rounds: 1 };

pub(crate) fn arguments(version: usize) -> Vec<String> {
    arguments_of(size(), version)
}

fn arguments_of(Size { epochs, steps, .. }: Size, version: usize) -> Vec<String> {
    vec![format!("epochs={epochs}"), format!("steps={steps}"), "width=512".into(), format!("seed={version}")]
}

/// The script with a statement that logs an expression: after each epoch's training, or in each step.
pub(crate) fn with(name: &str, expression: &str, inner: bool) -> String {
    let (line, indent) =
        if inner { ("afterlog.log(\"loss\"", "            ") } else { ("afterlog.log(\"val_loss\"", "        ") };
    let script = SCRIPT.replace(line, &format!("afterlog.log(\"{name}\", {expression})\n{indent}{line}"));
    assert_ne!(script, SCRIPT, "the statement was added");
    script
}

/// The least that a replay of an outer statement does: no store, no checks, no isolation.
fn floor() -> String {
    let epochs = size().epochs;
    let head = SCRIPT.split("with afterlog.checkpointing").next().expect("a head");
    format!(
        "{head}import io\nkept = io.BytesIO()\ntorch.save([model.state_dict(), optimizer.state_dict()], kept)\n\
         for epoch in range({epochs}):\n    kept.seek(0)\n    state = torch.load(kept)\n    \
         model.load_state_dict(state[0])\n    optimizer.load_state_dict(state[1])\n    print({OUTER})\n"
    )
}

/// Commands one after another, so many at once.
fn run_all(commands: Vec<Command>) -> Duration {
    let done = |child: &mut Child| assert!(child.wait().expect("ends").success());
    let (took, ()) = time(|| {
        let mut running: Vec<Child> = Vec::new();
        for mut command in commands {
            if running.len() == AT_ONCE {
                // They take equally long.
                done(&mut running.remove(0));
            }
            running.push(command.stdout(std::process::Stdio::null()).spawn().expect("starts"));
        }
        running.iter_mut().for_each(done);
    });
    took
}

/// Time of a process for each version that runs this script under plain Python.
fn plain(project: &TestProject, name: &str, script: &str) -> Duration {
    project.write(name, script);
    let runtime = project.path().join(".afterlog/runtime");
    let runtime = std::fs::read_dir(runtime).expect("unpacked").flatten().next().expect("a runtime").path();
    let start = |version| {
        let mut command = project.command("python");
        command.arg(name).args(arguments(version)).env("PYTHONPATH", &runtime).env("AFTERLOG_CHILD", "1");
        command
    };
    run_all((0..size().versions).map(start).collect())
}

pub(crate) fn replay(project: &TestProject, name: &str, expression: &str, inner: bool, more: &[&str]) -> Duration {
    project.write("train.py", with(name, expression, inner));
    time(|| project.afterlog(&[&["replay", name, "--yes"][..], more].concat()).ok()).0
}

pub(crate) fn recorded() -> TestProject {
    recorded_in(size())
}

fn recorded_in(size: Size) -> TestProject {
    let project = TestProject::git().with_torch();
    project.write("train.py", SCRIPT);
    project.commit("start");
    for version in 0..size.versions {
        let arguments = arguments_of(size, version);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        project.afterlog(&[&["run", "--checkpoints", "all", "train.py"][..], &arguments].concat()).ok();
    }
    project
}

pub(crate) fn outer_over_versions() -> Vec<Row> {
    let project = recorded();
    let (mut against_full, mut against_floor, mut without, mut took) = (vec![], vec![], vec![], vec![]);
    let Size { versions, epochs, rounds, .. } = size();
    // The first round warms up where one takes seconds.
    let warm = usize::from(rounds > 1);
    for round in 0..rounds + warm {
        let name = format!("norm{round}");
        let ours = replay(&project, &name, OUTER, false, &[]).as_secs_f64();
        let least = plain(&project, "floor.py", &floor()).as_secs_f64();
        let full = plain(&project, "full.py", &with("norm", OUTER, false)).as_secs_f64();
        project.write("train.py", with(&format!("fresh{round}"), OUTER, false));
        let name = format!("fresh{round}");
        let mut afresh = project.afterlog_command(&["replay", &name, "--yes"]);
        let afresh = time(|| afresh.env("AFTERLOG_FORK", "off").output().expect("starts")).0.as_secs_f64();
        if round >= warm {
            against_full.push(full / ours);
            against_floor.push(ours / least);
            without.push(ours / afresh);
            took.push(ours);
        }
    }
    let (faster, floor) = (median(against_full), median(against_floor));
    let over = format!("outer statement, {versions} versions × {epochs} epochs");
    vec![
        Row {
            what: format!("replay: {over}: full runs ÷ replay ({:.1} s)", median(took)),
            figure: format!("{faster:.1}"),
            target: if epochs == 20 { target("≥ 10", faster >= 10.0) } else { None },
        },
        Row {
            what: format!("replay: {over}: replay ÷ (start, imports, model, restores)"),
            figure: format!("{floor:.2}"),
            target: target("≤ 1.5", floor <= 1.5),
        },
        Row {
            what: format!("replay: {over}: forked ÷ each started afresh"),
            figure: format!("{:.2}", median(without)),
            target: None,
        },
    ]
}

pub(crate) fn inner_on_two_workers() -> Vec<Row> {
    let mut rows = on_two_workers(size());
    if std::env::var_os("AFTERLOG_BENCH").is_none() {
        rows.extend(on_two_workers(LONG_EPOCHS));
    }
    rows
}

fn on_two_workers(size: Size) -> Vec<Row> {
    let project = recorded_in(size);
    let (mut efficiencies, mut without_start, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..size.rounds {
        let timed = |name: &str, workers: &str| {
            let took = replay(&project, &format!("{name}{round}"), INNER, true, &["--jobs", workers]).as_secs_f64();
            (took, took - first_start(&project))
        };
        let (one, two) = (timed("a", "1"), timed("b", "2"));
        efficiencies.push(one.0 / (2.0 * two.0));
        took.push(one.0);
        without_start.push(one.1 / (2.0 * two.1));
    }
    let efficiency = median(efficiencies);
    let without = Row {
        what: "  the same from when imports, which no worker can share, are done".to_owned(),
        figure: format!("{:.2}", median(without_start)),
        target: None,
    };
    let whole = Row {
        what: format!(
            "replay: statement in each step, {} versions × {} epochs: time on 1 worker ÷ 2 × time on 2 ({:.0} s on 1)",
            size.versions,
            size.epochs,
            median(took)
        ),
        figure: format!("{efficiency:.2}"),
        target: target("≥ 0.9", efficiency >= 0.9),
    };
    vec![whole, without]
}

/// Data is built for about two seconds before the loop; then epochs of about a tenth of a second.
const BUILDS: &str = "\
import random
import afterlog
for _ in range(4_000):
    data = [random.random() for _ in range(10_000)]
total = 0.0
for epoch in afterlog.loop('epoch', range(16)):
    for step in afterlog.loop('step', range(10)):
        total += data[step] * random.random() + sum(range(500_000))
    afterlog.log('total', total)
";

pub(crate) fn shared_prefix() -> Vec<Row> {
    let project = TestProject::git();
    project.write("train.py", BUILDS);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let (mut ratios, mut took) = (Vec::new(), Vec::new());
    for _ in 0..size().rounds {
        let timed = |fork: &str| {
            let arguments = ["replay", "--check", "last", "--sample", "8", "--jobs", "2", "--yes"];
            let mut command = project.afterlog_command(&arguments);
            let (took, output) = time(|| command.env("AFTERLOG_FORK", fork).output().expect("starts"));
            assert!(output.status.success(), "{output:?}");
            took.as_secs_f64()
        };
        let (own, shared) = (timed("off"), timed(""));
        ratios.push(own / shared);
        took.push(shared);
    }
    vec![Row {
        what: format!(
            "replay: 8 pieces of a run that builds data for about 2 s, 2 workers: each builds ÷ built once ({:.1} s)",
            median(took)
        ),
        figure: format!("{:.1}", median(ratios)),
        target: None,
    }]
}

/// Seconds that the last job's first segment took to start: it waits for the imports, which are done once.
fn first_start(project: &TestProject) -> f64 {
    let shown = project.afterlog(&["jobs", "show", "last", "--json"]).ok();
    let job: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let segments = job["segments"].as_array().expect("segments").iter();
    let starts = segments.filter_map(|segment| segment["took"]["start_ns"].as_f64());
    starts.fold(0.0, f64::max) / 1e9
}
