//! What the names of a condition mean: a loop's position, a logged value, an argument of the run, or the run itself.
//!
//! A name that could be several of these is refused: `arg.lr` and `log.lr` tell them apart, as do `loop.epoch` and
//! `run.id`, `run.status`, `run.name`.

use std::collections::BTreeSet;

use crate::analysis::query::{Condition, Expr, Name, QueryError};

/// Everything that a name may mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub loops: BTreeSet<String>,
    pub logged: BTreeSet<String>,
    pub args: BTreeSet<String>,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The 0-based index of a loop's iteration.
    Loop(String),
    /// What a loop iterated over.
    LoopValue(String),
    Logged(String),
    Arg(String),
    /// The run's id, its status and its name.
    Run,
    Status,
    RunName,
}

/// Replaces names by what they mean. `similar` gives the known names that are close to an unknown one.
///
/// # Errors
/// If a name means nothing, or several things.
pub fn resolve(
    condition: &Condition,
    known: &Known,
    similar: impl Fn(&str, &BTreeSet<String>) -> Vec<String>,
) -> Result<Expr<Source>, QueryError> {
    condition.expr.try_map(&mut |name| {
        let mut meanings = known.meanings(&name.text);
        let error = |what, hint| QueryError { text: condition.text.clone(), at: name.at, what, hint };
        match meanings.len() {
            0 => {
                let what = format!("there is no loop, logged value or argument '{}'", name.text);
                Err(error(what, Some(known.advice(name, &similar))))
            }
            1 => Ok(meanings.swap_remove(0)),
            _ => {
                let all: Vec<&str> = meanings.iter().map(Source::what).collect();
                let exact: Vec<String> = meanings.iter().map(Source::in_full).collect();
                let what = format!("'{}' is {}", name.text, all.join(" and "));
                Err(error(what, Some(format!("write {}", exact.join(" or ")))))
            }
        }
    })
}

impl Known {
    fn meanings(&self, name: &str) -> Vec<Source> {
        if let Some((space, rest)) = name.split_once('.')
            && let found @ [_, ..] = &self.in_space(space, rest)[..]
        {
            return found.to_vec();
        }
        ["loop", "log", "arg", "run"].iter().flat_map(|space| self.in_space(space, name)).collect()
    }

    /// What a name means in a space.
    fn in_space(&self, space: &str, name: &str) -> Vec<Source> {
        let mut found = Vec::new();
        match space {
            "loop" => {
                found.extend(self.loops.contains(name).then(|| Source::Loop(name.to_owned())));
                let valued = name.strip_suffix("_value").filter(|name| self.loops.contains(*name));
                found.extend(valued.map(|name| Source::LoopValue(name.to_owned())));
            }
            "log" => found.extend(self.logged.contains(name).then(|| Source::Logged(name.to_owned()))),
            "arg" => found.extend(self.args.contains(name).then(|| Source::Arg(name.to_owned()))),
            "run" => found.extend(match name {
                // `run.id`, since `run` alone is the id.
                "run" | "id" => Some(Source::Run),
                "status" => Some(Source::Status),
                "name" => Some(Source::RunName),
                _ => None,
            }),
            _ => {}
        }
        found
    }

    fn advice(&self, name: &Name, similar: impl Fn(&str, &BTreeSet<String>) -> Vec<String>) -> String {
        let own = ["run", "status", "name"].map(str::to_owned);
        let every = || self.loops.iter().chain(&self.logged).chain(&self.args).chain(&own);
        let (space, near) = match name.text.split_once('.') {
            Some(("loop", rest)) => ("loop.", similar(rest, &self.loops)),
            Some(("log", rest)) => ("log.", similar(rest, &self.logged)),
            Some(("arg", rest)) => ("arg.", similar(rest, &self.args)),
            _ => ("", similar(&name.text, &every().cloned().collect())),
        };
        let near = near.into_iter().map(|name| format!("{space}{name}")).collect::<Vec<_>>();
        match near {
            near if near.is_empty() => format!("a text stands in quotes: '{}'", name.text),
            near => {
                let near: Vec<String> = near.into_iter().map(|text| Name { text, at: 0 }.to_string()).collect();
                format!("did you mean {}?", near.join(" or "))
            }
        }
    }
}

impl Source {
    fn what(&self) -> &'static str {
        match self {
            Self::Loop(_) => "a loop",
            Self::LoopValue(_) => "a loop's value",
            Self::Logged(_) => "a logged value",
            Self::Arg(_) => "an argument",
            Self::Run => "the run's id",
            Self::Status => "the run's status",
            Self::RunName => "the run's name",
        }
    }

    /// A spelling that can mean nothing else.
    fn in_full(&self) -> String {
        let text = match self {
            Self::Loop(name) => format!("loop.{name}"),
            Self::LoopValue(name) => format!("loop.{name}_value"),
            Self::Logged(name) => format!("log.{name}"),
            Self::Arg(name) => format!("arg.{name}"),
            Self::Run => "run.id".into(),
            Self::Status => "run.status".into(),
            Self::RunName => "run.name".into(),
        };
        Name { text, at: 0 }.to_string()
    }
}
