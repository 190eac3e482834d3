//! Probes over the versions of several commits: where they land, by which way, and what the user has to say about it.

use std::fs;

use serde_json::Value;

use crate::env::{Finished, TestProject};

/// A script's life, oldest first: at the end its counter has another name and the loop stands in a function.
const VERSIONS: [&str; 4] = [
    "\
import afterlog
w = 0.0
for epoch in afterlog.loop('epoch', range(2)):
    for step in afterlog.loop('step', range(3)):
        w += 0.1 * step
    afterlog.log('w', w)
",
    "\
import afterlog
w = 0.0
lr = 0.1
for epoch in afterlog.loop('epoch', range(2)):
    for step in afterlog.loop('step', range(3)):
        w += lr * step
    afterlog.log('w', w)
",
    "\
import afterlog

def main():
    weight = 0.0
    lr = 0.1
    for epoch in afterlog.loop('epoch', range(2)):
        for step in afterlog.loop('step', range(3)):
            weight += lr * step
        afterlog.log('w', weight)

main()
",
    "\
import afterlog

def main():
    weight = 1.0
    lr = 0.1
    for epoch in afterlog.loop('epoch', range(2)):
        for step in afterlog.loop('step', range(3)):
            weight += lr * step
        afterlog.log('w', weight)

main()
",
];

/// Records all versions, each committed, and adds a statement to today's script. Gives the runs, oldest first.
fn recorded() -> (TestProject, Vec<String>) {
    let project = TestProject::git();
    for text in VERSIONS {
        project.write("train.py", text);
        project.commit("a version");
        project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    }
    project.write("train.py", with_statement());
    let runs = project.run_ids();
    assert_eq!(runs.len(), VERSIONS.len());
    (project, runs)
}

fn with_statement() -> String {
    VERSIONS[3].replace("* step\n", "* step\n            afterlog.log('twice', weight * 2)\n")
}

fn preview(project: &TestProject, code: i32) -> Vec<Value> {
    let found = project.afterlog(&["probe", "preview", "twice", "--format", "json"]);
    assert_eq!(found.code, Some(code), "{found:?}");
    let report: Value = serde_json::from_str(&found.stdout).expect("JSON");
    assert!(report["timing_ms"].is_f64());
    let runs = report["runs"].as_array().expect("runs").iter();
    runs.map(|run| run["placements"][0].clone()).collect()
}

fn statuses(placements: &[Value]) -> Vec<&str> {
    placements.iter().map(|placement| placement["status"].as_str().expect("a status")).collect()
}

fn lines(placements: &[Value]) -> Vec<Option<u64>> {
    placements.iter().map(|placement| placement["line"].as_u64()).collect()
}

#[track_caller]
fn fails(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {finished:?}");
    }
}

/// The replayed values of a run.
fn values(project: &TestProject, run: &str) -> Vec<String> {
    let csv = project.afterlog(&["grid", "twice", "--runs", run, "--format", "csv"]).ok();
    let header = csv.lines().next().expect("a header");
    assert!(!csv.contains("verified") || header.ends_with(",twice,twice_verdict"), "{csv}");
    csv.lines().skip(1).map(|line| line.split_once(',').expect("a run").1.to_owned()).collect()
}

#[test]
fn a_probe_is_added_by_name_or_line_kept_and_removed() {
    let (project, _) = recorded();
    let added = project.afterlog(&["probe", "add", "train.py:9"]).ok();
    assert_eq!(added, "twice  train.py:9  afterlog.log('twice', weight * 2)\n");
    project.afterlog(&["probe", "add", "w"]).ok();
    fails(&project.afterlog(&["probe", "add", "train.py:4-6"]), 1, &["train.py:4-6", "9, 10"]);
    fails(&project.afterlog(&["probe", "add", "twic"]), 1, &["did you mean twice"]);
    fails(&project.afterlog(&["probe", "add", "gone.py:3"]), 1, &["gone.py"]);
    project.write("other.py", "import afterlog\nafterlog.log('a', 1)\n");
    fails(&project.afterlog(&["probe", "add", "other.py:2"]), 1, &["no run of other.py", "train.py"]);
    let list = project.afterlog(&["probe", "list", "--format", "csv"]).ok();
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.contains("twice,train.py:9,0,0,"), "{list}");

    // The statement is kept, should the script lose it; and the probe outlives the database.
    project.write("train.py", VERSIONS[3]);
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(statuses(&preview(&project, 0)).len(), VERSIONS.len());
    assert!(project.afterlog(&["replay", "twice", "--dry-run"]).ok().contains("twice"));
    assert!(project.afterlog(&["fsck"]).ok().contains("2 probes: sound"));

    project.afterlog(&["probe", "remove", "twice"]).ok();
    fails(&project.afterlog(&["probe", "preview", "twice"]), 1, &["twice"]);
    fails(&project.afterlog(&["probe", "show", "twice"]), 1, &["no probe 'twice'"]);
}

#[test]
fn it_lands_in_every_version_and_a_second_look_says_the_same() {
    let (project, runs) = recorded();
    project.afterlog(&["probe", "add", "twice"]).ok();
    let first = preview(&project, 0);
    assert_eq!(lines(&first), [Some(6), Some(7), Some(9), Some(9)], "{first:?}");
    assert_eq!(first[0]["text"], "        afterlog.log('twice', w * 2)\n");
    assert_eq!(statuses(&first)[2..], ["exact", "exact"]);
    assert_eq!(first[0]["column"], 9);
    assert_eq!(preview(&project, 0), first);
    let table = project.afterlog(&["probe", "preview"]).ok();
    assert!(runs.iter().all(|run| table.contains(run)), "{table}");
    let diff = project.afterlog(&["probe", "preview", "twice", "--runs", &runs[0], "--diff"]).ok();
    assert!(diff.contains("\n+        afterlog.log('twice', w * 2)\n"), "{diff}");
}

#[test]
fn a_moved_statement_is_replayed_there_and_its_earlier_values_are_not_shown() {
    let (project, runs) = recorded();
    project.afterlog(&["replay", "twice", "--yes"]).ok();
    let inner = values(&project, &runs[3]);
    assert_eq!(inner.len(), 6);
    let moved = project.afterlog(&["probe", "move", "twice", &runs[3], "--after", "9"]);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    assert!(moved.stdout.contains("where you moved it in"), "{moved:?}");
    // The loop around it is the same in the version before, and only there.
    assert!(moved.stderr.contains(&runs[2]) && !moved.stderr.contains(&runs[1]), "{moved:?}");
    let placements = preview(&project, 0);
    assert_eq!(lines(&placements)[2..], [Some(10), Some(10)]);
    assert_eq!(placements[2]["column"], 9);
    assert!(placements[2]["reasons"][0].as_str().is_some_and(|why| why.contains(&runs[3])), "{placements:?}");
    // The hop to the versions before starts from what was corrected.
    assert!(placements[1]["reasons"].to_string().contains("by way of the"), "{placements:?}");

    assert!(values(&project, &runs[3]).iter().all(|row| !row.contains("verified")), "values of another place");
    project.afterlog(&["replay", "twice", "--runs", &runs[3], "--yes"]).ok();
    assert_eq!(values(&project, &runs[3]), ["0,2.6,verified", "1,3.2,verified"]);
    // Taken back, what was computed before is right again, and nothing is computed.
    project.afterlog(&["probe", "reset", "twice"]).ok();
    assert_eq!(values(&project, &runs[3]), inner);
    let again = project.afterlog(&["replay", "twice", "--runs", &runs[3], "--yes"]).ok();
    assert!(again.contains("Nothing to replay"), "{again}");
}

#[test]
fn a_place_without_what_the_statement_reads_is_refused_and_nothing_is_kept() {
    let (project, runs) = recorded();
    project.afterlog(&["probe", "add", "twice"]).ok();
    let before = preview(&project, 0);
    let cannot = |place: &[&str], words: &[&str]| {
        let arguments = [&["probe", "move", "twice", &runs[0]][..], place].concat();
        fails(&project.afterlog(&arguments), 1, &[words, &[runs[0].as_str()][..]].concat());
    };
    cannot(&["--before", "2"], &["`w`"]);
    cannot(&["--after", "70"], &["there is no line 70"]);
    cannot(&["--after", "5:3"], &["5:5 or 5:9"]);
    cannot(&["--to", "9"], &["other places"]);
    fails(&project.afterlog(&["probe", "move", "twice", &runs[0]]), 2, &["--after"]);
    assert_eq!(preview(&project, 0), before);
    project.afterlog(&["probe", "move", "twice", &runs[0], "--after", "5:5"]).ok();
    assert_eq!(lines(&preview(&project, 0))[0], Some(6));
    assert_eq!(preview(&project, 0)[0]["column"], 5);
}

#[test]
fn what_a_statement_logs_in_one_version_is_written_there_checked_kept_and_replayed() {
    let (project, runs) = recorded();
    project.afterlog(&["probe", "add", "twice"]).ok();
    let before = preview(&project, 0);
    let write = |run: usize, rest: &[&str]| {
        project.afterlog(&[&["probe", "move", "twice", &runs[run], "--expr"][..], rest].concat())
    };
    // It is checked like one that is placed.
    fails(&write(0, &["weight * 3"]), 1, &["`weight` has no value there", &runs[0]]);
    fails(&write(0, &["w * "]), 1, &[&runs[0]]);
    fails(&write(0, &["w", "--before", "2"]), 1, &["`w` has no value there"]);
    assert_eq!(preview(&project, 0), before);

    let written = write(2, &["weight * 3 + lr"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    assert!(written.stdout.contains("as you wrote it in"), "{written:?}");
    let placements = preview(&project, 0);
    let texts: Vec<&str> = placements.iter().map(|one| one["text"].as_str().unwrap_or_default().trim()).collect();
    // The loop around it is the same in the version after it; those before take nothing from it.
    let (theirs, own) = ("afterlog.log('twice', w * 2)", "afterlog.log(\"twice\", weight * 3 + lr)");
    assert_eq!(texts, [theirs, theirs, own, own], "{placements:?}");
    assert_eq!(lines(&placements), lines(&before));
    assert!(project.afterlog(&["probe", "show", "twice"]).ok().contains("logs weight * 3 + lr"));

    project.afterlog(&["replay", "twice", "--runs", &runs[2], "--yes"]).ok();
    let first = values(&project, &runs[2]).into_iter().next().unwrap_or_default();
    assert!(first.starts_with("0,0,0.1,"), "{first}");
    // Moved on, it goes on to log what was written; taken back, it logs what it did.
    project.afterlog(&["probe", "move", "twice", &runs[2], "--after", "8:9"]).ok();
    assert_eq!(preview(&project, 0)[2]["text"], format!("        {own}\n"));
    project.afterlog(&["probe", "reset", "twice"]).ok();
    assert_eq!(preview(&project, 0), before);
}

#[test]
fn an_excluded_version_is_not_replayed_and_its_values_are_not_shown() {
    let (project, runs) = recorded();
    project.afterlog(&["replay", "twice", "--yes"]).ok();
    let excluded = project.afterlog(&["probe", "exclude", "twice", &runs[3]]);
    assert_eq!(excluded.code, Some(0), "{excluded:?}");
    let placements = preview(&project, 0);
    assert_eq!(statuses(&placements)[2..], ["excluded", "excluded"], "the same loop is in both");
    assert!(statuses(&placements)[..2].iter().all(|status| *status != "excluded"));
    assert_eq!(values(&project, &runs[3]), [""; 0], "nothing of it is shown");
    let plan = project.afterlog(&["replay", "twice", "--yes"]);
    assert_eq!(plan.code, Some(0), "what is excluded is not lacking: {plan:?}");
    assert!(plan.stdout.contains("not replayed: excluded"), "{plan:?}");

    // One of them is wanted after all.
    project.afterlog(&["probe", "reset", "twice", &runs[2]]).ok();
    let placements = preview(&project, 0);
    assert_eq!(statuses(&placements)[2..], ["exact", "excluded"]);
    project.afterlog(&["probe", "include", "twice", &runs[3]]).ok();
    assert_eq!(statuses(&preview(&project, 0))[2..], ["exact", "exact"]);
    assert_eq!(values(&project, &runs[3]).len(), 6);
}

#[test]
fn of_two_statements_that_come_together_one_is_left_out_by_itself() {
    let project = TestProject::git();
    let before = "\
import afterlog

class Net:
    training = True
    def eval(self):
        self.training = False
    def train(self):
        self.training = True
    def __call__(self, x):
        return x if self.training else -x

net = Net()
for epoch in afterlog.loop('epoch', range(2)):
    w = net(epoch)
    afterlog.log('w', w)
";
    project.write("train.py", before);
    project.afterlog(&["run", "train.py"]).ok();
    let run = project.run_ids()[0].clone();
    let new = "    net.eval()\n    afterlog.log('a', net(1))\n    afterlog.log('b', net(2))\n    net.train()\n";
    project.write("train.py", format!("{before}{new}"));
    let text = |code: i32| {
        let found = project.afterlog(&["probe", "preview", "a", "b", "--format", "json"]);
        assert_eq!(found.code, Some(code), "{found:?}");
        let report: Value = serde_json::from_str(&found.stdout).expect("JSON");
        report["runs"][0]["placements"].as_array().expect("placements").clone()
    };
    assert_eq!(text(0)[0]["text"], new, "both at once");
    project.afterlog(&["probe", "exclude", "b", &run]).ok();
    let placements = text(0);
    assert_eq!(placements[0]["text"], new.replace("    afterlog.log('b', net(2))\n", ""));
    assert_eq!(placements[1]["status"], "excluded");
    project.afterlog(&["probe", "include", "b", &run]).ok();
    project.afterlog(&["probe", "exclude", "a", &run]).ok();
    let placements = text(0);
    assert_eq!(placements[0]["status"], "excluded");
    assert_eq!(placements[1]["text"], new.replace("    afterlog.log('a', net(1))\n", ""));
}

#[test]
fn a_version_without_a_place_gives_exit_code_4() {
    let (project, _) = recorded();
    project.write("train.py", "import afterlog\nafterlog.log('other', 1)\n");
    project.afterlog(&["run", "train.py"]).ok();
    project.write("train.py", with_statement());
    project.afterlog(&["probe", "add", "twice"]).ok();
    let placements = preview(&project, 4);
    assert_eq!(statuses(&placements)[4], "not_applicable", "{placements:?}");
    project.afterlog(&["probe", "exclude", "twice", "last"]).ok();
    assert_eq!(statuses(&preview(&project, 0))[4], "excluded");
}

/// A name that changes a little in every version: from the first to the last nothing of it is left.
#[test]
fn what_no_direct_way_finds_is_found_by_way_of_the_versions_in_between() {
    let project = TestProject::git();
    let version = |body: &str| {
        format!(
            "import afterlog\n\n{body}\nfor epoch in afterlog.loop('epoch', range(2)):\n    afterlog.log('e', epoch)\n"
        )
    };
    let texts = [
        version(
            "def fit(data):\n    total = 0\n    for item in data:\n        total += item\n    return total\n\nprint(fit([1, 2]))\n",
        ),
        version(
            "def fit(data, scale):\n    total = 0\n    for item in data:\n        part = item * scale\n        total += part\n    return total\n\nprint(fit([1, 2], 1))\n",
        ),
        version(
            "def train(batches, scale):\n    amount = 0\n    for item in batches:\n        part = item * scale\n        amount += part\n    return amount\n\nprint(train([1, 2], 1))\n",
        ),
    ];
    for text in &texts {
        project.write("train.py", text);
        project.commit("a version");
        project.afterlog(&["run", "train.py"]).ok();
    }
    let today = texts[2].replace("amount += part\n", "amount += part\n        afterlog.log('twice', amount)\n");
    project.write("train.py", today);
    let placements = preview(&project, 0);
    assert_eq!(placements[0]["text"], "        afterlog.log('twice', total)\n", "{placements:?}");
    assert_eq!(placements[0]["status"], "uncertain");
    let why = placements[0]["reasons"][0].as_str().expect("a reason");
    assert!(why.contains("found by way of the 2 versions") && why.contains("directly it has no place"), "{why}");
    assert_eq!(placements[1]["text"], "        afterlog.log('twice', total)\n", "{placements:?}");
}

#[test]
fn a_damaged_probe_is_told_and_never_passed_over() {
    let (project, runs) = recorded();
    project.afterlog(&["probe", "exclude", "twice", &runs[3]]).ok();
    let folder = project.path().join(".afterlog/probes");
    let file = fs::read_dir(folder).expect("probes").next().expect("one").expect("entry").path();
    let whole = fs::read(&file).expect("its text");
    project.write(file.to_str().expect("a path"), &whole[..whole.len() / 2]);
    fails(&project.afterlog(&["replay", "twice", "--dry-run"]), 3, &["does not hold what it should"]);
    let fsck = project.afterlog(&["fsck"]);
    assert_eq!(fsck.code, Some(3), "{fsck:?}");
    project.write(file.to_str().expect("a path"), &whole);
    project.afterlog(&["fsck"]).ok();
}

#[test]
fn iterations_without_a_loop_s_name_are_the_main_loop_s() {
    let (project, runs) = recorded();
    project.afterlog(&["replay", "twice", "--runs", &runs[3], "--iters", "1..1", "--yes"]).ok();
    let filled = values(&project, &runs[3]);
    assert_eq!(filled.len(), 3, "{filled:?}");
    assert!(filled.iter().all(|row| row.starts_with("1,")), "{filled:?}");
    let bare = project.afterlog(&["grid", "twice", "--runs", &runs[3], "--format", "csv", "--no-verdicts"]);
    assert!(bare.ok().starts_with("run,epoch,step,twice\n"));
    fails(&project.afterlog(&["replay", "twice", "--iters", "1", "--iters", "2"]), 2, &["afterlog replay --help"]);
}

#[test]
fn a_script_that_cannot_be_parsed_is_not_explained() {
    let project = TestProject::plain();
    project.write("train.py", "def f(:\n    pass\n");
    for format in ["text", "json"] {
        let explained = project.afterlog(&["explain", "train.py", "--format", format]);
        fails(&explained, 1, &["error: ", "line 1", "hint: ", "py_compile"]);
        assert_eq!(explained.stdout, "");
    }
}

#[test]
fn values_of_a_statement_that_was_edited_since_are_not_shown_for_it() {
    let script = "import afterlog\nfor epoch in afterlog.loop('epoch', range(3)):\n    w = epoch * 2.0\n    afterlog.log('w', w)\n";
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["run", "train.py"]).ok();
    project.afterlog(&["run", "train.py"]).ok();
    project.write("train.py", format!("{script}    afterlog.log('p', w + 1)\n"));
    project.afterlog(&["replay", "p", "--yes"]).ok();
    let shown = || project.afterlog(&["grid", "p", "--no-verdicts", "--format", "csv"]);
    let first = shown().ok();
    assert_eq!(first.lines().filter(|row| row.ends_with(",1.0") || row.ends_with(",1")).count(), 2, "{first}");
    project.write("train.py", format!("{script}    afterlog.log('p', w + 7)\n"));
    let edited = shown();
    assert!(!edited.stdout.contains(",1"), "nothing of the old statement: {edited:?}");
    project.afterlog(&["replay", "p", "--yes"]).ok();
    assert!(shown().ok().lines().any(|row| row.ends_with(",7.0") || row.ends_with(",7")));
    // Where it is gone from the script there is nothing that the values could be taken for.
    project.write("train.py", script);
    assert!(shown().ok().contains(",7"));
    project.write("train.py", format!("{script}    afterlog.log('p', w + 1)\n"));
    assert_eq!(shown().ok(), first, "what it was again is known again");
}
