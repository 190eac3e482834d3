//! `afterlog install-runtime`: lets plain python import `afterlog`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::engine::install;

/// Install the Python package into an interpreter's site-packages, so that scripts also run under plain python.
///
/// There the calls work and record nothing. Not needed for `afterlog run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog install-runtime
  afterlog install-runtime --python .venv/bin/python")]
pub struct InstallArgs {
    /// The interpreter; else the active virtual environment's, else python3 on PATH.
    #[arg(long, value_name = "P")]
    python: Option<PathBuf>,
}

pub(super) fn run(args: &InstallArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let folder = install::install(args.python.as_deref())?;
    output.line(&format!("Installed afterlog, flor and flordb into {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
