//! Places the working tree's log statements into the versions of recorded runs, and what the user has to say about it.

mod cache;
mod correct;
mod history;
mod written;

use std::collections::{BTreeMap, HashMap, HashSet};

pub(in crate::engine) use correct::probe_of;
pub use correct::{Move, exclude, move_to, reset};
pub use written::{Tried, Written, add, try_out};

use crate::analysis::propagate::{on_own_lines, propagate_names};
use crate::analysis::python;
use crate::base::ids::RunId;
use crate::engine::progress::Waiting;
use crate::engine::project::Project;
use crate::engine::propagate::cache::Cache;
use crate::engine::propagate::history::Statements;
use crate::engine::{Error, probes};
use crate::model::probe::{LogStatement, Placement, Probe, Propagation};
use crate::model::run::RunSummary;
use crate::model::source::VersionId;

/// A log statement of the working tree, or of a probe, that some runs lack.
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

/// The log statements of the working tree's scripts, and those that probes keep, that not every run of the script logged.
///
/// # Errors
/// If the store or a script cannot be read.
pub fn hindsight(project: &Project) -> Result<Vec<HindsightStatement>, Error> {
    let runs = project.runs()?;
    let mut by_script: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for run in &runs {
        by_script.entry(&run.script).or_default().push(&run.names);
    }
    // One that is damaged is told where it is asked for.
    let (probes, _) = probes::all(project.layout())?;
    let mut found: Vec<HindsightStatement> = Vec::new();
    for (script, logged) in by_script {
        let today = project.worktree_source(script)?.map(|text| python::log_statements(&text)).unwrap_or_default();
        let kept = probes.iter().flat_map(|probe| {
            let text = probe.sources.get(script);
            let statements = text.map(|text| python::log_statements(text)).unwrap_or_default();
            statements.into_iter().filter(|statement| statement.name == probe.name)
        });
        for statement in today.into_iter().chain(kept) {
            let lacking_runs = logged.iter().filter(|names| !names.contains(&statement.name)).count();
            let known = found.iter().any(|h| h.script == script && h.statement.name == statement.name);
            if lacking_runs > 0 && !known {
                found.push(HindsightStatement { script: script.to_owned(), statement, lacking_runs });
            }
        }
    }
    Ok(found)
}

/// Places the statements that log these names into the versions of these runs; runs of one text of the script share the
/// work. Runs whose script logs none of the names in the working tree are left out. Stored probes bring what the user
/// corrected, and the statement itself where the working tree has lost it.
///
/// # Errors
/// If a name is logged by no script of the working tree nor kept, or a version or a probe cannot be read.
pub fn preview(project: &Project, names: &[String], runs: &[RunId]) -> Result<Vec<Preview>, Error> {
    preview_unless(project, names, runs, Waiting::patiently())
}

/// The same, until nobody waits for it any more.
///
/// # Errors
/// As [`preview`], and if it is over.
pub fn preview_unless(
    project: &Project,
    names: &[String],
    runs: &[RunId],
    waiting: Waiting<'_>,
) -> Result<Vec<Preview>, Error> {
    preview_with(project, names, runs, &known(project, names)?, waiting, &|_, found| found)
}

/// The same, with texts to be executed.
///
/// # Errors
/// As [`preview_unless`].
pub(in crate::engine) fn executable(
    project: &Project,
    names: &[String],
    runs: &[RunId],
    waiting: Waiting<'_>,
) -> Result<Vec<Preview>, Error> {
    preview_with(project, names, runs, &known(project, names)?, waiting, &on_own_lines)
}

fn known(project: &Project, names: &[String]) -> Result<BTreeMap<String, Probe>, Error> {
    let mut known = BTreeMap::new();
    for name in names {
        known.extend(probes::named(project.layout(), name)?.map(|probe| (name.clone(), probe)));
    }
    Ok(known)
}

/// As [`preview`], with these probes instead of those stored; what is found goes through `finish`, with its target.
fn preview_with(
    project: &Project,
    names: &[String],
    runs: &[RunId],
    probes: &BTreeMap<String, Probe>,
    waiting: Waiting<'_>,
    finish: &dyn Fn(&str, Propagation) -> Propagation,
) -> Result<Vec<Preview>, Error> {
    let summaries = project.runs()?;
    let sources = sources(project, &summaries, names, probes)?;
    let cache = Cache::new(project);
    let runs: HashSet<&RunId> = runs.iter().collect();
    let mut placed: HashMap<RunId, Preview> = HashMap::new();
    for (script, (source, names)) in &sources {
        let of_script: Vec<&RunSummary> = summaries.iter().filter(|summary| summary.script == *script).collect();
        let Some(oldest) = of_script.iter().position(|summary| runs.contains(&summary.id)) else { continue };
        let (chain, at) = chain(project, script, &of_script[oldest..])?;
        let statements = Statements { script, source, names, probes };
        let Some(found) = history::place(&statements, &chain, &cache, waiting) else {
            // What was found is found again at once.
            cache.keep();
            return Err(Error::Stopped);
        };
        // Of many runs a few texts.
        let mut finished: HashMap<usize, Propagation> = HashMap::new();
        for summary in of_script.iter().filter(|summary| runs.contains(&summary.id)) {
            let at = at[&summary.version];
            let propagation = finished.entry(at).or_insert_with(|| {
                let mut propagation = finish(&chain[at], found[at].clone());
                // Bytes that are not UTF-8 could not be written back.
                if chain[at].contains(char::REPLACEMENT_CHARACTER) {
                    propagation = propagation.refused("the file is not UTF-8 text", &chain[at]);
                }
                propagation.placements.iter_mut().for_each(|placement| placement.edits.clear());
                propagation
            });
            let (run, script, propagation) = (summary.id.clone(), script.clone(), propagation.clone());
            let preview = Preview { run, script, propagation };
            placed.insert(summary.id.clone(), preview);
        }
    }
    cache.keep();
    Ok(summaries.iter().filter_map(|summary| placed.remove(&summary.id)).collect())
}

/// For each script the text to take the statements from, and the names that it logs.
fn sources(
    project: &Project,
    runs: &[RunSummary],
    names: &[String],
    probes: &BTreeMap<String, Probe>,
) -> Result<BTreeMap<String, (String, Vec<String>)>, Error> {
    let (mut sources, mut known, mut found) = (BTreeMap::new(), Vec::new(), Vec::new());
    for run in runs {
        if sources.contains_key(&run.script) {
            continue;
        }
        let text = project.worktree_source(&run.script)?.unwrap_or_default();
        let logged: Vec<String> = python::log_statements(&text).into_iter().map(|statement| statement.name).collect();
        let (here, lacking): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| logged.contains(name));
        known.extend(logged);
        let source = with_kept(&run.script, text, here, &lacking, probes);
        found.extend(source.1.iter().cloned());
        sources.insert(run.script.clone(), source);
    }
    if let Some(name) = names.iter().find(|name| !found.contains(name)) {
        let similar = project.similar_names(name, &known);
        return Err(Error::UnknownStatement { name: name.clone(), similar });
    }
    sources.retain(|_, (_, names)| !names.is_empty());
    Ok(sources)
}

/// A script's text with the statements that it has lost, as far as probes kept them.
fn with_kept(
    script: &str,
    text: String,
    mut here: Vec<String>,
    lacking: &[String],
    probes: &BTreeMap<String, Probe>,
) -> (String, Vec<String>) {
    let mut text = text;
    for name in lacking {
        let Some(kept) = probes.get(name).and_then(|probe| probe.sources.get(script)) else { continue };
        if here.is_empty() {
            text.clone_from(kept);
            here.push(name.clone());
            continue;
        }
        // Several statements have to come from one text.
        let joined = propagate_names(kept, std::slice::from_ref(name), &text);
        if joined.placements.iter().all(|placement| placement.status.is_placed()) {
            text = joined.text;
            here.push(name.clone());
        }
    }
    (text, here)
}

/// The different texts of a script, the one that was recorded last first, and where each version's is.
fn chain(
    project: &Project,
    script: &str,
    runs: &[&RunSummary],
) -> Result<(Vec<String>, HashMap<VersionId, usize>), Error> {
    let versions = project.versions()?;
    let (mut chain, mut at) = (Vec::new(), HashMap::new());
    let mut places: HashMap<String, usize> = HashMap::new();
    for run in runs.iter().rev() {
        if at.contains_key(&run.version) {
            continue;
        }
        let bytes = versions.read_file(&run.version, script)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let place = *places.entry(text).or_insert_with_key(|text| {
            chain.push(text.clone());
            chain.len() - 1
        });
        at.insert(run.version.clone(), place);
    }
    Ok((chain, at))
}

/// The statement's placement among those of its name.
fn placement_of<'p>(preview: &'p Preview, name: &str, statement: usize) -> Option<&'p Placement> {
    preview.propagation.placements.iter().filter(|placement| placement.name == name).nth(statement)
}
