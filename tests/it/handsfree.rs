//! Scripts that name no loops: recorded as they are, replayed with a statement that came later, and otherwise as ever.

use crate::env::TestProject;
use crate::truth::{Added, Case};

const TRAINER: &str = "\
import random


class Trainer:
    def __init__(self, size):
        self.weights = [random.gauss(0, 1) for _ in range(size)]
        self.best, self.history = None, []

    def step(self, row):
        error = sum(w * x for w, x in zip(self.weights, row)) - 1.0
        for i in range(len(self.weights)):
            self.weights[i] -= 0.01 * error * row[i]
        return error * error

    def train_epoch(self, rows):
        total = 0.0
        for number, row in enumerate(rows):
            total += self.step(row)
            if random.random() < 0.01 * number:
                break
        return total

    def evaluate(self, rows):
        worst = 0.0
        for row in rows:
            worst = max(worst, abs(sum(w * x for w, x in zip(self.weights, row)) - 1.0))
        return worst

    def fit(self, rows, epochs):
        for epoch in range(epochs):
            random.shuffle(rows)
            loss = self.train_epoch(rows)
            worst = self.evaluate(rows)
            if self.best is None or worst < self.best:
                self.best = worst
            self.history.append(loss)
            print('epoch', epoch, loss, worst, self.best)
";

const SCRIPT: &str = "\
import random
from trainer import Trainer


def main():
    random.seed(4)
    rows = [[random.random() for _ in range(5)] for _ in range(60)]
    trainer = Trainer(5)
    best, history = 9.0, []
    for epoch in range(6):
        random.shuffle(rows)
        loss = trainer.train_epoch(rows)
        for _, row in zip(range(40), rows):
            trainer.step(row)
        worst = trainer.evaluate(rows)
        best = min(best, worst)
        history.append(loss)
        print('epoch', epoch, loss, worst, best)
    print('done', sum(history))


if __name__ == '__main__':
    main()
";

/// The same with the statement, and the import that it needs.
fn with(script: &str, after: &'static str, statement: &'static str) -> String {
    format!("import afterlog\n{}", Added { after, statement, deeper: 0 }.to(script))
}

#[test]
fn statements_in_a_script_that_knew_nothing_of_us_get_the_values_of_a_full_run() {
    let others = [("trainer.py", TRAINER)];
    for (after, statement, name) in [
        ("loss = trainer", "afterlog.log('first', trainer.weights[0])", "first"),
        ("trainer.step(row)", "afterlog.log('inner', trainer.weights[1])", "inner"),
        (
            "history.append",
            "afterlog.log('seen', [len(history), best, trainer.best, random.getstate()[1][:3]])",
            "seen",
        ),
        ("print('done'", "afterlog.log('end', history)", "end"),
    ] {
        let with_statement = with(SCRIPT, after, statement);
        let case = Case { torch: false, others: &others, script: SCRIPT, with_statement: &with_statement };
        case.check(name, &["--checkpoints", "all", "train.py"]);
    }
}

#[test]
fn a_main_loop_in_an_imported_class_is_replayed_from_the_middle() {
    let script = "import random\nfrom trainer import Trainer\nrandom.seed(1)\n\
                  rows = [[random.random() for _ in range(5)] for _ in range(60)]\ntrainer = Trainer(5)\n\
                  trainer.fit(rows, 5)\nprint('done')\n";
    let project = TestProject::plain();
    project.write("trainer.py", TRAINER);
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("epoch (found, trainer.py line 30)") && shown.contains("iterations   5"), "{shown}");
    let with_statement = with(script, "trainer.fit", "afterlog.log('best', trainer.best)");
    let case = Case { torch: false, others: &[("trainer.py", TRAINER)], script, with_statement: &with_statement };
    case.check("best", &["--checkpoints", "all", "train.py"]);
}

#[test]
fn a_torch_script_is_replayed_from_checkpoints_that_nobody_asked_for() {
    let script = include_str!("../fixtures/scripts/torch_plain.py");
    for (after, statement, name) in [
        ("scheduler.step()", "afterlog.log('norm', sum(p.norm() for p in model.parameters()).item())", "norm"),
        ("loss.backward()", "afterlog.log('grad', model[0].weight.grad.norm().item())", "grad"),
    ] {
        let with_statement = with(script, after, statement);
        let case = Case { torch: true, others: &[], script, with_statement: &with_statement };
        case.check(name, &["--checkpoints", "all", "train.py"]);
    }
}

/// What Python tells of a script is told of its own text: a changed syntax tree must not be seen anywhere.
#[test]
fn tracebacks_sources_and_pickles_are_those_of_plain_python() {
    let script = "\
import inspect, io, multiprocessing, pickle, sys, traceback

class Point:
    def __init__(self, x):
        self.x = x

def squares(n):
    for i in range(n):
        yield i * i

def work(x):
    return x + 1

def train(rows):
    total = 0
    for epoch in range(3):
        for step, row in enumerate(rows):
            total += row
        for value in squares(4):
            total += value
        optimizer = total
    print(total, step, value, epoch)
    return total

def fails(rows):
    for row in rows:
        print(1 / row)

def raises():
    yield 1
    raise ValueError('inside')

if __name__ == '__main__':
    train([1, 2, 3])
    print(inspect.getsource(train), __file__ == sys.argv[0] or sys.version_info >= (3, 9))
    print(pickle.loads(pickle.dumps(Point(4))).x, Point.__module__)
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        print(pool.map(work, [1, 2]))
    for attempt in [lambda: fails([1, 0]), lambda: list(raises()), lambda: fails(5)]:
        try:
            attempt()
        except Exception:
            print(traceback.format_exc())
    for epoch in range(2):
        for step in raises():
            optimizer = step
";
    let project = TestProject::plain();
    project.write("train.py", script);
    let plain = project.run(crate::env::python(), &["train.py"]);
    let recorded = project.afterlog(&["run", "train.py"]);
    assert_eq!(recorded.stdout, plain.stdout);
    let own: String =
        recorded.stderr.lines().filter(|line| !line.starts_with("note: ")).map(|l| format!("{l}\n")).collect();
    assert_eq!(own, plain.stderr);
    assert_eq!(recorded.code, plain.code);
}

#[test]
fn explain_tells_which_loops_are_found_without_recording_anything() {
    let project = TestProject::plain();
    project.write("trainer.py", TRAINER);
    project.write("train.py", SCRIPT);
    let told = project.afterlog(&["explain", "train.py"]).ok();
    for expected in ["main loop epoch: can be entered at any iteration", "block row", "trainer.py", "best, history"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let json = project.afterlog(&["explain", "train.py", "--format", "json"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(plan["main"], "train.py::main::epoch#0");
    project.write("other.py", "print(1)\n");
    assert!(project.afterlog(&["explain", "other.py"]).ok().contains("No main loop"));
    assert_eq!(project.afterlog(&["explain", "nowhere.py"]).code, Some(1));
    assert!(!project.path().join(".afterlog").exists());
    let folder = project.afterlog(&["explain", "."]);
    assert!(folder.code == Some(1) && folder.stderr.contains("there is no file ."), "{folder:?}");
}
