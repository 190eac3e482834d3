//! What concerns hindsight log statements: which there are, where they land, planning and starting their replay.

use crate::analysis::propagate::propagate_missing;
use crate::base::ids::RunId;
use crate::engine::project::Project;
use crate::model::probe::Propagation;
use crate::tui::background::told;
use crate::tui::event::{Answer, Request};

/// Does what a request about replay asks.
pub(super) fn perform(_project: &Project, _request: Request) -> Result<Answer, String> {
    Err("this version of afterlog records and shows, but does not replay yet".into())
}

/// Every log statement of the working tree that a version lacks, placed into each of two versions.
pub(super) fn placements(project: &Project, left: &RunId, right: &RunId) -> Result<Vec<(RunId, Propagation)>, String> {
    let mut placed = Vec::new();
    for run in [left, right] {
        let script = project.run_detail(run).map_err(told)?.meta.script;
        let today = project.worktree_source(&script).map_err(told)?;
        let then = project.source(run, &script).map_err(told)?;
        if let (Some(today), Some(then)) = (today, then) {
            placed.push((run.clone(), propagate_missing(&today, &then)));
        }
    }
    Ok(placed)
}
