//! Scripts that a launcher starts: rank 0 is the run, the others keep their own record, and no value is made up for any.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::env::TestProject;

/// Two processes average their gradients; every rank logs what only it computes.
const SCRIPT: &str = "\
import os, random, sys
import torch
import torch.distributed as dist
import afterlog
dist.init_process_group('gloo')
rank = dist.get_rank()
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with open('drawn-%d' % rank, 'w') as file:
    print(random.random(), torch.rand(1).item(), sys.argv, file=file)
for epoch in afterlog.loop('epoch', range(2)):
    for step in afterlog.loop('step', range(3)):
        if (epoch, rank) == (1, int(os.environ.get('FAILS', -1))):
            raise ValueError('bad shard')
        optimizer.zero_grad()
        loss = model(torch.ones(8, 4) * (rank + 1)).pow(2).mean()
        loss.backward()
        optimizer.step()
    afterlog.log('rank', rank)
dist.destroy_process_group()
";
/// Each rank draws numbers of its own, counts its own steps, and holds the same model as the others.
const SHARDS: &str = "\
import torch
import torch.distributed as dist
import afterlog
dist.init_process_group('gloo')
rank = dist.get_rank()
torch.manual_seed(rank)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(64, 64))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
drawn = torch.zeros(3)
kept = afterlog.checkpointing(weights=model.module)
for epoch in afterlog.loop('epoch', range(EPOCHS)):
    for step in afterlog.loop('step', range(2)):
        x = torch.randn(8, 64)
        drawn += x.sum() * (rank + 1)
        optimizer.zero_grad()
        model(x).pow(2).mean().backward()
        optimizer.step()
    afterlog.log('loss', epoch)
print('drawn', rank, drawn[0].item(), model.module.weight.sum().item())
dist.destroy_process_group()
";
const TORCHRUN: [&str; 4] = ["torchrun", "--standalone", "--nproc_per_node", "2"];

fn project() -> TestProject {
    let project = TestProject::git().with_torch();
    project.write("train.py", SCRIPT);
    project.commit("start");
    project
}

fn run(project: &TestProject, launcher: &[&str], script: &[&str], fails: &str) -> crate::env::Finished {
    let mut command = project.afterlog_command(&[&["run", "--"], launcher, script].concat());
    let output = command.env("OMP_NUM_THREADS", "1").env("FAILS", fails).output().expect("runs");
    crate::env::Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn of_the_ranks_of_torchrun_the_first_is_the_run_and_each_keeps_its_own_record() {
    let project = project();
    let as_module = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"];
    for (launcher, script) in [(&TORCHRUN[..], &["train.py"][..]), (&as_module, &["-m", "train"])] {
        run(&project, launcher, &[script, &["--lr", "1"]].concat(), "-1").ok();
        let csv = project.afterlog(&["grid", "rank", "--runs", "last", "--format", "csv"]).ok();
        let values: Vec<&str> = csv.lines().skip(1).map(|line| line.rsplit(',').next().expect("a cell")).collect();
        assert_eq!(values, ["0", "0"], "{csv}");
        let shown = project.afterlog(&["show", "last"]).ok();
        assert!(shown.contains("finished, exit code 0"), "{shown}");
        assert!(shown.contains(&format!("{} --lr 1", script.join(" "))), "{shown}");
        assert!(!shown.contains("note:"), "{shown}");
        let drawn: Vec<String> = (0..2).map(|rank| project.read(&format!("drawn-{rank}"))).collect();
        let numbers: BTreeSet<&str> = drawn.iter().flat_map(|line| line.split_whitespace().take(2)).collect();
        assert_eq!(numbers.len(), 4, "each rank draws numbers of its own: {drawn:?}");
        assert!(drawn.iter().all(|line| line.ends_with("train.py', '--lr', '1']\n")), "{drawn:?}");
        let id = project.run_ids().pop().expect("a run");
        assert!(project.path().join(format!(".afterlog/runs/{id}/ranks/1/events.aflj")).exists());
    }
    project.write("train.py", format!("{SCRIPT}afterlog.log('twice', 2 * rank)\n"));
    let replay = project.afterlog(&["replay", "twice", "--yes"]);
    assert_eq!(replay.code, Some(4), "{replay:?}");
    assert!(replay.stdout.contains("only what Python runs by itself can be replayed"), "{replay:?}");
    project.afterlog(&["fsck"]).ok();
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(project.run_ids().len(), 2);
}

/// What `checkpoint ls` says of the checkpoints of the last run, by rank: what each is of, and all of it.
fn checkpoints(project: &TestProject) -> BTreeMap<u64, Vec<(String, Value)>> {
    let listed = project.afterlog(&["checkpoint", "ls", "last", "--format", "json"]).ok();
    let mut ranks: BTreeMap<u64, Vec<(String, Value)>> = BTreeMap::new();
    for found in serde_json::from_str::<Vec<Value>>(&listed).expect("JSON") {
        let what = format!("{} {}", found["iteration"], found["kind"]);
        ranks.entry(found["rank"].as_u64().expect("a rank")).or_default().push((what, found));
    }
    ranks
}

#[test]
fn every_rank_keeps_its_own_state_at_the_same_moments_and_what_all_hold_is_stored_once() {
    let project = TestProject::git().with_torch();
    project.write("train.py", SHARDS.replace("EPOCHS", "4"));
    let mut command = project.afterlog_command(&["run", "--checkpoints", "all", "--"]);
    let output = command.args(TORCHRUN).arg("train.py").env("OMP_NUM_THREADS", "1").output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ranks = checkpoints(&project);
    let moments = |rank: u64| ranks[&rank].iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>();
    assert!(moments(0).len() >= 8 && moments(0) == moments(1), "{ranks:?}");
    for ((what, own), (_, other)) in ranks[&0].iter().zip(&ranks[&1]) {
        let (own, other) = (&own["digests"], &other["digests"]);
        for (key, is_same) in [("object:weights", true), ("rng:torch", false), ("local:drawn", false)] {
            assert!(own[key].is_string() && (own[key] == other[key]) == is_same, "{what}: {key}: {own} {other}");
        }
    }
    let stored: u64 = ranks.values().flatten().map(|(_, found)| found["stored_bytes"].as_u64().expect("bytes")).sum();
    let bytes: u64 = ranks[&0].iter().map(|(_, found)| found["bytes"].as_u64().expect("bytes")).sum();
    assert!(stored < bytes * 3 / 2, "{stored} bytes for two ranks of {bytes}");
    let said = project.afterlog(&["show", "last"]).ok();
    assert!(said.contains("\nrank 1: "), "{said}");
    let id = project.run_ids().pop().expect("a run");
    let output = project.read(&format!(".afterlog/runs/{id}/ranks/1/output.log"));
    let drawn = output.lines().find_map(|line| line.strip_prefix("drawn 1 ")).expect("its last line").to_owned();
    project.afterlog(&["checkpoint", "export", "last", "3", "--rank", "1", "-o", "one.pt"]).ok();
    let load = "import torch; s = torch.load('one.pt', weights_only=True); \
                print(s['drawn'][0].item(), s['weights']['weight'].sum().item())";
    assert_eq!(project.run(crate::env::torch_python(), &["-c", load]).ok().trim(), drawn);
    let none = project.afterlog(&["checkpoint", "ls", "last", "--rank", "7"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    // What one rank needs stays, and both give up the same.
    project.afterlog(&["fsck"]).ok();
    project.afterlog(&["gc", "--runs", "last", "--keep", "1"]).ok();
    project.afterlog(&["fsck"]).ok();
    let left = checkpoints(&project);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[&1].len() < ranks[&1].len() && !left[&1].is_empty(), "{left:?}");
    let moments = |rank: u64| left[&rank].iter().map(|(what, _)| what).collect::<Vec<_>>();
    assert_eq!(moments(0), moments(1));
    project.afterlog(&["gc", "--runs", "last", "--keep", "0"]).ok();
    let du = project.afterlog(&["du", "--format", "json"]).ok();
    let du: Value = serde_json::from_str(&du).expect("JSON");
    assert_eq!(du["checkpoint_bytes"], 0, "{du}");
}

#[test]
fn a_rank_takes_the_checkpoints_that_rank_0_decides_on() {
    let project = TestProject::plain();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = project.command(crate::env::python());
    command.args(["-c", DECISIONS]).env("PYTHONPATH", here.join("assets/runtime"));
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The decisions of three ranks on clocks of their own, for loops of long and of short iterations.
const DECISIONS: &str = "\
import os
from afterlog import _together
class Snapshots:
    gone = stopped = False
def play(iteration_ns, cost_ns, length, lag):
    fd = os.memfd_create('agreed')
    ranks = [_together.Together('adaptive', fd, rank == 0) for rank in range(3)]
    taken = [[] for _ in ranks]
    for rank in ranks:
        rank._start = rank._last = 0
    for at in range(length + 1):
        # The second is as far ahead as a rank can be that waits for the others once in each iteration; the third lags.
        for number, index in ((1, at if at == 0 else -1), (0, at), (1, at + 1), (2, at - lag)):
            if 0 <= index <= length:
                step(ranks[number], taken[number], index, length, iteration_ns, cost_ns)
    for at in range(length + 1 - lag, length + 1):
        step(ranks[2], taken[2], at, length, iteration_ns, cost_ns)
    return taken, ranks
def step(rank, taken, index, length, iteration_ns, cost_ns):
    # As in the runtime, short iterations are looked at now and then.
    now = index * iteration_ns
    if index > 1 and now < rank.looks_next and index != length and not rank.is_due(index):
        return
    rank.begin_iteration(Snapshots, now, index, length)
    rank.looks_next = now + 50_000_000
    if rank.materialise:
        taken.append(index)
        rank.copied(1 << 20, cost_ns)
        rank.add(cost_ns)
for iteration_ns, cost_ns, length in ((10**10, 10**7, 40), (10**9, 10**7, 100), (2 * 10**6, 10**6, 20000), (10**6, 10**5, 9)):
    for lag in (0, 1, 5):
        taken, ranks = play(iteration_ns, cost_ns, length, min(lag, length))
        assert taken[0] == taken[1] == taken[2], (iteration_ns, lag, taken)
        spent = len(taken[0]) * cost_ns
        assert spent <= 0.0037 * length * iteration_ns + cost_ns, (spent, length * iteration_ns)
        if spent > 2 * cost_ns:
            assert taken[0][-1] == length, taken[0]
            assert spent > 0.0009 * length * iteration_ns, taken[0]
taken = [_together.Together(mode, os.memfd_create('agreed'), False) for mode in ('all', 'off')]
for rank, wanted in zip(taken, (True, False)):
    for index in range(9):
        rank.begin_iteration(Snapshots, index, index, -1)
        assert rank.materialise is wanted
";

#[test]
fn a_rank_that_fails_is_named_and_fails_the_run() {
    let project = project();
    let finished = run(&project, &TORCHRUN, &["train.py"], "1");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("note: rank 1 failed: ValueError: bad shard"), "{finished:?}");
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("failed, exit code 1") && shown.contains("rank 1 failed: ValueError"), "{shown}");
}

#[test]
fn a_script_behind_another_program_is_recorded_and_a_second_process_of_it_is_not_mixed_in() {
    let project = TestProject::git();
    project.write("train.py", "import sys\nimport afterlog\nafterlog.log('x', 1)\nsys.exit(int(sys.argv[1]))\n");
    let finished = project.afterlog(&["run", "--", "env", "A=1", "python3", "-u", "train.py", "3"]);
    assert_eq!(finished.code, Some(3), "{finished:?}");
    let twice = "python3 \"$@\" && python3 \"$@\"";
    let finished = project.afterlog(&["run", "--", "sh", "-c", twice, "sh", "train.py", "0"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("a second process of rank 0 began"), "{finished:?}");
    let csv = project.afterlog(&["grid", "x", "--format", "csv"]).ok();
    assert_eq!(csv.lines().count(), 3, "one value a run: {csv}");
    // Nothing that Python runs: the run says that it holds nothing.
    let finished = project.afterlog(&["run", "--", "echo", "train.py"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("no process of rank 0"), "{finished:?}");
    let left = std::fs::read_dir(std::env::temp_dir()).expect("folder").flatten();
    let ids = project.run_ids();
    let left: Vec<_> =
        left.filter(|entry| ids.iter().any(|id| entry.path().ends_with(format!("afterlog-{id}")))).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_launchers_script_runs_unrecorded_where_nothing_can_be_recorded() {
    let project = TestProject::plain();
    project.write("train.py", "import afterlog\nprint('trained', afterlog.log('x', 1))\n");
    project.write(".afterlog", "not a folder");
    let finished = project.afterlog(&["run", "--", "env", "python3", "train.py"]);
    assert_eq!(finished.stdout, "trained 1\n", "{finished:?}");
    assert!(finished.stderr.contains("not recorded"), "{finished:?}");
}

#[test]
fn a_script_that_clears_the_temporary_folder_ends_as_ever() {
    let project = TestProject::plain();
    let script = "import afterlog, os, shutil, tempfile\n\
                  for left in os.listdir(tempfile.gettempdir()): shutil.rmtree(os.path.join(tempfile.gettempdir(), left))\n\
                  afterlog.log('x', 1)\n";
    project.write("train.py", script);
    let temporary = project.home().join("t");
    std::fs::create_dir(&temporary).expect("folder");
    let mut command = project.afterlog_command(&["run", "--", "env", "A=1", "python3", "train.py"]);
    let output = command.env("TMPDIR", &temporary).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(project.afterlog(&["grid", "x", "--format", "csv"]).ok().ends_with(",1\n"));
}
