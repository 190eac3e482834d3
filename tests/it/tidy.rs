//! Keeps the source in shape: layers, file sizes, one home for each dependency.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers bottom-up: a folder may name itself and those before it.
const LAYERS: [&str; 7] = ["base", "model", "analysis", "store", "engine", "cli", "tui"];
/// Folders that may name a layer above or beside them, with the reason.
const EXCEPTIONS: [(&str, &str); 1] =
    // The program without a command is the interface.
    [("cli", "tui")];
/// `(what, only here)`: crates and calls with one home.
const HOMES: [(&str, &[&str]); 9] = [
    ("rusqlite::", &["src/store/db/"]),
    ("git2::", &["src/store/versions"]),
    ("ruff_python_", &["src/analysis/python/"]),
    ("similar::", &["src/analysis/linediff"]),
    ("syntect::", &["src/tui/highlight"]),
    ("Command::new(", &["src/engine/spawn"]),
    ("println!", &["src/cli/output.rs"]),
    ("eprintln!", &["src/cli/output.rs"]),
    ("anyhow", &[]),
];
const MAX_LINES: usize = 500;

fn files(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    fn walk(root: &Path, folder: &Path, extensions: &[&str], found: &mut Vec<(String, String)>) {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder).expect("folder").map(|e| e.expect("entry").path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(root, &path, extensions, found);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|x| e == *x)) {
                let name = path.strip_prefix(root).expect("inside").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("UTF-8 source")));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(root, &root.join(folder), extensions, &mut found);
    assert!(!found.is_empty(), "no files under {folder}");
    found
}

#[track_caller]
fn none(what: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{what}:\n  {}", breaches.join("\n  "));
}

#[test]
fn a_folder_names_only_itself_and_the_layers_below() {
    let mut breaches = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        let Some((layer, _)) = path.strip_prefix("src/").and_then(|p| p.split_once('/')) else { continue };
        let rank = LAYERS.iter().position(|l| *l == layer);
        let Some(rank) = rank else {
            breaches.push(format!("{path}: folder '{layer}' is not in the table of layers"));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_ascii_lowercase()).collect();
                let above = LAYERS.iter().position(|l| *l == name).is_some_and(|r| r > rank);
                if above && !EXCEPTIONS.contains(&(layer, name.as_str())) {
                    breaches.push(format!("{path}:{}: '{layer}' names '{name}'", number + 1));
                }
            }
        }
    }
    none("layers", &breaches);
}

#[test]
fn siblings_in_the_store_import_only_layout() {
    let mut breaches = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        let Some((sibling, _)) = path.strip_prefix("src/store/").and_then(|p| p.split_once('/')) else { continue };
        for (number, line) in text.lines().enumerate() {
            for used in line.split("crate::store::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if name != sibling && name != "layout" {
                    breaches.push(format!("{path}:{}: '{sibling}' names '{name}'", number + 1));
                }
            }
        }
    }
    none("store siblings", &breaches);
}

#[test]
fn dependencies_and_processes_have_one_home() {
    let mut breaches = Vec::new();
    for (path, text) in files("src", &["rs"]) {
        for (what, homes) in HOMES {
            let at_home = homes.iter().any(|home| path.starts_with(home));
            let line = text.lines().position(|l| !l.trim_start().starts_with("//") && l.contains(what));
            if let (false, Some(line)) = (at_home, line) {
                breaches.push(format!("{path}:{}: {what} belongs to {homes:?}", line + 1));
            }
        }
    }
    none("homes", &breaches);
}

#[test]
fn no_file_is_too_long_and_every_rust_file_says_what_it_is() {
    let mut breaches = Vec::new();
    for folder in ["src", "tests", "assets"] {
        for (path, text) in files(folder, &["rs", "py"]) {
            let lines = text.lines().count();
            if lines > MAX_LINES && !path.starts_with("tests/fixtures/propagate") {
                breaches.push(format!("{path}: {lines} lines, {MAX_LINES} at most"));
            }
            if path.ends_with(".rs") && !text.starts_with("//!") && path != "src/main.rs" {
                breaches.push(format!("{path}: does not begin with a //! header"));
            }
        }
    }
    none("files", &breaches);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut breaches = Vec::new();
    for (path, text) in files("src", &["rs"]).into_iter().chain(files("assets", &["py"])) {
        for (number, line) in text.lines().enumerate() {
            if ["todo!", "unimplemented!", "FIXME", "NotImplementedError"].iter().any(|w| line.contains(w)) {
                breaches.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none("unfinished", &breaches);
}
