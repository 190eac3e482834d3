//! What concerns hindsight log statements: which there are, where they land, planning and starting their replay.

use std::sync::Arc;

use crate::base::ids::RunId;
use crate::engine::plan::{Iterations, ReplayRequest};
use crate::engine::project::Project;
use crate::model::probe::Propagation;
use crate::tui::background::told;
use crate::tui::event::{Answer, PlanRequest, Request};

/// Does what a request about replay asks.
pub(super) fn perform(project: &Project, request: Request) -> Result<Answer, String> {
    match request {
        Request::Preview { names, runs } => {
            let preview = project.preview(&names, runs.as_deref()).map_err(told)?;
            Ok(Answer::Preview(preview.into_iter().map(|p| (p.run, p.propagation)).collect()))
        }
        Request::Plan(wanted) => {
            let plan = project.plan(&resolved(wanted)?).map_err(told)?;
            Ok(Answer::Plan(Arc::new(plan)))
        }
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
    let workers = Some(wanted.workers);
    Ok(ReplayRequest { names: wanted.names, runs: wanted.runs, iterations, workers, ..ReplayRequest::default() })
}

/// Every hindsight log statement of the working tree, placed into two versions.
pub(super) fn placements(project: &Project, left: &RunId, right: &RunId) -> Result<Vec<(RunId, Propagation)>, String> {
    let mut names: Vec<String> =
        project.hindsight_names().map_err(told)?.into_iter().map(|h| h.statement.name).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let placed = project.preview(&names, Some(&[left.clone(), right.clone()])).map_err(told)?;
    Ok(placed.into_iter().map(|p| (p.run, p.propagation)).collect())
}
