//! Two ways to one version: straight from today's script, and hop by hop through the versions in between. What agrees
//! is taken; where they differ, the better founded place comes first and the other is named.

use crate::analysis::propagate::compose::{applied, sort};
use crate::analysis::propagate::insert::{Manner, spans};
use crate::analysis::propagate::kept::is_kept;
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

/// Lines on either side of a place that tell it.
const SIDE: usize = 8;

/// Whether a place of one text is one of another for all that can be seen: the lines on either side are the same, and
/// they stand together but once in either text. A hop then leads there, and needs not be made.
pub fn is_same_place((ours, after): (&str, u32), (theirs, after_there): (&str, u32)) -> bool {
    let window = |text: &str, after: u32| -> Option<(usize, std::ops::Range<usize>)> {
        let after = usize::try_from(after).ok()?;
        let ends: Vec<usize> = text
            .split_inclusive('\n')
            .scan(0, |end, line| {
                *end += line.len();
                Some(*end)
            })
            .collect();
        let first = after.saturating_sub(SIDE);
        let last = (after + SIDE).min(ends.len());
        let start = first.checked_sub(1).map_or(Some(0), |at| ends.get(at).copied())?;
        Some((after - first, start..*ends.get(last.checked_sub(1)?)?))
    };
    let (Some((above, a)), Some((above_there, b))) = (window(ours, after), window(theirs, after_there)) else {
        return false;
    };
    let lines = &ours[a];
    above == above_there
        && lines == &theirs[b]
        && [ours, theirs].iter().all(|text| text.match_indices(lines).take(2).count() == 1)
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

/// The target with these statements in it to be executed: each on lines of its own, so that a line tells whose it is. Where
/// one stands beside others, their line goes on behind a backslash.
#[must_use]
pub fn on_own_lines(target: &str, found: Propagation) -> Propagation {
    let mut placements = found.placements.clone();
    let mut inline =
        placements.iter_mut().flat_map(|placement| &mut placement.edits).filter(|edit| edit.inline).peekable();
    let mut any = false;
    // Parsed where it is needed, and once.
    let end_of_line = inline.peek().map(|_| Manner::of(&Source::parse(target)).end_of_line).unwrap_or_default();
    for edit in inline {
        edit.text = match edit.text.strip_prefix("; ") {
            Some(statement) => format!("; \\{end_of_line}{statement}"),
            None => format!("\\{end_of_line}{}\\{end_of_line}", edit.text),
        };
        any = true;
    }
    // What does not go together so is executed as it is shown: then more is marked than need be.
    let Some(mut executed) = any.then(|| composed(target, placements, found.problems.clone())).flatten() else {
        return found;
    };
    for (placement, shown) in executed.placements.iter_mut().zip(&found.placements) {
        placement.shown_line = shown.line.filter(|line| placement.line != Some(*line));
    }
    executed
}

#[cfg(test)]
mod tests {
    use super::{Way, agreed, composed, is_same_place};
    use crate::analysis::propagate::propagate_names;
    use crate::model::probe::{Placement, PlacementStatus};

    const TARGET: &str = "import afterlog\na = 1\nb = 2\nc = 3\n";
    const WAY: Way = Way { passed: 2, native: false };

    /// The statement placed after a line.
    fn placed(after: &str, status: PlacementStatus) -> Placement {
        let source = TARGET.replace(after, &format!("{after}afterlog.log('n', a)\n"));
        let found = propagate_names(&source, &["n".to_owned()], TARGET);
        Placement { status, ..found.placements.into_iter().next().expect("a placement") }
    }

    fn refused() -> Placement {
        let mut placement = placed("c = 3\n", PlacementStatus::NotApplicable);
        placement.edits.clear();
        placement.reasons = vec!["`a` is not defined".into()];
        placement
    }

    #[test]
    fn the_better_founded_of_two_places_comes_first_and_the_other_is_named() {
        use PlacementStatus::{Adapted, Exact, NotApplicable, Uncertain};
        let (here, there) = (|status| placed("a = 1\n", status), |status| placed("c = 3\n", status));
        for (direct, hop, way, status, after_line, other) in [
            (here(Exact), here(Exact), WAY, Exact, 2, None),
            (here(Exact), there(Exact), WAY, Uncertain, 2, Some(4)),
            (here(Exact), there(Uncertain), WAY, Exact, 2, Some(4)),
            (here(Exact), refused(), WAY, Exact, 2, None),
            (here(Adapted), refused(), WAY, Uncertain, 2, None),
            (here(Uncertain), there(Exact), WAY, Uncertain, 4, Some(2)),
            (here(Uncertain), there(Uncertain), WAY, Uncertain, 2, Some(4)),
            (here(Uncertain), there(Exact), Way { native: true, ..WAY }, Uncertain, 2, Some(4)),
            (refused(), there(Exact), WAY, Uncertain, 4, None),
            (refused(), there(Exact), Way { native: true, ..WAY }, NotApplicable, 0, Some(4)),
            (refused(), refused(), WAY, NotApplicable, 0, None),
        ] {
            let told = format!("{:?} and {:?}", direct.status, hop.status);
            let found = agreed(direct, &hop, way);
            let alternative = found.alternatives.first().map(|other| other.after_line).filter(|_| other.is_some());
            assert_eq!((found.status, alternative), (status, other), "{told}: {found:?}");
            let line = found.edits.first().and(found.after_line).unwrap_or(0);
            assert_eq!(line, after_line, "{told}: {found:?}");
            let text = composed(TARGET, vec![found.clone()], Vec::new()).expect("it parses").text;
            assert_eq!(text != TARGET, status.is_placed(), "{told}");
        }
    }

    #[test]
    fn equal_lines_on_both_sides_make_one_place_unless_they_stand_there_twice() {
        let text: String = (0..40).map(|line| format!("line {line}\n")).collect();
        let moved = format!("new\n{}", text.replace("line 39", "other"));
        assert!(is_same_place((&text, 20), (&moved, 21)));
        assert!(!is_same_place((&text, 20), (&moved, 20)));
        assert!(!is_same_place((&text, 20), (&text.replace("line 24", "other"), 20)));
        assert!(!is_same_place((&text, 35), (&moved, 36)), "what follows differs");
        let twice = text.repeat(2);
        assert!(!is_same_place((&twice, 20), (&text, 20)));
        assert!(is_same_place((&text, 40), (&text, 40)) && is_same_place((&text, 0), (&text, 0)));
    }
}
