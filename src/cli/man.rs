//! `afterlog man`: the manual page, from the same arguments as `--help`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::args::Args;
use crate::cli::error::Error;
use crate::cli::output::Output;

/// Print the manual page of afterlog, or of one of its commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog man | man -l -
  afterlog man replay | man -l -
  afterlog man > ~/.local/share/man/man1/afterlog.1")]
pub struct ManArgs {
    /// The command, such as `replay` or `probe add`.
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(args: &ManArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let mut command = Args::command();
    command.build();
    let mut found = &command;
    for name in &args.command {
        let inner = found.find_subcommand(name).filter(|command| !command.is_hide_set());
        found = inner.ok_or_else(|| Error::Usage(format!("there is no command '{}'", args.command.join(" "))))?;
    }
    let mut page = Vec::new();
    let title = found.get_bin_name().unwrap_or("afterlog").replace(' ', "-");
    let written = Man::new(found.clone().display_name(title)).render(&mut page);
    written.map_err(Error::Output)?;
    output.text(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::SUCCESS)
}
