//! How many workers a replay is planned for.

use std::collections::HashMap;

use crate::analysis::planner::{self, RunInput};
use crate::base::ids::RunId;
use crate::base::units::counted;
use crate::engine::facts;
use crate::engine::machine::{self, Machine};
use crate::model::run::RunMeta;
use crate::store::layout::Layout;

/// What a run's replay takes of the machine.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Need {
    /// Cores that the run kept busy, in thousandths.
    pub(in crate::engine) busy_thousandths: u32,
    pub(in crate::engine) gpus: usize,
}

impl Need {
    pub(in crate::engine) fn of(layout: &Layout, meta: &RunMeta, here: &Machine) -> Self {
        let facts = facts::read(&layout.run(&meta.id));
        let gpus = machine::devices(&facts, meta, here).unwrap_or(0) as usize;
        Self { busy_thousandths: facts.busy_thousandths(), gpus }
    }
}

/// As many workers as were asked for, or as the cores are enough for, which `enough` tells of so many; no more than there
/// are GPUs for. Says why where they are fewer.
pub(in crate::engine) fn choose(
    needs: &[Need],
    asked: Option<usize>,
    here: &Machine,
    enough: impl FnOnce(usize) -> usize,
) -> (usize, Option<String>) {
    let (mut workers, mut why) = (asked.unwrap_or(here.cores).max(1), None);
    let several = needs.iter().any(|need| need.busy_thousandths > 1000);
    if asked.is_none() && workers > 1 && several {
        let few = enough(workers);
        if few < workers {
            let which = counted(few as u64, "worker");
            why = Some(format!(
                "{which} for {workers} cores, since what is executed keeps more than one core busy; --jobs decides"
            ));
            workers = few;
        }
    }
    // Where some need none, the others wait for theirs.
    let all_on_gpus = !needs.is_empty() && needs.iter().all(|need| need.gpus > 0);
    let most = needs.iter().map(|need| need.gpus).max().unwrap_or(0);
    let places = (here.gpus.len() / most.max(1)).max(1);
    if all_on_gpus && places < workers {
        let (which, gpus) = (counted(places as u64, "worker"), counted(here.gpus.len() as u64, "GPU"));
        why = Some(format!("{which} for {gpus}, since each is given as many of its own as its run saw"));
        workers = places;
    }
    (workers, why)
}

/// For how many of so many workers the cores are enough.
pub(super) fn enough(inputs: &[(RunInput<'_>, Need)], workers: usize) -> usize {
    let busy: HashMap<&RunId, u32> = inputs.iter().map(|(input, need)| (input.run, need.busy_thousandths)).collect();
    let inputs: Vec<RunInput<'_>> = inputs.iter().map(|(input, _)| input.clone()).collect();
    let planned = planner::plan(&inputs, workers);
    planner::workers_for(workers, planned.segments.iter().map(|segment| (segment.cost, busy[&segment.run])))
}
