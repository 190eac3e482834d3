//! The filter language of `&`: words, and comparisons such as `lr>1e-3 status:failed loss<0.5 and epoch>3`. Pure.

/// What a row has to say about a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    Number(f64),
    Text(String),
}

/// A parsed filter; all terms must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// As typed.
    pub text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    /// Somewhere in the row, whatever the case.
    Word(String),
    Compare {
        field: String,
        operator: Operator,
        operand: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Contains,
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Spelled forms, longest first where one begins with another.
const OPERATORS: [(&str, Operator); 9] = [
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("!=", Operator::Different),
    ("≠", Operator::Different),
    ("==", Operator::Equal),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    (":", Operator::Contains),
];

impl Filter {
    /// Reads a filter; an empty one is none.
    ///
    /// # Errors
    /// With what is wrong, in words.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let mut terms = Vec::new();
        for word in words(text) {
            if word == "and" || word == "&&" {
                continue;
            }
            terms.push(term(&word)?);
        }
        if terms.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { text: text.trim().to_owned(), terms }))
    }

    /// Whether a row passes, given its fields by name and all its text.
    pub fn matches(&self, field: impl Fn(&str) -> Option<Field>, row: impl Fn() -> String) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Word(word) => row().to_lowercase().contains(word),
            Term::Compare { field: name, operator, operand } => {
                field(name).is_some_and(|value| holds(&value, *operator, operand))
            }
        })
    }

    /// The fields compared, for telling of unknown ones.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|term| match term {
            Term::Word(_) => None,
            Term::Compare { field, .. } => Some(field.as_str()),
        })
    }
}

/// Splits at spaces, but not around operators: `loss < 0.1` is one term.
fn words(text: &str) -> Vec<String> {
    let starts_with_operator = |s: &str| OPERATORS.iter().any(|(sign, _)| s.starts_with(sign));
    let ends_with_operator = |s: &str| OPERATORS.iter().any(|(sign, _)| s.ends_with(sign));
    let mut words: Vec<String> = Vec::new();
    for piece in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if starts_with_operator(piece) || ends_with_operator(last) => last.push_str(piece),
            _ => words.push(piece.to_owned()),
        }
    }
    words
}

fn term(word: &str) -> Result<Term, String> {
    let found = word.char_indices().find_map(|(at, _)| {
        OPERATORS.iter().find(|(sign, _)| word[at..].starts_with(sign)).map(|(sign, operator)| (at, sign, *operator))
    });
    let Some((at, sign, operator)) = found else { return Ok(Term::Word(word.to_lowercase())) };
    let (field, operand) = (&word[..at], &word[at + sign.len()..]);
    if field.is_empty() {
        return Err(format!("'{word}' compares nothing: write a name before {sign}"));
    }
    if operand.is_empty() {
        return Err(format!("'{word}' has nothing after {sign}"));
    }
    let ordered = !matches!(operator, Operator::Contains | Operator::Equal | Operator::Different);
    if ordered && number(operand).is_none() {
        return Err(format!("'{operand}' is not a number"));
    }
    Ok(Term::Compare { field: field.to_owned(), operator, operand: operand.to_owned() })
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn holds(value: &Field, operator: Operator, operand: &str) -> bool {
    match (value, number(operand)) {
        (Field::Number(value), Some(operand)) => match operator {
            Operator::Contains | Operator::Equal => *value == operand || (value.is_nan() && operand.is_nan()),
            Operator::Different => *value != operand && !(value.is_nan() && operand.is_nan()),
            Operator::Less => *value < operand,
            Operator::LessOrEqual => *value <= operand,
            Operator::Greater => *value > operand,
            Operator::GreaterOrEqual => *value >= operand,
        },
        (Field::Number(_), None) => operator == Operator::Different,
        (Field::Text(value), _) => match operator {
            Operator::Contains => value.to_lowercase().contains(&operand.to_lowercase()),
            Operator::Equal => value == operand,
            Operator::Different => value != operand,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str) -> bool {
        let filter = Filter::parse(filter).expect("parses").expect("not empty");
        filter.matches(
            |name| match name {
                "loss" => Some(Field::Number(0.25)),
                "status" => Some(Field::Text("failed".into())),
                "bad" => Some(Field::Number(f64::NAN)),
                _ => None,
            },
            || "run9 train.py lr=0.1".into(),
        )
    }

    #[test]
    fn terms_compare_numbers_and_find_text() {
        for (filter, passes) in [
            ("loss<0.5", true),
            ("loss < 0.5 and status:fail", true),
            ("loss>=0.25", true),
            ("loss>0.25", false),
            ("status=failed TRAIN", true),
            ("status!=failed", false),
            ("unknown>1", false),
            ("nothing", false),
            ("bad=nan", true),
            ("bad<1", false),
        ] {
            assert_eq!(check(filter), passes, "{filter}");
        }
    }

    #[test]
    fn a_broken_filter_says_what_is_wrong() {
        assert_eq!(Filter::parse("loss<").unwrap_err(), "'loss<' has nothing after <");
        assert_eq!(Filter::parse("<3").unwrap_err(), "'<3' compares nothing: write a name before <");
        assert_eq!(Filter::parse("loss<low").unwrap_err(), "'low' is not a number");
        assert_eq!(Filter::parse("  "), Ok(None));
    }
}
