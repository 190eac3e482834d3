//! No command: the interface in the terminal.

use std::process::ExitCode;

use crate::cli::error::Error;
use crate::cli::here;
use crate::engine::project::Project;
use crate::tui::{self, Ending, Options};

/// Opens the interface on the project around the working directory.
///
/// # Errors
/// If the store cannot be opened, or there is no terminal.
pub(super) fn run(plain: bool) -> Result<ExitCode, Error> {
    if !tui::terminal::is_interactive() {
        return Err(tui::TuiError::NotATerminal.into());
    }
    let project = Project::find(&here()?)?;
    Ok(match tui::run(project, &Options { plain })? {
        Ending::Quit => ExitCode::SUCCESS,
        // As a shell tells of a process that a signal ended.
        Ending::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
    })
}
