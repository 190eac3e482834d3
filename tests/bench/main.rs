//! The benchmarks: `cargo bench` prints one table. Every figure that can be one is a ratio of two things measured in
//! turn (A B A B …) in this same run, since absolute times of shared machines mean little.

#![allow(clippy::print_stdout, reason = "the table is what a benchmark is for")]
#![allow(
    clippy::disallowed_methods,
    reason = "benchmarks start processes and write fixtures; the ban on both is for the program itself"
)]

#[path = "../it/env.rs"]
mod env;
#[path = "../it/many.rs"]
mod many;
#[path = "../it/terminal.rs"]
mod terminal;

mod estimate;
mod grid;
mod measure;
mod overhead;
mod paint;
mod plan;
mod propagate;
mod record;
mod replay;
mod replay_others;
mod state;
mod workloads;

/// One line of the table.
pub(crate) struct Row {
    what: String,
    figure: String,
    /// What it should be, and whether it is; none where a figure is there to compare with.
    target: Option<(&'static str, bool)>,
}

#[allow(clippy::unnecessary_wraps, reason = "reads better where rows are made")]
pub(crate) fn target(goal: &'static str, met: bool) -> Option<(&'static str, bool)> {
    Some((goal, met))
}

type Benchmark = (&'static str, fn() -> Vec<Row>);

const BENCHMARKS: [Benchmark; 21] = [
    ("record", overhead::adaptive),
    ("others-cnn", overhead::against_others::<0>),
    ("others-finetune", overhead::against_others::<1>),
    ("others-transformer", overhead::against_others::<2>),
    ("others-tiny", overhead::against_others::<3>),
    ("others-huge", overhead::against_others::<4>),
    ("start", overhead::start_up),
    ("state", state::stall_and_bytes),
    ("memory", state::memory),
    ("handsfree", record::hands_free_against_plain_run),
    ("log", record::log_call),
    ("replay", replay::outer_over_versions),
    ("replay inner", replay::inner_on_two_workers),
    ("replay prefix", replay::shared_prefix),
    ("replay others", replay_others::flordb),
    ("grid", grid::million_values),
    ("paint", paint::first_paint),
    ("paint grid", paint::large_grid),
    ("plan", plan::simulation),
    ("estimate", estimate::error_of_estimates),
    ("propagate", propagate::speed),
];

fn main() {
    let (options, wanted): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with('-'));
    let unknown = |word: &String| !BENCHMARKS.iter().any(|(name, _)| name.contains(word.as_str()));
    if options.iter().any(|option| option == "--help" || option == "--list") || wanted.iter().any(unknown) {
        let names: Vec<&str> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
        println!(
            "cargo bench -- NAME…   the rows whose name holds one of these; all without. Names: {}",
            names.join(", ")
        );
        return;
    }
    println!("{:<88} {:>24}  {:<10}", "benchmark", "measured", "target");
    for (name, benchmark) in BENCHMARKS {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            for row in benchmark() {
                let (goal, mark) =
                    row.target.map_or(("", ""), |(goal, met)| (goal, if met { "met" } else { "NOT MET" }));
                println!("{:<88} {:>24}  {goal:<10} {mark}", row.what, row.figure);
            }
        }
    }
}
