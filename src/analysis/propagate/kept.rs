//! Whether a result is the target and what was inserted, and nothing else: checked on the parsed result, whatever the
//! target's own errors made of its tree.

use crate::analysis::propagate::insert::Edit;
use crate::analysis::python::Source;

/// Whether every statement of `target` is in `result`, in the same blocks, and each edit's text is statements of its own.
/// `edits` stand in the order of their offsets. O(statements · depth).
pub(super) fn is_kept(target: &Source<'_>, result: &Source<'_>, edits: &[Edit]) -> bool {
    if result.problems.len() > target.problems.len() {
        return false;
    }
    let mut starts = Vec::with_capacity(edits.len());
    let mut shift = 0;
    for edit in edits {
        starts.push(edit.offset + shift);
        shift += edit.text.len();
    }
    // The edit whose text holds the byte, and the bytes inserted before it.
    let edit_at = |offset: usize| {
        let at = starts.partition_point(|start| *start <= offset).checked_sub(1)?;
        Some((at, offset < starts[at] + edits[at].text.len()))
    };
    let depth = |source: &Source<'_>, id| source.tree.ancestors(id).count();
    let mut filled = vec![false; edits.len()];
    let mut old = target.tree.statements();
    for id in result.tree.statements() {
        let node = result.tree.node(id);
        let inserted = match edit_at(node.range.start) {
            Some((at, true)) => {
                filled[at] = true;
                continue;
            }
            Some((at, false)) => starts[at] - edits[at].offset + edits[at].text.len(),
            None => 0,
        };
        let Some(was) = old.next() else { return false };
        let other = target.tree.node(was);
        let same = other.range.start == node.range.start - inserted
            && (other.kind, &other.text) == (node.kind, &node.text)
            && (node.kind.is_compound() || other.hash == node.hash)
            && depth(target, was) == depth(result, id);
        if !same {
            return false;
        }
    }
    old.next().is_none() && filled.iter().all(|filled| *filled)
}
