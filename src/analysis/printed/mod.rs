//! Lines of text that a script printed: the numbers in them, with the names that stand before them, and what of a line
//! can be held against the same line of another execution. Pure; linear in the line.

mod numbers;
#[cfg(test)]
mod tests;

use crate::analysis::printed::numbers::numbers;
use crate::model::value::Value;

/// Words before a number that say nothing of it.
const FILLERS: [&str; 12] = ["is", "of", "at", "to", "was", "the", "a", "in", "with", "and", "for", "now"];
/// What a printed value may be wrapped in.
const WRAPPERS: [&str; 6] = ["tensor", "float", "float32", "float64", "array", "item"];
/// What logging puts before its messages.
const LEVELS: [&str; 6] = ["DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL"];
/// A name has at most so many words, the last of what stands before the number.
const MAX_WORDS: usize = 3;
/// Labels and units of what differs from one execution to the next: times, rates, memory, processes.
const VARIABLE: [&str; 22] = [
    "time",
    "elapsed",
    "eta",
    "took",
    "duration",
    "date",
    "speed",
    "rate/s",
    "throughput",
    "remaining",
    "mem",
    "memory",
    "pid",
    "port",
    "id",
    "latency",
    "fps",
    "ips",
    "mfu",
    "gpu",
    "cpu",
    "uptime",
];
/// Labels of what a script is given rather than computes.
const GIVEN: [&str; 16] = [
    "lr",
    "learning",
    "epoch",
    "epochs",
    "step",
    "steps",
    "iter",
    "iteration",
    "batch",
    "seed",
    "momentum",
    "decay",
    "eps",
    "beta",
    "version",
    "params",
];
/// A number with fewer significant digits is no evidence of anything.
const LEAST_DIGITS: u32 = 3;

/// The named numbers of a line, in order: `val loss: 0.25` is (`val loss`, 0.25), `Epoch 3/10` is (`Epoch`, 3).
pub fn values(line: &str) -> Vec<(String, Value)> {
    let text = plain(line);
    let mut found: Vec<(String, Value)> = Vec::new();
    let mut last: Option<String> = None;
    for number in numbers(&text) {
        if number.is_stamp || number.is_total {
            continue;
        }
        let label = label(number.before(&text));
        let name = match (&label, &last) {
            (Some(label), _) => Some(label.clone()),
            // Accuracy: 91/100 (91%)
            (None, Some(last)) if number.unit == "%" && number.is_bracketed => Some(format!("{last} %")),
            _ => None,
        };
        if let (Some(name), Some(value)) = (&name, number.value()) {
            found.push((name.clone(), value));
        }
        last = label;
    }
    found
}

/// A line as it can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparable {
    /// The text with what differs anyway left out: times, rates, memory, addresses.
    pub text: String,
    /// The computed numbers in it as they are written, and how many significant digits each has.
    pub computed: Vec<(String, u32)>,
}

/// What of a line a faithful replay prints again.
pub fn comparable(line: &str) -> Comparable {
    let text = plain(line);
    let (mut out, mut at, mut computed) = (String::with_capacity(text.len()), 0, Vec::new());
    for number in numbers(&text) {
        let label = label(number.before(&text)).unwrap_or_default().to_lowercase();
        let says = |words: &[&str]| label.split([' ', '_', '-', '/', '.']).any(|word| words.contains(&word));
        if number.is_stamp || number.has_variable_unit() || says(&VARIABLE) {
            out.push_str(&text[at..number.range.start]);
            out.push('#');
            at = number.range.end;
        } else if number.digits() >= LEAST_DIGITS && number.is_fraction && !number.is_total && !says(&GIVEN) {
            computed.push((text[number.range.clone()].to_owned(), number.digits()));
        }
    }
    out.push_str(&text[at..]);
    // A shorter time is padded with blanks.
    let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
    Comparable { text, computed }
}

/// The text without the escape sequences of colours and cursors.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if rest.next_if_eq(&'[').is_some() {
            // Parameters, then one letter.
            while rest.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
            rest.next();
        }
    }
    out
}

/// The name that ends the text before a number, if there is one.
fn label(before: &str) -> Option<String> {
    let separators = |c: char| c.is_whitespace() || "=:'\"([{~≈>-→*".contains(c);
    let mut text = before.trim_end_matches(separators);
    let last_word = |text: &str| text.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    if before[text.len()..].contains('(') && WRAPPERS.contains(&last_word(text).as_str()) {
        text =
            text.trim_end_matches(|c: char| c.is_alphanumeric() || c == '.' || c == '_').trim_end_matches(separators);
    }
    let ends = |c: char| ",;|()[]{}=:'\"\t<>!?#%→*".contains(c);
    let phrase = text.rsplit(ends).next().unwrap_or_default();
    let mut words: Vec<&str> = phrase.split_whitespace().collect();
    while words.last().is_some_and(|word| FILLERS.contains(&word.to_lowercase().as_str())) {
        words.pop();
    }
    if words.len() > 1 && LEVELS.contains(&words[0]) {
        words.remove(0);
    }
    let words = &words[words.len().saturating_sub(MAX_WORDS)..];
    let first = words.iter().position(|word| word.chars().any(char::is_alphabetic))?;
    let name = words[first..].join(" ");
    Some(name.trim_matches(|c: char| !c.is_alphanumeric() && c != '_').to_owned()).filter(|name| !name.is_empty())
}
