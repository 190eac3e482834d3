//! `afterlog fsck`: is everything in the store sound?

use std::process::ExitCode;

use crate::base::units::counted;
use crate::cli::error::{CORRUPT, Error};
use crate::cli::output::Output;
use crate::cli::project;

/// Check everything in the store: database, journals, checkpoints, versions, probes. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog fsck && echo sound

Exit code 3 if anything is damaged.")]
pub struct FsckArgs {}

pub(super) fn run(_: &FsckArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let report = project()?.fsck()?;
    for problem in &report.problems {
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        output.line(&format!("damaged: {}{hint}", problem.what))?;
    }
    report.remarks.iter().try_for_each(|remark| output.line(&format!("note: {remark}")))?;
    let (runs, journals, chunks) = (report.runs, report.journals, report.chunks);
    let probes = match report.probes {
        0 => String::new(),
        n => format!(", {}", counted(n as u64, "probe")),
    };
    let result = match report.problems.len() {
        0 => "sound".to_owned(),
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    output.line(&format!("checked {runs} runs, {journals} journals, {chunks} chunks{probes}: {result}"))?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CORRUPT) })
}
