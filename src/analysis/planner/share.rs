//! How many workers the cores are enough for.

use crate::model::plan::Cost;

const ONE: u128 = 1000;

/// So many workers keep so many cores busy and hardly get in each other's way. `work` is what each segment costs, and
/// how many cores the run kept busy (in thousandths) at what is executed in it; what leads up to that keeps one busy.
///
/// More threads at once than cores are worse than the same work one after the other: those that wait for each other's
/// results spin on cores that the others need.
pub fn workers_for(cores: usize, work: impl IntoIterator<Item = (Cost, u32)>) -> usize {
    let (mut wall, mut processor) = (0_u128, 0_u128);
    for (cost, busy_thousandths) in work {
        let execute = u128::from(cost.execute_ns);
        let before = u128::from(cost.total_ns()) - execute;
        wall += before + execute;
        processor += before * ONE + execute * u128::from(busy_thousandths);
    }
    if processor == 0 {
        return cores.max(1);
    }
    // Rounded: a tenth of a core too many is no harm.
    let workers = (cores as u128 * ONE * wall + processor / 2) / processor;
    usize::try_from(workers).unwrap_or(cores).clamp(1, cores.max(1))
}

#[cfg(test)]
mod tests {
    use super::workers_for;
    use crate::model::plan::Cost;

    fn cost(before_ns: u64, execute_ns: u64) -> Cost {
        Cost { prefix_ns: before_ns, execute_ns, ..Cost::default() }
    }

    #[test]
    fn threads_times_workers_are_no_more_than_the_cores() {
        for (cores, busy, expected) in [
            (8, 1000, 8),
            (8, 2000, 4),
            (8, 8000, 1),
            (8, 1100, 7),
            (2, 2000, 1),
            (2, 1100, 2),
            (1, 4000, 1),
            (0, 1000, 1),
        ] {
            assert_eq!(workers_for(cores, [(cost(0, 1_000_000_000), busy)]), expected, "{busy} on {cores}");
        }
        assert_eq!(workers_for(4, []), 4);
    }

    #[test]
    fn what_only_restores_keeps_a_core_busy_whatever_the_run_did() {
        assert_eq!(workers_for(8, [(cost(9_000_000_000, 10_000_000), 8000)]), 8);
        assert_eq!(workers_for(8, [(cost(1_000_000_000, 1_000_000_000), 7000)]), 2);
    }
}
