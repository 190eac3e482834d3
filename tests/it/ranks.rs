//! Scripts that a launcher starts: rank 0 is the run, the others keep their own record, and no value is made up for any.

use std::collections::BTreeSet;

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
    for launcher in [&TORCHRUN[..], &as_module] {
        run(&project, launcher, &["train.py", "--lr", "1"], "-1").ok();
        let csv = project.afterlog(&["grid", "rank", "--runs", "last", "--format", "csv"]).ok();
        let values: Vec<&str> = csv.lines().skip(1).map(|line| line.rsplit(',').next().expect("a cell")).collect();
        assert_eq!(values, ["0", "0"], "{csv}");
        let shown = project.afterlog(&["show", "last"]).ok();
        assert!(shown.contains("finished, exit code 0") && shown.contains("train.py --lr 1"), "{shown}");
        assert!(!shown.contains("note:"), "{shown}");
        let drawn: Vec<String> = (0..2).map(|rank| project.read(&format!("drawn-{rank}"))).collect();
        let numbers: BTreeSet<&str> = drawn.iter().flat_map(|line| line.split_whitespace().take(2)).collect();
        assert_eq!(numbers.len(), 4, "each rank draws numbers of its own: {drawn:?}");
        assert!(drawn.iter().all(|line| line.ends_with("['train.py', '--lr', '1']\n")), "{drawn:?}");
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
