//! Writes conditions so that they read back as the same.

use std::fmt;

use crate::analysis::query::lexer::{name_length, reserved};
use crate::analysis::query::{Comparison, Expr, Name, Term};
use crate::model::value::Value;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::Different => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if name_length(&self.text) == self.text.len() && reserved(&self.text).is_none() {
            f.write_str(&self.text)
        } else {
            write!(f, "`{}`", self.text.replace('`', "``"))
        }
    }
}

impl<F: fmt::Display> fmt::Display for Term<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Literal(value) => literal(value, f),
        }
    }
}

fn literal(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::None => f.write_str("null"),
        Value::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        other => write!(f, "{other}"),
    }
}

impl<F: fmt::Display> fmt::Display for Expr<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negated: &bool| if *negated { "not " } else { "" };
        match self {
            Self::Or(parts) => joined(parts, " or ", |part| matches!(part, Self::Or(_)), f),
            Self::And(parts) => joined(parts, " and ", |part| matches!(part, Self::Or(_) | Self::And(_)), f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                joined(std::slice::from_ref(&**inner), "", |part| matches!(part, Self::Or(_) | Self::And(_)), f)
            }
            Self::Is(term) => term.fmt(f),
            Self::Compare(first, rest) => {
                first.fmt(f)?;
                rest.iter().try_for_each(|(sign, term)| write!(f, " {sign} {term}"))
            }
            Self::In { term, list, negated } => {
                write!(f, "{term} {}in (", not(negated))?;
                for (at, value) in list.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    literal(value, f)?;
                }
                f.write_str(")")
            }
            Self::Like { term, pattern, negated } => {
                write!(f, "{term} {}like ", not(negated))?;
                literal(&Value::Text(pattern.clone()), f)
            }
            Self::Null { term, negated } => write!(f, "{term} is {}null", not(negated)),
        }
    }
}

/// Parts with a word between them, those in parentheses that would read otherwise without.
fn joined<F: fmt::Display>(
    parts: &[Expr<F>],
    word: &str,
    enclosed: impl Fn(&Expr<F>) -> bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { word })?;
        if enclosed(part) { write!(f, "({part})")? } else { write!(f, "{part}")? }
    }
    Ok(())
}
