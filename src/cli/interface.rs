//! No command: the interface in the terminal.

use std::process::ExitCode;

use crate::cli::error::Error;
use crate::cli::here;
use crate::cli::output::Output;
use crate::engine::project::Project;
use crate::tui::{self, Ending, Options};

/// Opens the interface on the project around the working directory.
///
/// # Errors
/// If the store cannot be opened, or there is no terminal.
pub(super) fn run(plain: bool, output: &mut Output) -> Result<ExitCode, Error> {
    if !tui::terminal::is_interactive() {
        return Err(tui::TuiError::NotATerminal.into());
    }
    let start = here()?;
    let project = Project::find(&start)?;
    let ending = tui::run(project.clone(), &Options { start, plain })?;
    let jobs = project.map(|project| project.jobs()).transpose()?.unwrap_or_default();
    if jobs.iter().any(|job| job.active) {
        output.note("a replay goes on in the background: afterlog shows it again");
    }
    Ok(match ending {
        Ending::Quit => ExitCode::SUCCESS,
        // As a shell tells of a process that a signal ended.
        Ending::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
    })
}
