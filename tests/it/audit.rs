//! What a loop changes in ways that its code does not show: seen while it runs, and never lost in a replay.

use crate::env::TestProject;
use crate::truth::Case;

/// `seen`, `Meter.total` and `hidden` are changed through a string, a name put together, and by being
/// printed; the last only from the fourth iteration on.
const HIDDEN: &str = "\
import random

random.seed(3)


class Meter:
    total = 0.0


class Held:
    value = 0.0

    def __str__(self):
        self.value += 0.5
        return 'held'


seen = {'n': 0.0}
hidden = Held()


def by_text(value):
    exec(\"seen['n'] += \" + repr(value))


def by_name(value, name='to' + 'tal'):
    type.__setattr__(Meter, name, Meter.total + value)


def by_printing(value):
    return f'{hidden}' + str(value)


total = 0.0
for epoch in range(7):
    for step in range(30):
        total += random.random()
        WHAT
    print(epoch, total)
print(seen['n'], Meter.total, hidden.value)
";

fn check(change: &str, note: &str) {
    let script = HIDDEN.replace("WHAT", change);
    let values = "[total, seen['n'], Meter.total, hidden.value, sum(random.getstate()[1][:9])]";
    let statement = format!("afterlog.log('values', {values})");
    let added = script.replace("    print(epoch", &format!("    {statement}\n    print(epoch"));
    let added = format!("import afterlog\n{added}");
    let case = Case { torch: false, others: &[], script: &script, with_statement: &added };
    let grid = case.check("values", &["--checkpoints", "all", "train.py"]);
    assert_eq!(grid.lines().count(), 8, "{grid}");

    let project = TestProject::git();
    project.write("train.py", &script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains(note), "{shown}");
}

#[test]
fn what_is_changed_through_a_string_of_code_is_replayed_by_executing_it() {
    check("by_text(total)", "epoch changes seen, which its code does not show: replays begin at the first iteration");
}

#[test]
fn what_is_changed_through_a_computed_name_is_replayed_by_executing_it() {
    check("by_name(total)", "changes Meter, which its code does not show");
}

#[test]
fn what_is_changed_out_of_sight_only_later_in_a_run_is_replayed_by_executing_it() {
    check("by_printing(total) if epoch >= 3 else None", "changes hidden, which its code does not show");
}

const TORCH: &str = "\
import copy
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        return self.b(self.drop(torch.relu(self.norm(self.a(x)))))


def evaluate():
    model.eval()
    with torch.no_grad():
        total = 0.0
        for x, y in loader:
            total += criterion(model(x), y).item()
    return total


torch.manual_seed(0)
inputs = torch.randn(256, 8)
criterion = nn.MSELoss()
teacher = nn.Linear(8, 1).eval().requires_grad_(False)
model = Net()
ema = copy.deepcopy(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
loader = DataLoader(TensorDataset(inputs, inputs[:, :1] * inputs[:, 1:2]), batch_size=32, shuffle=True)
best, history = {'loss': 1e9, 'state': None}, []
for epoch in range(4):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y) + 0.1 * criterion(model(x), teacher(x))
        loss.backward()
        optimizer.step()
        for a, b in zip(ema.parameters(), model.parameters()):
            a.data.mul_(0.9).add_(b.data, alpha=0.1)
    scheduler.step()
    value = evaluate()
    history.append(value)
    if value < best['loss']:
        best = {'loss': value, 'state': copy.deepcopy(model.state_dict())}
    print(epoch, value)
";

#[test]
fn an_ordinary_training_script_hides_nothing_and_gets_all_its_checkpoints() {
    let project = TestProject::git().with_torch();
    project.write("train.py", TORCH);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(!shown.contains("note:"), "{shown}");
    // The ends of both blocks in each iteration, and the starts of all but the first, and the state after the last.
    assert!(shown.contains("checkpoints  12 ("), "{shown}");
}

#[test]
fn what_is_changed_out_of_sight_in_another_module_of_the_project_is_seen_too() {
    let project = TestProject::git();
    project.write(
        "state.py",
        "values = []\n\n\ndef keep(value):\n    exec('values.append(value)', globals(), {'value': value})\n",
    );
    project.write("train.py", "import state\n\nkeep = vars(state)['keep']\nfor epoch in range(4):\n    for step in range(9):\n        keep(step)\n    print(len(state.values))\n");
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("changes state.values, which its code does not show"), "{shown}");
}

/// The change that `change` makes through a `__str__` that the analysis takes for harmless.
fn is_found(class: &str, change: &str) {
    let project = TestProject::git();
    project.write("net/__init__.py", "");
    project.write(
        "net/model.py",
        format!("class Model:\n    {class}\n    def __str__(self):\n        {change}\n        return ''\n"),
    );
    let script = "from net.model import Model\nnotes = [{i: [str(i)] for i in range(3000)} for _ in range(4)]\nmodel = Model()\n\
                  for epoch in range(4):\n    for step in range(9):\n        text = f'{model}'\n    print(epoch)\nprint(len(notes))\n";
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(shown.contains("changes model, which its code does not show"), "{change}: {shown}");
}

#[test]
fn a_change_is_seen_beside_large_data_in_private_caches_and_between_numbers_of_one_hash() {
    is_found("count = 0", "self.count += 1");
    is_found("_cache_hits = 0", "self._cache_hits += 1");
    is_found("count = -1", "self.count = -2 if self.count == -1 else -1");
    is_found("names = {'a'}", "self.names = {*self.names, str(len(self.names))}");
}

#[test]
fn recording_runs_none_of_the_scripts_own_methods() {
    let project = TestProject::git();
    let script = "\
import random, sys, types

class Lazy(types.ModuleType):
    def __getattr__(self, name):
        raise ImportError(name)

class Batches(list):
    def __iter__(self):
        random.shuffle(self)
        return super().__iter__()

sys.modules['lazy'] = Lazy('lazy')
random.seed(1)
batches, other = Batches(range(40)), Batches(range(9))

def train(batches, other, total):
    for epoch in range(4):
        for number, x in enumerate(batches):
            total += number * x
        print(epoch, total, random.random())
    return len(other)
";
    // The loops in a function, and the same at the module's level.
    let function = format!("{script}\nprint(train(batches, other, 0))\n");
    let (before, body) = script.split_once("def train(batches, other, total):\n").expect("a function");
    let body: String =
        body.lines().filter(|line| !line.contains("return")).map(|line| format!("{}\n", &line[4..])).collect();
    for script in [function, format!("{before}total = 0\n{body}print(len(other))\n")] {
        project.write("train.py", &script);
        let recorded = project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
        assert_eq!(recorded, project.run(crate::env::python(), &["train.py"]).ok());
        let shown = project.afterlog(&["show", "last"]).ok();
        assert!(!shown.contains("checkpoints  0 ("), "{shown}");
    }
}

/// A loop that only finds results in a cache, and computes one more each time in another.
const CACHED: &str = "\
import functools, random, afterlog
random.seed(2)
@functools.lru_cache(maxsize=None)
def table(n):
    return tuple(i * i for i in range(n))
class T:
    def __init__(self):
        self.w, self.f = 0.0, table
t = T()
t.f(5), t.f(6), t.f(7)
for epoch in afterlog.loop('epoch', range(6)):
    for step in afterlog.loop('step', range(3)):
        t.w += random.random() * t.f(5 + step)[3]
    afterlog.log('w', t.w)
";

#[test]
fn results_that_are_only_found_in_a_cache_cost_no_checkpoint_and_how_often_is_never_called_verified() {
    let with = |statement: &str| format!("{CACHED}    afterlog.log('seen', {statement})\n");
    let case = Case { torch: false, others: &[], script: CACHED, with_statement: &with("t.w") };
    let grid = case.check_entered("a cache", "seen");
    assert!(grid.contains("verified") && !grid.contains("unverified"), "{grid}");
    let project = TestProject::git();
    project.write("train.py", CACHED);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    assert!(!shown.contains("note:") && shown.contains("checkpoints  12 ("), "{shown}");
    project.write("train.py", with("table.cache_info().hits"));
    project.afterlog(&["replay", "seen", "--yes"]).ok();
    let grid = project.afterlog(&["grid", "seen", "--verdicts", "--format", "csv"]).ok();
    assert!(grid.contains("unverified"), "{grid}");
    // A script that asks for it itself is entered at its beginning.
    let asking = CACHED.replace("t.w += random", "t.w += table.cache_info().hits + random");
    let added = format!("{asking}    afterlog.log('seen', t.w)\n");
    Case { torch: false, others: &[], script: &asking, with_statement: &added }.check_entered("a cache asked", "seen");
}

/// What a function computed from the last batch is gone when it lets it go.
#[test]
fn recording_keeps_no_tensor_of_the_script_alive() {
    let project = TestProject::git().with_torch();
    let script = "\
import torch, weakref

def train():
    weights, last, epoch = torch.zeros(8, requires_grad=True), None, 0
    while epoch < 4:
        for step in range(3):
            out = weights * torch.randn(8)
            if last is not None:
                print(epoch, step, last() is None)
            out.sum().backward()
            last = weakref.ref(out)
        epoch += 1

train()
";
    project.write("train.py", script);
    let plain = project.run(crate::env::torch_python(), &["train.py"]).ok();
    assert!(plain.contains("3 2 True") && !plain.contains("False"), "{plain}");
    assert_eq!(project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok(), plain);
}
