//! The command line as parsed; each command's own arguments stand in its file.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Hindsight logging for model training: record runs, add a log statement afterwards, get its values for every run.
///
/// Without a command, opens the interface in the terminal.
#[derive(Debug, Parser)]
#[command(name = "afterlog", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// Run as if started in DIR.
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// The interface without lines, dots and signs beyond ASCII.
    #[arg(long)]
    pub plain: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  afterlog run train.py lr=0.01       record a run
  afterlog                            look at runs, add a log statement, replay it
  afterlog replay grad_norm           the same without the interface
  afterlog jobs                       replays that are going on
  afterlog grid loss grad_norm        all values, a row an iteration

Exit codes: 0 done, 1 user error, 2 usage, 3 damaged data, 4 some values diverged or could not be replayed.
`run` gives the script's own.";

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(crate::cli::run::RunArgs),
    Runs(crate::cli::runs::RunsArgs),
    Show(crate::cli::show::ShowArgs),
    Grid(crate::cli::grid::GridArgs),
    Replay(crate::cli::replay::ReplayArgs),
    Jobs(crate::cli::jobs::JobsArgs),
    #[command(name = "__coordinate")]
    Coordinate(crate::cli::helpers::CoordinateArgs),
    #[command(name = "__worker")]
    Worker(crate::cli::helpers::WorkerArgs),
    #[command(name = "__serve")]
    Serve(crate::cli::helpers::ServeArgs),
    #[command(name = "__isolate")]
    Isolate(crate::cli::helpers::IsolateArgs),
    Probe(crate::cli::probe::ProbeArgs),
    Propagate(crate::cli::propagate::PropagateArgs),
    Diff(crate::cli::diff::DiffArgs),
    Explain(crate::cli::explain::ExplainArgs),
    Demo(crate::cli::demo::DemoArgs),
    Checkpoint(crate::cli::checkpoint::CheckpointArgs),
    Du(crate::cli::du::DuArgs),
    Gc(crate::cli::gc::GcArgs),
    Doctor(crate::cli::doctor::DoctorArgs),
    Fsck(crate::cli::fsck::FsckArgs),
    Rebuild(crate::cli::rebuild::RebuildArgs),
    InstallRuntime(crate::cli::install_runtime::InstallArgs),
    Config(crate::cli::config::ConfigArgs),
    Completions(crate::cli::completions::CompletionsArgs),
    Man(crate::cli::man::ManArgs),
}

/// How a listing is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// RFC 4180, with a header.
    Csv,
    /// An array of objects.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_arguments_of_all_commands_are_consistent() {
        Args::command().debug_assert();
    }
}
