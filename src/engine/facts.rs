//! What a script's process said of itself in its journal: see `process_facts` and `environment_facts` of the runtime.

use std::path::Path;

use crate::model::run::Facts;
use crate::store::journal::{self, Event};
use crate::store::layout::names;

/// The facts of a run or of a segment, by its folder. What its journal does not tell is empty.
pub fn read(folder: &Path) -> Facts {
    let mut facts = Facts::default();
    for event in journal::edges(&folder.join(names::EVENTS)).unwrap_or_default() {
        match event {
            Event::Start(json) => facts = serde_json::from_str(&json).unwrap_or_default(),
            Event::End(json) => {
                let end: Facts = serde_json::from_str(&json).unwrap_or_default();
                (facts.packages, facts.threads, facts.devices) = (end.packages, end.threads, end.devices);
                let before = facts.processor_ns.unwrap_or(0);
                facts.processor_ns = end.processor_ns.map(|until| until.saturating_sub(before));
                facts.t_ns = end.t_ns;
            }
            _ => {}
        }
    }
    facts
}
