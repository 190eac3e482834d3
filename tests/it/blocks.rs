//! Blocks of every kind: loops left by `break`, loops with an `else`, `while` loops, and calls. What replay skips must leave
//! behind what executing it would have.

use crate::env::{TestProject, python};
use crate::truth::{Added, Case};

/// A loop that may be left, with an `else`; a `while`; calls of a function and of a method that go over items.
const KINDS: &str = "\
import random

random.seed(7)


class Model:
    def __init__(self):
        self.weights = [0.0] * 6
        self.seen = 0

    def fit(self, rows):
        self.weights = [sum(w + 0.01 * row[k] for row in rows) for k, w in enumerate(self.weights)]
        self.seen += len([step(self, row) for row in rows])
        return random.random()


def step(model, row):
    model.weights[0] -= 0.001 * row[0] * random.random()


def accuracy(model, rows):
    return sum(float(abs(w * row[0])) for w in model.weights for row in rows) / len(rows)


rows = [[random.random() for _ in range(6)] for _ in range(30)]
model, best, whole = Model(), 0.0, 0
for epoch in range(5):
    gain = model.fit(rows)
    for row in rows:
        if row[0] + 0.1 * random.random() > 0.9:
            break
        best += row[0] * random.random()
    else:
        whole += 1
        print('whole')
    if epoch % 2:
        scores = accuracy(model, rows), accuracy(model, rows[:5])
        score = accuracy(model, rows[5:])
    while random.random() < 0.9:
        best += 1
    print(epoch, best, row[0])
";

#[track_caller]
fn check(script: &str, added: &Added<'_>, torch: bool, expected_skips: u32) {
    let with_statement = if script.contains("import afterlog\n") {
        added.to(script)
    } else {
        format!("import afterlog\n{}", added.to(script))
    };
    let case = Case { torch, others: &[], script, with_statement: &with_statement };
    let project = case.project();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", &with_statement);
    let plan = project.afterlog(&["replay", "probe", "--dry-run"]).ok();
    assert!(plan.contains(&format!(", {expected_skips} blocks skipped")), "{plan}");
    case.check("probe", &["--checkpoints", "all", "train.py"]);
}

#[test]
fn skipped_loops_left_by_break_whiles_and_calls_leave_what_they_left_in_the_run() {
    let log = "afterlog.log('probe', [best, whole, row, gain, model.weights, model.seen, sum(random.getstate()[1])])";
    // Of 5 iterations the `fit`, the loop and the `while`, of 2 a call.
    check(KINDS, &Added { after: "print(epoch, best", statement: log, deeper: 0 }, false, 17);
    // In the function that a call calls: then it is executed.
    let inside = "afterlog.log('probe', [epoch, model.weights[0], len(rows)])";
    check(KINDS, &Added { after: "def accuracy", statement: inside, deeper: 1 }, false, 15);
}

/// All of it local to functions; blocks that are left by `return`, by an exception, or by the loop around them.
const LEFT: &str = "\
import random


def search(rows, limit):
    for row in rows:
        if row > limit:
            return row
        limit -= 0.001 * random.random()
    return None


def main():
    random.seed(3)
    rows = [random.random() for _ in range(40)]
    found, total = [], 0.0
    for epoch in range(8):
        found.append(search(rows, 0.9 + epoch / 60))
        for row in rows:
            if total > 60:
                break
            total += row * random.random()
        else:
            if epoch == 3:
                total += 1
                continue
        try:
            for row in rows:
                total += random.random()
                if row < 0.02 * epoch:
                    raise ValueError(row)
        except ValueError as error:
            total -= 0.5
        lowest = min(evaluate(rows, total), epoch)
        print(epoch, total, lowest, found[-1])
    return total


def evaluate(rows, total):
    return sum(float(row) for row in rows) - total


print(main(), random.random())
";

#[test]
fn blocks_that_were_left_in_their_middle_are_executed_again_as_they_were() {
    let log = "afterlog.log('probe', [total, found, lowest, sum(random.getstate()[1])])";
    let with_statement =
        format!("import afterlog\n{}", Added { after: "print(epoch, t", statement: log, deeper: 0 }.to(LEFT));
    let case = Case { torch: false, others: &[], script: LEFT, with_statement: &with_statement };
    case.check("probe", &["--checkpoints", "all", "train.py"]);
    case.check_entered("blocks left early", "probe");
}

/// As FlorDB's users write: the loop over epochs is named, and nothing else.
const NAMED: &str = "\
import random
import afterlog

random.seed(1)
total, noise = 0.0, []
for epoch in afterlog.loop('epoch', range(6)):
    for k in range(30):
        total += random.random()
        if total > 70:
            break
    noise.append(total)
    for step in afterlog.loop('step', range(2)):
        total -= random.random()
        afterlog.log('noise', total)
    while total > 40:
        total -= 1 + random.random()
";

#[test]
fn in_a_loop_that_the_script_names_the_loops_that_it_does_not_name_are_skipped_too() {
    let log = "afterlog.log('probe', [total, noise, k, sum(random.getstate()[1])])";
    check(NAMED, &Added { after: "total -= 1 +", statement: log, deeper: 0 }, false, 12);
    check(NAMED, &Added { after: "noise.append", statement: log, deeper: 0 }, false, 18);
}

/// So many batches of a data loader and no more, then an evaluation in one expression.
const TORCH: &str = "\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(4)
data = TensorDataset(torch.randn(64, 5), torch.randint(0, 3, (64,)))
loader = DataLoader(data, batch_size=8, shuffle=True)
model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)


@torch.no_grad()
def evaluate(net):
    net.eval()
    right = sum(int((net(x).argmax(1) == y).sum()) for x, y in loader)
    net.train()
    return right / len(data), torch.rand(2)


for epoch in range(4):
    for step, (x, y) in enumerate(loader):
        if step == 5 - epoch % 2:
            break
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    accuracy, noise = evaluate(model)
    print(epoch, loss.item(), accuracy, noise)
";

#[test]
fn a_loop_over_some_batches_and_an_evaluation_in_one_expression_are_skipped() {
    let log = "afterlog.log('probe', [accuracy, noise.tolist(), model[0].weight.norm().item(), step, torch.get_rng_state().sum().item()])";
    check(TORCH, &Added { after: "print(epoch", statement: log, deeper: 0 }, true, 8);
}

#[test]
fn blocks_show_in_no_traceback_and_no_source() {
    let project = TestProject::git();
    let script = "import inspect, sys\n\n\ndef evaluate(x):\n    if x == 2:\n        raise KeyError(inspect.getsource(evaluate), sys._getframe(1).f_lineno)\n\n\n\
                  for epoch in range(4):\n    for x in range(3): print(x, sys._getframe().f_lineno)\n    evaluate(\n        epoch\n    )\n";
    project.write("train.py", script);
    let recorded = project.afterlog(&["run", "train.py"]);
    let plain = project.run(python(), &["train.py"]);
    assert_eq!((recorded.code, recorded.stdout), (plain.code, plain.stdout));
    assert_eq!(
        recorded.stderr.lines().filter(|line| !line.starts_with("note:")).collect::<Vec<_>>().join("\n"),
        plain.stderr.trim_end()
    );
}

/// The same function trains twice, and what it leaves is used by the second time.
const TWICE: &str = "\
import random


def train(epochs, seed, total):
    random.seed(seed)
    for epoch in range(epochs):
        for x in range(20):
            total += random.random()
        print('train', total)
    return total


first = train(3, 1, 0.0)
second = train(4, 2, first)
print(first, second)
";

#[test]
fn a_main_loop_that_runs_twice_has_the_values_of_both_times() {
    let log = "afterlog.log('probe', [total, x])";
    for after in ["total += random", "print('train'"] {
        let with_statement = format!("import afterlog\n{}", Added { after, statement: log, deeper: 0 }.to(TWICE));
        let case = Case { torch: false, others: &[], script: TWICE, with_statement: &with_statement };
        case.check("probe", &["--checkpoints", "all", "train.py"]);
    }
}

/// Batches come from generators: of a function, of a method, inside others, left in their middle.
const GENERATED: &str = "\
import random

random.seed(8)


class Data:
    def __init__(self):
        self.rows, self.opened = [random.random() for _ in range(20)], 0

    def batches(self, size):
        self.opened += 1
        order = list(self.rows)
        random.shuffle(order)
        try:
            for start in range(0, len(order), size):
                yield order[start : start + size]
        finally:
            self.opened += 0.5


def pairs(data):
    for batch in data.batches(2):
        yield batch[0], batch[1]


data, total = Data(), 0.0
for epoch in range(6):
    for number, batch in enumerate(data.batches(4)):
        total += sum(batch) * random.random()
        if total > 9 * epoch:
            break
    for one, other in pairs(data):
        total += one - other
    print(epoch, total, data.opened)
";

#[test]
fn loops_over_generators_that_are_made_for_them_are_skipped() {
    let log = "afterlog.log('probe', [total, number, data.opened, one, sum(random.getstate()[1])])";
    check(GENERATED, &Added { after: "print(epoch", statement: log, deeper: 0 }, false, 12);
    // In the generator: then they are executed.
    let log = "afterlog.log('probe', [epoch, len(order), self.opened])";
    let inside = Added { after: "random.shuffle", statement: log, deeper: 0 }.to(GENERATED);
    let case =
        Case { torch: false, others: &[], script: GENERATED, with_statement: &format!("import afterlog\n{inside}") };
    case.check("probe", &["--checkpoints", "all", "train.py"]);
}

/// A recurrent network keeps weak references to its weights.
const RECURRENT: &str = "\
import torch
from torch import nn

torch.manual_seed(6)
network = nn.LSTM(4, 8, 2, dropout=0.3)
head = nn.Linear(8, 1)
optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=0.02)
for epoch in range(4):
    for step in range(3):
        x = torch.randn(5, 2, 4)
        optimizer.zero_grad()
        loss = (head(network(x)[0]).mean() - x.mean()).pow(2)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
";

#[test]
fn a_recurrent_network_is_captured_with_its_references_to_its_own_weights() {
    let log = "afterlog.log('probe', [loss.item(), sum(r().sum().item() for r in network._flat_weight_refs), \
               all(r() is w for r, w in zip(network._flat_weight_refs, network._flat_weights))])";
    check(RECURRENT, &Added { after: "print(epoch", statement: log, deeper: 0 }, true, 4);
}
