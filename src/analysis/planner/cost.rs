//! What work costs: from what the run itself took, and from how replays compared with that so far.

use crate::model::plan::{Cost, Work};

/// How long things take that the record does not tell, and how those that it does differ in a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Starting and ending a worker: process, version checked out, isolation, interpreter. Nanoseconds.
    pub start_ns: u64,
    /// Replayed ÷ recorded, of what comes before the main loop.
    pub prefix: Ratio,
    /// The same where another process has imported what is imported at the script's top, and how long the first segments wait
    /// for that, in nanoseconds. `None` where that was never seen.
    pub forked_prefix: Option<Ratio>,
    pub imports_ns: u64,
    /// Of restoring, against [`nominal_restore_ns`].
    pub restore: Ratio,
    /// Replayed ÷ recorded, of what is executed from the main loop on.
    pub execute: Ratio,
    /// Between these, taken over estimated, most segments lie.
    pub spread: (Ratio, Ratio),
    /// Segments that this was learnt from.
    pub learnt_from: usize,
}

impl Default for Rates {
    fn default() -> Self {
        // Without experience: recorded times vary from machine to machine and with what else runs, a fifth less to a half more.
        let spread = (Ratio::thousandths(800), Ratio::thousandths(1500));
        Self {
            start_ns: 150_000_000,
            prefix: Ratio::ONE,
            forked_prefix: None,
            imports_ns: 0,
            restore: Ratio::ONE,
            execute: Ratio::ONE,
            spread,
            learnt_from: 0,
        }
    }
}

impl Rates {
    /// What this work costs in a process of its own.
    pub fn cost(&self, work: Work) -> Cost {
        Cost {
            start_ns: self.start_ns,
            prefix_ns: self.prefix.of(work.prefix_ns),
            restore_ns: self.restore_ns(work),
            execute_ns: self.execute.of(work.execute_ns),
        }
    }

    /// The same in one that is forked where imports are done, if so.
    pub fn cost_of(&self, work: Work, is_forked: bool) -> Cost {
        let prefix = self.forked_prefix.filter(|_| is_forked).unwrap_or(self.prefix);
        Cost { prefix_ns: prefix.of(work.prefix_ns), ..self.cost(work) }
    }

    /// What this work adds to a process that is there.
    pub(super) fn added_ns(&self, work: Work) -> u64 {
        self.restore_ns(work) + self.execute.of(work.execute_ns)
    }

    /// What starting a process for a run costs.
    pub(super) fn fixed_ns(&self, prefix_ns: u64) -> u64 {
        self.start_ns + self.prefix.of(prefix_ns)
    }

    fn restore_ns(&self, work: Work) -> u64 {
        self.restore.of(nominal_restore_ns(work))
    }
}

/// Restoring at half a gigabyte a second, and a millisecond for each checkpoint: reading, decompressing, verifying, copying.
pub fn nominal_restore_ns(work: Work) -> u64 {
    const PER_BYTE_NS: u64 = 2;
    const EACH_NS: u64 = 1_000_000;
    work.restored_bytes.saturating_mul(PER_BYTE_NS).saturating_add(work.restores.saturating_mul(EACH_NS))
}

/// A factor in thousandths: exact, so that a plan is the same wherever it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

impl Ratio {
    pub const ONE: Self = Self(1000);

    pub const fn thousandths(thousandths: u32) -> Self {
        Self(thousandths)
    }

    /// `of / to`, within a thousandth and a thousand; `None` where that says nothing.
    pub fn between(of: u64, to: u64) -> Option<Self> {
        let thousandths = u128::from(of) * 1000 / u128::from(if to == 0 { return None } else { to });
        Some(Self(u32::try_from(thousandths.clamp(1, 1_000_000)).unwrap_or(1_000_000)))
    }

    /// Within a twentieth and twenty: beyond that something else was measured.
    pub(super) fn sane(self) -> Self {
        self.clamp(Self(50), Self(20_000))
    }

    /// So many times `ns`.
    pub fn of(self, ns: u64) -> u64 {
        u64::try_from(u128::from(ns) * u128::from(self.0) / 1000).unwrap_or(u64::MAX)
    }
}
