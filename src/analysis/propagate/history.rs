//! Two ways to one version: straight from today's script, and hop by hop through the versions in between. What agrees
//! is taken; where they differ, the better founded place comes first and the other is named.

use crate::analysis::propagate::kept::is_kept;
use crate::analysis::propagate::{applied, sort, spans};
use crate::analysis::python::Source;
use crate::model::probe::{Alternative, Placement, PlacementStatus, Propagation};

/// How a hop came to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Versions between today's script and this one.
    pub passed: usize,
    /// Whether the statement that the hop started from was the version's own: it may log another value, so only its place
    /// says something.
    pub native: bool,
}

impl Way {
    fn words(self) -> String {
        match self.passed {
            1 => "by way of the version in between".to_owned(),
            passed => format!("by way of the {passed} versions in between"),
        }
    }
}

/// Joins what the two ways give for one statement. `hop` starts where everything before it was sure.
pub fn agreed(direct: Placement, hop: &Placement, way: Way) -> Placement {
    let sure = |status| matches!(status, PlacementStatus::Exact | PlacementStatus::Adapted);
    let Way { native, .. } = way;
    let way = way.words();
    match (direct.status, hop.status) {
        (PlacementStatus::AlreadyThere | PlacementStatus::Excluded, _) | (_, PlacementStatus::AlreadyThere) => direct,
        (PlacementStatus::NotApplicable, there) if there.is_placed() && native => {
            with_other(direct, hop, format!("{way}, as the statement there"))
        }
        (PlacementStatus::NotApplicable, there) if there.is_placed() => {
            let mut found = Placement { source_line: direct.source_line, ..hop.clone() };
            let why = direct.reasons.first().map(String::as_str).unwrap_or_default();
            found.reasons.insert(0, format!("found {way}; directly it has no place: {why}"));
            found.status = PlacementStatus::Uncertain;
            found
        }
        (PlacementStatus::NotApplicable, _) => direct,
        (PlacementStatus::Exact, there) if !there.is_placed() => direct,
        (_, there) if !there.is_placed() => {
            let why = hop.reasons.first().map(String::as_str).unwrap_or_default();
            doubted(direct, format!("{way} it has no place: {why}"))
        }
        _ if same_place(&direct, hop) && (native || direct.text.trim() == hop.text.trim()) => direct,
        _ if same_place(&direct, hop) => {
            let reads = hop.text.trim().lines().next().unwrap_or_default().to_owned();
            if sure(hop.status) { doubted(direct, format!("{way} it would read `{reads}`")) } else { direct }
        }
        (PlacementStatus::Uncertain, there) if sure(there) && !native => {
            let mut found = Placement { source_line: direct.source_line, ..hop.clone() };
            found.status = PlacementStatus::Uncertain;
            found.reasons.insert(0, format!("found {way}; directly it would stand elsewhere"));
            let why = direct.reasons.first().map(String::as_str).unwrap_or_default();
            with_other(found, &direct, format!("directly: {why}"))
        }
        (_, there) => {
            let line = hop.after_line.unwrap_or(0);
            let why = hop.reasons.first().cloned().unwrap_or_default();
            // A hop in doubt says little against a direct place.
            let told =
                if sure(there) { doubted(direct, format!("{way} it would stand after line {line}")) } else { direct };
            with_other(told, hop, format!("{way}: {why}"))
        }
    }
}

fn same_place(a: &Placement, b: &Placement) -> bool {
    let place = |placement: &Placement| placement.edits.first().map(|edit| (edit.offset, edit.depth));
    place(a) == place(b)
}

fn doubted(mut placement: Placement, reason: String) -> Placement {
    placement.status = PlacementStatus::Uncertain;
    placement.reasons.push(reason);
    placement
}

/// The other place becomes the first alternative.
fn with_other(mut placement: Placement, other: &Placement, reason: String) -> Placement {
    if let (Some(after_line), Some(column)) = (other.after_line, other.column) {
        placement.alternatives.retain(|known| (known.after_line, known.column) != (after_line, column));
        placement.alternatives.insert(0, Alternative { after_line, column, reason });
    }
    placement
}

/// The target with these statements in it, whichever way each was found. `None` where they do not go together.
pub fn composed(target: &str, mut placements: Vec<Placement>, problems: Vec<String>) -> Option<Propagation> {
    let mut edits = Vec::new();
    for placement in placements.iter().filter(|placement| placement.status.is_placed()) {
        for edit in &placement.edits {
            if !edits.contains(edit) {
                edits.push(edit.clone());
            }
        }
    }
    sort(&mut edits);
    let text = applied(target, &edits);
    if !edits.is_empty() && !is_kept(&Source::parse(target), &Source::parse(&text), &edits) {
        return None;
    }
    let inserted = spans(target, &edits);
    for placement in placements.iter_mut().filter(|placement| placement.status.is_placed()) {
        let at = placement.edits.first().and_then(|edit| edits.iter().position(|e| e == edit));
        placement.line = at.map(|at| inserted[at].0 + placement.within);
    }
    Some(Propagation { placements, text, inserted, problems })
}
