//! `afterlog config`: the settings, checked or as a file to start from.

use std::process::ExitCode;

use crate::cli::error::{Error, USER};
use crate::cli::here;
use crate::cli::output::Output;
use crate::engine::project::Project;
use crate::tui::settings::{self, Settings};

/// Check the settings files, or print one with all defaults.
///
/// There is one for all projects, ~/.config/afterlog/config.toml, and one for each, .afterlog/config.toml, which counts
/// more. They set keys, colours, signs and how much room checkpoints may take.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog config                                    which files there are, and what is wrong in them
  afterlog config --default > ~/.config/afterlog/config.toml")]
pub struct ConfigArgs {
    /// Print every setting with its default and what it means.
    #[arg(long, conflicts_with = "check")]
    default: bool,
    /// Check the files; exits with 1 if something is wrong. So it is without options, too.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &ConfigArgs, output: &mut Output) -> Result<ExitCode, Error> {
    if args.default {
        output.text(&settings::defaults())?;
        return Ok(ExitCode::SUCCESS);
    }
    let project = Project::find(&here()?)?.map(|project| project.layout().config());
    let (_, problems) = Settings::load(project.as_deref());
    for path in settings::files(project.as_deref()) {
        let state = if path.exists() { "read" } else { "not there" };
        output.line(&format!("{}  {state}", path.display()))?;
    }
    output.finish()?;
    for problem in &problems {
        output.error("error", &problem.to_string());
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(USER) })
}
