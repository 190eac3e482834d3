//! One run's iterations that are to be reached, in order, and where the way through them may be cut.

use std::ops::Range;

use super::RunInput;
use super::states::States;
use crate::model::plan::{ReplayStep, Segment, Stop, Work};

/// The way of one process through all that is wanted of a run. It may be cut where the next part can begin with a restored
/// state: then it costs a start, the prefix and that restoring more, and nothing is executed twice.
pub(super) struct Track<'a> {
    input: &'a RunInput<'a>,
    /// `None` where only the prefix, or all of a script without a main loop, is executed.
    states: Option<States<'a>>,
    stop: Stop,
    /// Iterations to reach, ascending.
    reached: Vec<u64>,
    wanted: Vec<u64>,
    prefix_ns: u64,
    /// What comes after the last iteration.
    tail: Work,
    parts: Vec<Part>,
    fixed_ns: u64,
}

/// What cannot be cut any further.
struct Part {
    /// Where it begins in `reached`.
    first: usize,
    /// What getting to its first iteration adds to a process that starts there.
    entry_ns: u64,
    /// What the way costs from the track's beginning to its first and to its last iteration.
    at_ns: u64,
    until_ns: u64,
}

impl<'a> Track<'a> {
    /// Something that is executed as a whole, without the main loop.
    pub(super) fn whole(input: &'a RunInput<'a>, stop: Stop) -> Self {
        Self::new(input, None, stop, Vec::new(), Vec::new())
    }

    /// Through these iterations, and no further.
    pub(super) fn through(input: &'a RunInput<'a>, states: States<'a>) -> Self {
        let wanted: Vec<u64> = input.wanted.iter().copied().filter(|at| *at < states.completed).collect();
        Self::new(input, Some(states), Stop::AfterLastStep, wanted.clone(), wanted)
    }

    /// Through these iterations and the last one to the script's end.
    pub(super) fn to_the_end(input: &'a RunInput<'a>, states: States<'a>, wanted: &[u64]) -> Self {
        let mut reached = wanted.to_vec();
        if let Some(last) = states.completed.checked_sub(1).filter(|last| reached.last() != Some(last)) {
            reached.retain(|at| *at < last);
            reached.push(last);
        }
        Self::new(input, Some(states), Stop::AtEnd, reached, wanted.to_vec())
    }

    fn new(
        input: &'a RunInput<'a>,
        states: Option<States<'a>>,
        stop: Stop,
        reached: Vec<u64>,
        wanted: Vec<u64>,
    ) -> Self {
        let timings = input.timings;
        let suffix_ns = if stop == Stop::AtEnd { timings.suffix_ns } else { 0 };
        // Of a script without a main loop all is executed, and nothing comes before that.
        let is_all = states.is_none() && stop == Stop::AtEnd;
        let inside_ns: u64 = timings.iterations.iter().filter(|_| is_all).map(|iteration| iteration.total_ns).sum();
        let (prefix_ns, before_ns) = if is_all { (0, timings.prefix_ns) } else { (timings.prefix_ns, 0) };
        let tail = Work { execute_ns: before_ns + inside_ns + suffix_ns, ..Work::default() };
        let fixed_ns = input.rates.fixed_ns(prefix_ns);
        let mut track = Self { input, states, stop, reached, wanted, prefix_ns, tail, parts: Vec::new(), fixed_ns };
        track.parts = track.cut();
        track
    }

    /// Cuts it wherever that is for nothing but the start of another process.
    fn cut(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut at_ns = 0;
        let rates = self.input.rates;
        let mut next = 0;
        for (number, iteration) in self.reached.iter().enumerate() {
            let Some(states) = &self.states else { break };
            let on = rates.added_ns(states.along(states.way(*iteration, next), *iteration));
            let way = states.way(*iteration, 0);
            // Whoever enters at a stored start executes nothing that this process does not.
            let enters = way.restore.is_some() && way.first >= next;
            at_ns += on;
            next = iteration + 1;
            if parts.is_empty() || (enters && self.stop == Stop::AfterLastStep) {
                let entry_ns = rates.added_ns(states.along(way, *iteration));
                parts.push(Part { first: number, entry_ns, at_ns, until_ns: at_ns });
            } else if let Some(part) = parts.last_mut() {
                part.until_ns = at_ns;
            }
        }
        if parts.is_empty() {
            parts.push(Part { first: 0, entry_ns: 0, at_ns: 0, until_ns: 0 });
        }
        parts
    }

    /// How many parts it can be cut into.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// What a process costs that does these parts.
    pub(super) fn cost_ns(&self, parts: Range<usize>) -> u64 {
        let (first, last) = (&self.parts[parts.start], &self.parts[parts.end - 1]);
        let tail = if parts.end == self.parts.len() { self.input.rates.added_ns(self.tail) } else { 0 };
        self.fixed_ns + first.entry_ns + (last.until_ns - first.at_ns) + tail
    }

    /// What all of it costs in one process.
    pub(super) fn whole_ns(&self) -> u64 {
        self.cost_ns(0..self.parts.len())
    }

    /// What a process costs before it does any of it.
    pub(super) fn start_ns(&self) -> u64 {
        self.fixed_ns
    }

    /// The costliest part.
    pub(super) fn longest_part_ns(&self) -> u64 {
        (0..self.parts.len()).map(|part| self.cost_ns(part..part + 1)).max().unwrap_or(0)
    }

    /// How many parts from `first` on a process can do in this time.
    pub(super) fn fitting(&self, first: usize, limit_ns: u64) -> usize {
        let (mut fits, mut exceeds) = (0, self.parts.len() - first + 1);
        while exceeds - fits > 1 {
            let middle = usize::midpoint(fits, exceeds);
            if self.cost_ns(first..first + middle) <= limit_ns { fits = middle } else { exceeds = middle }
        }
        fits
    }

    /// These parts as a segment.
    pub(super) fn segment(&self, id: u32, parts: Range<usize>) -> Segment {
        let first = self.parts[parts.start].first;
        let end = self.parts.get(parts.end).map_or(self.reached.len(), |next| next.first);
        let mut steps: Vec<ReplayStep> = Vec::with_capacity(end - first);
        let mut work = if parts.end == self.parts.len() { self.tail } else { Work::default() };
        work.prefix_ns = self.prefix_ns;
        if let Some(states) = &self.states {
            let mut next = 0;
            for iteration in &self.reached[first..end] {
                let way = states.way(*iteration, next);
                states.walk(way, *iteration, &mut steps);
                work += states.along(way, *iteration);
                next = iteration + 1;
            }
        }
        let within = |iteration: &&u64| match (self.reached.get(first), self.reached.get(end)) {
            _ if self.stop != Stop::AfterLastStep => true,
            (Some(first), Some(end)) => (first..end).contains(iteration),
            (Some(first), None) => first <= *iteration,
            (None, _) => false,
        };
        let wanted = self.wanted.iter().filter(within).copied().collect();
        let cost = self.input.rates.cost(work);
        let range_ns = self.input.rates.range_ns(cost.total_ns());
        Segment { id, run: self.input.run.clone(), steps, stop: self.stop, wanted, cost, range_ns, work }
    }
}
