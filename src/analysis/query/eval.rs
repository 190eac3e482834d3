//! Whether a condition holds. Nothing is allocated for a row but where integers beyond 64 bits meet floats.

use std::cmp::Ordering;

use crate::analysis::query::{Comparison, Expr, Term};
use crate::model::value::Value;

/// A value in a condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operand<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer outside the range of `i64`, in decimal without leading zeros.
    Big(&'a str),
    Float(f64),
    Text(&'a str),
    /// Something that is compared with nothing: a list, an object.
    Other(&'static str),
}

/// A value met another of a type that it cannot be compared with: neither true nor false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clash<F> {
    pub field: F,
    /// The type of its value, in words.
    pub found: &'static str,
    /// What it was taken for.
    pub wanted: &'static str,
}

impl<'a> From<&'a Value> for Operand<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::None => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::BigInt(text) => Self::Big(text),
            Value::Float(x) => Self::Float(*x),
            Value::Text(text) => Self::Text(text),
            Value::Json(_) => Self::Other("a list"),
            Value::Opaque(_) => Self::Other("an object"),
        }
    }
}

impl Operand<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Big(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Other(kind) => kind,
        }
    }
}

/// Whether a condition holds; `None` where a missing value or a clash of types leaves it open.
pub fn evaluate<'a, F: Copy>(
    expr: &'a Expr<F>,
    value: &impl Fn(F) -> Operand<'a>,
    clash: &mut impl FnMut(Clash<F>),
) -> Option<bool> {
    let of = |term: &'a Term<F>| match term {
        Term::Field(field) => value(*field),
        Term::Literal(value) => Operand::from(value),
    };
    match expr {
        Expr::Or(parts) => any(parts.iter().map(|part| evaluate(part, value, clash))),
        Expr::And(parts) => all(parts.iter().map(|part| evaluate(part, value, clash))),
        Expr::Not(inner) => evaluate(inner, value, clash).map(|holds| !holds),
        Expr::Is(term) => match of(term) {
            Operand::Bool(holds) => Some(holds),
            Operand::Null => None,
            other => note(clash, term, other.kind(), "true or false"),
        },
        Expr::Compare(first, rest) => {
            let lefts = std::iter::once(first).chain(rest.iter().map(|(_, term)| term));
            all(lefts.zip(rest).map(|(left, (sign, right))| match compare(of(left), of(right)) {
                Compared::Ordered(order) => Some(holds(*sign, order)),
                Compared::NotANumber { both } => Some(match sign {
                    Comparison::Equal => both,
                    Comparison::Different => !both,
                    _ => false,
                }),
                Compared::Null => None,
                Compared::Clash if matches!(left, Term::Field(_)) => {
                    note(clash, left, of(left).kind(), of(right).kind())
                }
                Compared::Clash => note(clash, right, of(right).kind(), of(left).kind()),
            }))
        }
        Expr::In { term, list, negated } => {
            let found = any(list.iter().map(|value| match compare(of(term), Operand::from(value)) {
                Compared::Ordered(order) => Some(order.is_eq()),
                Compared::NotANumber { both } => Some(both),
                Compared::Null => None,
                Compared::Clash => note(clash, term, of(term).kind(), Operand::from(value).kind()),
            }));
            found.map(|found| found != *negated)
        }
        Expr::Like { term, pattern, negated } => match of(term) {
            Operand::Text(text) => Some(like(text, pattern) != *negated),
            Operand::Null => None,
            other => note(clash, term, other.kind(), "a text"),
        },
        Expr::Null { term, negated } => Some((of(term) == Operand::Null) != *negated),
    }
}

fn note<F: Copy>(
    clash: &mut impl FnMut(Clash<F>),
    term: &Term<F>,
    found: &'static str,
    wanted: &'static str,
) -> Option<bool> {
    if let Term::Field(field) = term {
        clash(Clash { field: *field, found, wanted });
    }
    None
}

/// False as soon as one is, else open if one is.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => result = None,
            Some(true) => {}
        }
    }
    result
}

/// True as soon as one is, else open if one is.
fn any(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(parts.map(|part| part.map(|holds| !holds))).map(|none| !none)
}

fn holds(sign: Comparison, order: Ordering) -> bool {
    match sign {
        Comparison::Equal => order.is_eq(),
        Comparison::Different => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

/// How two values stand to each other.
enum Compared {
    Ordered(Ordering),
    /// At least one of two numbers is NaN. It equals itself here: `loss = nan` finds it.
    NotANumber {
        both: bool,
    },
    Null,
    Clash,
}

fn compare(a: Operand<'_>, b: Operand<'_>) -> Compared {
    use Operand::{Big, Bool, Float, Int, Null, Text};
    let order = match (a, b) {
        (Null, _) | (_, Null) => return Compared::Null,
        (Float(a), Float(b)) if a.is_nan() || b.is_nan() => {
            return Compared::NotANumber { both: a.is_nan() && b.is_nan() };
        }
        (Float(x), Int(_) | Big(_)) | (Int(_) | Big(_), Float(x)) if x.is_nan() => {
            return Compared::NotANumber { both: false };
        }
        // Without NaN, floats have an order.
        (Float(a), Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Int(a), Int(b)) => a.cmp(&b),
        (Int(a), Float(b)) => int_with_float(a, b),
        (Float(a), Int(b)) => int_with_float(b, a).reverse(),
        (Big(a), Big(b)) => big_with_big(a, b),
        (Big(a), Int(_)) => big_with_int(a),
        (Int(_), Big(b)) => big_with_int(b).reverse(),
        (Big(a), Float(b)) => big_with_float(a, b),
        (Float(a), Big(b)) => big_with_float(b, a).reverse(),
        (Bool(a), Bool(b)) => a.cmp(&b),
        (Text(a), Text(b)) => a.cmp(b),
        _ => return Compared::Clash,
    };
    Compared::Ordered(order)
}

/// Exact, also where the integer has no float of its own. The float is no NaN.
fn int_with_float(int: i64, float: f64) -> Ordering {
    // 2^63; every float in between is an integer of 64 bits and a fraction.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float >= BEYOND {
        return Ordering::Less;
    }
    if float < -BEYOND {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within the range of i64")]
    let order = int.cmp(&(whole as i64));
    order.then((0.0).partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal))
}

/// An integer beyond 64 bits is above or below all of 64 bits.
fn big_with_int(big: &str) -> Ordering {
    if big.starts_with('-') { Ordering::Less } else { Ordering::Greater }
}

fn big_with_big(a: &str, b: &str) -> Ordering {
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (Some(a), Some(b)) => b.len().cmp(&a.len()).then_with(|| b.cmp(a)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
    }
}

/// Exact: rounding keeps the order, and a float that large is a whole number. The float is no NaN.
fn big_with_float(big: &str, float: f64) -> Ordering {
    let rounded: f64 = big.parse().unwrap_or(f64::NAN);
    match rounded.partial_cmp(&float) {
        Some(Ordering::Equal) if float.is_finite() => big_with_big(big, &format!("{float:.0}")),
        // Rounded to infinity, it is still smaller.
        Some(Ordering::Equal) if float > 0.0 => Ordering::Less,
        Some(Ordering::Equal) => Ordering::Greater,
        Some(order) => order,
        None => Ordering::Equal,
    }
}

/// Whether a text is like a pattern. Time: text × pattern at worst; no space.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    // Behind the last `%`, and the text that it may take more of.
    let mut again: Option<(&str, &str)> = None;
    loop {
        let (piece, behind) = piece(pattern);
        let mut chars = text.chars();
        let matched = match (piece, chars.next()) {
            (Piece::Many, _) => {
                again = Some((behind, text));
                pattern = behind;
                continue;
            }
            (Piece::End, None) => return true,
            (Piece::One, Some(_)) => true,
            (Piece::Exactly(wanted), Some(c)) => wanted == c,
            _ => false,
        };
        if matched {
            (text, pattern) = (chars.as_str(), behind);
            continue;
        }
        let Some((behind, from)) = again else { return false };
        let mut chars = from.chars();
        if chars.next().is_none() {
            return false;
        }
        again = Some((behind, chars.as_str()));
        (text, pattern) = (chars.as_str(), behind);
    }
}

enum Piece {
    Many,
    One,
    Exactly(char),
    End,
}

/// The first piece of a pattern and what follows it.
fn piece(pattern: &str) -> (Piece, &str) {
    let mut chars = pattern.chars();
    let piece = match chars.next() {
        None => Piece::End,
        Some('%') => Piece::Many,
        Some('_') => Piece::One,
        Some('\\') if chars.as_str().starts_with(['%', '_', '\\']) => Piece::Exactly(chars.next().unwrap_or('\\')),
        Some(c) => Piece::Exactly(c),
    };
    (piece, chars.as_str())
}
