//! `afterlog rebuild`: the database anew from the journals.

use std::process::ExitCode;

use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::project;

/// Make the database anew from the journals. Loses nothing: the journals hold everything.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog rebuild")]
pub struct RebuildArgs {}

pub(super) fn run(_: &RebuildArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.rebuild()?;
    output.line(&format!("rebuilt the database: {} runs", project.runs()?.len()))?;
    Ok(ExitCode::SUCCESS)
}
