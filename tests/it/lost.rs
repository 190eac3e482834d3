//! What recording needs gives out: the disk, memory, the recorder. Training goes on, and what was lost is said.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::env::TestProject;

/// Changes a large part of its state in each epoch, logs a lot, and goes on for a while.
const SCRIPT: &str = "\
import random, time
import afterlog
state = [random.random() for _ in range(20000)]
for epoch in afterlog.loop('epoch', range(20)):
    for step in afterlog.loop('step', range(3)):
        for i in range(0, 20000, 7):
            state[i] = random.random()
        for k in range(200):
            afterlog.log('text', 'x' * 100)
    afterlog.log('done', epoch)
    time.sleep(0.15)
print('trained', flush=True)
";

/// Runs a shell's lines as root of its own user namespace, where it may mount; `$1` is the program under test.
fn in_namespace(project: &TestProject, lines: &str) -> crate::env::Finished {
    let afterlog = project.afterlog_command(&[]).get_program().to_str().expect("UTF-8").to_owned();
    project.run("unshare", &["-Urm", "sh", "-ec", lines, "sh", &afterlog])
}

#[test]
fn on_a_full_disk_training_goes_on_and_what_was_written_is_there() {
    let project = TestProject::plain();
    project.write("train.py", SCRIPT);
    let lines = "\
mkdir -p .afterlog
mount -t tmpfs -o size=1400k tmpfs .afterlog
$1 run --checkpoints all train.py
echo '== full'
$1 runs --format csv
$1 show last
mount -o remount,size=50M .afterlog
echo '== room'
$1 rebuild
$1 show last
$1 grid done --format csv
";
    let finished = in_namespace(&project, lines);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (trained, rest) = finished.stdout.split_once("== full\n").expect("ran");
    let (full, room) = rest.split_once("== room\n").expect("looked");
    assert_eq!(trained, "trained\n");
    let said = finished.stderr.lines().collect::<Vec<_>>();
    assert!(said.iter().all(|line| line.starts_with("note: ")), "nothing of ours but notes: {said:?}");
    assert_eq!(said.iter().filter(|line| line.contains("were not kept: cannot write")).count(), 1, "{said:?}");
    assert!(said.iter().any(|line| line.contains("may be missing")), "{said:?}");
    for shown in [full, room] {
        assert!(shown.contains("were not kept") && shown.contains("may be missing"), "{shown}");
    }
    // From the first on, without a gap, with their own values.
    let values = room.lines().skip_while(|line| !line.starts_with("run,epoch")).skip(1).enumerate();
    let values: Vec<_> = values.map(|(at, line)| assert!(line.ends_with(&format!(",{at},{at}")), "{line}")).collect();
    assert!((1..20).contains(&values.len()), "the disk was full before the end: {room}");
}

#[test]
fn a_journal_goes_on_when_there_is_room_again() {
    let project = TestProject::plain();
    let script = SCRIPT.replace("    time.sleep(0.15)\n", "    time.sleep(0.15)\n    if epoch == 17:\n        open('full', 'w').close()\n        while not os.path.exists('room'):\n            time.sleep(0.05)\n        time.sleep(1.5)\n");
    project.write("train.py", format!("import os\n{script}"));
    let lines = "\
mkdir -p .afterlog
mount -t tmpfs -o size=500k tmpfs .afterlog
$1 run --checkpoints off train.py &
while ! test -e full; do sleep 0.1; done
mount -o remount,size=50M .afterlog
touch room
wait
$1 grid done --format csv
$1 fsck
";
    let finished = in_namespace(&project, lines);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(
        finished.stdout.lines().filter(|line| line.ends_with(|end: char| end.is_ascii_digit())).count(),
        20,
        "{finished:?}"
    );
    assert!(finished.stdout.contains("sound"), "{finished:?}");
}

#[test]
fn a_state_for_which_there_is_no_memory_is_not_taken_and_that_is_said() {
    let project = TestProject::plain();
    let script = "\
import afterlog
state = bytearray(50_000_000)
for epoch in afterlog.loop('epoch', range(3)):
    for step in afterlog.loop('step', range(2)):
        state[step] = epoch
    afterlog.log('sum', sum(state[:9]))
";
    project.write("train.py", script);
    project.write("meminfo", "MemTotal: 64000000 kB\nMemFree: 90000 kB\nMemAvailable: 100000 kB\n");
    let lines = "mount --bind meminfo /proc/meminfo\n$1 run --checkpoints all train.py\n$1 show last\n";
    let finished = in_namespace(&project, lines);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("does not fit into the memory that is free"), "{finished:?}");
    assert!(finished.stdout.contains("checkpoints  0"), "{finished:?}");
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    assert!(!project.afterlog(&["show", "last"]).ok().contains("checkpoints  0"), "with memory they are taken");
}

/// Statements of a loop in a loop that change so many variables that a message about them is more than a channel takes.
fn many_changes() -> String {
    (0..4000).map(|number| format!("        a_rather_long_name_of_a_variable_{number} = epoch + step\n")).collect()
}

#[test]
fn training_goes_on_while_the_recorder_stands_still_and_its_last_checkpoint_is_kept() {
    let project = TestProject::plain();
    let changes = many_changes();
    let script = format!(
        "import os, signal, time
import afterlog
for epoch in afterlog.loop('epoch', range(2)):
    if epoch == 1:
        # By now it has stored what it was given.
        time.sleep(2)
        os.kill(os.getppid(), signal.SIGSTOP)
    for step in afterlog.loop('step', range(2)):
{changes}    afterlog.log('done', epoch)
print('trained', flush=True)
"
    );
    project.write("train.py", script);
    let mut command = project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    kill(Pid::from_raw(i32::try_from(child.id()).expect("process id")), Signal::SIGCONT).expect("goes on");
    assert_eq!(line, "trained\n");
    assert!(child.wait().expect("ends").success());
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("epoch=1 after train.py::<module>::step#0"), "{shown}");
}

#[test]
fn a_recorder_killed_while_it_is_sent_something_takes_neither_the_script_nor_its_log_along() {
    let project = TestProject::plain();
    // Python's own handling of a closed pipe is switched off, as scripts do that write into one.
    let script = format!(
        "import os, signal, threading, time
import afterlog
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
recorder = os.getppid()
for epoch in afterlog.loop('epoch', range(3)):
    if epoch == 1:
        # By now it has stored what it was given. It takes nothing any more, and so a part of the next message stays here.
        time.sleep(2)
        os.kill(recorder, signal.SIGSTOP)
        threading.Timer(1, os.kill, (recorder, signal.SIGKILL)).start()
    for step in afterlog.loop('step', range(2)):
{}    if epoch == 1:
        while os.getppid() == recorder:
            time.sleep(0.01)
        # Meanwhile the rest of the message is tried.
        time.sleep(0.3)
    afterlog.log('done', epoch)
print('trained', flush=True)
",
        many_changes()
    );
    project.write("train.py", script);
    let mut command = project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut output = String::new();
    // The script holds the other end until it has ended itself.
    child.stdout.take().expect("piped").read_to_string(&mut output).expect("text");
    assert_eq!(output, "trained\n");
    assert!(!child.wait().expect("ends").success(), "the recorder was killed");
    let csv = project.afterlog(&["grid", "done", "--format", "csv"]).ok();
    assert_eq!(csv.lines().filter(|line| line.ends_with(|end: char| end.is_ascii_digit())).count(), 3, "{csv}");
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("finished") && shown.contains("the recorder is gone"), "{shown}");
    project.afterlog(&["fsck"]).ok();
}

#[test]
fn the_recorder_works_at_the_lowest_priority_and_the_script_at_its_own() {
    let project = TestProject::plain();
    let script = "\
import os, time
import afterlog
state = [0.5] * 1000
for epoch in afterlog.loop('epoch', range(3)):
    for step in afterlog.loop('step', range(2)):
        state[step] += 1
    afterlog.log('done', epoch)
time.sleep(0.2)
def threads(process):
    tasks = '/proc/%d/task' % process
    fields = [open(os.path.join(tasks, task, 'stat')).read().rpartition(')')[2].split() for task in os.listdir(tasks)]
    return sorted({(int(field[38]), int(field[16])) for field in fields})
print(threads(os.getppid()), threads(os.getpid()))
";
    project.write("train.py", script);
    let own = project.run("nice", &[]).ok();
    let own = own.trim();
    let (normal, idle) = (0, 5);
    // Of its threads the one that waits for the script, the one that listens to it, and the one that stores.
    for (mode, stores) in [("adaptive", format!(", ({idle}, 19)")), ("all", String::new())] {
        let said = project.afterlog(&["run", "--quiet", "--checkpoints", mode, "train.py"]).ok();
        assert_eq!(said, format!("[({normal}, {own}), ({normal}, 19){stores}] [({normal}, {own})]\n"), "{mode}");
    }
}
