//! Recording stays cheap: what the state's size and the time that passed allow, and no more.

use crate::env::TestProject;

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
