//! Carrying out segments on workers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Wall time of tasks of these lengths on `workers` workers, longest first to the worker that is free first. With more
/// workers it never grows, since each task begins no later. O(n·(log n + log workers)).
pub fn makespan_ns(lengths: impl IntoIterator<Item = u64>, workers: usize) -> u64 {
    let mut lengths: Vec<u64> = lengths.into_iter().collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let mut busy: BinaryHeap<Reverse<u64>> = (0..workers.max(1)).map(|_| Reverse(0)).collect();
    let mut last = 0;
    for length in lengths {
        if let Some(mut first_free) = busy.peek_mut() {
            first_free.0 += length;
            last = last.max(first_free.0);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::makespan_ns;

    #[test]
    fn longest_first_fills_the_workers() {
        assert_eq!(makespan_ns([5, 3, 3, 3], 2), 8);
        assert_eq!(makespan_ns([], 4), 0);
        assert_eq!(makespan_ns([7, 1], 0), 8);
    }
}
