//! Scripts that do odd things, in odd places and environments: they behave as under plain Python, and what they logged is there.

use std::process::Command;

use crate::env::{Finished, TestProject, python};

/// Logs six losses, before what the script does besides.
const BEGINNING: &str = "\
import afterlog
for epoch in afterlog.loop('epoch', range(3)):
    for step in afterlog.loop('step', range(2)):
        afterlog.log('loss', epoch + step / 4)
";

/// The same in a script that processes of its own import again.
const POOLS: &str = "\
import multiprocessing
import afterlog
def double(x):
    afterlog.log('loss', x)
    return 2 * x
if __name__ == '__main__':
    for epoch in afterlog.loop('epoch', range(3)):
        for step in afterlog.loop('step', range(2)):
            afterlog.log('loss', epoch + step / 4)
    for how in ('fork', 'spawn'):
        with multiprocessing.get_context(how).Pool(2) as pool:
            print(how, pool.map(double, range(3)))
";

fn finished(command: &mut Command) -> Finished {
    let output = command.output().expect("runs");
    // Byte by byte: not everything that scripts write is text.
    let text =
        |bytes: &[u8]| bytes.iter().map(|byte| std::ascii::escape_default(*byte).to_string()).collect::<String>();
    Finished { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Runs a script under plain Python and recorded: it prints, fails and ends alike, and its six losses are kept.
#[track_caller]
fn same(project: &TestProject, what: &str, flags: &[&str], script: &str, environment: &[(&str, Option<&str>)]) {
    let place = |command: &mut Command| {
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    };
    // Where plain Python finds the calls, which then record nothing.
    let library = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/runtime");
    let mut plain = project.command(python());
    plain.args(flags).arg(script).env("PYTHONPATH", library).env("AFTERLOG_CHILD", "1");
    let mut ours = project.afterlog_command(&["run", "--quiet", "--", "python3"]);
    ours.args(flags).arg(script);
    place(&mut plain);
    place(&mut ours);
    let (plain, ours) = (finished(&mut plain), finished(&mut ours));
    // Python's own code for a signal is the shell's here.
    assert_eq!((&ours.stdout, &ours.stderr), (&plain.stdout, &plain.stderr), "{what}");
    assert_eq!(ours.code, plain.code, "{what}");
    let csv = project.afterlog(&["grid", "loss", "--runs", "last", "--format", "csv"]).ok();
    assert_eq!(csv.lines().count(), 7, "{what}: {csv}");
}

#[test]
fn what_a_script_does_to_its_own_process_changes_neither_its_behaviour_nor_its_record() {
    let project = TestProject::plain();
    for (what, script) in [
        (
            "bytes that are no text",
            "import os, sys\nsys.stdout.buffer.write(b'\\xff\\x00\\n')\nos.write(2, b'\\x80\\n')\n",
        ),
        ("standard output closed", "import sys\nprint('a')\nsys.stdout.close()\nafterlog.log('more', 1)\n"),
        ("standard output gone", "import sys\nsys.stdout = None\nprint('nowhere')\n"),
        ("standard output replaced", "import io, sys\nsys.stdout = io.StringIO()\nsys.__stdout__.write('y\\n')\n"),
        ("standard output wrapped", "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach())\nprint('x')\n"),
        ("another encoding", "import sys\nsys.stdout.reconfigure(encoding='latin-1')\nprint('\\xe9')\n"),
        ("output into a file", "import os\nos.dup2(os.open('out', os.O_CREAT | os.O_RDWR), 1)\nprint('there')\n"),
        (
            "daemon threads",
            "import threading, time\ndef f():\n    while True:\n        afterlog.log('t', 1.0)\nthreading.Thread(target=f, daemon=True).start()\ntime.sleep(0.1)\n",
        ),
        (
            "too deep",
            "def f(n):\n    afterlog.log('n', n)\n    f(n + 1)\ntry:\n    f(0)\nexcept RecursionError:\n    print('caught')\n",
        ),
        (
            "collections",
            "import gc\nseen = []\ngc.callbacks.append(lambda phase, info: seen.append(phase))\ngc.collect()\nprint(len(seen) >= 2, gc.isenabled(), gc.get_threshold())\n",
        ),
        (
            "its folder removed",
            "import os, shutil\nos.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')\nafterlog.log('more', 1)\n",
        ),
        ("another folder", "import os\nos.chdir('/')\nprint(os.getcwd())\n"),
        (
            "few files",
            "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))\nprint(len(open(__file__).read()) > 9)\n",
        ),
        (
            "fork",
            "import os\npid = os.fork()\nif pid == 0:\n    afterlog.log('loss', 99.0)\n    os._exit(0)\nprint(os.waitpid(pid, 0)[1])\n",
        ),
        (
            "threads",
            "import threading\ndef f(k):\n    for i in range(500):\n        afterlog.log('t%d' % i, k)\nall = [threading.Thread(target=f, args=(k,)) for k in range(8)]\n[t.start() for t in all]\n[t.join() for t in all]\nprint('done')\n",
        ),
        (
            "interrupted",
            "import os, signal, time\nsignal.signal(2, signal.default_int_handler)\ntry:\n    os.kill(os.getpid(), 2)\n    time.sleep(5)\nexcept KeyboardInterrupt:\n    print('saved')\n",
        ),
        (
            "traced",
            "import sys\nlines = []\nsys.settrace(lambda *what: lines.append(what))\nafterlog.log('more', 1)\nsys.settrace(None)\nprint(len(lines) > 0)\n",
        ),
    ] {
        project.write("train.py", format!("{BEGINNING}{script}"));
        same(&project, what, &[], "train.py", &[]);
    }
    project.write("train.py", POOLS);
    same(&project, "pools of processes", &[], "train.py", &[]);
}

#[test]
fn a_variable_that_a_thread_takes_away_while_the_environment_is_read_costs_the_training_nothing() {
    let project = TestProject::plain();
    let leaving = "import os\nos.environ['FLEETING'] = '1'\nkind, there = type(os.environ), type(os.environ).__getitem__\n\
                   def get(self, name):\n    if name == 'FLEETING':\n        raise KeyError(name)\n    \
                   return there(self, name)\nkind.__getitem__ = get\n";
    project.write("train.py", format!("{leaving}{BEGINNING}print('done')\n"));
    same(&project, "a variable that leaves", &[], "train.py", &[]);
}

#[test]
fn odd_environments_and_flags_are_those_of_plain_python() {
    let project = TestProject::plain();
    project.write("beside.py", "");
    let script = "import sys\nprint(sys.flags, sys.stdout.encoding, sys.stdout.errors, sys.getfilesystemencoding())\ntry:\n    import beside\nexcept ImportError:\n    print('alone')\nassert not __debug__\n";
    project.write("train.py", format!("{BEGINNING}{script}"));
    let many: Vec<String> = (0..1000).map(|number| format!("V{number}")).collect();
    let long = "y".repeat(500);
    let huge: Vec<(&str, Option<&str>)> = many.iter().map(|name| (name.as_str(), Some(long.as_str()))).collect();
    // Plain Python is given the hash seed too: `sys.flags` shows whether there is one.
    let seeded = ("PYTHONHASHSEED", Some("7"));
    for environment in [
        &[("LC_ALL", Some("C"))][..],
        &[("LC_ALL", Some("C")), ("PYTHONCOERCECLOCALE", Some("0")), ("PYTHONUTF8", Some("0"))],
        &[("PYTHONIOENCODING", Some("latin-1"))],
        &[("PYTHONIOENCODING", Some("ascii:backslashreplace"))],
        &[("PYTHONSAFEPATH", Some("1"))],
        &[("HOME", None)],
        &[("HOME", Some("/proc"))],
        &[("BIG", Some(&"x".repeat(100_000)))],
        &huge,
    ] {
        same(&project, &format!("{:?}", environment[0].0), &[], "train.py", &[environment, &[seeded]].concat());
    }
    for flags in [&["-S"][..], &["-s"], &["-O"], &["-OO"], &["-u"], &["-bb"], &["-q"], &["-X", "dev"], &["-W", "error"]]
    {
        same(&project, flags[0], flags, "train.py", &[seeded]);
    }
}

#[test]
fn scripts_in_places_with_odd_names_are_recorded() {
    let project = TestProject::git();
    project.write("beside.py", "");
    for path in ["my runs/tr ain.py", "d\u{e9}\u{4e2d}/\u{fc}.py", "a\nb/tr\nain.py", "no_ending"] {
        project.write(path, format!("{BEGINNING}import sys\nprint(ascii(sys.argv))\n"));
        same(&project, path, &[], path, &[]);
    }
    std::os::unix::fs::symlink("my runs/tr ain.py", project.path().join("link.py")).expect("a link");
    same(&project, "a link", &[], "link.py", &[]);
}

#[test]
fn a_script_that_closes_every_file_gets_nothing_of_ours_into_its_next_one() {
    let project = TestProject::plain();
    let script = "import os, time\nprint('here', flush=True)\nos.closerange(3, 200)\nfiles = [open('own%d' % n, 'w+') for n in range(9)]\nafterlog.log('more', 1)\nprint('there', flush=True)\ntime.sleep(0.2)\nprint([os.path.getsize(file.name) for file in files])\n";
    project.write("train.py", format!("{BEGINNING}{script}"));
    same(&project, "files closed", &[], "train.py", &[]);
    assert!(project.afterlog(&["grid", "more"]).ok().contains('1'));
}

#[test]
fn a_run_that_leaves_without_a_word_says_that_its_last_values_may_be_missing() {
    for leaving in ["os._exit(5)", "os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(5)'])"] {
        let project = TestProject::plain();
        project.write("train.py", format!("import os, sys, time\n{BEGINNING}time.sleep(0.3)\n{leaving}\n"));
        let finished = project.afterlog(&["run", "train.py"]);
        assert_eq!(finished.code, Some(5), "{finished:?}");
        assert!(finished.stderr.contains("what it logged last may be missing"), "{finished:?}");
        assert_eq!(project.afterlog(&["grid", "loss", "--format", "csv"]).ok().lines().count(), 7);
    }
}

#[test]
fn values_and_names_of_every_kind_and_size_are_kept() {
    let project = TestProject::plain();
    project.write(
        "train.py",
        "\
import afterlog
values = [float('nan'), float('inf'), -0.0, 5e-324, 10 ** 400, -2 ** 63, 2 ** 63, b'\\x00\\xff', '\\ud800', 'a\\nb', True, None]
for epoch in afterlog.loop('epoch', range(len(values))):
    afterlog.log('v', values[epoch])
afterlog.log('text', 'x' * 100_000_000)
afterlog.log('bytes', b'y' * 50_000_000)
for name in ('', 'a\\nb', '\\ud800', 'n' * 100_000, None, ('t', 1)):
    afterlog.log(name, 1)
for number in range(100_000):
    afterlog.log('n%d' % number, number)
print('trained')
",
    );
    let finished = project.afterlog(&["run", "train.py"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "trained\n"), "{finished:?}");
    let csv = project.afterlog(&["grid", "v", "--format", "csv"]).ok();
    for (at, value) in [(0, "nan"), (1, "inf"), (2, "-0.0"), (3, "5e-324"), (6, "9223372036854775808"), (10, "true")] {
        assert!(csv.contains(&format!(",{at},{value}\n")), "{value}: {csv}");
    }
    assert!(csv.contains(&format!(",4,1{}\n", "0".repeat(400))), "{csv}");
    let last = project.afterlog(&["grid", "n99999", "--format", "csv"]).ok();
    assert!(last.ends_with(",99999\n"), "{last}");
    assert!(project.afterlog(&["grid", "text", "--format", "csv"]).ok().contains("xxxx"));
    project.afterlog(&["fsck"]).ok();
}

#[test]
fn a_name_that_cannot_be_told_costs_its_value_and_not_the_training() {
    let project = TestProject::plain();
    let no = "class No:\n    def __str__(self):\n        raise ValueError(self)\n";
    project
        .write("train.py", format!("import afterlog\n{no}print(afterlog.log(No(), 1.5))\nafterlog.log('more', 2)\n"));
    let run = project.afterlog(&["run", "train.py"]);
    assert!(run.stderr.contains("a value of a No was not logged: ValueError: a ValueError"), "{run:?}");
    assert_eq!(run.ok(), "1.5\n");
    assert!(project.afterlog(&["grid", "more", "--format", "csv"]).ok().ends_with(",2\n"));
}

/// Makes more variables than a message about them passes to a recorder that does not read; a child then comes to its end.
fn forking() -> String {
    let names: String = (0..4000).map(|k| format!("a_variable_with_a_rather_long_name_{k} = ")).collect();
    format!(
        "\
import os, signal, subprocess
import afterlog
child = None
for epoch in afterlog.loop('epoch', range(5)):
    {names}epoch
    if 'HOLD' in os.environ and epoch == 1:
        os.kill(os.getppid(), signal.SIGSTOP)
    if 'HOLD' in os.environ and epoch == 2:
        subprocess.Popen(['sh', '-c', 'sleep 1; kill -CONT %d' % os.getppid()])
        child = os.fork()
        if child == 0:
            break
        os.waitpid(child, 0)
    afterlog.log('loss', epoch)
print('end')
"
    )
}

#[test]
fn a_forked_child_that_comes_to_the_scripts_end_sends_nothing_of_its_parents() {
    let project = TestProject::plain();
    project.write("train.py", forking());
    let mut run = project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
    let output = run.env("HOLD", "1").output().expect("starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "end\nend\n");
    let checked = project.afterlog(&["fsck"]).ok();
    assert!(checked.contains("sound"), "{checked}");
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("iterations   5") && shown.contains("checkpoints  5"), "{shown} {told}");
}

/// What a module sees of itself, and what its processes and imports need of that.
const MODULE: &str = "\
import multiprocessing, pickle, sys
from . import SCALE
from .model import fit
import pkg.train_parts

class Best:
    loss = 0.0

def square(x):
    return x * x

if __name__ == '__main__':
    weights, best = [0.0] * 3, Best()
    for epoch in range(4):
        fit(weights)
        best.loss = sum(weights) * SCALE
        print(epoch, best.loss)
    print(sys.argv, __package__, __spec__.name, __file__, sys.path[0], pickle.loads(pickle.dumps(best)).loss)
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        print(pool.map(square, [1, 2]))
";

#[test]
fn a_module_of_a_package_runs_as_under_plain_python_and_replays() {
    let project = TestProject::plain();
    project.write("pkg/__init__.py", "import random\nrandom.seed(3)\nSCALE = 2.0\n");
    project.write("pkg/train_parts/__init__.py", "");
    project.write(
        "pkg/model.py",
        "import random\ndef fit(weights):\n    for step in range(60):\n        weights[step % 3] += random.random()\n",
    );
    project.write("pkg/train.py", MODULE);
    let plain = project.run(python(), &["-m", "pkg.train", "lr=1"]).ok();
    let recorded = project.afterlog(&["run", "--checkpoints", "all", "python3", "-m", "pkg.train", "lr=1"]).ok();
    assert_eq!(recorded, plain);
    assert!(project.afterlog(&["show", "last"]).ok().contains("-m pkg.train lr=1"));
    let with_statement = MODULE.replace(
        "        fit(weights)\n",
        "        fit(weights)\n        import afterlog\n        afterlog.log('first', weights[0])\n",
    );
    project.write("pkg/train.py", &with_statement);
    project.afterlog(&["replay", "first", "--yes"]).ok();
    let replayed = project.afterlog(&["grid", "first", "--verdicts", "--format", "csv"]).ok();
    assert_eq!(replayed.matches(",verified").count(), 4, "{replayed}");
    let full = project.afterlog(&["run", "-m", "pkg.train", "lr=1"]).ok();
    assert_eq!(full, plain);
    let values = crate::truth::values(&project, &["first"]);
    assert_eq!(values[..4], values[4..], "what was replayed is what a full run logs");
}
