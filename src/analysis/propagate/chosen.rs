//! Places that the user chooses instead of the one found: by line and column in, checked like any other, and found
//! again in other versions that have the same code around them.

use crate::analysis::propagate::adapt::Refusal;
use crate::analysis::propagate::anchor::{Point, SURE, is_reached};
use crate::analysis::propagate::draft::{Put, written};
use crate::analysis::propagate::insert::{Edit, first_index, own_indentation};
use crate::analysis::propagate::{Outcome, Provided, Session, line_of, refused};
use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId};
use crate::model::probe::{Around, PlacementStatus, Spot};

/// Where the user wants a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chosen {
    /// The name that it logs, and which of the statements that log it, from 0.
    pub name: String,
    pub statement: usize,
    pub spot: Spot,
    /// What it is to log there, where that is not what it logs in the source.
    pub expression: Option<String>,
    /// Who wants it there, as a reason.
    pub said: String,
}

/// A place as a user writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// After a line; the column at which it is to begin where several blocks end there.
    After(u32, Option<u32>),
    /// Before the statement that begins on a line.
    Before(u32),
}

/// The place that a wish means in a text.
///
/// # Errors
/// Why it means none, in words.
pub fn spot(text: &str, wish: Wish) -> Result<Spot, String> {
    let source = Source::parse(text);
    let last = source.lines.line(text.len().saturating_sub(1));
    match wish {
        Wish::After(line, _) | Wish::Before(line) if line > last => {
            Err(format!("there is no line {line}: the last one is {last}"))
        }
        Wish::After(line, column) => after(&source, line, column),
        Wish::Before(line) => {
            let starts = |id: &NodeId| source.lines.line(source.tree.node(*id).range.start) == line;
            let place = source.tree.statements().find(starts).and_then(|id| source.tree.place(id));
            let (block, index) = place.ok_or_else(|| format!("no statement begins on line {line}"))?;
            Ok(Spot { after_line: line_before(&source, block, index), column: column_of_block(&source, block) })
        }
    }
}

fn after(source: &Source<'_>, line: u32, column: Option<u32>) -> Result<Spot, String> {
    let gaps = gaps(source, line);
    let whole_lines: Vec<&Gap> = gaps.iter().filter(|gap| own_indentation(source, gap.block).is_some()).collect();
    let found = match (column, &whole_lines[..]) {
        (Some(column), _) => gaps.iter().find(|gap| gap.column == column),
        (None, [only]) => Some(*only),
        // The end of a line is as far in as the line is.
        (None, several) => several.iter().copied().filter(|gap| gap.ends_here).max_by_key(|gap| gap.column),
    };
    let found = found.or_else(|| gaps.first().filter(|_| gaps.len() == 1 && column.is_none()));
    found.map(|gap| Spot { after_line: line, column: gap.column }).ok_or_else(|| match gaps.len() {
        0 => format!("line {line} is in the middle of a statement"),
        _ => {
            let columns: Vec<String> = gaps.iter().map(|gap| format!("{line}:{}", gap.column)).collect();
            format!("after line {line} it can begin at {}", columns.join(" or "))
        }
    })
}

/// A place between two statements of a block.
pub(super) struct Gap {
    pub(super) block: NodeId,
    pub(super) index: usize,
    pub(super) column: u32,
    /// Whether the statement before it ends on the very line.
    ends_here: bool,
}

/// The places that a text has right after a line: several where inner blocks end.
pub(super) fn gaps(source: &Source<'_>, line: u32) -> Vec<Gap> {
    let tree = &source.tree;
    let first = |id: NodeId| source.lines.line(tree.node(id).range.start);
    let last = |id: NodeId| source.lines.line(tree.node(id).range.end.saturating_sub(1).max(tree.node(id).range.start));
    let mut found = Vec::new();
    for block in (0..tree.nodes.len()).filter(|id| tree.node(*id).kind == Kind::Block) {
        let children = &tree.node(block).children;
        let owner = tree.node(block).parent.unwrap_or(0);
        // A block goes on up to the next statement after it.
        let next = tree.statements().find(|id| *id >= tree.node(block).end).map_or(u32::MAX, first);
        let from = |index: usize| match index.checked_sub(1) {
            Some(before) => last(children[before]),
            None if owner == 0 => 0,
            None => {
                let header = tree.header(owner).into_iter().map(last_of_header(source, owner)).max();
                header.unwrap_or_else(|| first(owner))
            }
        };
        let index = (0..=children.len())
            .find(|index| (from(*index)..children.get(*index).map_or(next, |child| first(*child))).contains(&line));
        if let Some(index) = index {
            let ends_here = index > 0 && last(children[index - 1]) == line;
            found.push(Gap { block, index, column: column_of_block(source, block), ends_here });
        }
    }
    found
}

/// The last line of a header's node; the owner itself counts with its first line only.
fn last_of_header<'s>(source: &'s Source<'_>, owner: NodeId) -> impl Fn(NodeId) -> u32 + 's {
    move |id| {
        let range = &source.tree.node(id).range;
        source.lines.line(if id == owner { range.start } else { range.end.saturating_sub(1).max(range.start) })
    }
}

/// The line after which a place is.
pub(super) fn line_before(source: &Source<'_>, block: NodeId, index: usize) -> u32 {
    let tree = &source.tree;
    let children = &tree.node(block).children;
    let previous = index.checked_sub(1).and_then(|at| children.get(at));
    match previous {
        Some(previous) => source.lines.line(tree.node(*previous).range.end.saturating_sub(1)),
        None => children.first().map_or(0, |id| source.lines.line(tree.node(*id).range.start).saturating_sub(1)),
    }
}

/// The column at which the statements of a block begin.
pub(super) fn column_of_block(source: &Source<'_>, block: NodeId) -> u32 {
    let first = source.tree.node(block).children.first();
    first.map_or(1, |id| column_at(source, source.tree.node(*id).range.start))
}

/// The column at which what an edit writes begins.
pub(super) fn column_of_edit(source: &Source<'_>, edit: &Edit) -> u32 {
    let before = if edit.inline { column_at(source, edit.offset) } else { 1 };
    let text = edit.text.trim_start_matches(['\n', '\r']);
    let skipped = text.len() - text.trim_start_matches([' ', '\t', ';', '\u{c}']).len();
    before + u32::try_from(skipped).unwrap_or(0)
}

/// The column at which the text of a line begins.
pub(super) fn column_of_line(source: &Source<'_>, line: u32) -> u32 {
    let text = source.text.get(source.lines.start(line)..).unwrap_or_default();
    u32::try_from(text.len() - text.trim_start_matches([' ', '\t', '\u{c}']).len()).unwrap_or(0) + 1
}

fn column_at(source: &Source<'_>, offset: usize) -> u32 {
    let before = source.text.get(source.lines.start(source.lines.line(offset))..offset).unwrap_or_default();
    u32::try_from(before.trim_start_matches('\u{feff}').chars().count()).unwrap_or(0) + 1
}

/// The code around a place: `None` at the top level of a file, where nothing but the whole file is around it.
pub fn around(text: &str, spot: Spot) -> Option<Around> {
    around_in(&Source::parse(text), spot)
}

fn around_in(source: &Source<'_>, spot: Spot) -> Option<Around> {
    let gap = gaps(source, spot.after_line).into_iter().find(|gap| gap.column == spot.column)?;
    let tree = &source.tree;
    let owner = tree.ancestors(gap.block).find(|id| tree.node(*id).kind.is_compound())?;
    let first = source.lines.line(tree.node(owner).range.start);
    let text = whole_lines(source, owner).to_owned();
    Some(Around { text, offset: spot.after_line - first.min(spot.after_line), column: spot.column })
}

fn whole_lines<'t>(source: &Source<'t>, id: NodeId) -> &'t str {
    let range = &source.tree.node(id).range;
    let last = source.lines.line(range.end.saturating_sub(1).max(range.start));
    let start = source.lines.start(source.lines.line(range.start));
    let next = source.lines.start(last + 1);
    let end = if next > range.start { next } else { source.text.len() };
    source.text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
}

/// The same place in another text: where exactly one statement has exactly the same lines.
pub fn found_again(text: &str, around: &Around) -> Option<Spot> {
    let source = Source::parse(text);
    let compound = source.tree.statements().filter(|id| source.tree.node(*id).kind.is_compound());
    let mut same = compound.filter(|id| whole_lines(&source, *id) == around.text);
    let (owner, None) = (same.next()?, same.next()) else { return None };
    let first = source.lines.line(source.tree.node(owner).range.start);
    let spot = Spot { after_line: first + around.offset, column: around.column };
    (around_in(&source, spot)? == *around).then_some(spot)
}

impl Session<'_> {
    /// Places a statement where the user wants it, if everything it needs is there.
    pub(super) fn place_as_chosen(&self, node: NodeId, chosen: &Chosen) -> Outcome {
        let mut placement = self.blank(node);
        let point = match self.point_at(chosen.spot) {
            Ok(point) => point,
            Err(reason) => return self.not_there(node, chosen, &reason),
        };
        if let Some(expression) = &chosen.expression {
            return self.place_as_written(node, chosen, expression, (point.block, point.index));
        }
        let mut reason = None;
        for whole in self.wholes(node) {
            match self.adapt_at(&whole, point.clone(), 0, &mut Provided::default()) {
                Err(Refusal(refusal)) => drop(reason.get_or_insert(refusal)),
                Ok((_, adapted)) => {
                    let doubts = [&adapted.doubts, &adapted.others, &adapted.context].into_iter().flatten();
                    placement.reasons = std::iter::once(&chosen.said).chain(doubts).cloned().collect();
                    placement.status = match placement.reasons.len() {
                        1 => PlacementStatus::Adapted,
                        _ => PlacementStatus::Uncertain,
                    };
                    placement.changes = adapted.changes;
                    placement.after_line = adapted.edits.first().map(|edit| line_of(self.target, edit));
                    placement.text = adapted.edits.first().map(|edit| edit.text.clone()).unwrap_or_default();
                    return Outcome { node, placement, edits: adapted.edits, whole: adapted.whole };
                }
            }
        }
        self.not_there(node, chosen, &reason.unwrap_or_else(|| "it cannot be taken there".to_owned()))
    }

    /// Places a log statement of the user's own words.
    fn place_as_written(&self, node: NodeId, chosen: &Chosen, expression: &str, at: (NodeId, usize)) -> Outcome {
        let Put { edits, mut doubts, .. } = match written(self.target, &chosen.name, expression, at, node) {
            Ok(written) => written,
            Err(misfit) => return self.not_there(node, chosen, &misfit.what),
        };
        // What stands beside it in the source for its sake is not written with it.
        let whole = self.wholes(node).into_iter().next();
        let beside = whole.iter().flat_map(|whole| whole.parts.iter().filter(|part| **part != whole.statement));
        let text = |id: &NodeId| self.source.text.get(self.source.tree.node(*id).range.clone()).unwrap_or_default();
        let first = |id: &NodeId| text(id).lines().next().unwrap_or_default().to_owned();
        doubts.extend(beside.map(|id| format!("`{}` does not come with what you wrote", first(id))));
        let mut placement = self.blank(node);
        let sure = doubts.is_empty();
        placement.status = if sure { PlacementStatus::Adapted } else { PlacementStatus::Uncertain };
        placement.reasons = std::iter::once(chosen.said.clone()).chain(doubts).collect();
        placement.changes = vec![format!("it logs `{}`", expression.trim())];
        placement.after_line = edits.first().map(|edit| line_of(self.target, edit));
        placement.text = edits.first().map(|edit| edit.text.clone()).unwrap_or_default();
        Outcome { node, placement, edits, whole: None }
    }

    fn not_there(&self, node: NodeId, chosen: &Chosen, reason: &str) -> Outcome {
        let placement = refused(self.blank(node), &format!("{}, but {reason}", chosen.said));
        Outcome::without(node, placement)
    }

    fn point_at(&self, spot: Spot) -> Result<Point, String> {
        let (block, index) = between(self.target, spot)?;
        Ok(Point { block, index, score: SURE, reason: String::new(), anchor: block })
    }
}

/// The block and the index in it before which a statement at a place would stand.
///
/// # Errors
/// Why none can, in words.
pub(super) fn between(source: &Source<'_>, spot: Spot) -> Result<(NodeId, usize), String> {
    let (line, column) = (spot.after_line, spot.column);
    let gap = gaps(source, line).into_iter().find(|gap| gap.column == column);
    let gap = gap.ok_or_else(|| format!("no statement can begin at column {column} after line {line}"))?;
    match () {
        () if gap.index < first_index(source, gap.block) => {
            Err("a docstring and `from __future__` imports come first".to_owned())
        }
        () if !is_reached(source, gap.block, gap.index) => {
            Err(format!("nothing after line {line} of its block is executed"))
        }
        () => Ok((gap.block, gap.index)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Chosen, Wish, around, found_again, spot};
    use crate::analysis::propagate::propagate_chosen;
    use crate::model::probe::{Placement, PlacementStatus, Spot};

    const TARGET: &str = "\
import afterlog
w = 0.0
for epoch in range(3):
    for step in range(2):
        w += step

    afterlog.log('w', w)
# the end
print(w)
";

    fn at(after_line: u32, column: u32) -> Spot {
        Spot { after_line, column }
    }

    #[test]
    fn a_line_means_one_place_or_the_choice_is_told() {
        for (wish, expected) in [
            (Wish::After(0, None), Ok(at(0, 1))),
            (Wish::After(2, None), Ok(at(2, 1))),
            (Wish::After(3, None), Ok(at(3, 5))),
            (Wish::After(4, None), Ok(at(4, 9))),
            (Wish::After(5, None), Ok(at(5, 9))),
            (Wish::After(5, Some(5)), Ok(at(5, 5))),
            (Wish::Before(7), Ok(at(5, 5))),
            (Wish::Before(5), Ok(at(4, 9))),
            (Wish::After(7, None), Ok(at(7, 5))),
            (Wish::Before(9), Ok(at(7, 1))),
            (Wish::After(6, None), Err("after line 6 it can begin at 6:5 or 6:9")),
            (Wish::After(5, Some(3)), Err("after line 5 it can begin at 5:5 or 5:9")),
            (Wish::Before(8), Err("no statement begins on line 8")),
            (Wish::After(40, None), Err("there is no line 40: the last one is 9")),
        ] {
            assert_eq!(spot(TARGET, wish), expected.map_err(str::to_owned), "{wish:?}");
        }
        let long = "f(1,\n  2)\nfor x in y: f(x)\n";
        assert!(spot(long, Wish::After(1, None)).is_err_and(|why| why.contains("middle of a statement")));
        assert_eq!(spot(long, Wish::After(3, None)), Ok(at(3, 1)));
    }

    #[test]
    fn a_place_is_found_again_where_the_same_code_is_around_it() {
        let around = around(TARGET, at(4, 9)).expect("a loop around it");
        assert_eq!(around.text, "    for step in range(2):\n        w += step");
        let later = TARGET.replace("w = 0.0\n", "w = 0.0\nlr = 0.1\n");
        assert_eq!(found_again(&later, &around), Some(at(5, 9)));
        assert_eq!(found_again(&TARGET.replace("+= step", "-= step"), &around), None);
        let twice = format!("{TARGET}if w:\n    for step in range(2):\n        w += step\n");
        assert_eq!(found_again(&twice, &around), None, "either could be meant");
    }

    fn moved(source: &str, spot: Spot) -> Placement {
        let (said, expression) = ("moved here".into(), None);
        let chosen = Chosen { name: "n".into(), statement: 0, spot, expression, said };
        let found = propagate_chosen(source, &["n".to_owned()], TARGET, &[chosen]);
        found.placements.into_iter().next().expect("a placement")
    }

    #[test]
    fn a_chosen_place_is_taken_or_refused_for_what_is_not_defined_there() {
        let source = TARGET.replace("print(w)", "afterlog.log('n', step)");
        let placement = moved(&source, at(4, 9));
        assert_eq!((placement.line, placement.column), (Some(5), Some(9)), "{placement:?}");
        assert_eq!(placement.reasons[0], "moved here");
        let refused = moved(&source, at(2, 1));
        assert_eq!(refused.status, PlacementStatus::NotApplicable);
        assert!(
            refused.reasons[0].starts_with("moved here, but") && refused.reasons[0].contains("`step`"),
            "{refused:?}"
        );
    }

    #[test]
    fn one_of_two_statements_in_a_block_that_is_there_for_them_moves_without_the_other() {
        let both = "    with quiet():\n        afterlog.log('a', w)\n        afterlog.log('n', w + 1)\n";
        let source = TARGET.replace("\n    afterlog.log('w', w)\n", &format!("\n{both}    afterlog.log('w', w)\n"));
        let source = source.replace("import afterlog\n", "import afterlog\nfrom data import quiet\n");
        for name in ["a", "n"] {
            let (said, expression) = ("moved here".into(), None);
            let chosen = Chosen { name: name.into(), statement: 0, spot: at(7, 5), expression, said };
            let found = propagate_chosen(&source, &["a".to_owned(), "n".to_owned()], TARGET, &[chosen]);
            for text in ["with quiet()", "log('a'", "log('n'"] {
                let times = if text.starts_with("with") { 2 } else { 1 };
                assert_eq!(found.text.matches(text).count(), times, "{name}: {}", found.text);
            }
        }
    }
}
