//! Which iterations of which runs keep their checkpoints: a plan, computed from sizes alone.
//!
//! Of the iterations that a run ever stored, those stay whose number in that list is a multiple of a power of two, and the
//! last one. The numbers do not change when some are gone, so that a further thinning only ever removes, and the same
//! thinning twice does nothing the second time.

/// A chunk: its bytes as it is kept, and (an estimate) those that it will have where it can no longer be kept as the
/// difference to its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: u64,
    pub alone: u64,
    pub base: Option<usize>,
}

/// The checkpoints with which an iteration can be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub iteration: u64,
    /// Whether they are gone already.
    pub dropped: bool,
    /// Numbers of their chunks.
    pub chunks: Vec<usize>,
}

/// A run's checkpoints, by iteration in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Whether they must all stay: the run goes on, or is being replayed.
    pub fixed: bool,
    pub units: Vec<Unit>,
}

/// What is to go: for each run the places of units in its list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thinning {
    pub drop: Vec<Vec<usize>>,
    /// Bytes of all chunks that are needed, before and after.
    pub before: u64,
    pub after: u64,
}

/// Whether the unit at a place stays in a run with `count` of them, thinned to every 2^`level`th.
pub fn stays(place: usize, count: usize, level: u32) -> bool {
    place + 1 == count || 1_usize.checked_shl(level).map_or(place == 0, |step| place.is_multiple_of(step))
}

/// The level at which only the first and the last unit stay.
pub fn last_level(count: usize) -> u32 {
    count.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1)
}

/// Thins runs, oldest first, one level after the other, until the chunks take `budget` bytes at most; or until only the first
/// and the last iteration of each run is left.
pub fn thin(chunks: &[Chunk], runs: &[Holding], budget: u64) -> Thinning {
    let mut ledger = Ledger::new(chunks, runs);
    let mut thinning = ledger.begin(runs);
    let deepest = runs.iter().map(|run| last_level(run.units.len())).max().unwrap_or(0);
    for level in 1..=deepest {
        for (number, run) in runs.iter().enumerate() {
            if ledger.total <= budget {
                break;
            }
            if !run.fixed && level <= last_level(run.units.len()) {
                ledger.thin(run, &mut thinning.drop[number], |place| stays(place, run.units.len(), level));
            }
        }
    }
    thinning.after = ledger.total;
    thinning
}

/// Thins the chosen runs to `most` iterations each at most; to none with 0.
pub fn thin_to(chunks: &[Chunk], runs: &[Holding], chosen: &[bool], most: usize) -> Thinning {
    let mut ledger = Ledger::new(chunks, runs);
    let mut thinning = ledger.begin(runs);
    for (number, run) in runs.iter().enumerate() {
        if run.fixed || !chosen.get(number).copied().unwrap_or(false) {
            continue;
        }
        let count = run.units.len();
        let left = |level: u32| (0..count).filter(|place| stays(*place, count, level)).count();
        let level = (0..=last_level(count)).find(|level| left(*level) <= most);
        ledger.thin(run, &mut thinning.drop[number], |place| match level {
            Some(level) => stays(place, count, level),
            // The last one, if any.
            None => most > 0 && place + 1 == count,
        });
    }
    thinning.after = ledger.total;
    thinning
}

/// How many units need each chunk, and what the chunks that are needed take.
pub struct Ledger<'a> {
    chunks: &'a [Chunk],
    needs: Vec<u32>,
    differences: Vec<Vec<usize>>,
    /// Bytes of all chunks that are needed.
    pub total: u64,
}

impl<'a> Ledger<'a> {
    /// Counts what all runs need.
    pub fn new(chunks: &'a [Chunk], runs: &[Holding]) -> Self {
        let mut differences = vec![Vec::new(); chunks.len()];
        for (number, base) in chunks.iter().enumerate().filter_map(|(number, chunk)| Some((number, chunk.base?))) {
            differences[base].push(number);
        }
        let mut ledger = Self { chunks, needs: vec![0; chunks.len()], differences, total: 0 };
        let there = runs.iter().flat_map(|run| &run.units).filter(|unit| !unit.dropped);
        there.for_each(|unit| ledger.add(unit));
        ledger
    }

    fn begin(&self, runs: &[Holding]) -> Thinning {
        Thinning { drop: vec![Vec::new(); runs.len()], before: self.total, after: self.total }
    }

    fn thin(&mut self, run: &Holding, drop: &mut Vec<usize>, stays: impl Fn(usize) -> bool) {
        for (place, unit) in run.units.iter().enumerate() {
            if !unit.dropped && !stays(place) && !drop.contains(&place) {
                self.remove(unit);
                drop.push(place);
            }
        }
        drop.sort_unstable();
    }

    fn cost(&self, chunk: usize) -> u64 {
        let Chunk { bytes, alone, base } = self.chunks[chunk];
        match (self.needs[chunk], base) {
            (0, _) => 0,
            (_, Some(base)) if self.needs[base] == 0 => alone,
            _ => bytes,
        }
    }

    /// Counts a unit.
    pub fn add(&mut self, unit: &Unit) {
        self.change(unit, |needs| needs + 1);
    }

    /// Counts a unit no longer.
    pub fn remove(&mut self, unit: &Unit) {
        self.change(unit, |needs| needs.saturating_sub(1));
    }

    fn change(&mut self, unit: &Unit, change: impl Fn(u32) -> u32) {
        for chunk in &unit.chunks {
            let family = |ledger: &Self| {
                ledger.differences[*chunk].iter().chain([chunk]).map(|number| ledger.cost(*number)).sum::<u64>()
            };
            let next = change(self.needs[*chunk]);
            if (next == 0) == (self.needs[*chunk] == 0) {
                self.needs[*chunk] = next;
                continue;
            }
            let before = family(self);
            self.needs[*chunk] = next;
            self.total = self.total - before + family(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Chunk, Holding, Ledger, Thinning, Unit, last_level, stays, thin, thin_to};

    /// Chunks of which some are differences to earlier ones, and runs whose units need some of them.
    fn store() -> impl Strategy<Value = (Vec<Chunk>, Vec<Holding>)> {
        let chunk = (1_u64..100, 0_u64..50, any::<prop::sample::Index>(), any::<bool>());
        prop::collection::vec(chunk, 1..40).prop_flat_map(|chunks| {
            let count = chunks.len();
            let chunks: Vec<Chunk> = chunks
                .into_iter()
                .enumerate()
                .map(|(at, (bytes, more, base, has_base))| {
                    let base = (has_base && at > 0).then(|| base.index(at.max(1)));
                    Chunk { bytes, alone: bytes + more, base }
                })
                .collect();
            let unit = (prop::collection::vec(0..count, 0..5), prop::bool::weighted(0.2));
            let run = (prop::bool::weighted(0.2), prop::collection::vec(unit, 0..20));
            let run = run.prop_map(|(fixed, units)| Holding {
                fixed,
                units: (0..)
                    .zip(units)
                    .map(|(iteration, (chunks, dropped))| Unit { iteration, dropped, chunks })
                    .collect(),
            });
            (Just(chunks), prop::collection::vec(run, 0..6))
        })
    }

    fn applied(runs: &[Holding], thinning: &Thinning) -> Vec<Holding> {
        let mut runs = runs.to_vec();
        for (run, drop) in runs.iter_mut().zip(&thinning.drop) {
            drop.iter().for_each(|place| run.units[*place].dropped = true);
        }
        runs
    }

    proptest! {
        #[test]
        fn a_plan_keeps_first_and_last_stays_within_the_budget_if_it_can_and_twice_does_no_more(
            (chunks, runs) in store(), budget in 0_u64..3000,
        ) {
            let plan = thin(&chunks, &runs, budget);
            let after = applied(&runs, &plan);
            prop_assert_eq!(Ledger::new(&chunks, &after).total, plan.after, "as it says");
            let extreme: Vec<Holding> = after.iter().map(|run| Holding {
                fixed: run.fixed,
                units: run.units.iter().enumerate().map(|(place, unit)| {
                    let goes = !run.fixed && !stays(place, run.units.len(), last_level(run.units.len()));
                    Unit { dropped: unit.dropped || goes, ..unit.clone() }
                }).collect(),
            }).collect();
            prop_assert!(plan.after <= budget || after == extreme, "it stops early only within the budget");
            for (run, drop) in runs.iter().zip(&plan.drop) {
                prop_assert!(!run.fixed || drop.is_empty());
                prop_assert!(drop.iter().all(|place| *place != 0 && place + 1 != run.units.len()));
                prop_assert!(drop.iter().all(|place| !run.units[*place].dropped), "nothing twice");
            }
            let again = thin(&chunks, &after, budget);
            prop_assert!(again.drop.iter().all(Vec::is_empty), "idempotent");
        }

        #[test]
        fn a_smaller_budget_drops_what_a_larger_one_drops_and_more(
            (chunks, runs) in store(), budget in 0_u64..3000, less in 0_u64..3000,
        ) {
            let (large, small) = (thin(&chunks, &runs, budget), thin(&chunks, &runs, budget.saturating_sub(less)));
            for (large, small) in large.drop.iter().zip(&small.drop) {
                prop_assert!(large.iter().all(|place| small.contains(place)));
            }
        }

        #[test]
        fn thinning_to_a_number_leaves_at_most_so_many(
            (chunks, runs) in store(), most in 0_usize..10, which in any::<u8>(),
        ) {
            let chosen: Vec<bool> = (0..runs.len()).map(|run| which >> (run % 8) & 1 == 1).collect();
            let after = applied(&runs, &thin_to(&chunks, &runs, &chosen, most));
            for ((before, after), chosen) in runs.iter().zip(&after).zip(chosen) {
                let left = after.units.iter().filter(|unit| !unit.dropped).count();
                let holds = if chosen && !before.fixed { left <= most } else { before == after };
                prop_assert!(holds);
            }
        }
    }

    #[test]
    fn what_stays_is_evenly_spaced() {
        let kept = |count, level| (0..count).filter(|place| stays(*place, count, level)).collect::<Vec<_>>();
        assert_eq!(kept(10, 0), (0..10).collect::<Vec<_>>());
        assert_eq!(kept(10, 1), [0, 2, 4, 6, 8, 9]);
        assert_eq!(kept(10, 2), [0, 4, 8, 9]);
        assert_eq!(kept(10, last_level(10)), [0, 9]);
        assert_eq!(kept(9, last_level(9)), [0, 8], "a last place that is a power of two");
        assert_eq!((kept(1, last_level(1)), kept(0, last_level(0))), (vec![0], vec![]));
    }

    #[test]
    fn older_runs_are_thinned_first() {
        let chunks = vec![Chunk { bytes: 10, alone: 10, base: None }; 10];
        let run = |first: usize| Holding {
            fixed: false,
            units: (0..5).map(|at| Unit { iteration: at as u64, dropped: false, chunks: vec![first + at] }).collect(),
        };
        let plan = thin(&chunks, &[run(0), run(5)], 80);
        assert_eq!(plan, Thinning { drop: vec![vec![1, 3], vec![]], before: 100, after: 80 });
        assert_eq!(thin(&chunks, &[run(0), run(5)], 50).drop, [vec![1, 2, 3], vec![1, 3]]);
    }
}
