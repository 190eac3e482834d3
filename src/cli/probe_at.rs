//! `afterlog probe add NAME --at FILE:LINE --expr EXPR`: a log statement that no file gets.

use std::path::Path;

use crate::analysis::propagate::Wish;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::engine::project::Project;
use crate::engine::propagate::Written;
use crate::engine::sources;

/// Where a statement is written, and what it logs.
#[derive(Debug, clap::Args)]
#[group(multiple = true)]
pub(super) struct AtArgs {
    /// Write a statement for this line, after it, instead of taking one that the script has; no file changes.
    #[arg(long, value_name = "FILE:LINE", requires = "expr")]
    at: Option<String>,
    /// What it logs: a Python expression.
    #[arg(long, value_name = "EXPR", requires = "at")]
    expr: Option<String>,
    /// Before the statement that begins on the line.
    #[arg(long, requires = "at")]
    before: bool,
    /// The line is one of the version that this run executed, not of the script as it is today.
    #[arg(long, value_name = "RUN", requires = "at")]
    run: Option<String>,
    /// Replace the probe of that name, and forget what was decided about it.
    #[arg(long, requires = "at")]
    replace: bool,
}

/// Keeps the statement, if one is to be written. Whether it was.
pub(super) fn add(project: &Project, names: &[String], args: &AtArgs, output: &mut Output) -> Result<bool, Error> {
    let (Some(at), Some(expression)) = (&args.at, &args.expr) else { return Ok(false) };
    let [name] = names else {
        return Err(Error::Usage("one statement logs one name: give one with --at".into()));
    };
    let place = at.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse::<u32>().ok()?)));
    let (file, line) = place.ok_or_else(|| Error::Usage(format!("'{at}' is no place: write FILE:LINE")))?;
    let version = args.run.as_deref().map(|run| project.select_one(run)).transpose()?;
    let script = match &version {
        // It may be gone by now.
        Some(_) => file.to_owned(),
        None => {
            let path = std::path::absolute(file).unwrap_or_else(|_| Path::new(file).to_owned());
            sources::relative_to(project.root(), &path)?
        }
    };
    let place = if args.before { Wish::Before(line) } else { Wish::After(line, None) };
    let written = Written { name: name.clone(), expression: expression.clone(), script, version, place };
    let tried = project.try_written(&written)?;
    project.add_written(&written, args.replace)?;
    if let Ok(drafted) = tried.result {
        output.line(&format!("{name}  {}:{}  {}", written.script, drafted.line, drafted.statement))?;
        drafted.doubts.iter().for_each(|doubt| output.note(doubt));
    }
    Ok(true)
}
