//! The hidden commands by which this program starts its own helpers: see `engine::spawn`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::base::ids::JobId;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::project;
use crate::engine::replay::{coordinator, forkserver, isolation, worker};

/// The process that performs a job and outlives its starter.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct CoordinateArgs {
    job: JobId,
}

pub(super) fn coordinate(args: &CoordinateArgs) -> Result<ExitCode, Error> {
    coordinator::run(project()?.layout(), &args.job)?;
    Ok(ExitCode::SUCCESS)
}

/// The process that performs one segment.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct WorkerArgs {
    job: JobId,
    segment: u32,
    /// Executes what comes before the main loop, for this segment and others of its run.
    #[arg(long)]
    prefix: bool,
}

pub(super) fn work(args: &WorkerArgs) -> Result<ExitCode, Error> {
    let project = project()?;
    match worker::run(project.layout(), &args.job, args.segment, args.prefix) {
        Ok(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        Err(error) => {
            // The reason belongs to the segment, where the user looks for it.
            // Once isolated it cannot be written there; the worker's own messages hold it too.
            // Nobody looks for what became of a process that only serves segments.
            if !args.prefix {
                let _ = worker::note_failure(project.layout(), &args.job, args.segment, &error.to_string());
            }
            Err(error.into())
        }
    }
}

/// The process that becomes a fork server for segments.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct ServeArgs {
    what: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    python: Vec<OsString>,
}

pub(super) fn serve(args: &ServeArgs) -> Result<ExitCode, Error> {
    forkserver::serve(&args.what, &args.python)?;
    Ok(ExitCode::SUCCESS)
}

/// The process that tries whether replays can have a file system view of their own here.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct IsolateArgs {
    scratch: PathBuf,
}

pub(super) fn isolate(args: &IsolateArgs, output: &mut Output) -> Result<ExitCode, Error> {
    if let Some(reason) = isolation::attempt(project()?.layout(), &args.scratch) {
        output.line(&reason)?;
    }
    Ok(ExitCode::SUCCESS)
}
