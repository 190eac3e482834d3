//! What a script prints, as evidence. Only equality counts: a line may differ for many reasons (a time, a path, a warning that is
//! given once), so a difference is told and proves nothing.
//!
//! A unit's lines bear out what was computed if the replay printed the run's lines again, one for one in order, times and
//! the like left out; where it skipped loops, their lines may be missing. And they must hold something that was computed, to
//! the bit: a fraction with all its digits that no earlier unit has printed. So neither what a script is given nor a constant
//! counts, nor what was rounded: that can be equal while what is replayed differs in its last bits.

use std::collections::HashSet;
use std::rc::Rc;

use crate::analysis::printed::{Comparable, comparable};
use crate::analysis::verify::unit::{Level, Unit};
use crate::model::job::CheckReport;

/// A number with so many significant digits is printed whole: Python writes as many as tell a float from all others.
const WHOLE_DIGITS: u32 = 15;
/// Of a line that is told.
const MAX_TOLD: usize = 80;

/// The lines of one unit: standard output and standard error.
#[derive(Debug, Default)]
pub(super) struct Printed([Vec<Line>; 2]);

/// Numbers that the record's earlier units printed.
pub(super) type Known = HashSet<String>;

#[derive(Debug)]
struct Line {
    path: Rc<[Level]>,
    raw: String,
    comparable: Comparable,
}

impl Printed {
    pub(super) fn push(&mut self, error: bool, path: Rc<[Level]>, line: &str) {
        self.0[usize::from(error)].push(Line { path, raw: line.to_owned(), comparable: comparable(line) });
    }

    /// Takes what a unit printed into what is known.
    pub(super) fn tell(&self, known: &mut Known) {
        let lines = self.0.iter().flatten();
        known.extend(lines.flat_map(|line| line.comparable.computed.iter().map(|(text, _)| text.clone())));
    }
}

impl Line {
    fn equals(&self, other: &Self) -> bool {
        self.path == other.path && self.comparable.text == other.comparable.text
    }
}

/// Adds the lines that are evidence to the report, and the first that differ.
pub(super) fn compare(
    recorded: &Unit,
    theirs: &Printed,
    replayed: &Unit,
    ours: &Printed,
    known: &Known,
    report: &mut CheckReport,
) {
    if !recorded.complete || !replayed.complete {
        return;
    }
    for (theirs, ours) in theirs.0.iter().zip(&ours.0) {
        let theirs: Vec<&Line> = theirs.iter().filter(|line| !replayed.has_skipped(&line.path)).collect();
        match matched(&theirs, ours, replayed.has_gaps()) {
            Ok(()) => {
                let is_evidence = |(text, digits): &(String, u32)| *digits >= WHOLE_DIGITS && !known.contains(text);
                let holds = |line: &&Line| line.comparable.computed.iter().any(is_evidence);
                report.equal_lines += ours.iter().filter(holds).count() as u64;
            }
            Err((recorded, replayed)) if report.different_lines.is_none() => {
                let told = |line: Option<&Line>| line.map(|line| line.raw.chars().take(MAX_TOLD).collect());
                report.different_lines = Some((told(recorded), told(replayed)));
            }
            Err(_) => {}
        }
    }
}

/// The first lines that differ, the record's and the replay's.
type Different<'a> = (Option<&'a Line>, Option<&'a Line>);

/// Whether the replay's lines are the record's; with gaps, whether they are among them in order.
fn matched<'a>(theirs: &[&'a Line], ours: &'a [Line], has_gaps: bool) -> Result<(), Different<'a>> {
    let mut rest = theirs;
    for line in ours {
        let at = rest.iter().position(|other| other.equals(line)).filter(|at| has_gaps || *at == 0);
        let Some(at) = at else { return Err((rest.first().copied(), Some(line))) };
        rest = &rest[at + 1..];
    }
    match rest.first() {
        Some(missing) if !has_gaps => Err((Some(missing), None)),
        _ => Ok(()),
    }
}
