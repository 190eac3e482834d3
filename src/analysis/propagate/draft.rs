//! A log statement that is written for a script and not into it: put into a copy of the text, if all that it reads has a
//! value there. And what can be read at a place, for those who write one.

use std::collections::HashMap;

use crate::analysis::propagate::anchor::is_reached;
use crate::analysis::propagate::chosen::between;
use crate::analysis::propagate::compose::{applied, sort};
use crate::analysis::propagate::insert::{self, Edit, Unit, first_index, spans};
use crate::analysis::propagate::kept::is_kept;
use crate::analysis::propagate::logging;
use crate::analysis::propagate::scope::{Bound, Visible};
use crate::analysis::python::{NoExpression, Source, argument};
use crate::analysis::treediff::{Kind, NodeId};
use crate::model::probe::Spot;

/// How a script that does not import us comes to.
const IMPORT: &str = "import afterlog";

/// A text with a log statement in it that its file has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drafted {
    pub text: String,
    /// The statement's line there, 1-based.
    pub line: u32,
    pub statement: String,
    /// What may go wrong with it.
    pub doubts: Vec<String>,
}

/// Why a statement cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    pub what: String,
    /// The byte of the expression that it is about.
    pub at: Option<usize>,
}

impl Misfit {
    fn of_place(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None }
    }
}

/// Puts a statement that logs `expression` as `name` at a place of a text.
///
/// # Errors
/// Why it cannot be there.
pub fn draft(text: &str, name: &str, expression: &str, spot: Spot) -> Result<Drafted, Misfit> {
    let target = Source::parse(text);
    let (block, index) = between(&target, spot).map_err(Misfit::of_place)?;
    if let Some((at, _)) = logging(&target).into_iter().find(|(_, logged)| logged == name) {
        let line = target.lines.line(target.tree.node(at).range.start);
        return Err(Misfit::of_place(format!("line {line} logs '{name}' already")));
    }
    let Put { mut edits, statement, doubts } = written(&target, name, expression, (block, index), 1)?;
    let wanted = edits[0].clone();
    sort(&mut edits);
    let result = applied(text, &edits);
    if !is_kept(&target, &Source::parse(&result), &edits) {
        return Err(Misfit::of_place("the script would not parse with it, or as other code"));
    }
    let at = edits.iter().position(|edit| *edit == wanted).unwrap_or_default();
    let line = spans(text, &edits).get(at).map_or(1, |(first, _)| *first);
    Ok(Drafted { text: result, line, statement, doubts })
}

/// What puts a statement into a text.
pub(super) struct Put {
    /// Its own edit first, then those it needs.
    pub(super) edits: Vec<Edit>,
    statement: String,
    /// What may go wrong with it.
    pub(super) doubts: Vec<String>,
}

/// What puts a log statement into a text. Its edit has `order` among those at one place.
///
/// # Errors
/// Why it cannot be there.
pub(super) fn written(
    target: &Source<'_>,
    name: &str,
    typed: &str,
    (block, index): (NodeId, usize),
    order: usize,
) -> Result<Put, Misfit> {
    let quoted = quoted(name)?;
    let expression = argument(typed).map_err(|NoExpression { at, what }| Misfit { what, at: Some(at) })?;
    let visible = Visible::at(&target.tree, block, index);
    let (spelled, import) = spelling(target, &visible)?;
    let statement = format!("{spelled}({quoted}, {expression})");
    let ours = Source::parse(&statement);
    let body = typed.trim();
    let bracket = usize::from(expression.len() > body.len());
    let shift = statement.len() - 1 - expression.len() + bracket;
    let before = typed.len() - typed.trim_start().len();
    let doubts = read_values(&ours, &visible, shift)
        .map_err(|misfit| Misfit { at: misfit.at.map(|at| at + before), ..misfit })?;
    let mut edits = vec![edit(target, &ours, &statement, (block, index), order)?];
    if import {
        edits.push(edit(target, &ours, IMPORT, top(target)?, 0)?);
    }
    Ok(Put { edits, statement, doubts })
}

/// What can be read at a place: variables, functions, and attributes that the text uses, nearest first.
pub fn readable(text: &str, spot: Spot) -> Vec<String> {
    let source = Source::parse(text);
    let Ok((block, index)) = between(&source, spot) else { return Vec::new() };
    let (tree, visible) = (&source.tree, Visible::at(&source.tree, block, index));
    let mut nearest: HashMap<String, u32> = HashMap::new();
    for id in 0..tree.nodes.len() {
        let node = tree.node(id);
        let path = match node.kind {
            Kind::Name | Kind::Member => tree.path(id),
            _ if node.access.binds() => Some(node.name.clone()),
            _ => None,
        };
        let Some(path) = path.filter(|path| !path.is_empty() && path != "*") else { continue };
        let base = path.split('.').next().unwrap_or(&path);
        let ours = source.spelling.values().any(|spelled| spelled.split('.').next() == Some(base));
        if ours
            || base.starts_with("__")
            || visible.get(base) == Bound::No
            || !tree.binds(0, base) && is_far(&source, id, block)
        {
            continue;
        }
        let distance = source.lines.line(node.range.start).abs_diff(spot.after_line);
        nearest.entry(path).and_modify(|known| *known = distance.min(*known)).or_insert(distance);
    }
    let mut found: Vec<(u32, String)> = nearest.into_iter().map(|(path, distance)| (distance, path)).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Whether a node belongs to a function that the place is not in: its variables are others, even of the same name.
fn is_far(source: &Source<'_>, id: NodeId, block: NodeId) -> bool {
    let scope = source.tree.scope(id);
    scope != 0 && scope != source.tree.scope(block) && !source.tree.contains(scope, block)
}

/// A name as a Python text.
fn quoted(name: &str) -> Result<String, Misfit> {
    if name.is_empty() {
        return Err(Misfit::of_place("a name is missing: under which the value is logged"));
    }
    if name.chars().any(char::is_control) {
        return Err(Misfit::of_place("a name stands on one line"));
    }
    Ok(format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// How the text calls `log` at a place, and whether it has to be imported first.
fn spelling(target: &Source<'_>, visible: &Visible<'_>) -> Result<(String, bool), Misfit> {
    let known = target.spelling.get("log").cloned();
    let base = |spelled: &str| spelled.split('.').next().unwrap_or_default().to_owned();
    match known {
        Some(spelled) if visible.get(&base(&spelled)) != Bound::No => Ok((spelled, false)),
        None if target.tree.nodes.iter().any(|node| node.name == "afterlog" && node.access.binds()) => {
            Err(Misfit::of_place("`afterlog` is something else in the script"))
        }
        _ => Ok(("afterlog.log".to_owned(), true)),
    }
}

/// Checks that whatever a statement reads has a value; gives what may have none. `shift`: bytes before the expression.
fn read_values(ours: &Source<'_>, visible: &Visible<'_>, shift: usize) -> Result<Vec<String>, Misfit> {
    let at = |offset: usize| Some(offset.saturating_sub(shift));
    if let Some(range) = ours.yields.iter().chain(&ours.awaits).next() {
        return Err(Misfit { what: "it yields or awaits, which changes what runs".to_owned(), at: at(range.start) });
    }
    let mut doubts = Vec::new();
    for node in ours.tree.nodes.iter().filter(|node| node.range.start >= shift) {
        let name = &node.name;
        if node.access.binds() {
            return Err(Misfit { what: format!("it would give `{name}` a value"), at: at(node.range.start) });
        }
        if !node.access.reads() {
            continue;
        }
        match visible.get(name) {
            Bound::Yes => {}
            Bound::Maybe => doubts.push(format!("`{name}` may have no value there")),
            Bound::No => {
                return Err(Misfit { what: format!("`{name}` has no value there"), at: at(node.range.start) });
            }
        }
    }
    doubts.sort();
    doubts.dedup();
    Ok(doubts)
}

fn edit(
    target: &Source<'_>,
    ours: &Source<'_>,
    text: &str,
    (block, index): (NodeId, usize),
    order: usize,
) -> Result<Edit, Misfit> {
    let Some(statement) = ours.tree.statements().next() else { return Err(Misfit::of_place("it is no statement")) };
    let unit = Unit::text(statement, text.to_owned());
    let edit = insert::edit(ours, target, &unit, block, index).map_err(Misfit::of_place)?;
    Ok(Edit { order, ..edit })
}

/// Where an import can stand first.
fn top(target: &Source<'_>) -> Result<(NodeId, usize), Misfit> {
    let block = target.tree.blocks(0).next().ok_or_else(|| Misfit::of_place("the script is empty"))?;
    let index = first_index(target, block);
    match is_reached(target, block, index) {
        true => Ok((block, index)),
        false => Err(Misfit::of_place("the script has no place for an import")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
import math
from model import Net

def train(net, xs):
    total = 0.0
    for x in xs:
        if x:
            loss = net(x)
        total += x
    return total

net = Net()
for epoch in range(3):
    train(net, [1, 2])
";

    fn at(after_line: u32, column: u32) -> Spot {
        Spot { after_line, column }
    }

    #[test]
    fn a_statement_is_put_where_it_is_wanted_with_the_import_that_it_needs() {
        let drafted = draft(SCRIPT, "so far", "math.sqrt(total)", at(9, 9)).expect("fits");
        let expected = SCRIPT
            .replace("import math\n", "import afterlog\nimport math\n")
            .replace("+= x\n", "+= x\n        afterlog.log(\"so far\", math.sqrt(total))\n");
        assert_eq!(drafted.text, expected);
        assert_eq!((drafted.line, drafted.statement.as_str()), (11, "afterlog.log(\"so far\", math.sqrt(total))"));
        assert!(drafted.doubts.is_empty());
        let known = format!("from afterlog import log as note\n{SCRIPT}");
        let drafted = draft(&known, "e", "epoch, 1", at(15, 5)).expect("fits");
        assert_eq!(drafted.text, format!("{known}    note(\"e\", (epoch, 1))\n"));
    }

    #[test]
    fn what_has_no_value_there_is_said_with_its_place_in_the_expression() {
        for (expression, spot, what, column) in [
            ("total + los", at(9, 9), "`los` has no value", Some(8)),
            (" x, los", at(9, 9), "`los` has no value", Some(4)),
            ("xs, los", at(9, 9), "`los` has no value", Some(4)),
            ("total", at(12, 1), "`total` has no value", Some(0)),
            ("epoch", at(11, 1), "`epoch` has no value", Some(0)),
            ("(total := 3)", at(9, 9), "give `total` a value", Some(1)),
            ("(yield total)", at(9, 9), "yields", Some(1)),
            ("total", at(10, 5), "nothing after line 10", None),
            ("total", at(9, 3), "column 3", None),
        ] {
            let misfit = draft(SCRIPT, "n", expression, spot).expect_err(expression);
            assert!(misfit.what.contains(what), "{expression}: {misfit:?}");
            assert_eq!(misfit.at, column, "{expression}: {misfit:?}");
        }
        let drafted = draft(SCRIPT, "n", "[y for y in xs] + [loss]", at(9, 9)).expect("fits");
        assert_eq!(drafted.doubts, ["`loss` may have no value there"]);
        let logged = format!("import afterlog\nafterlog.log('n', 1)\n{SCRIPT}");
        assert!(draft(&logged, "n", "2", at(2, 1)).is_err_and(|misfit| misfit.what.contains("line 2 logs 'n'")));
    }

    #[test]
    fn what_can_be_read_is_offered_nearest_first_and_nothing_else() {
        let names = readable(SCRIPT, at(9, 9));
        assert_eq!(names[..2], ["total", "x"]);
        assert!(names.contains(&"loss".to_owned()) && names.contains(&"math".to_owned()), "{names:?}");
        let outside = readable(SCRIPT, at(14, 5));
        assert!(outside.contains(&"epoch".to_owned()) && !outside.contains(&"total".to_owned()), "{outside:?}");
    }
}
