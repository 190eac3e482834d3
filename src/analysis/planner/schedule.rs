//! Carrying out segments on workers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

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

/// A task of which parts may be done once for all of a group, beside the workers, from when the first of the group comes
/// to them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Task {
    pub own_ns: u64,
    /// Of each such part, in order, the group and how long it takes.
    pub shared: [Option<(usize, u64)>; 2],
}

/// As [`makespan_ns`]; and how long each task waits for the parts that it shares.
pub fn makespan_and_waits_ns(tasks: &[Task], workers: usize) -> (u64, Vec<[u64; 2]>) {
    let alone = |task: &Task| task.own_ns + task.shared.iter().flatten().map(|(_, part_ns)| part_ns).sum::<u64>();
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|at| Reverse(alone(&tasks[*at])));
    let mut busy: BinaryHeap<Reverse<u64>> = (0..workers.max(1)).map(|_| Reverse(0)).collect();
    let mut ready: [HashMap<usize, u64>; 2] = Default::default();
    let (mut last, mut waits) = (0, vec![[0; 2]; tasks.len()]);
    for at in order {
        let Some(mut first_free) = busy.peek_mut() else { continue };
        for (part, shared) in tasks[at].shared.iter().enumerate() {
            let Some((group, part_ns)) = *shared else { continue };
            let until = *ready[part].entry(group).or_insert(first_free.0 + part_ns);
            waits[at][part] = until.saturating_sub(first_free.0);
            first_free.0 += waits[at][part];
        }
        first_free.0 += tasks[at].own_ns;
        last = last.max(first_free.0);
    }
    (last, waits)
}

#[cfg(test)]
mod tests {
    use super::{Task, makespan_and_waits_ns, makespan_ns};

    #[test]
    fn what_is_shared_is_waited_for_only_until_it_is_done() {
        let of = |own_ns, group, part_ns| Task { own_ns, shared: [None, Some((group, part_ns))] };
        let sharing = of(10, 0, 20);
        // Two begin at once and wait; those after them do not.
        let (last, waits) = makespan_and_waits_ns(&[sharing; 4], 2);
        assert_eq!((last, waits.iter().map(|wait| wait[1]).collect::<Vec<_>>()), (40, vec![20, 20, 0, 0]));
        // The last comes while the first one's part is still being done.
        let (last, waits) = makespan_and_waits_ns(&[sharing, Task { own_ns: 7, ..Task::default() }, of(1, 0, 5)], 2);
        assert_eq!((last, waits[2]), (30, [0, 13]));
        assert_eq!(makespan_and_waits_ns(&[sharing, of(10, 1, 5)], 1).0, 45, "each group has a part of its own");
        // What both groups share comes first.
        let both = |group| Task { own_ns: 1, shared: [Some((0, 100)), Some((group, 10))] };
        assert_eq!(makespan_and_waits_ns(&[both(0), both(1), both(1)], 1), (123, vec![[100, 10], [0, 10], [0, 0]]));
        let lengths = [5, 3, 3, 3];
        let alone = lengths.map(|own_ns| Task { own_ns, ..Task::default() });
        assert_eq!(makespan_and_waits_ns(&alone, 2).0, makespan_ns(lengths, 2));
    }

    #[test]
    fn longest_first_fills_the_workers() {
        assert_eq!(makespan_ns([5, 3, 3, 3], 2), 8);
        assert_eq!(makespan_ns([], 4), 0);
        assert_eq!(makespan_ns([7, 1], 0), 8);
    }
}
