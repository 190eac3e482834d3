//! What concerns hindsight log statements: which there are, where they land, planning and starting their replay.

use crate::base::ids::RunId;
use crate::engine::project::Project;
use crate::model::probe::Propagation;
use crate::tui::event::{Answer, Request};

/// Does what a request about replay asks.
pub(super) fn perform(_project: &Project, _request: Request) -> Result<Answer, String> {
    Err("this version of afterlog records and shows, but does not replay yet".into())
}

/// Every hindsight log statement of the working tree, placed into two versions.
pub(super) fn placements(
    _project: &Project,
    _left: &RunId,
    _right: &RunId,
) -> Result<Vec<(RunId, Propagation)>, String> {
    Ok(Vec::new())
}
