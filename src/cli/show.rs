//! `afterlog show`: all that is known of one run.

use std::process::ExitCode;

use crate::base::units::{bytes, counted, duration_ns};
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::project;
use crate::cli::runs::{arguments, summary_json};
use crate::model::instrument::InstrumentationPlan;
use crate::model::run::{CheckpointKind, RunDetail};

/// So many names are listed in words.
const MOST_NAMES: usize = 100;

/// Show all that is known of one run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog show last
  afterlog show 6xk2 --json")]
pub struct ShowArgs {
    /// The run: its id, a unique beginning of it, its name, or `last`.
    #[arg(value_name = "RUN")]
    run: String,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    let detail = project.run_detail(&project.select_one(&args.run)?)?;
    if args.json {
        output.line(&in_json(&detail, &project.checkpoints_unreadable(&detail.summary.id)))?;
    } else {
        in_words(&detail, &project.instrumentation(&detail.summary.id), output)?;
        let gone = project.checkpoints_unreadable(&detail.summary.id);
        if !gone.is_empty() {
            let which: Vec<String> = gone.iter().map(|seq| format!("#{seq}")).collect();
            output.line(&format!(
                "{} of these cannot be read, a pack is damaged or gone: {}",
                counted(gone.len() as u64, "checkpoint"),
                which.join(", ")
            ))?;
        }
        for (rank, checkpoints) in project.checkpoints_of_others(&detail.summary.id) {
            let stored: u64 = checkpoints.iter().map(|checkpoint| checkpoint.stored_bytes).sum();
            let count = counted(checkpoints.len() as u64, "checkpoint");
            output.line(&format!("rank {rank}: {count} ({})", bytes(stored)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn in_json(detail: &RunDetail, unreadable: &[u64]) -> String {
    let mut object = summary_json(&detail.summary);
    object["meta"] = serde_json::json!(detail.meta);
    object["timings"] = serde_json::json!(detail.timings);
    object["checkpoints_unreadable"] = serde_json::json!(unreadable);
    object["checkpoint_list"] = serde_json::json!(detail.checkpoints);
    object.to_string()
}

/// A line end in a name or a path would begin a line that says something else; other controls would be performed.
fn in_one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn main_loop(plan: &InstrumentationPlan) -> String {
    let Some(main) = plan.loops.iter().find(|found| found.is_main) else {
        return "none found: name it with afterlog.loop to have checkpoints".into();
    };
    let how = if main.wrap.is_some() { "found" } else { "named" };
    format!("{} ({how}, {} line {})", main.name, main.file, main.first_line)
}

fn names(all: &[String]) -> String {
    let listed = all[..all.len().min(MOST_NAMES)].join(" ");
    let left = all.len().saturating_sub(MOST_NAMES) as u64;
    if left == 0 { listed } else { format!("{listed} … and {}", counted(left, "more name")) }
}

fn in_words(detail: &RunDetail, plan: &InstrumentationPlan, output: &mut Output) -> Result<(), Error> {
    let RunDetail { summary, meta, timings, checkpoints } = detail;
    let nanoseconds = u64::try_from(summary.duration_ms).unwrap_or(0).saturating_mul(1_000_000);
    let exit = summary.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let what = match &meta.module {
        Some(module) => vec!["-m".to_owned(), module.clone()],
        None => vec![meta.script.clone()],
    };
    let mut facts = vec![
        ("run", summary.id.to_string()),
        ("name", summary.name.clone().unwrap_or_default()),
        ("status", format!("{}{exit}, took {}", summary.status.word(), duration_ns(nanoseconds))),
        ("command", [&meta.launcher, &what, meta.args.as_slice()].concat().join(" ")),
        ("python", meta.python.display().to_string()),
        ("arguments", arguments(summary)),
        ("version", summary.version.short().to_owned()),
        ("host", meta.hostname.clone()),
        ("main loop", main_loop(plan)),
        ("iterations", summary.iterations.to_string()),
        ("names", names(&summary.names)),
        ("checkpoints", format!("{} ({})", summary.checkpoints, bytes(summary.checkpoint_bytes))),
    ];
    if !timings.iterations.is_empty() {
        let total: u64 = timings.iterations.iter().map(|iteration| iteration.total_ns).sum();
        let mean = total / timings.iterations.len() as u64;
        let (prefix, suffix) = (duration_ns(timings.prefix_ns), duration_ns(timings.suffix_ns));
        facts.push(("timing", format!("{prefix} before, {} an iteration, {suffix} after", duration_ns(mean))));
    }
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("{name:<12} {}", in_one_line(value)))?;
    }
    for checkpoint in checkpoints {
        let at = match &checkpoint.kind {
            CheckpointKind::IterationStart if checkpoint.iteration >= summary.iterations => {
                "after the main loop".into()
            }
            CheckpointKind::IterationStart => format!("before {}", checkpoint.position),
            CheckpointKind::BlockEnd { block, .. } => format!("{} after {block}", checkpoint.position),
        };
        let missing: Vec<&str> = checkpoint.missing.iter().map(|(name, _)| name.as_str()).collect();
        let missing = if missing.is_empty() { String::new() } else { format!(", without {}", missing.join(", ")) };
        let at = in_one_line(&at);
        output.line(&format!("  #{} {at}: {}{}", checkpoint.seq, bytes(checkpoint.bytes), in_one_line(&missing)))?;
    }
    let mut reasons: Vec<(&str, &str)> = Vec::new();
    for (variable, reason) in checkpoints.iter().flat_map(|checkpoint| &checkpoint.missing) {
        if !reasons.iter().any(|(known, _)| *known == variable.as_str()) {
            reasons.push((variable, reason));
        }
    }
    for (variable, reason) in reasons {
        output.line(&in_one_line(&format!("not captured: {variable}: {reason}")))?;
    }
    for left_out in &meta.left_out {
        let left_out = format!("left out of the version: {} ({})", left_out.path, left_out.reason);
        output.line(&in_one_line(&left_out))?;
    }
    summary.notes.iter().try_for_each(|note| output.line(&in_one_line(&format!("note: {note}"))))
}
