//! A replay touches nothing of the user's, whatever its script does: its values equal those of a full run, or it says why not.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::env::TestProject;

/// Does one thing to files in the first epoch and looks at them in all.
const SCRIPT: &str = include_str!("../fixtures/scripts/files.py");

/// What a scratch copy cannot let happen: a private view can.
const REFUSED: [&str; 18] = [
    "home",
    "home_delete",
    "home_rename",
    "home_chmod",
    "home_utime",
    "home_hard_link",
    "home_link",
    "home_from_folder",
    "home_database",
    "home_program",
    "home_swallowed",
    "tmp",
    "tmp_folder",
    "absolute",
    "absolute_code",
    "absolute_read",
    "link_out",
    "linked_program",
];

/// What a private view cannot do: its layers are file systems of their own.
const ACROSS_LAYERS: [&str; 2] = ["home_rename", "home_hard_link"];

fn actions() -> Vec<&'static str> {
    let table = SCRIPT.split_once("ACTIONS = {").expect("a table").1.split_once("\n}\n").expect("its end").0;
    table.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\":").map(|(name, _)| name)).collect()
}

fn with_statements(names: &[&str]) -> String {
    names
        .iter()
        .fold(SCRIPT.to_owned(), |script, name| format!("{script}    afterlog.log('{name}', [total, seen()])\n"))
}

/// The project's data and what lies outside it, as they are before every run.
fn reset(project: &TestProject, config: &str) {
    for gone in ["out", "data", "hard", "../new", "../folder", "../home"] {
        let gone = project.path().join(gone);
        let _ = std::fs::remove_dir_all(&gone).or_else(|_| std::fs::remove_file(&gone));
    }
    project.write("helper.py", "x = 1\n");
    project.write("config.json", config);
    project.write("data/rows.csv", "1\n2\n");
    project.write("data/deep/leaf.csv", "3\n");
    project.write("data/table.db", "");
    symlink("rows.csv", project.path().join("data/alias.csv")).expect("linked");
    project.write("../home/cache.txt", "precious");
    project.write("../home/store/kept.txt", "precious");
    // What has changed since a run began proves nothing of it.
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for path in ["data/rows.csv", "data/deep/leaf.csv", "data/table.db", "../home/cache.txt", "../home/store/kept.txt"]
    {
        let file = std::fs::File::options().write(true).open(project.path().join(path));
        file.and_then(|file| file.set_modified(before)).expect("dated");
    }
}

/// A project in which a run did each of these things; the data is as before afterwards.
fn recorded(script: &str, actions: &[&str]) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", script);
    project.write(".gitignore", "data/\n");
    symlink("../home/store", project.path().join("elsewhere")).expect("linked");
    reset(&project, "{}");
    project.commit("start");
    for action in actions {
        reset(&project, "{}");
        let what = format!("what={action}");
        // Without checkpoints all epochs are replayed in one process, and so the later ones see what the first did.
        project.afterlog(&["run", "--name", action, "--checkpoints", "off", "train.py", &what]).ok();
    }
    reset(&project, "{}");
    project
}

/// Values and verdicts of a name by the run's name.
fn grid(project: &TestProject, name: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let list =
        |args: &[&str]| -> Vec<Value> { serde_json::from_str(&project.afterlog(args).ok()).expect("a JSON list") };
    let mut grid: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let rows = list(&["grid", name, "--format", "json", "--verdicts"]);
    for run in list(&["runs", "--format", "json"]) {
        let cells = grid.entry(run["name"].as_str().expect("a name").to_owned()).or_default();
        for row in rows.iter().filter(|row| row["run"] == run["id"] && !row[name].is_null()) {
            let verdict = row[format!("{name}_verdict")].as_str().expect("a verdict");
            cells.push((row[name].to_string(), verdict.to_owned()));
        }
    }
    grid
}

#[test]
fn whatever_a_replayed_script_does_to_files_reaches_nothing_of_the_users() {
    let actions = actions();
    assert_eq!(actions.len(), 41, "{actions:?}");
    let names = ["in_namespace", "in_scratch"];
    let expected = grid(&recorded(&with_statements(&names), &actions), names[0]);

    let project = recorded(SCRIPT, &actions);
    project.write("config.json", "{\"changed\": \"since\"}");
    project.write("train.py", with_statements(&names));
    project.run("git", &["stash", "list"]).ok();
    let before = project.fingerprint();
    for name in names {
        let mode = name.strip_prefix("in_").expect("a mode");
        let mut command = project.afterlog_command(&["replay", name, "--yes", "--jobs", "2"]);
        let output = command.env("AFTERLOG_ISOLATION", mode).output().expect("replays");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(said.contains("scratch copy"), mode == "scratch", "{said}");
        let after = project.fingerprint();
        let differing: Vec<_> = before.iter().filter(|(key, value)| after.get(*key) != Some(value)).collect();
        assert!(before == after, "{mode}: {differing:?} {:?}", after.keys().filter(|k| !before.contains_key(*k)));
        let found = grid(&project, name);
        for action in &actions {
            let values: Vec<&String> = found[*action].iter().map(|(value, _)| value).collect();
            let expected: Vec<&String> = expected[*action].iter().map(|(value, _)| value).collect();
            let cannot: &[&str] = if mode == "scratch" { &REFUSED } else { &ACROSS_LAYERS };
            let refused = cannot.contains(action);
            if refused && *action != "home_swallowed" {
                assert!(values.is_empty(), "{mode} {action}: {values:?}\n{said}");
                continue;
            }
            assert_eq!(values, expected, "{mode} {action}\n{said}");
            let verdict = if refused { "unverified" } else { "verified" };
            assert!(found[*action].iter().all(|(_, said)| said == verdict), "{mode} {action}: {:?}", found[*action]);
        }
        assert_eq!(output.status.code(), Some(4), "{said}");
        let failures: Vec<&str> = said.lines().filter(|line| line.contains(" failed: ")).collect();
        let told = |why: &str| failures.iter().filter(|line| line.contains(why)).count();
        // Programs and SQLite fail with messages of their own.
        let (reason, others) = if mode == "scratch" { ("leave your files alone", 3) } else { ("cross-device", 0) };
        assert_eq!(told(reason) + others, failures.len(), "{said}");
    }
}

/// A run with a statement added since, to be replayed.
fn with_added_statement() -> TestProject {
    let project = recorded(SCRIPT, &["append"]);
    project.write("train.py", with_statements(&["added"]));
    project
}

#[test]
fn where_namespaces_are_not_permitted_the_scratch_copy_is_used_and_said() {
    let project = with_added_statement();
    let before = project.fingerprint();
    let afterlog = env!("CARGO_BIN_EXE_afterlog");
    // Inside a namespace of its own a process may forbid any further ones.
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\"";
    let forbidding =
        |args: &[&str]| project.run("unshare", &[&["-Ur", "sh", "-c", forbid, afterlog][..], args].concat());
    let plan = forbidding(&["replay", "added", "--dry-run", "--format", "json"]).ok();
    let plan: Value = serde_json::from_str(&plan).expect("a JSON plan");
    assert_eq!(plan["isolation"]["mode"], "scratch");
    assert!(plan["isolation"]["reason"].as_str().is_some_and(|reason| reason.contains("namespace")), "{plan}");
    let replayed = forbidding(&["replay", "added", "--yes"]);
    assert!(replayed.stdout.contains("note: runs in a scratch copy"), "{replayed:?}");
    let values = replayed.ok();
    assert!(values.contains("1 verified"), "{values}");
    assert_eq!(before, project.fingerprint());

    let mut forced = project.command("unshare");
    forced.args(["-Ur", "sh", "-c", forbid, afterlog, "replay", "total", "--dry-run"]);
    let nothing = forced.env("AFTERLOG_ISOLATION", "namespace").output().expect("runs");
    assert_eq!(nothing.status.code(), Some(0), "nothing is tried where there is nothing to replay: {nothing:?}");
}

#[test]
fn an_isolation_that_is_not_possible_or_unknown_is_refused_before_anything_runs() {
    let project = with_added_statement();
    for (choice, says) in [("chroot", "namespace, scratch or auto"), ("namespace", "AFTERLOG_ISOLATION=scratch")] {
        let mut command = project.command("unshare");
        command.args(["-Ur", "sh", "-c", "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" \"$@\""]);
        command.args([env!("CARGO_BIN_EXE_afterlog"), "replay", "added", "--yes"]).env("AFTERLOG_ISOLATION", choice);
        let output = command.output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
        assert_eq!(std::fs::read_dir(project.path().join(".afterlog/jobs")).expect("jobs").count(), 0);
    }
}

/// Under the guard alone, without the kernel's help.
const GUARDED: &str = r#"
import json, os, sys
sys.path.insert(0, sys.argv[1])
from afterlog import _guard
root, tree, temporary = sys.argv[2:]
told = []
_guard.install(json.dumps({"tree": tree, "root": root, "temporary": temporary, "kernel": False}), told.append)
os.chdir(tree)
import multiprocessing, subprocess
def attempt(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except _guard.Refused:
        return
    sys.exit("not refused: %r %r" % (call, arguments))
attempt(subprocess.run, ["true"])
attempt(os.system, "true")
attempt(os.posix_spawn, "/bin/true", ["true"], {})
attempt(os.execv, "/bin/true", ["true"])
attempt(multiprocessing.get_context("spawn").Process(target=print).start)
attempt(os.truncate, os.path.join(root, "kept"), 0)
attempt(open, "/proc/self/root" + os.path.join(root, "kept"), "w")
attempt(os.open, "kept", os.O_RDWR, dir_fd=os.open(root, os.O_RDONLY))
with open(os.path.join(root, "kept")) as reading:
    attempt(os.chmod, reading.fileno(), 0o600)
    attempt(open, "/dev/fd/%d" % reading.fileno(), "w")
assert len(told) == len(set(told)) >= 4, told
open(os.path.join(temporary, "mine"), "w").close()
open(os.devnull, "w").close()
read, write = os.pipe()
with open(write, "w") as file:
    file.write("x")
open("kept", "a").write("more")
assert open("kept").read() == "preciousmore", open("kept").read()
multiprocessing.get_context("fork").Process(target=print).start()
"#;

#[test]
fn without_the_kernels_help_the_guard_alone_refuses_and_lets_no_program_start() {
    let project = TestProject::plain();
    project.write("kept", "precious");
    let [tree, temporary] = ["tree", "temporary"].map(|name| project.path().join(".afterlog").join(name));
    for folder in [&tree, &temporary] {
        std::fs::create_dir_all(folder).expect("folder");
    }
    symlink(project.path().join("kept"), tree.join("kept")).expect("linked");
    let runtime = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/runtime");
    let (root, before) = (project.path(), project.fingerprint());
    let mut command = project.command(crate::env::python());
    let output = command.args(["-c", GUARDED, runtime]).args([&root, &tree, &temporary]).output().expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(before, project.fingerprint());
}

#[test]
fn a_model_that_torch_saves_over_the_users_is_saved_in_the_scratch_copy() {
    let script = "\
import torch
import afterlog
torch.manual_seed(1)
model = torch.nn.Linear(2, 2)
for epoch in afterlog.loop('epoch', range(2)):
    for step in afterlog.loop('step', range(2)):
        model.weight.data += torch.rand(2, 2)
    torch.save(model.state_dict(), 'saved/best.pt')
    afterlog.log('norm', model.weight.norm().item())
";
    let project = TestProject::git().with_torch();
    project.write("train.py", script);
    project.write(".gitignore", "saved/\n");
    project.write("saved/best.pt", "");
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    project.write("saved/best.pt", "precious");
    project
        .write("train.py", format!("{script}    afterlog.log('best', torch.load('saved/best.pt')['bias'].tolist())\n"));
    let before = project.fingerprint();
    let mut command = project.afterlog_command(&["replay", "best", "--yes"]);
    let output = command.env("AFTERLOG_ISOLATION", "scratch").output().expect("replays");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(before, project.fingerprint());
}
