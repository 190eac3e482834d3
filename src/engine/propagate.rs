//! Places the working tree's log statements into the versions of recorded runs.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::analysis::{propagate, python};
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::project::Project;
use crate::model::probe::{LogStatement, Propagation};

/// A log statement of the working tree that some runs lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HindsightStatement {
    /// The script it stands in, relative to the project's root.
    pub script: String,
    pub statement: LogStatement,
    /// How many runs of that script did not log its name.
    pub lacking_runs: usize,
}

/// Where the statements land in one run's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub run: RunId,
    pub script: String,
    pub propagation: Propagation,
}

/// The log statements of the working tree's scripts that not every run of the script logged.
///
/// # Errors
/// If the store or a script cannot be read.
pub fn hindsight(project: &Project) -> Result<Vec<HindsightStatement>, Error> {
    let runs = project.runs()?;
    let mut by_script: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for run in &runs {
        by_script.entry(&run.script).or_default().push(&run.names);
    }
    let mut found = Vec::new();
    for (script, logged) in by_script {
        let Some(text) = project.worktree_source(script)? else { continue };
        for statement in python::log_statements(&text) {
            let lacking_runs = logged.iter().filter(|names| !names.contains(&statement.name)).count();
            let known =
                found.iter().any(|h: &HindsightStatement| h.script == script && h.statement.name == statement.name);
            if lacking_runs > 0 && !known {
                found.push(HindsightStatement { script: script.to_owned(), statement, lacking_runs });
            }
        }
    }
    Ok(found)
}

/// Places the statements that log these names into the versions of these runs, in parallel; runs of one version and
/// script share the work. Runs whose script logs none of the names in the working tree are left out.
///
/// # Errors
/// If a name is logged by no script of the working tree, or a version cannot be read.
pub fn preview(project: &Project, names: &[String], runs: &[RunId]) -> Result<Vec<Preview>, Error> {
    let summaries = project.runs()?;
    let mut scripts: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let mut known: Vec<String> = Vec::new();
    for summary in &summaries {
        if scripts.contains_key(&summary.script) {
            continue;
        }
        let Some(text) = project.worktree_source(&summary.script)? else { continue };
        let logged: Vec<String> = python::log_statements(&text).into_iter().map(|statement| statement.name).collect();
        let wanted = names.iter().filter(|name| logged.contains(name)).cloned().collect();
        known.extend(logged);
        scripts.insert(summary.script.clone(), (text, wanted));
    }
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let similar = project.similar_names(name, &known);
        return Err(Error::UnknownStatement { name: name.clone(), similar });
    }
    // One target a version and script: their runs share the result.
    let mut targets: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut wanted_runs = Vec::new();
    for summary in summaries.iter().filter(|summary| runs.contains(&summary.id)) {
        if scripts.get(&summary.script).is_none_or(|(_, wanted)| wanted.is_empty()) {
            continue;
        }
        let key = (summary.version.0.clone(), summary.script.clone());
        if !targets.contains_key(&key) {
            targets.insert(key.clone(), project.source(&summary.id, &summary.script)?.unwrap_or_default());
        }
        wanted_runs.push((summary.id.clone(), key));
    }
    let placed: BTreeMap<&(String, String), Propagation> = targets
        .par_iter()
        .map(|(key, target)| {
            let (source, wanted) = &scripts[&key.1];
            let found = propagate::propagate_names(source, wanted, target);
            // Bytes that are not UTF-8 could not be written back.
            let whole = !target.contains(char::REPLACEMENT_CHARACTER);
            (key, if whole { found } else { found.refused("the file is not UTF-8 text", target) })
        })
        .collect();
    let result = wanted_runs.into_iter().map(|(run, key)| {
        let propagation = placed[&key].clone();
        Preview { run, script: key.1, propagation }
    });
    Ok(result.collect())
}
