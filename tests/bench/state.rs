//! What a checkpoint costs: the stall, the bytes on disk, the memory.

use std::fs;

use afterlog::engine::project::Project;
use afterlog::model::run::Checkpoint;

use crate::env::{self, TestProject};
use crate::workloads;
use crate::{Row, target};

/// Every epoch's state as `torch.save` writes it, and as it is stored, with the pause that the training made for it.
pub(crate) fn stall_and_bytes() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, script, limit, goal) in [
        ("dense Adam", DENSE.to_owned(), 0.85, "≤ 0.85"),
        ("fine-tuning", with_saved_sizes(include_str!("workloads/finetune.py")), 0.5, "≤ 0.50"),
    ] {
        let project = workloads::project_of(&script);
        let command = &mut project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
        let printed = workloads::start(command).end().1;
        let saved = number_after(&printed, "saved ");
        let checkpoints = checkpoints_of(&project);
        let sum = |of: fn(&Checkpoint) -> u64| checkpoints.iter().map(of).sum::<u64>() as f64;
        let (bytes, stored, stall) = (sum(|c| c.bytes), sum(|c| c.stored_bytes), sum(|c| c.stall_ns));
        let count = checkpoints.len() as f64;
        rows.push(Row {
            what: format!("stall a checkpoint of {:.0} MB, {name}", bytes / count / 1e6),
            figure: format!("{:.0} ms, {:.1} GB/s", stall / count / 1e6, bytes / stall),
            target: None,
        });
        rows.push(Row {
            what: format!(
                "stored ({count:.0} checkpoints, {:.0} MB) ÷ torch.save an epoch ({:.0} MB), {name}",
                stored / 1e6,
                saved / 1e6
            ),
            figure: format!("{:.2}", stored / saved),
            target: target(goal, stored / saved <= limit),
        });
    }
    rows
}

/// Peak memory with a state of 1 GB.
pub(crate) fn memory() -> Vec<Row> {
    let project = workloads::project_of(GIGABYTE);
    let plain = number_after(&workloads::start(project.command(env::torch_python()).arg("train.py")).end().1, "peak ");
    let mut running = workloads::start(&mut project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]));
    let mut recorder = 0.0_f64;
    while running.is_running() {
        let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        recorder = recorder.max(peak.and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or(0.0) / 1024.0);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let recorded = number_after(&running.end().1, "peak ");
    let state = checkpoints_of(&project).iter().map(|c| c.bytes).max().unwrap_or(0) as f64 / f64::from(1 << 20);
    let row = |what: &str, megabytes: f64| Row {
        what: format!("state of {state:.0} MiB, every checkpoint taken: {what}"),
        figure: format!("{megabytes:.0} MiB"),
        target: None,
    };
    vec![
        row("peak memory of the recorder", recorder),
        row("added to the training process's peak", recorded - plain),
        row("the two shared buffers, at most", 2.0 * state),
    ]
}

fn checkpoints_of(project: &TestProject) -> Vec<Checkpoint> {
    let project = Project::open_or_create(&project.path()).expect("project");
    let run = project.runs().expect("runs").pop().expect("a run");
    project.run_detail(&run.id).expect("detail").checkpoints
}

fn number_after(text: &str, word: &str) -> f64 {
    let line = text.lines().rev().find_map(|line| line.strip_prefix(word)).expect("a figure");
    line.trim().parse().expect("a number")
}

/// The fine-tuning script, which also says what `torch.save` of its state would have written each epoch.
fn with_saved_sizes(script: &str) -> String {
    let line = "        print(\"loss\", loss.item())\n";
    assert!(script.contains(line));
    let script = script.replace(line, &format!("{line}        saved += size_of(model, head, optimizer)\n"));
    let script = script.replace("    begun =", "    saved = 0\n    begun =");
    let script = script.replace("    print(\"loop\"", "    print(\"saved\", saved)\n    print(\"loop\"");
    script.replace("def evaluate(", &format!("{SIZE_OF}\n\ndef evaluate("))
}

const SIZE_OF: &str = "\
def size_of(*objects):
    import io
    file = io.BytesIO()
    torch.save([each.state_dict() for each in objects] + [torch.get_rng_state()], file)
    return file.tell()
";

const DENSE: &str = r#"
import io
import time

import torch
from torch import nn


def size_of(*objects):
    file = io.BytesIO()
    torch.save([each.state_dict() for each in objects] + [torch.get_rng_state()], file)
    return file.tell()


torch.manual_seed(0)
inputs = torch.randn(2000, 256)
targets = inputs[:, :8].sin()
model = nn.Sequential(nn.Linear(256, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 8))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
saved = 0
begun = time.perf_counter(), time.process_time()
for epoch in range(6):
    for batch in torch.randperm(2000).split(100):
        optimizer.zero_grad()
        loss = (model(inputs[batch]) - targets[batch]).pow(2).mean()
        loss.backward()
        optimizer.step()
    print("loss", loss.item())
    saved += size_of(model, optimizer)
print("saved", saved)
print("loop", time.perf_counter() - begun[0], time.process_time() - begun[1])
"#;

const GIGABYTE: &str = r#"
import resource
import time

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(*(nn.Embedding(250_000, 128) for _ in range(8)))
begun = time.perf_counter(), time.process_time()
for epoch in range(3):
    for step in range(5):
        with torch.no_grad():
            for table in model:
                table.weight[step] += 1
    print("epoch", epoch)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print("loop", time.perf_counter() - begun[0], time.process_time() - begun[1])
"#;
