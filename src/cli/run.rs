//! `afterlog run`: a script under the recorder.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::error::Error;
use crate::cli::here;
use crate::cli::output::Output;
use crate::engine::record::{self, Request};
use crate::engine::spawn::Checkpoints;

/// Run a script and record it: code version, arguments, logs, output, checkpoints.
///
/// The script behaves as under plain python and gives its own exit code. Nothing needs to be committed; your working
/// tree, index and branches are left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog run train.py lr=0.01
  afterlog run --name baseline -- train.py --epochs 10
  afterlog run python -u train.py            with this interpreter and its flags
  afterlog run python -m project.train       a module, from the folder that holds its package
  afterlog run -- torchrun --nproc_per_node 2 train.py

The interpreter is the one named, else the active virtual environment's, else python3 on PATH.")]
pub struct RunArgs {
    /// A name for the run.
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// When checkpoints are taken.
    #[arg(long, value_enum, default_value_t)]
    checkpoints: Checkpoints,
    /// Say nothing but what was lost.
    #[arg(long, short)]
    quiet: bool,
    /// The script and its arguments; an interpreter and its flags may stand before it.
    #[arg(
        value_name = "[python FLAGS…] SCRIPT ARGS…",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

pub(super) fn run(args: RunArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let cwd = here()?;
    let command = record::parse(&args.command, &cwd)?;
    let request = Request { name: args.name, checkpoints: args.checkpoints, command, cwd };
    let recorded = record::record(&request, &mut |why| output.note(why))?;
    for problem in &recorded.problems {
        output.note(problem);
    }
    if let (Some(run), false) = (&recorded.run, args.quiet) {
        output.note(&format!("recorded run {run}"));
    }
    Ok(ExitCode::from(u8::try_from(recorded.exit_code).unwrap_or(1)))
}
