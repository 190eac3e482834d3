//! `afterlog doctor`: what this machine allows, and what follows.

use std::process::ExitCode;

use crate::cli::error::{Error, USER};
use crate::cli::here;
use crate::cli::output::Output;
use crate::engine::doctor::{self, Finding, Level};

/// Say what this machine allows and what follows: isolation of replays, Python, git, disk, memory, GPUs, terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog doctor
  afterlog doctor --format json | jq '.[] | select(.level != \"ok\")'

Exit code 0 unless something is missing that afterlog cannot do without.")]
pub struct DoctorArgs {
    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    format: DoctorFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum DoctorFormat {
    #[default]
    Text,
    Json,
}

pub(super) fn run(args: &DoctorArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let mut findings = doctor::examine(&here()?);
    findings.push(terminal(output));
    let fails = findings.iter().any(|finding| finding.level == Level::Fail);
    match args.format {
        DoctorFormat::Json => output.line(&serde_json::to_string_pretty(&findings).unwrap_or_default())?,
        DoctorFormat::Text => findings.iter().try_for_each(|finding| in_words(finding, output))?,
    }
    Ok(if fails { ExitCode::from(USER) } else { ExitCode::SUCCESS })
}

fn in_words(finding: &Finding, output: &mut Output) -> Result<(), Error> {
    let (sign, word, sgr) = match finding.level {
        Level::Ok => ("✓", "ok", "32"),
        Level::Warn => ("!", "warn", "33"),
        Level::Fail => ("✗", "fail", "1;31"),
    };
    output.styled(sgr, &format!("{sign} {word:<4}"))?;
    let follows = if finding.follows.is_empty() { String::new() } else { format!(": {}", finding.follows) };
    output.line(&format!("  {:<13} {}{follows}", finding.what, finding.found))
}

fn terminal(output: &Output) -> Finding {
    let (found, follows) = match (output.is_terminal(), std::env::var("COLORTERM").as_deref()) {
        (false, _) => ("standard output is no terminal", "the interface needs one; all other commands do not"),
        (true, _) if !output.colour() => ("without colours (NO_COLOR, or TERM=dumb)", "signs and words say the same"),
        (true, Ok("truecolor" | "24bit")) => ("16 million colours", ""),
        (true, _) => {
            ("no word of 16 million colours (COLORTERM)", "themes are shown in the terminal's nearest colours")
        }
    };
    Finding { what: "terminal", level: Level::Ok, found: found.into(), follows: follows.into() }
}
