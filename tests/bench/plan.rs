//! Planning by simulation: many runs of unequal length on 64 workers.

use afterlog::analysis::planner::{Rates, RunInput, plan};
use afterlog::base::ids::RunId;
use afterlog::model::instrument::{InstrumentationPlan, LoopPlan, Reach, Variable, VariableScope};
use afterlog::model::position::Position;
use afterlog::model::run::{Checkpoint, CheckpointKind, IterationTiming, RunTimings};

use crate::{Row, measure, target};

const WORKERS: usize = 64;
const EPOCHS: u64 = 1000;
const STEP: &str = "train.py::<module>::step#0";
/// Different recorded runs; more of them share these timings and checkpoints.
const DIFFERENT: usize = 50;

pub(crate) fn simulation() -> Vec<Row> {
    let of = |every| (0..DIFFERENT).map(|number| recorded(number as u64, every)).collect();
    let (seldom, always): (Vec<(RunTimings, Vec<Checkpoint>)>, Vec<_>) = (of(10), of(1));
    let mut rows = Vec::new();
    for (runs, in_block, every) in
        [(10_000, false, 10), (10_000, true, 10), (100, true, 10), (3, true, 10), (3, true, 1)]
    {
        let (seconds, ratio, segments) = planned(if every == 1 { &always } else { &seldom }, runs, in_block);
        let level = if in_block { "inside the block" } else { "outside the block" };
        let states = if every == 1 { ", each with a state" } else { "" };
        let what = format!("{runs} runs × {EPOCHS} epochs{states}, {level}, {WORKERS} workers");
        rows.push(Row {
            what: format!("planning {what}: {segments} segments"),
            figure: format!("{seconds:.2} s"),
            target: target("≤ 2 s", seconds <= 2.0),
        });
        // The bound counts each worker's start and the longest piece, but cuts anywhere; a plan cuts only
        // where a state is stored. With few runs and few states each worker has so few pieces that half a piece counts:
        // packing them one by one, first fit decreasing, in any order, gives 1.068 for three runs.
        let few_pieces = runs < WORKERS / 2 && every > 1;
        let cannot = if few_pieces { ", which cuts anywhere (there are 8 pieces for a worker)" } else { "" };
        rows.push(Row {
            what: format!("  its makespan ÷ the lower bound{cannot}"),
            figure: format!("{ratio:.4}"),
            target: if few_pieces { None } else { target("≤ 1.05", ratio <= 1.05) },
        });
    }
    rows
}

fn planned(recorded: &[(RunTimings, Vec<Checkpoint>)], runs: usize, in_block: bool) -> (f64, f64, usize) {
    let ids: Vec<RunId> = (0..runs).map(|number| format!("{number:010}").parse().expect("an id")).collect();
    let instrumentation = instrumentation();
    let blocks = if in_block { vec![STEP.to_owned()] } else { Vec::new() };
    let reach = Reach { body: true, blocks, ..Reach::default() };
    let wanted: Vec<u64> = (0..EPOCHS).collect();
    let inputs: Vec<RunInput<'_>> = ids
        .iter()
        .zip(recorded.iter().cycle())
        .map(|(run, (timings, checkpoints))| RunInput {
            run,
            instrumentation: &instrumentation,
            reach: &reach,
            checkpoints,
            timings,
            ended: true,
            wanted: &wanted,
            outside: false,
            rates: Rates::default(),
        })
        .collect();
    let (elapsed, planned) = measure::time(|| plan(&inputs, WORKERS));
    let steps: usize = planned.segments.iter().map(|segment| segment.steps.len()).sum();
    assert!(steps >= runs * wanted.len(), "everything is executed");
    // Small ratios are exact in this type.
    #[allow(clippy::cast_precision_loss, reason = "a ratio of times")]
    let ratio = planned.makespan_ns as f64 / planned.bound_ns as f64;
    (elapsed.as_secs_f64(), ratio, planned.segments.len())
}

/// A run whose epochs take from two to forty seconds, with a stored start and block end every so many epochs at most.
fn recorded(number: u64, most_apart: u64) -> (RunTimings, Vec<Checkpoint>) {
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let typical_ns = 2_000_000_000 + next(30_000_000_000);
    let every = 1 + next(10) % most_apart;
    let iterations = (0..EPOCHS)
        .map(|_| {
            let block_ns = typical_ns + next(typical_ns / 3);
            let total_ns = block_ns + next(typical_ns / 10);
            IterationTiming { total_ns, blocks: vec![(STEP.to_owned(), block_ns)], complete: true }
        })
        .collect();
    let timings = RunTimings { prefix_ns: 5_000_000_000, iterations, suffix_ns: 0, entered_again: false };
    let kept = (0..EPOCHS).filter(|at| at % every == 0);
    let checkpoints = kept.flat_map(|at| [false, true].map(|is_end| checkpoint(at, is_end))).collect();
    (timings, checkpoints)
}

fn checkpoint(iteration: u64, is_end: bool) -> Checkpoint {
    let end = CheckpointKind::BlockEnd { block: STEP.to_owned(), occurrence: 0 };
    Checkpoint {
        seq: 2 * iteration + u64::from(is_end),
        kind: if is_end { end } else { CheckpointKind::IterationStart },
        iteration,
        position: Position::default(),
        bytes: 100_000_000,
        stored_bytes: 10_000_000,
        stall_ns: 10_000_000,
        missing: Vec::new(),
        digests: std::iter::once(("object:model".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())).collect(),
    }
}

fn instrumentation() -> InstrumentationPlan {
    let model = Variable { name: "model".to_owned(), scope: VariableScope::Local };
    let known = |name: &str, is_main: bool| LoopPlan {
        key: format!("train.py::<module>::{name}#0"),
        file: "train.py".to_owned(),
        scope: "<module>".to_owned(),
        scope_line: 1,
        name: name.to_owned(),
        first_line: 1,
        last_line: 9,
        column: 0,
        is_main,
        is_block: !is_main,
        live: vec![model.key()],
        changes: vec![model.clone()],
        never_skip: None,
        jumpable: true,
        wrap: None,
    };
    let loops = vec![known("epoch", true), known("step", false)];
    InstrumentationPlan { main: Some(loops[0].key.clone()), loops, problems: Vec::new() }
}
