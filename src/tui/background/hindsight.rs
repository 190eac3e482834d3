//! What concerns hindsight log statements: which there are, where they land, planning and starting their replay.

use std::sync::Arc;

use crate::analysis::propagate::{Misfit, Wish, draft as drafted, readable, spot};
use crate::analysis::query::Condition;
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::plan::{Iterations, ReplayRequest};
use crate::engine::progress::Waiting;
use crate::engine::project::Project;
use crate::engine::propagate::{Move, Preview, Written};
use crate::model::probe::Propagation;
use crate::tui::app::editor::Draft;
use crate::tui::app::placement::context;
use crate::tui::background::told;
use crate::tui::event::{Answer, Choice, Correction, PlanRequest, Request};

/// Of a statement that is to be rewritten where it stands nowhere.
const NO_LINE: &str = "after which line shall it stand?";

/// Does what a request about replay asks.
pub(super) fn perform(project: &Project, request: Request, waiting: Waiting<'_>) -> Result<Answer, String> {
    match request {
        Request::Preview { names, runs } => match project.preview_unless(&names, runs.as_deref(), waiting) {
            Err(Error::Stopped) => Ok(Answer::Nothing),
            placed => Ok(Answer::Preview(placed.map_err(told)?.into_iter().map(|p| (p.run, p.propagation)).collect())),
        },
        Request::Keep(written) => {
            // What it replaces was said in the editor.
            project.add_written(&written, true).map_err(told)?;
            Ok(Answer::Kept(written))
        }
        Request::Plan(wanted) => match project.plan_unless(&resolved(wanted)?, waiting) {
            Err(Error::Stopped) => Ok(Answer::Nothing),
            plan => Ok(Answer::Plan(Arc::new(plan.map_err(told)?))),
        },
        Request::Start(plan) => project.start(&plan).map(Answer::Started).map_err(told),
        Request::Cancel(job) => project.cancel(&job).map(|()| Answer::Cancelled(job)).map_err(told),
        _ => {
            let found = project.hindsight_names().map_err(told)?;
            Ok(Answer::Statements(found.into_iter().map(|h| h.statement).collect()))
        }
    }
}

fn resolved(wanted: PlanRequest) -> Result<ReplayRequest, String> {
    let iterations = match &wanted.iterations[..] {
        [] => None,
        [one] => Some(one.parse::<Iterations>().map_err(|error| error.to_string())?),
        _ => return Err("iterations of one loop only: epoch=0,4".into()),
    };
    let condition = match wanted.condition.as_str() {
        "" => None,
        text => Some(Condition::parse(text).map_err(|error| error.to_string())?),
    };
    let (names, runs, workers) = (wanted.names, wanted.runs, wanted.workers);
    Ok(ReplayRequest { names, runs, iterations, condition, workers, ..ReplayRequest::default() })
}

/// Tries a statement that is being written.
pub(super) fn draft(project: &Project, written: &Written, iterations: &str) -> Result<Answer, String> {
    let tried = project.try_written(written).map_err(told)?;
    let lines = |text: &str| u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    let around = match (&tried.result, tried.spot) {
        (Ok(drafted), Some(spot)) => {
            let own = lines(&drafted.statement);
            context(drafted.text.lines(), drafted.line, own, spot.after_line)
        }
        (_, Some(spot)) => context(tried.text.lines(), spot.after_line + 1, 0, spot.after_line),
        (_, None) => Vec::new(),
    };
    let result = tried.result.map(|drafted| drafted.doubts);
    let words: Vec<&str> = iterations.split_whitespace().collect();
    let iterations = match words[..] {
        [] => None,
        [one] => one.parse::<Iterations>().err().map(|error| error.to_string()),
        _ => Some("iterations of one loop only: epoch=0,4".to_owned()),
    };
    let after = tried.spot.map_or(0, |spot| spot.after_line);
    let (readable, replaces) = (tried.readable, tried.replaces);
    Ok(Answer::Draft(Arc::new(Draft { result, context: around, after, readable, replaces, iterations })))
}

/// Tries what a statement is to log in one version.
pub(super) fn redraft(project: &Project, correction: &Correction, script: &str) -> Result<Answer, String> {
    let Choice::Rewrite { expression, place } = &correction.choice else { return Ok(Answer::Nothing) };
    let text = project.source(&correction.run, script).map_err(told)?.unwrap_or_default();
    let lines = |text: &str| u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    // Where nothing can stand, too, the lines around are shown: they lead to where something can.
    let near = match place {
        Some(Wish::After(line, _)) => *line,
        Some(Wish::Before(line)) => line.saturating_sub(1),
        None => 0,
    };
    let place = place.ok_or_else(|| NO_LINE.to_owned()).and_then(|place| spot(&text, place));
    let result = match &place {
        Ok(spot) => drafted(&text, &correction.name, expression, *spot),
        Err(what) => Err(Misfit { what: what.clone(), at: None }),
    };
    let after = place.as_ref().map_or(near, |spot| spot.after_line);
    let around = match &result {
        Ok(drafted) => context(drafted.text.lines(), drafted.line, lines(&drafted.statement), after),
        Err(_) => context(text.lines(), after.saturating_add(1), 0, after),
    };
    let readable = place.as_ref().map(|spot| readable(&text, *spot)).unwrap_or_default();
    let result = result.map(|drafted| drafted.doubts);
    let (replaces, iterations) = (false, None);
    Ok(Answer::Draft(Arc::new(Draft { result, context: around, after, readable, replaces, iterations })))
}

/// Decides about one placement, and looks at the version again.
pub(super) fn correct(project: &Project, correction: Correction) -> Result<Answer, String> {
    let Correction { run, name, statement, choice } = &correction;
    let moved = |to: Move| project.move_probe(name, run, Some(statement + 1), to).map(drop);
    match choice {
        Choice::Up => moved(Move::Up),
        Choice::Down => moved(Move::Down),
        Choice::Other(number) => moved(Move::Alternative(*number)),
        Choice::Rewrite { expression, place: Some(place) } => {
            project.rewrite_probe(name, run, Some(statement + 1), Move::To(*place), expression).map(drop)
        }
        Choice::Rewrite { place: None, .. } => return Err(NO_LINE.to_owned()),
        Choice::Exclude => project.exclude_probe(name, std::slice::from_ref(run), Some(statement + 1)),
        Choice::Reset => project.reset_probe(name, Some(std::slice::from_ref(run))).map(drop),
    }
    .map_err(refusal)?;
    let all = project.preview(std::slice::from_ref(name), None).map_err(told)?;
    let decided = |preview: &Preview| {
        let mut placements = preview.propagation.placements.iter();
        preview.run != *run && placements.any(|placement| placement.decided_in.as_ref() == Some(run))
    };
    let others = all.iter().filter(|preview| decided(preview)).count();
    let here = all.into_iter().find(|preview| preview.run == *run);
    let propagation = here.map(|preview| Box::new(preview.propagation)).ok_or("the run is gone")?;
    Ok(Answer::Corrected { correction, propagation, others })
}

/// Why a place is none, without what everybody sees: which statement, and in which run.
fn refusal(error: Error) -> String {
    match error {
        Error::NoPlace { reason, .. } => format!("not there: {reason}"),
        other => told(other),
    }
}

/// Every hindsight log statement, placed into two versions; none when nobody waits for them any more.
pub(super) fn placements(
    project: &Project,
    left: &RunId,
    right: &RunId,
    waiting: Waiting<'_>,
) -> Result<Vec<(RunId, Propagation)>, String> {
    let mut names: Vec<String> =
        project.hindsight_names().map_err(told)?.into_iter().map(|h| h.statement.name).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let placed = match project.preview_unless(&names, Some(&[left.clone(), right.clone()]), waiting) {
        Err(Error::Stopped) => return Ok(Vec::new()),
        placed => placed.map_err(told)?,
    };
    Ok(placed.into_iter().map(|p| (p.run, p.propagation)).collect())
}
