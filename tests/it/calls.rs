//! Log statements in functions that a block gets to otherwise than by a call in its body: they have all their values.

use crate::truth::{Added, Case};

const REACHED: &str = "\
import random

random.seed(1)


def batches(count):
    first = random.random()
    return [first] * count


def going(level):
    return level < 3


def finish(total):
    return total + 1


def double(x):
    return 2 * x + random.random()


class Handler:
    def handle(self, x):
        y = x * random.random()
        return y


def twice(function):
    def inner(*given):
        return function(*given) + function(*given)
    return inner


@twice
def evaluate(x):
    return sum(float(table[key](x)) for key in table)


table = {'double': double, 'handle': Handler().handle}
total = 0.0
for epoch in range(6):
    for x in batches(epoch + 2):
        total += x * random.random()
    level = 0.0
    while going(level):
        level = level + random.random()
    for x in (1, 2):
        total += x
    else:
        total = finish(total)
    value = evaluate(epoch)
    print(epoch, total, level, value)
";

#[test]
fn a_log_statement_in_what_a_block_goes_over_or_gets_to_unnamed_has_all_its_values() {
    for (after, log) in [
        ("first = random", "afterlog.log('probe', [count, first])"),
        ("def going", "afterlog.log('probe', level)"),
        ("def finish", "afterlog.log('probe', total)"),
        ("def double", "afterlog.log('probe', x)"),
        ("y = x * random", "afterlog.log('probe', y)"),
        ("def inner", "afterlog.log('probe', list(given))"),
    ] {
        let added = Added { after, statement: log, deeper: usize::from(after.starts_with("def ")) };
        let with_statement = format!("import afterlog\n{}", added.to(REACHED));
        let case = Case { torch: false, others: &[], script: REACHED, with_statement: &with_statement };
        case.check("probe", &["--checkpoints", "all", "train.py"]);
    }
}
