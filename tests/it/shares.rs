//! What a replay takes of the machine: threads as the run had them, GPUs for each worker alone, and no more workers than
//! cores and GPUs are enough for.

use serde_json::{Value, json};

use afterlog::store::journal::{self, Event, Writer};
use afterlog::store::layout::names;

use crate::env::TestProject;

const SCRIPT: &str = "\
import os
import afterlog
total = 0.0
for epoch in afterlog.loop('epoch', range(2)):
    total += 1.5
    afterlog.log('total', total)
";

/// Has a run end as it would have on another machine: its process says so itself, last of all.
fn end_with(project: &TestProject, run: &str, facts: &Value) {
    let path = project.path().join(".afterlog/runs").join(run).join(names::EVENTS);
    let mut said = journal::edges(&path).expect("read").into_iter().filter_map(|event| match event {
        Event::End(json) => Some(json),
        _ => None,
    });
    let mut end: Value = serde_json::from_str(&said.next_back().expect("an end")).expect("JSON");
    for (name, value) in facts.as_object().expect("an object") {
        end[name] = value.clone();
    }
    Writer::open(&path).expect("opened").append(&[Event::End(end.to_string())]).expect("appended");
}

fn recorded(runs: usize, facts: &Value) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    for _ in 0..runs {
        project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    }
    for run in project.run_ids() {
        end_with(&project, &run, facts);
    }
    project.afterlog(&["rebuild"]).ok();
    let seen = "    afterlog.log('seen', str(os.environ.get('CUDA_VISIBLE_DEVICES')))\n";
    project.write("train.py", format!("{SCRIPT}{seen}"));
    project
}

fn with_gpus(project: &TestProject, gpus: &str, arguments: &[&str]) -> String {
    let mut command = project.afterlog_command(&[&["replay", "seen"], arguments].concat());
    let output = command.env("CUDA_VISIBLE_DEVICES", gpus).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn seen(project: &TestProject) -> Vec<String> {
    let csv = project.afterlog(&["grid", "seen", "--no-verdicts", "--format", "csv"]).ok();
    csv.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_run_that_saw_one_gpu_sees_one_of_those_that_are_allowed_here_however_many_workers_there_are() {
    let project = recorded(3, &json!({ "devices": ["A"], "threads": 1 }));
    let plan: Value =
        serde_json::from_str(&with_gpus(&project, "GPU-a,GPU-b", &["--dry-run", "--jobs", "8", "--format", "json"]))
            .expect("JSON");
    assert_eq!(plan["workers"], 2, "{plan:#}");
    assert!(plan["fewer_workers"].as_str().is_some_and(|why| why.contains("2 workers for 2 GPUs")), "{plan:#}");
    with_gpus(&project, "GPU-a,GPU-b", &["--yes", "--jobs", "8"]);
    let seen = seen(&project);
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(seen.iter().all(|seen| ["GPU-a", "GPU-b"].iter().any(|gpu| seen.ends_with(gpu))), "{seen:?}");
}

#[test]
fn a_run_that_saw_more_gpus_than_there_are_is_given_all_and_the_plan_says_so() {
    let project = recorded(1, &json!({ "devices": ["A", "A", "A"], "threads": 1 }));
    let plan = with_gpus(&project, "GPU-a,GPU-b", &["--dry-run"]);
    assert!(plan.contains("the run saw 3 GPUs, and there are 2 here"), "{plan}");
    with_gpus(&project, "GPU-a,GPU-b", &["--yes"]);
    assert!(seen(&project).iter().all(|seen| seen.contains("GPU-a,GPU-b")), "{:?}", seen(&project));
    let plan = with_gpus(&project, "", &["--dry-run", "--force"]);
    assert!(plan.contains("the run saw 3 GPUs, and none was found here"), "{plan}");
}

#[test]
fn where_a_run_kept_all_cores_busy_there_is_one_worker_unless_more_are_asked_for() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let project = TestProject::git();
    // Longer than a worker takes to start.
    let script =
        SCRIPT.replace("    total +=", "    time.sleep(0.5)\n    total +=").replace("import os", "import time");
    project.write("train.py", &script);
    for _ in 0..cores {
        project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    }
    let one = |plan: &str| serde_json::from_str::<Value>(plan).expect("JSON");
    let statement = "    afterlog.log('seen', 'x')\n";
    for run in project.run_ids() {
        end_with(
            &project,
            &run,
            &json!({ "threads": cores, "processor_ns": 3_600_000_000_000_u64, "t_ns": 1_000_000 }),
        );
    }
    project.afterlog(&["rebuild"]).ok();
    project.write("train.py", format!("{script}{statement}"));
    let plan = one(&project.afterlog(&["replay", "seen", "--dry-run", "--format", "json"]).ok());
    assert_eq!(plan["workers"], 1, "{plan:#}");
    assert_eq!(plan["fewer_workers"].is_string(), cores > 1, "{plan:#}");
    let asked = one(&project.afterlog(&["replay", "seen", "--dry-run", "--jobs", "5", "--format", "json"]).ok());
    assert_eq!((&asked["workers"], &asked["fewer_workers"]), (&json!(5), &Value::Null), "{asked:#}");
}

#[test]
fn torch_computes_with_as_many_threads_as_in_the_run_where_there_are_more_cores_than_it_had() {
    const THREADS: &str = "\
import os
import torch
import afterlog
for epoch in afterlog.loop('epoch', range(2)):
    afterlog.log('threads', torch.get_num_threads())
";
    let project = TestProject::git().with_torch();
    project.write("train.py", THREADS);
    // On one core.
    let mut command = project.command(crate::env::python());
    let code =
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execv(sys.argv[1], sys.argv[1:])";
    command.args(["-c", code, env!("CARGO_BIN_EXE_afterlog"), "run", "--checkpoints", "off", "train.py"]);
    assert!(command.status().expect("starts").success());
    project.write("train.py", format!("{THREADS}    afterlog.log('again', torch.get_num_threads())\n"));
    let replayed = project.afterlog(&["replay", "again", "--yes"]);
    assert!(replayed.code == Some(0) && !replayed.stderr.contains("diverged"), "{replayed:?}");
    let values = |name: &str| {
        let csv = project.afterlog(&["grid", name, "--no-verdicts", "--format", "csv"]).ok();
        csv.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(values("threads").len(), 2);
    assert_eq!(values("again"), values("threads"));
    assert!(values("again").iter().all(|row| row.ends_with(",1")), "{:?}", values("again"));
}
