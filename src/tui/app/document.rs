//! Two versions laid out for reading: paired lines, changed words, folds, and propagated log statements as virtual
//! rows that never shift the pairing. Pure.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::analysis::linediff::{self, ChangedLine, LinePair};
use crate::base::ids::RunId;
use crate::model::probe::{Placement, PlacementStatus, Propagation};
use crate::model::source::FileChange;

/// Unchanged lines kept around a change.
const CONTEXT: usize = 3;
/// Folding fewer lines than this saves nothing.
const SMALLEST_FOLD: usize = 4;

/// The difference of two runs' versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub left: RunId,
    pub right: RunId,
    pub files: Vec<FileDiff>,
}

/// One file in both versions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FileDiff {
    pub path: String,
    /// `None` for a file that is the same and shown for its log statements.
    pub change: Option<FileChange>,
    pub left: Vec<String>,
    pub right: Vec<String>,
    pub pairs: Vec<Pair>,
    pub statements: Vec<Statement>,
    pub added: usize,
    pub removed: usize,
    /// Whether the versions' runs executed it: log statements are placed into no other file.
    pub is_script: bool,
}

/// One row of the side-by-side view; indices of lines from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Pair {
    Same {
        left: usize,
        right: usize,
    },
    /// A line that was removed, added, or turned into another; `words` are the byte ranges that changed.
    Changed {
        left: Option<ChangedLine>,
        right: Option<ChangedLine>,
    },
    /// Propagated statements, as indices into `statements`, with the number of the line within each.
    Virtual {
        left: Option<(usize, usize)>,
        right: Option<(usize, usize)>,
    },
}

/// A propagated log statement on one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub placement: Placement,
    pub lines: Vec<String>,
    /// Which of its side's statements that log the name it is, from 0.
    pub number: usize,
    pub on_left: bool,
}

impl Statement {
    /// Whether the user should look at its place.
    pub fn is_uncertain(&self) -> bool {
        self.placement.status == PlacementStatus::Uncertain
    }
}

/// One of the two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// A row as drawn: indices into `pairs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Fold {
        first: usize,
        count: usize,
    },
    Both(usize),
    /// Of a unified view: one side of a pair.
    Left(usize),
    Right(usize),
}

/// The texts of one file and what was propagated into each side.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    pub left: &'a str,
    pub right: &'a str,
    pub into_left: Option<&'a Propagation>,
    pub into_right: Option<&'a Propagation>,
}

impl FileDiff {
    /// Lays out one file.
    pub fn new(path: String, change: Option<FileChange>, sides: Sides<'_>) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let mut file = Self { path, change, left: lines(sides.left), right: lines(sides.right), ..Self::default() };
        let plain = pairs(sides);
        for pair in &plain {
            if let Pair::Changed { left, right } = pair {
                file.removed += usize::from(left.is_some());
                file.added += usize::from(right.is_some());
            }
        }
        let left = file.place(sides.into_left, true);
        let right = file.place(sides.into_right, false);
        file.pairs = file.interleave(plain, &left, &right);
        file
    }

    /// Takes up the placed statements of one side: `(index of the line they follow + 1, statement)`.
    fn place(&mut self, propagation: Option<&Propagation>, on_left: bool) -> Vec<(usize, usize)> {
        let mut gaps = Vec::new();
        let placements = propagation.map_or(&[][..], |propagation| &propagation.placements);
        for (at, placement) in placements.iter().enumerate() {
            let (true, Some(after)) = (placement.status.is_placed(), placement.after_line) else { continue };
            let lines = placement.text.lines().map(str::to_owned).collect();
            gaps.push((usize::try_from(after).unwrap_or(0), self.statements.len()));
            let number = placements[..at].iter().filter(|other| other.name == placement.name).count();
            self.statements.push(Statement { placement: placement.clone(), lines, number, on_left });
        }
        gaps
    }

    fn interleave(&self, plain: Vec<Pair>, left: &[(usize, usize)], right: &[(usize, usize)]) -> Vec<Pair> {
        let mut pairs = Vec::with_capacity(plain.len() + left.len() + right.len());
        self.push_virtual(&mut pairs, 0, 0, left, right);
        for pair in plain {
            let (left_seen, right_seen) = match &pair {
                Pair::Same { left, right } => (Some(left + 1), Some(right + 1)),
                Pair::Changed { left, right } => {
                    (left.as_ref().map(|l| l.index + 1), right.as_ref().map(|r| r.index + 1))
                }
                Pair::Virtual { .. } => (None, None),
            };
            pairs.push(pair);
            self.push_virtual(
                &mut pairs,
                left_seen.unwrap_or(usize::MAX),
                right_seen.unwrap_or(usize::MAX),
                left,
                right,
            );
        }
        pairs
    }

    /// The statements that follow these lines; one on each side of the same name share their rows.
    fn push_virtual(
        &self,
        pairs: &mut Vec<Pair>,
        after_left: usize,
        after_right: usize,
        left: &[(usize, usize)],
        right: &[(usize, usize)],
    ) {
        let here = |gaps: &[(usize, usize)], after: usize| -> Vec<usize> {
            gaps.iter().filter(|(gap, _)| *gap == after).map(|(_, statement)| *statement).collect()
        };
        let mut on_right = here(right, after_right);
        for statement in here(left, after_left) {
            let name = &self.statements[statement].placement.name;
            let twin = on_right.iter().position(|s| self.statements[*s].placement.name == *name);
            let twin = twin.map(|at| on_right.remove(at));
            self.push_lines(pairs, Some(statement), twin);
        }
        for statement in on_right {
            self.push_lines(pairs, None, Some(statement));
        }
    }

    fn push_lines(&self, pairs: &mut Vec<Pair>, left: Option<usize>, right: Option<usize>) {
        let lines = |side: Option<usize>| side.map_or(0, |s| self.statements[s].lines.len());
        for line in 0..lines(left).max(lines(right)) {
            let at = |side: Option<usize>| side.filter(|_| line < lines(side)).map(|s| (s, line));
            pairs.push(Pair::Virtual { left: at(left), right: at(right) });
        }
    }

    /// Statements on the right side, or on the left where the right has none: what the header counts.
    pub fn statement_count(&self) -> usize {
        let mut names = BTreeSet::new();
        for statement in &self.statements {
            names.insert(&statement.placement.name);
        }
        names.len()
    }

    /// The rows to draw: long unchanged regions folded unless the user opened them (by their first pair).
    pub fn rows(&self, split: bool, unfolded: &BTreeSet<usize>) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.pairs.len());
        let mut at = 0;
        while at < self.pairs.len() {
            let end = self.region_end(at);
            match &self.pairs[at] {
                Pair::Same { .. } => self.push_same(&mut rows, at..end, unfolded),
                Pair::Changed { .. } if !split => {
                    let has = |i: &usize, left: bool| match &self.pairs[*i] {
                        Pair::Changed { left: l, right: r } => {
                            if left {
                                l.is_some()
                            } else {
                                r.is_some()
                            }
                        }
                        Pair::Same { .. } | Pair::Virtual { .. } => false,
                    };
                    rows.extend((at..end).filter(|i| has(i, true)).map(Row::Left));
                    rows.extend((at..end).filter(|i| has(i, false)).map(Row::Right));
                }
                Pair::Virtual { .. } if !split && (at..end).any(|i| self.differs_by_side(i)) => {
                    let has = |i: &usize, on_left: bool| match &self.pairs[*i] {
                        Pair::Virtual { left, right } => if on_left { left } else { right }.is_some(),
                        Pair::Same { .. } | Pair::Changed { .. } => false,
                    };
                    rows.extend((at..end).filter(|i| has(i, true)).map(Row::Left));
                    rows.extend((at..end).filter(|i| has(i, false)).map(Row::Right));
                }
                Pair::Changed { .. } | Pair::Virtual { .. } => rows.extend((at..end).map(Row::Both)),
            }
            at = end;
        }
        rows
    }

    /// Whether one line cannot stand for the statements of both sides.
    fn differs_by_side(&self, pair: usize) -> bool {
        let Pair::Virtual { left: Some((left, _)), right: Some((right, _)) } = &self.pairs[pair] else { return false };
        let (left, right) = (&self.statements[*left], &self.statements[*right]);
        let by_hand = |statement: &Statement| statement.placement.decided_in.is_some();
        left.lines != right.lines || left.is_uncertain() != right.is_uncertain() || by_hand(left) != by_hand(right)
    }

    fn push_same(&self, rows: &mut Vec<Row>, region: Range<usize>, unfolded: &BTreeSet<usize>) {
        let before = if region.start == 0 { 0 } else { CONTEXT };
        let after = if region.end == self.pairs.len() { 0 } else { CONTEXT };
        let hidden = region.len().saturating_sub(before + after);
        if hidden < SMALLEST_FOLD || unfolded.contains(&(region.start + before)) {
            rows.extend(region.map(Row::Both));
            return;
        }
        let first = region.start + before;
        rows.extend((region.start..first).map(Row::Both));
        rows.push(Row::Fold { first, count: hidden });
        rows.extend((first + hidden..region.end).map(Row::Both));
    }

    /// The end of the run of pairs of the same kind.
    fn region_end(&self, start: usize) -> usize {
        let kind = std::mem::discriminant(&self.pairs[start]);
        let length = self.pairs[start..].iter().take_while(|p| std::mem::discriminant(*p) == kind).count();
        start + length
    }

    /// Whether a row is part of a change.
    pub fn is_change(&self, row: Row) -> bool {
        match row {
            Row::Fold { .. } => false,
            Row::Both(i) | Row::Left(i) | Row::Right(i) => matches!(self.pairs[i], Pair::Changed { .. }),
        }
    }

    /// The texts of a row on both sides.
    pub fn texts(&self, row: Row) -> (Option<&str>, Option<&str>) {
        let (Row::Both(i) | Row::Left(i) | Row::Right(i)) = row else { return (None, None) };
        let (left, right) = match &self.pairs[i] {
            Pair::Same { left, right } => (Some(*left), Some(*right)),
            Pair::Changed { left, right } => (left.as_ref().map(|l| l.index), right.as_ref().map(|r| r.index)),
            Pair::Virtual { left, right } => {
                let text = |side: &Option<(usize, usize)>| {
                    side.and_then(|(statement, line)| self.statements[statement].lines.get(line)).map(String::as_str)
                };
                return (text(left), text(right));
            }
        };
        match row {
            Row::Left(_) => (text_of(&self.left, left), None),
            Row::Right(_) => (None, text_of(&self.right, right)),
            Row::Both(_) | Row::Fold { .. } => (text_of(&self.left, left), text_of(&self.right, right)),
        }
    }

    /// The line of the newer version that a row shows, from 0, or of the older one where that alone has it; for a
    /// statement the line above it.
    pub fn line_on(&self, row: Row) -> Option<(usize, Side)> {
        let (Row::Both(at) | Row::Left(at) | Row::Right(at)) = row else { return None };
        let only_left = matches!(row, Row::Left(_));
        (0..=at).rev().find_map(|at| match &self.pairs[at] {
            Pair::Same { left, right } => Some(if only_left { (*left, Side::Left) } else { (*right, Side::Right) }),
            Pair::Changed { left, right } => {
                let right = right.as_ref().filter(|_| !only_left).map(|line| (line.index, Side::Right));
                right.or(left.as_ref().map(|line| (line.index, Side::Left)))
            }
            Pair::Virtual { .. } => None,
        })
    }

    /// The line of the newer version that a row shows, from 0; the nearest above it where the row has none.
    pub fn right_line(&self, row: Row) -> Option<usize> {
        let (Row::Fold { first: at, .. } | Row::Both(at) | Row::Left(at) | Row::Right(at)) = row;
        (0..=at).rev().find_map(|at| match &self.pairs[at] {
            Pair::Same { right, .. } => Some(*right),
            Pair::Changed { right, .. } => right.as_ref().map(|line| line.index),
            Pair::Virtual { .. } => None,
        })
    }

    /// Every fold of the file, by its first pair.
    pub fn folds(&self) -> BTreeSet<usize> {
        let rows = self.rows(true, &BTreeSet::new());
        rows.iter().filter_map(|row| if let Row::Fold { first, .. } = row { Some(*first) } else { None }).collect()
    }

    /// The statement on a row, the right side first.
    pub fn statement_on(&self, row: Row) -> Option<&Statement> {
        let first = if matches!(row, Row::Left(_)) { Side::Left } else { Side::Right };
        let other = if matches!(row, Row::Both(_)) { Side::Left } else { first };
        self.statement_of(row, first).or_else(|| self.statement_of(row, other))
    }

    /// The statement of one side that a row shows, or shares its place with.
    pub fn statement_of(&self, row: Row, side: Side) -> Option<&Statement> {
        let (Row::Both(i) | Row::Left(i) | Row::Right(i)) = row else { return None };
        let Pair::Virtual { left, right } = &self.pairs[i] else { return None };
        let at = if side == Side::Left { left } else { right };
        at.map(|(statement, _)| &self.statements[statement])
    }
}

fn text_of(lines: &[String], at: Option<usize>) -> Option<&str> {
    at.and_then(|at| lines.get(at)).map(String::as_str)
}

fn pairs(sides: Sides<'_>) -> Vec<Pair> {
    let pair = |pair| match pair {
        LinePair::Same { old, new } => Pair::Same { left: old, right: new },
        LinePair::Changed { old, new } => Pair::Changed { left: old, right: new },
    };
    linediff::pairs(sides.left, sides.right).into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(name: &str, after_line: u32, status: PlacementStatus) -> Propagation {
        let placement = Placement {
            name: name.into(),
            source_line: 1,
            status,
            line: Some(after_line + 1),
            shown_line: None,
            column: Some(5),
            after_line: Some(after_line),
            text: format!("    log(\"{name}\", {name})\n"),
            changes: Vec::new(),
            reasons: Vec::new(),
            alternatives: Vec::new(),
            within: 0,
            decided_in: None,
            edits: Vec::new(),
        };
        Propagation { placements: vec![placement], text: String::new(), inserted: Vec::new(), problems: Vec::new() }
    }

    fn file(left: &str, right: &str, into_left: Option<&Propagation>, into_right: Option<&Propagation>) -> FileDiff {
        FileDiff::new("train.py".into(), None, Sides { left, right, into_left, into_right })
    }

    #[test]
    fn statements_share_a_virtual_row_where_they_meet_and_never_shift_the_pairing() {
        let (left, right) = (placed("norm", 2, PlacementStatus::Exact), placed("norm", 3, PlacementStatus::Adapted));
        let diff = file("a\nb\nc\n", "a\nnew\nb\nc\n", Some(&left), Some(&right));
        assert_eq!((diff.added, diff.removed, diff.statement_count()), (1, 0, 1));
        assert_eq!(diff.pairs[3], Pair::Virtual { left: Some((0, 0)), right: Some((1, 0)) });
        assert_eq!(diff.pairs[4], Pair::Same { left: 2, right: 3 });
    }

    #[test]
    fn statements_in_different_places_have_rows_of_their_own() {
        let (left, right) = (placed("norm", 0, PlacementStatus::Exact), placed("norm", 2, PlacementStatus::Uncertain));
        let diff = file("a\nb\n", "a\nb\n", Some(&left), Some(&right));
        assert_eq!(diff.pairs[0], Pair::Virtual { left: Some((0, 0)), right: None });
        assert_eq!(diff.pairs[3], Pair::Virtual { left: None, right: Some((1, 0)) });
        assert!(diff.statement_on(Row::Both(3)).is_some_and(Statement::is_uncertain));
    }

    #[test]
    fn one_line_stands_for_both_sides_only_where_it_is_the_same_on_both() {
        let (left, mut right) = (placed("norm", 1, PlacementStatus::Exact), placed("norm", 1, PlacementStatus::Exact));
        let rows = |right: &Propagation| {
            let diff = file("a\nb\n", "a\nb\n", Some(&left), Some(right));
            let rows = diff.rows(false, &BTreeSet::new());
            assert!(diff.rows(true, &BTreeSet::new()).contains(&Row::Both(1)));
            let sides = rows.iter().filter_map(|row| diff.statement_on(*row)).map(|statement| statement.on_left);
            (sides.collect::<Vec<_>>(), rows)
        };
        assert_eq!(rows(&right).1, [Row::Both(0), Row::Both(1), Row::Both(2)]);
        right.placements[0].text = "log(\"norm\", other)\n".into();
        let (sides, rows) = rows(&right);
        assert_eq!(rows, [Row::Both(0), Row::Left(1), Row::Right(1), Row::Both(2)]);
        assert_eq!(sides, [true, false], "each can be gone to");
    }

    #[test]
    fn long_unchanged_regions_fold_and_open() {
        let text: String = (0..40).map(|i| format!("line {i}\n")).collect();
        let diff = file(&text, &text.replace("line 20\n", "line twenty\n"), None, None);
        let rows = diff.rows(true, &BTreeSet::new());
        assert_eq!(rows.len(), 1 + 3 + 1 + 3 + 1);
        assert_eq!(rows[0], Row::Fold { first: 0, count: 17 });
        assert_eq!(diff.rows(true, &BTreeSet::from([0])).len(), 20 + 1 + 3 + 1);
        assert_eq!(diff.rows(false, &BTreeSet::new())[4..6], [Row::Left(20), Row::Right(20)]);
    }
}
