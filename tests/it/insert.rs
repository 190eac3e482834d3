//! What is written into a target leaves every other byte as it was, whatever the target looks like, and within bounds
//! of time.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use afterlog::analysis::propagate::{propagate, propagate_missing, propagate_names};
use afterlog::analysis::python::log_statements;
use afterlog::base::files::write_atomic;
use afterlog::model::probe::{PlacementStatus, Propagation};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::env::TestProject;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file of the repository")
}

/// Sources and targets of all cases, in the order of their names.
fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/propagate");
    let mut names: Vec<_> = fs::read_dir(folder).expect("cases").map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    let file = |name: &str, file: &str| read(&format!("tests/fixtures/propagate/{name}/{file}.py"));
    let both = |name: std::ffi::OsString| {
        let name = name.into_string().expect("a name");
        (file(&name, "source"), file(&name, "target"))
    };
    names.into_iter().map(both).collect()
}

/// Lines with their ends, which may be `\n`, `\r\n` or `\r`.
fn lines(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut found, mut start) = (Vec::new(), 0);
    for at in 0..bytes.len() {
        if bytes[at] == b'\n' || bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
            found.push(&text[start..=at]);
            start = at + 1;
        }
    }
    found.extend(Some(&text[start..]).filter(|rest| !rest.is_empty()));
    found
}

/// Whether nothing but insertions makes the result of the target; whole lines where lines were inserted.
fn is_kept(found: &Propagation, target: &str) -> bool {
    // The mark stays first, before an inserted first line too.
    let [text, target] = [found.text.as_str(), target].map(|text| text.strip_prefix('\u{feff}').ok_or(text));
    if text.is_ok() != target.is_ok() {
        return false;
    }
    let (text, target) = (text.unwrap_or_else(|text| text), target.unwrap_or_else(|text| text));
    let inserted = |line: usize| found.inserted.iter().any(|(a, b)| (*a as usize..=*b as usize).contains(&line));
    let all = lines(text);
    let added = (1..=all.len()).filter(|line| inserted(*line)).count();
    if all.len() == lines(target).len() + added {
        let rest: String = (1..).zip(&all).filter(|(line, _)| !inserted(*line)).map(|(_, text)| *text).collect();
        // The file's last line gets its end when another one follows.
        return rest == target || rest.trim_end_matches(['\r', '\n']) == target;
    }
    let mut rest = text.chars();
    target.chars().all(|wanted| rest.any(|c| c == wanted))
}

/// A text with other line ends and another indentation.
fn styled(text: &str, end: &str, unit: &str, last: bool, mark: bool) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    // What is indented otherwise would not be Python any more.
    let unit = if text.lines().all(|line| indent(line) % 4 == 0) { unit } else { "    " };
    let mut styled = String::from(if mark { "\u{feff}" } else { "" });
    for line in text.lines() {
        let body = line.trim_start_matches("    ");
        let levels = (line.len() - body.len()) / 4;
        styled.push_str(&unit.repeat(levels));
        styled.push_str(body);
        styled.push_str(end);
    }
    if !last {
        styled.truncate(styled.trim_end_matches(['\r', '\n']).len());
    }
    styled
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn in_any_style_every_byte_of_the_target_stays(
        case in any::<Index>(),
        end in select(vec!["\n", "\r\n", "\r"]),
        unit in select(vec!["    ", "\t", "  ", " \t"]),
        last in any::<bool>(),
        mark in any::<bool>(),
    ) {
        let cases = cases();
        let (source, target) = case.get(&cases);
        let plain = propagate_missing(source, target);
        let target = styled(target, end, unit, last, mark);
        let found = propagate_missing(source, &target);
        prop_assert!(is_kept(&found, &target), "{}\n{:?}", found.text, found.placements);
        let own = |line: &&str| line.ends_with(end) || !line.ends_with(['\r', '\n']);
        // A string of the source keeps its bytes, its line ends too.
        prop_assert!(source.contains("'''") || source.contains("\"\"\"") || lines(&found.text).iter().all(own), "{:?}", found.text);
        let statuses = |found: &Propagation| found.placements.iter().map(|p| p.status).collect::<Vec<_>>();
        prop_assert_eq!(statuses(&found), statuses(&plain), "{:?}", found.text);
    }

    #[test]
    fn damaged_files_neither_stop_it_nor_are_damaged_further(
        case in any::<Index>(),
        cut in any::<(Index, Index)>(),
        into in any::<Index>(),
        noise in "(\\PC|[\t\r\n\\\\'\"(){}:;#]| {4}|\u{c}|else:|def |<<<<<<< HEAD\n|print 'x'\n){0,6}",
        side in 0..3,
    ) {
        let cases = cases();
        let (source, target) = case.get(&cases);
        let damaged = |text: &str| {
            let at = |index: Index| (0..=index.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let (from, to) = (at(cut.0), at(cut.1));
            let short = if from < to && to - from < 200 { [&text[..from], &text[to..]].concat() } else { text[..from].to_owned() };
            let place = (0..=into.index(short.len() + 1)).rev().find(|at| short.is_char_boundary(*at)).unwrap_or(0);
            [&short[..place], &noise, &short[place..]].concat()
        };
        let source = if side != 1 { damaged(source) } else { source.clone() };
        let target = if side != 0 { damaged(target) } else { target.clone() };
        let found = propagate_missing(&source, &target);
        prop_assert!(is_kept(&found, &target), "{}\n{:?}", found.text, found.placements);
    }

    #[test]
    fn variables_renamed_throughout_the_target_are_renamed_in_the_statement(
        names in proptest::collection::vec("[a-z]{3,8}_[0-9]{2}", 3),
        version in 2..5,
    ) {
        let wanted = ["accuracy", "train_set", "test_set"];
        let source = read("assets/demo/train_hindsight.py").replace("optimizer.grad_norm)", "(accuracy, len(train_set), len(test_set)))");
        let mut target = read(&format!("assets/demo/train_{version}.py"));
        let mut expected = "afterlog.log(\"grad_norm\", (accuracy, len(train_set), len(test_set)))\n".to_owned();
        for (old, new) in wanted.iter().zip(&names) {
            target = target.replace(old, new);
            expected = expected.replace(old, new);
        }
        let found = propagate_names(&source, &["grad_norm".to_owned()], &target);
        prop_assert_eq!(found.placements[0].text.trim_start(), &expected, "{:?}", &found.placements);
        prop_assert!(is_kept(&found, &target));
    }
}

#[test]
fn into_its_own_version_a_statement_goes_back_to_its_place() {
    let mut placed = 0;
    for (source, _) in cases() {
        let all = lines(&source);
        for log in log_statements(&source) {
            let (first, last) = (log.first_line as usize, log.last_line as usize);
            let text = all[first - 1..last].concat();
            let indent = |line: &str| line.len() - line.trim_start().len();
            // A statement that is all of its block, or shares its line, leaves another program behind.
            let neighbours = [first.checked_sub(2), Some(last)].into_iter().flatten().filter_map(|at| all.get(at));
            let beside =
                neighbours.filter(|line| !line.trim().is_empty()).any(|line| indent(line) == indent(all[first - 1]));
            if !beside || text.trim() != log.text.replace("\r\n", "\n") || text.contains(';') {
                continue;
            }
            let target: String = [&all[..first - 1], &all[last..]].concat().concat();
            let found = propagate(&source, &[(log.first_line, log.last_line)], &target);
            let placement = &found.placements[0];
            // Equal neighbours may be taken for each other; then it is said.
            let doubted =
                placement.status == PlacementStatus::Uncertain || placement.status == PlacementStatus::AlreadyThere;
            assert!(doubted || found.text == source, "{source}\n{}\n{placement:?}", found.text);
            placed += usize::from(found.text == source);
        }
    }
    assert!(placed >= 90, "{placed}");
}

#[test]
fn hostile_sizes_end_in_time() {
    let source = "import afterlog\nfor x in data:\n    y = f(x)\n    afterlog.log('y', y)\n";
    let target = "import afterlog\nfor x in data:\n    y = f(x)\n";
    let nested = (0..1000).map(|level| format!("{}if a:\n", " ".repeat(level))).collect::<String>();
    let numbered = |shift: usize| (0..20_000).map(|i| format!("v{i} = g({})\n", i + shift)).collect::<String>();
    let logs = |with: bool| {
        let log = |i: usize| if with { format!("afterlog.log('n{i}', v)\n") } else { String::new() };
        (0..100).map(|i| format!("v = g({i})\n{}", log(i))).collect::<String>()
    };
    for (what, ours, theirs) in [
        ("nested brackets", String::new(), format!("z = {}1{}\n", "(".repeat(1000), ")".repeat(1000))),
        ("nested blocks", String::new(), format!("{nested}{}pass\n", " ".repeat(1000))),
        ("equal statements", "    g(x)\n".repeat(5000), "    g(x)\n".repeat(4999)),
        ("equal statements at the top", "g(x)\n".repeat(5000), "g(x)\n".repeat(5000)),
        ("many lines", numbered(0), numbered(1)),
        ("one long line", format!("z = [{}]\n", "1, ".repeat(100_000)), format!("z = [{}]\n", "1, ".repeat(100_001))),
        ("many statements", logs(true), logs(false)),
    ] {
        let begun = Instant::now();
        let found = propagate_missing(&format!("{source}{ours}"), &format!("{target}{theirs}"));
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(60), "{what}: {taken:?}");
        assert!(found.text.len() >= target.len() + theirs.len(), "{what}");
    }
}

#[test]
fn a_file_in_a_declared_encoding_keeps_its_bytes() {
    let project = TestProject::plain();
    project.write("new.py", "import flor\nfor x in range(3):\n    y = x * 2\n    flor.log('y', y)\n");
    project.write("word.py", "import flor\nfor x in range(3):\n    y = x * 2\n    flor.log('é', y)\n");
    let file = |name: &str, head: &str| {
        let bytes = [head.as_bytes(), b"import flor\r\nfor x in range(3):\r\n    y = x * 2  # caf\xe9"].concat();
        write_atomic(&project.path().join(name), &bytes).expect("written");
        bytes
    };
    let old = file("old.py", "# -*- coding: latin-1 -*-\r\n");
    file("bare.py", "");
    let into = |source: &str, target: &str| {
        project.afterlog(&["propagate", "--source", source, "--target", target, "--out", "out.py"])
    };
    into("new.py", "old.py").ok();
    let written = fs::read(project.path().join("out.py")).expect("a result");
    assert_eq!(written, [&old[..], b"\r\n    flor.log('y', y)"].concat());
    fs::remove_file(project.path().join("out.py")).expect("removed");
    for (source, target, reason) in [("new.py", "bare.py", "names no encoding"), ("word.py", "old.py", "not ASCII")] {
        let refused = into(source, target);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains(target) && refused.stderr.contains(reason), "{}", refused.stderr);
        assert!(!project.path().join("out.py").exists());
    }
}

#[test]
fn a_version_that_is_not_utf8_is_not_replayed_as_something_else() {
    let project = TestProject::plain();
    let script = |log: &str| {
        let head = b"# -*- coding: latin-1 -*-\nimport afterlog\nname = 'caf\xe9'\n";
        let body = format!("for epoch in afterlog.loop('epoch', range(2)):\n    x = epoch * len(name)\n{log}");
        write_atomic(&project.path().join("train.py"), &[head, body.as_bytes()].concat()).expect("written");
    };
    script("");
    project.afterlog(&["run", "train.py"]).ok();
    script("    afterlog.log('x', x)\n");
    let planned = project.afterlog(&["replay", "x", "--dry-run"]);
    assert!(planned.stdout.contains("not UTF-8"), "{}\n{}", planned.stdout, planned.stderr);
}
