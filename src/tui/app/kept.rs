//! What a run's detail says of its checkpoints.

use crate::base::units::{bytes, counted, duration_ns};
use crate::model::run::{Checkpoint, CheckpointKind};
use crate::tui::app::run::{Line, block_name, coloured, said};
use crate::tui::event::Detail;
use crate::tui::theme::Role;

/// The section of checkpoints.
pub(super) fn checkpoints(detail: &Detail) -> Vec<Line<'_>> {
    let first = detail.run.checkpoints.as_slice();
    let others = detail.ranks.iter().map(|(rank, kept)| (*rank, kept.as_slice()));
    let ranks: Vec<(u64, &[Checkpoint])> = std::iter::once((0, first)).chain(others).collect();
    let largest = ranks.iter().flat_map(|(_, kept)| *kept).map(|checkpoint| checkpoint.stored_bytes).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (rank, kept) in &ranks {
        if ranks.len() > 1 {
            lines.push(coloured("", format!("rank {rank}"), Role::Title));
        }
        let gone = if *rank == 0 { detail.unreadable.as_slice() } else { &[] };
        lines.extend(checkpoints_of(kept, gone, detail.run.summary.iterations, largest));
    }
    lines.extend(unreadable(detail, "gone"));
    if detail.given_up > 0 {
        let count = counted(detail.given_up as u64, "checkpoint");
        lines.push(coloured("removed", format!("{count}, to save space: replays start earlier"), Role::Dim));
    }
    lines
}

/// That bytes of checkpoints are not there, if so.
pub(super) fn unreadable<'a>(detail: &Detail, label: &'a str) -> Option<Line<'a>> {
    let count = detail.unreadable.len() as u64;
    let text = || format!("{count} cannot be read, a pack is damaged or gone: replays start earlier");
    (count > 0).then(|| coloured(label, text(), Role::Bad))
}

/// What a process kept, and each of it as a bar beside the `largest` of all processes.
fn checkpoints_of<'a>(kept: &'a [Checkpoint], gone: &[u64], iterations: u64, largest: u64) -> Vec<Line<'a>> {
    let stored: u64 = kept.iter().map(|checkpoint| checkpoint.stored_bytes).sum();
    let held: u64 = kept.iter().map(|checkpoint| checkpoint.bytes).sum();
    let total = format!("{}, {} on disk for {} of state", kept.len(), bytes(stored), bytes(held));
    let mut lines = vec![said("kept", total)];
    lines.extend(kept.iter().map(|checkpoint| {
        let kind = moment(checkpoint, iterations);
        let stall = duration_ns(checkpoint.stall_ns);
        let (size, stored) = (bytes(checkpoint.bytes), bytes(checkpoint.stored_bytes));
        let gone = if gone.contains(&checkpoint.seq) { ", gone" } else { "" };
        let text = format!("{stored:>7} of {size:>7}, waited {stall:>7}  {kind}{gone}");
        let label = format!("{}", checkpoint.position);
        let label = if label.is_empty() { "before".to_owned() } else { label };
        Line::Bar { label, part: checkpoint.stored_bytes, whole: largest, text }
    }));
    lines
}

fn moment(checkpoint: &Checkpoint, iterations: u64) -> String {
    match &checkpoint.kind {
        CheckpointKind::IterationStart if checkpoint.iteration >= iterations => "after the loop".into(),
        CheckpointKind::IterationStart => "iteration's start".into(),
        CheckpointKind::BlockEnd { block, .. } => format!("end of {}", block_name(block)),
    }
}
