//! Finds the numbers of a text.

use std::ops::Range;

use crate::model::value::Value;

/// Units that may stand directly after a number.
const UNITS: [&str; 30] = [
    "%", "s", "sec", "secs", "ms", "us", "µs", "ns", "m", "min", "h", "hr", "hrs", "d", "it", "k", "K", "M", "G", "B",
    "KB", "MB", "GB", "KiB", "MiB", "GiB", "x", "Hz", "W", "e",
];
/// Units of times and memory; a unit with `/` is a rate.
const VARIABLE: [&str; 29] = [
    "s", "sec", "secs", "second", "seconds", "ms", "us", "µs", "ns", "m", "min", "mins", "minutes", "h", "hr", "hrs",
    "hours", "d", "days", "KB", "MB", "GB", "KiB", "MiB", "GiB", "kB", "Hz", "W", "C",
];

/// A number, or what looks like several joined: a date, a time, a version.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) range: Range<usize>,
    /// Where the number before it ends, with its unit.
    after: usize,
    /// What directly follows, or follows after a blank: `ms`, `%`, `it/s`.
    pub(super) unit: String,
    /// A date, a time, a version, an address.
    pub(super) is_stamp: bool,
    /// The second of `3/10`.
    pub(super) is_total: bool,
    /// Whether it has a fraction or an exponent.
    pub(super) is_fraction: bool,
    /// Whether an opening bracket stands before it.
    pub(super) is_bracketed: bool,
    text: String,
}

impl Number {
    /// The text between the number before and this one.
    pub(super) fn before<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.after..self.range.start).unwrap_or_default()
    }

    pub(super) fn value(&self) -> Option<Value> {
        let text = self.text.strip_prefix('+').unwrap_or(&self.text);
        match text.parse::<i64>() {
            Ok(int) if !self.is_fraction => Some(Value::Int(int)),
            _ => text.parse::<f64>().ok().map(Value::Float),
        }
    }

    /// How many digits say something: all from the first that is not zero to the exponent.
    pub(super) fn digits(&self) -> u32 {
        let mantissa = self.text.split(['e', 'E']).next().unwrap_or_default();
        let digits = mantissa.chars().filter(char::is_ascii_digit).skip_while(|digit| *digit == '0').count();
        u32::try_from(digits).unwrap_or(u32::MAX)
    }

    pub(super) fn has_variable_unit(&self) -> bool {
        self.unit.contains('/') || VARIABLE.contains(&self.unit.as_str())
    }
}

/// The numbers of a text, in order.
pub(super) fn numbers(text: &str) -> Vec<Number> {
    let mut found: Vec<Number> = Vec::new();
    let (mut at, mut after) = (0, 0);
    while let Some(start) = next_start(text, at) {
        let end = end_of(text, start);
        let last = text[..start].chars().next_back();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (joined, is_joined) = joined(text, start, end);
        let unit = unit(&text[joined..]);
        let direct = text[joined..].chars().next().is_some_and(|c| is_word(c) || c == '%');
        // A number that is part of a word is none: conv2, 2nd, 1e.
        let in_word = last.is_some_and(|c| is_word(c) || c == '.')
            || direct && !UNITS.contains(&unit.split('/').next().unwrap_or_default());
        if in_word {
            at = joined + text[joined..].find(|c: char| !is_word(c)).unwrap_or(text.len() - joined);
            at = at.max(joined);
            continue;
        }
        let slice = &text[start..end];
        let is_total = last == Some('/') && found.last().is_some_and(|number| number.range.end == start - 1);
        found.push(Number {
            range: start..joined,
            after,
            is_stamp: is_joined,
            is_total,
            is_fraction: slice.contains(['.', 'e', 'E', 'n']),
            is_bracketed: text[after..start].trim_end().ends_with('('),
            text: slice.to_owned(),
            unit: unit.to_owned(),
        });
        // A unit is no label of what follows.
        let units = text[joined..].find(unit).unwrap_or(0) + unit.len();
        let is_unit = direct || VARIABLE.contains(&unit) || unit.contains('/');
        at = if is_unit && !unit.is_empty() { joined + units } else { joined };
        after = at;
    }
    found
}

/// Where the next number may begin: a digit, or a sign or point before one, or `nan` and `inf` as words.
fn next_start(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80);
    let mut at = from;
    while at < bytes.len() {
        let inside = at > 0 && word(at - 1);
        let signed = matches!(bytes[at], b'-' | b'+') && !inside;
        let special = |at: usize| {
            ["nan", "inf"]
                .iter()
                .any(|name| bytes.get(at..at + 3).is_some_and(|found| found == name.as_bytes()) && !word(at + 3))
        };
        if digit(at)
            || bytes[at] == b'.' && digit(at + 1)
            || signed && (digit(at + 1) || bytes.get(at + 1) == Some(&b'.') && digit(at + 2) || special(at + 1))
            || !inside && special(at)
        {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Where the number that begins at `start` ends.
fn end_of(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let unsigned = start + usize::from(matches!(bytes[start], b'-' | b'+'));
    if bytes.get(unsigned).is_some_and(|b| matches!(b, b'n' | b'i')) {
        return unsigned + 3;
    }
    let mut end = digits(unsigned);
    if bytes.get(end) == Some(&b'.') && (end > unsigned || bytes.get(end + 1).is_some_and(u8::is_ascii_digit)) {
        let fraction = digits(end + 1);
        // A full stop ends a sentence, unless digits stand behind it.
        if fraction > end + 1 {
            end = fraction;
        }
    }
    if bytes.get(end).is_some_and(|b| matches!(b, b'e' | b'E')) {
        let sign = usize::from(bytes.get(end + 1).is_some_and(|b| matches!(b, b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// Where what is joined to a number ends, and whether anything is: `14:15:42.1`, `2026-11-21`, `1.2.3`, `0x7f`.
fn joined(text: &str, start: usize, end: usize) -> (usize, bool) {
    let bytes = text.as_bytes();
    if &text[start..end] == "0" && bytes.get(end) == Some(&b'x') {
        let hex = text[end + 1..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len() - end - 1);
        return (end + 1 + hex, hex > 0);
    }
    // Thousands, or two numbers of a list; after a time, its fraction.
    let grouped = |at: usize| {
        let digits = bytes.get(at + 1..at + 4).is_some_and(|group| group.iter().all(u8::is_ascii_digit));
        bytes.get(at) == Some(&b',') && digits && !bytes.get(at + 4).is_some_and(u8::is_ascii_digit)
    };
    let mut at = end;
    loop {
        let joins = bytes.get(at).is_some_and(|b| matches!(b, b':' | b'-' | b'.' | b'T' | b'<'));
        if joins && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at = end_of(text, at + 1);
        } else if grouped(at) {
            at += 4;
        } else {
            break;
        }
    }
    (at, at > end)
}

/// What stands after a number up to a blank or bracket, directly or after one blank.
fn unit(rest: &str) -> &str {
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let part = |c: char| c.is_alphabetic() || c == '/' || c == '%';
    let end = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
    rest[..end].trim_end_matches('/')
}
