//! A statement that is alone in an `else`, `elif` or `finally` which the target has not: the arm is written with
//! it, after the branch, loop or `try` that corresponds. What the target does stays the same.

use crate::analysis::propagate::adapt::Adapted;
use crate::analysis::propagate::anchor::{Point, SURE, kind_word};
use crate::analysis::propagate::unit::Whole;
use crate::analysis::propagate::{Provided, Session};
use crate::analysis::treediff::{Kind, NodeId, Tree};

impl Session<'_> {
    /// A statement with an arm of its own, if it has one in the source and the target has room for one.
    pub(super) fn as_further_arm(&self, node: NodeId) -> Option<(Point, Adapted)> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let (block, _) = ours.place(node)?;
        let holder = ours.node(block).parent.filter(|_| ours.node(block).children.len() == 1)?;
        let is_arm = ours.node(holder).kind == Kind::Arm;
        let owner = if is_arm { ours.node(holder).parent? } else { holder };
        let there = self.counterpart(owner)?;
        let keyword = match (ours.node(owner).kind, ours.node(block).text.as_str()) {
            // A `case` stands further in than its `match`.
            (Kind::Branch, _) if is_arm && ours.blocks(owner).next().is_some() => {
                let (before, after) = (arms(ours, owner).position(|arm| arm == holder)?, arms(theirs, there));
                let last = after.clone().last();
                // `else:` takes all that is left.
                let asks = |arm: NodeId| {
                    let first = theirs.node(arm).children.first().map(|first| theirs.node(*first));
                    first.is_some_and(|first| first.kind != Kind::Block)
                };
                let open = last.is_none_or(asks);
                let ends = arms(ours, owner).count() == before + 1 && after.count() == before && open;
                let asked = ours.node(holder).children.len() > 1;
                ends.then_some(if asked { None } else { Some("else:") })?
            }
            (Kind::Loop, "1") if !has_block(theirs, there, "1") => Some("else:"),
            (Kind::Try, "1") if !has_block(theirs, there, "1") && !has_block(theirs, there, "2") => {
                arms(theirs, there).next().map(|_| "else:").map(Some)?
            }
            (Kind::Try, "2") if !has_block(theirs, there, "2") => Some("finally:"),
            _ => return None,
        };
        let guards = if keyword.is_none() { vec![holder] } else { Vec::new() };
        let whole = Whole { guards, further: true, keyword, ..Whole::alone(node) };
        let (block, index) = theirs.place(there)?;
        let line = self.target.lines.line(theirs.node(there).range.start);
        let reason = format!("after the {} at line {line}, as a part of it", kind_word(theirs, there));
        let point = Point { block, index, score: SURE, reason, anchor: owner };
        let (point, mut adapted) = self.adapt_at(&whole, point, 0, &mut Provided::default()).ok()?;
        adapted.changes.push(format!("`{}` added", keyword.unwrap_or("elif").trim_end_matches(':')));
        let before = std::iter::once((owner, there)).chain(arms(ours, owner).zip(arms(theirs, there)));
        adapted.changes.extend(before.filter_map(|(a, b)| self.asked_otherwise(a, b)));
        adapted.context.extend(self.runs_otherwise(owner, there));
        Some((point, adapted))
    }

    /// Why what the target has in place of a statement is executed at other times than that.
    fn runs_otherwise(&self, owner: NodeId, there: NodeId) -> Option<String> {
        let (ours, theirs) = (&self.source.tree, &self.target.tree);
        let around = |tree: &Tree, id: NodeId| -> Vec<NodeId> {
            let within = |at: &NodeId| !tree.node(*at).kind.is_scope();
            tree.ancestors(id).take_while(within).filter(|at| tree.node(*at).kind == Kind::Loop).collect()
        };
        let (was, is) = (around(ours, owner), around(theirs, there));
        let same = was.len() == is.len() && was.iter().zip(&is).all(|(a, b)| self.counterpart(*a) == Some(*b));
        let (line, word) = (self.target.lines.line(theirs.node(there).range.start), kind_word(theirs, there));
        let scope = ours.scope(owner);
        match () {
            () if !same => Some(format!("the {word} at line {line} is in other loops than in the source")),
            () if scope != 0 && self.counterpart(scope) != Some(theirs.scope(there)) => {
                Some(format!("the {word} at line {line} is in another function than in the source"))
            }
            () => None,
        }
    }
}

fn arms(tree: &Tree, owner: NodeId) -> impl Iterator<Item = NodeId> + Clone + '_ {
    tree.node(owner).children.iter().copied().filter(|child| tree.node(*child).kind == Kind::Arm)
}

fn has_block(tree: &Tree, owner: NodeId, slot: &str) -> bool {
    tree.blocks(owner).any(|block| tree.node(block).text == slot)
}
