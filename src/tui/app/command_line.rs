//! What of a run's command line is other than another run's, beside what its arguments say. Pure.

use crate::model::run::RunSummary;
use crate::model::value::Value;

/// The words that a run was started with and the other one was not, as far as no argument that differs tells of them; where
/// it only lacks some, these. Empty where both command lines are the same.
pub fn otherwise(before: &RunSummary, now: &RunSummary) -> String {
    if before.command == now.command {
        return String::new();
    }
    let added = told_by_none(&now.command, &before.command, &differing(now, before));
    let gone = told_by_none(&before.command, &now.command, &differing(before, now));
    match (added.is_empty(), gone.is_empty()) {
        (false, _) => added.join(" "),
        (true, false) => format!("without {}", gone.join(" ")),
        // The same words otherwise put together, or told by arguments, which stand beside.
        (true, true) if differing(now, before).is_empty() => now.command.join(" "),
        (true, true) => String::new(),
    }
}

/// Arguments of `run` that `other` lacks or has otherwise.
fn differing<'r>(run: &'r RunSummary, other: &RunSummary) -> Vec<&'r (String, Value)> {
    let same = |(name, value): &&(String, Value)| {
        other.args.iter().any(|(known, there)| known == name && there.same_bits(value))
    };
    run.args.iter().filter(|argument| !same(argument)).collect()
}

/// Words that the `other` command line lacks, and none of these arguments stands for.
fn told_by_none<'c>(words: &'c [String], other: &[String], arguments: &[&(String, Value)]) -> Vec<&'c str> {
    let mut left: Vec<&String> = other.iter().collect();
    let mut found = Vec::new();
    for word in words {
        match left.iter().position(|known| *known == word) {
            Some(at) => drop(left.remove(at)),
            None if arguments.iter().any(|(name, value)| tells(word, name, value)) => {}
            None => found.push(word.as_str()),
        }
    }
    found
}

/// Whether a word is an argument's name, its value, or both: `lr=0.1`, `--lr=1e-1`, `--lr`, `0.1`, `--no-amp`.
fn tells(word: &str, name: &str, value: &Value) -> bool {
    let is_name = |text: &str| {
        let text = text.trim_start_matches('-').replace('-', "_");
        text == name || text.strip_prefix("no_") == Some(name)
    };
    let is_value = |text: &str| {
        text == value.to_string() || text.parse::<f64>().is_ok_and(|number| value.as_f64() == Some(number))
    };
    match word.split_once('=') {
        Some((text, given)) => is_name(text) && is_value(given),
        None => is_name(word) || is_value(word),
    }
}

#[cfg(test)]
mod tests {
    use super::otherwise;
    use crate::model::run::{RunStatus, RunSummary};
    use crate::model::value::Value;
    use crate::tui::app::fixture::run;

    #[test]
    fn what_no_argument_tells_of_a_command_line_is_told() {
        let started = |command: &str, lr: f64| RunSummary {
            args: vec![("lr".into(), Value::Float(lr))],
            command: command.split_whitespace().map(str::to_owned).collect(),
            ..run(1, RunStatus::Finished)
        };
        for (before, now, said) in [
            (("0.1 3", 0.0), ("0.1 3", 0.0), ""),
            (("0.1 3", 0.0), ("0.2 3", 0.0), "0.2"),
            (("0.1 0.2", 0.0), ("0.2 0.1", 0.0), "0.2 0.1"),
            (("--fast", 0.0), ("", 0.0), "without --fast"),
            (("lr=0.1", 0.1), ("lr=1e-3", 0.001), ""),
            (("--lr 0.1", 0.1), ("--lr 0.2 --big", 0.2), "--big"),
            (("-O lr=0.1", 0.1), ("lr=0.1", 0.1), "without -O"),
            // An argument that is the same explains nothing.
            (("0.5 0.1", 0.1), ("0.1 0.1", 0.1), "0.1"),
        ] {
            assert_eq!(otherwise(&started(before.0, before.1), &started(now.0, now.1)), said, "{before:?} {now:?}");
        }
    }
}
