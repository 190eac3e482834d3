//! Which interpreter replays a run, and how its packages differ from those that the run had.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::engine::given::Given;
use crate::engine::machine::{self, Machine};
use crate::engine::project::Project;
use crate::engine::record::find_python;
use crate::engine::{Error, facts, spawn};
use crate::model::plan::{Environment, PackageDifference, ReplayPlan, RunPlan, RunPlanState};
use crate::model::run::{Facts, RunMeta};

/// Decides for every run that a plan replays: its own interpreter if it is still there, else the one that would record
/// now, or the one asked for; the threads and GPUs that it computes with, and the variables given for it; and compares what is installed there with what the
/// run had.
///
/// # Errors
/// If the interpreter asked for does not start, or a run is not known.
pub(in crate::engine) fn settle(
    project: &Project,
    plan: &mut ReplayPlan,
    asked: Option<&Path>,
    given: &Given,
) -> Result<(), Error> {
    let asked = asked.map(|python| find_python(Some(python.as_os_str()))).transpose()?;
    let here = Machine::here();
    let mut todays: Option<Result<PathBuf, Error>> = None;
    let mut settled: Vec<(usize, Facts, Vec<PathBuf>)> = Vec::new();
    for (at, run) in plan.runs.iter_mut().enumerate().filter(|(_, run)| run.state == RunPlanState::Replay) {
        let meta = project.meta(&run.run)?;
        let (python, instead) = match &asked {
            Some(python) if *python == meta.python => (python.clone(), None),
            Some(python) => {
                (python.clone(), Some(format!("--python asks for another one than {}", meta.python.display())))
            }
            None if meta.python.exists() => (meta.python.clone(), None),
            None => {
                let gone = format!("its interpreter {} is gone", meta.python.display());
                match todays.get_or_insert_with(|| find_python(None)) {
                    Ok(python) => (python.clone(), Some(gone)),
                    // It fails alone, and says so.
                    Err(_) => (meta.python.clone(), None),
                }
            }
        };
        let facts = facts::read(&project.layout().run(&run.run));
        let devices = machine::devices(&facts, &meta, &here);
        let few = u32::try_from(here.gpus.len()).ok().filter(|few| devices.is_some_and(|wanted| *few < wanted));
        let threads = machine::threads(&facts, &meta, &here);
        let differences = Vec::new();
        let given = given.of_run(&meta);
        let found = Environment { python, instead, differences, threads, devices, devices_here: few, given };
        run.environment = Some(found);
        settled.push((at, facts, places(project.root(), &meta, run)));
    }
    compare(plan, &settled);
    Ok(())
}

/// Where a run's own modules are found beside those that are installed.
fn places(root: &Path, meta: &RunMeta, run: &RunPlan) -> Vec<PathBuf> {
    let script = root.join(&run.script);
    let mut places = vec![script.parent().unwrap_or(root).to_owned(), root.to_owned(), meta.cwd.clone()];
    let given = run.environment.iter().flat_map(|found| &found.given).find(|given| given.name == "PYTHONPATH");
    let path = given.map_or(meta.environment.get("PYTHONPATH"), |given| Some(&given.value));
    places.extend(path.iter().flat_map(std::env::split_paths));
    places
}

/// Asks each interpreter once, about all modules of all its runs.
fn compare(plan: &mut ReplayPlan, settled: &[(usize, Facts, Vec<PathBuf>)]) {
    let mut questions: BTreeMap<PathBuf, (BTreeSet<String>, BTreeSet<PathBuf>)> = BTreeMap::new();
    for (at, facts, places) in settled {
        let Some(environment) = &plan.runs[*at].environment else { continue };
        let (modules, folders) = questions.entry(environment.python.clone()).or_default();
        modules.extend(facts.packages.keys().cloned());
        folders.extend(places.iter().cloned());
    }
    let answers: BTreeMap<PathBuf, Installed> = questions
        .into_iter()
        .filter_map(|(python, (modules, folders))| Some((python.clone(), ask(&python, &modules, &folders)?)))
        .collect();
    for (at, facts, _) in settled {
        let Some(environment) = &mut plan.runs[*at].environment else { continue };
        // What cannot be asked cannot be started either, and says so then.
        let Some(installed) = answers.get(&environment.python) else { continue };
        environment.differences = differences(facts, installed);
    }
}

fn differences(facts: &Facts, installed: &Installed) -> Vec<PackageDifference> {
    let now = Facts {
        python: installed.python.clone(),
        implementation: installed.implementation.clone(),
        ..Facts::default()
    };
    let (recorded, now) = (facts.python_version(), now.python_version());
    let mut found = Vec::new();
    if !recorded.is_empty() && recorded != now {
        found.push(PackageDifference { name: "python".into(), recorded, now: Some(now) });
    }
    for (name, recorded) in &facts.packages {
        let now = match installed.modules.get(name) {
            // Modules of Python's own have versions of their own.
            None | Some(Module { found: true, version: None }) => continue,
            Some(Module { found: true, version: Some(version) }) if is_same(version, recorded) => continue,
            Some(Module { found: true, version }) => version.clone(),
            Some(Module { found: false, .. }) => None,
        };
        found.push(PackageDifference { name: name.clone(), recorded: recorded.clone(), now });
    }
    found
}

/// Whether what is installed is what a module said of itself: it may leave out the build (`2.5.1+cpu`), and numbers may
/// begin with zeros.
fn is_same(installed: &str, said: &str) -> bool {
    let plain = |version: &str| {
        let numbers = version.split('+').next().unwrap_or(version).split('.');
        numbers.map(|number| number.trim_start_matches('0').to_owned()).collect::<Vec<_>>()
    };
    installed == said || plain(installed) == plain(said) && !(installed.contains('+') && said.contains('+'))
}

/// What an interpreter has of the modules that it was asked about.
#[derive(Debug, Default, Deserialize)]
struct Installed {
    python: Vec<u32>,
    implementation: String,
    modules: BTreeMap<String, Module>,
}

#[derive(Debug, Deserialize)]
struct Module {
    found: bool,
    /// Of the distribution that it belongs to; `None` where it belongs to none.
    version: Option<String>,
}

fn ask(python: &Path, modules: &BTreeSet<String>, folders: &BTreeSet<PathBuf>) -> Option<Installed> {
    let question = serde_json::json!({ "modules": modules, "folders": folders }).to_string();
    // A literal of Python's, whatever the names hold.
    let question = serde_json::Value::from(question).to_string();
    let code = format!("question = {question}\n{CODE}");
    serde_json::from_str(&spawn::ask_python(python, &code).ok()?).ok()
}

/// Imports nothing of what it asks about. A module's distribution is found by its name, or by the list of its modules.
const CODE: &str = r#"
import json, sys
from importlib.machinery import PathFinder
question = json.loads(question)
try:
    from importlib import metadata
except ImportError:
    metadata = None
wanted, versions = set(question["modules"]), {}
for name in wanted if metadata else ():
    try:
        versions[name] = metadata.version(name)
    except Exception:
        pass
if metadata and len(versions) < len(wanted):
    for distribution in metadata.distributions():
        try:
            for name in (distribution.read_text("top_level.txt") or "").split():
                if name in wanted:
                    versions.setdefault(name, distribution.version)
        except Exception:
            pass
sys.path += question["folders"]

def found(name):
    if name in sys.builtin_module_names or name in sys.modules:
        return True
    try:
        return PathFinder.find_spec(name) is not None or any(
            finder.find_spec(name, None) is not None for finder in sys.meta_path if hasattr(finder, "find_spec"))
    except Exception:
        return True

print(json.dumps({
    "python": sys.version_info[:3],
    "implementation": sys.implementation.name,
    "modules": {name: {"found": found(name), "version": versions.get(name)} for name in wanted},
}))
"#;

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn versions_are_the_same_whether_or_not_the_build_is_told() {
        assert!(is_same("2.5.1", "2.5.1+cpu") && is_same("1.0", "1.0") && is_same("2026.5.20", "2026.05.20"));
        assert!(!is_same("2.5.1+cu121", "2.5.1+cpu") && !is_same("2.5.1", "2.5.2") && !is_same("1.10", "1.1"));
    }
}
