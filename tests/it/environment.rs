//! With which interpreter and packages a run is replayed, what is said of it, and what a failure for want of one suggests.

#![allow(clippy::disallowed_methods, reason = "tests make and remove an interpreter and its packages")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::env::{TestProject, python};
use crate::truth::values;

const SCRIPT: &str = "\
import afterlog
import gadget
total = 0.0
for epoch in afterlog.loop('epoch', range(3)):
    total += gadget.gain(epoch)
    afterlog.log('total', total)
";

/// An interpreter of its own in HOME, with a package `gadget` of this version.
fn interpreter(project: &TestProject, name: &str, version: &str) -> String {
    let venv = project.home().join(name);
    project.run(python(), &["-m", "venv", "--without-pip", venv.to_str().expect("UTF-8")]).ok();
    let interpreter = venv.join("bin/python").to_str().expect("UTF-8").to_owned();
    let line = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let site = project.run(&interpreter, &["-c", line]).ok();
    let site = Path::new(site.trim());
    let package = format!("__version__ = '{version}'\ndef gain(epoch):\n    return epoch + {version}\n");
    fs::write(site.join("gadget.py"), package).expect("written");
    let info = site.join(format!("gadget-{version}.dist-info"));
    fs::create_dir_all(&info).expect("folder");
    let metadata = format!("Metadata-Version: 2.1\nName: gadget\nVersion: {version}\n");
    fs::write(info.join("METADATA"), metadata).expect("written");
    interpreter
}

fn recorded(interpreter: &str, project: &TestProject) {
    project.write("train.py", SCRIPT);
    project.afterlog(&["run", interpreter, "train.py"]).ok();
    project.write("train.py", format!("{SCRIPT}    afterlog.log('twice', 2 * total)\n"));
}

fn planned(project: &TestProject, more: &[&str]) -> Value {
    let arguments = [&["replay", "twice", "--dry-run", "--format", "json"], more].concat();
    serde_json::from_str(&project.afterlog(&arguments).ok()).expect("a JSON plan")
}

#[test]
fn the_runs_own_interpreter_is_used_and_nothing_is_said_of_it() {
    let project = TestProject::git();
    let own = interpreter(&project, "own", "1.5");
    recorded(&own, &project);
    let plan = planned(&project, &[]);
    let environment = &plan["runs"][0]["environment"];
    assert_eq!(environment["python"], *own);
    assert_eq!(
        (&environment["instead"], &environment["differences"]),
        (&Value::Null, &serde_json::json!([])),
        "{plan}"
    );
    assert!(!project.afterlog(&["replay", "twice", "--dry-run"]).ok().contains("note:"));
    project.afterlog(&["replay", "twice", "--yes"]).ok();
}

#[test]
fn packages_that_changed_since_are_named_before_anything_runs_and_after_a_difference() {
    let project = TestProject::git();
    let own = interpreter(&project, "own", "1.5");
    recorded(&own, &project);
    fs::remove_dir_all(project.home().join("own")).expect("removed");
    interpreter(&project, "own", "2.5");
    let plan = project.afterlog(&["replay", "twice", "--dry-run"]).ok();
    assert!(plan.contains("its environment has changed: gadget 2.5 (the run had 1.5)"), "{plan}");
    let replayed = project.afterlog(&["replay", "twice", "--yes"]);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    assert!(replayed.stderr.contains("likely: gadget 1.5 is 2.5 now"), "{replayed:?}");
    let shown = project.afterlog(&["jobs", "show"]).ok();
    assert!(shown.contains("likely: gadget 1.5 is 2.5 now"), "{shown}");
    let job: Value = serde_json::from_str(&project.afterlog(&["jobs", "show", "--json"]).ok()).expect("JSON");
    let causes = job["segments"][0]["causes"].as_array().expect("causes");
    assert_eq!((causes.len(), &causes[0]["kind"]), (1, &Value::from("package")), "{job}");
}

#[test]
fn where_its_interpreter_is_gone_another_is_used_and_said_and_a_missing_package_fails_with_what_to_install() {
    let project = TestProject::git();
    let own = interpreter(&project, "own", "1.5");
    recorded(&own, &project);
    fs::rename(project.home().join("own"), project.home().join("moved")).expect("moved");
    let plan = project.afterlog(&["replay", "twice", "--dry-run"]).ok();
    assert!(plan.contains(&format!("its interpreter {own} is gone")), "{plan}");
    assert!(plan.contains("no gadget (the run had 1.5)"), "{plan}");
    let replayed = project.afterlog(&["replay", "twice", "--yes"]);
    assert_eq!(replayed.code, Some(4), "{replayed:?}");
    assert!(replayed.stderr.contains("ModuleNotFoundError"), "{replayed:?}");
    assert!(replayed.stderr.contains("-m pip install gadget==1.5"), "{replayed:?}");

    // The one asked for, which is a link here, has what it takes.
    let other = project.home().join("other");
    symlink(project.home().join("moved"), &other).expect("linked");
    let other = other.join("bin/python").to_str().expect("UTF-8").to_owned();
    let plan = planned(&project, &["--python", &other]);
    assert_eq!(plan["runs"][0]["environment"]["python"], *other);
    assert_eq!(plan["runs"][0]["environment"]["differences"], serde_json::json!([]), "{plan}");
    let replayed = project.afterlog(&["replay", "twice", "--yes", "--python", &other]).ok();
    assert!(replayed.contains("--python asks for another one") && replayed.contains("1 verified"), "{replayed}");
    let missing = project.afterlog(&["replay", "total", "--python", "/nonexistent/python"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
}

#[test]
fn variables_that_decide_are_as_they_were_in_the_run() {
    let project = TestProject::git();
    let script = "\
import os
import afterlog
for epoch in afterlog.loop('epoch', range(2)):
    afterlog.log('threads', str(os.environ.get('OMP_NUM_THREADS')) + str(os.environ.get('MKL_NUM_THREADS')))
";
    project.write("train.py", script);
    let output = project.afterlog_command(&["run", "train.py"]).env("OMP_NUM_THREADS", "3").output().expect("starts");
    assert!(output.status.success());
    project.write("train.py", format!("{script}    afterlog.log('epoch_', epoch)\n"));
    let mut command = project.afterlog_command(&["replay", "epoch_", "--yes"]);
    command.env("OMP_NUM_THREADS", "1").env("MKL_NUM_THREADS", "1");
    let output = command.output().expect("starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// All that lies in files below a folder, also what is compressed there.
fn kept(folder: &Path, found: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry")) {
        if entry.file_type().expect("kind").is_dir() {
            kept(&entry.path(), found);
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap_or_default();
        found.extend(&bytes);
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        for (at, _) in bytes.windows(4).enumerate().filter(|(_, found)| *found == magic) {
            if let Ok(mut frame) = zstd::Decoder::new(&bytes[at..]).map(zstd::Decoder::single_frame) {
                // What was read before an error is there.
                let _ = frame.read_to_end(found);
            }
        }
    }
}

/// Records a script that does this in its steps, where the environment has a secret; whether the store holds a text, and
/// what is shown of the run.
fn recorded_beside_a_secret(before: &str, inner: &str) -> (TestProject, impl Fn(&str) -> bool, String) {
    let project = TestProject::git();
    let script = format!(
        "import os, afterlog\nenv = os.environ\nclass T:\n    pass\nt = T()\nt.w = 0\n{before}\n\
         for epoch in afterlog.loop('epoch', range(6)):\n    for step in afterlog.loop('step', range(3)):\n        \
         t.w += 1\n        {inner}\n    afterlog.log('w', t.w)\n"
    );
    project.write("train.py", &script);
    let mut run = project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
    let output = run.env("OUTER_PASSWORD", "outer-passed").output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    let shown = project.afterlog(&["show", "last"]).ok();
    let mut found = Vec::new();
    kept(&project.path(), &mut found);
    kept(&project.home(), &mut found);
    project.write("train.py", format!("{script}    afterlog.log('seen', len(os.environ.get('SEEN', '')))\n"));
    project.afterlog(&["replay", "seen", "--iters", "epoch=3", "--yes"]).ok();
    (project, move |text: &str| found.windows(text.len()).any(|part| part == text.as_bytes()), shown)
}

#[test]
fn what_is_secret_in_the_environment_never_reaches_the_store() {
    // Held by a variable, an object, a method and a function of the state: what the loop sets is there, and nothing else.
    let (before, inner) = (
        "t.env, t.get = env, env.get\nt.f = (lambda e: lambda: e['SEEN'])(env)",
        "env['SEEN'] = t.get('SEEN', '') + 'xo'; t.f()",
    );
    let (project, holds, shown) = recorded_beside_a_secret(before, inner);
    assert!(!shown.contains("note:") && shown.contains("checkpoints  12 ("), "{shown}");
    assert!(holds("xoxoxoxo") && !holds("outer-passed"), "{shown}");
    assert!(values(&project, &["seen"]).contains(&"3,24".to_owned()), "{shown}");
    // A copy of it.
    let (_, holds, shown) = recorded_beside_a_secret("", "t.copied = dict(env, SEEN='xo' * t.w)");
    assert!(!holds("outer-passed"), "{shown}");
    assert!(shown.contains("a copy of the environment"), "{shown}");
    // Set by the loop: from then on there is no checkpoint, or a replay would lack it.
    let inner = "env['HF_Token'] = '-'.join(['inner', str(t.w), 'token']); env['SEEN'] = 'x' * int(env['HF_Token'].split('-')[1])";
    let (project, holds, shown) = recorded_beside_a_secret("", inner);
    assert!(!holds("-token") && !holds("outer-passed"), "{shown}");
    assert!(shown.contains("epoch sets HF_Token in the environment") && shown.contains("checkpoints  0"), "{shown}");
    assert!(values(&project, &["seen"]).contains(&"3,12".to_owned()), "{shown}");
}

const BY_VARIABLES: &str = "\
import os
import afterlog
lr = float(os.environ.get('LR', '0.1'))
total = 0.0
for epoch in afterlog.loop('epoch', range(2)):
    for step in afterlog.loop('step', range(2)):
        total += lr
    afterlog.log('total', total)
";
const SECRETS: [(&str, &str); 3] = [
    ("MY_TOKEN", "mZ81xw-token-of-ada"),
    ("DATABASE", "postgres://ada:mZ81xw-of-the-database@db/runs"),
    ("SETTINGS", r#"{"password": "mZ81xw-within"}"#),
];

/// The script as it ran, and then with what it finds of other variables.
fn run_by_variables(project: &TestProject, rates: &[&str]) {
    project.write("train.py", BY_VARIABLES);
    for rate in rates {
        let mut command = project.afterlog_command(&["run", "--checkpoints", "all", "train.py"]);
        let output = command.env("LR", rate).envs(SECRETS).output().expect("starts");
        assert!(output.status.success(), "{output:?}");
    }
    let seen =
        "afterlog.log('seen', '/'.join([str(lr)] + [str(os.environ.get(n)) for n in ('LR', 'NEW', 'DATABASE')]))";
    project.write("train.py", format!("{BY_VARIABLES}    {seen}\n"));
}

/// All that is kept of the project's runs: files, versions, and what is compressed in them.
pub(crate) fn everything_kept(project: &TestProject) -> Vec<u8> {
    fn collect(folder: &std::path::Path, kept: &mut Vec<u8>) {
        for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("entry").path()) {
            if entry.is_dir() {
                collect(&entry, kept);
            } else if entry.is_file() {
                let bytes = fs::read(&entry).expect("readable");
                for at in 0..bytes.len() {
                    if bytes[at..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
                        // What only looks like a beginning gives nothing.
                        let frame = zstd::stream::read::Decoder::with_buffer(&bytes[at..]).expect("a decoder");
                        let _ = std::io::copy(&mut frame.single_frame(), kept);
                    }
                }
                kept.extend(bytes);
            }
        }
    }
    let mut kept = project.run("git", &["cat-file", "--batch-all-objects", "--batch"]).ok().into_bytes();
    collect(&project.path().join(".afterlog"), &mut kept);
    kept
}

pub(crate) fn holds(kept: &[u8], text: &str) -> bool {
    kept.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_a_script_takes_from_variables_is_the_runs_in_each_replay_and_secrets_are_kept_nowhere() {
    let project = TestProject::git();
    run_by_variables(&project, &["0.7", "0.3"]);
    let kept = everything_kept(&project);
    assert!(holds(&kept, "\"LR\": \"0.7\"") && holds(&kept, "os.environ.get('LR', '0.1')"), "all is looked at");
    for (name, value) in SECRETS {
        assert!(!holds(&kept, value), "{name}");
    }
    assert!(!holds(&kept, "mZ81xw"));

    let mut command = project.afterlog_command(&["replay", "seen", "--yes"]);
    let output = command.env("NEW", "1").env("DATABASE", "todays").output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(" verified") && !said.contains("unverified"), "{said}");
    let seen = values(&project, &["seen"]).join("\n");
    for rate in ["0.7", "0.3"] {
        assert_eq!(seen.matches(&format!("{rate}/{rate}/None/todays")).count(), 2, "{seen}");
    }
}

#[test]
fn a_run_that_kept_no_other_variables_is_replayed_with_todays() {
    let project = TestProject::git();
    run_by_variables(&project, &["0.7"]);
    let id = project.run_ids().remove(0);
    let path = format!(".afterlog/runs/{id}/meta.json");
    let mut meta: Value = serde_json::from_str(&project.read(&path)).expect("JSON");
    let others = meta.as_object_mut().expect("an object").remove("others").expect("kept");
    assert_eq!(others["kept"]["LR"], "0.7");
    assert_eq!(others["withheld"], serde_json::json!(["DATABASE", "SETTINGS"]));
    project.write(&path, meta.to_string());
    let mut command = project.afterlog_command(&["replay", "seen", "--yes"]);
    let output = command.env("LR", "0.7").env("NEW", "1").env("DATABASE", "todays").output().expect("starts");
    assert!(output.status.success(), "{output:?}");
    let seen = values(&project, &["seen"]).join("\n");
    assert_eq!(seen.matches("0.7/0.7/1/todays").count(), 2, "{seen}");
}
