//! What a segment costs, from what the run itself took.

use super::RunInput;
use crate::model::plan::{Cost, ReplayStep, Stop};

/// Speeds that the record does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Restoring a checkpoint: reading, decompressing, verifying, copying. Bytes a second.
    pub restore_bytes_per_second: u64,
    /// Starting a worker: process, isolation, version checked out. Nanoseconds.
    pub start_ns: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self { restore_bytes_per_second: 500_000_000, start_ns: 60_000_000 }
    }
}

/// The cost of a segment of these steps.
pub(super) fn of(steps: &[ReplayStep], stop: Stop, input: &RunInput<'_>) -> Cost {
    let bytes_of = |seq: u64| input.checkpoints.iter().find(|c| c.seq == seq).map_or(0, |c| c.bytes);
    let restored: u64 = steps
        .iter()
        .flat_map(|step| step.restore.into_iter().chain(step.skip.iter().map(|skip| skip.checkpoint)))
        .map(bytes_of)
        .sum();
    let executed: u64 = steps.iter().map(|step| execute_ns(step, input)).sum();
    let suffix = if stop == Stop::AtEnd { input.timings.suffix_ns } else { 0 };
    let per_byte = input.rates.restore_bytes_per_second.max(1);
    Cost {
        prefix_ns: input.timings.prefix_ns + input.rates.start_ns,
        restore_ns: restored.saturating_mul(1_000_000_000) / per_byte,
        execute_ns: executed + suffix,
    }
}

/// An iteration's recorded time without that of the blocks it skips.
fn execute_ns(step: &ReplayStep, input: &RunInput<'_>) -> u64 {
    let Some(timing) = usize::try_from(step.iteration).ok().and_then(|at| input.timings.iterations.get(at)) else {
        return 0;
    };
    let mut seen: Vec<(&str, u64)> = Vec::new();
    let mut skipped_ns = 0;
    for (key, ns) in &timing.blocks {
        let occurrence = seen.iter().filter(|(known, _)| known == key).count() as u64;
        seen.push((key, *ns));
        if step.skip.iter().any(|skip| skip.block == *key && skip.occurrence == occurrence) {
            skipped_ns += ns;
        }
    }
    timing.total_ns.saturating_sub(skipped_ns)
}
