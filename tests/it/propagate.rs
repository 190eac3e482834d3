//! Log statements land where a careful engineer would put them, or are refused with the reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use afterlog::analysis::propagate::{propagate, propagate_missing, propagate_names};
use afterlog::model::probe::{PlacementStatus, Propagation};
use proptest::prelude::*;

use crate::env::{TestProject, python};

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

/// What a placement is worth beside the expected text.
fn verdict(expected: &str, expect: &str, target: &str, found: &Propagation) -> &'static str {
    let placed = found.placements.iter().any(|p| p.status.is_placed());
    let uncertain = found.placements.iter().all(|p| p.status == PlacementStatus::Uncertain);
    let solid = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n");
    let certain = found.placements.iter().all(|p| p.status != PlacementStatus::Uncertain);
    let refused = !placed && found.text == target && found.inserted.is_empty();
    match expected {
        "none" | "not applicable" if refused => "exact",
        "not applicable" if uncertain => "fine",
        "uncertain" if uncertain && found.text == expect => "exact",
        "uncertain-or-refused" if uncertain || refused => "exact",
        "placed" if !certain => "uncertain",
        "placed" if found.text == expect => "exact",
        "placed" if solid(&found.text) == solid(expect) => "fine",
        "placed" | "uncertain" if refused => "missed",
        _ => "wrong",
    }
}

#[test]
fn every_case_is_placed_or_refused_as_its_sentence_says() {
    let folder = root().join("tests/fixtures/propagate");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).expect("cases").map(|e| e.expect("entry").path()).collect();
    cases.sort();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let (mut table, mut counts) = (String::new(), BTreeMap::new());
    for case in cases {
        let read = |file: &str| fs::read_to_string(case.join(file)).expect("a file of the case");
        let (source, target, expect) = (read("source.py"), read("target.py"), read("expect.py"));
        let expected = source.lines().nth(1).and_then(|line| line.strip_prefix("# expect: ")).expect("what to expect");
        let found = propagate_missing(&source, &target);
        let verdict = verdict(expected, &expect, &target, &found);
        *counts.entry(verdict).or_insert(0) += 1;
        if verdict != "exact" {
            let name = case.file_name().unwrap_or_default().display().to_string();
            let reasons: Vec<_> = found.placements.iter().map(|p| (p.status, &p.reasons, &p.changes)).collect();
            writeln!(table, "{verdict:6} {name} (expected {expected})\n{reasons:?}\n{}", found.text).expect("text");
        }
    }
    let count = |verdict| counts.get(verdict).copied().unwrap_or(0);
    let failed = (count("wrong"), count("missed"), count("uncertain"));
    assert_eq!(failed, (0, 0, 0), "{counts:?}\n{table}");
}

#[test]
fn a_value_that_the_target_computes_in_another_mode_is_told() {
    let measure = |mode: &str, log: &str| {
        format!("def measure(net, x):\n{mode}    y = net(x).mean()\n{log}    return y\n\nmeasure(net, x)\n")
    };
    let log = "    afterlog.log(\"y\", y.item())\n";
    let source = format!("import afterlog\nfrom data import net, x\n{}", measure("    net.eval()\n", log));
    for (mode, told) in [("", true), ("    net.eval()\n", false), ("    net.eval()\n    net.train()\n", false)] {
        let target = format!("import afterlog\nfrom data import net, x\n{}", measure(mode, ""));
        let found = propagate_missing(&source, &target);
        let placement = &found.placements[0];
        assert!(placement.status.is_placed() && placement.status != PlacementStatus::Uncertain, "{placement:?}");
        let words = "`y` is computed without `net.eval()` of line 4 of the source".to_owned();
        assert_eq!(placement.changes.contains(&words), told, "{placement:?}");
    }
}

#[test]
fn functions_that_call_one_another_many_times_are_each_looked_at_once() {
    // Each of four functions calls the next sixty times: one by one that is thirteen million calls.
    let functions: String = (1..5)
        .map(|k| format!("def f{k}(m):\n{}    return 1\n\n", format!("    f{}(m)\n", k + 1).repeat(60)))
        .collect();
    let script = |log: &str| {
        format!("import afterlog\nfrom data import net, f5\n{functions}for e in range(3):\n{log}    print(e)\n")
    };
    let found = propagate_missing(&script("    afterlog.log(\"v\", f1(net))\n"), &script(""));
    assert_eq!(found.text, script("    afterlog.log(\"v\", f1(net))\n"));
}

/// Compiles each target and each result that it is given; says which results no longer compile.
const COMPILE: &str = r#"
import sys
def broken(path):
    try:
        compile(open(path, "rb").read(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return str(error)
for name in sys.argv[1:]:
    found = broken(name + ".result.py")
    if found and not broken(name + ".target.py"):
        print(name, found)
"#;

#[test]
fn every_result_is_valid_python_and_holds_the_whole_target() {
    let folder = root().join("tests/fixtures/propagate");
    let project = TestProject::plain();
    project.write("compile.py", COMPILE);
    let mut names = Vec::new();
    for case in fs::read_dir(folder).expect("cases") {
        let case = case.expect("entry");
        let read = |file: &str| fs::read_to_string(case.path().join(file)).expect("a file of the case");
        let (source, target) = (read("source.py"), read("target.py"));
        let found = propagate_missing(&source, &target);
        let name = case.file_name().to_string_lossy().into_owned();
        let mut rest = found.text.chars();
        assert!(target.chars().all(|wanted| rest.any(|c| c == wanted)), "{name}: something of the target is gone");
        project.write(&format!("{name}.target.py"), &target);
        project.write(&format!("{name}.result.py"), &found.text);
        names.push(name);
    }
    let arguments: Vec<&str> = std::iter::once("compile.py").chain(names.iter().map(String::as_str)).collect();
    let output = project.command(python()).args(&arguments).output().expect("python3");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_demo_s_statement_lands_in_all_its_versions() {
    let source = demo("train_hindsight.py");
    for (version, expected) in [
        ("train_1.py", "        afterlog.log(\"grad_norm\", sgd.grad_norm)\n"),
        ("train_2.py", "        afterlog.log(\"grad_norm\", optimizer.grad_norm)\n"),
        ("train_3.py", "            afterlog.log(\"grad_norm\", optimizer.grad_norm)\n"),
        ("train_4.py", "            afterlog.log(\"grad_norm\", optimizer.grad_norm)\n"),
    ] {
        let target = demo(version);
        let found = propagate_names(&source, &["grad_norm".to_owned()], &target);
        assert_eq!(found.placements.len(), 1, "{version}");
        let placement = &found.placements[0];
        assert_eq!(placement.text, expected, "{version}: {placement:?}");
        assert_eq!(without_inserted(&found), target, "{version}");
        assert_ne!(placement.status, PlacementStatus::Uncertain, "{version}: {placement:?}");
        let lines: Vec<&str> = found.text.lines().collect();
        let before = lines[placement.line.expect("a line") as usize - 2];
        assert!(before.trim_start().starts_with("afterlog.log(\"val_acc\""), "{version}: after {before}");
    }
}

#[test]
fn into_its_own_version_every_statement_goes_back_exactly() {
    for name in ["train_1.py", "train_2.py", "train_3.py", "train_4.py", "train_hindsight.py"] {
        let source = demo(name);
        for line in afterlog::analysis::python::log_statements(&source) {
            // A statement that is all of its block leaves no block behind.
            if line.name == "loss" {
                continue;
            }
            let number = |n: usize| u32::try_from(n).expect("a line");
            let target: String = (source.split_inclusive('\n').enumerate())
                .filter(|(at, _)| !(line.first_line..=line.last_line).contains(&number(at + 1)))
                .map(|(_, text)| text)
                .collect();
            let found = propagate(&source, &[(line.first_line, line.last_line)], &target);
            assert_eq!(found.text, source, "{name} {}: {:?}", line.name, found.placements);
            assert_eq!(found.placements[0].status, PlacementStatus::Exact);
        }
    }
}

#[test]
fn line_ends_and_missing_last_line_ends_stay() {
    let source = "import flor\nfor x in range(3):\n    y = x * 2\n    flor.log('y', y)\n";
    for (target, expect) in [
        (
            "import flor\r\nfor x in range(3):\r\n    y = x * 2\r\n",
            "import flor\r\nfor x in range(3):\r\n    y = x * 2\r\n    flor.log('y', y)\r\n",
        ),
        (
            "import flor\nfor x in range(3):\n    y = x * 2",
            "import flor\nfor x in range(3):\n    y = x * 2\n    flor.log('y', y)",
        ),
        (
            "\u{feff}import flor\nfor x in range(3):\n\ty = x * 2 # why\n\n",
            "\u{feff}import flor\nfor x in range(3):\n\ty = x * 2 # why\n\tflor.log('y', y)\n\n",
        ),
        (
            "import flor\n\u{c}\nfor x in range(3):\n    y = x * \\\n        2\n",
            "import flor\n\u{c}\nfor x in range(3):\n    y = x * \\\n        2\n    flor.log('y', y)\n",
        ),
        (
            "import flor\nfor x in range(3):\n    y = x * 2; z = y\n",
            "import flor\nfor x in range(3):\n    y = x * 2; flor.log('y', y); z = y\n",
        ),
    ] {
        let found = propagate_missing(source, target);
        assert_eq!(found.text, expect, "{:?}", found.placements);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_variable_renamed_in_the_target_is_renamed_in_the_statement(name in "[a-z]{4,9}_[0-9]{2}") {
        let source = demo("train_hindsight.py");
        let target = demo("train_4.py").replace("accuracy", &name);
        let logged = source.replace("afterlog.log(\"grad_norm\", optimizer.grad_norm)", "afterlog.log(\"twice\", accuracy * 2)");
        let found = propagate_names(&logged, &["twice".to_owned()], &target);
        prop_assert_eq!(&found.placements[0].text, &format!("            afterlog.log(\"twice\", {name} * 2)\n"));
        prop_assert_eq!(without_inserted(&found), target);
    }

    #[test]
    fn a_target_with_lines_missing_is_never_damaged(keep in proptest::collection::vec(any::<bool>(), 140), version in 1..5) {
        let target: String = (demo(&format!("train_{version}.py")).split_inclusive('\n').zip(&keep))
            .filter(|(_, keep)| **keep).map(|(line, _)| line).collect();
        let found = propagate_missing(&demo("train_hindsight.py"), &target);
        prop_assert_eq!(without_inserted(&found), target);
    }

    #[test]
    fn no_text_makes_it_panic(source in "(flor.log\\('a', b\\)|import flor|if x:|for b in c:|\\n| {4}|\\t|;|def f\\(b\\):|\\(|b = 1|'''|else:|\\\\|\\r|é){0,40}", target in "(import flor|if x:|for b in c:|\\n| {4}|;|def f\\(b\\):|\\(|b = 1|'''|else:|\\\\|\\r|é){0,40}") {
        let found = propagate_missing(&source, &target);
        prop_assert!(found.text.len() >= target.len());
    }
}

#[test]
fn a_statement_that_the_target_has_under_a_condition_is_told() {
    let source = "import afterlog\nfor x in range(9):\n    y = x * 2\n    afterlog.log('y', y)\n    print(y)\n";
    let guarded = "import afterlog\nfor x in range(9):\n    y = x * 2\n    if x % 3 == 0:\n        afterlog.log('y', y)\n    print(y)\n";
    for (target, told) in [(guarded, true), (source, false)] {
        let found = propagate_names(source, &["y".to_owned()], target);
        assert_eq!((found.placements[0].status, &*found.text), (PlacementStatus::AlreadyThere, target));
        let reason = &found.placements[0].reasons[0];
        assert_eq!(reason.contains("under the condition at line 4 only"), told, "{reason}");
    }
}

#[test]
fn a_condition_that_asks_something_else_is_told() {
    let source = "import afterlog\nfor step in range(900):\n    v = step * 2\n    if step % 100 == 0:\n        print(v)\n        afterlog.log('v', v)\n";
    let bare = source.replace("        afterlog.log('v', v)\n", "");
    for (target, status, told) in [
        (bare.clone(), PlacementStatus::Exact, ""),
        (bare.replace("step", "n"), PlacementStatus::Exact, ""),
        (bare.replace("100", "50"), PlacementStatus::Adapted, "the condition at line 4 is `step % 50 == 0`"),
        (bare.replace("== 0", "== 0 and v > 9"), PlacementStatus::Adapted, "and v > 9"),
        (bare.replace("==", "!="), PlacementStatus::Uncertain, "line 4 asks the opposite"),
    ] {
        let found = propagate_names(source, &["v".to_owned()], &target);
        let placement = &found.placements[0];
        let words = format!("{} {}", placement.changes.join("; "), placement.reasons.join("; "));
        assert_eq!(placement.status, status, "{target}: {words}");
        assert!(words.contains(told), "{words}");
    }
}

#[test]
fn what_the_target_logs_elsewhere_comes_with_no_other_statement() {
    let loops = "import afterlog\nfrom data import net, x, y, step\nfor n in range(9):\n    step(net)\n";
    let target = format!("{loops}    print(n)\nafterlog.log('b', 3)\n");
    let (a, b) = ("afterlog.log('a', net(x))\n", "afterlog.log('b', net(y))\n");
    for (with_both, with_one) in [
        (
            format!("    net.eval()\n    {a}    {b}    net.train()\n"),
            format!("    net.eval()\n    {a}    net.train()\n"),
        ),
        (format!("    with net.quiet():\n        {a}        {b}"), format!("    with net.quiet():\n        {a}")),
    ] {
        let source = format!("{loops}{with_both}    print(n)\n");
        let found = propagate_names(&source, &["a".to_owned(), "b".to_owned()], &target);
        let expected = format!("{loops}{with_one}    print(n)\nafterlog.log('b', 3)\n");
        assert_eq!(found.text, expected, "{:?}", found.placements);
        assert_eq!(found.placements[1].status, PlacementStatus::AlreadyThere);
    }
}

#[test]
fn a_refusal_says_on_which_path_a_name_has_no_value() {
    let source = "import afterlog\nfor n in range(9):\n    v = next(n)\n    print(n)\n    afterlog.log('v', v)\n";
    let guarded = "import afterlog\nfor n in range(9):\n    if n > 3:\n        v = next(n)\n    print(n)\n";
    let elsewhere =
        "import afterlog\ndef f(k):\n    v = [k, k]\n    return v\nfor n in range(9):\n    print(n)\n    f(n)\n";
    for (target, told) in [
        (guarded, "line 4 gives it one only where the condition at line 3 holds"),
        (elsewhere, "it is one of function `f`, line 3"),
    ] {
        let found = propagate_names(source, &["v".to_owned()], target);
        let placement = &found.placements[0];
        let reasons = placement.reasons.join("; ");
        assert!(!matches!(placement.status, PlacementStatus::Exact | PlacementStatus::Adapted), "{reasons}");
        assert!(reasons.contains(told), "{reasons}");
    }
}

#[test]
fn the_command_writes_the_result_and_tells_what_applies() {
    let project = TestProject::plain();
    project.write("new.py", "import flor\nfor x in range(3):\n    y = x * 2\n    flor.log('y', y)\n    z = y\n");
    project.write("old.py", "import flor\nfor x in range(3):\n    y = x * 2\n");
    project.write("other.py", "print(1)\n");
    let arguments = ["propagate", "--source", "new.py", "--line", "4", "--format", "json", "--target"];
    let run = |rest: &[&str]| project.afterlog(&[&arguments[..], rest].concat());
    let report: serde_json::Value = serde_json::from_str(&run(&["old.py", "--out", "out.py"]).ok()).expect("JSON");
    assert_eq!(
        (report["placements"][0]["status"].as_str(), report["placements"][0]["line"].as_u64()),
        (Some("exact"), Some(4))
    );
    assert!(report["timing_ms"].is_f64());
    assert_eq!(project.read("out.py"), "import flor\nfor x in range(3):\n    y = x * 2\n    flor.log('y', y)\n");
    let refused = run(&["other.py", "--out", "none.py"]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(!project.path().join("none.py").exists());
    let missing = run(&["odl.py"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("old.py"), "{}", missing.stderr);
    let no_statement = project.afterlog(&["propagate", "--source", "new.py", "--line", "9", "--target", "old.py"]);
    assert_eq!(no_statement.code, Some(1));
    assert!(no_statement.stderr.contains("new.py:9"), "{}", no_statement.stderr);
}
