//! Columns of what a run printed: read from its journal when they are asked for.

use std::collections::HashMap;

use crate::analysis::printed;
use crate::base::ids::RunId;
use crate::engine::ingest::fold::{Columns, Context};
use crate::engine::ingest::read;
use crate::model::column::Column;
use crate::store::journal::Event;
use crate::store::layout::{Layout, names};

/// The numbers in the lines that a run printed, by name in the order in which the names first appear. Of `wanted` names
/// only, unless it is empty. Linear in the journal.
pub fn printed_columns(layout: &Layout, run: &RunId, wanted: &[String]) -> Vec<(String, Column)> {
    let journal = layout.run(run).join(names::EVENTS);
    let mut found: Vec<(String, Column)> = Vec::new();
    let mut places: HashMap<(String, Vec<String>), usize> = HashMap::new();
    let (mut context, mut offset) = (Context::default(), 0);
    loop {
        let (batch, _) = read(&journal, offset);
        let mut columns = Columns::new(&mut context);
        for (at, event) in batch.events.iter().enumerate() {
            // Behind a gap nobody knows where lines belong.
            columns.context.lost |= batch.gap() == Some(at);
            match event {
                Event::Line { text, .. } if !columns.context.lost => {
                    let values = printed::values(text);
                    if values.is_empty() {
                        continue;
                    }
                    let (loops, indices): (Vec<String>, Vec<u64>) =
                        columns.context.position().0.into_iter().map(|step| (step.name, step.index)).unzip();
                    for (name, value) in values.into_iter().filter(|(n, _)| wanted.is_empty() || wanted.contains(n)) {
                        let at = *places.entry((name.clone(), loops.clone())).or_insert_with(|| {
                            found.push((name, Column::under(loops.clone())));
                            found.len() - 1
                        });
                        found[at].1.push(&indices, value);
                    }
                }
                // Only the position is of interest.
                Event::Log { .. } | Event::IterationValue(_) => {}
                event => columns.take(event),
            }
        }
        offset = batch.next_offset;
        if !batch.more {
            return found;
        }
    }
}
