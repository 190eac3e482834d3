//! Spreading work over workers.

/// Wall time of tasks of these lengths on `workers` workers, longest first to the worker that is free first (Graham
/// 1969: at most 4/3 − 1/(3·workers) times the optimum). O(n·(log n + workers)).
pub fn makespan_ns(lengths: impl IntoIterator<Item = u64>, workers: usize) -> u64 {
    let mut lengths: Vec<u64> = lengths.into_iter().collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let mut busy = vec![0_u64; workers.max(1)];
    for length in lengths {
        if let Some(first_free) = busy.iter_mut().min() {
            *first_free += length;
        }
    }
    busy.into_iter().max().unwrap_or(0)
}

/// Cuts `items` into at most `pieces` contiguous parts of about equal cost, none of them empty.
pub(super) fn balanced(items: &[u64], pieces: usize, cost: impl Fn(u64) -> u64) -> Vec<&[u64]> {
    let total: u64 = items.iter().map(|item| cost(*item)).sum();
    let share = total / pieces.max(1) as u64;
    let mut parts = Vec::new();
    let (mut start, mut sum) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        sum += cost(*item);
        let left = pieces - parts.len();
        if sum >= share && left > 1 && at + 1 < items.len() {
            parts.push(&items[start..=at]);
            (start, sum) = (at + 1, 0);
        }
    }
    parts.push(&items[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::{balanced, makespan_ns};

    #[test]
    fn longest_first_fills_the_workers() {
        assert_eq!(makespan_ns([5, 3, 3, 3], 2), 8);
        assert_eq!(makespan_ns([], 4), 0);
        assert_eq!(makespan_ns([7, 1], 0), 8);
    }

    #[test]
    fn parts_are_contiguous_complete_and_about_equal() {
        let items: Vec<u64> = (0..10).collect();
        let parts = balanced(&items, 3, |_| 10);
        assert_eq!(parts.concat(), items);
        assert_eq!(parts.iter().map(|part| part.len()).max(), Some(4));
        assert_eq!(balanced(&[4], 3, |_| 1).len(), 1);
    }
}
