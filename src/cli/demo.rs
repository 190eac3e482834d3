//! `afterlog demo`: a project with a history to try everything on.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::{enter, grid, interface, replay};
use crate::engine::demo::{Demo, HINDSIGHT_NAME, VERSIONS};

/// Make a small project, record four versions of its script, add a log statement, and open the interface on it.
///
/// Needs nothing but Python's standard library. Takes a few seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog demo                      in a temporary folder
  afterlog demo --dir spirals        in this folder
  afterlog demo --no-tui             replays without the interface and prints plan and grid")]
pub struct DemoArgs {
    /// The folder to make; a temporary one by default.
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Do it all without the interface: replay, print plan and grid.
    #[arg(long)]
    no_tui: bool,
}

pub(super) fn run(args: &DemoArgs, plain: bool, output: &mut Output) -> Result<ExitCode, Error> {
    let demo = Demo::create(args.dir.as_deref())?;
    enter(demo.folder())?;
    output.line(&format!("A project in {}", demo.folder().display()))?;
    for (number, version) in (1..).zip(&VERSIONS) {
        output.text(&format!("  version {number}: {} … ", version.message))?;
        output.finish()?;
        let run = demo.record(version)?;
        output.line(&format!("recorded {run}"))?;
    }
    demo.add_statement()?;
    output.line(&format!("  and now a log statement that none of them had: {HINDSIGHT_NAME}\n"))?;
    output.finish()?;
    let look_around = format!("\nLook around: cd {} && afterlog", demo.folder().display());
    if !args.no_tui {
        let code = interface::run(plain, output)?;
        output.line(&look_around)?;
        return Ok(code);
    }
    output.line(&format!("$ afterlog replay {HINDSIGHT_NAME} --yes"))?;
    let code = replay::replay_all(HINDSIGHT_NAME, output)?;
    output.line(&format!("\n$ afterlog grid val_acc {HINDSIGHT_NAME}"))?;
    grid::show_all(&["val_acc", HINDSIGHT_NAME], output)?;
    output.line(&look_around)?;
    Ok(code)
}
