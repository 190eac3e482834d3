//! What of a run's command line is other than another run's, beside what its arguments say. Pure.

use std::collections::HashMap;

use crate::model::run::RunSummary;
use crate::model::value::Value;
use crate::tui::text;

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

/// Words that the `other` command line lacks, and none of these arguments stands for; a value with the option before it.
/// An argument stands for one value, if it can for that beside its name: another option may have been given the same.
fn told_by_none(words: &[String], other: &[String], arguments: &[&(String, Value)]) -> Vec<String> {
    let mut known: HashMap<(Place<'_>, &str), usize> = HashMap::new();
    for (word, place) in other.iter().zip(places(other, words)) {
        *known.entry((place, word)).or_default() += 1;
    }
    let places = places(words, other);
    let mut left: Vec<&(String, Value)> = arguments.to_vec();
    let mut use_up = |tells: &dyn Fn(&str, &Value) -> bool| {
        let at = left.iter().position(|(name, value)| tells(name, value));
        at.map(|at| left.remove(at)).is_some()
    };
    let mut new = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if let Some(count) = known.get_mut(&(places[at], word.as_str())).filter(|count| **count > 0) {
            *count -= 1;
            continue;
        }
        let option = at.checked_sub(1).map(|at| words[at].as_str()).filter(|before| before.starts_with('-'));
        let (name_before, given) = word.split_once('=').map_or((option, word.as_str()), |(name, v)| (Some(name), v));
        let named = |name: &str, value: &Value| name_before.is_some_and(|n| is_name(n, name)) && is_value(given, value);
        if !use_up(&named) && !arguments.iter().any(|(name, _)| is_name(word, name)) {
            new.push((option, word));
        }
    }
    new.retain(|(_, word)| word.contains('=') || !use_up(&|_, value| is_value(word, value)));
    let mut found: Vec<String> = Vec::new();
    for (option, word) in new {
        // An option that is new stands there itself.
        match option.filter(|option| !word.starts_with('-') && found.last().is_none_or(|last| last != option)) {
            Some(option) if !option.contains('=') => found.push(format!("{option} {word}")),
            _ => found.push(word.clone()),
        }
    }
    found
}

/// What a word is told from the same word elsewhere by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place<'w> {
    /// After this option.
    After(&'w str),
    /// The how many-eth of those that follow no option.
    Number(usize),
    Anywhere,
}

/// Where each word stands, as far as that can be compared with the `other` command line: after an option that both have, or
/// by number where both have as many.
fn places<'w>(words: &'w [String], other: &[String]) -> Vec<Place<'w>> {
    let is_option = |word: &str| word.starts_with('-');
    let is_free = |words: &[String], at: usize, other: &[String]| {
        let before = at.checked_sub(1).map(|before| &words[before]);
        let is_value = before.is_some_and(|before| is_option(before) && other.contains(before));
        !is_option(&words[at]) && !words[at].contains('=') && !is_value
    };
    let count = |words: &[String], other: &[String]| (0..words.len()).filter(|at| is_free(words, *at, other)).count();
    let comparable = count(words, other) == count(other, words);
    let mut free = 0;
    let place = |at: usize| match at.checked_sub(1).map(|before| words[before].as_str()) {
        _ if is_free(words, at, other) => {
            free += 1;
            if comparable { Place::Number(free) } else { Place::Anywhere }
        }
        Some(option) if is_option(option) && !is_option(&words[at]) && !words[at].contains('=') => Place::After(option),
        _ => Place::Anywhere,
    };
    (0..words.len()).map(place).collect()
}

/// `lr`, `--lr`, `--no-amp`.
fn is_name(word: &str, name: &str) -> bool {
    let word = word.trim_start_matches('-').replace('-', "_");
    word == name || word.strip_prefix("no_") == Some(name)
}

fn is_value(word: &str, value: &Value) -> bool {
    word == text::written(value) || word.parse::<f64>().is_ok_and(|number| value.as_f64() == Some(number))
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
            // An argument stands for one value: what else has become the same is told, with its option.
            (("--lr 1 --seed 1", 1.0), ("--lr 2 --seed 2", 2.0), "--seed 2"),
            (("--seed 1 --lr 1", 1.0), ("--seed 2 --lr 2", 2.0), "--seed 2"),
            (("lr=1 --seed 1", 1.0), ("lr=2 --seed 2", 2.0), "--seed 2"),
            (("lr=1", 1.0), ("lr=2 --seed 2", 2.0), "--seed 2"),
            (("--learning-rate 1", 1.0), ("--learning-rate 2", 2.0), ""),
            // What has changed places has changed.
            (("--lr 1 --seed 2", 1.0), ("--lr 2 --seed 1", 2.0), "--seed 1"),
            (("1 2", 1.0), ("2 1", 2.0), "1"),
            (("--lr 1 --seed 2", 1.0), ("--seed 2 --lr 1", 1.0), "--seed 2 --lr 1"),
            (("--lr 1 --seed 2", 1.0), ("--seed 2 --lr 3", 3.0), ""),
            (("a b --lr 1", 1.0), ("b a --lr 2", 2.0), "b a"),
            (("data", 1.0), ("--fast data", 1.0), "--fast"),
            (("--fast data", 1.0), ("data", 1.0), "without --fast"),
            (("-v a --lr 1", 1.0), ("-v a b --lr 2", 2.0), "b"),
            // An argument that is the same explains nothing.
            (("0.5 0.1", 0.1), ("0.1 0.1", 0.1), "0.1"),
        ] {
            assert_eq!(otherwise(&started(before.0, before.1), &started(now.0, now.1)), said, "{before:?} {now:?}");
        }
    }
}
