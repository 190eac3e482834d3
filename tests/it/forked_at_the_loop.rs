//! Segments whose Python is forked from one that has executed what comes before the main loop: all that they compute, draw,
//! read and write is what it is in a process of their own, and where it might not be, nothing is forked.

use std::process::Stdio;

use nix::unistd::{Pid, getpgid};

use crate::env::TestProject;
use crate::kill::{kill_now, processes, until};

/// Records a run and has samples of it executed again; gives how many processes executed for several segments what comes
/// before the main loop, and what the segments noted. Every value must be the run's.
#[track_caller]
fn checked(project: &TestProject, script: &str, arguments: &[&str], fork: &str) -> String {
    project.write("train.py", script);
    project.afterlog(&[&["run", "--checkpoints", "all", "train.py"], arguments].concat()).ok();
    again(project, fork)
}

#[track_caller]
fn again(project: &TestProject, fork: &str) -> String {
    let (noted, said, segments) = performed(project, fork);
    assert!(segments.iter().all(|segment| segment["verdict"] == "verified"), "{said}{noted}");
    noted
}

fn performed(project: &TestProject, fork: &str) -> (String, String, Vec<serde_json::Value>) {
    let mut command = project.afterlog_command(&["replay", "--check", "last", "--sample", "4", "--jobs", "2", "--yes"]);
    let output = command.env("AFTERLOG_FORK", fork).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let (shared, segments) = last_job(project);
    let noted: Vec<&str> = segments
        .iter()
        .flat_map(|segment| segment["notes"].as_array().into_iter().flatten())
        .filter_map(|note| note.as_str())
        .collect();
    let noted = format!("{shared} shared {}", noted.join(" "));
    assert!(segments.len() > 2, "{said}{noted}");
    (noted, said, segments)
}

fn last_job(project: &TestProject) -> (usize, Vec<serde_json::Value>) {
    let shown = project.afterlog(&["jobs", "show", "last", "--json"]).ok();
    let job: serde_json::Value = serde_json::from_str(&shown).expect("a job");
    let folder = project.path().join(".afterlog/jobs").join(job["id"].as_str().expect("an id"));
    let files = std::fs::read_dir(folder).expect("the job").flatten();
    let shared = files.filter(|file| file.file_name().to_string_lossy().starts_with("prefix-")).count();
    (shared, job["segments"].as_array().expect("segments").clone())
}

/// Draws, writes, removes, keeps closures and arguments before the loop, and looks at all of it in every iteration.
const WHATEVER: &str = r#"
import argparse
import os
import pathlib
import random
import sys

import afterlog

parser = argparse.ArgumentParser()
parser.add_argument('--lr', type=float, default=0.1)
parser.add_argument('--epochs', type=int, default=6)
arguments = parser.parse_args()
print('begins')

def counter(start):
    count = start
    def count_on(by):
        nonlocal count
        count += by
        return count
    return count_on

count_on = counter(random.randrange(1000))
own = random.Random(7)
data = [own.random() for _ in range(50)]
random.shuffle(data)
os.remove('old/kept.txt')
os.rmdir('old')
os.makedirs('old/sub')
pathlib.Path('old/new.txt').write_text('new')
pathlib.Path('made.txt').write_text('made\n')
os.link('made.txt', 'also.txt')
os.environ['SET_BEFORE'] = 'yes'
temporary = pathlib.Path.home() / 'temporary'
temporary.mkdir(exist_ok=True)
pathlib.Path(temporary, 'in').write_text('temporary')
os.chdir('work')
home = pathlib.Path.home() / 'cache.txt'
home.write_text(str(data[0]))
for item in afterlog.loop('prepare', range(3)):
    afterlog.log('prepared', data[item])

def look():
    return '|'.join([
        ','.join(sorted(os.listdir('../old'))), pathlib.Path('../also.txt').read_text(), os.environ['SET_BEFORE'],
        pathlib.Path(temporary, 'in').read_text(), home.read_text(), os.path.basename(os.getcwd()), ' '.join(sys.argv[1:]),
    ])

MAIN
"#;

const AT_TOP: &str = "\
total = 0.0
for epoch in afterlog.loop('epoch', range(arguments.epochs)):
    for step in afterlog.loop('step', range(4)):
        total += random.random() * arguments.lr + random.choice(data) + count_on(step)
    afterlog.log('total', total)
    afterlog.log('seen', look())
";

const IN_A_FUNCTION: &str = "\
def main():
    total = 0.0
    for epoch in range(arguments.epochs):
        for step in range(4):
            total += random.random() * arguments.lr + random.choice(data) + count_on(step)
        afterlog.log('total', total)
        afterlog.log('seen', look())

if __name__ == '__main__':
    main()
";

fn prepared() -> TestProject {
    let project = TestProject::git();
    project.write("old/kept.txt", "kept\n");
    project.write("work/here.txt", "here\n");
    project.commit("start");
    project
}

/// What the script removed and wrote is put back, as a user does.
fn put_back(project: &TestProject) {
    for path in ["old", "made.txt", "also.txt"] {
        let path = project.path().join(path);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.expect("removed");
    }
    project.write("old/kept.txt", "kept\n");
}

#[test]
fn what_comes_before_a_loop_is_executed_once_and_all_that_follows_is_the_same() {
    for main in [AT_TOP, IN_A_FUNCTION] {
        let project = prepared();
        project.write("train.py", WHATEVER.replace("MAIN", main));
        project.afterlog(&["run", "--checkpoints", "all", "train.py", "--lr", "0.5"]).ok();
        put_back(&project);
        // What is read of files that were written before the loop is verified in neither.
        let (own, said, alone) = performed(&project, "off");
        assert_eq!(own, "0 shared ", "{said}");
        let (noted, said, forked) = performed(&project, "always");
        assert_eq!(noted, "1 shared ", "{said}");
        for (alone, forked) in alone.iter().zip(&forked) {
            assert_eq!((&alone["span"], &alone["state"]), (&forked["span"], &forked["state"]), "{said}");
            assert!(!said.contains("diverged"), "{said}");
        }
        assert!(!project.path().join("made.txt").exists(), "nothing of the user's was written");
        let (_, segments) = last_job(&project);
        let job = project.path().join(".afterlog/jobs");
        let job = std::fs::read_dir(job).expect("jobs").flatten().map(|job| job.path()).max().expect("a job");
        for segment in 0..segments.len() {
            let folder = job.join("segments").join(segment.to_string());
            let printed = std::fs::read_to_string(folder.join("output.log")).expect("an output");
            assert_eq!(printed.matches("begins").count(), 1, "{printed}");
        }
        let left = job.join("segments").join(segments.len().to_string()).join("scratch");
        assert!(!left.exists(), "nothing is left of the process that was shared");
    }
}

const TORCH: &str = r#"
import random
import numpy as np
import torch
import afterlog

class Items(torch.utils.data.Dataset):
    def __init__(self):
        self.items = torch.randn(64, 8)
    def __len__(self):
        return len(self.items)
    def __getitem__(self, index):
        return self.items[index] + torch.randn(1).item() * 0.01

def main():
    torch.manual_seed(5)
    wide = torch.randn(300, 300)
    # All threads compute before the loop, and gradients are asked for.
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    (model(torch.randn(512, 8)).sum() + (wide @ wide).sum() * 0).backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader = torch.utils.data.DataLoader(Items(), batch_size=16, shuffle=True, num_workers=WORKERS)
    for batch in loader:
        pass
    # Of two loading processes it is in memory that these shared.
    del batch
    for epoch in afterlog.loop('epoch', range(5)):
        for batch in afterlog.loop('step', loader):
            loss = model(batch).pow(2).mean() + np.random.random() + random.random()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            afterlog.log('loss', loss.item())
        afterlog.log('wide', (wide @ wide).sum().item() + (wide.numpy() @ wide.numpy()).sum().item())
        afterlog.log('threads', torch.get_num_threads())

main()
"#;

#[test]
fn models_and_loaders_go_on_in_forked_processes_as_in_their_own() {
    for workers in ["0", "2"] {
        let project = TestProject::git().with_torch();
        assert_eq!(
            checked(&project, &TORCH.replace("WORKERS", workers), &[], "always"),
            "1 shared ",
            "{workers} workers"
        );
    }
}

#[test]
fn added_statements_have_the_same_values_from_shared_and_from_own_processes() {
    let script = "\
import json, os, random, sys, time
import afterlog
def look():
    status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
    kept = ['Name', 'Umask', 'Uid', 'Threads', 'NoNewPrivs', 'SigBlk', 'SigIgn', 'SigCgt', 'CapInh', 'CapPrm', 'CapEff']
    files = sorted(os.listdir('/proc/self/fd'), key=int)
    places = [os.path.basename(os.readlink('/proc/self/fd/' + fd).split(':')[0]) for fd in files if int(fd) > 2 and os.path.exists('/proc/self/fd/' + fd)]
    words = open('/proc/self/cmdline').read().rstrip('\\0').split('\\0')
    return json.dumps([[status[name].strip() for name in kept], files[:-1], places, words[1:], sorted(os.environ.items()),
                       os.getcwd(), sys.argv, sys.path, os.getpgrp() != int(os.readlink('/proc/self')), sys.flags[:]])
start = random.random()
total = 0.0
for epoch in afterlog.loop('epoch', range(9)):
    for step in afterlog.loop('step', range(3)):
        time.sleep(0.15)
        total += start + random.random()
        # here
    afterlog.log('total', total)
";
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let values = |name: &str| {
        project.write(
            "train.py",
            script.replace("# here", &format!("afterlog.log('{name}', str(total * start) + look())")),
        );
        let mut command = project.afterlog_command(&["replay", name, "--yes", "--jobs", "3"]);
        let output =
            command.env("AFTERLOG_FORK", if name == "own" { "off" } else { "always" }).output().expect("starts");
        assert!(output.status.success(), "{output:?}");
        let (shared, segments) = last_job(&project);
        assert!(segments.len() > 2 && segments.iter().all(|segment| segment["verdict"] == "verified"), "{segments:?}");
        assert_eq!(shared, usize::from(name != "own"));
        let csv = project.afterlog(&["grid", name, "--no-verdicts", "--format", "csv"]).ok();
        csv.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let own = values("own");
    assert_eq!(own.len(), 27);
    for (shared, own) in values("shared").iter().zip(&own) {
        assert_eq!(shared, own);
    }
}

const PLAIN: &str = "\
import afterlog
BEFORE
total = 0.0
for epoch in afterlog.loop('epoch', range(5)):
    for step in afterlog.loop('step', range(2)):
        total += step + 0.5
    afterlog.log('total', total)
";

#[test]
fn what_a_forked_process_would_share_or_lack_has_each_segment_execute_all_itself_and_say_why() {
    for (before, why) in [
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(3,), daemon=True, name='loads').start()",
            "the thread loads",
        ),
        ("kept = open('kept.txt', 'w+')", "kept.txt is open"),
        ("import socket\nkept = socket.socket()", "is open"),
        ("import subprocess\nkept = subprocess.Popen(['sleep', '3'])", "a process that was started"),
        ("import mmap\nkept = mmap.mmap(-1, 4096)", "memory is shared"),
        ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 900)", "a timer runs"),
        ("import os\nMAIN = os.getpid()", "__main__ looks at the process id"),
        ("import multiprocessing as mp\nMAIN = mp.current_process().pid", "__main__ looks at the process id"),
        ("import threading\nMAIN = threading.get_native_id()", "__main__ looks at the process id"),
    ] {
        let project = TestProject::git();
        let noted = checked(&project, &PLAIN.replace("BEFORE", before), &[], "always");
        // Those that asked were told; for later ones there is nobody to ask any more.
        assert!(noted.contains(why), "{before}: {noted}");
    }
    let project = TestProject::git();
    let closed = "import sys, tempfile\nwith open('made.txt', 'w') as file:\n    file.write('x')\n";
    assert_eq!(checked(&project, &PLAIN.replace("BEFORE", closed), &[], "always"), "1 shared ");
}

#[test]
fn it_is_shared_only_where_it_takes_longer_than_sharing() {
    let project = TestProject::git();
    assert_eq!(checked(&project, &PLAIN.replace("BEFORE", ""), &[], ""), "0 shared ");
    let slow = PLAIN.replace("BEFORE", "import time\ntime.sleep(1.2)\nMORE");
    assert_eq!(checked(&project, &slow.replace("MORE", ""), &[], ""), "1 shared ");
    // Where it could not be, nobody waits for that again.
    let asks = slow.replace("MORE", "import os\nMAIN = os.getpid()");
    assert!(checked(&project, &asks, &[], "").starts_with("1 shared what"));
    assert_eq!(again(&project, ""), "0 shared ");
}

/// A replay of samples that takes a while to come to the main loop.
fn slow(project: &TestProject) -> std::process::Child {
    project.write("train.py", PLAIN.replace("BEFORE", "import time\ntime.sleep(1.5)"));
    project.afterlog(&["run", "--checkpoints", "all", "train.py", "slow=1"]).ok();
    let mut command = project.afterlog_command(&["replay", "--check", "last", "--sample", "4", "--jobs", "2", "--yes"]);
    let command = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().expect("starts")
}

fn job(project: &TestProject) -> String {
    let jobs = project.path().join(".afterlog/jobs");
    until("a job", || {
        let found = std::fs::read_dir(&jobs).ok()?.flatten().next()?;
        Some(found.file_name().to_string_lossy().into_owned())
    })
}

#[test]
fn where_the_shared_process_is_killed_before_the_loop_each_segment_executes_all_itself() {
    let project = TestProject::git();
    let mut replaying = slow(&project);
    let job = job(&project);
    kill_now(until("the shared process", || processes(&["__worker", &job, "--prefix"]).first().copied()));
    assert!(replaying.wait().expect("ends").success());
    let (shared, segments) = last_job(&project);
    assert_eq!((shared, segments.len()), (1, 4));
    assert!(segments.iter().all(|segment| segment["verdict"] == "verified"), "{segments:?}");
}

/// In a process that was forked at the loop it does not go on; nor does it fail in any.
const HELD: &str = "\
import os, random, sys, time
import afterlog
random.seed(2)
total = 0.0
for epoch in afterlog.loop('epoch', range(8)):
    total += random.random()
    parent = open('/proc/%d/cmdline' % os.getppid()).read()
    if os.environ.get('_HOLD') and 'train.py' in parent and 'serve.py' not in parent:
        print('holding', flush=True)
        time.sleep(600)
    afterlog.log('total', total)
";

fn until_held(project: &TestProject, job: &str, count: usize) {
    until("segments to hold", || {
        let segments = std::fs::read_dir(project.path().join(".afterlog/jobs").join(job).join("segments")).ok()?;
        let logs = segments.flatten().map(|segment| std::fs::read_to_string(segment.path().join("output.log")));
        (logs.filter(|log| log.as_ref().is_ok_and(|log| log.contains("holding"))).count() == count).then_some(())
    });
}

#[test]
fn where_the_shared_process_is_killed_in_the_middle_of_segments_each_is_executed_alone_and_verified() {
    let project = TestProject::git();
    project.write("train.py", HELD);
    project.afterlog(&["run", "--checkpoints", "all", "train.py", "held=1"]).ok();
    let mut command = project.afterlog_command(&["replay", "--check", "last", "--sample", "4", "--jobs", "2", "--yes"]);
    let command = command.env("AFTERLOG_FORK", "always").env("_HOLD", "yes");
    let mut replaying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let job = job(&project);
    until_held(&project, &job, 2);
    let worker = *processes(&["__worker", &job, "--prefix"]).first().expect("the shared process's");
    let of_worker = |process: &Pid| getpgid(Some(*process)).is_ok_and(|group| group == worker);
    kill_now(processes(&["train.py", "held=1"]).into_iter().find(of_worker).expect("the shared process"));
    assert!(replaying.wait().expect("ends").success());
    let (_, segments) = last_job(&project);
    assert!(segments.iter().all(|segment| segment["verdict"] == "verified"), "{segments:?}");
    let notes: Vec<String> = segments.iter().map(|segment| segment["notes"].to_string()).collect();
    let killed = notes.iter().filter(|notes| notes.contains("the process that had forked its own was killed"));
    assert_eq!(killed.count(), 2, "{notes:?}");
    assert!(!project.path().join(".afterlog/runs").join(&project.run_ids()[0]).join("unshared.txt").exists());
}

#[test]
fn a_process_that_cannot_be_shared_ends_while_segments_run() {
    let project = TestProject::git();
    let script = HELD.replace("random.seed(2)", "main = os.getpid()");
    project.write("train.py", script.replace("'train.py' in parent and 'serve.py' not in parent", "True"));
    project.afterlog(&["run", "--checkpoints", "all", "train.py", "held=1"]).ok();
    let mut command = project.afterlog_command(&["replay", "--check", "last", "--sample", "4", "--jobs", "2", "--yes"]);
    let command = command.env("AFTERLOG_FORK", "always").env("_HOLD", "yes");
    let mut replaying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let job = job(&project);
    until_held(&project, &job, 2);
    until("the end of the process", || processes(&["__worker", &job, "--prefix"]).is_empty().then_some(()));
    kill_now(*processes(&["__coordinate", &job]).first().expect("the coordinator"));
    replaying.wait().expect("ends");
    until("the end of all workers", || processes(&["__worker", &job]).is_empty().then_some(()));
}

#[test]
fn where_nothing_can_be_forked_any_more_segments_are_executed_alone_and_the_script_never_sees_it() {
    // As where there is no memory for one more; the first is forked to see whether threads remain.
    let fails = "import os\nfork, forked = os.fork, []\ndef fails():\n    forked.append(1)\n    \
                 if len(forked) > MANY:\n        raise OSError(12, 'no memory is left')\n    return fork()\nos.fork = fails";
    for many in ["0", "1", "2"] {
        let project = TestProject::git();
        let noted = checked(&project, &PLAIN.replace("BEFORE", &fails.replace("MANY", many)), &[], "always");
        assert!(noted.starts_with("1 shared") && noted.contains("no memory is left"), "{many}: {noted}");
        // It is so today only.
        assert!(!project.path().join(".afterlog/runs").join(&project.run_ids()[0]).join("unshared.txt").exists());
    }
}

#[test]
fn what_a_script_does_with_the_ends_of_its_children_is_not_done_with_segments() {
    let reaps = "import os, signal\nended = []\ndef reap(number, frame):\n    try:\n        \
                 ended.append(os.waitpid(-1, os.WNOHANG))\n    except ChildProcessError:\n        pass\n";
    for handler in ["reap", "signal.SIG_IGN"] {
        let project = TestProject::git();
        let before = format!("{reaps}signal.signal(signal.SIGCHLD, {handler})");
        let script = PLAIN.replace("BEFORE", &before)
            + "    mask = [line for line in open('/proc/self/status') if line.startswith('SigBlk')]\n    \
               afterlog.log('children', f'{mask} {signal.getsignal(signal.SIGCHLD) == HANDLER} {len(ended)}')\n"
                .replace("HANDLER", handler)
                .as_str();
        assert_eq!(checked(&project, &script, &[], "always"), "1 shared ", "{handler}");
    }
}

#[test]
fn a_killed_coordinator_takes_the_shared_process_along() {
    let project = TestProject::git();
    let mut replaying = slow(&project);
    let job = job(&project);
    until("the shared process", || processes(&["__worker", &job, "--prefix"]).first().copied());
    kill_now(until("the coordinator", || processes(&["__coordinate", &job]).first().copied()));
    replaying.wait().expect("ends");
    until("the end of all workers", || processes(&["__worker", &job]).is_empty().then_some(()));
    let place = project.path().to_string_lossy().into_owned();
    until("the end of all scripts", || processes(&["train.py", "slow=1", &place]).is_empty().then_some(()));
}

#[test]
fn what_a_run_holds_open_where_its_loop_begins_is_known_to_its_replays_without_trying() {
    let script = "import random, threading, time, afterlog\nrandom.seed(1)\ntime.sleep(1.5)\n# holds\ntotal = 0.0\n\
                  for epoch in afterlog.loop('epoch', range(8)):\n    total += random.random()\n    \
                  afterlog.log('total', total)\n";
    let waits = "waiting = threading.Thread(target=threading.Event().wait, daemon=True)\nwaiting.start()";
    for (holds, shared) in [("log = open('log.txt', 'w')", "0 shared"), (waits, "0 shared"), ("pass", "1 shared")] {
        let project = TestProject::git();
        let noted = checked(&project, &script.replace("# holds", holds), &[], "auto");
        assert!(noted.starts_with(shared), "{holds}: {noted}");
    }
}
