//! Segments whose Python is forked from one that has their imports: their values are those of a process started afresh,
//! and where forking could not give that, it is not done.

use crate::env::TestProject;

/// How many servers the last job had, and what its segments say of how they were performed.
fn notes(project: &TestProject) -> String {
    let jobs = project.path().join(".afterlog/jobs");
    let mut jobs: Vec<_> = std::fs::read_dir(jobs).expect("jobs").flatten().map(|job| job.path()).collect();
    jobs.sort();
    let servers = std::fs::read_dir(jobs.last().expect("a job")).expect("the job").flatten();
    let servers = servers.filter(|file| file.file_name().to_string_lossy().starts_with("fork-server-")).count();
    let shown = project.afterlog(&["jobs", "show", "last", "--json"]);
    let job: serde_json::Value = serde_json::from_str(&shown.stdout).expect("a job");
    let segments = job["segments"].as_array().expect("segments").iter();
    let noted: Vec<String> = segments
        .flat_map(|segment| segment["notes"].as_array().cloned().unwrap_or_default())
        .map(|note| note.as_str().unwrap_or_default().to_owned())
        .collect();
    format!("{servers} servers {}", noted.join(" "))
}

/// Adds a statement to `train.py` that logs `expression` as `name`, at the end of the main loop's body, and replays it.
#[track_caller]
fn replay(project: &TestProject, script: &str, name: &str, expression: &str, fork: bool) {
    project.write("train.py", script.replace("# end\n", &format!("afterlog.log('{name}', {expression})\n")));
    let mut command = project.afterlog_command(&["replay", name, "--yes", "--jobs", "2"]);
    command.env("AFTERLOG_FORK", if fork { "" } else { "off" });
    let output = command.output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", notes(project));
    assert!(!said.contains("diverged") && !said.contains("unverified"), "{said}");
}

/// The values of two names in all runs and iterations, which must be equal and some.
#[track_caller]
fn assert_same(project: &TestProject, one: &str, other: &str) {
    let values = |name: &str| {
        let csv = project.afterlog(&["grid", name, "--no-verdicts", "--format", "csv"]).ok();
        csv.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let (one, other) = (values(one), values(other));
    assert!(one.len() > 2, "{one:?}");
    assert_eq!(one, other);
}

/// Everything that draws, hashes, computes in several threads, starts processes or looks at its surroundings. What it logs
/// as `all` holds every value.
const EVERYTHING: &str = r#"
"""Trains nothing."""
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import sys

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import afterlog
import helper

THREADS_AT_IMPORT = os.environ.get('OMP_NUM_THREADS'), os.environ.get('PYTHONPATH', '')[-3:]


class Thing:
    def __init__(self, value):
        self.value = value


def square(x):
    return x * x


def main():
    names = {'a%d' % i for i in range(30)}
    thing = pickle.loads(pickle.dumps(Thing(7)))
    generator = np.random.RandomState(5)
    data = DataLoader(TensorDataset(torch.arange(8.0)), batch_size=2, shuffle=True, num_workers=2)
    wide = torch.randn(400, 400)
    with multiprocessing.get_context('fork').Pool(2) as pool:
        forked = pool.map(square, range(4))
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        spawned = pool.map(square, range(4))
    for epoch in afterlog.loop('epoch', range(2)):
        drawn = [random.random(), np.random.rand(), torch.rand(1).item(), generator.rand()]
        seen = [batch[0].tolist() for batch in data]
        product = hashlib.sha256((wide @ wide).numpy().tobytes() + (wide.numpy() @ wide.numpy()).tobytes()).hexdigest()
        with open('table.csv') as file:
            table = file.read()
        everything = json.dumps([
            drawn, sorted(names) == list(names), list(names), seen, product, torch.get_num_threads(), forked, spawned,
            thing.value, type(thing).__module__, table, helper.NAME, helper.__file__, sys.argv, sys.path, os.getcwd(),
            THREADS_AT_IMPORT, __file__, __name__, sys.modules['__main__'].__dict__ is globals(), sys.flags[:],
        ])
        afterlog.log('all', everything)
        # end


if __name__ == '__main__':
    main()
"#;

#[test]
fn whatever_draws_hashes_computes_or_looks_around_gives_in_forked_segments_what_it_gave_in_the_runs() {
    let project = TestProject::git().with_torch();
    project.write("table.csv", "1,2\n");
    for version in ["first", "second"] {
        project.write("train.py", EVERYTHING);
        project.write("helper.py", format!("NAME = '{version}'\n"));
        project.afterlog(&["run", "--checkpoints", "off", "train.py", &format!("name={version}"), "7"]).ok();
    }
    project.write("table.csv", "what the user has now\n");
    project.write("helper.py", "NAME = 'now'\n");
    replay(&project, EVERYTHING, "again", "everything", true);
    assert_eq!(notes(&project), "1 servers ", "every segment was forked");
    assert_same(&project, "all", "again");
    assert_eq!(project.read("table.csv") + &project.read("helper.py"), "what the user has now\nNAME = 'now'\n");
}

#[test]
fn a_script_with_an_optimizer_is_forked_with_all_that_the_optimizer_imports() {
    let script = format!("{}        # end\n", include_str!("../fixtures/scripts/torch_mlp.py"));
    let project = TestProject::git().with_torch();
    project.write("train.py", &script);
    for seed in ["seed=1", "seed=2"] {
        project.afterlog(&["run", "--checkpoints", "all", "train.py", "epochs=3", "steps=4", "width=8", seed]).ok();
    }
    replay(&project, &script, "again", "validation.item()", true);
    assert_eq!(notes(&project), "1 servers ", "every segment was forked");
    assert_same(&project, "val_loss", "again");
}

/// What a process can find out about itself. Numbers of processes and addresses are left out.
const SURROUNDINGS: &str = r#"
import gc, json, os, platform, resource, signal, sys, threading, warnings
import afterlog

def surroundings():
    status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
    kept = ['Name', 'Umask', 'Uid', 'Gid', 'Groups', 'Threads', 'NoNewPrivs', 'Seccomp', 'SigBlk', 'SigIgn', 'SigCgt',
            'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'Cpus_allowed']
    files = sorted(os.listdir('/proc/self/fd'))
    places = [os.path.basename(os.readlink('/proc/self/fd/' + fd)).split(':')[0] for fd in files if int(fd) < 3]
    streams = [[stream.name, stream.mode, stream.encoding, stream.errors, stream.isatty(), stream.seekable()]
               for stream in (sys.stdin, sys.stdout, sys.stderr)]
    handlers = [str(signal.getsignal(number)) for number in (2, 13, 15, 17)]
    parent = os.readlink('/proc/self/exe')
    # A value that calls `getpid` is never borne out.
    own = int(os.readlink('/proc/self'))
    words = open('/proc/self/cmdline').read().rstrip('\0').split('\0')
    return json.dumps([
        [status[name].strip() for name in kept if name in status], len(files), places, streams, handlers, parent,
        words[1:], sys.orig_argv[1:] if hasattr(sys, 'orig_argv') else None, sorted(os.environ.items()), os.getcwd(),
        [thread.name for thread in threading.enumerate()], gc.get_threshold(), sys.flags[:], sys.path, sys.meta_path.__len__(),
        [str(rule) for rule in warnings.filters], resource.getrlimit(resource.RLIMIT_NOFILE), sys.dont_write_bytecode,
        sys.argv, sys.executable, sys.getrecursionlimit(), os.path.exists('/proc/self/mem') and os.access('/proc/self/mem', 2),
        hash('text'), os.stat.__module__, type(sys.argv).__name__, os.getsid(0) != own, os.getpgrp() != own,
        sorted(name for name in sys.modules if name in ('launch', 'serve', 'train')), len(os.listdir('/proc/self/task')),
    ])

total = 0
for epoch in afterlog.loop('epoch', range(2)):
    total += epoch
    afterlog.log('total', total)
    # end
"#;

#[test]
fn a_forked_process_finds_itself_as_one_that_was_started_afresh() {
    let project = TestProject::git();
    project.write("train.py", SURROUNDINGS);
    for name in ["which=one", "which=two"] {
        project.afterlog(&["run", "--checkpoints", "off", "train.py", name, "a b"]).ok();
    }
    replay(&project, SURROUNDINGS, "fresh", "surroundings()", false);
    assert_eq!(notes(&project), "0 servers ");
    replay(&project, SURROUNDINGS, "forked", "surroundings()", true);
    assert_eq!(notes(&project), "1 servers ");
    assert_same(&project, "fresh", "forked");
}

const PLAIN: &str = "\
import thing
import afterlog
total = 0.0
for epoch in afterlog.loop('epoch', range(2)):
    total += thing.VALUE
    afterlog.log('total', total)
    # end
";

/// Records two runs of a script that imports `thing` from outside the project, and replays `total` under another name.
/// Gives what the segments noted.
#[track_caller]
fn importing(thing: &str, prepare: impl Fn(&TestProject)) -> String {
    importing_in(&TestProject::git(), thing, prepare)
}

#[track_caller]
fn importing_in(project: &TestProject, thing: &str, prepare: impl Fn(&TestProject)) -> String {
    project.write("../home/libraries/thing.py", thing);
    project.write("../home/libraries/other.py", "");
    let libraries = project.home().join("libraries");
    project.write("train.py", PLAIN);
    for which in ["which=one", "which=two"] {
        prepare(project);
        let mut run = project.afterlog_command(&["run", "--checkpoints", "off", "train.py", which]);
        assert!(run.env("PYTHONPATH", &libraries).status().expect("starts").success());
    }
    replay(project, PLAIN, "again", "total", true);
    assert_same(project, "total", "again");
    notes(project)
}

#[test]
fn imports_that_do_more_than_define_are_done_afresh_and_the_segment_says_why() {
    assert_eq!(importing("VALUE = 1.5\n", |_| {}), "1 servers ");
    for (thing, why) in [
        ("import random\nVALUE = random.random()\n", "importing draws random numbers"),
        (
            "import threading, time\nVALUE = 1\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n",
            "importing starts threads",
        ),
        ("print('loaded')\nVALUE = 1\n", "importing prints"),
        ("import sys\nVALUE = len(sys.argv)\n", "importing looks at the command line"),
        ("import subprocess\nVALUE = len(subprocess.check_output(['echo', 'x']))\n", "importing starts programs"),
        ("import sys\nVALUE = 1\nsys.path.append('/nowhere')\n", "importing changes sys.path"),
        (
            "import multiprocessing\nVALUE = 1\nLOCK = multiprocessing.Lock()\n",
            "importing opens files or shares memory",
        ),
        ("VALUE = 1\nFILE = open(__file__)\n", "importing opens files or shares memory"),
        ("VALUE = 1\nopen(__file__, 'a').close()\n", "importing failed: OSError"),
    ] {
        let noted = importing(thing, |_| {});
        assert_eq!(noted.matches(why).count(), 2, "{thing}: {noted}");
    }
}

#[test]
fn imports_that_would_have_found_something_else_in_the_version_are_done_afresh() {
    // A file of the version's that the library reads; the user's is another now.
    let reads = "import os\nVALUE = float(open('config.txt').read()) if os.path.exists('config.txt') else 0.5\n";
    let noted = importing(reads, |project| {
        let next = if project.path().join("config.txt").exists() { "2\n" } else { "1\n" };
        project.write("config.txt", next);
    });
    assert_eq!(noted.matches("config.txt, which differs in this version").count(), 1, "{noted}");
    // A module of the version's that has the name of one that the library looks for.
    let optional = "try:\n    import extra\n    VALUE = extra.VALUE\nexcept ImportError:\n    VALUE = 0.25\n";
    let noted = importing(optional, |project| project.write("extra.py", "VALUE = 3.0\n"));
    assert_eq!(noted.matches("the project has a module of the name extra").count(), 2, "{noted}");
    let noted = importing("import other\nVALUE = len(dir(other))\n", |project| project.write("other.py", "A = 1\n"));
    assert_eq!(noted.matches("the project has a module of the name other").count(), 2, "{noted}");
}

/// Importing this asks how many GPUs there are, as far as torch can tell afterwards: a process forked from one that has
/// asked the driver is told by torch that it cannot use them.
const COUNTING: &str = "\
import os, torch
VALUE = float(torch.cuda.device_count()) + 1
os.register_at_fork(after_in_child=lambda: setattr(torch.cuda, '_is_in_bad_fork', lambda: True))
";

#[test]
fn imports_that_ask_for_the_gpus_are_done_afresh() {
    let noted = importing_in(&TestProject::git().with_torch(), COUNTING, |_| {});
    assert_eq!(noted.matches("importing counts the GPUs").count(), 2, "{noted}");
}
