//! The places of a text between its statements, in reading order: for moving a statement up and down.

use std::cmp::Reverse;

use crate::analysis::propagate::anchor::is_reached;
use crate::analysis::propagate::chosen::{column_of_block, gaps, line_before};
use crate::analysis::propagate::insert::{first_index, own_indentation};
use crate::analysis::python::Source;
use crate::analysis::treediff::Kind;
use crate::model::probe::Spot;

/// The places after (or before) one, nearest first. Where several blocks end on one line, the inner one comes first.
/// O(statements · log statements).
pub fn further(text: &str, from: Spot, forwards: bool) -> Vec<Spot> {
    let source = Source::parse(text);
    let tree = &source.tree;
    let mut all = Vec::new();
    let blocks = (0..tree.nodes.len()).filter(|id| tree.node(*id).kind == Kind::Block);
    for block in blocks.filter(|block| own_indentation(&source, *block).is_some()) {
        for index in first_index(&source, block)..=tree.node(block).children.len() {
            if is_reached(&source, block, index) {
                let (after_line, column) = (line_before(&source, block, index), column_of_block(&source, block));
                all.push(((after_line, Reverse(column)), (block, index)));
            }
        }
    }
    all.sort();
    // Comments and blank lines belong to the place that they stand in.
    let here = gaps(&source, from.after_line).into_iter().find(|gap| gap.column == from.column);
    let here = here.map_or((from.after_line, Reverse(from.column)), |gap| {
        (line_before(&source, gap.block, gap.index), Reverse(gap.column))
    });
    let spot = |((after_line, Reverse(column)), _): &((u32, Reverse<u32>), _)| Spot {
        after_line: *after_line,
        column: *column,
    };
    if forwards {
        all.iter().filter(|(key, _)| *key > here).map(spot).collect()
    } else {
        all.iter().rev().filter(|(key, _)| *key < here).map(spot).collect()
    }
}

/// The last line of the innermost statement that a line belongs to.
pub fn statement_end(text: &str, line: u32) -> Option<u32> {
    let source = Source::parse(text);
    let lines = |id| {
        let range = &source.tree.node(id).range;
        (source.lines.line(range.start), source.lines.line(range.end.saturating_sub(1).max(range.start)))
    };
    let around = source.tree.statements().map(lines).filter(|(first, last)| (*first..=*last).contains(&line));
    around.last().map(|(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
\"\"\"A script.\"\"\"
import a
for x in y:
    # what it does
    f(x,
      1)
    if x:
        g()

h()
";

    #[test]
    fn a_place_follows_the_other_as_one_reads_inner_blocks_first() {
        let at = |after_line, column| Spot { after_line, column };
        let all = [at(1, 1), at(2, 1), at(4, 5), at(6, 5), at(7, 9), at(8, 9), at(8, 5), at(8, 1), at(10, 1)];
        assert_eq!(further(TEXT, at(0, 1), true), all);
        let before: Vec<Spot> = all[..5].iter().rev().copied().collect();
        assert_eq!(further(TEXT, at(8, 9), false), before);
        // A blank line after the block is a place of what goes on there.
        assert_eq!(further(TEXT, at(9, 1), true), [at(10, 1)]);
    }

    #[test]
    fn a_line_within_a_statement_leads_to_its_end() {
        assert_eq!(statement_end(TEXT, 5), Some(6));
        assert_eq!(statement_end(TEXT, 9), None);
    }
}
