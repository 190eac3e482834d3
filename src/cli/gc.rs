//! `afterlog gc`: keeping checkpoints within a budget, and removing what nobody needs.

use std::process::ExitCode;

use crate::base::units::{bytes, counted, parse_bytes};
use crate::cli::args::Format;
use crate::cli::error::{Error, USER};
use crate::cli::output::Output;
use crate::cli::project;
use crate::engine::export::{field, table};
use crate::engine::retention::{GcPlan, GcRequest};

/// Thin old checkpoints so that they stay within a budget, and remove what nobody needs.
///
/// Of each run the first and the last iteration keep theirs, and of those between every second, every fourth and so on,
/// older runs first. Replays then start from earlier states. Journals, versions and output always stay, and so does
/// everything of runs that are still training or being replayed. Without a budget here or in `.afterlog/config.toml`
/// (`budget = "10GB"`, or `"none"`), checkpoints may take half of the disk space that would be free without them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog gc --dry-run
  afterlog gc --budget 10GB
  afterlog gc --runs ..6xk2 --keep 2     of these runs only the first and the last iteration's

Exit code 1 if more than the budget stays, with --dry-run too.")]
pub struct GcArgs {
    /// What all checkpoints may take: 10GB, 500MiB.
    #[arg(long, value_name = "BYTES", conflicts_with = "keep")]
    budget: Option<String>,
    /// Keep the checkpoints of at most N iterations of each run in --runs, 0 for none.
    #[arg(long, value_name = "N", requires = "runs")]
    keep: Option<usize>,
    /// The runs to thin: ID, a name, last, last:5, FIRST..LAST, or a comma list.
    #[arg(long, value_name = "RUNS", requires = "keep")]
    runs: Option<String>,
    /// Show what would go, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// How to write what goes.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &GcArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    let amount = |text: &String| {
        parse_bytes(text).ok_or_else(|| Error::Usage(format!("--budget {text}: write an amount such as 10GB")))
    };
    let request = GcRequest {
        budget: args.budget.as_ref().map(amount).transpose()?,
        thin_to: match (&args.runs, args.keep) {
            (Some(runs), Some(most)) => Some((project.select(runs)?, most)),
            _ => None,
        },
        own: None,
        patience: None,
    };
    let plan = project.plan_gc(&request)?;
    output.text(&match args.format {
        Format::Table => in_table(&plan, output.width()),
        Format::Csv => in_csv(&plan),
        Format::Json => format!("{}\n", serde_json::json!(plan)),
    })?;
    output.finish()?;
    if args.dry_run {
        if let Some(budget) = plan.budget.filter(|_| !plan.is_within_budget()) {
            output.note(&format!(
                "more than {} stays: what runs need that go on, first and last iterations",
                bytes(budget)
            ));
            return Ok(ExitCode::from(USER));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let report = project.gc(&request, &plan)?;
    let packs = report.swept.removed_packs + report.swept.rewritten_packs;
    output.note(&format!(
        "freed {}, {} taken by checkpoints ({} changed)",
        bytes(plan.before.saturating_sub(report.after)),
        bytes(report.after),
        counted(packs, "pack"),
    ));
    match plan.budget {
        Some(budget) if report.after > budget => {
            output.note(&format!("that is more than the {} allowed: what is left are the first and last iterations of runs, and runs in use", bytes(budget)));
            Ok(ExitCode::from(USER))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn spans(iterations: &[u64]) -> String {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for at in iterations {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *at => *last = *at,
            _ => spans.push((*at, *at)),
        }
    }
    let text = |(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first}..{last}") };
    spans.iter().map(text).collect::<Vec<_>>().join(",")
}

fn in_table(plan: &GcPlan, width: usize) -> String {
    let header = ["run", "goes", "stays", "iterations"].map(str::to_owned);
    let rows: Vec<Vec<String>> = plan
        .drops
        .iter()
        .map(|drop| {
            let (goes, stays) = (drop.iterations.len().to_string(), drop.kept.to_string());
            vec![drop.run.to_string(), goes, stays, spans(&drop.iterations)]
        })
        .collect();
    let mut out = if rows.is_empty() { String::new() } else { table::lay_out(&header, &rows, width) };
    out.push_str(&format!("{:<14} {}\n", "checkpoints", bytes(plan.before)));
    if let Some(budget) = plan.budget {
        out.push_str(&format!("{:<14} {}\n", "budget", bytes(budget)));
    }
    out.push_str(&format!("{:<14} {}\n", "needed by none", bytes(plan.unneeded)));
    out.push_str(&format!("{:<14} about {}\n", "afterwards", bytes(plan.after)));
    if !plan.leftovers.is_empty() {
        out.push_str(&format!("{:<14} {}\n", "left behind", counted(plan.leftovers.len() as u64, "scratch folder")));
    }
    out
}

fn in_csv(plan: &GcPlan) -> String {
    let mut out = String::from("run,iteration\n");
    for drop in &plan.drops {
        for iteration in &drop.iterations {
            out.push_str(&format!("{},{iteration}\n", field(drop.run.as_str())));
        }
    }
    out
}
