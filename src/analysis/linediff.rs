//! Lines of two texts paired up, with the words that changed within a pair. The only user of `similar`. Pure.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Above this many tokens a line's words are not compared: it is generated or data.
const LONGEST_LINE: usize = 400;
/// Lines with less than this share of tokens in common are unrelated: emphasis would cover everything.
const RELATED: f64 = 0.35;

/// A row of a side-by-side diff. Indices count lines from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinePair {
    Same {
        old: usize,
        new: usize,
    },
    /// Removed (`new` is `None`), added (`old` is `None`) or rewritten.
    Changed {
        old: Option<ChangedLine>,
        new: Option<ChangedLine>,
    },
}

/// A changed line, and the byte ranges of it that its partner does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedLine {
    pub index: usize,
    pub words: Vec<Range<usize>>,
}

/// Pairs the lines of two texts by Myers' algorithm: O((n+m)·d) time in the number d of differences.
pub fn pairs(old: &str, new: &str) -> Vec<LinePair> {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let mut pairs = Vec::with_capacity(old.len().max(new.len()));
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        match op {
            DiffOp::Equal { old_index, new_index, len } => {
                pairs.extend((0..len).map(|i| LinePair::Same { old: old_index + i, new: new_index + i }));
            }
            DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
                let (removed, added) = (op.old_range(), op.new_range());
                for i in 0..removed.len().max(added.len()) {
                    let old_at = removed.clone().nth(i);
                    let new_at = added.clone().nth(i);
                    let (old_words, new_words) = match (old_at, new_at) {
                        (Some(a), Some(b)) => changed_words(old[a], new[b]),
                        _ => (Vec::new(), Vec::new()),
                    };
                    pairs.push(LinePair::Changed {
                        old: old_at.map(|index| ChangedLine { index, words: old_words }),
                        new: new_at.map(|index| ChangedLine { index, words: new_words }),
                    });
                }
            }
        }
    }
    pairs
}

/// The byte ranges in which two related lines differ; nothing if they have too little in common.
fn changed_words(old: &str, new: &str) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (old_tokens, new_tokens) = (tokens(old), tokens(new));
    if old_tokens.len().max(new_tokens.len()) > LONGEST_LINE {
        return (Vec::new(), Vec::new());
    }
    let old_words: Vec<&str> = old_tokens.iter().map(|r| &old[r.clone()]).collect();
    let new_words: Vec<&str> = new_tokens.iter().map(|r| &new[r.clone()]).collect();
    let ops = capture_diff_slices(Algorithm::Myers, &old_words, &new_words);
    let bytes = |tokens: &[Range<usize>], range: Range<usize>| match tokens.get(range) {
        Some([first, .., last]) => Some(first.start..last.end),
        Some([only]) => Some(only.clone()),
        _ => None,
    };
    let (mut old_ranges, mut new_ranges, mut common) = (Vec::new(), Vec::new(), 0);
    for op in &ops {
        match op {
            DiffOp::Equal { old_index, len, .. } => {
                common += solid(&old_words[*old_index..old_index + len]);
            }
            DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
                old_ranges.extend(bytes(&old_tokens, op.old_range()));
                new_ranges.extend(bytes(&new_tokens, op.new_range()));
            }
        }
    }
    let longest = solid(&old_words).max(solid(&new_words));
    #[expect(clippy::cast_precision_loss, reason = "a ratio of small counts")]
    let related = common as f64 >= RELATED * longest as f64;
    if related { (old_ranges, new_ranges) } else { (Vec::new(), Vec::new()) }
}

/// How many tokens are not space.
fn solid(words: &[&str]) -> usize {
    words.iter().filter(|word| !word.trim().is_empty()).count()
}

/// Words, numbers with their point, runs of spaces, and single other characters, as byte ranges.
fn tokens(line: &str) -> Vec<Range<usize>> {
    #[derive(PartialEq)]
    enum Class {
        Word,
        Space,
        Other,
    }
    let class = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => Class::Word,
        c if c.is_whitespace() => Class::Space,
        _ => Class::Other,
    };
    let mut tokens: Vec<Range<usize>> = Vec::new();
    let mut previous = None;
    for (at, c) in line.char_indices() {
        let end = at + c.len_utf8();
        // Of `1.9` and `0.1`, nobody would say that the 1 is the same.
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let in_number = c == '.' && digit(line[..at].chars().next_back()) && digit(line[end..].chars().next());
        let this = if in_number { Class::Word } else { class(c) };
        match tokens.last_mut() {
            Some(last) if this != Class::Other && previous.as_ref() == Some(&this) => last.end = end,
            _ => tokens.push(at..end),
        }
        previous = Some(this);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is what is expected")]
    fn a_rewritten_line_shows_the_words_that_changed() {
        let pairs = pairs("a\nloss = net(x)\nz\n", "a\nloss = model(x)\nz\nnew\n");
        assert_eq!(
            pairs,
            [
                LinePair::Same { old: 0, new: 0 },
                LinePair::Changed {
                    old: Some(ChangedLine { index: 1, words: vec![7..10] }),
                    new: Some(ChangedLine { index: 1, words: vec![7..12] }),
                },
                LinePair::Same { old: 2, new: 2 },
                LinePair::Changed { old: None, new: Some(ChangedLine { index: 3, words: vec![] }) },
            ]
        );
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is what is expected")]
    fn a_number_changes_as_a_whole() {
        let pairs = pairs("lr = arg('lr', 1.9)\n", "lr = arg('lr', 0.1)\n");
        let [LinePair::Changed { old: Some(old), new: Some(new) }] = &pairs[..] else { panic!("{pairs:?}") };
        assert_eq!((&old.words[..], &new.words[..]), (&[15..18][..], &[15..18][..]));
    }

    #[test]
    fn unrelated_lines_carry_no_emphasis() {
        let pairs = pairs("import torch\n", "for epoch in range(3):\n");
        assert!(
            matches!(&pairs[..], [LinePair::Changed { old: Some(a), new: Some(b) }] if a.words.is_empty() && b.words.is_empty())
        );
    }
}
