//! How alike two names are: for "did you mean".

/// Letters to be inserted, removed or replaced (Levenshtein 1966). O(n·m) time, O(m) space.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// The most alike of some names, if it is alike enough to have been meant.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let ranked = names.into_iter().map(|name| (distance(wanted, name), name)).min()?;
    (ranked.0 <= 1 + wanted.chars().count() / 3).then_some(ranked.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_nothing_far_off() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("tehme", ["theme", "mouse"]), Some("theme"));
        assert_eq!(nearest("colour", ["theme", "mouse"]), None);
    }
}
