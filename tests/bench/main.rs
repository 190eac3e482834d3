//! The benchmarks: `cargo bench` prints one table. Every figure that can be one is a ratio of two things measured in
//! turn (A B A B …) in this same run, since absolute times of shared machines mean little.

#![allow(clippy::print_stdout, reason = "the table is what a benchmark is for")]

#[path = "../it/env.rs"]
mod env;
#[path = "../it/terminal.rs"]
mod terminal;

mod grid;
mod measure;
mod paint;
mod record;
mod replay;

/// One line of the table.
pub(crate) struct Row {
    what: String,
    figure: String,
    target: &'static str,
    met: bool,
}

type Benchmark = (&'static str, fn() -> Vec<Row>);

const BENCHMARKS: [Benchmark; 6] = [
    ("record", record::record_against_plain_run),
    ("handsfree", record::hands_free_against_plain_run),
    ("log", record::log_call),
    ("replay", replay::replay_against_full_run),
    ("grid", grid::million_values),
    ("paint", paint::first_paint),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    println!("{:<64} {:>26}  {:<10}", "benchmark", "measured", "target");
    for (name, benchmark) in BENCHMARKS {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            for row in benchmark() {
                let mark = if row.met { "met" } else { "NOT MET" };
                println!("{:<64} {:>26}  {:<10} {mark}", row.what, row.figure, row.target);
            }
        }
    }
}
