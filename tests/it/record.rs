//! `afterlog run` against plain Python: same behaviour, nothing journalled is lost, training comes first.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::TestProject;

/// Long enough for a loaded machine; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Logs twenty losses in two epochs; waits for a file after the thirteenth, having said so.
const WAITING: &str = "import os, sys, time
import afterlog
for epoch in afterlog.loop('epoch', range(2)):
    for step in afterlog.loop('step', range(10)):
        afterlog.log('loss', epoch * 10.0 + step)
        if (epoch, step) == (1, 2):
            time.sleep(0.3)
            print('waiting', os.getpid(), flush=True)
            while not os.path.exists('go'):
                time.sleep(0.01)
print('done', flush=True)
open('ended', 'w').close()
";

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().expect("ended by a signal"))
}

fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

fn send(process: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(process).expect("process id")), signal).expect("signal sent");
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn ended(child: &mut Child) -> i32 {
    let mut status = None;
    until("the end of the run", || {
        status = child.try_wait().expect("waited");
        status.is_some()
    });
    code(status.expect("ended"))
}

/// Starts the waiting script; gives afterlog's process and the script's process id.
fn started_waiting(project: &TestProject) -> (Child, u32, BufReader<std::process::ChildStdout>) {
    project.write("train.py", WAITING);
    let mut child = started(&mut project.afterlog_command(&["run", "train.py"]));
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    let pid = line.trim().strip_prefix("waiting ").expect("the script's process id").parse().expect("a number");
    (child, pid, output)
}

fn losses(project: &TestProject) -> usize {
    project.afterlog(&["grid", "loss", "--format", "csv"]).ok().lines().count() - 1
}

fn status(project: &TestProject) -> String {
    let listing = project.afterlog(&["runs", "--format", "json"]).ok();
    let runs: serde_json::Value = serde_json::from_str(&listing).expect("JSON");
    runs[0]["status"].as_str().expect("a status").to_owned()
}

#[test]
fn output_traceback_and_exit_code_are_those_of_plain_python() {
    let project = TestProject::git();
    for (name, script) in [
        ("end", "print(__name__, __file__, __spec__)"),
        ("exit number", "import sys; sys.exit(3)"),
        ("exit none", "import sys; sys.exit(None)"),
        ("exit text", "import sys; sys.exit('no data')"),
        ("exit object", "import sys; sys.exit([1, 2])"),
        ("exit large", "import sys; sys.exit(256 + 7)"),
        ("at once", "import os; os._exit(7)"),
        ("exception", "def train():\n    raise ValueError('bad loss')\ntrain()"),
        ("chained", "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e"),
        ("syntax", "x = 1\nfor x in:\n    pass\n"),
        ("encoding", "# -*- coding: latin-1 -*-\nprint(len('\u{e9}'))"),
        ("future", "from __future__ import annotations\ndef f(x: Missing): pass\nprint(f.__annotations__)"),
        ("at exit", "import atexit; atexit.register(print, 'bye'); raise SystemExit(2)"),
        ("interrupted", "import atexit; atexit.register(print, 'bye'); raise KeyboardInterrupt"),
        ("hook", "import sys; sys.excepthook = lambda *a: print('hooked', a[0].__name__); 1 / 0"),
        ("killed", "import os; os.kill(os.getpid(), 9)"),
        ("aborted", "import os; os.abort()"),
        ("pickle", "import pickle\nclass C: pass\nprint(type(pickle.loads(pickle.dumps(C()))) is C)"),
        (
            "path",
            "import sys, os; print(sys.argv, sys.path[0], os.getcwd(), sorted(k for k in os.environ if 'LOG_' in k and k != 'AFTERLOG_CHILD'))",
        ),
        ("modules", "import sys; print(sys.modules['__main__'].__dict__ is globals(), '_main' in globals())"),
    ] {
        project.write("job/train.py", script);
        let python = crate::env::python();
        let plain = project.command(python).args(["job/train.py", "lr=0.1", "--x"]).output().expect("python");
        let ours =
            project.afterlog_command(&["run", "--quiet", "job/train.py", "lr=0.1", "--x"]).output().expect("run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&ours.stdout), text(&plain.stdout), "{name}");
        // Of a script that left without a word it is said what ended it, and that its last values may be missing.
        let said = |line: &&str| line.contains("has no end") || line.contains("was ended by signal");
        let own: String = text(&ours.stderr).split_inclusive('\n').filter(|line| !said(line)).collect();
        assert_eq!(own, text(&plain.stderr), "{name}");
        assert_eq!(ours.status.code(), Some(code(plain.status)), "{name}");
    }
}

#[test]
fn a_scripts_file_name_is_the_one_that_plain_python_gives_it() {
    let project = TestProject::plain();
    project.write(
        "job/train.py",
        "import sys\nprint(__file__, sys.argv, sys.path[0], sys._getframe().f_code.co_filename)\n",
    );
    let absolute = project.path().join("job/train.py");
    for written in ["job/train.py", "./job/train.py", "job/../job/train.py", absolute.to_str().expect("UTF-8")] {
        let plain = project.run(crate::env::python(), &[written]).ok();
        assert_eq!(project.afterlog(&["run", "--quiet", written]).ok(), plain, "{written}");
    }
}

#[test]
fn standard_input_reaches_the_script() {
    let project = TestProject::plain();
    project.write("train.py", "import sys\nprint(input().upper(), sys.stdin.read().strip())\n");
    let mut command = project.afterlog_command(&["run", "--quiet", "train.py"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(b"yes\nand more\n").expect("typed");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "YES and more\n");
}

#[test]
fn interpreter_and_flags_before_the_script_are_taken() {
    let project = TestProject::plain();
    project.write("train.py", "import sys\nprint(sys.flags.optimize, sys.dont_write_bytecode, sys.argv)\n");
    let finished = project.afterlog(&["run", "--quiet", "--", "python3", "-O", "-B", "-X", "utf8", "train.py", "-u"]);
    assert_eq!(finished.ok(), "1 True ['train.py', '-u']\n");
    project
        .write("train.py", "import sys\nsys.stdout.buffer.write(b'raw ')\nprint(sys.stdout.name, sys.stdout.mode)\n");
    assert_eq!(project.afterlog(&["run", "--quiet", "python3", "-u", "train.py"]).ok(), "raw <stdout> w\n");
    let id = project.run_ids().pop().expect("a run");
    assert_eq!(project.read(&format!(".afterlog/runs/{id}/output.log")), "raw <stdout> w\n");
    for words in [&["run", "-m", "json.tool"][..], &["run", "python3", "-c", "1"]] {
        let finished = project.afterlog(words);
        assert_eq!(finished.code, Some(1), "{words:?}");
        let why = ["no file of this folder is the module 'json.tool'", "python -c cannot be recorded"];
        assert!(why.iter().any(|why| finished.stderr.contains(why)), "{}", finished.stderr);
    }
}

#[test]
fn the_users_python_path_is_kept_for_the_run_and_for_its_replay() {
    let project = TestProject::git();
    project.write("lib/mine.py", "value = 7\n");
    let script =
        "import afterlog, mine\nfor epoch in afterlog.loop('epoch', range(2)):\n    afterlog.log('v', mine.value)\n";
    project.write("train.py", script);
    let mut command = project.afterlog_command(&["run", "train.py"]);
    let output = command.env("PYTHONPATH", project.path().join("lib")).output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    project.write("train.py", format!("{script}    afterlog.log('twice', 2 * mine.value)\n"));
    let replayed = project.afterlog(&["replay", "twice", "--yes"]).ok();
    assert!(replayed.contains("verified"), "{replayed}");
    for words in [&["run", "python3", "-Im", "train"][..], &["run", "python3", "-E", "train.py"], &["run", "-"]] {
        let refused = project.afterlog(words);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("cannot be recorded"), "{refused:?}");
    }
    assert_eq!(project.run_ids().len(), 1, "what is refused leaves no run behind");
}

#[test]
fn what_was_lost_is_said_once_at_the_end_and_shown_on_the_run() {
    let project = TestProject::git();
    let script = "import afterlog\nclass Bad:\n    def __repr__(self):\n        raise ValueError('no text')\n";
    project.write("train.py", format!("{script}for i in range(3):\n    afterlog.log('bad', Bad())\n"));
    let finished = project.afterlog(&["run", "train.py"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stderr.matches("a value of bad was not logged").count(), 1, "{finished:?}");
    assert!(project.afterlog(&["show", "last"]).ok().contains("a value of bad was not logged"));
}

#[test]
fn a_python_that_does_not_start_leaves_a_run_that_says_why() {
    use std::os::unix::fs::PermissionsExt;
    let project = TestProject::git();
    project.write("train.py", "print('ran')\n");
    project.write("bin/python3", "#!/nonexistent/interpreter\n");
    let python = project.path().join("bin/python3");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let finished = project.afterlog(&["run", "bin/python3", "train.py"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("cannot start"), "{finished:?}");
    assert_eq!(status(&project), "failed");
    assert!(project.afterlog(&["show", "last"]).ok().contains("cannot start"));
}

#[test]
fn a_signal_sent_to_afterlog_reaches_the_script() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1] {
        let project = TestProject::plain();
        project.write(
            "train.py",
            "import signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, lambda number, _: sys.exit(40 + number))
print('ready', flush=True)
time.sleep(50)
",
        );
        let mut child = started(&mut project.afterlog_command(&["run", "train.py"]));
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut String::new()).expect("ready");
        send(child.id(), signal);
        assert_eq!(ended(&mut child), 40 + signal as i32);
    }
}

#[test]
fn ctrl_c_reaches_the_script_once_and_afterlog_waits_for_it() {
    let project = TestProject::plain();
    project.write(
        "train.py",
        "import signal, time
# Tests that run in the background inherit that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print('ready', flush=True)
    time.sleep(50)
except KeyboardInterrupt:
    time.sleep(0.3)
    print('saved', flush=True)
    raise SystemExit(5)
",
    );
    // As a terminal does it: to the whole foreground group.
    let mut child = started(project.afterlog_command(&["run", "train.py"]).process_group(0));
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    output.read_line(&mut String::new()).expect("ready");
    let group = Pid::from_raw(i32::try_from(child.id()).expect("process id"));
    nix::sys::signal::killpg(group, Signal::SIGINT).expect("interrupted");
    assert_eq!(ended(&mut child), 5);
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "saved\n");
    assert_eq!(status(&project), "failed");
}

#[test]
fn everything_journalled_survives_the_scripts_death() {
    let project = TestProject::git();
    let (mut child, script, _output) = started_waiting(&project);
    assert_eq!(status(&project), "running");
    send(script, Signal::SIGKILL);
    assert_eq!(ended(&mut child), 128 + 9);
    assert_eq!(losses(&project), 13);
    assert_eq!(status(&project), "lost");
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(losses(&project), 13);
    project.afterlog(&["fsck"]).ok();
}

#[test]
fn a_script_that_a_signal_ended_has_failed_and_the_run_says_which() {
    for (signal, name) in [(Signal::SIGTERM, "signal 15 (SIGTERM)"), (Signal::SIGSEGV, "signal 11 (SIGSEGV)")] {
        let project = TestProject::git();
        let (mut child, script, _output) = started_waiting(&project);
        send(script, signal);
        assert_eq!(ended(&mut child), 128 + signal as i32);
        assert_eq!(status(&project), "failed");
        assert!(project.afterlog(&["show", "last"]).ok().contains(name), "{name}");
        assert_eq!(losses(&project), 13);
    }
}

#[test]
fn training_goes_on_when_afterlog_is_killed_and_its_journal_is_whole() {
    let project = TestProject::git();
    let (mut child, _, mut output) = started_waiting(&project);
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert_eq!(status(&project), "running", "the script holds the lock");
    project.write("go", "");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("output to the end");
    assert_eq!(rest, "done\n");
    assert!(project.path().join("ended").exists());
    until("the end of the script", || status(&project) == "finished");
    assert_eq!(losses(&project), 20);
    project.afterlog(&["fsck"]).ok();
}

#[test]
fn a_child_process_that_the_script_leaves_behind_does_not_hold_up_the_end() {
    let project = TestProject::plain();
    project.write(
        "train.py",
        "import os, time
if os.fork() == 0:
    os.close(1)
    os.close(2)
    time.sleep(20)
    os._exit(0)
",
    );
    let start = Instant::now();
    project.afterlog(&["run", "train.py"]).ok();
    assert!(start.elapsed() < Duration::from_secs(15), "waited for a process that is not the script");
}

#[test]
fn where_no_store_can_be_made_the_script_runs_unrecorded() {
    let script = "import afterlog\nafterlog.log('loss', 1.0)\nprint('trained')\nraise SystemExit('oops')\n";
    for (place, content) in [(".afterlog", ""), (".afterlog/format", "999\n"), (".afterlog/format", "nonsense")] {
        let project = TestProject::plain();
        project.write("train.py", script);
        project.write(place, content);
        let before = project.fingerprint();
        let finished = project.afterlog(&["run", "train.py"]);
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert_eq!(finished.stdout, "trained\n");
        let [warning, own] = finished.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{}", finished.stderr) };
        assert!(warning.contains("not recorded"), "said before the script starts: {}", finished.stderr);
        assert_eq!(own, "oops");
        assert_eq!(project.read(place), content);
        assert_eq!(project.fingerprint(), before);
    }
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let project = TestProject::plain();
    project.write("train.py", "print('ran')");
    let finished = project.afterlog(&["run", "trian.py"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("trian.py") && finished.stderr.contains("train.py"), "{}", finished.stderr);

    let elsewhere = project.home().join("train.py");
    std::fs::File::create(&elsewhere).expect("a script outside");
    let finished = project.afterlog(&["run", elsewhere.to_str().expect("UTF-8")]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("outside the project"), "{}", finished.stderr);

    let nothing = project.home();
    let output = project.afterlog_command(&["run", "train.py"]).env("PATH", nothing).output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("python3") && stderr.contains("PATH"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn recording_leaves_the_project_alone_and_keeps_no_secrets() {
    let project = TestProject::git();
    project.write("train.py", "print('one')\n");
    project.commit("first");
    project.write("train.py", "print('two')\n");
    project.write("new.py", "");
    let before = project.fingerprint();
    let mut command = project.afterlog_command(&["run", "--name", "base", "train.py"]);
    command.env("OMP_NUM_THREADS", "1").env("CUDA_API_KEY", "hunter2").env("PYTHON_TOKEN", "hunter2");
    let output = command.output().expect("runs");
    assert_eq!(output.stdout, b"two\n");
    assert_eq!(project.fingerprint(), before);
    let id = project.run_ids().pop().expect("a run");
    let folder = format!(".afterlog/runs/{id}");
    let meta = project.read(&format!("{folder}/meta.json"));
    assert!(meta.contains("OMP_NUM_THREADS") && !meta.contains("hunter2"), "{meta}");
    assert_eq!(project.read(&format!("{folder}/output.log")), "two\n");
    let version = serde_json::from_str::<serde_json::Value>(&meta).expect("JSON")["version"].clone();
    let version = version.as_str().expect("a version");
    assert_eq!(project.run("git", &["show", &format!("{version}:train.py")]).ok(), "print('two')\n");
}

#[test]
fn the_runtime_is_installed_again_and_again_but_never_over_another_package() {
    let project = TestProject::plain();
    project.run(crate::env::python(), &["-m", "venv", "--without-pip", "venv"]).ok();
    let python = project.path().join("venv/bin/python");
    let install = ["install-runtime", "--python", python.to_str().expect("UTF-8")];
    for _ in 0..2 {
        let said = project.afterlog(&install).ok();
        assert!(said.contains("site-packages"), "{said}");
    }
    project.write("train.py", "import afterlog, flor, flordb\nprint(afterlog.log('a', 1), flor.log('b', 2))\n");
    let plain = project.run(&python, &["train.py"]);
    assert_eq!(plain.stderr.lines().count(), 1, "says once that nothing is recorded: {}", plain.stderr);
    assert_eq!(plain.ok(), "1 2\n");

    let site = project.run(&python, &["-c", "import flor; print(flor.__path__[0])"]).ok();
    let folder = std::path::Path::new(site.trim());
    std::fs::remove_dir_all(folder).expect("removed");
    std::fs::create_dir(folder).expect("another flor");
    std::fs::File::create(folder.join("theirs.py")).expect("its module");
    let finished = project.afterlog(&install);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("flor"), "{}", finished.stderr);
    assert!(folder.join("theirs.py").exists() && !folder.join("__init__.py").exists());
}
