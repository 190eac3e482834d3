//! `afterlog completions`: what a shell asks to complete a command line. The shell's script calls the program back, so
//! that runs and names are those of the project it stands in.

use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum, ValueHint};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use crate::cli::args::Args;
use crate::cli::error::{self, Error};
use crate::cli::output::Output;
use crate::cli::project;

/// Set by the scripts when they ask; names the shell.
const ASKED: &str = "AFTERLOG_COMPLETE";
/// More runs than this are no help on one screen; the newest count.
const MOST_RUNS: usize = 50;

/// Print a script that completes afterlog's commands, options, runs and names in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(afterlog completions bash)                                     in ~/.bashrc
  source <(afterlog completions zsh)                                      in ~/.zshrc, after compinit
  afterlog completions fish > ~/.config/fish/completions/afterlog.fish")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(args: &CompletionsArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(name) {
        shell.write_registration(ASKED, "afterlog", "afterlog", "afterlog", &mut script).map_err(Error::Output)?;
    }
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Answers if a shell has asked.
pub(super) fn answer() -> Option<ExitCode> {
    std::env::var_os(ASKED)?;
    let answered = CompleteEnv::with_factory(command).var(ASKED).try_complete(std::env::args_os(), None);
    match answered {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => Some(error::usage(&error)),
    }
}

/// The commands, with what their arguments may be. Goes by the names under which help shows values.
fn command() -> clap::Command {
    with_candidates(Args::command())
}

fn with_candidates(command: clap::Command) -> clap::Command {
    command.mut_subcommands(with_candidates).mut_args(|arg| {
        let value = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        match value {
            "RUN" | "RUNS" | "SEL" => arg.add(ArgValueCandidates::new(runs)),
            "JOB" => arg.add(ArgValueCandidates::new(jobs)),
            "NAME" => arg.add(ArgValueCandidates::new(names)),
            _ if value.contains("SCRIPT") => arg.value_hint(ValueHint::AnyPath),
            _ => arg,
        }
    })
}

/// The newest runs first. As they were when last looked at: a shell does not wait.
fn runs() -> Vec<CompletionCandidate> {
    let runs = project().and_then(|project| Ok(project.runs()?)).unwrap_or_default();
    let newest = runs.iter().rev().take(MOST_RUNS).map(|run| {
        let said = run.name.as_deref().unwrap_or(&run.script);
        CompletionCandidate::new(run.id.as_str()).help(Some(format!("{}, {said}", run.status.word()).into()))
    });
    newest.chain(["last"].map(CompletionCandidate::new)).collect()
}

fn jobs() -> Vec<CompletionCandidate> {
    let jobs = project().and_then(|project| Ok(project.jobs()?)).unwrap_or_default();
    let newest = jobs.iter().rev().take(MOST_RUNS).map(|job| {
        let said = format!("{}, {}", job.state().word(), job.names.join(" "));
        CompletionCandidate::new(job.id.as_str()).help(Some(said.into()))
    });
    newest.chain(["last"].map(CompletionCandidate::new)).collect()
}

fn names() -> Vec<CompletionCandidate> {
    let names = project().and_then(|project| {
        let mut names = project.all_names()?;
        names.extend(project.hindsight_names()?.into_iter().map(|hindsight| hindsight.statement.name));
        names.sort();
        names.dedup();
        Ok(names)
    });
    names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}
