//! Code that never runs: below a condition that cannot hold, or after what leaves.

use crate::analysis::propagate::scope::ends;
use crate::analysis::treediff::{Kind, NodeId, Tree};

/// The statement because of which nothing at a place is ever executed, as far as its own function tells.
pub(super) fn never_runs(tree: &Tree, block: NodeId, index: usize) -> Option<NodeId> {
    let (mut block, mut index) = (block, index);
    loop {
        let before = tree.node(block).children.iter().take(index);
        if let Some(last) = before.copied().find(|id| !ends(tree, *id)) {
            return Some(last);
        }
        let owner = tree.node(block).parent?;
        let statement = tree.statement_of(owner).filter(|id| !tree.node(*id).kind.is_scope())?;
        if is_switched_off(tree, owner, block) {
            return Some(statement);
        }
        (block, index) = tree.place(statement)?;
    }
}

/// Whether the condition before a block can never hold.
fn is_switched_off(tree: &Tree, owner: NodeId, block: NodeId) -> bool {
    let test = |id: NodeId| tree.node(id).children.first().and_then(|test| constant(tree, *test));
    match tree.node(owner).kind {
        Kind::Branch | Kind::Loop => tree.blocks(owner).next() == Some(block) && test(owner) == Some(false),
        Kind::Arm => {
            let Some(branch) = tree.node(owner).parent.filter(|id| tree.blocks(*id).next().is_some()) else {
                return false;
            };
            let arms = tree.node(branch).children.iter().copied();
            let mut earlier = arms.filter(|arm| tree.node(*arm).kind == Kind::Arm && *arm < owner);
            tree.node(branch).kind == Kind::Branch
                && (test(branch) == Some(true)
                    || earlier.any(|arm| test(arm) == Some(true))
                    || test(owner) == Some(false))
        }
        _ => false,
    }
}

/// What a condition always is, where that does not depend on a variable.
fn constant(tree: &Tree, id: NodeId) -> Option<bool> {
    let node = tree.node(id);
    let parts = || node.children.iter().map(|part| constant(tree, *part));
    match (node.kind, node.text.as_str()) {
        (Kind::Other, "True") | (Kind::Literal, "1") => Some(true),
        (Kind::Other, "False") | (Kind::Literal, "0") => Some(false),
        (Kind::Other, "not") => parts().next().flatten().map(|holds| !holds),
        (Kind::Other, "and") if parts().any(|part| part == Some(false)) => Some(false),
        (Kind::Other, "and") => parts().all(|part| part == Some(true)).then_some(true),
        (Kind::Other, "or") if parts().any(|part| part == Some(true)) => Some(true),
        (Kind::Other, "or") => parts().all(|part| part == Some(false)).then_some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::never_runs;
    use crate::analysis::python::Source;

    #[test]
    fn code_that_never_runs_is_told_from_code_that_may() {
        for (dead, text) in [
            (true, "if False:\n    here()"),
            (true, "if a and False:\n    for b in c:\n        here()"),
            (true, "if a and not True:\n    here()"),
            (true, "while 0:\n    here()"),
            (true, "if True:\n    f()\nelse:\n    here()"),
            (true, "if a:\n    f()\nelif False:\n    here()"),
            (true, "if a or 1:\n    f()\nelif b:\n    here()"),
            (true, "def f():\n    return 1\n    for b in c:\n        here()"),
            (true, "def f():\n    if a:\n        return 1\n    else:\n        raise b\n    here()"),
            (true, "while True:\n    f()\nhere()"),
            (true, "for a in b:\n    continue\n    with c:\n        here()"),
            (false, "if a or False:\n    here()"),
            (false, "if True:\n    here()\nelse:\n    f()"),
            (false, "if False:\n    f()\nelse:\n    here()"),
            (false, "while True:\n    if a:\n        break\nhere()"),
            (false, "while 1:\n    here()"),
            (false, "def f():\n    if a:\n        return 1\n    here()"),
            (false, "for a in b:\n    if c:\n        continue\n    here()"),
            (false, "try:\n    raise a\nexcept b:\n    pass\nhere()"),
            (false, "match True:\n    case a:\n        here()"),
        ] {
            let source = Source::parse(text);
            let here = source.tree.uses("here").iter().find_map(|id| source.tree.statement_of(*id)).expect("a place");
            let (block, index) = source.tree.place(here).expect("in a block");
            assert_eq!(never_runs(&source.tree, block, index).is_some(), dead, "{text}");
        }
    }
}
