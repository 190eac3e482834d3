//! One expression, as a user types it.

use ruff_python_ast::Expr;
use ruff_python_parser::parse_expression;

use crate::analysis::python::parse::refuse;

/// What is wrong with a text that should be an expression, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoExpression {
    pub at: usize,
    pub what: String,
}

/// Checks that a text is one expression that can be an argument of a call, and gives it as it can stand there.
///
/// # Errors
/// What it is instead, and where.
pub fn argument(text: &str) -> Result<String, NoExpression> {
    let wrong = |at: usize, what: String| Err(NoExpression { at: at.min(text.len()), what });
    if text.trim().is_empty() {
        return wrong(0, "an expression is missing: what shall be logged?".to_owned());
    }
    if let Some(at) = text.find(char::is_control) {
        return wrong(at, "an expression stands on one line".to_owned());
    }
    if let Some(what) = refuse(text) {
        return wrong(0, what);
    }
    // White space in front would be an indentation.
    let before = text.len() - text.trim_start().len();
    let parsed = match parse_expression(&text[before..]) {
        Ok(parsed) => parsed,
        Err(error) => return wrong(before + usize::from(error.location.start()), error.error.to_string()),
    };
    let bare = matches!(parsed.expr(), Expr::Tuple(tuple) if !tuple.parenthesized);
    let argument = if bare { format!("({})", text.trim()) } else { text.trim().to_owned() };
    if matches!(parsed.expr(), Expr::Starred(_)) {
        return wrong(0, "a value is logged, not several".to_owned());
    }
    // A comment would swallow what closes the call.
    match parse_expression(&format!("({argument})")) {
        Ok(_) => Ok(argument),
        Err(_) => wrong(text.find('#').unwrap_or_default(), "a comment cannot be part of it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_one_expression_and_nothing_else() {
        for (text, expected) in [
            ("loss.item()", Ok("loss.item()")),
            (" a, b ", Ok("(a, b)")),
            ("sum(x ** 2 for x in xs) ** 0.5", Ok("sum(x ** 2 for x in xs) ** 0.5")),
            ("", Err((0, "missing"))),
            ("x = 1", Err((2, ""))),
            ("x +", Err((3, ""))),
            ("x  # why", Err((3, "comment"))),
            ("x); f(y", Err((1, ""))),
            ("a\nb", Err((1, "one line"))),
        ] {
            match (argument(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err((at, what))) => {
                    assert_eq!(found.at, at, "{text}: {found:?}");
                    assert!(found.what.contains(what), "{text}: {found:?}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
