//! `afterlog explain`: what recording a script would do with its loops.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::error::Error;
use crate::cli::here;
use crate::cli::output::Output;
use crate::cli::propagate::near;
use crate::engine::sources;
use crate::model::instrument::{InstrumentationPlan, LoopPlan};

/// Show the loops that recording a script would know: the main loop, the blocks in it, and what each may change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog explain train.py
  afterlog explain train.py --format json

In the script, on a loop's line or the one above:
  # afterlog: main-loop    this is the main loop
  # afterlog: no-skip      always execute this block")]
pub struct ExplainArgs {
    script: PathBuf,
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: ExplainFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum ExplainFormat {
    /// The loops in their source, for people.
    #[default]
    Text,
    /// The plan as one object.
    Json,
}

pub(super) fn run(args: &ExplainArgs, output: &mut Output) -> Result<ExitCode, Error> {
    if !args.script.is_file() {
        return Err(Error::NoFile { path: args.script.clone(), near: near(&args.script) });
    }
    let (files, plan) = sources::explain(&here()?, &args.script)?;
    if args.format == ExplainFormat::Json {
        output.line(&serde_json::to_string_pretty(&plan).unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    for file in &files {
        let mut loops: Vec<&LoopPlan> = plan.loops.iter().filter(|found| found.file == file.path).collect();
        loops.sort_by_key(|found| found.first_line);
        if !loops.is_empty() {
            output.styled("1", &format!("{}\n", file.path))?;
        }
        let lines: Vec<&str> = file.text.lines().collect();
        for found in loops {
            let line = found.first_line as usize;
            output.line(&format!("{line:>5} | {}", lines.get(line - 1).copied().unwrap_or_default()))?;
            told(found, &plan.problems).iter().try_for_each(|said| output.line(&format!("      |   {said}")))?;
        }
    }
    if plan.main.is_none() {
        output.line(
            "No main loop: the script is recorded as version, output and exit code, and replayed from its beginning.",
        )?;
    }
    problems(&plan, output)
}

fn told(found: &LoopPlan, problems: &[String]) -> Vec<String> {
    let names = |keys: &[String]| {
        let name = |key: &String| key.split_once(':').map_or(key.as_str(), |(_, name)| name).to_owned();
        keys.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let kept = if found.live.is_empty() { "nothing".to_owned() } else { names(&found.live) };
    let mut said = if found.is_main {
        let entered = match (found.jumpable, &found.never_skip) {
            (true, _) => "can be entered at any iteration",
            (false, None) if problems.is_empty() => {
                "is entered at its beginning only: what it goes over is no range, list or tuple for all that its code shows"
            }
            _ => "is entered at its beginning only",
        };
        vec![format!("main loop {}: {entered}", found.name), format!("an iteration starts with: {kept}")]
    } else if found.is_block {
        vec![format!("block {}: after it, what matters of its changes: {kept}", found.name)]
    } else {
        vec![format!("loop {}: only its position is kept", found.name)]
    };
    said.extend(found.never_skip.as_ref().map(|reason| format!("always executed: {reason}")));
    said
}

fn problems(plan: &InstrumentationPlan, output: &mut Output) -> Result<ExitCode, Error> {
    plan.problems.iter().try_for_each(|problem| output.line(&format!("note: {problem}")))?;
    Ok(ExitCode::SUCCESS)
}
