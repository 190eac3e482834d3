//! Cuts the tracks of all runs into segments so that the workers are done soon and little is paid twice.
//!
//! A run that is one segment pays its start and prefix once. So runs stay whole, longest first on the worker that is free
//! first (LPT: Graham 1969, "Bounds on multiprocessing timing anomalies": at most 4/3 − 1/(3·W) times the optimum), unless
//! that leaves workers idle for long. Then the shortest time D is looked for in which all fits: a run that does not fit
//! whole beside what a worker has fills that worker up to D and goes on at the next one, as in the wrap-around rule of
//! McNaughton (1959, "Scheduling with deadlines and loss functions"), so that few runs are cut. The result is carried out
//! longest first, and judged by that.
//!
//! Time: O(log(1/ε) · (n + cuts) · (log workers + log parts)) for n runs; space: O(n + cuts).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::schedule::makespan_ns;
use super::track::Track;

/// Whole runs are good enough where they take so many thousandths of the least time that is possible.
const GOOD: u64 = 1020;
/// The search for the shortest time ends when it is known to so many thousandths.
const PRECISION: u64 = 2;

/// Parts of one track that one process does.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) track: usize,
    pub(super) parts: Range<usize>,
    pub(super) cost_ns: u64,
}

/// Pieces of all tracks, and in which time how many workers do them.
pub(super) struct Division {
    /// By track, and in order within it.
    pub(super) pieces: Vec<Piece>,
    pub(super) workers: usize,
    pub(super) makespan_ns: u64,
    /// No plan takes less.
    pub(super) bound_ns: u64,
}

/// Divides the work of these tracks among so many workers.
pub(super) fn divide(tracks: &[Track<'_>], workers: usize) -> Division {
    let tasks = Tasks::new(tracks);
    let workers = workers.clamp(1, tasks.tracks.iter().map(Track::parts).sum::<usize>().max(1));
    let mut best = tasks.on(workers);
    best.bound_ns = tasks.bound_ns(workers);
    // Fewer workers never do better, but for the anomalies of a search that is not exhaustive.
    for fewer in (1..workers).rev() {
        if tasks.bound_ns(fewer) >= best.makespan_ns {
            break;
        }
        let other = tasks.on(fewer);
        if other.makespan_ns < best.makespan_ns {
            best = Division { bound_ns: best.bound_ns, ..other };
        }
    }
    best.pieces.sort_unstable_by_key(|piece| (piece.track, piece.parts.start));
    best
}

struct Tasks<'t, 'a> {
    tracks: &'t [Track<'a>],
    whole_ns: Vec<u64>,
    /// Longest first; and those with the longest parts first, so that short ones fill what these leave.
    orders: [Vec<usize>; 2],
    total_ns: u64,
    /// The longest that cannot be cut.
    longest_ns: u64,
    /// What another process costs at least.
    start_ns: u64,
}

impl<'t, 'a> Tasks<'t, 'a> {
    fn new(tracks: &'t [Track<'a>]) -> Self {
        let whole_ns: Vec<u64> = tracks.iter().map(Track::whole_ns).collect();
        let parts_ns: Vec<u64> = tracks.iter().map(Track::longest_part_ns).collect();
        let by = |lengths: &[u64]| {
            let mut order: Vec<usize> = (0..tracks.len()).collect();
            order.sort_by_key(|track| Reverse(lengths[*track]));
            order
        };
        let orders = [by(&whole_ns), by(&parts_ns)];
        let total_ns = whole_ns.iter().fold(0, |sum: u64, whole| sum.saturating_add(*whole));
        let start_ns = tracks.iter().map(Track::start_ns).min().unwrap_or(0);
        let longest_ns = parts_ns.into_iter().max().unwrap_or(0);
        Self { tracks, whole_ns, orders, total_ns, longest_ns, start_ns }
    }

    /// The work spread evenly, with a start for each worker beyond the number of runs; or the longest that cannot be cut.
    /// Leaving workers idle saves starts, and is never quicker: a start is part of every run's work already.
    fn bound_ns(&self, workers: usize) -> u64 {
        let starts = workers.saturating_sub(self.tracks.len()) as u64;
        let total_ns = self.total_ns.saturating_add(starts.saturating_mul(self.start_ns));
        total_ns.div_ceil(workers as u64).max(self.longest_ns)
    }

    fn on(&self, workers: usize) -> Division {
        let whole = self.whole(workers);
        let bound = self.bound_ns(workers);
        if whole.makespan_ns <= bound + bound / 1000 * (GOOD - 1000) {
            return whole;
        }
        let carried_out = |pieces: Vec<Piece>| (makespan_ns(pieces.iter().map(|piece| piece.cost_ns), workers), pieces);
        let found = self.orders.iter().filter_map(|order| self.shortest(order, workers, whole.makespan_ns));
        let Some((makespan_ns, pieces)) = found.map(carried_out).min_by_key(|(makespan_ns, _)| *makespan_ns) else {
            return whole;
        };
        let extra: u64 = pieces.iter().map(|piece| piece.cost_ns).sum::<u64>().saturating_sub(self.total_ns);
        let saved = whole.makespan_ns.saturating_sub(makespan_ns).saturating_mul(workers as u64);
        // More starts are worth it where the workers gain more time by them than they cost.
        if saved < extra || makespan_ns >= whole.makespan_ns {
            return whole;
        }
        Division { pieces, workers, makespan_ns, bound_ns: 0 }
    }

    /// Pieces for the shortest time in which filling the workers in this order finds some.
    fn shortest(&self, order: &[usize], workers: usize, whole_ns: u64) -> Option<Vec<Piece>> {
        let bound = self.bound_ns(workers);
        let (mut fits, mut pieces) = (whole_ns, None);
        let mut exceeds = bound.saturating_sub(1);
        while fits - exceeds > (bound / 1000 * PRECISION).max(1) {
            let middle = u64::midpoint(exceeds, fits);
            match self.within(order, middle, workers) {
                Some(found) => (fits, pieces) = (middle, Some(found)),
                None => exceeds = middle,
            }
        }
        pieces
    }

    fn whole(&self, workers: usize) -> Division {
        let piece = |track: usize| Piece { track, parts: 0..self.tracks[track].parts(), cost_ns: self.whole_ns[track] };
        let pieces: Vec<Piece> = (0..self.tracks.len()).map(piece).collect();
        let makespan_ns = makespan_ns(self.whole_ns.iter().copied(), workers);
        Division { pieces, workers, makespan_ns, bound_ns: 0 }
    }

    /// Pieces that so many workers do within this time; `None` where this way of filling them finds none.
    fn within(&self, order: &[usize], limit_ns: u64, workers: usize) -> Option<Vec<Piece>> {
        let mut busy: BinaryHeap<Reverse<u64>> = (0..workers).map(|_| Reverse(0)).collect();
        let mut pieces = Vec::with_capacity(self.tracks.len() + workers);
        for at in order {
            let (track, mut done) = (&self.tracks[*at], 0);
            while done < track.parts() {
                // The one with the most room: what does not fit there fits nowhere.
                let Reverse(load) = busy.pop()?;
                let room = limit_ns.saturating_sub(load);
                let fits =
                    if done == 0 && self.whole_ns[*at] <= room { track.parts() } else { track.fitting(done, room) };
                if fits == 0 {
                    return None;
                }
                let parts = done..done + fits;
                let cost_ns = track.cost_ns(parts.clone());
                busy.push(Reverse(load + cost_ns));
                pieces.push(Piece { track: *at, parts, cost_ns });
                done += fits;
            }
        }
        Some(pieces)
    }
}
