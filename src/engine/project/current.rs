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
    /// Asks where the statements stand that may have changed: those that a probe keeps, those that were replayed in several
    /// ways, and all of a name whose last replay was of another statement than today's.
    pub(super) fn of(project: &Project, names: &[String], segments: &[SegmentRow]) -> Result<Self, Error> {
        let mut current = Self { now: HashMap::new() };
        let mut plans = Plans::of(project);
        for name in names {
            let replayed = || segments.iter().filter(|segment| segment.names.contains(name));
            // Of the newest run, from where the way to today's script is short.
            let Some(last) = replayed().max_by(|one, other| one.run.cmp(&other.run)) else { continue };
            let is_kept = probes::named(project.layout(), name)?.is_some();
            current.look(project, name, std::slice::from_ref(&last.run));
            let is_another = current.is_outdated(last, name, &mut plans);
            let mut ways: HashMap<&RunId, BTreeSet<&str>> = HashMap::new();
            for segment in replayed() {
                ways.entry(&segment.run).or_default().insert(&segment.probe_hash);
            }
            let may_have_changed = |ways: &BTreeSet<&str>| is_kept || is_another || ways.len() > 1;
            let runs = ways.into_iter().filter(|(_, ways)| may_have_changed(ways)).map(|(run, _)| run.clone());
            current.look(project, name, &runs.collect::<Vec<_>>());
        }
        Ok(current)
    }

    /// Where nothing can be said of today's place, what was computed stays.
    fn look(&mut self, project: &Project, name: &str, runs: &[RunId]) {
        let previews = propagate::preview(project, &[name.to_owned()], runs).unwrap_or_default();
        for preview in previews {
            self.now.insert((preview.run, name.to_owned()), places(&preview.propagation.placements, name));
        }
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
