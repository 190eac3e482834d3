//! Hands-free recording of `while` loops over steps: in the middle, to the end, left early, in functions.

use crate::env::{TestProject, python};
use crate::truth::{Added, Case};

/// As training by steps without epochs is written: `while True`, the batch fetched ahead, left by `break`.
pub(crate) const STEPS: &str = "\
import random

random.seed(7)


def get_batch():
    return [random.random() for _ in range(8)]


def estimate_loss(weights):
    losses = []
    for k in range(3):
        batch = get_batch()
        losses.append(sum(w * x for w, x in zip(weights, batch)))
    return sum(losses) / 3


weights, best, running = [0.0] * 8, 9.0, -1.0
iter_num = local_iter_num = 0
batch = get_batch()
while True:
    rate = 0.1 / (1 + iter_num)
    if iter_num % 4 == 0:
        loss = estimate_loss(weights)
        if loss < best:
            best = loss
        print('eval', iter_num, loss, best)
    for micro_step in range(3):
        error = sum(w * x for w, x in zip(weights, batch)) - 1.0
        weights = [w - rate * error * x for w, x in zip(weights, batch)]
        batch = get_batch()
    running = 0.9 * running + 0.1 * error
    if iter_num % 5 == 2:
        iter_num += 1
        continue
    iter_num += 1
    local_iter_num += 1
    if iter_num >= 18:
        break
print('done', running, best)
";

fn check(script: &str, added: &Added<'_>) -> String {
    let with_statement = format!("import afterlog\n{}", added.to(script));
    let case = Case { torch: false, others: &[], script, with_statement: &with_statement };
    case.check("probe", &["--checkpoints", "all", "train.py"])
}

#[test]
fn a_statement_in_an_endless_loop_over_steps_has_the_values_of_a_full_run() {
    let log = "afterlog.log('probe', [running, rate, sum(weights), sum(batch), best, local_iter_num])";
    let grid = check(STEPS, &Added { after: "running = 0.9", statement: log, deeper: 0 });
    assert!(grid.starts_with("run,iter_num,probe,"), "{grid}");
    assert_eq!(grid.lines().count(), 20, "{grid}");
}

#[test]
fn a_statement_in_a_block_of_a_loop_over_steps_has_the_values_of_a_full_run() {
    let log = "afterlog.log('probe', error)";
    check(STEPS, &Added { after: "error = sum", statement: log, deeper: 0 });
}

#[test]
fn a_statement_after_a_loop_over_steps_has_the_value_of_a_full_run() {
    let log = "afterlog.log('probe', [running, weights, iter_num, random.random()])";
    check(STEPS, &Added { after: "print('done'", statement: log, deeper: 0 });
}

#[test]
fn a_chosen_step_is_entered_from_its_checkpoint() {
    let project = TestProject::git();
    project.write("train.py", STEPS);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let log = "afterlog.log('probe', running)";
    let added = Added { after: "running = 0.9", statement: log, deeper: 0 };
    project.write("train.py", format!("import afterlog\n{}", added.to(STEPS)));
    let plan = project.afterlog(&["replay", "probe", "--iters", "iter_num=11", "--dry-run"]).ok();
    assert!(plan.contains("1 iteration, 1 from a checkpoint"), "{plan}");
}

/// A condition that ends the loop, a counter that goes by three, a `while` in it, and all of it local to a function.
const COUNTED: &str = "\
import random


def train(steps):
    random.seed(5)
    step, total, history = 0, 0.0, []
    while step < steps and len(history) < 40:
        for x in range(20):
            total += random.random()
        tries = 0
        while random.random() < 0.6:
            tries += 1
            total -= 0.01
        history.append(total)
        step += 3
        try:
            if step % 9 == 0:
                raise ValueError(step)
        except ValueError as error:
            print(error, total)
            continue
    print('left', step, total)
    return history


values = train(30)
print(len(values), random.random())
";

#[test]
fn a_loop_that_ends_by_its_condition_in_a_function_has_the_values_of_a_full_run() {
    let log = "afterlog.log('probe', [step, total, len(history), tries])";
    let grid = check(COUNTED, &Added { after: "history.append", statement: log, deeper: 0 });
    assert!(grid.starts_with("run,step,step_value,probe,"), "{grid}");
    assert!(grid.contains(",9,27,"), "{grid}");
    let log = "afterlog.log('probe', [step, total, history])";
    check(COUNTED, &Added { after: "print('left'", statement: log, deeper: 0 });
}

#[test]
fn a_statement_in_an_inner_while_has_a_position_there_and_the_values_of_a_full_run() {
    let log = "afterlog.log('probe', total)";
    let grid = check(COUNTED, &Added { after: "total -= 0.01", statement: log, deeper: 0 });
    assert!(grid.starts_with("run,step,step_value,tries,probe,"), "{grid}");
}

/// The counter is an attribute of a trainer, as many write them.
const TRAINER: &str = "\
import random


class Trainer:
    def __init__(self, epochs):
        self.epoch, self.epochs, self.total = 0, epochs, 0.0

    def fit(self):
        while self.epoch < self.epochs:
            for step in range(4):
                self.total += random.random()
            print(self.total)
            self.epoch += 2


random.seed(4)
Trainer(10).fit()
";

#[test]
fn a_loop_is_named_by_the_attribute_that_counts_it_and_its_value_is_the_counters() {
    let log = "afterlog.log('probe', [self.epoch, self.total])";
    let grid = check(TRAINER, &Added { after: "print(self.total)", statement: log, deeper: 0 });
    assert!(grid.starts_with("run,epoch,epoch_value,probe,"), "{grid}");
    assert!(grid.contains(",4,8,"), "{grid}");
}

/// The state of an iterator cannot be seen: such a loop is replayed from its beginning.
const FETCHED: &str = "\
import random

random.seed(2)
rows = iter([random.random() for _ in range(12)])
total = 0.0
# afterlog: main-loop
while (row := next(rows, None)) is not None:
    for k in range(5):
        total += row * random.random()
    print(total)
";

#[test]
fn a_loop_whose_condition_takes_from_an_iterator_has_the_values_of_a_full_run() {
    check(FETCHED, &Added { after: "total += row", statement: "afterlog.log('probe', total)", deeper: 0 });
    check(FETCHED, &Added { after: "print(total)", statement: "afterlog.log('probe', [row, total])", deeper: 0 });
}

#[test]
fn a_loop_with_an_else_has_the_values_of_a_full_run_there_too() {
    for leave in ["epoch == 9", "total > 4"] {
        let script = format!(
            "import random\nrandom.seed(3)\nepoch, total, early = 0, 0.0, True\nwhile epoch < 7:\n    \
             for step in range(3):\n        total += random.random()\n    print(epoch, total)\n    epoch += 1\n    \
             if {leave}:\n        break\nelse:\n    early = False\n    print('all', total)\nprint(total, early)\n"
        );
        check(&script, &Added { after: "print(epoch", statement: "afterlog.log('probe', total)", deeper: 0 });
        check(&script, &Added { after: "print(total", statement: "afterlog.log('probe', [total, early])", deeper: 0 });
        if leave == "epoch == 9" {
            check(&script, &Added { after: "early = False", statement: "afterlog.log('probe', -total)", deeper: 0 });
        }
    }
}

#[test]
fn a_loop_with_an_else_and_the_lines_of_a_traceback_are_as_without_us() {
    let project = TestProject::git();
    let script = "n = 0\nwhile n < 3:\n    n += 1\n    print(n)\nelse:\n    print('else', n)\n\
                  while True:\n    for x in range(2):\n        print('step', x)\n    n += 1\n    if n > 5:\n        raise KeyError(n)\n";
    project.write("train.py", script);
    let recorded = project.afterlog(&["run", "train.py"]);
    let plain = project.run(python(), &["train.py"]);
    assert_eq!(recorded.code, plain.code);
    assert_eq!(recorded.stdout, plain.stdout);
    let told = |text: &str| text.lines().filter(|line| !line.starts_with("note:")).collect::<Vec<_>>().join("\n");
    assert_eq!(told(&recorded.stderr), told(&plain.stderr));
}

/// Loops that take turns with others of the same code: as generators, as coroutines, gone on with in another thread.
const TAKING_TURNS: &str = "\
import asyncio, itertools, threading
import afterlog

def batches(items, name):
    items = list(items)
    while items:
        afterlog.log(name, items[0])
        yield items.pop(0)
    else:
        yield 'end'

async def worker(queue, name):
    taken = 0
    while not queue.empty():
        afterlog.log(name, await queue.get())
        taken += 1
        await asyncio.sleep(0)
    return taken

async def workers():
    queue = asyncio.Queue()
    for number in range(5):
        queue.put_nowait(number)
    return await asyncio.gather(worker(queue, 'one'), worker(queue, 'two'))

for epoch in range(2):
    print(list(itertools.zip_longest(batches(range(2), 'a'), batches(range(4), 'b'))))
    print(asyncio.run(workers()))
    rest, found = batches(range(3), 'c'), []
    next(rest)
    thread = threading.Thread(target=lambda: found.extend(rest))
    thread.start()
    thread.join()
    print(found)
    for outer in range(3):
        step = 0
        while step < 2:
            step += 1
            afterlog.log('step', step)
        else:
            if outer == 1:
                break
            continue
        print('never')
    print(outer)
";

#[test]
fn loops_that_take_turns_with_others_of_the_same_code_end_when_their_own_condition_does() {
    let project = TestProject::git();
    project.write("train.py", TAKING_TURNS);
    let printed = project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let epoch = "[(0, 0), (1, 1), ('end', 2), (None, 3), (None, 'end')]\n[3, 2]\n[1, 2, 'end']\n1\n";
    assert_eq!(printed, epoch.repeat(2));
}
