//! What a plan says before anything runs, and what is learnt from what was run.

use serde_json::Value;

use crate::env::TestProject;

const SCRIPT: &str = "\
import random
import afterlog

random.seed(5)
w = 0.0


def evaluate(w):
    total = 0.0
    for i in afterlog.loop('batch', range(3)):
        total += w * i
    return total


for epoch in afterlog.loop('epoch', range(4)):
    for step in afterlog.loop('step', range(2000)):
        w += random.random()
    accuracy = evaluate(w)
    afterlog.log('accuracy', accuracy)
";

/// A recorded run of the script, and the script with a statement after the line that holds `after`.
fn recorded(script: &str, after: &str, statement: &str, checkpoints: &str) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", checkpoints, "train.py"]).ok();
    let added = crate::truth::Added { after, statement, deeper: 0 };
    project.write("train.py", added.to(script));
    project
}

#[track_caller]
fn plan(project: &TestProject, options: &[&str]) -> Value {
    let json = project.afterlog(&[&["replay", "probe", "--dry-run", "--format", "json"], options].concat()).ok();
    serde_json::from_str(&json).expect("JSON")
}

#[test]
fn a_plan_says_at_which_level_a_statement_is_and_what_is_executed_and_why() {
    let project = recorded(SCRIPT, "total += w * i", "afterlog.log('probe', total)", "all");
    let inner = plan(&project, &[]);
    assert_eq!(inner["runs"][0]["levels"], serde_json::json!([["loop_body", { "in_block": "batch" }]]), "{inner:#}");
    let block = |plan: &Value, name: &str| {
        let blocks = plan["runs"][0]["blocks"].as_array().expect("blocks").clone();
        blocks.into_iter().find(|block| block["name"] == name).unwrap_or_else(|| panic!("no {name} in {plan:#}"))
    };
    assert_eq!(block(&inner, "step")["restored"], 4);
    assert_eq!(block(&inner, "step")["why"], Value::Null);
    assert_eq!(block(&inner, "batch")["executed"], 4);
    assert_eq!(block(&inner, "batch")["is_asked_for"], true);
    let segment = &inner["segments"][0];
    let part = |name: &str| segment["cost"][name].as_u64().expect("nanoseconds");
    assert!(part("start_ns") > 0 && part("prefix_ns") > 0 && part("restore_ns") > 0, "{segment:#}");
    let total = ["start_ns", "prefix_ns", "restore_ns", "execute_ns"].map(part).iter().sum::<u64>();
    let bound = |at: usize| segment["range_ns"][at].as_u64().expect("nanoseconds");
    assert!(bound(0) < total && total < bound(1));

    // Without checkpoints every block is executed, and the plan says so where nobody asked for it.
    let project = recorded(SCRIPT, "total += w * i", "afterlog.log('probe', total)", "off");
    let text = project.afterlog(&["replay", "probe", "--dry-run"]).ok();
    assert!(text.contains(", in the loop and in batch"), "{text}");
    assert!(text.contains("step (line 17) is executed: its end was captured in none of these iterations"), "{text}");
}

#[test]
fn what_is_known_is_computed_again_only_when_that_is_asked_for() {
    let project = recorded(SCRIPT, "accuracy = evaluate(w)", "afterlog.log('probe', w)", "all");
    project.afterlog(&["replay", "probe", "--yes"]).ok();
    let first = crate::truth::values(&project, &["probe"]);
    assert!(project.afterlog(&["replay", "probe", "--yes"]).ok().contains("Nothing to replay"));
    let again = project.afterlog(&["replay", "probe", "--force", "--yes"]).ok();
    assert!(again.contains("1 verified"), "{again}");
    assert_eq!(crate::truth::values(&project, &["probe"]), first);
}

#[test]
fn a_script_without_a_main_loop_is_not_executed_again_for_what_is_known() {
    let script = "import afterlog\nx = sum(range(100))\nafterlog.log('x', x)\n";
    let project = recorded(script, "x = sum", "afterlog.log('probe', 2 * x)", "all");
    let replayed = project.afterlog(&["replay", "probe", "--yes"]).ok();
    assert!(replayed.contains("1 verified"), "{replayed}");
    assert!(project.afterlog(&["replay", "probe", "--yes"]).ok().contains("Nothing to replay"));
}

#[test]
fn the_time_a_replay_took_is_shown_and_improves_the_next_estimate_also_from_a_rebuilt_database() {
    let project = recorded(SCRIPT, "accuracy = evaluate(w)", "afterlog.log('probe', w)", "all");
    let before = plan(&project, &[]);
    assert_eq!(before["learnt_from"], 0);
    for _ in 0..3 {
        let replayed = project.afterlog(&["replay", "probe", "--force", "--yes"]).ok();
        assert!(replayed.contains("Took ") && replayed.contains(", estimated "), "{replayed}");
    }
    let learnt = plan(&project, &["--force"]);
    let shown = project.afterlog(&["jobs", "show", "last", "--json"]).ok();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let listed: Value = serde_json::from_str(&project.afterlog(&["jobs", "--format", "json"]).ok()).expect("JSON");
    let first = &listed[0]["estimate"];
    assert_eq!(
        (&first["expected_ns"], &first["makespan_ns"]),
        (&before["expected_ns"], &before["makespan_ns"]),
        "{listed}"
    );
    assert_eq!(shown["estimate"], listed[2]["estimate"]);
    assert!(shown["took_ns"].as_u64().is_some_and(|took| took > 0), "{shown}");
    assert_eq!(learnt["learnt_from"], 3);
    assert_ne!(learnt["expected_ns"], before["expected_ns"]);
    project.afterlog(&["rebuild"]).ok();
    let rebuilt = plan(&project, &["--force"]);
    for field in ["learnt_from", "expected_ns", "makespan_ns"] {
        assert_eq!(rebuilt[field], learnt[field], "{field}");
    }
}

#[test]
fn a_plan_names_the_line_that_a_preview_shows_also_of_a_statement_beside_others() {
    let script = "import afterlog\nw = 0\nfor epoch in afterlog.loop('epoch', range(3)):\n    for step in range(2): w += step\n    afterlog.log('w', w)\n";
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("train.py", script.replace(": w += step", ": w += step; afterlog.log('probe', w)"));
    let placement = &plan(&project, &[])["runs"][0]["placements"][0];
    assert_eq!((&placement["line"], &placement["shown_line"]), (&4.into(), &Value::Null), "{placement}");
    let previewed = project.afterlog(&["probe", "preview", "probe", "--format", "csv"]).ok();
    assert!(previewed.contains(",4,"), "{previewed}");
}
