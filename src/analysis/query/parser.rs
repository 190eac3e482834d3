//! Reads a condition. `or` binds weakest, then `and`, then `not`, then comparisons.

use crate::analysis::query::lexer::{Keyword, Kind, Token, tokens};
use crate::analysis::query::{Comparison, Expr, Name, QueryError, Term};
use crate::model::value::Value;

/// Parentheses and `not` in each other; more would be no condition that somebody typed.
const MAX_DEPTH: usize = 100;

/// Reads a whole condition.
pub(super) fn parse(text: &str) -> Result<Expr<Name>, QueryError> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0 };
    if parser.peek() == &Kind::End {
        return Err(parser.error(0, "it is empty"));
    }
    let expr = parser.any()?;
    match parser.peek() {
        Kind::End => Ok(expr),
        Kind::Close => Err(parser.error_here("this ) closes nothing")),
        Kind::Comparison(_) => Err(parser.error_here("a condition cannot be compared")),
        _ => Err(parser.error_here("after a condition stands and, or, or nothing")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    /// `all or all …`
    fn any(&mut self) -> Result<Expr<Name>, QueryError> {
        self.joined(Keyword::Or, Self::all, Expr::Or)
    }

    /// `one and one …`
    fn all(&mut self) -> Result<Expr<Name>, QueryError> {
        self.joined(Keyword::And, Self::one, Expr::And)
    }

    fn joined(
        &mut self,
        keyword: Keyword,
        part: fn(&mut Self) -> Result<Expr<Name>, QueryError>,
        join: fn(Vec<Expr<Name>>) -> Expr<Name>,
    ) -> Result<Expr<Name>, QueryError> {
        let first = part(self)?;
        if self.peek() != &Kind::Keyword(keyword) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take_keyword(keyword) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    /// `not one`, `( any )`, or something said of a value.
    fn one(&mut self) -> Result<Expr<Name>, QueryError> {
        let opened = self.at;
        let negated = self.take_keyword(Keyword::Not);
        if !negated && self.peek() != &Kind::Open {
            return self.predicate();
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(opened, "this is nested too deeply"));
        }
        let expr = if negated {
            Expr::Not(Box::new(self.one()?))
        } else {
            self.at += 1;
            let expr = self.any()?;
            if self.peek() == &Kind::End {
                return Err(self.error(opened, "this ( is never closed"));
            }
            if self.peek() != &Kind::Close {
                return Err(self.error_here("and, or, or ) is missing here"));
            }
            self.at += 1;
            expr
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn predicate(&mut self) -> Result<Expr<Name>, QueryError> {
        let start = self.at;
        let term = self.term()?;
        if let Kind::Comparison(_) = self.peek() {
            return self.comparison(start, term);
        }
        if self.take_keyword(Keyword::Is) {
            let negated = self.take_keyword(Keyword::Not);
            if !self.take_keyword(Keyword::Null) {
                return Err(self.error_here("after is stands null or not null"));
            }
            return Ok(Expr::Null { term, negated });
        }
        let negated = self.take_keyword(Keyword::Not);
        if self.take_keyword(Keyword::In) {
            return Ok(Expr::In { list: self.list(&term)?, term, negated });
        }
        if self.take_keyword(Keyword::Like) {
            let Kind::Literal(Value::Text(pattern)) = self.peek().clone() else {
                return Err(self.error_here("after like stands a text in quotes"));
            };
            if matches!(&term, Term::Literal(value) if !matches!(value, Value::Text(_))) {
                return Err(self.error(start, "only a text can be like another"));
            }
            self.at += 1;
            return Ok(Expr::Like { term, pattern, negated });
        }
        if negated {
            return Err(self.error_here("after a value's not stands in or like"));
        }
        match &term {
            Term::Literal(value) if !matches!(value, Value::Bool(_)) => {
                let what = format!("{} alone is no condition", article(value));
                Err(self.error(start, &what))
            }
            _ => Ok(Expr::Is(term)),
        }
    }

    /// `first < term <= term …`
    fn comparison(&mut self, start: usize, first: Term<Name>) -> Result<Expr<Name>, QueryError> {
        self.reject_null(start, &first)?;
        let mut rest: Vec<(Comparison, Term<Name>)> = Vec::new();
        while let Kind::Comparison(comparison) = *self.peek() {
            self.at += 1;
            let start = self.at;
            let term = self.term()?;
            self.reject_null(start, &term)?;
            self.agree(rest.last().map_or(&first, |(_, left)| left), &term, start)?;
            rest.push((comparison, term));
        }
        Ok(Expr::Compare(first, rest))
    }

    /// What is compared with null is neither true nor false, whatever it is: that is never meant.
    fn reject_null(&self, start: usize, term: &Term<Name>) -> Result<(), QueryError> {
        match term {
            Term::Literal(Value::None) => {
                let hint = Some("write is null or is not null".to_owned());
                Err(QueryError { hint, ..self.error(start, "nothing equals null, and nothing differs from it") })
            }
            _ => Ok(()),
        }
    }

    /// Fixed values that are compared must be of one type.
    fn agree(&self, left: &Term<Name>, right: &Term<Name>, at: usize) -> Result<(), QueryError> {
        match (left, right) {
            (Term::Literal(left), Term::Literal(right)) if article(left) != article(right) => {
                Err(self.error(at, &format!("{} cannot be compared with {}", article(left), article(right))))
            }
            _ => Ok(()),
        }
    }

    /// `( value, value … )`
    fn list(&mut self, term: &Term<Name>) -> Result<Vec<Value>, QueryError> {
        if self.peek() != &Kind::Open {
            return Err(self.error_here("after in stands a list: (1, 2, 3)"));
        }
        let mut list = Vec::new();
        loop {
            // The parenthesis or a comma.
            self.at += 1;
            let start = self.at;
            match self.term()? {
                Term::Field(_) => return Err(self.error(start, "in a list stand numbers, texts, true and false")),
                literal => {
                    self.reject_null(start, &literal)?;
                    self.agree(term, &literal, start)?;
                    let Term::Literal(value) = literal else { continue };
                    list.push(value);
                }
            }
            match self.peek() {
                Kind::Comma => {}
                Kind::Close => break,
                _ => return Err(self.error_here("a list goes on with a comma or ends with )")),
            }
        }
        self.at += 1;
        Ok(list)
    }

    fn term(&mut self) -> Result<Term<Name>, QueryError> {
        let Token { at, kind } = self.tokens[self.at].clone();
        let term = match kind {
            Kind::Name(text) => Term::Field(Name { text, at }),
            Kind::Literal(value) => Term::Literal(value),
            Kind::Keyword(Keyword::Null) => Term::Literal(Value::None),
            Kind::End => return Err(self.error_here("it ends where a name or a value is missing")),
            _ => return Err(self.error_here("a name or a value is missing here")),
        };
        self.at += 1;
        Ok(term)
    }

    fn peek(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    fn take_keyword(&mut self, keyword: Keyword) -> bool {
        let there = self.peek() == &Kind::Keyword(keyword);
        self.at += usize::from(there);
        there
    }

    fn error_here(&self, what: &str) -> QueryError {
        self.error(self.at, what)
    }

    /// An error at a word.
    fn error(&self, token: usize, what: &str) -> QueryError {
        let at = self.tokens[token].at;
        QueryError { text: self.text.to_owned(), at, what: what.to_owned(), hint: None }
    }
}

/// A fixed value's type, in words.
fn article(value: &Value) -> &'static str {
    match value {
        Value::None => "null",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::BigInt(_) | Value::Float(_) => "a number",
        Value::Text(_) | Value::Json(_) | Value::Opaque(_) => "a text",
    }
}
