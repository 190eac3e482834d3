//! What becomes of each block in the iterations that a plan executes, and why.

use std::collections::BTreeMap;

use super::states::obstacle;
use super::{RunInput, main_loop};
use crate::model::plan::{BlockUse, ReplayStep, Segment};
use crate::model::run::{Checkpoint, CheckpointKind};

/// What is counted of a block.
#[derive(Default)]
struct Count<'a> {
    executed: u64,
    restored: u64,
    /// Executed although its end is stored; the first such end.
    stored: u64,
    end: Option<&'a Checkpoint>,
}

/// The blocks of a run's segments, in the order of the script.
pub fn block_uses<'s>(input: &RunInput<'_>, segments: impl Iterator<Item = &'s Segment>) -> Vec<BlockUse> {
    let Some(main) = main_loop(input.instrumentation) else { return Vec::new() };
    let by_seq: BTreeMap<u64, &Checkpoint> = input.checkpoints.iter().map(|found| (found.seq, found)).collect();
    let mut counts: BTreeMap<&str, Count<'_>> = BTreeMap::new();
    for step in segments.flat_map(|segment| &segment.steps) {
        count(input, step, &by_seq, &mut counts);
    }
    let blocks = input.instrumentation.loops.iter().filter(|known| counts.contains_key(known.key.as_str()));
    blocks
        .map(|block| {
            let count = &counts[block.key.as_str()];
            let is_asked_for = input.reach.blocks.contains(&block.key);
            let why = (count.executed > 0).then(|| {
                let stored = count.end.and_then(|end| obstacle(input, main, &block.key, end));
                stored.or_else(|| block.never_skip.clone()).unwrap_or_else(|| match (is_asked_for, count.stored) {
                    (true, _) => "a statement that is asked for can run in it".to_owned(),
                    (false, 0) if count.restored == 0 => "its end was captured in none of these iterations".to_owned(),
                    _ => format!("its end was not captured {} times", count.executed - count.stored),
                })
            });
            BlockUse {
                block: block.key.clone(),
                name: block.name.clone(),
                line: block.first_line,
                executed: count.executed,
                restored: count.restored,
                why,
                is_asked_for,
            }
        })
        .collect()
}

/// Takes in what one iteration does with the blocks that it ran in the record.
fn count<'a>(
    input: &RunInput<'a>,
    step: &ReplayStep,
    by_seq: &BTreeMap<u64, &'a Checkpoint>,
    counts: &mut BTreeMap<&'a str, Count<'a>>,
) {
    let timing = usize::try_from(step.iteration).ok().and_then(|at| input.timings.iterations.get(at));
    for (key, _) in timing.into_iter().flat_map(|timing| &timing.blocks) {
        counts.entry(key.as_str()).or_default().executed += 1;
    }
    for skip in &step.skip {
        let Some(CheckpointKind::BlockEnd { block, .. }) = by_seq.get(&skip.checkpoint).map(|end| &end.kind) else {
            continue;
        };
        let count = counts.entry(block.as_str()).or_default();
        count.executed = count.executed.saturating_sub(1);
        count.restored += 1;
    }
    for expected in &step.expect {
        let Some(end) = by_seq.get(&expected.checkpoint) else { continue };
        let CheckpointKind::BlockEnd { block, .. } = &end.kind else { continue };
        let count = counts.entry(block.as_str()).or_default();
        count.stored += 1;
        count.end.get_or_insert(end);
    }
}
