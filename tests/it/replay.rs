//! A replayed value equals, to the bit, what a full run with the statement in place logs; and nothing of the user's is
//! touched. Recorded without the statement, replayed with it, compared with a run that had it.

use crate::env::TestProject;
use crate::truth::{Added, Case, values};

/// Records the script, adds the statement, replays, and compares with a full run of the script with the statement.
#[track_caller]
fn check(torch: bool, script: &str, added: &Added, name: &str, run: &[&str]) {
    let with_statement = added.to(script);
    let case = Case { torch, others: &[("data/table.csv", "1,2\n")], script, with_statement: &with_statement };
    let verdicts = case.check(name, run);
    assert!(!verdicts.contains("diverged") && verdicts.contains("verified"), "{verdicts}");
}

const MLP: &str = include_str!("../fixtures/scripts/torch_mlp.py");
const ALL: [&str; 6] = ["--checkpoints", "all", "train.py", "epochs=4", "steps=6", "width=16"];
const NONE: [&str; 6] = ["--checkpoints", "off", "train.py", "epochs=3", "steps=6", "width=16"];

#[test]
fn torch_before_the_main_loop() {
    let added = Added {
        after: "loss_function = nn.MSELoss()",
        statement: "afterlog.log('first_weight', model[0].weight.norm().item())",
        deeper: 0,
    };
    check(true, MLP, &added, "first_weight", &ALL);
}

#[test]
fn torch_inside_the_nested_loop_reads_gradients() {
    let added = Added {
        after: "            loss.backward()",
        statement: "afterlog.log('grad', sum(p.grad.norm().item() for p in model.parameters()))",
        deeper: 0,
    };
    check(true, MLP, &added, "grad", &ALL);
}

#[test]
fn torch_after_the_nested_loop_reads_gradients_accumulators_and_optimizer_state() {
    let added = Added {
        after: "        afterlog.log(\"train_loss\"",
        statement: "afterlog.log('mix', [total, loss.item(), model[0].weight.grad.norm().item(), \
                    optimizer.state[model[0].weight]['exp_avg'].norm().item(), model.training, step])",
        deeper: 0,
    };
    check(true, MLP, &added, "mix", &ALL);
}

#[test]
fn torch_in_eval_mode_at_the_end_of_the_iteration() {
    let added = Added {
        after: "        afterlog.log(\"lr\"",
        statement: "afterlog.log('state', [model.training, model(held_out).mean().item(), scheduler.last_epoch])",
        deeper: 0,
    };
    check(true, MLP, &added, "state", &ALL);
}

#[test]
fn torch_after_the_main_loop() {
    let script = format!("{MLP}print('done')\n");
    let added = Added {
        after: "print('done')",
        statement: "afterlog.log('final', [p.sum().item() for p in model.parameters()])",
        deeper: 0,
    };
    check(true, &script, &added, "final", &ALL);
}

#[test]
fn torch_without_any_checkpoint_is_executed_from_the_beginning() {
    let added = Added { after: "        afterlog.log(\"lr\"", statement: "afterlog.log('t', total)", deeper: 0 };
    check(true, MLP, &added, "t", &NONE);
}

/// Function-scope loops, a history that aliases, a best-so-far, a closure's state, a class, a generator of its own, sets.
const PURE: &str = r#"
import random
from collections import Counter, deque
import afterlog

random.seed(11)

class Model:
    __slots__ = ("weights", "seen", "__dict__")

    def __init__(self, n):
        self.weights = [random.random() for _ in range(n)]
        self.seen = Counter()
        self.rows = [self.weights[:], self.weights]

    def update(self, i, x):
        self.weights[i % len(self.weights)] += x
        self.seen[i % 3] += 1

def make_counter():
    count = 0
    def bump():
        nonlocal count
        count += 1
        return count
    return bump

def train(model, noise, window):
    total = 0.0
    last = None
    for step in afterlog.loop("step", range(5)):
        x = noise.gauss(0.0, 1.0) + random.random()
        model.update(step, x)
        window.append(x)
        total += x
        last = x
        afterlog.log("x", x)
    return total, last

def main():
    epochs = afterlog.arg("epochs", 5)
    model = Model(4)
    noise = random.Random(3)
    window = deque(maxlen=3)
    bump = make_counter()
    history, best, names = [], float("-inf"), {"a", "b"}
    alias = history
    for epoch in afterlog.loop("epoch", range(epochs)):
        total, last = train(model, noise, window)
        bump()
        history.append(total)
        names.add(str(epoch))
        if total > best:
            best = total
            snapshot = list(model.weights)
        afterlog.log("total", total)
        afterlog.log("count", bump())
        if epoch == epochs - 2 and total > 1e9:
            break
    afterlog.log("sum", sum(history))

if __name__ == "__main__":
    main()
"#;

const PURE_ALL: [&str; 3] = ["--checkpoints", "all", "train.py"];

#[test]
fn pure_python_state_of_every_kind_after_the_nested_loop() {
    let added = Added {
        after: "        afterlog.log(\"total\"",
        statement: "afterlog.log('all', [best, len(alias), alias is history, sorted(names), list(window), snapshot, \
                    model.rows[1] is model.weights, dict(model.seen), last])",
        deeper: 0,
    };
    check(false, PURE, &added, "all", &PURE_ALL);
}

#[test]
fn pure_python_inside_a_nested_loop_in_another_function() {
    let added = Added {
        after: "        last = x",
        statement: "afterlog.log('inner', [total, model.weights[0], len(window)])",
        deeper: 0,
    };
    check(false, PURE, &added, "inner", &PURE_ALL);
}

#[test]
fn pure_python_in_the_function_after_its_nested_loop() {
    let added =
        Added { after: "        afterlog.log(\"x\"", statement: "afterlog.log('after', [total, last])", deeper: 0 };
    let script = PURE.replace("    return total, last", "    pass\n    return total, last");
    let added = Added { after: "    pass", ..added };
    check(false, &script, &added, "after", &PURE_ALL);
}

#[test]
fn pure_python_after_the_main_loop_and_before_it() {
    let after =
        Added { after: "    afterlog.log(\"sum\"", statement: "afterlog.log('end', [best, len(alias)])", deeper: 0 };
    check(false, PURE, &after, "end", &PURE_ALL);
    let before =
        Added { after: "    noise = random.Random(3)", statement: "afterlog.log('w0', model.weights[0])", deeper: 0 };
    check(false, PURE, &before, "w0", &PURE_ALL);
}

#[test]
fn unseeded_scripts_and_sets_of_strings_replay_too() {
    let script = r#"
import random
import afterlog
names = {"alpha", "beta", "gamma", "delta", "epsilon"}
values = [random.random() for _ in names]
for epoch in afterlog.loop("epoch", range(3)):
    for step in afterlog.loop("step", range(3)):
        values[step] *= random.random()
    afterlog.log("first", values[0])
"#;
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", format!("{script}    afterlog.log('order', list(names))\n"));
    let replayed = project.afterlog(&["replay", "order", "--yes"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stdout.contains(" verified.") && !replayed.stdout.contains("unverified"), "{replayed:?}");
}

#[test]
fn a_generator_half_way_is_never_restored_wrongly() {
    let script = r#"
import random
import afterlog
random.seed(1)
def stream():
    n = 0
    while True:
        n += 1
        yield n * random.random()
items = stream()
total = 0.0
for epoch in afterlog.loop("epoch", range(4)):
    for step in afterlog.loop("step", range(3)):
        total += next(items)
    afterlog.log("total", total)
"#;
    let added = Added { after: "        total += next(items)", statement: "afterlog.log('t', total)", deeper: 0 };
    check(false, script, &added, "t", &PURE_ALL);
}

/// The run's own call of `evaluate` holds a block, and its end is stored; the added call runs the same loop before it.
#[test]
fn a_statement_that_runs_a_loop_of_the_scripts_own_gets_its_own_result() {
    let script = "\
import random, afterlog
random.seed(3)
train = [random.random() for _ in range(20)]
held_out = [random.random() for _ in range(10)]
w = 0.0
def evaluate(data):
    hits = 0.0
    for x in afterlog.loop('batch', data):
        hits += x * w
    return hits / len(data)
for epoch in afterlog.loop('epoch', range(4)):
    for x in afterlog.loop('step', train):
        w += 0.01 * x
    # here
    accuracy = evaluate(held_out)
    afterlog.log('accuracy', accuracy)
";
    let added = Added { after: "# here", statement: "afterlog.log('train_accuracy', evaluate(train))", deeper: 0 };
    check(false, script, &added, "train_accuracy", &["--checkpoints", "all", "train.py"]);
}

#[test]
fn early_stopping_is_replayed_to_where_it_stopped() {
    let script = r#"
import random
import afterlog
random.seed(2)
best, bad = 0.0, 0
for epoch in afterlog.loop("epoch", range(50)):
    score = 0.0
    for step in afterlog.loop("step", range(4)):
        score += random.random()
    afterlog.log("score", score)
    if score > best:
        best, bad = score, 0
    else:
        bad += 1
    if bad > 2:
        break
afterlog.log("best", best)
"#;
    let added = Added { after: "    afterlog.log(\"score\"", statement: "afterlog.log('b', [best, bad])", deeper: 0 };
    check(false, script, &added, "b", &PURE_ALL);
    let added = Added { after: "afterlog.log(\"best\"", statement: "afterlog.log('e', [best, bad, epoch])", deeper: 0 };
    check(false, script, &added, "e", &PURE_ALL);
}

#[test]
fn a_script_that_cannot_repeat_itself_is_marked_diverged() {
    let script = r#"
import os
import afterlog
for epoch in afterlog.loop("epoch", range(3)):
    for step in afterlog.loop("step", range(2)):
        pass
    afterlog.log("pid", os.getpid())
"#;
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", format!("{script}    afterlog.log('twice', 2 * epoch)\n"));
    let replayed = project.afterlog(&["replay", "twice", "--yes"]);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    assert!(replayed.stderr.contains("pid"), "the first difference is named: {replayed:?}");
    let verdicts = project.afterlog(&["grid", "twice", "--verdicts", "--format", "csv"]).ok();
    assert!(verdicts.lines().skip(1).all(|line| line.ends_with("diverged")), "{verdicts}");
}

#[test]
fn writes_of_a_replayed_script_reach_nothing_of_the_users() {
    let script = r#"
import os, pathlib, tempfile
import afterlog
home = pathlib.Path(os.environ["HOME"])
for epoch in afterlog.loop("epoch", range(2)):
    for step in afterlog.loop("step", range(2)):
        pass
    for path in [pathlib.Path("out.txt"), home / "cache.txt", pathlib.Path("/tmp/afterlog-test-") / "x"]:
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text("written %d" % epoch)
        except OSError:
            pass
    if os.path.exists("data.csv"):
        os.remove("data.csv")
    afterlog.log("files", len(os.listdir(".")))
"#;
    let project = TestProject::git();
    project.write("train.py", script);
    project.write("helper_of_then.py", "x = 1\n");
    project.write("data.csv", "1\n");
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("data.csv", "precious\n");
    project.write("out.txt", "precious\n");
    project.write("added_later.py", "y = 2\n");
    std::fs::remove_file(project.path().join("helper_of_then.py")).expect("removed");
    project.write("../home/cache.txt", "precious");
    project.write(
        "train.py",
        format!("{script}    afterlog.log('here', [os.path.exists('helper_of_then.py'), os.path.exists('added_later.py')])\n"),
    );
    let before = project.fingerprint();
    let replayed = project.afterlog(&["replay", "here", "--yes"]);
    assert!(matches!(replayed.code, Some(0 | 4)), "{replayed:?}");
    assert_eq!(before, project.fingerprint());
    assert_eq!(std::fs::read(project.home().join("cache.txt")).expect("there"), b"precious");
    let here = values(&project, &["here"]);
    assert!(here.iter().all(|line| line.contains("true, false")), "the version's own files, no later ones: {here:?}");
}

#[test]
fn what_comes_after_the_loop_is_still_missing_when_the_last_iteration_is_known() {
    let script = "\
import random
random.seed(0)
w = 0.0
for epoch in range(4):
    for step in range(50):
        w += random.random()
    print('w', w)
print('end', w)
";
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let log = "afterlog.log('p', w)\n";
    let with_statements = format!("import afterlog\n{script}{log}")
        .replace("w = 0.0\n", &format!("w = 0.0\n{log}"))
        .replace("print('w', w)\n", &format!("print('w', w)\n    {log}"));
    project.write("train.py", &with_statements);
    project.afterlog(&["replay", "p", "--iters", "last", "--yes"]).ok();
    project.afterlog(&["replay", "p", "--yes"]).ok();
    let replayed = crate::truth::values(&project, &["p"]);
    assert!(project.afterlog(&["replay", "p", "--yes"]).ok().contains("Nothing to replay"));
    let full = TestProject::git();
    full.write("train.py", &with_statements);
    full.afterlog(&["run", "train.py"]).ok();
    assert_eq!(replayed, crate::truth::values(&full, &["p"]));
}

#[test]
fn what_a_loop_sets_for_signals_is_set_in_its_replay() {
    let script = "import os, random, signal\nrandom.seed(0)\nw, seen = 0.0, 0\ndef handler(number, frame):\n    global seen\n    \
                  seen += 1\nfor epoch in range(6):\n    if epoch == 1:\n        signal.signal(signal.SIGUSR1, handler)\n    \
                  for step in range(4):\n        w += random.random()\n    if epoch > 2:\n        \
                  os.kill(os.getpid(), signal.SIGUSR1)\n    print('w', repr(w))\n";
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", format!("import afterlog\n{script}    afterlog.log('probe', seen)\n"));
    let replayed = project.afterlog(&["replay", "probe", "--iters", "epoch=5", "--yes"]).ok();
    assert!(replayed.contains("signal.signal() sets what no variable holds"), "{replayed}");
    let grid = project.afterlog(&["grid", "probe", "--verdicts", "--format", "csv"]).ok();
    assert!(grid.lines().any(|line| line.contains(",5,3,verified")), "{grid}");
}

/// Lines that hold more than one statement: what the version has there is its own, and is checked and executed as such.
const CROWDED: &str = "\
import afterlog, random
random.seed(1)
weights, history = [0.0], []
def learn(rate): weights[0] += rate * random.random(); history.append(weights[0])
for epoch in afterlog.loop('epoch', range(4)):
    total = 0.0
    for step in afterlog.loop('step', range(3)): learn(0.1); afterlog.log('weight', weights[0]); total += weights[0]
    afterlog.log('total', total); learn(0.5); afterlog.log('after', weights[0])
";

#[test]
fn a_statement_beside_others_on_their_line_is_verified_and_its_neighbours_stay_the_runs_own() {
    let log = "afterlog.log('seen', [weights[0], len(history), random.getstate()[1][5]])";
    for (after, added) in [
        ("; total += weights[0]", format!("; {log}; total += weights[0]")),
        ("total += weights[0]\n", format!("total += weights[0]; {log}\n")),
        ("range(3)): learn", format!("range(3)): {log}; learn")),
        ("learn(0.5);", format!("learn(0.5); {log};")),
        ("(0.5); afterlog.log('after', weights[0])\n", format!("(0.5); afterlog.log('after', weights[0]); {log}\n")),
        ("    afterlog.log('total', total);", format!("    {log}; afterlog.log('total', total);")),
    ] {
        for end_of_line in ["\n", "\r\n"] {
            let script = CROWDED.replace('\n', end_of_line);
            let with_statement = CROWDED.replacen(after, &added, 1).replace('\n', end_of_line);
            assert_ne!(script, with_statement);
            let case = Case { torch: false, others: &[], script: &script, with_statement: &with_statement };
            let verdicts = case.check("seen", &["--checkpoints", "all", "train.py"]);
            let rows = verdicts.lines().skip(1);
            assert!(
                rows.clone().count() >= 4 && rows.clone().all(|row| row.contains(",verified")),
                "{added} {verdicts}"
            );
        }
    }
}
