//! What scripts print: numbers on demand, and evidence for replays that log nothing else.

use crate::env::TestProject;
use crate::truth::{Added, values};

const SCRIPT: &str = "\
import logging, os, random, sys, time
logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(message)s')
random.seed(3)
weights = [random.gauss(0, 1) for _ in range(4)]
for epoch in range(5):
    started, total = time.time(), 0.0
    for i in range(60):
        row = [random.gauss(0, 1) for _ in weights]
        error = sum(a * b for a, b in zip(weights, row)) - row[0] + random.gauss(0, 1)
        weights = [a - 0.02 * error * b for a, b in zip(weights, row)]
        total += error * error
    print(f'Epoch {epoch + 1}/5 loss: {total / 60:.6f}', end='')
    print(f' first {weights[0]:.5f} ({time.time() - started:.6f}s)')
    sys.stdout.write('acc 0.')
    sys.stdout.write(f'{epoch}5\\n')
    logging.info('w1=%.6f', weights[1])
    bar = '\\r 10% [00:01<00:09]\\r100% [00:02<00:00, 31.4it/s]\\n'
    sys.stderr.write(bar)
print('done', file=sys.stderr)
";

fn with_statement(script: &str) -> String {
    let added = Added { after: "total += error", statement: "afterlog.log('error', error)", deeper: 0 };
    format!("import afterlog\n{}", added.to(script))
}

#[test]
fn numbers_that_a_script_printed_are_columns_where_it_printed_them() {
    let project = TestProject::plain();
    project.write("train.py", SCRIPT);
    let printed = project.afterlog(&["run", "train.py"]).ok();
    let losses: Vec<&str> = printed.lines().filter_map(|line| line.split("loss: ").nth(1)?.split(' ').next()).collect();
    let csv = project.afterlog(&["grid", "--printed=loss,acc,w1,first", "--format", "csv"]).ok();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["run", "epoch", "loss (printed)", "acc (printed)", "w1 (printed)", "first (printed)"]);
    assert_eq!(rows.len(), 6, "{csv}");
    for (epoch, (row, loss)) in rows[1..].iter().zip(losses).enumerate() {
        assert_eq!(row[1], epoch.to_string());
        assert_eq!(row[2].parse::<f64>().ok(), loss.parse::<f64>().ok());
        assert_eq!(row[3], format!("0.{epoch}5"));
    }
    // They are no log statements, and nobody takes them for such.
    assert_eq!(project.afterlog(&["grid", "loss"]).code, Some(1));
    let all = project.afterlog(&["grid", "--printed", "--format", "csv"]).ok();
    assert!(all.lines().next().is_some_and(|head| head.contains("Epoch (printed)")), "{all}");
    let missing = project.afterlog(&["grid", "--printed=los"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("did you mean loss?"), "{missing:?}");
}

#[test]
fn a_replay_that_logs_nothing_else_is_verified_by_the_lines_that_it_prints_again() {
    let script = SCRIPT.replace("{total / 60:.6f}", "{total / 60}");
    let project = TestProject::plain();
    project.write("train.py", &script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", with_statement(&script));
    let replayed = project.afterlog(&["replay", "error", "--iters", "epoch=3", "--yes"]);
    assert!(replayed.stdout.contains("1 verified"), "{replayed:?}");
    assert!(replayed.stderr.contains("1 printed line"), "{replayed:?}");
    let full = TestProject::plain();
    full.write("train.py", with_statement(&script));
    full.afterlog(&["run", "train.py"]).ok();
    let there = values(&full, &["error"]).into_iter().filter(|row| row.starts_with("3,")).collect::<Vec<_>>();
    assert_eq!(there.len(), 60);
    assert_eq!(values(&project, &["error"]), there);
}

/// A replay that computes something else must not pass for a faithful one, nor one whose lines differ for no good reason.
#[test]
fn lines_that_differ_are_no_evidence_and_no_divergence() {
    for (what, from, to, words) in [
        ("a random number that nobody seeded", "(f' first {", "(f' noise {os.urandom(8).hex()} first {", "it printed"),
        (
            "another number of lines",
            "    bar = '",
            "    if os.environ.get('_MORE'): print('more')\n    bar = '",
            "it printed",
        ),
        ("rounded numbers only", "acc 0.", "acc 0.", "nothing was logged again"),
        ("nothing that was computed", "print(f", "(lambda *a, **k: None)(f", "nothing was logged again"),
    ] {
        let script =
            SCRIPT.replace(from, to).replace("logging.info('w1", "str('w1").replace("%.6f', weights[1])", "')");
        let project = TestProject::plain();
        project.write("train.py", &script);
        project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
        project.write("train.py", with_statement(&script));
        let mut replay = project.afterlog_command(&["replay", "error", "--iters", "epoch=3", "--yes"]);
        let output = replay.env("_MORE", "1").output().expect("afterlog starts");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(stdout.contains("1 unverified") && !stdout.contains("diverged"), "{what}: {stdout}{stderr}");
        assert!(stderr.contains(words), "{what}: {stderr}");
    }
}

/// The position of a line costs nothing that a script could see.
#[test]
fn printing_works_as_ever() {
    let script = "\
import io, sys, threading
print(repr(sys.stdout.name), sys.stdout.isatty(), sys.stdout.encoding, type(sys.stdout).__name__)
print(isinstance(sys.stdout, io.TextIOWrapper), sys.stdout is sys.__stdout__, sys.stdout.write('four') , sys.stdout.mode)
sys.stdout.writelines(['a', 'b\\n', '\\u00e9\\n'])
sys.stdout.buffer.write(b'bytes\\n')
try:
    sys.stdout.write(5)
except TypeError as error:
    print(error)
try:
    print('\\ud800')
except UnicodeEncodeError as error:
    print(error)
threads = [threading.Thread(target=print, args=('x' * 5_000,)) for _ in range(3)]
[(thread.start(), thread.join()) for thread in threads]
print('no end', end='')
";
    let project = TestProject::plain();
    project.write("train.py", script);
    let plain = project.run(crate::env::python(), &["train.py"]).ok();
    assert_eq!(project.afterlog(&["run", "train.py"]).ok(), plain);
}

#[test]
fn a_name_that_was_only_printed_is_not_called_unknown() {
    let project = TestProject::plain();
    project.write("train.py", "for epoch in range(2):\n    print(f'epoch {epoch} loss: {0.5 / (1 + epoch)}')\n");
    project.afterlog(&["run", "train.py"]).ok();
    let refused = project.afterlog(&["grid", "loss"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("some printed it") && refused.stderr.contains("--printed='loss'"), "{refused:?}");
    assert!(project.afterlog(&["grid", "--printed=loss"]).ok().contains("0.25"));
}
