//! `afterlog du`: what the store's bytes are.

use std::process::ExitCode;

use crate::base::units::{bytes, duration_ns};
use crate::cli::args::Format;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::project;
use crate::engine::export::{field, table};
use crate::engine::retention::{RunUsage, Usage};

/// Show what each run takes, and what keeping fewer of its checkpoints would free and cost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog du
  afterlog du last                  with each choice: what it frees, what a replay then executes
  afterlog du --format json         all choices of all runs

`afterlog gc` makes a choice come true.")]
pub struct DuArgs {
    /// Runs to show the choices of: ID, a name, last, last:5, FIRST..LAST, or a comma list.
    #[arg(value_name = "RUNS")]
    runs: Option<String>,
    /// How to write it. As CSV: a row for each run and choice.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &DuArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    let chosen = match &args.runs {
        Some(runs) => project.select(runs)?,
        None if args.format == Format::Table => Vec::new(),
        None => project.runs()?.into_iter().map(|run| run.id).collect(),
    };
    let mut usage = project.usage(&chosen)?;
    if args.runs.is_some() {
        usage.runs.retain(|run| chosen.contains(&run.run));
    }
    let text = match args.format {
        Format::Table => in_table(&usage, output.width(), args.runs.is_none()),
        Format::Csv => in_csv(&usage),
        Format::Json => format!("{}\n", serde_json::json!(usage)),
    };
    output.text(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn in_table(usage: &Usage, width: usize, totals: bool) -> String {
    let header = ["run", "name", "kept", "own", "shared", "journal", "output", "other", "version"].map(str::to_owned);
    let row = |run: &RunUsage| {
        vec![
            run.run.to_string(),
            run.name.clone().unwrap_or_default(),
            format!("{} of {}", run.kept_iterations, run.stored_iterations),
            bytes(run.own_bytes),
            bytes(run.shared_bytes),
            bytes(run.journal_bytes),
            bytes(run.output_bytes),
            bytes(run.other_bytes),
            bytes(run.version_bytes),
        ]
    };
    let mut out = table::lay_out(&header, &usage.runs.iter().map(row).collect::<Vec<_>>(), width);
    for run in usage.runs.iter().filter(|run| !run.choices.is_empty()) {
        out.push_str(&format!("\n{}\n", choices(run, width)));
    }
    if totals {
        out.push('\n');
        let shared =
            format!("{} shared by runs, {} needed by none", bytes(usage.shared_bytes), bytes(usage.unneeded_bytes));
        for (what, size, more) in [
            ("checkpoints", usage.checkpoint_bytes, format!(" ({shared})")),
            ("runs", usage.run_bytes, String::new()),
            ("replays", usage.replay_bytes, String::new()),
            ("database", usage.database_bytes, String::new()),
            ("versions", usage.version_bytes, String::new()),
            ("other", usage.other_bytes, String::new()),
            ("all", usage.total_bytes, String::new()),
        ] {
            out.push_str(&format!("{what:<12} {}{more}\n", bytes(size)));
        }
    }
    out
}

/// What each choice frees, and what replaying one iteration then takes.
fn choices(run: &RunUsage, width: usize) -> String {
    let header =
        [run.run.as_str(), "iterations", "frees", "executes at most", "on average", "takes at most", "on average"];
    let rows: Vec<Vec<String>> = run
        .choices
        .iter()
        .map(|choice| {
            vec![
                format!("keep {}", choice.keep),
                choice.iterations.to_string(),
                bytes(choice.frees_bytes),
                choice.most_iterations.to_string(),
                format!("{:.1}", choice.mean_iterations),
                duration_ns(choice.most_ns),
                duration_ns(choice.mean_ns),
            ]
        })
        .collect();
    table::lay_out(&header.map(str::to_owned), &rows, width)
}

fn in_csv(usage: &Usage) -> String {
    let mut out = String::from(
        "run,name,kept_iterations,iterations,own_bytes,shared_bytes,journal_bytes,output_bytes,other_bytes,version_bytes,\
         keep,keep_iterations,frees_bytes,most_iterations,mean_iterations,most_ns,mean_ns\n",
    );
    for run in &usage.runs {
        for choice in &run.choices {
            let fields = [
                run.run.to_string(),
                run.name.clone().unwrap_or_default(),
                run.kept_iterations.to_string(),
                run.iterations.to_string(),
                run.own_bytes.to_string(),
                run.shared_bytes.to_string(),
                run.journal_bytes.to_string(),
                run.output_bytes.to_string(),
                run.other_bytes.to_string(),
                run.version_bytes.to_string(),
                choice.keep.clone(),
                choice.iterations.to_string(),
                choice.frees_bytes.to_string(),
                choice.most_iterations.to_string(),
                choice.mean_iterations.to_string(),
                choice.most_ns.to_string(),
                choice.mean_ns.to_string(),
            ];
            out.push_str(&fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(","));
            out.push('\n');
        }
    }
    out
}
