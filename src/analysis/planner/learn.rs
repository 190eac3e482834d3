//! What finished segments say about the cost of those to come.

use super::cost::{Rates, Ratio, nominal_restore_ns};
use crate::model::job::Imports;
use crate::model::plan::{Cost, Work};

/// A segment that was replayed: what it had to do, and how long each part took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    pub work: Work,
    pub took: Cost,
    pub imports: Imports,
}

/// So many segments are looked back at: enough for a median, few enough to notice what changed on the machine.
const RECENT: usize = 40;
/// Below that many the spread that was seen says little.
const ENOUGH: usize = 3;
/// Shorter than this, a part's time is more noise than work.
const MEASURABLE_NS: u64 = 2_000_000;
/// Even where all segments took the same, the next may differ by a tenth.
const LEAST_SPREAD: (u32, u32) = (900, 1100);

impl Rates {
    /// Learns from segments, oldest first: the median of what was taken over what was recorded, part by part, so that a
    /// single odd segment changes nothing; and between which bounds of the estimate four of five came out.
    pub fn learn(observations: &[Observation]) -> Self {
        let recent = &observations[observations.len().saturating_sub(RECENT)..];
        let before = Self::default();
        if recent.is_empty() {
            return before;
        }
        let ratio = |of: fn(&Cost) -> u64, to: fn(&Work) -> u64, which: fn(&Observation) -> bool| {
            let measurable = recent.iter().filter(|one| which(one) && to(&one.work) >= MEASURABLE_NS);
            let ratios = measurable.filter_map(|one| Ratio::between(of(&one.took), to(&one.work)));
            middle(ratios.collect()).map(Ratio::sane)
        };
        let starts = |which: fn(&Observation) -> bool| {
            middle(recent.iter().filter(|one| which(one)).map(|one| one.took.start_ns).collect())
        };
        let all = |_: &Observation| true;
        let start_ns = starts(|one| one.imports != Imports::Awaited).unwrap_or(before.start_ns);
        let awaited_ns = starts(|one| one.imports == Imports::Awaited);
        let (took, recorded) = (|took: &Cost| took.prefix_ns, |work: &Work| work.prefix_ns);
        let mut learnt = Self {
            start_ns,
            prefix: ratio(took, recorded, |one| one.imports == Imports::Own).unwrap_or(Ratio::ONE),
            forked_prefix: ratio(took, recorded, |one| one.imports != Imports::Own),
            imports_ns: awaited_ns.map_or(0, |awaited_ns| awaited_ns.saturating_sub(start_ns)),
            restore: ratio(|took| took.restore_ns, |work| nominal_restore_ns(*work), all).unwrap_or(Ratio::ONE),
            execute: ratio(|took| took.execute_ns, |work| work.execute_ns, all).unwrap_or(Ratio::ONE),
            learnt_from: recent.len(),
            ..before
        };
        let off = |one: &Observation| {
            let awaited_ns = if one.imports == Imports::Awaited { learnt.imports_ns } else { 0 };
            let estimate_ns = learnt.cost_of(one.work, one.imports != Imports::Own).total_ns() + awaited_ns;
            Ratio::between(one.took.total_ns(), estimate_ns)
        };
        let mut off: Vec<Ratio> = recent.iter().filter_map(off).collect();
        if off.len() >= ENOUGH {
            off.sort_unstable();
            let tenth = off.len() / 10;
            let (low, high) = (off[tenth], off[off.len() - 1 - tenth]);
            let (least, most) = LEAST_SPREAD;
            learnt.spread = (low.min(Ratio::thousandths(least)), high.max(Ratio::thousandths(most)));
        }
        learnt
    }

    /// The range in which work that is estimated at `ns` most likely lies.
    pub fn range_ns(&self, ns: u64) -> (u64, u64) {
        (self.spread.0.of(ns), self.spread.1.of(ns))
    }
}

fn middle<T: Ord + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::{Observation, Rates};
    use crate::model::job::Imports;
    use crate::model::plan::{Cost, Work};

    const SECOND: u64 = 1_000_000_000;

    /// A segment on a machine with these speeds, in thousandths.
    fn segment(seconds: u64, start_ns: u64, prefix: u64, restore: u64, execute: u64) -> Observation {
        let work = Work {
            prefix_ns: 2 * SECOND,
            execute_ns: seconds * SECOND,
            restores: 1,
            restored_bytes: 100_000_000 * seconds,
        };
        let nominal = super::nominal_restore_ns(work);
        let took = Cost {
            start_ns,
            prefix_ns: work.prefix_ns * prefix / 1000,
            restore_ns: nominal * restore / 1000,
            execute_ns: work.execute_ns * execute / 1000,
        };
        Observation { work, took, imports: Imports::Own }
    }

    #[test]
    fn each_part_of_the_cost_is_learnt_by_itself_and_odd_segments_change_nothing() {
        let mut seen: Vec<Observation> = (1..8).map(|seconds| segment(seconds, SECOND / 4, 1100, 3000, 1500)).collect();
        seen.push(segment(3, 90 * SECOND, 9000, 50_000, 70_000));
        let rates = Rates::learn(&seen);
        let next = segment(20, SECOND / 4, 1100, 3000, 1500);
        let (estimate, took) = (rates.cost(next.work), next.took);
        for (part, (estimated, took)) in [
            (estimate.start_ns, took.start_ns),
            (estimate.prefix_ns, took.prefix_ns),
            (estimate.restore_ns, took.restore_ns),
            (estimate.execute_ns, took.execute_ns),
        ]
        .into_iter()
        .enumerate()
        {
            assert!(estimated.abs_diff(took) * 100 <= took, "part {part}: {estimated} for {took}");
        }
        assert_eq!(rates.learnt_from, 8);
    }

    #[test]
    fn imports_done_for_several_are_paid_once_and_a_segment_alone_does_its_own() {
        let seen = |imports: Imports, start_ns: u64, prefix: u64| Observation {
            imports,
            ..segment(5, start_ns, prefix, 1000, 1000)
        };
        let own = seen(Imports::Own, SECOND / 4, 1200);
        let (awaited, shared) = (seen(Imports::Awaited, 2 * SECOND, 100), seen(Imports::Shared, SECOND / 4, 100));
        let rates = Rates::learn(&[awaited, awaited, shared, shared, own, own]);
        assert_eq!((rates.start_ns, rates.imports_ns), (SECOND / 4, 2 * SECOND - SECOND / 4));
        assert_eq!(rates.cost_of(own.work, false).prefix_ns, 2_400_000_000);
        assert_eq!(rates.cost_of(own.work, true).prefix_ns, 200_000_000);
        let never = Rates::learn(&[own, own]);
        assert_eq!(never.cost_of(own.work, true), never.cost_of(own.work, false), "nothing is known of it yet");
    }

    #[test]
    fn the_range_is_what_was_seen_and_without_experience_a_wide_one() {
        let steady: Vec<Observation> = (0..20).map(|_| segment(5, SECOND, 1000, 1000, 1000)).collect();
        assert_eq!(Rates::learn(&steady).range_ns(1000), (900, 1100));
        let restless: Vec<Observation> =
            (0..20).map(|number| segment(50, SECOND, 1000, 1000, 600 + 50 * (number % 20))).collect();
        let (low, high) = Rates::learn(&restless).range_ns(1000);
        assert!(low < 750 && high > 1250, "{low} {high}");
        assert_eq!(Rates::learn(&[]), Rates::default());
        assert_eq!(Rates::learn(&steady[..2]).spread, Rates::default().spread, "two segments show no spread");
    }

    #[test]
    fn what_changed_on_the_machine_is_noticed() {
        let quick = (0..100).map(|_| segment(5, SECOND, 1000, 1000, 1000));
        let loaded = (0..40).map(|_| segment(5, SECOND, 2000, 2000, 2000));
        let rates = Rates::learn(&quick.chain(loaded).collect::<Vec<_>>());
        assert_eq!(rates.execute, super::Ratio::thousandths(2000));
    }
}
