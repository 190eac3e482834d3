//! Words of a condition.

use crate::analysis::query::{Comparison, QueryError};
use crate::model::value::Value;

/// A word and where it begins, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Keyword(Keyword),
    Name(String),
    Literal(Value),
    Comparison(Comparison),
    Open,
    Close,
    Comma,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Or,
    Not,
    In,
    Like,
    Is,
    Null,
}

/// Spelled forms, longest first where one begins with another.
const COMPARISONS: [(&str, Comparison); 8] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("!=", Comparison::Different),
    ("<>", Comparison::Different),
    ("==", Comparison::Equal),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// Splits a condition into words; the last one is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let (kind, length) = next(rest).map_err(|Bad { after, what, hint }| QueryError {
            text: text.to_owned(),
            at: at + after,
            what,
            hint: hint.map(str::to_owned),
        })?;
        let last = kind == Kind::End;
        tokens.push(Token { at, kind });
        if last {
            return Ok(tokens);
        }
        rest = &rest[length..];
    }
}

/// What is wrong this many bytes after a word's beginning.
struct Bad {
    after: usize,
    what: String,
    hint: Option<&'static str>,
}

const IN_BACKTICKS: &str = "a name that holds other characters stands in backticks: `learning rate`";

/// The first word of a text that does not begin with space, and its length.
fn next(rest: &str) -> Result<(Kind, usize), Bad> {
    let Some(first) = rest.chars().next() else { return Ok((Kind::End, 0)) };
    if let Some((sign, comparison)) = COMPARISONS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Ok((Kind::Comparison(*comparison), sign.len()));
    }
    match first {
        '(' => Ok((Kind::Open, 1)),
        ')' => Ok((Kind::Close, 1)),
        ',' => Ok((Kind::Comma, 1)),
        '\'' | '"' => quoted(rest, first).map(|(text, length)| (Kind::Literal(Value::Text(text)), length)),
        '`' => match quoted(rest, first)? {
            (name, _) if name.is_empty() => Err(Bad { after: 0, what: "this name is empty".into(), hint: None }),
            (name, length) => Ok((Kind::Name(name), length)),
        },
        '0'..='9' | '.' | '-' | '+' => number(rest),
        _ if begins_name(first) => Ok(word(rest)),
        '&' => Err(Bad { after: 0, what: "'&' means nothing here".into(), hint: Some("conditions are joined by and") }),
        '|' => Err(Bad { after: 0, what: "'|' means nothing here".into(), hint: Some("conditions are joined by or") }),
        '!' => Err(Bad { after: 0, what: "'!' means nothing here".into(), hint: Some("write not") }),
        _ => Err(Bad { after: 0, what: format!("'{first}' means nothing here"), hint: Some(IN_BACKTICKS) }),
    }
}

/// What stands between two quotes; a doubled quote is one of it.
fn quoted(rest: &str, quote: char) -> Result<(String, usize), Bad> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Ok((text, at + 1));
        }
    }
    Err(Bad { after: 0, what: format!("this {quote} is never closed"), hint: None })
}

fn begins_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a name without quotes: `.` and `/` belong to it where it goes on behind them.
pub(super) fn name_length(rest: &str) -> usize {
    let mut length = 0;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let joins = matches!(c, '.' | '/') && at > 0 && chars.peek().is_some_and(|(_, next)| continues_name(*next));
        if !(joins || continues_name(c)) || (at == 0 && !begins_name(c)) {
            break;
        }
        length = at + c.len_utf8();
    }
    length
}

fn word(rest: &str) -> (Kind, usize) {
    let length = name_length(rest);
    let word = &rest[..length];
    (reserved(word).unwrap_or_else(|| Kind::Name(word.to_owned())), length)
}

/// What a word means that is no name, whatever its case.
pub(super) fn reserved(word: &str) -> Option<Kind> {
    let words = [
        ("and", Kind::Keyword(Keyword::And)),
        ("or", Kind::Keyword(Keyword::Or)),
        ("not", Kind::Keyword(Keyword::Not)),
        ("in", Kind::Keyword(Keyword::In)),
        ("like", Kind::Keyword(Keyword::Like)),
        ("is", Kind::Keyword(Keyword::Is)),
        ("null", Kind::Keyword(Keyword::Null)),
        ("none", Kind::Keyword(Keyword::Null)),
        ("true", Kind::Literal(Value::Bool(true))),
        ("false", Kind::Literal(Value::Bool(false))),
        ("nan", Kind::Literal(Value::Float(f64::NAN))),
        ("inf", Kind::Literal(Value::Float(f64::INFINITY))),
    ];
    words.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, kind)| kind)
}

fn number(rest: &str) -> Result<(Kind, usize), Bad> {
    let sign = usize::from(rest.starts_with(['-', '+']));
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    if rest[end..].starts_with('.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return infinite(rest, sign);
    }
    let mut is_integer = end == sign + whole;
    if rest[end..].starts_with(['e', 'E']) {
        let signed = usize::from(rest[end + 1..].starts_with(['-', '+']));
        let exponent = digits(end + 1 + signed);
        if exponent == 0 {
            return Err(Bad { after: end, what: "this exponent has no digits".into(), hint: None });
        }
        end += 1 + signed + exponent;
        is_integer = false;
    }
    if rest[end..].starts_with(|c| continues_name(c) || c == '.') {
        return Err(Bad { after: 0, what: "this is neither a number nor a name".into(), hint: Some(IN_BACKTICKS) });
    }
    let text = rest[..end].trim_start_matches('+');
    let float = || text.parse().map(Value::Float).ok();
    let value = if is_integer { text.parse().ok().map(Value::Int).or_else(|| big(text)) } else { float() };
    match value {
        Some(value) => Ok((Kind::Literal(value), end)),
        None => Err(Bad { after: 0, what: "this is no number".into(), hint: None }),
    }
}

/// An integer outside the range of `i64`, without leading zeros.
fn big(text: &str) -> Option<Value> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    Some(Value::BigInt(format!("{sign}{}", digits.trim_start_matches('0'))))
}

/// `-inf`, or no number at all.
fn infinite(rest: &str, sign: usize) -> Result<(Kind, usize), Bad> {
    let length = name_length(&rest[sign..]);
    match (reserved(&rest[sign..sign + length]), rest.starts_with('-')) {
        (Some(Kind::Literal(Value::Float(x))), negative) if sign > 0 => {
            Ok((Kind::Literal(Value::Float(if negative && !x.is_nan() { -x } else { x })), sign + length))
        }
        _ => Err(Bad {
            after: 0,
            what: format!("'{}' stands before no number", rest.chars().next().unwrap_or_default()),
            hint: Some("nothing is computed here; a name that holds it stands in backticks: `weight-decay`"),
        }),
    }
}
