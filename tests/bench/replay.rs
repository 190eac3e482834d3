//! Replay of a statement in the outer loop against running the script again with the statement in place.

use crate::env::TestProject;
use crate::{Row, measure, target};

const PAIRS: usize = 3;

pub(crate) fn replay_against_full_run() -> Vec<Row> {
    let script = include_str!("../fixtures/scripts/torch_mlp.py");
    let hindsight = script.replace(
        "        afterlog.log(\"val_loss\"",
        "        afterlog.log(\"weight_norm\", sum(p.norm().item() for p in model.parameters()))\n        afterlog.log(\"val_loss\"",
    );
    assert_ne!(script, hindsight, "the statement was added");
    let arguments = ["epochs=12", "steps=150", "width=512"];
    // The replay needs a fresh record each time: what is known is not computed again.
    let recorded: Vec<TestProject> = (0..=PAIRS)
        .map(|_| {
            let project = TestProject::git().with_torch();
            project.write("train.py", script);
            project.commit("start");
            project.afterlog(&[&["run", "--checkpoints", "all", "train.py"][..], &arguments].concat()).ok();
            project.write("train.py", &hindsight);
            project
        })
        .collect();
    let mut fresh = recorded.iter();
    let full = TestProject::git().with_torch();
    full.write("train.py", &hindsight);
    let (replayed, rerun, ratio) = measure::in_turn(
        PAIRS,
        || {
            let project = fresh.next().expect("one record a round");
            project.afterlog(&["replay", "weight_norm", "--yes"]).ok();
        },
        || {
            full.afterlog(&[&["run", "train.py"][..], &arguments].concat()).ok();
        },
    );
    vec![Row {
        what: format!("replay of an outer-loop statement ÷ full run ({replayed:.1?} ÷ {rerun:.1?}, {PAIRS} pairs)"),
        figure: format!("{ratio:.3} ({:.1} × faster)", 1.0 / ratio),
        target: target("< 1", ratio < 1.0),
    }]
}
