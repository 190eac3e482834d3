//! Every Python of this machine that we support records and replays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::truth::{Added, Case};
use crate::whiles::STEPS;

const OLDEST: (u32, u32) = (3, 8);

/// One interpreter a version: the one of all tests, those on PATH, those of pyenv.
fn interpreters() -> BTreeMap<(u32, u32), PathBuf> {
    let mut candidates = vec![crate::env::python().to_owned()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = |folder: PathBuf| (OLDEST.1..20).map(move |minor| folder.join(format!("python3.{minor}")));
    candidates.extend(std::env::split_paths(&path).filter(|folder| !folder.ends_with("shims")).flat_map(named));
    let pyenv = std::env::home_dir().unwrap_or_default().join(".pyenv/versions");
    let installed = std::fs::read_dir(pyenv).into_iter().flatten().flatten();
    candidates.extend(installed.map(|entry| entry.path().join("bin/python3")));
    let mut found = BTreeMap::new();
    for candidate in candidates {
        if let Some(version) = version(&candidate).filter(|version| *version >= OLDEST) {
            found.entry(version).or_insert(candidate);
        }
    }
    found
}

#[allow(clippy::disallowed_methods, reason = "tests start processes; the ban is for the program itself")]
fn version(python: &Path) -> Option<(u32, u32)> {
    let output = Command::new(python).args(["-c", "import sys; print(*sys.version_info[:2])"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

const SCRIPT: &str = "\
import random

def epoch_of(weights, rows):
    total = 0.0
    for row in rows:
        error = weights[0] * row - 1.0
        weights[0] -= 0.1 * error * row
        total += error * error
    return total

def train():
    random.seed(2)
    rows = [random.random() for _ in range(30)]
    weights, history = [0.0], {}
    for epoch in range(5):
        random.shuffle(rows)
        for row in rows:
            weights[0] += 1e-3 * row
        history[epoch] = epoch_of(weights, rows)
        print('epoch', epoch, history[epoch])
    return history

train()
";

#[test]
fn every_python_found_replays_what_a_full_run_logs() {
    let found = interpreters();
    assert!(!found.is_empty(), "no Python from {OLDEST:?} on");
    let of_state = |counted: &str| format!("afterlog.log('state', [{counted}, random.getstate()[1][5]])");
    for (script, after, counted) in
        [(SCRIPT, "history[epoch] = ", "weights[0], len(history)"), (STEPS, "running = 0.9", "running, best")]
    {
        let added = Added { after, statement: &of_state(counted), deeper: 0 };
        let with_statement = format!("import afterlog\n{}", added.to(script));
        let case = Case { torch: false, others: &[], script, with_statement: &with_statement };
        for python in found.values() {
            case.check("state", &["--checkpoints", "all", python.to_str().expect("UTF-8"), "train.py"]);
        }
    }
}
