//! How long a run's main loop, its iterations and its blocks took, from loop events.

use serde::{Deserialize, Serialize};

use crate::model::instrument::InstrumentationPlan;
use crate::model::run::{IterationTiming, RunTimings};
use crate::store::journal::{Event, LoopExit};

/// The loops that are timed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Timed {
    /// Key of the main loop; without one the first outermost loop counts as such.
    main: Option<String>,
    blocks: Vec<String>,
    /// Depth of the open main loop and whether it was ever seen.
    main_depth: Option<usize>,
    main_name: Option<u32>,
    /// Iterations begun.
    #[serde(default)]
    pub(super) begun: u64,
    /// Start of the open iteration.
    started_ns: Option<u64>,
    /// Key, start and depth of the open block.
    block: Option<(String, u64, usize)>,
    /// When the main loop was left last.
    left_ns: Option<u64>,
    pub(super) last_ns: u64,
}

impl Timed {
    pub(super) fn new(plan: &InstrumentationPlan) -> Self {
        let blocks = plan.loops.iter().filter(|l| l.is_block).map(|l| l.key.clone()).collect();
        Self { main: plan.main.clone(), blocks, ..Self::default() }
    }

    /// Takes in a loop event; `depth` counts the loops open after it, `key` is that of an entered loop.
    pub(super) fn take(&mut self, event: &Event, depth: usize, key: Option<&str>, timings: &mut RunTimings) {
        match event {
            Event::LoopEnter { name, time_ns, .. } => {
                self.last_ns = *time_ns;
                timings.entered_again |= self.left_ns.is_some() && key.is_some() && key == self.main.as_deref();
                self.entered(*name, *time_ns, depth, key);
            }
            Event::Iteration { time_ns, .. } => {
                self.last_ns = *time_ns;
                if self.main_depth == Some(depth) {
                    self.end_iteration(*time_ns, true, timings);
                    if self.begun == 0 {
                        timings.prefix_ns = *time_ns;
                    }
                    self.begun += 1;
                    self.started_ns = Some(*time_ns);
                    timings.iterations.push(IterationTiming::default());
                }
            }
            Event::LoopExit { how, time_ns } => {
                self.last_ns = *time_ns;
                if let Some((key, started, _)) = self.block.take_if(|block| block.2 == depth + 1)
                    && let Some(iteration) = timings.iterations.last_mut()
                {
                    iteration.blocks.push((key, time_ns.saturating_sub(started)));
                }
                if self.main_depth == Some(depth + 1) {
                    self.end_iteration(*time_ns, *how == LoopExit::Exhausted, timings);
                    self.main_depth = None;
                    self.left_ns = Some(*time_ns);
                }
            }
            Event::Restored { time_ns, .. } => self.last_ns = *time_ns,
            _ => {}
        }
    }

    fn entered(&mut self, name: u32, time_ns: u64, depth: usize, key: Option<&str>) {
        let is_main = match (&self.main, key) {
            // Only the first entry counts, as for the runtime: iterations are numbered within it.
            (Some(main), Some(key)) => main == key && depth == 1 && self.left_ns.is_none(),
            (None, _) => depth == 1 && self.main_name.is_none_or(|main| main == name),
            (Some(_), None) => false,
        };
        if is_main && self.main_depth.is_none() {
            self.main_depth = Some(depth);
            self.main_name = Some(name);
        } else if let Some(key) = key
            && self.started_ns.is_some()
            && self.block.is_none()
            && self.blocks.iter().any(|block| block == key)
        {
            self.block = Some((key.to_owned(), time_ns, depth));
        }
    }

    fn end_iteration(&mut self, time_ns: u64, complete: bool, timings: &mut RunTimings) {
        if let (Some(started), Some(iteration)) = (self.started_ns.take(), timings.iterations.last_mut()) {
            iteration.total_ns = time_ns.saturating_sub(started);
            iteration.complete = complete;
        }
        self.block = None;
    }

    /// Takes out the iterations that were left; an open one stays.
    pub(super) fn take_left(&self, timings: &mut RunTimings) -> Vec<IterationTiming> {
        let open = usize::from(self.started_ns.is_some()).min(timings.iterations.len());
        timings.iterations.drain(..timings.iterations.len() - open).collect()
    }

    /// Writes what is known of the open iteration so far.
    pub(super) fn so_far(&self, timings: &mut RunTimings) {
        if let (Some(started), Some(iteration)) = (self.started_ns, timings.iterations.last_mut()) {
            iteration.total_ns = self.last_ns.saturating_sub(started);
        }
    }

    /// The process ended at this time, if it said when.
    pub(super) fn ended(&mut self, time_ns: Option<u64>, timings: &mut RunTimings) {
        self.last_ns = time_ns.unwrap_or(self.last_ns);
        match self.left_ns {
            Some(left) => timings.suffix_ns = self.last_ns.saturating_sub(left),
            None if self.begun == 0 => timings.prefix_ns = self.last_ns,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timed;
    use crate::model::instrument::InstrumentationPlan;
    use crate::model::run::RunTimings;
    use crate::store::journal::{Event, LoopExit};

    #[test]
    fn iterations_of_the_main_loops_first_entry_are_timed_and_taken_out_once_left() {
        let plan = InstrumentationPlan { main: Some("main".into()), ..InstrumentationPlan::default() };
        let (mut timed, mut timings, mut left) = (Timed::new(&plan), RunTimings::default(), Vec::new());
        let mut time_ns = 0;
        for entry in 0..2 {
            let enter = Event::LoopEnter { name: 0, key: Some(1), length: 3, time_ns };
            timed.take(&enter, 1, Some("main"), &mut timings);
            for index in 0..3 {
                time_ns += 10;
                timed.take(&Event::Iteration { index, time_ns }, 1, None, &mut timings);
                left.extend(timed.take_left(&mut timings));
                assert_eq!(
                    (left.len(), timings.iterations.len()),
                    if entry == 0 { (usize::try_from(index).expect("small"), 1) } else { (3, 0) }
                );
            }
            time_ns += 10;
            timed.take(&Event::LoopExit { how: LoopExit::Exhausted, time_ns }, 0, None, &mut timings);
            left.extend(timed.take_left(&mut timings));
        }
        assert_eq!((timed.begun, timings.prefix_ns, timings.entered_again), (3, 10, true));
        assert!(left.iter().all(|iteration| iteration.complete && iteration.total_ns == 10), "{left:?}");
    }
}
