//! Text put into a target so that every other byte stays as it is.

use std::ops::Range;

use crate::analysis::python::Source;
use crate::analysis::treediff::{Kind, NodeId, Tree};
pub(super) use crate::model::probe::TextEdit as Edit;

/// Statements of the source to be written into the target, with the bytes that are replaced in them.
pub(super) struct Unit<'a> {
    /// Headers to be written around the statement, outermost first.
    pub(super) guards: Vec<NodeId>,
    pub(super) statement: NodeId,
    /// All of them, within the guards.
    pub(super) parts: Vec<NodeId>,
    pub(super) replaced: &'a [(Range<usize>, String)],
    /// The whole text, where it is not the source's.
    pub(super) text: Option<String>,
    /// A header that the source has, but no node for: `else:`.
    pub(super) keyword: Option<&'static str>,
}

impl<'a> Unit<'a> {
    pub(super) fn of(guards: Vec<NodeId>, statement: NodeId, replaced: &'a [(Range<usize>, String)]) -> Self {
        Self { guards, statement, parts: vec![statement], replaced, text: None, keyword: None }
    }

    /// A statement of which the whole text is given.
    pub(super) fn text(statement: NodeId, text: String) -> Self {
        Self { text: Some(text), ..Self::of(Vec::new(), statement, &[]) }
    }
}

/// How a file is written.
pub(super) struct Manner {
    pub(super) end_of_line: &'static str,
    /// One level of indentation.
    pub(super) unit: String,
}

impl Manner {
    pub(super) fn of(source: &Source<'_>) -> Self {
        let text = source.text;
        let end_of_line = match text.find(['\r', '\n']) {
            Some(at) if text[at..].starts_with("\r\n") => "\r\n",
            Some(at) if text[at..].starts_with('\r') => "\r",
            _ => "\n",
        };
        let tree = &source.tree;
        let unit = tree.statements().find_map(|id| {
            let outer = indentation(source, tree.node(id).range.start)?;
            let inner = tree.blocks(id).find_map(|b| own_indentation(source, b))?;
            inner.strip_prefix(outer).filter(|unit| !unit.is_empty()).map(str::to_owned)
        });
        Self { end_of_line, unit: unit.unwrap_or_else(|| "    ".to_owned()) }
    }
}

/// The white space before the byte at `start`, if nothing else stands before it on its line.
fn indentation<'t>(source: &Source<'t>, start: usize) -> Option<&'t str> {
    let line = source.lines.start(source.lines.line(start));
    let before = source.text.get(line..start)?;
    let before = before.rsplit('\u{c}').next().unwrap_or(before);
    let before = before.strip_prefix('\u{feff}').unwrap_or(before);
    before.chars().all(|c| c == ' ' || c == '\t').then_some(before)
}

/// The indentation of a block whose first statement begins a line.
pub(super) fn own_indentation<'t>(source: &Source<'t>, block: NodeId) -> Option<&'t str> {
    indentation(source, source.tree.node(*source.tree.node(block).children.first()?).range.start)
}

/// Whether a statement is the first of its logical line: not so after a semicolon, or on the line of its header.
fn begins_line(source: &Source<'_>, statement: NodeId) -> bool {
    let start = source.tree.node(statement).range.start;
    let before = source.text.get(source.logical_start(start)..start).unwrap_or_default();
    let blank = |line: &str| {
        let line = line.trim_start_matches([' ', '\t', '\u{c}', '\u{feff}']);
        line.is_empty() || line.starts_with('#')
    };
    before.split(['\n', '\r']).all(blank) && indentation(source, start).is_some()
}

/// The edit that puts a unit before the statement at `index` of `block`.
///
/// # Errors
/// Why the text has no room for it there.
pub(super) fn edit(
    source: &Source<'_>,
    target: &Source<'_>,
    unit: &Unit<'_>,
    block: NodeId,
    index: usize,
) -> Result<Edit, String> {
    let manner = Manner::of(target);
    let order = unit.statement;
    let depth = target.tree.ancestors(block).count();
    let children = &target.tree.node(block).children;
    let node = |id: NodeId| target.tree.node(id);
    let (before, after) = children.split_at(index.min(children.len()));
    let (Some(first), previous, next) = (children.first(), before.last().copied(), after.first().copied()) else {
        // Only an empty module has an empty block.
        let text = written(source, unit, "", &manner) + manner.end_of_line;
        return Ok(end_of_file(target, text, (order, depth), &manner));
    };
    let room =
        |words: &str| single_line(source, unit, &manner).ok_or(format!("{words}, which has no room for a block"));
    let inline = |offset: usize, text: String| Edit { offset, text, order, depth, inline: true };
    if let Some(next) = next.filter(|next| !begins_line(target, *next)) {
        // `a(); b()`, `for x in y: f(x)`
        let between = previous.and_then(|id| target.text.get(node(id).range.end..node(next).range.start));
        if between.is_some_and(|text| text.contains(['\n', '\r']) && !text.contains('\\')) {
            return Err("what stands before it in the target does not end".to_owned());
        }
        return Ok(inline(node(next).range.start, format!("{}; ", room("other statements stand on the line")?)));
    }
    // In what is only recovered from, statements of one block may be indented each in its own way.
    let mut near = before.iter().rev().chain(after).copied().filter(|id| begins_line(target, *id));
    let Some(indent) = near.next().and_then(|id| indentation(target, node(id).range.start)) else {
        let single = room("the body stands on one line")?;
        return Ok(inline(node(previous.unwrap_or(*first)).range.end, format!("; {single}")));
    };
    let definition = matches!(source.tree.node(unit.statement).kind, Kind::Function | Kind::Class) && depth == 1;
    let apart = if definition && previous.is_some() { manner.end_of_line.repeat(2) } else { String::new() };
    let text = apart + &written(source, unit, indent, &manner) + manner.end_of_line;
    let Some(previous) = previous else {
        let line = target.lines.line(node(*first).range.start);
        let line = if node(block).parent == Some(0) { line } else { above_comments(target, line, indent) };
        let mark = if line == 1 && target.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        return Ok(Edit { offset: target.lines.start(line) + mark, text, order, depth, inline: false });
    };
    let mut offset = target.logical_end(node(previous).range.end);
    if node(previous).kind.is_compound() {
        offset = past_deeper_comments(target.text, offset, indent);
    }
    offset = past_blanks(target.text, offset, if definition { 0 } else { blanks_before(source, unit) });
    if offset >= target.text.len() {
        Ok(end_of_file(target, text, (order, depth), &manner))
    } else {
        Ok(Edit { offset, text, order, depth, inline: false })
    }
}

/// A line of the target beside a place that is so broken that the place is a guess.
pub(super) fn torn_beside(target: &Source<'_>, block: NodeId, index: usize) -> Option<u32> {
    let tree = &target.tree;
    let children = &tree.node(block).children;
    let (before, after) = children.split_at(index.min(children.len()));
    let owner = tree.node(block).parent.filter(|owner| *owner != 0);
    let from = before.last().copied().or(owner).map_or(0, |id| target.lines.line(tree.node(id).range.start));
    let end = || before.last().map_or(0, |id| target.lines.line(tree.node(*id).range.end) + 1);
    let to = after.first().map_or_else(end, |id| target.lines.line(tree.node(*id).range.start));
    target.torn.iter().copied().find(|line| (from..=to).contains(line))
}

/// The line of the first of the comments right above a line, which tell of it, in one block.
fn above_comments(target: &Source<'_>, line: u32, indent: &str) -> u32 {
    let tells = |line: &u32| {
        let text = target.text.get(target.lines.start(*line)..target.lines.start(line + 1)).unwrap_or_default();
        text.strip_prefix(indent).is_some_and(|text| text.starts_with('#'))
    };
    (1..line).rev().take_while(tells).last().unwrap_or(line)
}

/// Appends to a file that may lack its last line end.
fn end_of_file(target: &Source<'_>, text: String, (order, depth): (NodeId, usize), manner: &Manner) -> Edit {
    let offset = target.text.len();
    if target.text.is_empty() || target.text.ends_with(['\n', '\r']) {
        return Edit { offset, text, order, depth, inline: false };
    }
    let body = text.strip_suffix(manner.end_of_line).unwrap_or(&text);
    Edit { offset, text: format!("{}{body}", manner.end_of_line), order, depth, inline: false }
}

/// The offset at which the line after the byte at `offset` starts.
fn after_line(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    match rest.find(['\n', '\r']) {
        Some(at) if rest[at..].starts_with("\r\n") => offset + at + 2,
        Some(at) => offset + at + 1,
        None => text.len(),
    }
}

/// Blank lines before a unit in the source.
fn blanks_before(source: &Source<'_>, unit: &Unit<'_>) -> usize {
    let outermost = unit.guards.first().or(unit.parts.first()).copied().unwrap_or(unit.statement);
    let line = source.lines.line(source.tree.node(outermost).range.start);
    let blank = |line: &u32| {
        source
            .text
            .get(source.lines.start(*line)..source.lines.start(line + 1))
            .is_some_and(|text| text.trim().is_empty())
    };
    (1..line).rev().take_while(blank).count()
}

/// Past at most `most` blank lines.
fn past_blanks(text: &str, start: usize, most: usize) -> usize {
    let mut at = start;
    for _ in 0..most {
        let next = after_line(text, at);
        if at >= text.len() || !text[at..next].trim_matches([' ', '\t', '\r', '\n']).is_empty() {
            break;
        }
        at = next;
    }
    at
}

/// Comments that are indented deeper than `indent` belong to the block before.
fn past_deeper_comments(text: &str, start: usize, indent: &str) -> usize {
    let (mut at, mut accepted) = (start, start);
    while at < text.len() {
        let next = after_line(text, at);
        let line = text[at..next].trim_end_matches(['\n', '\r']);
        let body = line.trim_start_matches([' ', '\t', '\u{c}']);
        if body.starts_with('#') && line.len() - body.len() > indent.len() {
            accepted = next;
        } else if !body.is_empty() {
            break;
        }
        at = next;
    }
    accepted
}

/// The unit as it can stand beside others on their line.
fn single_line(source: &Source<'_>, unit: &Unit<'_>, manner: &Manner) -> Option<String> {
    if unit.text.is_some() {
        return unit.text.clone();
    }
    // A simple statement breaks its lines only within brackets, strings or after a backslash.
    let compound = |id: &NodeId| source.tree.node(*id).kind.is_compound();
    let simple = unit.guards.is_empty() && unit.keyword.is_none() && !unit.parts.iter().any(compound);
    let text = |id: &NodeId| block_text(source, source.tree.node(*id).range.clone(), unit.replaced, "", manner);
    simple.then(|| unit.parts.iter().map(text).collect::<Vec<String>>().join("; "))
}

/// The bytes of a range with the replacements in it.
fn replaced(source: &Source<'_>, range: Range<usize>, replacements: &[(Range<usize>, String)]) -> String {
    let mut inside: Vec<_> =
        replacements.iter().filter(|(r, _)| r.start >= range.start && r.end <= range.end).collect();
    inside.sort_by_key(|(r, _)| r.start);
    let (mut text, mut at) = (String::new(), range.start);
    for (part, new) in inside {
        if part.start < at {
            continue;
        }
        text.push_str(source.text.get(at..part.start).unwrap_or_default());
        text.push_str(new);
        at = part.end;
    }
    text.push_str(source.text.get(at..range.end).unwrap_or_default());
    text
}

/// The unit's lines at `indent`, without the last line end.
fn written(source: &Source<'_>, unit: &Unit<'_>, indent: &str, manner: &Manner) -> String {
    if let Some(text) = &unit.text {
        return format!("{indent}{text}");
    }
    let mut text = String::new();
    let mut level = indent.to_owned();
    if let Some(keyword) = unit.keyword {
        text.push_str(&format!("{level}{keyword}{}", manner.end_of_line));
        level.push_str(&manner.unit);
    }
    for guard in &unit.guards {
        text.push_str(&block_text(
            source,
            header_range(&source.tree, source.text, *guard),
            unit.replaced,
            &level,
            manner,
        ));
        text.push_str(manner.end_of_line);
        level.push_str(&manner.unit);
    }
    let part = |id: &NodeId| block_text(source, source.tree.node(*id).range.clone(), unit.replaced, &level, manner);
    text + &unit.parts.iter().map(part).collect::<Vec<String>>().join(manner.end_of_line)
}

/// From a compound statement's first byte through the colon of its header.
pub(super) fn header_range(tree: &Tree, text: &str, guard: NodeId) -> Range<usize> {
    let node = tree.node(guard);
    let header =
        tree.header(guard).into_iter().skip(1).map(|id| tree.node(id).range.end).max().unwrap_or(node.range.start);
    let colon = text.get(header..node.range.end).and_then(|rest| rest.find(':')).unwrap_or(0);
    node.range.start..header + colon + 1
}

/// Lines of the source written at another indentation; bytes within strings stay.
fn block_text(
    source: &Source<'_>,
    range: Range<usize>,
    replacements: &[(Range<usize>, String)],
    indent: &str,
    manner: &Manner,
) -> String {
    let old = indentation(source, range.start).unwrap_or_default();
    let old_unit = Manner::of(source).unit;
    let mut text = indent.to_owned();
    let mut at = range.start;
    while at < range.end {
        let next = after_line(source.text, at).min(range.end);
        let in_string = source.long_strings.iter().any(|s| s.start < at && at < s.end);
        let line = replaced(source, at..next, replacements);
        let body = line.trim_end_matches(['\n', '\r']);
        if in_string || at == range.start {
            text.push_str(body);
        } else if !body.trim().is_empty() {
            let stripped = body.strip_prefix(old).unwrap_or_else(|| body.trim_start_matches([' ', '\t']));
            let white = stripped.len() - stripped.trim_start_matches([' ', '\t']).len();
            text.push_str(indent);
            text.push_str(&converted(&stripped[..white], &old_unit, &manner.unit));
            text.push_str(&stripped[white..]);
        }
        if next < range.end {
            let inside = source.long_strings.iter().any(|s| s.start < next && next < s.end);
            text.push_str(if inside { &line[body.len()..] } else { manner.end_of_line });
        }
        at = next;
    }
    text
}

/// White space of whole levels becomes the target's levels; what is left over is alignment.
fn converted(white: &str, old_unit: &str, new_unit: &str) -> String {
    let (mut rest, mut text) = (white, String::new());
    while let Some(shorter) = rest.strip_prefix(old_unit) {
        text.push_str(new_unit);
        rest = shorter;
    }
    text + rest
}

/// The first index of a block before which nothing may be put: after its docstring and its `from __future__` imports.
pub(super) fn first_index(source: &Source<'_>, block: NodeId) -> usize {
    let tree = &source.tree;
    let owner = tree.node(block).parent.unwrap_or(0);
    let children = &tree.node(block).children;
    let text_alone = |id: NodeId| {
        let node = tree.node(id);
        node.kind == Kind::Simple
            && node.children.len() == 1
            && tree.node(node.children[0]).kind == Kind::Literal
            && tree.node(node.children[0]).range == node.range
    };
    let documented = tree.node(owner).kind.is_scope() && children.first().is_some_and(|c| text_alone(*c));
    let futures =
        children.iter().rposition(|c| tree.node(*c).kind == Kind::Import && tree.node(*c).text == "__future__");
    usize::from(documented).max(futures.map_or(0, |at| at + 1))
}

/// First and last line of every edit in the result, in the edits' order.
pub(super) fn spans(target: &str, edits: &[Edit]) -> Vec<(u32, u32)> {
    let lines =
        |text: &str| u32::try_from(text.replace("\r\n", "\n").matches(['\n', '\r']).count()).unwrap_or(u32::MAX);
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    for edit in edits {
        line += lines(target.get(at..edit.offset).unwrap_or_default());
        at = edit.offset;
        // Only where the file lacks its last line end does a text begin with one that is not its own.
        let lacking = edit.offset > 0 && !edit.inline && !target[..edit.offset].ends_with(['\n', '\r']);
        // Nor is a backslash, behind which the line goes on.
        let goes_on = edit.inline && edit.text.trim_start_matches("; ").starts_with('\\');
        let after_end = || edit.text.find(['\n', '\r']).map_or(0, |end| after_line(&edit.text, end));
        let begins = match (lacking, goes_on) {
            (true, _) => edit.text.find(|c| c != '\n' && c != '\r').unwrap_or(0),
            (_, true) => after_end(),
            _ => 0,
        };
        let first = line + lines(&edit.text[..begins]);
        let last = first + lines(edit.text[begins..].trim_end_matches(['\n', '\r']));
        found.push((first, last));
        line += lines(&edit.text);
    }
    found
}
