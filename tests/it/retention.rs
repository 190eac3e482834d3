//! A store that the user governs: what it holds, thinning it, and that nothing needed is ever removed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::TestProject;

/// Its state takes some ten thousand bytes an epoch, of which most changes.
const SCRIPT: &str = "\
import random
import afterlog
seed, epochs = afterlog.arg('seed', 1), afterlog.arg('epochs', 9)
random.seed(seed)
weights = [random.random() for _ in range(2000)]
for epoch in afterlog.loop('epoch', range(epochs)):
    for step in afterlog.loop('step', range(3)):
        for at in range(len(weights)):
            weights[at] = 0.9 * weights[at] + 0.1 * random.random()
    afterlog.log('total', sum(weights))
";
const STATEMENT: &str = "    afterlog.log('first', weights[0])\n";

fn recorded(runs: &[&[&str]]) -> TestProject {
    let project = TestProject::git();
    project.write("train.py", SCRIPT);
    project.commit("start");
    for arguments in runs {
        project.afterlog(&[&["run", "--checkpoints", "all", "train.py"][..], arguments].concat()).ok();
    }
    project
}

fn json(project: &TestProject, args: &[&str]) -> Value {
    serde_json::from_str(&project.afterlog(args).ok()).expect("JSON")
}

fn pack_bytes(project: &TestProject) -> u64 {
    folder_bytes(&project.path().join(".afterlog/packs"))
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("folder").flatten();
    entries
        .map(
            |entry| {
                if entry.path().is_dir() { folder_bytes(&entry.path()) } else { entry.metadata().expect("size").len() }
            },
        )
        .sum()
}

#[track_caller]
fn is_sound(project: &TestProject) {
    let checked = project.afterlog(&["fsck"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// Adds a statement, replays it for all runs, and compares its values with those of full runs that log it, bit for bit.
#[track_caller]
fn replays_equal_full_runs(project: &TestProject, runs: &[&[&str]]) {
    project.write("train.py", format!("{SCRIPT}{STATEMENT}"));
    let replayed = project.afterlog(&["replay", "first", "--yes"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let ids = project.run_ids();
    for (arguments, id) in runs.iter().zip(&ids) {
        project.afterlog(&[&["run", "--checkpoints", "off", "train.py"][..], arguments].concat()).ok();
        let full = project.run_ids().pop().expect("a run");
        let values = |run: &str| -> BTreeMap<u64, u64> {
            let csv = project.afterlog(&["grid", "first", "--runs", run, "--verdicts", "--format", "csv"]).ok();
            let rows = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
            let value = |row: Vec<&str>| {
                assert!(row[3] == "verified" || row[3] == "recorded", "{row:?}");
                (row[1].parse().expect("an epoch"), row[2].parse::<f64>().expect("a value").to_bits())
            };
            rows.map(value).collect()
        };
        let (replayed, full) = (values(id), values(&full));
        assert!(!full.is_empty() && replayed == full, "{replayed:?} {full:?}");
    }
}

#[test]
fn du_adds_up_to_what_the_file_system_says() {
    let project = recorded(&[&["seed=1"], &["seed=1"], &["seed=2"]]);
    project.afterlog(&["runs"]).ok();
    let usage = json(&project, &["du", "--format", "json"]);
    let bytes = |value: &Value, name: &str| value[name].as_u64().unwrap_or_else(|| panic!("{name} in {value}"));
    assert_eq!(bytes(&usage, "total_bytes"), folder_bytes(&project.path().join(".afterlog")));
    assert_eq!(bytes(&usage, "checkpoint_bytes"), pack_bytes(&project));
    let runs = usage["runs"].as_array().expect("runs");
    let sum = |name: &str| runs.iter().map(|run| bytes(run, name)).sum::<u64>();
    let held = sum("own_bytes") + bytes(&usage, "shared_bytes") + bytes(&usage, "unneeded_bytes");
    assert_eq!(held, pack_bytes(&project), "{usage}");
    assert!(bytes(&runs[0], "own_bytes") + bytes(&runs[0], "shared_bytes") > 50_000, "{usage}");
    assert!(bytes(&runs[0], "shared_bytes") > bytes(&runs[0], "own_bytes"), "two runs are alike: {usage}");
    assert_eq!(
        sum("journal_bytes") + sum("output_bytes") + sum("other_bytes"),
        folder_bytes(&project.path().join(".afterlog/runs"))
    );
    assert!(runs.iter().all(|run| bytes(run, "version_bytes") == SCRIPT.len() as u64), "{usage}");
    let csv = project.afterlog(&["du", "--format", "csv"]).ok();
    assert_eq!(
        csv.lines().count() - 1,
        runs.iter().map(|run| run["choices"].as_array().expect("choices").len()).sum::<usize>()
    );
}

#[test]
fn du_says_what_a_choice_frees_and_gc_frees_it() {
    let project = recorded(&[&["seed=1"], &["seed=2"]]);
    let usage = json(&project, &["du", "last", "--format", "json"]);
    let choices = usage["runs"][0]["choices"].as_array().expect("choices").clone();
    let of = |keep: &str| choices.iter().find(|choice| choice["keep"] == keep).unwrap_or_else(|| panic!("{choices:?}"));
    assert_eq!(of("all that is there")["most_iterations"], 1);
    assert_eq!(of("first and last")["iterations"], 2);
    // The first state is that after epoch 0, the last that at the end: epochs 1 to 8 are executed from the former.
    assert_eq!(of("first and last")["most_iterations"], 8, "{choices:?}");
    assert_eq!(of("none")["most_iterations"], 9);
    let before = pack_bytes(&project);
    let promised = of("first and last")["frees_bytes"].as_u64().expect("bytes");
    assert!(promised > before / 4);
    project.afterlog(&["gc", "--runs", "last", "--keep", "2"]).ok();
    assert_eq!(before - pack_bytes(&project), promised);
    is_sound(&project);
    let usage = json(&project, &["du", "--format", "json"]);
    assert_eq!((&usage["runs"][0]["kept_iterations"], &usage["runs"][1]["kept_iterations"]), (&9.into(), &2.into()));
    let detail = json(&project, &["show", "last", "--json"]);
    assert_eq!(detail["checkpoints"].as_u64(), detail["checkpoint_list"].as_array().map(|list| list.len() as u64));
    let before = detail["checkpoint_bytes"].clone();
    project.afterlog(&["rebuild"]).ok();
    assert_eq!(
        json(&project, &["show", "last", "--json"])["checkpoint_bytes"],
        before,
        "a rebuilt database says the same"
    );
}

#[test]
fn gc_does_what_its_dry_run_says_keeps_the_budget_and_replays_stay_bit_equal() {
    let runs: [&[&str]; 2] = [&["seed=1"], &["seed=2", "epochs=6"]];
    let project = recorded(&runs);
    let before = pack_bytes(&project);
    let budget = (before / 2).to_string();
    let user = project.fingerprint();
    let dry = json(&project, &["gc", "--dry-run", "--budget", &budget, "--format", "json"]);
    assert_eq!(pack_bytes(&project), before, "nothing was changed");
    let did = json(&project, &["gc", "--budget", &budget, "--format", "json"]);
    assert_eq!(did, dry);
    assert!(pack_bytes(&project) <= before / 2, "{} of {before}", pack_bytes(&project));
    assert!(dry["drops"].as_array().is_some_and(|drops| !drops.is_empty()));
    let again = json(&project, &["gc", "--budget", &budget, "--format", "json"]);
    assert_eq!(again["drops"], Value::Array(Vec::new()), "twice does no more");
    is_sound(&project);
    assert_eq!(user, project.fingerprint());
    assert_eq!(project.run_ids().len(), 2);
    let plan = {
        project.write("train.py", format!("{SCRIPT}{STATEMENT}"));
        project.afterlog(&["replay", "first", "--dry-run", "--format", "json"]).ok()
    };
    assert!(plan.contains("were removed to save space"), "{plan}");
    replays_equal_full_runs(&project, &runs);
}

#[test]
fn a_budget_in_the_settings_is_kept_at_the_end_of_each_run() {
    let project = recorded(&[&["seed=1"]]);
    let one = pack_bytes(&project);
    project.write(".afterlog/config.toml", format!("budget = \"{}\"\n", one * 3 / 2));
    let second = project.afterlog(&["run", "--checkpoints", "all", "train.py", "seed=2"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.stderr.contains("to stay within the budget"), "{second:?}");
    assert!(pack_bytes(&project) <= one * 3 / 2);
    is_sound(&project);
    project.write(".afterlog/config.toml", "budget = \"none\"\n");
    project.afterlog(&["run", "--checkpoints", "all", "train.py", "seed=3"]).ok();
    assert!(pack_bytes(&project) > one * 3 / 2);
    project.write(".afterlog/config.toml", "budget = \"much\"\n");
    let broken = project.afterlog(&["run", "--checkpoints", "all", "train.py", "seed=4"]);
    assert_eq!(broken.code, Some(0), "the script ends as it always does: {broken:?}");
    assert!(broken.stderr.contains("'much'"), "{broken:?}");
    let refused = project.afterlog(&["gc"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("config.toml"), "{refused:?}");
    replays_equal_full_runs(&project, &[&["seed=1"], &["seed=2"]]);
}

#[test]
fn what_no_run_needs_goes_with_what_killed_replays_left() {
    let project = recorded(&[&["seed=1"], &["seed=2"]]);
    let first = project.run_ids()[0].clone();
    fs::remove_dir_all(project.path().join(".afterlog/runs").join(&first)).expect("removed");
    let scratch = project.path().join(".afterlog/jobs/0123456789/segments/0/scratch");
    fs::create_dir_all(scratch.join("project-upper")).expect("left behind");
    let packs = project.path().join(".afterlog/packs");
    project.write(".afterlog/packs/0123456789.pack-tmp", "half");
    project.afterlog(&["gc"]).ok();
    let names: Vec<String> =
        fs::read_dir(&packs).expect("packs").flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let second = format!("{}.pack", project.run_ids().pop().expect("a run"));
    assert_eq!(names, [second]);
    assert!(!scratch.exists());
    is_sound(&project);
}

#[test]
fn fsck_tells_a_checkpoint_that_is_gone_from_one_that_was_given_up() {
    let project = recorded(&[&["seed=1"]]);
    project.afterlog(&["gc", "--runs", "last", "--keep", "2"]).ok();
    is_sound(&project);
    let run = project.run_ids().pop().expect("a run");
    fs::remove_file(project.path().join(format!(".afterlog/packs/{run}.pack"))).expect("removed");
    let checked = project.afterlog(&["fsck"]);
    assert_eq!(checked.code, Some(3), "{checked:?}");
    assert!(checked.stdout.contains("is not whole"), "{checked:?}");
}

#[test]
fn gc_killed_at_any_moment_leaves_a_sound_store_whose_replays_are_right() {
    let runs: [&[&str]; 2] = [&["seed=1", "epochs=12"], &["seed=2", "epochs=12"]];
    let project = recorded(&runs);
    project.afterlog(&["runs"]).ok();
    let (store, saved) = (project.path().join(".afterlog"), project.home().join("saved"));
    let copy = |from: &Path, to: &Path| {
        project.run("rm", &["-rf", &to.display().to_string()]).ok();
        project.run("cp", &["-a", &from.display().to_string(), &to.display().to_string()]).ok();
    };
    copy(&store, &saved);
    let gc = || {
        let mut command = project.afterlog_command(&["gc", "--budget", "1"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
    };
    let begun = Instant::now();
    assert_eq!(gc().wait().expect("ends").code(), Some(1), "first and last stay, and are more than the budget");
    let took = begun.elapsed();
    let done = pack_bytes(&project);
    let mut changed = 0;
    for part in 0..16_u32 {
        copy(&saved, &store);
        let mut child = gc();
        std::thread::sleep(took * part / 16);
        child.kill().expect("killed");
        child.wait().expect("ended");
        changed += usize::from(pack_bytes(&project) != folder_bytes(&saved.join("packs")));
        is_sound(&project);
    }
    gc().wait().expect("ends");
    assert_eq!(pack_bytes(&project), done, "the next one finishes what was begun ({changed} had begun to remove)");
    replays_equal_full_runs(&project, &runs);
}

#[test]
fn gc_beside_runs_that_go_on_takes_nothing_from_them() {
    let runs: [&[&str]; 3] = [&["seed=1"], &["seed=1", "epochs=40"], &["seed=3", "epochs=40"]];
    let project = recorded(&runs[..1]);
    let mut training: Vec<_> = runs[1..]
        .iter()
        .map(|arguments| {
            let mut command =
                project.afterlog_command(&[&["run", "--checkpoints", "all", "train.py"][..], arguments].concat());
            let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
            // Ids are made in this order.
            std::thread::sleep(Duration::from_millis(20));
            child
        })
        .collect();
    let mut removed = 0;
    while training.iter_mut().any(|child| child.try_wait().expect("waited").is_none()) {
        // A run that has just ended is thinned; one that goes on is not.
        let report = project.afterlog(&["gc", "--runs", "..", "--keep", "2"]);
        removed += usize::from(report.code == Some(0));
    }
    assert!(removed > 1);
    for child in &mut training {
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("read");
        assert!(child.wait().expect("ended").success() && !said.contains("not kept"), "{said}");
    }
    is_sound(&project);
    replays_equal_full_runs(&project, &runs);
}

#[test]
fn a_replay_planned_before_gc_goes_back_to_an_earlier_state() {
    let runs: [&[&str]; 1] = [&["seed=5"]];
    let project = recorded(&runs);
    project.write("train.py", format!("{SCRIPT}{STATEMENT}"));
    let plan = project.afterlog(&["replay", "first", "--iters", "epoch=6", "--dry-run", "--format", "json"]).ok();
    let plan: Value = serde_json::from_str(&plan).expect("a plan");
    assert_eq!(plan["segments"][0]["steps"].as_array().map(Vec::len), Some(1), "{plan}");
    project.afterlog(&["gc", "--runs", "last", "--keep", "2"]).ok();
    // The plan is started as it was made.
    let job = plan["job"].as_str().expect("a job");
    let folder = project.path().join(".afterlog/jobs").join(job);
    fs::create_dir_all(&folder).expect("folder");
    project.write(&format!(".afterlog/jobs/{job}/plan.json"), plan.to_string());
    let lock = fs::File::create(folder.join("lock")).expect("lock");
    lock.lock().expect("locked");
    let performed = project.afterlog_command(&["__coordinate", job]).stdin(lock).status().expect("runs");
    assert!(performed.success());
    let steps = fs::read_to_string(folder.join("segments/0/order.json")).expect("what the script was told");
    let steps: Value = serde_json::from_str(&steps).expect("JSON");
    assert_eq!(steps["steps"].as_array().map(Vec::len), Some(6), "from the state after epoch 0: {steps}");
    let shown = json(&project, &["jobs", "show", job, "--json"]);
    let noted = shown["segments"][0]["notes"].to_string();
    let said = "cannot be restored: it is executed from iteration 1 on, 5 iterations more than planned";
    assert!(noted.contains(said), "{noted}");
    let csv = project.afterlog(&["grid", "first", "--verdicts", "--format", "csv"]).ok();
    assert!(csv.lines().any(|line| line.contains(",6,") && line.ends_with("verified")), "{csv}");
    replays_equal_full_runs(&project, &runs);
}

#[test]
fn a_long_run_is_kept_within_the_budget_before_it_ends() {
    // Some five megabytes of random numbers an epoch, and what the packs take when it ends.
    let script = "\
import os, random
import afterlog
random.seed(1)
weights = [random.random() for _ in range(500000)]
for epoch in afterlog.loop('epoch', range(14)):
    for step in afterlog.loop('step', range(1)):
        weights = [random.random() for _ in weights]
    folder = os.path.join(os.getcwd(), '.afterlog', 'packs')
    taken = 0
    for name in os.listdir(folder):
        try:
            taken += os.path.getsize(os.path.join(folder, name)) if name.endswith('.pack') else 0
        except FileNotFoundError:
            pass  # It is being replaced.
    afterlog.log('packs', taken)
    # here
";
    let project = TestProject::git();
    project.write("train.py", script);
    project.afterlog(&["runs"]).code.expect("ends");
    fs::create_dir_all(project.path().join(".afterlog")).expect("folder");
    project.write(".afterlog/config.toml", "budget = \"20MB\"\n");
    project.afterlog(&["run", "--checkpoints", "all", "train.py"]).ok();
    let csv = project.afterlog(&["grid", "packs", "--no-verdicts", "--format", "csv"]).ok();
    let sizes: Vec<u64> = csv.lines().skip(1).filter_map(|line| line.rsplit(',').next()?.parse().ok()).collect();
    assert_eq!(sizes.len(), 14, "{csv}");
    // The recorder is two checkpoints behind at most, and one may be on its way out.
    assert!(sizes.iter().all(|size| *size < 20_000_000 + 4 * 5_000_000), "{sizes:?}");
    assert!(pack_bytes(&project) <= 20_000_000);
    is_sound(&project);
    project.write("train.py", script.replace("# here", "afterlog.log('first', weights[0])"));
    project.afterlog(&["replay", "first", "--yes"]).code.expect("ends");
    project.afterlog(&["run", "--checkpoints", "off", "train.py"]).ok();
    let csv = project.afterlog(&["grid", "first", "--no-verdicts", "--format", "csv"]).ok();
    let values: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.rsplit(',').next()).collect();
    assert_eq!((values.len(), &values[..14]), (28, &values[14..]), "{csv}");
}
