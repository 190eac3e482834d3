//! The language of `--where`: conditions on values, such as `val_acc < 0.8 and lr > 1e-3 and not tag like 'old%'`.
//!
//! Comparisons (also chained: `0.1 < x <= 0.8`), `in (…)`, `like`, `is null`, joined by `and`, `or`, `not`. Texts stand
//! in single or double quotes, names that hold other characters than letters, digits, `_`, `.` and `/` in backticks.
//! A missing value makes what is said of it neither true nor false, as in SQL. Knows nothing of what names mean: see
//! [`resolve`], and [`rows`] for conditions on the rows of a grid.

mod eval;
mod lexer;
mod parser;
mod print;
pub mod resolve;
pub mod rows;
#[cfg(test)]
mod tests;

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::model::value::Value;

pub use eval::{Clash, Operand, evaluate};

/// A condition as typed and as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub text: String,
    pub expr: Expr<Name>,
}

/// A condition; `F` is what stands for a value: a name, or what it was resolved to.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr<F> {
    Or(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    /// A value that is true or false by itself.
    Is(Term<F>),
    /// Each pair of neighbours is compared.
    Compare(Term<F>, Vec<(Comparison, Term<F>)>),
    In {
        term: Term<F>,
        list: Vec<Value>,
        negated: bool,
    },
    /// `%` stands for any characters, `_` for one; `\` takes both as they are.
    Like {
        term: Term<F>,
        pattern: String,
        negated: bool,
    },
    Null {
        term: Term<F>,
        negated: bool,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Term<F> {
    Field(F),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A name and where it stands in the text, in bytes. Equal names are equal wherever they stand.
#[derive(Debug, Clone, Eq)]
pub struct Name {
    pub text: String,
    pub at: usize,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What is wrong with a condition, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// The condition.
    pub text: String,
    /// Where in it, in bytes.
    pub at: usize,
    pub what: String,
    pub hint: Option<String>,
}

impl std::error::Error for QueryError {}

impl fmt::Display for QueryError {
    /// What is wrong at which column, and below it the condition with a mark under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before: String = self
            .text
            .chars()
            .scan(0, |at, c| {
                let here = *at;
                *at += c.len_utf8();
                (here < self.at).then_some(c)
            })
            .collect();
        // On one line, so that the mark stands under its place.
        let flat = |text: &str| text.replace(char::is_control, " ");
        let column = before.chars().count() + 1;
        write!(f, "the condition is wrong at column {column}: {}\n  {}\n", self.what, flat(&self.text))?;
        write!(f, "  {}^", " ".repeat(flat(&before).width()))
    }
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// With what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let expr = parser::parse(text)?;
        Ok(Self { text: text.to_owned(), expr })
    }
}

impl<F> Expr<F> {
    /// The same condition on other fields.
    ///
    /// # Errors
    /// The first one of `map`.
    pub fn try_map<G, E>(&self, map: &mut impl FnMut(&F) -> Result<G, E>) -> Result<Expr<G>, E> {
        fn all<F, G, E>(parts: &[Expr<F>], map: &mut impl FnMut(&F) -> Result<G, E>) -> Result<Vec<Expr<G>>, E> {
            parts.iter().map(|part| part.try_map(map)).collect()
        }
        Ok(match self {
            Self::Or(parts) => Expr::Or(all(parts, map)?),
            Self::And(parts) => Expr::And(all(parts, map)?),
            Self::Not(inner) => Expr::Not(Box::new(inner.try_map(map)?)),
            Self::Is(term) => Expr::Is(term.try_map(map)?),
            Self::Compare(first, rest) => {
                let first = first.try_map(map)?;
                let rest = rest.iter().map(|(sign, term)| Ok((*sign, term.try_map(map)?))).collect::<Result<_, E>>()?;
                Expr::Compare(first, rest)
            }
            Self::In { term, list, negated } => {
                Expr::In { term: term.try_map(map)?, list: list.clone(), negated: *negated }
            }
            Self::Like { term, pattern, negated } => {
                Expr::Like { term: term.try_map(map)?, pattern: pattern.clone(), negated: *negated }
            }
            Self::Null { term, negated } => Expr::Null { term: term.try_map(map)?, negated: *negated },
        })
    }

    /// The fields that it reads, as often as they stand in it.
    pub fn fields(&self) -> Vec<F>
    where
        F: Clone,
    {
        let mut fields = Vec::new();
        let mapped: Result<Expr<()>, std::convert::Infallible> = self.try_map(&mut |field: &F| {
            fields.push(field.clone());
            Ok(())
        });
        let Ok(_) = mapped;
        fields
    }

    /// The conditions that must all hold: the parts of an `and`, else the whole.
    pub fn conjuncts(&self) -> &[Self] {
        match self {
            Self::And(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }
}

impl<F> Term<F> {
    fn try_map<G, E>(&self, map: &mut impl FnMut(&F) -> Result<G, E>) -> Result<Term<G>, E> {
        Ok(match self {
            Self::Field(field) => Term::Field(map(field)?),
            Self::Literal(value) => Term::Literal(value.clone()),
        })
    }
}
