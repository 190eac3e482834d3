//! Colours for source text. The only user of `syntect`; runs in the background, on whole files.

use std::ops::Range;
use std::sync::OnceLock;

use syntect::parsing::{ParseState, ScopeStack, SyntaxReference, SyntaxSet};

use crate::tui::theme::Role;

/// Longer lines stay plain: they are data, and would hold everything up.
const LONGEST_LINE: usize = 2000;
/// Files beyond this stay plain.
const LARGEST_FILE: usize = 4 << 20;

/// For each line, byte ranges with their roles, ascending; the rest is plain text.
pub type Colours = Vec<Vec<(Range<usize>, Role)>>;

/// Both sides of a file in a diff.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Highlighted {
    pub left: Colours,
    pub right: Colours,
}

/// Scope prefixes and how they look; the first that matches the innermost scope wins.
const ROLES: [(&str, Role); 16] = [
    ("comment", Role::Comment),
    ("string", Role::Literal),
    ("punctuation.definition.string", Role::Literal),
    ("punctuation.definition.comment", Role::Comment),
    ("constant.numeric", Role::Number),
    ("constant", Role::Number),
    ("entity.name.function", Role::Function),
    ("variable.function", Role::Function),
    ("support.function", Role::Function),
    ("entity.name", Role::Type),
    ("support.type", Role::Type),
    ("storage", Role::Keyword),
    ("keyword.operator.logical", Role::Keyword),
    ("keyword.operator", Role::Text),
    ("keyword", Role::Keyword),
    ("variable.language", Role::Keyword),
];

/// Colours the lines of a file by the syntax that its name stands for. `stop` is asked now and then.
pub fn highlight(path: &str, lines: &[String], stop: impl Fn() -> bool) -> Colours {
    static SYNTAXES: OnceLock<SyntaxSet> = OnceLock::new();
    let syntaxes = SYNTAXES.get_or_init(SyntaxSet::load_defaults_newlines);
    let size: usize = lines.iter().map(String::len).sum();
    let Some(syntax) = syntax(syntaxes, path).filter(|_| size <= LARGEST_FILE) else { return Colours::new() };
    let mut state = ParseState::new(syntax);
    let mut stack = ScopeStack::new();
    let mut colours = Colours::with_capacity(lines.len());
    for (number, line) in lines.iter().enumerate() {
        if number % 256 == 0 && stop() {
            break;
        }
        colours.push(if line.len() > LONGEST_LINE {
            Vec::new()
        } else {
            line_colours(&mut state, &mut stack, syntaxes, line)
        });
    }
    colours
}

fn syntax<'a>(syntaxes: &'a SyntaxSet, path: &str) -> Option<&'a SyntaxReference> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit('.').next().unwrap_or(name);
    syntaxes.find_syntax_by_extension(extension)
}

fn line_colours(
    state: &mut ParseState,
    stack: &mut ScopeStack,
    syntaxes: &SyntaxSet,
    line: &str,
) -> Vec<(Range<usize>, Role)> {
    let mut colours: Vec<(Range<usize>, Role)> = Vec::new();
    // A line that the grammar cannot parse is plain; the next one may be fine again.
    let Ok(parsed) = state.parse_line(&format!("{line}\n"), syntaxes) else { return colours };
    let mut from = 0;
    let mut push = |range: Range<usize>, stack: &ScopeStack| {
        if range.is_empty() {
            return;
        }
        let Some(role) = role(stack) else { return };
        match colours.last_mut() {
            Some((last, same)) if *same == role && last.end == range.start => last.end = range.end,
            _ => colours.push((range, role)),
        }
    };
    for (at, operation) in parsed {
        let at = at.min(line.len());
        push(from..at, stack);
        from = at;
        if stack.apply(&operation).is_err() {
            *stack = ScopeStack::new();
        }
    }
    push(from..line.len(), stack);
    colours
}

fn role(stack: &ScopeStack) -> Option<Role> {
    stack.as_slice().iter().rev().find_map(|scope| {
        let name = scope.build_string();
        ROLES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, role)| *role)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_has_keywords_strings_comments_and_state_across_lines() {
        let lines = ["def f(x):  # go", "    return \"\"\"a", "b\"\"\""].map(str::to_owned);
        let colours = highlight("src/train.py", &lines, || false);
        let has = |line: usize, text: &str, role: Role| {
            let at = lines[line].find(text).expect("there");
            assert!(
                colours[line].iter().any(|(range, r)| *r == role && range.contains(&at)),
                "{text} is not {role:?}: {:?}",
                colours[line]
            );
        };
        has(0, "def", Role::Keyword);
        has(0, "f(", Role::Function);
        has(0, "# go", Role::Comment);
        has(1, "return", Role::Keyword);
        has(2, "b", Role::Literal);
        assert!(highlight("notes.unknown", &lines, || false).is_empty());
    }
}
