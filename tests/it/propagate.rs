//! Log statements land where a careful engineer would put them, or are refused with the reason.

use std::fs;
use std::path::{Path, PathBuf};

use afterlog::analysis::propagate::propagate_names;
use afterlog::model::probe::Propagation;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn demo(name: &str) -> String {
    fs::read_to_string(root().join("assets/demo").join(name)).expect("demo script")
}

/// The result without the lines that were inserted.
fn without_inserted(found: &Propagation) -> String {
    let inserted = |line: u32| found.inserted.iter().any(|(first, last)| (*first..=*last).contains(&line));
    let lines = found.text.split_inclusive('\n').zip(1..);
    lines.filter(|(_, number)| !inserted(*number)).map(|(line, _)| line).collect()
}

#[test]
fn the_demo_s_statement_lands_in_all_its_versions() {
    let source = demo("train_hindsight.py");
    for (version, expected, after) in [
        ("train_1.py", "        afterlog.log(\"grad_norm\", sgd.grad_norm)\n", "afterlog.log(\"val_acc\""),
        ("train_2.py", "        afterlog.log(\"grad_norm\", optimizer.grad_norm)\n", "afterlog.log(\"val_acc\""),
        ("train_3.py", "            afterlog.log(\"grad_norm\", optimizer.grad_norm)\n", "afterlog.log(\"val_acc\""),
        ("train_4.py", "            afterlog.log(\"grad_norm\", optimizer.grad_norm)\n", "afterlog.log(\"val_acc\""),
    ] {
        let target = demo(version);
        let found = propagate_names(&source, &["grad_norm".to_owned()], &target);
        assert_eq!(found.placements.len(), 1, "{version}");
        let placement = &found.placements[0];
        assert_eq!(placement.text, expected, "{version}: {placement:?}");
        assert_eq!(without_inserted(&found), target, "{version}");
        let lines: Vec<&str> = found.text.lines().collect();
        let line = placement.line.expect("a line") as usize;
        assert!(lines[line - 2].trim_start().starts_with(after), "{version}: after {}", lines[line - 2]);
    }
}
