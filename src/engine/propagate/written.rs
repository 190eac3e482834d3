//! Log statements that the user writes beside a script: no file changes, the probe keeps the text with the statement.

use std::collections::BTreeMap;

use crate::analysis::propagate::{Drafted, Misfit, Wish, draft, readable, spot, statement_end};
use crate::analysis::python;
use crate::base::ids::RunId;
use crate::engine::project::Project;
use crate::engine::propagate::correct::now_ms;
use crate::engine::{Error, probes};
use crate::model::probe::{Probe, Spot};

/// A log statement for a place of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub name: String,
    pub expression: String,
    /// By its path in the project.
    pub script: String,
    /// The run in whose version the place is; `None`: in the script as it is today.
    pub version: Option<RunId>,
    pub place: Wish,
}

/// A statement tried at its place, and what there is to know for writing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub result: Result<Drafted, Misfit>,
    /// The script without the statement, and where it is to stand.
    pub text: String,
    pub spot: Option<Spot>,
    /// What can be read there, nearest first.
    pub readable: Vec<String>,
    /// Whether a probe of that name would be replaced.
    pub replaces: bool,
}

/// Tries a statement at its place. Nothing is kept.
///
/// # Errors
/// If the script cannot be read, or no run executed it.
pub fn try_out(project: &Project, written: &Written) -> Result<Tried, Error> {
    let text = text_of(project, written)?;
    let replaces = probes::named(project.layout(), &written.name).is_ok_and(|probe| probe.is_some());
    let place = place(&text, written.place);
    let spot = place.as_ref().ok().copied();
    let readable = spot.map(|spot| readable(&text, spot)).unwrap_or_default();
    let result = match place {
        Ok(spot) => drafted(project, written, &text, spot)?,
        Err(what) => Err(Misfit { what, at: None }),
    };
    Ok(Tried { result, text, spot, readable, replaces })
}

/// Keeps a statement as a probe. One of its name is replaced if `replace` says so, with all that was decided about it.
///
/// # Errors
/// If it cannot stand there, there is such a probe, or the store cannot be written.
pub fn add(project: &Project, written: &Written, replace: bool) -> Result<Probe, Error> {
    let text = text_of(project, written)?;
    let (name, script) = (written.name.clone(), written.script.clone());
    let refused = |misfit: Misfit| Error::CannotLog { name: name.clone(), script: script.clone(), misfit };
    let spot = place(&text, written.place).map_err(|what| refused(Misfit { what, at: None }))?;
    let drafted = drafted(project, written, &text, spot)?.map_err(refused)?;
    let sources = BTreeMap::from([(script.clone(), drafted.text)]);
    let made = Probe { name: name.clone(), added_ms: now_ms(), sources, corrections: Vec::new() };
    probes::change(project.layout(), &name, |probe| {
        if probe.is_some() && !replace {
            return Err(Error::ProbeExists { name: name.clone() });
        }
        *probe = Some(made.clone());
        Ok(())
    })?;
    Ok(made)
}

/// The text in which the place is.
fn text_of(project: &Project, written: &Written) -> Result<String, Error> {
    let known = project.scripts()?;
    if !known.contains(&written.script) {
        let (script, known) = (written.script.clone(), known.into_iter().collect());
        return Err(Error::NotRecorded { script, known });
    }
    let text = match &written.version {
        Some(run) => project.source(run, &written.script)?,
        None => project.worktree_source(&written.script)?,
    };
    text.ok_or_else(|| Error::NoScript { path: project.root().join(&written.script), near: None })
}

/// The place that is meant. A line within a statement means the place after it.
fn place(text: &str, wish: Wish) -> Result<Spot, String> {
    let found = spot(text, wish);
    match (&found, wish) {
        (Err(_), Wish::After(line, None)) => match statement_end(text, line) {
            Some(last) if last != line => spot(text, Wish::After(last, None)),
            _ => found,
        },
        _ => found,
    }
}

/// As [`draft`]; not for a name that today's script logs itself, whose statement would be taken instead.
fn drafted(project: &Project, written: &Written, text: &str, spot: Spot) -> Result<Result<Drafted, Misfit>, Error> {
    let today = project.worktree_source(&written.script)?.unwrap_or_default();
    let theirs = python::log_statements(&today).into_iter().find(|statement| statement.name == written.name);
    if let Some(theirs) = theirs {
        let line = theirs.first_line;
        let what = format!("line {line} of today's {} logs '{}': choose another name", written.script, written.name);
        return Ok(Err(Misfit { what, at: None }));
    }
    Ok(draft(text, &written.name, &written.expression, spot))
}
