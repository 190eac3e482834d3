//! Whatever the record holds, a plan executes every wanted iteration once, and no line in a wrong state.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Rates, RunInput, plan_run};
use crate::base::ids::RunId;
use crate::model::instrument::{InstrumentationPlan, LoopPlan, Reach, Variable, VariableScope};
use crate::model::plan::Stop;
use crate::model::position::Position;
use crate::model::run::{Checkpoint, CheckpointKind, IterationTiming, RunTimings};

const STEP: &str = "t.py::<module>::step#0";

fn loops(live: &[&str], never_skip: bool, jumpable: bool) -> InstrumentationPlan {
    let changes: Vec<Variable> = ["model", "loss", "it"]
        .iter()
        .map(|name| Variable { name: (*name).to_owned(), scope: VariableScope::Local })
        .collect();
    let plan = |key: &str, name: &str, is_main| LoopPlan {
        key: key.into(),
        file: "t.py".into(),
        scope: "<module>".into(),
        scope_line: 1,
        name: name.into(),
        first_line: 1,
        last_line: 9,
        column: 0,
        is_main,
        is_block: !is_main,
        changes: changes.clone(),
        live: live.iter().map(|name| format!("local:{name}")).collect(),
        never_skip: never_skip.then(|| "for … else".to_owned()),
        jumpable,
        wrap: None,
    };
    let main = "t.py::<module>::epoch#0";
    InstrumentationPlan {
        loops: vec![plan(main, "epoch", true), plan(STEP, "step", false)],
        main: Some(main.into()),
        problems: Vec::new(),
    }
}

fn checkpoint(seq: u64, iteration: u64, end: bool, missing: &[&str]) -> Checkpoint {
    let block_end = CheckpointKind::BlockEnd { block: STEP.into(), occurrence: 0 };
    Checkpoint {
        seq,
        kind: if end { block_end } else { CheckpointKind::IterationStart },
        iteration,
        position: Position::default(),
        bytes: 1000,
        stored_bytes: 1000,
        stall_ns: 1,
        missing: missing.iter().map(|name| (format!("local:{name}"), "a generator".to_owned())).collect(),
        digests: BTreeMap::new(),
    }
}

fn timings(iterations: usize) -> RunTimings {
    let one = IterationTiming { total_ns: 1_000_000_000, blocks: vec![(STEP.into(), 900_000_000)], complete: true };
    RunTimings { prefix_ns: 1_000_000_000, iterations: vec![one; iterations], suffix_ns: 0, entered_again: false }
}

proptest! {
    #[test]
    fn every_wanted_iteration_is_executed_once_and_in_its_own_state(
        starts in prop::collection::btree_map(1..20_u64, any::<bool>(), 0..12),
        ends in prop::collection::btree_map(0..20_u64, any::<bool>(), 0..12),
        wanted in prop::collection::btree_set(0..20_u64, 1..20),
        live in any::<bool>(), never_skip in any::<bool>(), jumpable in any::<bool>(),
        in_block in any::<bool>(), after in any::<bool>(), workers in 1..5_usize,
    ) {
        let plan = loops(if live { &["model", "it"] } else { &["model"] }, never_skip, jumpable);
        let mut checkpoints = Vec::new();
        for (end, map) in [(false, &starts), (true, &ends)] {
            for (iteration, lacks) in map {
                let missing: &[&str] = if *lacks { &["it"] } else { &[] };
                checkpoints.push(checkpoint(checkpoints.len() as u64, *iteration, end, missing));
            }
        }
        let reach = Reach { body: true, blocks: if in_block { vec![STEP.into()] } else { Vec::new() }, after, before: false };
        let wanted: Vec<u64> = wanted.into_iter().collect();
        let run = RunId::generate();
        let input = RunInput {
            run: &run, instrumentation: &plan, reach: &reach, checkpoints: &checkpoints, timings: &timings(20),
            ended: true, wanted: &wanted, outside: after, workers, rates: Rates::default(),
        };
        let planned = plan_run(&input);
        let sound = |map: &BTreeMap<u64, bool>, iteration: u64| map.get(&iteration).is_some_and(|lacks| !(*lacks && live));
        let mut reached = Vec::new();
        for segment in &planned.segments {
            prop_assert_eq!(segment.stop, if after { Stop::AtEnd } else { Stop::AfterLastStep });
            let mut state_of = 0;
            for step in &segment.steps {
                match step.restore {
                    Some(seq) => {
                        prop_assert_eq!(checkpoints[usize::try_from(seq).expect("small")].iteration, step.iteration);
                        prop_assert!(jumpable && sound(&starts, step.iteration));
                        prop_assert!(step.iteration >= state_of);
                    }
                    None => prop_assert_eq!(step.iteration, state_of, "executed after another iteration's state"),
                }
                state_of = step.iteration + 1;
                for skip in &step.skip {
                    prop_assert!(!in_block && !never_skip && sound(&ends, step.iteration));
                    prop_assert_eq!(checkpoints[usize::try_from(skip.checkpoint).expect("small")].iteration, step.iteration);
                }
            }
            prop_assert!(segment.wanted.iter().all(|at| segment.steps.iter().any(|step| step.iteration == *at)));
            reached.extend(segment.wanted.clone());
        }
        prop_assert_eq!(reached, wanted);
    }
}

#[test]
fn an_outer_statement_skips_every_block_and_two_workers_share_an_inner_one() {
    let plan = loops(&["model"], false, true);
    let checkpoints: Vec<Checkpoint> = (0..8)
        .flat_map(|at| [checkpoint(at * 2, at, false, &[]), checkpoint(at * 2 + 1, at, true, &["loss"])])
        .collect();
    let run = RunId::generate();
    let timings = timings(8);
    let outer = Reach { body: true, ..Reach::default() };
    let input = RunInput {
        run: &run,
        instrumentation: &plan,
        reach: &outer,
        checkpoints: &checkpoints,
        timings: &timings,
        ended: true,
        wanted: &[0, 1, 2, 3, 4, 5, 6, 7],
        outside: false,
        workers: 2,
        rates: Rates::default(),
    };
    let planned = plan_run(&input);
    assert_eq!(planned.segments.len(), 1, "a second start costs more than it saves");
    let steps = &planned.segments[0].steps;
    assert!(steps.iter().all(|step| step.skip.len() == 1 && step.restore.is_none()));
    assert!(planned.segments[0].cost.execute_ns < 1_000_000_000);

    let inner = Reach { blocks: vec![STEP.into()], ..Reach::default() };
    let planned = plan_run(&RunInput { reach: &inner, ..input });
    let wanted: Vec<&[u64]> = planned.segments.iter().map(|segment| segment.wanted.as_slice()).collect();
    assert_eq!(wanted, [&[0, 1, 2, 3][..], &[4, 5, 6, 7]]);
    assert_eq!(planned.segments[1].steps[0].restore, Some(8));
    assert!(planned.segments.iter().flat_map(|segment| &segment.steps).all(|step| step.expect.len() == 1));
}
