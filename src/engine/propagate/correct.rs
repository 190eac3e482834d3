//! What the user decides about single placements: kept with the probe, and tried before it is kept.

use std::collections::BTreeMap;

use crate::analysis::propagate::{Wish, around, further, spot};
use crate::analysis::python;
use crate::base::ids::RunId;
use crate::engine::progress::Waiting;
use crate::engine::project::Project;
use crate::engine::propagate::{Preview, history, placement_of, preview, preview_with};
use crate::engine::{Error, probes};
use crate::model::probe::{Choice, Correction, PlacementStatus, Probe, Spot};

/// How many places in a row are tried when a statement is moved by one.
const STEPS: usize = 12;

/// Where a user wants a statement in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// At a place of the version's text.
    To(Wish),
    /// To one of the other places that a preview names, from 1.
    Alternative(usize),
    /// To the next place in reading order where it can stand.
    Down,
    /// To the one before.
    Up,
    /// Where it stands.
    Here,
}

/// The probe of a name as it is, or as it would be added now.
///
/// # Errors
/// If no script of the working tree logs the name, or the store cannot be read.
pub(in crate::engine) fn probe_of(project: &Project, name: &str) -> Result<Probe, Error> {
    let known = probes::named(project.layout(), name)?;
    let mut probe = known.unwrap_or_else(|| Probe {
        name: name.to_owned(),
        added_ms: now_ms(),
        sources: BTreeMap::new(),
        corrections: Vec::new(),
    });
    let (mut logged, mut all) = (false, Vec::new());
    for script in project.scripts()? {
        let Some(text) = project.worktree_source(&script)? else { continue };
        let names: Vec<String> = python::log_statements(&text).into_iter().map(|statement| statement.name).collect();
        if names.iter().any(|known| known == name) {
            probe.sources.insert(script, text);
            logged = true;
        }
        all.extend(names);
    }
    if !logged && probe.sources.is_empty() {
        return Err(Error::UnknownStatement { name: name.to_owned(), similar: project.similar_names(name, &all) });
    }
    Ok(probe)
}

pub(super) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Moves a statement in the version of a run, where it may log an `expression` of its own; without one it logs there what
/// it did. Nothing is kept where it cannot stand there.
///
/// # Errors
/// If the place is none, or the store cannot be written.
pub fn move_to(
    project: &Project,
    name: &str,
    run: &RunId,
    statement: Option<usize>,
    wanted: Move,
    expression: Option<&str>,
) -> Result<Preview, Error> {
    let looked_at = look(project, name, run)?;
    let statement = the_statement(&looked_at, name, statement)?;
    let refused = |reason: String| Error::NoPlace { name: name.to_owned(), run: run.clone(), reason };
    let placement = placement_of(&looked_at, name, statement);
    if placement.is_some_and(|placement| placement.status == PlacementStatus::AlreadyThere) {
        return Err(refused("the run logged it itself".to_owned()));
    }
    let text = project.source(run, &looked_at.script)?.unwrap_or_default();
    let spots = match wanted {
        Move::To(wish) => vec![spot(&text, wish).map_err(&refused)?],
        Move::Alternative(number) => {
            let known = placement.map(|placement| &placement.alternatives[..]).unwrap_or_default();
            let other = number.checked_sub(1).and_then(|at| known.get(at));
            let other = other.ok_or_else(|| refused(format!("it has {} other places", known.len())))?;
            vec![Spot { after_line: other.after_line, column: other.column }]
        }
        Move::Here => {
            let here = placement.and_then(|placement| Some((placement.after_line?, placement.column?)));
            let (after_line, column) = here.ok_or_else(|| refused("it stands nowhere yet".to_owned()))?;
            vec![Spot { after_line, column }]
        }
        Move::Down | Move::Up => {
            let here = placement.and_then(|placement| Some((placement.after_line?, placement.column?)));
            let (after_line, column) = here.ok_or_else(|| refused("it stands nowhere to be moved from".to_owned()))?;
            let mut further = further(&text, Spot { after_line, column }, wanted == Move::Down);
            further.truncate(STEPS);
            further
        }
    };
    // Where several will do, the first at which it can stand; if none, the nearest says why.
    let expression = match expression {
        Some(expression) => Some(expression.to_owned()),
        None => known_expression(project, name, &looked_at.script, &text, statement)?,
    };
    let mut why = None;
    for spot in spots {
        match try_at(project, &looked_at, (name, statement), &text, (spot, expression.clone()))? {
            Ok((tried, made)) => {
                keep(project, name, &[made])?;
                return Ok(tried);
            }
            Err(reason) => drop(why.get_or_insert(reason)),
        }
    }
    Err(refused(why.unwrap_or_else(|| "there is no further place".to_owned())))
}

/// What the user has a statement log in a version, if that was decided before.
fn known_expression(
    project: &Project,
    name: &str,
    script: &str,
    text: &str,
    statement: usize,
) -> Result<Option<String>, Error> {
    let (known, target) = (probes::named(project.layout(), name)?, history::hash(text));
    let made = known.iter().flat_map(|probe| &probe.corrections).rev();
    let mut same = made.filter(|one| (one.script.as_str(), &one.target, one.statement) == (script, &target, statement));
    Ok(same.next().and_then(|one| one.expression.clone()))
}

/// What comes of a decision to put a statement at a place; or why it cannot stand there.
fn try_at(
    project: &Project,
    looked_at: &Preview,
    (name, statement): (&str, usize),
    text: &str,
    (spot, expression): (Spot, Option<String>),
) -> Result<Result<(Preview, Correction), String>, Error> {
    let run = &looked_at.run;
    let (script, target, around) = (looked_at.script.clone(), history::hash(text), around(text, spot));
    let choice = Choice::Moved(spot);
    let made = Correction { run: run.clone(), script, target, statement, choice, expression, around };
    let mut probe = probe_of(project, name)?;
    take(&mut probe, &made);
    let tried = preview_with(
        project,
        &[name.to_owned()],
        std::slice::from_ref(run),
        &one(probe),
        Waiting::patiently(),
        &|_, found| found,
    )?;
    let tried = tried.into_iter().next().ok_or_else(|| Error::UnknownRun(run.to_string()))?;
    match placement_of(&tried, name, statement) {
        Some(placement) if placement.status.is_placed() => Ok(Ok((tried, made))),
        other => {
            let reason = other.and_then(|placement| placement.reasons.first().cloned()).unwrap_or_default();
            let said = format!("{}, but ", history::said(&made));
            Ok(Err(reason.strip_prefix(&said).unwrap_or(&reason).to_owned()))
        }
    }
}

/// Leaves a name out of the versions of some runs.
///
/// # Errors
/// If a run's script does not log it, or the store cannot be written.
pub fn exclude(project: &Project, name: &str, runs: &[RunId], statement: Option<usize>) -> Result<(), Error> {
    decide(project, name, runs, statement, Choice::Excluded)
}

/// Takes back what was decided about the versions of some runs (`None`: about all), and gives how many decisions that
/// were. A run for which another one's decision holds is then left as it is found.
///
/// # Errors
/// If the store cannot be read or written.
pub fn reset(project: &Project, name: &str, runs: Option<&[RunId]>) -> Result<usize, Error> {
    let known = probes::named(project.layout(), name)?.ok_or_else(|| project.unknown_probe(name))?;
    let before = known.corrections.len();
    let Some(runs) = runs else {
        probes::change(project.layout(), name, |probe| {
            probe.iter_mut().for_each(|probe| probe.corrections.clear());
            Ok(())
        })?;
        return Ok(before);
    };
    let mut targets = Vec::new();
    for looked_at in preview(project, &[name.to_owned()], runs)? {
        let text = project.source(&looked_at.run, &looked_at.script)?.unwrap_or_default();
        targets.push((looked_at.run, looked_at.script, history::hash(&text)));
    }
    let about = |one: &Correction| targets.iter().any(|(_, script, hash)| one.script == *script && one.target == *hash);
    let taken_back = known.corrections.iter().filter(|one| about(one)).count();
    probes::change(project.layout(), name, |probe| {
        probe.iter_mut().for_each(|probe| probe.corrections.retain(|one| !about(one)));
        Ok(())
    })?;
    let mut inherited = Vec::new();
    for looked_at in preview(project, &[name.to_owned()], runs)? {
        let placements = &looked_at.propagation.placements;
        for ((_, statement), placement) in history::numbers(placements).into_iter().zip(placements) {
            let target = targets.iter().find(|(run, ..)| placement.decided_in.is_some() && *run == looked_at.run);
            let Some((run, script, target)) = target.cloned() else { continue };
            inherited.push(Correction {
                run,
                script,
                target,
                statement,
                choice: Choice::AsFound,
                expression: None,
                around: None,
            });
        }
    }
    keep(project, name, &inherited)?;
    Ok(taken_back + inherited.len())
}

fn decide(
    project: &Project,
    name: &str,
    runs: &[RunId],
    statement: Option<usize>,
    choice: Choice,
) -> Result<(), Error> {
    let mut made = Vec::new();
    for run in runs {
        let looked_at = look(project, name, run)?;
        let statement = the_statement(&looked_at, name, statement)?;
        let text = project.source(run, &looked_at.script)?.unwrap_or_default();
        let placement = placement_of(&looked_at, name, statement);
        let place =
            placement.and_then(|placement| Some(Spot { after_line: placement.after_line?, column: placement.column? }));
        let around = place.and_then(|place| around(&text, place));
        let (script, target) = (looked_at.script, history::hash(&text));
        made.push(Correction { run: run.clone(), script, target, statement, choice, expression: None, around });
    }
    keep(project, name, &made)
}

fn look(project: &Project, name: &str, run: &RunId) -> Result<Preview, Error> {
    let looked_at = preview(project, &[name.to_owned()], std::slice::from_ref(run))?;
    let reason = "its script does not log that name today".to_owned();
    looked_at.into_iter().next().ok_or_else(|| Error::NoPlace { name: name.to_owned(), run: run.clone(), reason })
}

/// Which of several statements of one name is meant.
fn the_statement(preview: &Preview, name: &str, number: Option<usize>) -> Result<usize, Error> {
    let lines: Vec<u32> = preview
        .propagation
        .placements
        .iter()
        .filter(|placement| placement.name == name)
        .map(|placement| placement.source_line)
        .collect();
    match number {
        None if lines.len() <= 1 => Ok(0),
        Some(number) if (1..=lines.len()).contains(&number) => Ok(number - 1),
        _ => Err(Error::WhichStatement { name: name.to_owned(), lines }),
    }
}

fn one(probe: Probe) -> BTreeMap<String, Probe> {
    BTreeMap::from([(probe.name.clone(), probe)])
}

/// What was decided before about the same statement in the same text is no longer wanted.
fn take(probe: &mut Probe, made: &Correction) {
    let same =
        |one: &Correction| (&one.script, &one.target, one.statement) == (&made.script, &made.target, made.statement);
    probe.corrections.retain(|one| !same(one));
    probe.corrections.push(made.clone());
}

fn keep(project: &Project, name: &str, made: &[Correction]) -> Result<(), Error> {
    if made.is_empty() {
        return Ok(());
    }
    let as_added = probe_of(project, name)?;
    probes::change(project.layout(), name, |probe| {
        let probe = probe.get_or_insert(as_added);
        made.iter().for_each(|one| take(probe, one));
        Ok(())
    })
}
