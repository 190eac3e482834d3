//! Recording stays cheap: what the size of the state and the time that passed allow, and no more; what it leaves out is right.

use crate::env::TestProject;
use crate::truth::{Added, Case};

/// Trains for a moment with a state of this many MB.
fn checkpoints_of_a_short_run(megabytes: usize, mode: &str) -> usize {
    let project = TestProject::git().with_torch();
    project.write(
        "train.py",
        format!(
            "import torch\n\
             table = torch.zeros({megabytes} * 250_000)\n\
             for epoch in range(4):\n\
             \x20   for step in range(3):\n\
             \x20       table[step] += epoch\n\
             \x20   print(table[:3].sum().item())\n"
        ),
    );
    project.afterlog(&["run", "--checkpoints", mode, "train.py"]).ok();
    let shown = project.afterlog(&["show", "last"]).ok();
    let line = shown.lines().find_map(|line| line.strip_prefix("checkpoints")).expect("a count");
    line.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a count")
}

#[test]
fn a_state_too_large_for_the_training_is_not_copied_before_there_was_time_for_it() {
    assert_eq!(checkpoints_of_a_short_run(200, "adaptive"), 0);
    assert!(checkpoints_of_a_short_run(1, "adaptive") > 0, "a small one is, from the first iteration on");
    assert!(checkpoints_of_a_short_run(200, "all") >= 3, "who asks for all of them gets them");
}

/// Iterations of a millisecond, one of which now and then leaves its block by an exception.
const TINY: &str = "\
import random

random.seed(5)
weights, caught = [0.0] * 200, 0
for epoch in range(900):
    try:
        for step in range(40):
            weights = [w + random.random() for w in weights]
            if random.random() < 0.0005:
                raise ValueError
    except ValueError:
        caught += 1
    print(sum(weights), caught)
";

#[test]
fn iterations_too_short_to_be_looked_at_one_by_one_replay_to_the_bit() {
    let added =
        Added { after: "weights = [w +", statement: "probe = afterlog.log('probe', max(weights))", deeper: 0 }.to(TINY);
    let with_statement = format!("import afterlog\n{added}");
    let case = Case { torch: false, others: &[], script: TINY, with_statement: &with_statement };
    let verdicts = case.check("probe", &["train.py"]);
    assert!(verdicts.lines().skip(1).all(|line| line.ends_with(",verified")), "every printed sum is the run's");
}
