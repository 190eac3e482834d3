//! The command line: arguments, one file per command, output, and how errors are told.
//!
//! Nothing here computes: a command resolves its arguments, calls the engine and writes what it returns.
//!
//! To add a command: its arguments and function in `cli/NAME.rs`, a variant in [`args::Command`], an arm in [`dispatch`].

pub mod args;
mod check;
mod checkpoint;
mod compare;
mod completions;
mod config;
mod demo;
mod diff;
mod doctor;
mod du;
pub mod error;
mod explain;
mod follow;
mod fsck;
mod gc;
mod grid;
mod helpers;
mod install_runtime;
mod interface;
mod jobs;
mod man;
pub mod output;
mod probe;
mod probe_at;
mod propagate;
mod rebuild;
mod replay;
mod run;
mod runs;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::analysis::query::Condition;
use crate::base::files::at;
use crate::cli::args::{Args, Command};
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::engine;
use crate::engine::project::Project;

/// Parses the process's arguments, runs the command, tells an error and returns the exit code.
pub fn main() -> ExitCode {
    if let Some(code) = completions::answer() {
        return code;
    }
    let matches = Args::command().try_get_matches();
    let parsed = matches.and_then(|matches| Ok((Args::from_arg_matches(&matches)?, words(&matches))));
    let (args, command) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return error::usage(&error),
    };
    let mut output = Output::of_process();
    let result = perform(args, &mut output).and_then(|code| {
        output.finish()?;
        Ok(code)
    });
    result.unwrap_or_else(|error| error::tell(&error, &command, &mut output))
}

/// The program's name and those of the commands asked for.
fn words(matches: &ArgMatches) -> String {
    let commands = std::iter::successors(matches.subcommand(), |(_, inner)| inner.subcommand());
    std::iter::once("afterlog").chain(commands.map(|(name, _)| name)).collect::<Vec<_>>().join(" ")
}

fn perform(args: Args, output: &mut Output) -> Result<ExitCode, Error> {
    if let Some(directory) = &args.directory {
        enter(directory)?;
    }
    match args.command {
        Some(command) => dispatch(command, args.plain, output),
        None => interface::run(args.plain, output),
    }
}

/// As if the program had been started there.
fn enter(directory: &Path) -> Result<(), Error> {
    std::env::set_current_dir(directory).map_err(at("enter", directory))?;
    Ok(())
}

fn dispatch(command: Command, plain: bool, output: &mut Output) -> Result<ExitCode, Error> {
    match command {
        Command::Run(args) => run::run(args, output),
        Command::InstallRuntime(args) => install_runtime::run(&args, output),
        Command::Runs(args) => runs::run(&args, output),
        Command::Show(args) => show::run(&args, output),
        Command::Grid(args) => grid::run(args, output),
        Command::Replay(args) => replay::run(&args, output),
        Command::Coordinate(args) => helpers::coordinate(&args),
        Command::Worker(args) => helpers::work(&args),
        Command::Serve(args) => helpers::serve(&args),
        Command::Isolate(args) => helpers::isolate(&args, output),
        Command::Jobs(args) => jobs::run(&args, output),
        Command::Doctor(args) => doctor::run(&args, output),
        Command::Propagate(args) => propagate::run(&args, output),
        Command::Probe(args) => probe::run(&args, output),
        Command::Diff(args) => diff::run(&args, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Demo(args) => demo::run(&args, plain, output),
        Command::Checkpoint(args) => checkpoint::run(&args, output),
        Command::Du(args) => du::run(&args, output),
        Command::Gc(args) => gc::run(&args, output),
        Command::Fsck(args) => fsck::run(&args, output),
        Command::Rebuild(args) => rebuild::run(&args, output),
        Command::Config(args) => config::run(&args, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Man(args) => man::run(&args, output),
    }
}

/// The current folder.
fn here() -> Result<PathBuf, Error> {
    Ok(std::env::current_dir().map_err(at("find", Path::new(".")))?)
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Reads what `--where` was given.
fn condition(text: &str) -> Result<Condition, Error> {
    Ok(Condition::parse(text).map_err(engine::Error::from)?)
}

/// The project of the current folder; an error if nothing was recorded in it.
fn project() -> Result<Project, Error> {
    Ok(Project::require(&here()?)?)
}
