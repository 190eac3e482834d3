//! Whether replayed values are still those of the place where their statement stands: it may have been moved or excluded
//! since, or written anew, and values of two places or statements must not be shown for one.

use std::collections::{BTreeSet, HashMap};

use crate::base::ids::RunId;
use crate::engine::project::Project;
use crate::engine::project::grid::Plans;
use crate::engine::{Error, probes, propagate};
use crate::model::probe::Placement;
use crate::store::db::SegmentRow;

/// Where a name's statements stand in a version: line and text, indentation included, of each that does.
type Places = Vec<(Option<u32>, String)>;

/// Where the statements of names in question stand now.
pub(super) struct Current {
    now: HashMap<(RunId, String), Places>,
}

impl Current {
    /// Asks where the statements stand that may have changed: those that a probe keeps, and those that were replayed in
    /// several ways.
    pub(super) fn of(project: &Project, names: &[String], segments: &[SegmentRow]) -> Result<Self, Error> {
        let mut now = HashMap::new();
        for name in names {
            let replayed = segments.iter().filter(|segment| segment.names.contains(name));
            let is_kept = probes::named(project.layout(), name)?.is_some();
            let mut ways: HashMap<&RunId, BTreeSet<&str>> = HashMap::new();
            for segment in replayed {
                ways.entry(&segment.run).or_default().insert(&segment.probe_hash);
            }
            let runs: Vec<RunId> =
                ways.into_iter().filter(|(_, ways)| is_kept || ways.len() > 1).map(|(run, _)| run.clone()).collect();
            if runs.is_empty() {
                continue;
            }
            // Where nothing can be said of today's place, what was computed stays.
            for preview in propagate::preview(project, std::slice::from_ref(name), &runs).unwrap_or_default() {
                now.insert((preview.run, name.clone()), places(&preview.propagation.placements, name));
            }
        }
        Ok(Self { now })
    }

    /// Whether a segment computed a name at another place than where it stands now, or with another statement.
    pub(super) fn is_outdated(&self, segment: &SegmentRow, name: &str, plans: &mut Plans<'_>) -> bool {
        let Some(now) = self.now.get(&(segment.run.clone(), name.to_owned())) else { return false };
        plans.run(segment).is_some_and(|then| places(&then.placements, name) != *now)
    }
}

fn places(placements: &[Placement], name: &str) -> Places {
    let of_name = placements.iter().filter(|placement| placement.name == name && placement.status.is_placed());
    of_name.map(|placement| (placement.after_line, placement.text.trim_end().to_owned())).collect()
}
