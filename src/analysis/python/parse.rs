//! Parsing within limits, and lines.

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{ModModule, PySourceType, Stmt};
use ruff_python_parser::{LexicalErrorType, Mode, ParseErrorType, Parsed, lexer, parse_unchecked_source};
use ruff_text_size::{Ranged, TextRange};

/// Operators, keywords and brackets that may nest in one expression; walking deeper could exhaust a thread's stack.
const MAX_EXPRESSION_DEPTH: usize = 300;
/// Nested blocks; Python itself stops at 100.
const MAX_INDENTATION: usize = 100;
/// Beyond this a text is data, not a program.
const MAX_BYTES: usize = 16 << 20;

/// An argument's name until Python 3.6, and one of the same length that still is.
const OLD: &str = "async";
const OLD_NAME: &str = "asynk";

/// A parsed file. A text with syntax errors still has the statements around them.
#[derive(Debug)]
pub struct Module {
    parsed: Parsed<ModModule>,
    lines: LineIndex,
    /// Comments `# afterlog: …`: their line and what they say.
    directives: Vec<(u32, String)>,
    /// What could not be parsed, in words, with its line.
    pub problems: Vec<String>,
}

impl Module {
    /// Parses a text; one that is too deep or too large gives an empty module and a problem.
    pub fn parse(text: &str) -> Self {
        let lines = LineIndex::new(text);
        if let Some(problem) = refuse(text) {
            let parsed = parse_unchecked_source("", PySourceType::Python);
            return Self { parsed, lines, directives: Vec::new(), problems: vec![problem] };
        }
        let mut parsed = parse_unchecked_source(text, PySourceType::Python);
        let old = if parsed.errors().is_empty() { Vec::new() } else { named_async(text) };
        if !old.is_empty() {
            let mut renamed = text.to_owned();
            old.iter().for_each(|at| renamed.replace_range(*at..*at + OLD.len(), OLD_NAME));
            parsed = parse_unchecked_source(&renamed, PySourceType::Python);
        }
        let named = |at: &usize| format!("line {}: `{OLD}` is a keyword since Python 3.7", lines.line(*at));
        let errors =
            parsed.errors().iter().map(|e| format!("line {}: {}", lines.line(e.location.start().into()), e.error));
        let problems = old.iter().map(named).chain(errors).collect();
        let comments = parsed.tokens().iter().filter(|token| token.kind() == TokenKind::Comment);
        let said = comments.filter_map(|token| {
            let said = text.get(token.range().to_std_range())?.trim_start_matches('#').trim_start();
            let said = said.strip_prefix("afterlog:")?.trim().to_owned();
            Some((lines.line(token.start().into()), said))
        });
        let directives = said.collect();
        Self { parsed, lines, directives, problems }
    }

    /// The module's statements.
    pub fn body(&self) -> &[Stmt] {
        self.parsed.suite()
    }

    /// The whole parse: syntax, tokens, errors.
    pub fn parsed(&self) -> &Parsed<ModModule> {
        &self.parsed
    }

    /// Lines of the text.
    pub fn lines(&self) -> &LineIndex {
        &self.lines
    }

    /// Lines where an indentation, a bracket or a string is broken, so that what belongs to what is a guess.
    pub fn torn(&self) -> Vec<u32> {
        let torn = |error: &ParseErrorType| match error {
            ParseErrorType::UnexpectedIndentation | ParseErrorType::SimpleAndCompoundStatementOnSameLine => true,
            ParseErrorType::ExpectedToken { expected, found } => {
                let closing = [TokenKind::Rpar, TokenKind::Rsqb, TokenKind::Rbrace].contains(expected);
                *expected == TokenKind::Dedent
                    || closing && matches!(found, TokenKind::Newline | TokenKind::EndOfFile | TokenKind::Dedent)
            }
            ParseErrorType::Lexical(error) => {
                matches!(error, LexicalErrorType::IndentationError | LexicalErrorType::Eof)
                    || matches!(error, LexicalErrorType::UnclosedStringError)
            }
            ParseErrorType::OtherError(words) => words.contains("indented block"),
            _ => false,
        };
        let errors = self.parsed.errors().iter().filter(|error| torn(&error.error));
        errors.map(|error| self.lines.line(error.location.start().into())).collect()
    }

    /// Whether a comment `# afterlog: DIRECTIVE` stands on a statement's first line or the one above.
    pub fn directs(&self, line: u32, directive: &str) -> bool {
        self.directives.iter().any(|(at, said)| said == directive && (*at == line || *at + 1 == line))
    }

    /// A node's first line and column, its last line and the column after it; columns in bytes from 0.
    pub fn columns(&self, node: &impl Ranged) -> [u32; 4] {
        let at = |offset: usize| {
            let line = self.lines.line(offset);
            [line, u32::try_from(offset - self.lines.start(line)).unwrap_or(u32::MAX)]
        };
        let ([first, from], [last, to]) = (at(node.start().into()), at(node.end().into()));
        [first, from, last, to]
    }

    /// First and last line of a node, 1-based.
    pub fn span(&self, node: &impl Ranged) -> (u32, u32) {
        self.lines.span(node.range())
    }
}

/// Where an argument is called `async`, as in `x.cuda(async=True)`.
fn named_async(text: &str) -> Vec<usize> {
    let is_argument = |at: &usize| {
        let before = text.get(..*at).unwrap_or_default().trim_end().chars().next_back();
        let after = text.get(*at + OLD.len()..).unwrap_or_default().trim_start();
        before.is_some_and(|c| c == '(' || c == ',') && after.starts_with('=') && !after.starts_with("==")
    };
    text.match_indices(OLD).map(|(at, _)| at).filter(is_argument).collect()
}

/// Byte offsets of line starts. Lines end at `\n`, `\r\n` or a lone `\r`.
#[derive(Debug, Clone)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                starts.push(at + 1);
            }
        }
        Self { starts }
    }

    /// The line, 1-based, that holds the byte at `offset`.
    pub fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }

    /// Byte offset at which the 1-based `line` starts; the last known start beyond the end.
    pub fn start(&self, line: u32) -> usize {
        let at = (line.max(1) as usize - 1).min(self.starts.len() - 1);
        self.starts[at]
    }

    /// First and last line of a range; an empty range lies on one line.
    pub fn span(&self, range: TextRange) -> (u32, u32) {
        let (start, end): (usize, usize) = (range.start().into(), range.end().into());
        (self.line(start), self.line(end.saturating_sub(1).max(start)))
    }
}

/// Why a text is not to be parsed. An upper bound of nesting from tokens alone, since already dropping a tree that is
/// too deep would overflow the stack: operators and keywords of one comma-separated part may nest in each other.
pub(super) fn refuse(text: &str) -> Option<String> {
    if text.len() > MAX_BYTES {
        return Some(format!("the file is larger than {} MiB", MAX_BYTES >> 20));
    }
    let mut tokens = lexer::lex(text, Mode::Module);
    let mut counts = vec![0usize];
    let (mut depth, mut indentation) = (0usize, 0usize);
    loop {
        let kind = tokens.next_token();
        match kind {
            TokenKind::EndOfFile => return None,
            TokenKind::Newline => {
                counts = vec![0];
                depth = 0;
            }
            TokenKind::Indent => indentation += 1,
            TokenKind::Dedent => indentation = indentation.saturating_sub(1),
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart => {
                counts.push(1);
                depth += 1;
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd | TokenKind::TStringEnd => {
                // What stands in brackets is one level of what follows: `f()()()`.
                depth -= counts.pop().unwrap_or(0).saturating_sub(1).min(depth);
                match counts.last_mut() {
                    Some(count) => *count += 1,
                    None => counts.push(1),
                }
            }
            TokenKind::Comma => {
                depth -= counts.last().copied().unwrap_or(0).min(depth);
                if let Some(count) = counts.last_mut() {
                    *count = 0;
                }
            }
            // These join any number of operands in one node.
            TokenKind::And | TokenKind::Or | TokenKind::Equal | TokenKind::Colon => {}
            kind if kind.is_operator() || kind.is_keyword() => {
                depth += 1;
                if let Some(count) = counts.last_mut() {
                    *count += 1;
                }
            }
            _ => {}
        }
        if depth > MAX_EXPRESSION_DEPTH || indentation > MAX_INDENTATION {
            return Some("the file nests expressions or blocks too deeply to be analysed".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_every_way_a_text_may_end_them() {
        let lines = LineIndex::new("a\nbb\r\nc\rd");
        let found: Vec<u32> = [0, 1, 2, 5, 6, 8].map(|at| lines.line(at)).to_vec();
        assert_eq!(found, [1, 1, 2, 2, 3, 4]);
        assert_eq!([1, 2, 3, 4, 9].map(|line| lines.start(line)), [0, 2, 6, 8, 8]);
    }

    #[test]
    fn hostile_nesting_is_a_problem_and_not_a_crash() {
        let n = 50_000;
        for text in [
            format!("{}1{}", "(".repeat(n), ")".repeat(n)),
            format!("x = {}1", "-".repeat(n)),
            format!("x = 1{}", "+1".repeat(n)),
            format!("x = f{}", "()".repeat(n)),
            format!("x = f{}", "[0]".repeat(n)),
            format!("x = f{}", ".a".repeat(n)),
            format!("x = {}1", "lambda: ".repeat(n)),
            format!("x = {}1", "not ".repeat(n)),
            format!("x = {}0", "1 if a else ".repeat(n)),
            (0..500).map(|i| format!("{}if a:\n", " ".repeat(i))).collect(),
            "if a: ".repeat(n),
        ] {
            assert!(!Module::parse(&text).problems.is_empty(), "{}", &text[..40]);
        }
    }

    #[test]
    fn long_but_flat_texts_are_parsed() {
        let text = format!("x = [{}]\ny = {}\n", "-1, f(a)[0].b, ".repeat(10_000), ["a"; 5000].join(" and "));
        assert_eq!(Module::parse(&text).problems, Vec::<String>::new());
    }
}
