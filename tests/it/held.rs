//! Objects that other variables hold too, and variables without a value: a restore leaves them as the run had them.

use crate::env::TestProject;
use crate::truth::{Added, Case};

#[track_caller]
fn check(script: &str, after: &str, log: &str) {
    let added = Added { after, statement: log, deeper: 0 };
    let with_statement = format!("import afterlog\n{}", added.to(script));
    let case = Case { torch: false, others: &[], script, with_statement: &with_statement };
    case.check("probe", &["--checkpoints", "all", "train.py"]);
    case.check_entered(after, "probe");
}

/// Variables of the loop come to stand for objects that only others hold from the beginning.
const CHOSEN: &str = "\
import random

random.seed(2)


class Config:
    def __init__(self, rate):
        self.rate = rate


class Node:
    __slots__ = ('value', 'next')


MARK = object()
configs = [Config(k) for k in range(4)]
table = {config: config.rate * 1.5 for config in configs}
ring = [Node() for _ in range(3)]
for k, node in enumerate(ring):
    node.value, node.next = k, ring[k - 1]
rows = [[random.random(), k] for k in range(5)]
current, state, at, score = configs[0], None, ring[0], 0.0


def evaluate(n):
    return configs[n % 4], MARK if n % 2 else None


for epoch in range(7):
    for row in rows:
        if random.random() < 0.5:
            current, at = configs[row[1] % 4], at.next
    score += (current is configs[1]) + table.get(current, 1000.0)
    picked, state = evaluate(epoch)
    if state is MARK and picked is configs[epoch % 4]:
        score += 0.25
    print(epoch, score)
";

#[test]
fn an_object_that_others_hold_is_the_same_object_after_a_restore() {
    let log =
        "afterlog.log('probe', [score, state is MARK, [picked is c for c in configs], at in ring, row is rows[4]])";
    check(CHOSEN, "print(epoch", log);
    // Of a list with more items than are looked at, too.
    check(
        &CHOSEN.replace("for k in range(5)]", "for k in range(5000)]"),
        "print(epoch",
        log.replace("rows[4]", "rows[-1]").as_str(),
    );
    check(CHOSEN, "score += (current", log.replace("state is MARK, [picked is c for c in configs], ", "").as_str());
}

/// What others hold is not what they held in the run, since a file is there now: a place in it is another object's.
#[test]
fn an_object_is_not_restored_as_another_one_that_others_hold_in_its_place() {
    let script = "\
import os, random

random.seed(4)


class Node:
    def __init__(self, k):
        self.k = k


bag = [Node(k) for k in range(4)]
if os.path.exists('later'):
    bag.insert(0, Node(9))
current, total = Node(7), 0.0
for epoch in range(6):
    for step in range(3):
        current = bag[-1 - step]
        total += random.random()
    print(epoch, total)
";
    let project = TestProject::git();
    project.write(".gitignore", "later\n");
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let seen = "    afterlog.log('seen', current.k)\n    for step";
    project.write("train.py", format!("import afterlog\n{}", script.replace("    for step", seen)));
    for later in [true, false] {
        if later {
            project.write("later", "");
        } else {
            std::fs::remove_file(project.path().join("later")).expect("removed");
        }
        let replayed = project.afterlog(&["replay", "seen", "--iters", "epoch=3", "--yes", "--force"]);
        assert_eq!(replayed.code, Some(0), "{replayed:?}");
        let done_without = "cannot be restored: it is executed from the script's beginning";
        assert_eq!(replayed.stderr.contains(done_without), later, "{replayed:?}");
    }
    let csv = project.afterlog(&["grid", "seen", "--format", "csv"]).ok();
    assert!(csv.ends_with(",3,1,verified\n"), "{csv}");
}

/// What a variable stood for first goes on to be used by another, changed, while the variable is bound anew.
const LEFT_BEHIND: &str = "\
import random

random.seed(3)


def run(gathered, n):
    for k in range(6):
        gathered.append(random.random())
        if k == n:
            gathered = gathered + [1.0]
    return gathered


def train(n):
    mine = [0.0]
    got = run(mine, n)
    return sum(mine), got is mine


total, recent = 0.0, []
first = recent
for epoch in range(6):
    gain, same = train(epoch + 1)
    total += gain + same
    for k in range(3):
        recent += [random.random()]
    if epoch == 2:
        recent = list(recent)
    print(epoch, total, len(first))
";

#[test]
fn an_object_that_its_variable_left_behind_changed_is_not_taken_from_an_earlier_time() {
    let log = "afterlog.log('probe', [total, gain, same, first, recent, first is recent])";
    check(LEFT_BEHIND, "print(epoch", log);
}

/// A variable that a loop deletes, at module level and in a function.
const DELETED: &str = "\
import random

random.seed(9)


def main(spare, total):
    for epoch in range(6):
        for k in range(3):
            total += random.random()
            if k == 1 and epoch % 2 == 0:
                try:
                    del spare
                except NameError:
                    pass
        try:
            total += spare[0]
        except NameError:
            total -= 1
            if epoch % 3 == 0:
                spare = [random.random()]
        print(epoch, total)


main([1, 2], 0.0)
";

#[test]
fn a_variable_without_a_value_has_none_after_a_restore() {
    let log = "afterlog.log('probe', [total, k])";
    check(DELETED, "print(epoch", log);
    let lines = DELETED.replace("def main(spare, total):", "spare, total = [1, 2], 0.0\nif True:");
    check(&lines.replace("\nmain([1, 2], 0.0)\n", ""), "print(epoch", log);
}

/// Two objects of a kind in a set that has no order.
const UNORDERED: &str = "\
import random

random.seed(1)


class Agent:
    def __init__(self, k):
        self.k, self.value = k, 0.0


class Team:
    agents = None


team = Team()
team.agents = frozenset([Agent(k) for k in range(12)])


def train(team):
    for agent in sorted(team.agents, key=lambda agent: agent.k):
        agent.value += agent.k * random.random()


for epoch in range(6):
    train(team)
    print(epoch, sum(sorted(agent.value for agent in team.agents)))
";

#[test]
fn objects_in_a_set_that_has_no_order_are_not_taken_for_each_other() {
    check(UNORDERED, "print(epoch", "afterlog.log('probe', sorted([agent.k, agent.value] for agent in team.agents))");
}

/// A view that PyTorch refuses to be asked about, by an error, from some time on.
const REFUSING: &str = "\
import torch
from torch import nn

torch.manual_seed(0)


def main():
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(5):
        for x in torch.randn(4, 5, 4):
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()
        with torch.no_grad():
            view = model.weight.view(-1)[:5]
            view *= 0.99
        for x in torch.randn(4, 5, 4):
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()
        print(epoch, model.weight.sum().item())


main()
";

#[test]
fn a_view_that_may_not_be_asked_about_ends_no_training() {
    let log = "afterlog.log('probe', [view.detach().tolist(), model.weight.tolist()])";
    for script in [REFUSING, &REFUSING.replace("def main():", "if True:").replace("\nmain()\n", "")] {
        let added = Added { after: "print(epoch", statement: log, deeper: 0 };
        let with_statement = format!("import afterlog\n{}", added.to(script));
        let case = Case { torch: true, others: &[], script, with_statement: &with_statement };
        case.check("probe", &["--checkpoints", "all", "train.py"]);
    }
}

/// A loss that one function computes and another one differentiates, which catches everything.
const DIFFERENTIATED: &str = "\
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(20, 3)


class Trainer:
    def __init__(self):
        self.model = nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

    def evaluate(self):
        self.loss = sum(self.model(part).pow(2).mean() for part in x.split(5))
        return self.loss

    def update(self, loss):
        try:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        except Exception as error:
            print(error)


trainer = Trainer()
for epoch in range(4):
    loss = trainer.evaluate()
    trainer.update(loss)
    print(epoch, loss.item())
";

#[test]
fn what_is_differentiated_elsewhere_is_computed_and_not_restored() {
    let added = Added {
        after: "trainer.update(",
        statement: "afterlog.log('probe', [loss.item(), trainer.model.weight.tolist()])",
        deeper: 0,
    };
    let with_statement = format!("import afterlog\n{}", added.to(DIFFERENTIATED));
    let case = Case { torch: true, others: &[], script: DIFFERENTIATED, with_statement: &with_statement };
    case.check("probe", &["--checkpoints", "all", "train.py"]);

    // Where the code does not show it, the replay fails and says so, whatever the script catches.
    let hidden = DIFFERENTIATED.replace("trainer.update(loss)", "trainer.update(trainer.loss)");
    let with_statement = format!("import afterlog\n{}", Added { after: "trainer.update(", ..added }.to(&hidden));
    let case = Case { torch: true, others: &[], script: &hidden, with_statement: &with_statement };
    let project = case.project();
    project.write("train.py", &hidden);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", &with_statement);
    let replayed = project.afterlog(&["replay", "probe", "--yes"]);
    assert!(replayed.stderr.contains("gradients are asked for through"), "{replayed:?}");
}

/// Tensors whose memory is given back: one that the loop makes, one beside it.
const GIVEN_BACK: &str = "\
import torch

torch.manual_seed(0)
beside = torch.ones(1000, 1000)
beside.untyped_storage().resize_(0)
total = 0.0
for epoch in range(5):
    for k in range(3):
        part = torch.randn(1000, 1000)
        total += part.sum().item()
        part.untyped_storage().resize_(0)
    print(epoch, total)
";

#[test]
fn a_tensor_whose_memory_was_given_back_is_not_read() {
    let added = Added { after: "print(epoch", statement: "afterlog.log('probe', total)", deeper: 0 };
    let with_statement = format!("import afterlog\n{}", added.to(GIVEN_BACK));
    let case = Case { torch: true, others: &[], script: GIVEN_BACK, with_statement: &with_statement };
    case.check("probe", &["--checkpoints", "all", "train.py"]);
}
