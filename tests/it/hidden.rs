//! State in places where a look at the loop does not find it: replayed all the same, or executed from the beginning.

use crate::env::TestProject;
use crate::truth::{Added, Case, values};

/// One iteration of `outer` in each epoch, of `inner` in each step; `seen` is logged by the added statement.
struct Hidden {
    what: &'static str,
    others: &'static [(&'static str, &'static str)],
    before: &'static str,
    inner: &'static str,
    outer: &'static str,
    seen: &'static str,
}

const NOTHING: Hidden = Hidden { what: "", others: &[], before: "", inner: "pass", outer: "pass", seen: "" };

const SETUP: (&str, &str) =
    ("setup.py", "history = []\nconfig = {'lr': 1.0}\nclass Counter:\n    n = 0\ncounter = Counter()\n");
const UTILS: (&str, &str) = (
    "utils.py",
    "count = 0\nseen = []\ndef tick():\n    global count\n    count += 1\n    return count\n\
     class Meter:\n    def add(self, x):\n        seen.append(x)\n",
);

impl Hidden {
    #[track_caller]
    fn check(&self) {
        let script = format!(
            "import random, afterlog\nrandom.seed(1)\n{}\nfor epoch in afterlog.loop('epoch', range(6)):\n    total = 0.0\n    \
             for step in afterlog.loop('step', range(3)):\n        total += random.random()\n        {}\n    {}\n    \
             afterlog.log('total', total)\n",
            self.before, self.inner, self.outer
        );
        let statement: &'static str = Box::leak(format!("afterlog.log('seen', [{}])", self.seen).into_boxed_str());
        let with_statement = Added { after: "afterlog.log('total'", statement, deeper: 0 }.to(&script);
        Case { torch: false, others: self.others, script: &script, with_statement: &with_statement }
            .check_entered(self.what, "seen");
    }
}

#[test]
fn state_of_other_modules() {
    for hidden in [
        Hidden {
            what: "objects imported by name",
            others: &[SETUP],
            before: "from setup import history, config, counter as c",
            inner: "history.append(step); c.n += 1",
            outer: "config['lr'] *= 0.5",
            seen: "len(history), config['lr'], c.n",
        },
        Hidden {
            what: "objects imported all at once",
            others: &[SETUP],
            before: "from setup import *",
            inner: "history.append(step)",
            seen: "len(history)",
            ..NOTHING
        },
        Hidden {
            what: "a module's variables",
            others: &[UTILS],
            before: "import utils",
            inner: "utils.seen.append(step)",
            outer: "utils.count += 1",
            seen: "len(utils.seen), utils.count",
        },
        Hidden {
            what: "a module that a variable stands for, and one that is imported by its name's text",
            others: &[UTILS],
            before: "import importlib, utils\nsame = utils if random else None\nother = importlib.import_module('utils')\n\
                     def count(m):\n    m.count += 1",
            inner: "count(same)",
            outer: "other.tick()",
            seen: "same.count, other.count",
        },
        Hidden {
            what: "a function of a module, under another name",
            others: &[UTILS],
            before: "import utils as u\nfrom utils import tick as tock",
            inner: "n = tock()",
            outer: "m = u.tick()",
            seen: "n, m",
        },
        Hidden {
            what: "a method of a class of a module",
            others: &[UTILS],
            before: "import utils\nmeter = utils.Meter()",
            inner: "meter.add(step)",
            seen: "utils.seen",
            ..NOTHING
        },
    ] {
        hidden.check();
    }
}

#[test]
fn state_of_classes_and_functions() {
    for hidden in [
        Hidden {
            what: "attributes of a class",
            before: "class Config:\n    lr = 1.0\n    made = 0\n    all = []\n    def __init__(self):\n        \
                     type(self).made += 1\n    def note(self, x):\n        self.all.append(x)\nconfig = Config()",
            inner: "config.note(step)",
            outer: "Config.lr *= 0.5; Config()",
            seen: "Config.lr, Config.made, len(Config.all)",
            ..NOTHING
        },
        Hidden {
            what: "a class method",
            before: "class Count:\n    n = 0\n    @classmethod\n    def up(cls):\n        cls.n += 1\ncount = Count()",
            inner: "count.up()",
            seen: "Count.n",
            ..NOTHING
        },
        Hidden {
            what: "attributes of a function",
            before: "def f():\n    f.calls += 1\nf.calls = 0",
            inner: "f()",
            seen: "f.calls",
            ..NOTHING
        },
        Hidden {
            what: "arguments by default",
            before: "def keep(x, kept=[]):\n    kept.append(x)\n    return len(kept)",
            inner: "n = keep(step)",
            seen: "n",
            ..NOTHING
        },
        Hidden {
            what: "what decorates a function",
            before: "def counted(f):\n    n = 0\n    def call():\n        nonlocal n\n        n += 1\n        return n\n    \
                     return call\n@counted\ndef f():\n    pass",
            inner: "n = f()",
            seen: "n",
            ..NOTHING
        },
        Hidden {
            what: "how warnings are filtered, and where a file is written",
            before: "import warnings\nout = open('out', 'w')",
            inner: "out.write('ab')",
            outer: "warnings.simplefilter('error' if epoch == 1 else 'ignore')",
            seen: "out.tell(), warnings.filters[0][0], len(warnings.filters)",
            ..NOTHING
        },
        Hidden {
            what: "where a file is written whose end is where everything goes",
            before: "with open('kept', 'w') as kept:\n    kept.write('xyz')\nkept = open('kept', 'a')",
            inner: "kept.write('ab')",
            seen: "kept.tell()",
            ..NOTHING
        },
        Hidden {
            what: "what is compressed while it is written",
            before: "import gzip\nkept = gzip.open('kept', 'wt')",
            inner: "kept.write('ab')",
            seen: "kept.tell()",
            ..NOTHING
        },
        Hidden {
            what: "what is compressed while it is written, as bytes",
            before: "import bz2\nkept = bz2.open('kept', 'wb')",
            inner: "kept.write(b'ab')",
            seen: "kept.tell()",
            ..NOTHING
        },
        Hidden {
            what: "a cache of results",
            before: "import functools\n@functools.lru_cache(None)\ndef draw(k):\n    return random.random()",
            outer: "d = draw(epoch // 2)",
            seen: "d",
            ..NOTHING
        },
    ] {
        hidden.check();
    }
}

#[test]
fn what_classes_modules_and_caches_keep_that_objects_of_the_state_lead_to() {
    for hidden in [
        Hidden {
            what: "a class, held by an object",
            before: "class Config:\n    lr = 1.0\n    n = 0\nclass Trainer:\n    def __init__(self, config):\n        \
                     self.config, self.w = config, 0.0\n    def one(self):\n        self.w += self.config.lr\n        \
                     self.config.n += 1\n    def decay(self):\n        self.config.lr *= 0.5\nt = Trainer(Config)",
            inner: "t.one()",
            outer: "t.decay()",
            seen: "t.w, Config.lr, Config.n",
            ..NOTHING
        },
        Hidden {
            what: "a class that has no name, in a dict",
            before: "kept = {'s': type('S', (), {'n': 0})}",
            inner: "kept['s'].n += 1",
            seen: "kept['s'].n",
            ..NOTHING
        },
        Hidden {
            what: "a module that the script makes",
            before: "import types\nclass T:\n    def __init__(self):\n        self.m, self.w = types.ModuleType('m'), 0\n        \
                     self.m.n = 0\n    def one(self):\n        self.w += 1\n        self.m.n += 1\nt = T()",
            inner: "t.one()",
            seen: "t.w, t.m.n",
            ..NOTHING
        },
        Hidden {
            what: "a cache of few results, under another name",
            before: "import functools\n@functools.lru_cache(maxsize=2)\ndef draw(k):\n    return random.random()\n\
                     class Box:\n    pass\nbox = Box()\nbox.draw, box.n = draw, 0",
            inner: "box.n += 1; d = box.draw(step)",
            seen: "box.n, d, draw.cache_info().misses",
            ..NOTHING
        },
    ] {
        hidden.check();
    }
}

#[test]
fn what_is_kept_by_objects_that_are_found_by_name() {
    for hidden in [
        Hidden {
            what: "members of an enumeration",
            before: "import enum\nclass Mode(enum.Enum):\n    A = 1\n    def __init__(self, value):\n        self.n, self.rows = 0, []\n\
                     class T:\n    def __init__(self):\n        self.w, self.m = 0, Mode.A\n    def one(self):\n        \
                     self.w += 1\n        self.m.n += 1\n        self.m.rows.append(1)\nt = T()",
            inner: "t.one()",
            seen: "t.w, t.m.n, len(Mode.A.rows)",
            ..NOTHING
        },
        Hidden {
            what: "what is pickled as a name",
            before: "class Registry:\n    n = 0\n    def __reduce__(self):\n        return 'REGISTRY'\nREGISTRY = Registry()\n\
                     class T:\n    def __init__(self):\n        self.w, self.r = 0, REGISTRY\n    def one(self):\n        \
                     self.w += 1\n        self.r.n += 1\nt = T()",
            inner: "t.one()",
            seen: "t.w, REGISTRY.n",
            ..NOTHING
        },
    ] {
        hidden.check();
    }
}

#[test]
fn what_signals_and_records_of_loggers_call() {
    for hidden in [
        Hidden {
            what: "a handler of signals, set under another name",
            before: "import signal\ncount = 0\ndef one(number, frame):\n    global count\n    count += 1\n\
                     def ten(number, frame):\n    global count\n    count += 10\n\
                     signal.signal(signal.SIGUSR1, one)\nput = signal.signal\n\
                     class S:\n    def arm(self, handler):\n        put(signal.SIGUSR1, handler)\ns = S()",
            inner: "signal.raise_signal(signal.SIGUSR1)",
            outer: "s.arm(ten)",
            seen: "count, signal.getsignal(signal.SIGUSR1) is ten",
            ..NOTHING
        },
        Hidden {
            what: "what the handler of a signal keeps",
            before: "import signal\nclass Count:\n    n = 0\n    def up(self, number, frame):\n        self.n += 1\n\
                     signal.signal(signal.SIGUSR1, Count().up)\nrise = signal.raise_signal",
            inner: "rise(signal.SIGUSR1)",
            seen: "signal.getsignal(signal.SIGUSR1).__self__.n",
            ..NOTHING
        },
        Hidden {
            what: "a handler of records that keeps them",
            before: "import logging\nclass Keep(logging.Handler):\n    def __init__(self):\n        super().__init__()\n        \
                     self.rows = []\n    def emit(self, record):\n        self.rows.append(record)\n\
                     log = logging.getLogger('x')\nlog.addHandler(Keep())",
            inner: "log.warning('one')",
            seen: "len(log.handlers[0].rows)",
            ..NOTHING
        },
        Hidden {
            what: "handlers that are added on the way, and filters",
            before: "import logging\nclass Count(logging.Handler):\n    n = 0\n    def emit(self, record):\n        Count.n += 1\n\
                     log = logging.getLogger('x')\nlog.propagate = False\nlog.addHandler(logging.NullHandler())",
            inner: "log.warning('one')",
            outer: "log.addHandler(Count()); log.addFilter(lambda record: True)",
            seen: "len(log.handlers), len(log.filters), Count.n",
            ..NOTHING
        },
    ] {
        hidden.check();
    }
}

#[test]
fn what_functions_and_bound_methods_keep_that_cannot_be_captured() {
    const STREAM: &str = "def stream():\n    n = 0\n    while True:\n        n += (yield n) or 1\n";
    let kept = |what: &'static str, before: &'static str, inner: &'static str| {
        let before = Box::leak(format!("{STREAM}import itertools, threading\n{before}").into_boxed_str());
        Hidden { what, before, inner, seen: "x", ..NOTHING }.check();
    };
    kept(
        "a closure with a generator",
        "def make():\n    rows, n = stream(), 0\n    def call():\n        nonlocal n\n        n += 1\n        return next(rows) + n\n    \
         return call\ncall = make()",
        "x = call()",
    );
    kept(
        "a closure with a lock, held by an object",
        "def make(lock, seen):\n    def call():\n        with lock:\n            seen.append(1)\n        return len(seen)\n    return call\n\
         class T:\n    pass\nt = T()\nt.call = make(threading.Lock(), [])",
        "x = t.call()",
    );
    kept(
        "a method of an object with a lock",
        "class Count:\n    def __init__(self):\n        self.lock, self.n = threading.Lock(), 0\n    def up(self):\n        \
         with self.lock:\n            self.n += 1\n        return self.n\nup = Count().up",
        "x = up()",
    );
    kept("a generator's method", "rows = stream(); next(rows)\nsend = rows.send\ndel rows", "x = send(2)");
    kept("a generator's special method", "take = stream().__next__", "x = take()");
    kept("a list iterator's special method", "take = iter([n * n for n in range(99)]).__next__", "x = take()");
    kept(
        "an iterator that is made anew, and a method of it",
        "class S:\n    pass\ns = S()\ns.take, s.n = itertools.count().__next__, 0",
        "s.n += s.take(); x = s.n",
    );
    kept(
        "an iterator that another object holds",
        "class S:\n    pass\ns = S()\ns.c = c = itertools.count()",
        "x = (next(c), repr(s.c))",
    );
}

#[test]
fn a_lock_that_is_held_is_never_taken_for_one_that_is_free() {
    let made = |what: &'static str, before: &str, inner: &'static str, seen: &'static str| {
        let before = format!("import threading\n{before}\nclass T:\n    pass\nt = T()\nt.call = make()");
        Hidden { what, before: Box::leak(before.into_boxed_str()), inner, seen, ..NOTHING }.check();
    };
    made(
        "what is done once, by a lock that nobody gives back",
        "def make():\n    lock = threading.Lock()\n    return lambda: lock.acquire(blocking=False)",
        "x = t.call()",
        "x, t.call()",
    );
    made(
        "how often a lock is held",
        "def make():\n    lock = threading.RLock()\n    def call(v):\n        if v:\n            lock.acquire()\n        \
         return repr(lock).split('count=')[1].split(' ')[0]\n    return call",
        "x = t.call(step)",
        "x, t.call(0)",
    );
    made(
        "a lock that was held when the loop began",
        "def make():\n    lock, seen = threading.Lock(), []\n    lock.acquire()\n    def call():\n        \
         seen.append(lock.locked())\n        if seen[-1]:\n            lock.release()\n        return sum(seen)\n    return call",
        "x = t.call()",
        "x",
    );
}

#[test]
fn modules_of_packages_modules_behind_links_and_the_environment_belong_to_the_state() {
    let utils = "count = 0\nseen = []\ndef tick():\n    global count\n    count += 1\n    seen.append(count)\n";
    let project = TestProject::git();
    project.write("pkg/__init__.py", "");
    project.write("pkg/sub/__init__.py", "");
    project.write("pkg/sub/utils.py", utils);
    let before = "import pkg.sub.utils\nfrom pkg import sub";
    let inner = "pkg.sub.utils.count += 1; sub.utils.seen.append(step)";
    entered(&project, before, inner, "pkg.sub.utils.count + len(sub.utils.seen)", "24");

    let project = TestProject::git();
    project.write("shared/tools.py", utils);
    std::os::unix::fs::symlink("shared/tools.py", project.path().join("utils.py")).expect("a link");
    std::os::unix::fs::symlink("./shared", project.path().join("linked")).expect("a link");
    let inner = "utils.tick(); linked.tools.count += 1";
    entered(&project, "import utils, linked.tools", inner, "utils.count + linked.tools.count", "24");

    let before = "import os\nfrom os import environ as env\nenv['GONE'] = 'x'\ndef mark():\n    \
                  os.environ.update(SEEN=env.get('SEEN', '') + 'y')\n    os.environ.pop('GONE', None)";
    entered(&TestProject::git(), before, "mark()", "len(env['SEEN']) + ('GONE' in env)", "12");
}

#[test]
fn state_that_is_changed_without_a_call_of_the_code_that_changes_it() {
    let boxed = "class Box:\n    def __init__(self):\n        self.n = 0\n    @property\n    def value(self):\n        \
                 self.n += 1\n        return self.n\n    def __getitem__(self, i):\n        self.n += 1\n        return i\n    \
                 def __add__(self, x):\n        self.n += 1\n        return x\n    def __enter__(self):\n        self.n += 1\n    \
                 def __exit__(self, *a):\n        pass\n    def add(self, x):\n        self.n += 1\n        return x\n\
                 a, b, c, d, e, f = (Box() for _ in range(6))\n\
                 seen = []\nhooks = {'note': lambda x: seen.append(x)}\ndef note(x):\n    notes.append(x)\nnotes = []\n\
                 import threading";
    Hidden {
        what: "properties, operators, hooks, threads",
        before: boxed,
        inner: "x = a.value + b[0]; hooks['note'](step); list(map(note, [step]))",
        outer: "y = c + 1; z = sorted([2, 1], key=e.add); t = threading.Thread(target=note, args=(9,)); t.start(); t.join()\n    \
                with d: pass",
        seen: "a.n, b.n, c.n, d.n, e.n, seen, notes",
        ..NOTHING
    }
    .check();
}

#[test]
fn iterators_and_queues_that_are_used_up_on_the_way() {
    for hidden in [
        Hidden {
            what: "iterators",
            before: "import itertools\ndef stream():\n    n = 0\n    while True:\n        n += 1\n        yield n\n\
                     numbers, turns, rows = stream(), itertools.cycle([1, 2, 3, 5, 7]), iter(range(1000))",
            inner: "x = list(itertools.islice(numbers, 2))",
            outer: "one, two = itertools.islice(turns, 2); z = sum(b for a, b in zip(range(3), rows))",
            seen: "x, one, two, z",
            ..NOTHING
        },
        Hidden {
            what: "a queue that a thread fills",
            before: "import queue, threading\nq = queue.Queue(4)\ndef fill():\n    for n in range(10000):\n        q.put(n)\n\
                     threading.Thread(target=fill, daemon=True).start()",
            inner: "x = q.get()",
            seen: "x",
            ..NOTHING
        },
        Hidden {
            what: "functions that write into what they are given",
            before: "import operator\nkept, table = [], {}",
            inner: "list.append(kept, step)",
            outer: "operator.setitem(table, epoch, step)",
            seen: "len(kept), len(table)",
            ..NOTHING
        },
        Hidden {
            what: "addresses of objects",
            before: "class P: pass\nps, counts = [P(), P()], {}",
            inner: "counts[id(ps[0])] = counts.get(id(ps[0]), 0) + 1",
            seen: "list(counts.values())",
            ..NOTHING
        },
    ] {
        hidden.check();
    }
}

/// What iteration 3 logs as `seen` when it is entered there, and what the replay says; the whole run's must be `expected`.
#[track_caller]
fn entered(project: &TestProject, before: &str, inner: &str, seen: &str, expected: &str) {
    let script = format!(
        "import random, afterlog\nrandom.seed(1)\n{before}\ntotal = 0.0\nfor epoch in range(6):\n    \
         for step in range(3):\n        total += random.random()\n        {inner}\n    print(total)\n"
    );
    project.write("train.py", &script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", format!("{script}    afterlog.log('seen', {seen})\n"));
    let replayed = project.afterlog(&["replay", "seen", "--iters", "epoch=3", "--yes"]);
    assert!(!replayed.stderr.contains("cannot be restored"), "{replayed:?}");
    assert_eq!(values(project, &["seen"]), [format!("3,{expected}")], "{replayed:?}");
}

#[test]
fn filters_of_warnings_are_the_runs_where_their_library_was_imported_in_iterations_that_are_skipped() {
    let before = "import warnings\ndef careful(epoch):\n    if epoch == 1:\n        from getpass import GetPassWarning\n        \
                  warnings.simplefilter('error', GetPassWarning)";
    let seen = "[rule[2].__name__ for rule in warnings.filters].count('GetPassWarning')";
    entered(&TestProject::git(), before, "careful(epoch)", seen, "1");
}

#[test]
fn a_file_written_at_its_end_goes_on_where_the_run_did_though_it_holds_all_of_the_run() {
    let project = TestProject::git();
    project.write(".gitignore", "kept\n");
    entered(&project, "kept = open('kept', 'a')", "kept.write('ab')", "kept.tell()", "24");
    assert_eq!(project.read("kept").len(), 36, "the user's file is as the run left it");
    // Where the iteration itself goes on writing, too.
    let project = TestProject::git();
    project.write(".gitignore", "kept\n");
    let script = "import random\nkept = open('kept', 'a')\ntotal = 0.0\nfor epoch in range(6):\n    for step in range(3):\n        \
                  total += random.random()\n    kept.write('ab')\n    kept.flush()\n    print(total)\n";
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", format!("import afterlog\n{script}    afterlog.log('seen', kept.tell())\n"));
    project.afterlog(&["replay", "seen", "--iters", "epoch=3", "--yes"]).ok();
    let seen = values(&project, &["seen"]);
    assert!(seen.iter().any(|row| row == "3,8"), "{seen:?}");
    assert_eq!(project.read("kept").len(), 12, "the user's file is as the run left it");
}
