//! `afterlog runs`: the list of runs.

use std::process::ExitCode;

use crate::base::units::{age_ms, bytes, duration_ns};
use crate::cli::args::Format;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::{now_ms, project};
use crate::engine::export::{field, json_value, table};
use crate::model::run::RunSummary;

/// List recorded runs, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog runs
  afterlog runs --format json | jq '.[-1].id'")]
pub struct RunsArgs {
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &RunsArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    let mut runs = project.runs()?;
    project.note_gone(&mut runs);
    let text = match args.format {
        Format::Table => in_table(&runs, output.width()),
        Format::Csv => in_csv(&runs),
        Format::Json => in_json(&runs),
    };
    output.text(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn in_table(runs: &[RunSummary], width: usize) -> String {
    let now_ms = now_ms();
    let header = ["run", "name", "age", "took", "status", "script", "iterations", "checkpoints", "last", "arguments"];
    let row = |run: &RunSummary| {
        vec![
            run.id.to_string(),
            run.name.clone().unwrap_or_default(),
            age_ms(now_ms - run.started_ms),
            duration_ns(u64::try_from(run.duration_ms).unwrap_or(0).saturating_mul(1_000_000)),
            format!("{}{}", run.status.word(), if run.notes.is_empty() { "" } else { " !" }),
            run.script.clone(),
            run.iterations.to_string(),
            if run.checkpoints == 0 {
                "0".into()
            } else {
                format!("{} ({})", run.checkpoints, bytes(run.checkpoint_bytes))
            },
            run.last_metric.as_ref().map(|(name, value)| format!("{name}={value}")).unwrap_or_default(),
            arguments(run),
        ]
    };
    table::lay_out(&header.map(str::to_owned), &runs.iter().map(row).collect::<Vec<_>>(), width)
}

pub(super) fn arguments(run: &RunSummary) -> String {
    run.args.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn in_csv(runs: &[RunSummary]) -> String {
    let mut out = String::from(
        "run,name,started_ms,duration_ms,status,exit_code,script,version,iterations,checkpoints,checkpoint_bytes,names,arguments\n",
    );
    for run in runs {
        let fields = [
            run.id.to_string(),
            run.name.clone().unwrap_or_default(),
            run.started_ms.to_string(),
            run.duration_ms.to_string(),
            run.status.word().to_owned(),
            run.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            run.script.clone(),
            run.version.to_string(),
            run.iterations.to_string(),
            run.checkpoints.to_string(),
            run.checkpoint_bytes.to_string(),
            run.names.join(" "),
            arguments(run),
        ];
        out.push_str(&fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(","));
        out.push('\n');
    }
    out
}

fn in_json(runs: &[RunSummary]) -> String {
    let rows: Vec<String> = runs.iter().map(|run| format!("  {}", summary_json(run))).collect();
    if rows.is_empty() { "[]\n".into() } else { format!("[\n{}\n]\n", rows.join(",\n")) }
}

/// A run as one JSON object.
pub(super) fn summary_json(run: &RunSummary) -> serde_json::Value {
    let plain = |value| serde_json::from_str::<serde_json::Value>(&json_value(value)).unwrap_or_default();
    let args: serde_json::Map<_, _> = run.args.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    serde_json::json!({
        "id": run.id, "name": run.name, "started_ms": run.started_ms, "duration_ms": run.duration_ms,
        "status": run.status, "exit_code": run.exit_code, "script": run.script, "args": args, "command": run.command,
        "version": run.version,
        "iterations": run.iterations, "checkpoints": run.checkpoints, "checkpoint_bytes": run.checkpoint_bytes,
        "names": run.names, "notes": run.notes,
        "last_metric": run.last_metric.as_ref().map(|(name, value)| serde_json::json!({"name": name, "value": plain(value)})),
    })
}
