//! What segments do not begin with by themselves: imports that another process does for several runs, and what comes before
//! a run's main loop, executed once for several of its segments. Decides on the latter, and what both save.
//!
//! The first segments wait for these, beside the workers; those that come later do not.

use std::collections::HashMap;

use crate::analysis::planner::{self, Task};
use crate::base::ids::RunId;
use crate::engine::plan::Learnt;
use crate::engine::replay::forkserver;
use crate::engine::replay::prefix::may_share;
use crate::model::plan::{Isolation, ReplayPlan, RunPlan};
use crate::store::layout::{Layout, names};

/// Shorter than this, what comes before the main loop is executed anew in less time than it takes to share it, in nanoseconds.
const WORTH_NS: u64 = 1_000_000_000;

/// Decides for each run of a plan what several of its segments share, and estimates anew what all of it takes.
pub(in crate::engine) fn settle(layout: &Layout, plan: &mut ReplayPlan, learnt: &Learnt) {
    if plan.isolation != Isolation::Namespace || forkserver::is_off() || plan.segments.len() < 2 {
        return;
    }
    let mut tasks = vec![Task::default(); plan.segments.len()];
    let importing: HashMap<RunId, usize> =
        forkserver::importing(layout, plan).into_iter().map(|(run, server)| (run.clone(), server)).collect();
    let mut of_run: HashMap<RunId, Vec<usize>> = HashMap::new();
    for (at, segment) in plan.segments.iter().enumerate() {
        of_run.entry(segment.run.clone()).or_default().push(at);
    }
    for (group, run) in plan.runs.iter_mut().enumerate() {
        let Some(segments) = of_run.get(&run.run) else { continue };
        if let Some(server) = importing.get(&run.run) {
            let rates = learnt.rates(&run.script);
            for at in segments {
                tasks[*at].shared[0] = Some((*server, rates.imports_ns));
                let segment = &mut plan.segments[*at];
                segment.cost.prefix_ns = rates.cost_of(segment.work, true).prefix_ns;
            }
        }
        let sharing: Vec<usize> = segments.iter().copied().filter(|at| may_share(&plan.segments[*at], run)).collect();
        let [first, _, ..] = sharing[..] else { continue };
        let prefix_ns = plan.segments[first].cost.prefix_ns;
        if is_worth_it(layout, run, prefix_ns) {
            run.shared_prefix_ns = Some(prefix_ns);
            for at in sharing {
                tasks[at].shared[1] = Some((group, prefix_ns));
                plan.segments[at].cost.prefix_ns = 0;
            }
        }
    }
    if tasks.iter().any(|task| task.shared.iter().any(Option::is_some)) {
        estimate(plan, tasks);
    }
}

/// Whether what comes before a run's main loop is executed once for its segments, where that takes so long.
fn is_worth_it(layout: &Layout, run: &RunPlan, prefix_ns: u64) -> bool {
    // Which GPUs it sees, a process finds out once, and each segment has its own.
    let has_devices = run.environment.as_ref().is_some_and(|found| found.devices.is_some_and(|count| count > 0));
    // What the script does there was found out by an earlier replay.
    let unfit = || layout.run(&run.run).join(names::UNSHARED).exists();
    !has_devices && (forkserver::is_always() || prefix_ns >= WORTH_NS && !unfit())
}

/// Adds to each segment what it waits for, and estimates the whole from that.
fn estimate(plan: &mut ReplayPlan, mut tasks: Vec<Task>) {
    for (task, segment) in tasks.iter_mut().zip(&plan.segments) {
        task.own_ns = segment.cost.total_ns();
    }
    let (makespan_ns, waits) = planner::makespan_and_waits_ns(&tasks, plan.workers);
    plan.makespan_ns = scaled(plan.makespan_ns, plan.expected_ns, makespan_ns);
    plan.expected_ns = makespan_ns;
    for (segment, [imports_ns, prefix_ns]) in plan.segments.iter_mut().zip(waits) {
        segment.cost.start_ns += imports_ns;
        segment.cost.prefix_ns += prefix_ns;
        segment.range_ns = scaled(plan.makespan_ns, makespan_ns, segment.cost.total_ns());
    }
}

/// A range for what is estimated anew, as wide as it was.
fn scaled(range: (u64, u64), from_ns: u64, to_ns: u64) -> (u64, u64) {
    let scale =
        |ns: u64| u64::try_from(u128::from(ns) * u128::from(to_ns) / u128::from(from_ns.max(1))).unwrap_or(u64::MAX);
    (scale(range.0), scale(range.1))
}
