//! Objects that others refer to, memory that several tensors lie in, graphs: restored so that all see the same again.

use crate::env::TestProject;
use crate::truth::{Added, Case, values};

#[track_caller]
fn check(torch: bool, script: &str, after: &'static str, seen: &'static str) {
    let with_statement = Added { after, statement: seen, deeper: 0 }.to(script);
    Case { torch, others: &[], script, with_statement: &with_statement }.check_entered(after, "seen");
}

#[test]
fn what_objects_hold_stays_the_same_object() {
    let script = "\
import array, functools, random, threading, types, afterlog
random.seed(1)
class M:
    def __init__(self):
        self.w = 0.0
class Pair:
    def __init__(self, m):
        self.m = m
    def __reduce__(self):
        return (Pair, (self.m,))
def train(m, x):
    m.w += x
a, b, c, d = M(), M(), M(), M()
step = functools.partial(train, a)
names = types.SimpleNamespace(m=b, n=0)
pair, holder = Pair(c), M()
numbers = holder.numbers = array.array('d')
kept = []
keep = {'it': kept.append}
for epoch in afterlog.loop('epoch', range(6)):
    note = kept.append
    worker = threading.Thread(target=note, args=(0,))
    for x in afterlog.loop('step', range(3)):
        step(random.random())
        names.m.w += 1
        names.n += 1
        pair.m.w += 1
        keep['it'](x)
        worker.name
    note(epoch)
    numbers.append(a.w)
    afterlog.log('draw', random.random())
";
    let seen = "afterlog.log('seen', [a.w, b.w, names.n, c.w, len(holder.numbers), kept])";
    check(false, script, "afterlog.log('draw'", seen);
}

#[test]
fn sets_of_numbers_keep_their_order() {
    let script = "\
import random, afterlog
random.seed(1)
s = set()
for epoch in afterlog.loop('epoch', range(8)):
    for x in afterlog.loop('step', range(4)):
        s.add((7 - epoch) * 8 % 61)
        s.add((7 - epoch) * 16 + x)
    afterlog.log('draw', random.random())
";
    check(false, script, "afterlog.log('draw'", "afterlog.log('seen', list(s))");
}

#[test]
fn arrays_and_tensors_that_share_memory_share_it_again() {
    let script = "\
import afterlog, numpy as np, torch
rng = np.random.default_rng(1)
torch.manual_seed(0)
model = torch.nn.Linear(3, 1)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
kept, weights = [], []
z = np.zeros(6)
for epoch in afterlog.loop('epoch', range(6)):
    if epoch % 2 == 0:
        z = np.zeros(6) + epoch
        a, back, masked = z[1:4], z[::-1], np.ma.array([1.0, 2.0], mask=[0, 1])
        of_torch = torch.zeros(6)
        in_numpy = of_torch.numpy()
        best = model.state_dict()
    for x in afterlog.loop('step', range(3)):
        z += rng.random()
        of_torch += 1
        opt.zero_grad()
        model(torch.rand(2, 3)).sum().backward()
        opt.step()
    a[0] = 100
    back[0] += 5
    kept.append(model.weight.data)
    weights.append(model.weight.detach().numpy())
    afterlog.log('draw', rng.random())
";
    let seen = "afterlog.log('seen', [a.tolist(), z.tolist(), back.tolist(), float(masked.sum()), in_numpy.tolist(), \
                best['weight'].tolist(), kept[0].tolist(), weights[0].tolist()])";
    check(true, script, "afterlog.log('draw'", seen);
}

/// What the scripts of many image classifiers bring along: a progress bar and meters with variables of their own.
#[test]
fn variables_of_other_modules_are_restored_and_the_loop_is_entered_in_its_middle() {
    let script = "\
import random, afterlog, state, pkg.meters as M
from pkg import helper
from pkg.helper import bump, HISTORY
random.seed(1)
class Sampler:
    def __init__(self, draw=random.gauss, mode=M.Mode.PLAIN, size=4 * 8, dims=(1, 2), scale=float('1')):
        self.draw, self.mode, self.size, self.scale, self.count = draw, mode, size, scale, 0
    def step(self):
        self.count += 1
        return self.draw(0, self.scale)
sampler = Sampler()
for epoch in afterlog.loop('epoch', range(6)):
    for i in afterlog.loop('i', range(4)):
        g = sampler.step()
        bump(g)
        state.count += 1
        state.best[epoch % 3] = g
    state.rate = state.rate * 0.9
    state.table['seen'].append(g)
    M.tick()
    HISTORY.append(epoch)
    afterlog.log('draw', g)
";
    let others = [
        ("state.py", "count = 0\nrate = 1.0\nbest = {}\ntable = {'seen': []}\n"),
        ("pkg/__init__.py", ""),
        (
            "pkg/meters.py",
            "import enum\nclass Mode(enum.Enum):\n    PLAIN = 1\ncalls = 0\nseen = [None]\ndef tick():\n    global calls\n    \
             calls += 1\n    seen.append(calls * 2)\n    seen[:] = seen[-3:]\n",
        ),
        (
            "pkg/helper.py",
            "from . import meters\ntotal = 0.0\nlast = None\nHISTORY = []\ndef bump(x):\n    global total, last\n    \
             total += x\n    last = x\n    meters.tick()\n",
        ),
    ];
    let seen = "afterlog.log('seen', [state.count, state.rate, str(state.best), state.table['seen'], helper.total, helper.last, \
                len(helper.HISTORY), M.calls, M.seen, sampler.count])";
    let with_statement = Added { after: "afterlog.log('draw'", statement: seen, deeper: 0 }.to(script);
    let case = Case { torch: false, others: &others, script, with_statement: &with_statement };
    case.check_entered("a variable of another module", "seen");
    let project = case.project();
    project.write("train.py", script);
    let recorded = project.afterlog(&["run", "--checkpoints", "all", "train.py"]);
    assert!(!recorded.stderr.contains("begin at the first iteration"), "{recorded:?}");
    project.write("train.py", &with_statement);
    project.afterlog(&["replay", "seen", "--iters", "epoch=3", "--yes"]).ok();
    assert_eq!(crate::truth::values(&project, &["seen"]).len(), 1, "only the iteration that was asked for is executed");
}

/// A read-only array is restored where it lies, for others see it there; a default that is a library's own state is not left out.
#[test]
fn what_is_seen_through_read_only_arrays_and_libraries_own_variables_is_the_runs() {
    let script = "\
import os, random, afterlog, numpy as np
random.seed(0)
buf = np.zeros(8)
head, other = buf[:4], buf
buf.flags.writeable = False
def note(epoch, env=os.environ):
    env['SEEN'] = env.get('SEEN', '') + str(epoch)
for epoch in afterlog.loop('epoch', range(6)):
    buf.flags.writeable = True
    buf += random.random()
    buf.flags.writeable = False
    note(epoch)
    afterlog.log('draw', random.random())
";
    check(true, script, "afterlog.log('draw'", "afterlog.log('seen', [float(head.sum()), float(other.sum())])");
    check(true, script, "afterlog.log('draw'", "afterlog.log('seen', os.environ['SEEN'])");
    check(
        true,
        &script.replace("    note(epoch)\n", ""),
        "afterlog.log('draw'",
        "afterlog.log('seen', [float(head.sum()), float(other.sum())])",
    );
}

/// Variables that the loop's code does not name, and that show what it changes.
#[test]
fn what_shows_numbers_of_a_restored_array_or_tensor_costs_no_checkpoint_and_is_right_where_they_part() {
    let script = "\
import afterlog, numpy as np, torch
torch.manual_seed(0)
rng = np.random.default_rng(1)
table = np.zeros((3, 3))
row, turned = table[1], table.T
model = torch.nn.Linear(3, 1)
weights, part = model.weight.detach().numpy(), model.weight.data[0, 1:]
opt = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in afterlog.loop('epoch', range(6)):
    for step in afterlog.loop('step', range(3)):
        table[step] += rng.random(3)
        opt.zero_grad()
        model(torch.rand(2, 3)).sum().backward()
        opt.step()
    # part
    afterlog.log('draw', float(table.sum()))
";
    let seen = "afterlog.log('seen', [float(row.sum()), float(turned[0, 1]), float(weights.sum()), float(part.sum())])";
    for parting in
        ["pass", "if epoch == 1: table = table + 1", "if epoch == 1: model.weight.data = model.weight.data.clone()"]
    {
        let script = script.replace("# part", parting);
        check(true, &script, "afterlog.log('draw'", seen);
        let project = TestProject::git().with_torch();
        project.write("train.py", &script);
        let recorded = project.afterlog(&["run", "--checkpoints", "all", "train.py"]);
        let kept = !recorded.stderr.contains("begin at the first iteration");
        assert_eq!(kept, parting == "pass", "{recorded:?}");
    }
}

#[test]
fn a_graph_that_reaches_out_of_a_nested_loop_is_there_when_gradients_are_asked_for() {
    let script = "\
import afterlog, torch
torch.manual_seed(0)
cell = torch.nn.RNNCell(3, 4)
opt = torch.optim.SGD(cell.parameters(), lr=0.1)
h = torch.zeros(2, 4)
for epoch in afterlog.loop('epoch', range(6)):
    for x in afterlog.loop('step', range(3)):
        h = cell(torch.rand(2, 3), h)
    opt.zero_grad()
    h.sum().backward()
    opt.step()
    h = h.detach()
    afterlog.log('draw', torch.rand(()).item())
";
    let seen = "afterlog.log('seen', [h.sum().item(), cell.weight_hh.grad.sum().item()])";
    check(true, script, "afterlog.log('draw'", seen);
}

/// Without a seed of the script's own torch draws other weights in each process.
#[test]
fn an_unseeded_torch_script_is_replayed_with_the_numbers_of_its_run() {
    let script = "\
import afterlog, torch
model = torch.nn.Linear(3, 1)
for epoch in afterlog.loop('epoch', range(3)):
    afterlog.log('weight', model.weight.sum().item())
";
    let project = TestProject::git().with_torch();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    let recorded = values(&project, &["weight"]);
    project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    let both = values(&project, &["weight"]);
    assert!(both.iter().any(|row| !recorded.contains(row)), "two runs draw different numbers: {both:?}");
    project.write("train.py", format!("{script}    afterlog.log('seen', model.weight.sum().item())\n"));
    project.afterlog(&["replay", "seen", "--yes"]).ok();
    assert_eq!(values(&project, &["seen"]), both);
}

#[test]
fn what_a_replay_reads_from_a_file_of_later_is_not_called_verified() {
    let script = "\
import json, os, random, afterlog
random.seed(1)
start = json.load(open('out/last.json')) if os.path.exists('out/last.json') else 0
os.makedirs('out', exist_ok=True)
table = open('data.csv').read()
for epoch in afterlog.loop('epoch', range(5)):
    for x in afterlog.loop('step', range(2)):
        random.random()
    with open('out/log.txt', 'a') as log:
        log.write('x')
    if epoch == READ:
        known = json.load(open('out/best.json'))
    with open('out/best.json', 'w') as best:
        json.dump(epoch, best)
    afterlog.log('draw', random.random())
";
    for (read, resumes, verdict) in [
        ("9", false, "verified"),
        ("3", false, "unverified"),
        ("9 or open('out/log.txt').read() == ''", false, "unverified"),
        ("9", true, "unverified"),
    ] {
        let mut script = script.replace("READ", read);
        if resumes {
            script.push_str("json.dump(1, open('out/last.json', 'w'))\n");
        }
        let project = TestProject::git();
        project.write(".gitignore", "out/\n");
        project.write("data.csv", "1\n");
        project.write("train.py", &script);
        project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
        project.write(
            "train.py",
            Added { after: "afterlog.log('draw'", statement: "afterlog.log('s', start)", deeper: 0 }.to(&script),
        );
        let replayed = project.afterlog(&["replay", "s", "--iters", "epoch=3", "--yes"]);
        assert_eq!(replayed.code, Some(0), "{replayed:?}");
        let verdicts = project.afterlog(&["grid", "s", "--verdicts", "--format", "csv"]).ok();
        assert!(verdicts.trim_end().ends_with(&format!(",{verdict}")), "{read} {resumes}: {verdicts}");
    }
}

/// What is written to a file before the loop, and added to it in each iteration.
#[test]
fn a_file_that_skipped_iterations_would_have_added_to_is_not_relied_on() {
    for (begin, add, count) in [
        (
            "open('h.txt', 'w').close()",
            "with open('h.txt', 'a') as f: f.write('x\\n')",
            "len(open('h.txt').readlines())",
        ),
        (
            "db = sqlite3.connect('h.db'); db.execute('create table t (x)'); db.commit(); db.close()",
            "db = sqlite3.connect('h.db'); db.execute('insert into t values (1)'); db.commit(); db.close()",
            "sqlite3.connect('h.db').execute('select count(*) from t').fetchone()[0]",
        ),
    ] {
        let script = format!(
            "import sqlite3, afterlog\n{begin}\ntotal = 0\nfor epoch in afterlog.loop('epoch', range(5)):\n    for x in range(3):\n        total += x\n    {add}\n    afterlog.log('total', total)\n"
        );
        let project = TestProject::git();
        project.write("train.py", &script);
        project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
        project.write("train.py", format!("{script}    afterlog.log('count', {count})\n"));
        project.afterlog(&["replay", "count", "--iters", "epoch=3", "--yes"]).ok();
        let grid = project.afterlog(&["grid", "count", "--verdicts", "--format", "csv"]).ok();
        assert!(grid.trim_end().ends_with(",unverified"), "{grid}");
    }
}

/// Classes of the script's that do more than their built-in bases when they are read or filled.
#[test]
fn containers_with_methods_of_their_own_are_restored_without_calling_them() {
    let script = "\
import collections, random, afterlog
random.seed(1)
class Rows(list):
    def __iter__(self):
        random.shuffle(self)
        return super().__iter__()
    def __setitem__(self, at, item):
        super().__setitem__(at, [0.0])
class Seen(set):
    def update(self, items):
        super().update(['other'])
    def clear(self):
        raise RuntimeError
class Last(collections.OrderedDict):
    def clear(self):
        raise RuntimeError
rows, seen, last = Rows(), Seen(), Last()
def train(rows, seen, last):
    for epoch in afterlog.loop('epoch', range(6)):
        for x in afterlog.loop('step', range(3)):
            rows.append(random.random())
            seen.add(len(rows))
            last[x] = rows[-1]
            last.move_to_end(x, last=False)
        afterlog.log('total', sum(rows[at] * at for at in range(len(rows))))
train(rows, seen, last)
";
    check(
        false,
        script,
        "afterlog.log('total'",
        "afterlog.log('seen', [list.copy(rows), sorted(seen), list(last), random.getstate()[1][7]])",
    );
}

#[test]
fn an_object_that_holds_a_function_of_numpy_is_captured_with_it() {
    let script = "\
import afterlog, numpy as np
class Layer:
    def __init__(self):
        self.act, self.w = np.tanh, np.ones(3)
layer = Layer()
for epoch in afterlog.loop('epoch', range(6)):
    for x in afterlog.loop('step', range(3)):
        layer.w = layer.act(layer.w + x)
    afterlog.log('draw', float(layer.w.sum()))
";
    check(true, script, "afterlog.log('draw'", "afterlog.log('seen', [layer.w.tolist(), layer.act is np.tanh])");
}
