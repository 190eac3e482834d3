//! Which iterations of the main loop a user asks for.

use std::fmt;
use std::str::FromStr;

/// A choice of iterations of one loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iterations {
    /// `None`: the main loop, whatever its name.
    pub loop_name: Option<String>,
    pub choice: Choice,
}

/// Which iterations of a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    All,
    Last,
    /// Inclusive ranges.
    Ranges(Vec<(u64, u64)>),
}

/// Text that chooses no iterations, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadIterations(String);

impl fmt::Display for Iterations {
    /// Writes it so that it reads back as the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.loop_name {
            write!(f, "{name}=")?;
        }
        match &self.choice {
            Choice::All => f.write_str("all"),
            Choice::Last => f.write_str("last"),
            Choice::Ranges(ranges) => {
                let range = |(first, last): &(u64, u64)| {
                    if first == last { first.to_string() } else { format!("{first}..{last}") }
                };
                f.write_str(&ranges.iter().map(range).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl FromStr for Iterations {
    type Err = BadIterations;

    /// Reads `LOOP=SPEC`: `epoch=all`, `epoch=last`, `epoch=3`, `epoch=2..5`, `epoch=0,4`; or SPEC alone.
    fn from_str(text: &str) -> Result<Self, BadIterations> {
        let bad = |what: String| BadIterations(what);
        let (loop_name, spec) = match text.split_once('=') {
            Some((name, spec)) => (Some(name.to_owned()), spec),
            None => (None, text),
        };
        let number = |text: &str| {
            let wrong = || bad(format!("'{text}' is not an iteration's number: write 2..5, 0,4, last, or epoch=2..5"));
            text.trim().parse::<u64>().map_err(|_| wrong())
        };
        let range = |part: &str| match part.split_once("..") {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first <= last { Ok((first, last)) } else { Err(bad(format!("{part} ends before it begins"))) }
            }
            None => number(part).map(|only| (only, only)),
        };
        let choice = match spec {
            "all" => Choice::All,
            "last" => Choice::Last,
            _ => Choice::Ranges(spec.split(',').map(range).collect::<Result<_, _>>()?),
        };
        Ok(Self { loop_name, choice })
    }
}

impl Iterations {
    /// What of it a run with `count` iterations of its main loop cannot give, in words.
    pub(super) fn not_there(&self, main_loop: &str, count: u64) -> Option<String> {
        match (&self.loop_name, main_loop) {
            (Some(name), main) if name == main => {}
            (Some(name), "") => return Some(format!("it has no main loop, and so no iterations of {name}")),
            (Some(name), main) => {
                return Some(format!("its main loop is {main}, and so it has no iterations of {name}"));
            }
            (None, "") => return Some("it has no main loop, and so no iterations to choose from".to_owned()),
            (None, _) => {}
        }
        let Choice::Ranges(ranges) = &self.choice else { return None };
        let beyond: Vec<String> = ranges
            .iter()
            .filter(|(_, last)| *last >= count)
            .map(|(first, last)| match (count.max(*first), *last) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}..{last}"),
            })
            .collect();
        let there = match count {
            0 => "none".to_owned(),
            1 => "only 0".to_owned(),
            _ => format!("only 0..{}", count - 1),
        };
        (!beyond.is_empty()).then(|| format!("{main_loop} {} was asked for, the run has {there}", beyond.join(", ")))
    }
}

impl Choice {
    pub(super) fn holds(&self, index: u64, count: u64) -> bool {
        match self {
            Self::All => true,
            Self::Last => index + 1 == count,
            Self::Ranges(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&index)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Iterations};

    #[test]
    fn what_a_run_does_not_have_is_said() {
        let said = |text: &str, count| text.parse::<Iterations>().expect("iterations").not_there("epoch", count);
        for (text, count) in [("epoch=0,2", 3), ("epoch=all", 0), ("epoch=last", 3)] {
            assert_eq!(said(text, count), None, "{text}");
        }
        assert_eq!(said("epoch=1..4,9", 3).as_deref(), Some("epoch 3..4, 9 was asked for, the run has only 0..2"));
        assert_eq!(said("epoch=0", 0).as_deref(), Some("epoch 0 was asked for, the run has none"));
        assert!(said("step=0", 3).is_some_and(|text| text.contains("its main loop is epoch")));
    }

    #[test]
    fn iterations_are_read_as_written() {
        let parsed = |text: &str| text.parse::<Iterations>().map(|iterations| iterations.choice);
        assert_eq!(parsed("epoch=all"), Ok(Choice::All));
        assert_eq!(parsed("epoch=last"), Ok(Choice::Last));
        assert_eq!(parsed("epoch=0,4,2..5"), Ok(Choice::Ranges(vec![(0, 0), (4, 4), (2, 5)])));
        let unnamed: Iterations = "50..60".parse().expect("iterations");
        assert_eq!(unnamed, Iterations { loop_name: None, choice: Choice::Ranges(vec![(50, 60)]) });
        assert_eq!(unnamed.not_there("step", 70), None);
        assert!(unnamed.not_there("", 0).is_some_and(|text| text.contains("no main loop")));
        for text in ["epoch=all", "last", "epoch=0,4,2..5"] {
            assert_eq!(text.parse::<Iterations>().map(|read| read.to_string()).as_deref(), Ok(text));
        }
        for bad in ["epoch", "epoch=", "", "=", "epoch=x", "epoch=5..2", "epoch=-1"] {
            assert!(bad.parse::<Iterations>().is_err(), "{bad}");
        }
    }
}
