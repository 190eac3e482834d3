//! Whatever the record holds, a plan executes every wanted iteration once, and no line in a wrong state.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Planned, Rates, RunInput, plan};
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
        let loops = loops(if live { &["model", "it"] } else { &["model"] }, never_skip, jumpable);
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
            run: &run, instrumentation: &loops, reach: &reach, checkpoints: &checkpoints, timings: &timings(20),
            ended: true, wanted: &wanted, outside: after, rates: Rates::default(),
        };
        let planned = plan(&[input], workers);
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
    let loops = loops(&["model"], false, true);
    let checkpoints: Vec<Checkpoint> = (0..8)
        .flat_map(|at| [checkpoint(at * 2, at, false, &[]), checkpoint(at * 2 + 1, at, true, &["loss"])])
        .collect();
    let run = RunId::generate();
    let timings = timings(8);
    let outer = Reach { body: true, ..Reach::default() };
    let input = RunInput {
        run: &run,
        instrumentation: &loops,
        reach: &outer,
        checkpoints: &checkpoints,
        timings: &timings,
        ended: true,
        wanted: &[0, 1, 2, 3, 4, 5, 6, 7],
        outside: false,
        rates: Rates::default(),
    };
    let planned = plan(std::slice::from_ref(&input), 2);
    assert_eq!(planned.segments.len(), 1, "a second start costs more than it saves");
    let steps = &planned.segments[0].steps;
    assert!(steps.iter().all(|step| step.skip.len() == 1 && step.restore.is_none()));
    assert!(planned.segments[0].cost.execute_ns < 1_000_000_000);

    let inner = Reach { blocks: vec![STEP.into()], ..Reach::default() };
    let planned = plan(&[RunInput { reach: &inner, ..input }], 2);
    let wanted: Vec<&[u64]> = planned.segments.iter().map(|segment| segment.wanted.as_slice()).collect();
    assert_eq!(wanted, [&[0, 1, 2, 3][..], &[4, 5, 6, 7]]);
    assert_eq!(planned.segments[1].steps[0].restore, Some(8));
    assert!(planned.segments.iter().flat_map(|segment| &segment.steps).all(|step| step.expect.len() == 1));
}

/// A run as a property test makes it up: how long each iteration takes, which starts are stored, and which are asked for.
#[derive(Debug, Clone)]
struct Made {
    prefix_ns: u64,
    iterations: Vec<(u64, bool, bool)>,
}

fn made() -> impl Strategy<Value = Made> {
    let iteration = (1_000_000..3_000_000_000_u64, any::<bool>(), any::<bool>());
    let iterations = prop::collection::vec(iteration, 1..25);
    (0..2_000_000_000_u64, iterations).prop_map(|(prefix_ns, iterations)| Made { prefix_ns, iterations })
}

/// Plans these runs for a statement in the block, which every iteration then executes.
fn planned(runs: &[Made], workers: usize) -> Planned {
    let loops = loops(&["model"], false, true);
    let reach = Reach { body: true, blocks: vec![STEP.into()], ..Reach::default() };
    let kept: Vec<_> = (0_u64..)
        .zip(runs)
        .map(|(number, made)| {
            let run: RunId = format!("{number:010}").parse().expect("an id");
            let starts = (0..).zip(&made.iterations).filter(|(_, (_, stored, _))| *stored);
            let checkpoints: Vec<_> = starts.map(|(at, _)| checkpoint(at, at, false, &[])).collect();
            let iteration = |(total_ns, ..): &(u64, bool, bool)| IterationTiming {
                total_ns: *total_ns,
                blocks: vec![(STEP.into(), *total_ns)],
                complete: true,
            };
            let iterations = made.iterations.iter().map(iteration).collect();
            let timings = RunTimings { prefix_ns: made.prefix_ns, iterations, suffix_ns: 0, entered_again: false };
            let wanted: Vec<u64> =
                (0..).zip(&made.iterations).filter(|(_, (_, _, wanted))| *wanted).map(|(at, _)| at).collect();
            (run, checkpoints, timings, wanted)
        })
        .collect();
    let inputs: Vec<RunInput<'_>> = kept
        .iter()
        .map(|(run, checkpoints, timings, wanted)| RunInput {
            run,
            instrumentation: &loops,
            reach: &reach,
            checkpoints,
            timings,
            ended: true,
            wanted,
            outside: false,
            rates: Rates::default(),
        })
        .collect();
    plan(&inputs, workers)
}

proptest! {
    #[test]
    fn all_runs_together_each_wanted_iteration_is_in_one_segment_and_nothing_else_is_executed_without_need(
        runs in prop::collection::vec(made(), 1..12), workers in 1..9_usize,
    ) {
        let planned = planned(&runs, workers);
        prop_assert_eq!(planned.segments.iter().map(|segment| segment.id).collect::<Vec<_>>(),
            (0..u32::try_from(planned.segments.len()).expect("few")).collect::<Vec<_>>());
        for (number, made) in runs.iter().enumerate() {
            let of_run = || planned.segments.iter().filter(|s| s.run.as_str().parse() == Ok(number));
            let asked: Vec<u64> = (0..).zip(&made.iterations).filter(|(_, i)| i.2).map(|(at, _)| at).collect();
            let wanted: Vec<u64> = of_run().flat_map(|segment| segment.wanted.clone()).collect();
            prop_assert_eq!(&wanted, &asked);
            for segment in of_run() {
                // Whatever is not asked for leads, without a gap, to what is.
                for pair in segment.steps.windows(2) {
                    let leads = segment.wanted.contains(&pair[0].iteration) || pair[1].restore.is_none();
                    prop_assert!(leads, "{:?}", segment);
                }
                prop_assert_eq!(segment.steps.last().map(|step| step.iteration), segment.wanted.last().copied());
            }
            let mut executed: Vec<u64> = of_run().flat_map(|s| s.steps.iter().map(|step| step.iteration)).collect();
            let count = executed.len();
            executed.dedup();
            prop_assert_eq!(executed.len(), count, "no iteration is executed twice");
        }
    }

    #[test]
    fn more_workers_never_take_longer_and_cuts_cost_no_more_than_their_starts(
        runs in prop::collection::vec(made(), 1..12), workers in 1..24_usize,
    ) {
        let cost = |planned: &Planned| planned.segments.iter().map(|segment| segment.cost.total_ns()).sum::<u64>();
        let alone = planned(&runs, 1);
        let (fewer, more) = (planned(&runs, workers), planned(&runs, workers + 1));
        prop_assert!(more.makespan_ns <= fewer.makespan_ns);
        prop_assert!(more.makespan_ns >= more.bound_ns);
        prop_assert_eq!(&more, &planned(&runs, workers + 1), "the same each time");
        let whole = alone.segments.len();
        let dearest = runs.iter().map(|made| made.prefix_ns).max().unwrap_or(0);
        // A start, the prefix, a checkpoint; and what rounding takes off sums.
        let each = Rates::default().start_ns + dearest + 2_000_000 + 50;
        prop_assert!(cost(&more) <= cost(&alone) + (more.segments.len() - whole) as u64 * each);
        let longest_first = super::makespan_ns(more.segments.iter().map(|segment| segment.cost.total_ns()), more.workers);
        prop_assert!(longest_first.abs_diff(more.makespan_ns) <= 1000 * more.segments.len() as u64);
    }
}

#[test]
fn many_runs_stay_whole_and_a_long_one_is_shared_by_all_workers() {
    let run = |iterations: usize| Made {
        prefix_ns: 1_000_000_000,
        iterations: (0..iterations).map(|_| (100_000_000, true, true)).collect(),
    };
    let many = planned(&vec![run(100); 128], 64);
    assert_eq!(many.segments.len(), 128);
    let one = planned(&[run(6400)], 64);
    let sizes: Vec<usize> = one.segments.iter().map(|segment| segment.steps.len()).collect();
    assert_eq!((sizes.len(), sizes.iter().max()), (64, Some(&100)), "{sizes:?}");
    // One run more than workers: it fills what they have left instead of having 63 of them wait for it.
    let odd = planned(&vec![run(1000); 65], 64);
    assert!(odd.makespan_ns * 100 <= odd.bound_ns * 105, "{} {}", odd.makespan_ns, odd.bound_ns);
    assert!(odd.segments.len() <= 65 + 64, "{}", odd.segments.len());
}
