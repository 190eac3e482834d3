//! `afterlog propagate`: log statements of one version of a script written into another.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;

use crate::analysis::propagate::{propagate, propagate_missing, starts_statement};
use crate::base::encoding::{Encoding, decode, encode};
use crate::base::files::{read, write_atomic};
use crate::base::likeness::distance;
use crate::cli::error::{DIVERGED, Error};
use crate::cli::output::Output;
use crate::model::probe::{Placement, PlacementStatus, Propagation};

/// Write log statements of one version of a script into another version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog propagate --source train.py --target old/train.py
  afterlog propagate --source train.py --line 42 --target old/train.py --out probed.py

Exit code 4 if a statement has no place in the target.")]
pub struct PropagateArgs {
    /// The version that has the statements.
    #[arg(long, value_name = "FILE")]
    source: PathBuf,
    /// The line on which a statement starts; without, all log statements that the target lacks.
    #[arg(long = "line", value_name = "N")]
    lines: Vec<u32>,
    /// The version to write them into; it stays as it is.
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Where to write the result; not written if nothing was placed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to tell what was done.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// A line for every statement, for people.
    #[default]
    Text,
    /// One object.
    Json,
}

pub(super) fn run(args: &PropagateArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let ((source, ours), (target, theirs)) = (text_of(&args.source)?, text_of(&args.target)?);
    if let Some(line) = args.lines.iter().find(|line| !starts_statement(&source, **line)) {
        return Err(Error::NoStatement { path: args.source.clone(), line: *line });
    }
    let started = Instant::now();
    let mut found = if args.lines.is_empty() {
        propagate_missing(&source, &target)
    } else {
        let lines: Vec<(u32, u32)> = args.lines.iter().map(|line| (*line, *line)).collect();
        propagate(&source, &lines, &target)
    };
    let timing_ms = started.elapsed().as_secs_f64() * 1000.0;
    found.placements.iter_mut().for_each(|placement| placement.edits.clear());
    let placed = found.placements.iter().any(|placement| placement.status.is_placed());
    // Beyond ASCII the characters of one encoding are not those of another.
    let beyond = |text: &str| text.chars().filter(|c| !c.is_ascii()).count();
    let bytes = encode(&found.text, &theirs).filter(|_| ours == theirs || beyond(&found.text) == beyond(&target));
    let bytes = bytes.ok_or_else(|| Error::OtherEncoding { path: args.target.clone() })?;
    if let Some(out) = args.out.as_ref().filter(|_| placed) {
        write_atomic(out, &bytes)?;
    }
    match args.format {
        ReportFormat::Json => {
            let mut object = serde_json::json!(found);
            object["timing_ms"] = serde_json::json!(timing_ms);
            output.line(&object.to_string())?;
        }
        ReportFormat::Text => in_words(&found, args, output)?,
    }
    let applies = |placement: &Placement| placement.status != PlacementStatus::NotApplicable;
    Ok(if found.placements.iter().all(applies) { ExitCode::SUCCESS } else { ExitCode::from(DIVERGED) })
}

fn in_words(found: &Propagation, args: &PropagateArgs, output: &mut Output) -> Result<(), Error> {
    for placement in &found.placements {
        let line = placement.line.map(|line| format!(" at line {line}")).unwrap_or_default();
        let (name, word) = (&placement.name, placement.status.word());
        output.line(&format!("{name} (line {}): {word}{line}", placement.source_line))?;
        for (sign, notes) in [("~", &placement.changes), (" ", &placement.reasons)] {
            notes.iter().try_for_each(|note| output.line(&format!("  {sign} {note}")))?;
        }
        for other in placement.alternatives.iter().take(3) {
            output.line(&format!("    or after line {}: {}", other.after_line, other.reason))?;
        }
    }
    if found.placements.is_empty() {
        output.line(&format!("{} logs nothing that {} lacks", args.source.display(), args.target.display()))?;
    }
    for problem in &found.problems {
        output.note(problem);
    }
    let placed = found.placements.iter().any(|placement| placement.status.is_placed());
    if placed && args.out.is_none() {
        output.line("")?;
        output.text(&found.text)?;
    }
    Ok(())
}

/// A file's text and encoding. What could not be written back unchanged is refused.
fn text_of(path: &Path) -> Result<(String, Encoding), Error> {
    if !path.is_file() {
        return Err(Error::NoFile { path: path.to_owned(), near: near(path) });
    }
    decode(read(path)?).ok_or_else(|| Error::NotUtf8 { path: path.to_owned() })
}

/// The file of the same folder whose name is most like that of `path`.
pub(super) fn near(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ranked = names.map(|name| (distance(wanted, &name), name)).min()?;
    (ranked.0 <= wanted.len() / 3).then(|| folder.strip_prefix(".").unwrap_or(folder).join(ranked.1))
}
