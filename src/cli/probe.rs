//! `afterlog probe`: log statements that past versions are asked for, kept with what was corrected by hand.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use crate::analysis::propagate::Wish;
use crate::analysis::python;
use crate::base::ids::RunId;
use crate::base::units::counted;
use crate::cli::args::Format;
use crate::cli::diff;
use crate::cli::error::{DIVERGED, Error};
use crate::cli::output::Output;
use crate::cli::probe_at;
use crate::cli::project;
use crate::engine::export::{field, table};
use crate::engine::project::Project;
use crate::engine::propagate::{Move, Preview};
use crate::model::probe::{Choice, Placement, PlacementStatus, Probe};

/// Digits of a version's name that people need.
const SHORT: usize = 8;

/// Keep log statements that past versions are asked for, see where they land, and correct it by hand.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Add(AddArgs),
    List(ListArgs),
    /// Show a probe: its statement, and what was moved or excluded by hand.
    Show(NameArgs),
    Preview(PreviewArgs),
    Move(MoveArgs),
    Exclude(ExcludeArgs),
    Reset(ResetArgs),
    /// Forget a probe and what was decided about it; values that it brought stay.
    Remove(NameArgs),
}

/// Keep log statements of today's scripts as probes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog probe add grad_norm
  afterlog probe add train.py:42
  afterlog probe add train.py:40-48      every log statement on these lines
  afterlog probe add norm --at train.py:40 --expr 'weights.norm()'
                                         a new statement after line 40, which no file gets

A probe has the name that it logs. It keeps the statement, should the script lose it.")]
struct AddArgs {
    /// Names that today's scripts log, or the lines on which they do.
    #[arg(value_name = "NAME|FILE:LINE[-LINE]", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    at: probe_at::AtArgs,
}

/// List the probes.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct NameArgs {
    /// The probe.
    #[arg(value_name = "NAME")]
    name: String,
}

/// Show where the statements land in every version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog probe preview
  afterlog probe preview grad_norm --diff
  afterlog probe preview grad_norm --runs last:5 --format json

Exit code 4 if a statement has no place in a version; one that was excluded needs none.")]
struct PreviewArgs {
    /// Names of probes, or of log statements of today's scripts; all probes by default.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only these runs: ids, unique prefixes, names, last, last:5, FIRST..LAST, or a comma list.
    #[arg(long, value_name = "SEL")]
    runs: Option<String>,
    /// Show the lines around each place, all reasons and the other places.
    #[arg(long, conflicts_with = "format")]
    diff: bool,
    /// How to write what was found.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Move a statement to another place in one version, or have it log something else there.
///
/// Versions with the same script, or with the same code around the place, take it over. What the statement reads must
/// have a value there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog probe move grad_norm 6xk2 --after 40        after line 40 of that version, as far in as it is
  afterlog probe move grad_norm 6xk2 --after 40:9      the same, beginning at column 9
  afterlog probe move grad_norm 6xk2 --to 1            to the first other place of the preview
  afterlog probe move grad_norm 6xk2 --expr 'total_norm(net)'
                                                       where it stands, with what that version calls it")]
struct MoveArgs {
    /// The probe.
    #[arg(value_name = "NAME")]
    name: String,
    /// The run whose version is meant.
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// What it is to log there instead, as a Python expression; without another place, where it stands.
    #[arg(long, value_name = "EXPR")]
    expr: Option<String>,
    /// Which statement, where several log the name, from 1.
    #[arg(long, value_name = "N")]
    statement: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct PlaceArgs {
    /// After a line of the version; with the column at which it is to begin, where several blocks end there.
    #[arg(long, value_name = "LINE[:COLUMN]", value_parser = line_and_column)]
    after: Option<(u32, Option<u32>)>,
    /// Before the statement that begins on a line of the version.
    #[arg(long, value_name = "LINE")]
    before: Option<u32>,
    /// To one of the other places that the preview tells, from 1.
    #[arg(long, value_name = "N")]
    to: Option<usize>,
}

/// Leave a statement out of some runs' versions.
///
/// It is left out, too, of versions where it would stand in the same code.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog probe exclude grad_norm 6xk2
  afterlog probe reset grad_norm 6xk2        takes that back")]
struct ExcludeArgs {
    /// The probe.
    #[arg(value_name = "NAME")]
    name: String,
    /// Runs: ids, unique prefixes, names, last, last:5, FIRST..LAST, or a comma list.
    #[arg(value_name = "RUNS")]
    runs: String,
    /// Which statement, where several log the name, from 1.
    #[arg(long, value_name = "N")]
    statement: Option<usize>,
}

/// Take back what was moved or excluded.
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "include",
    after_help = "Examples:
  afterlog probe reset grad_norm 6xk2
  afterlog probe reset grad_norm             everything that was decided about it"
)]
struct ResetArgs {
    /// The probe.
    #[arg(value_name = "NAME")]
    name: String,
    /// Runs: ids, unique prefixes, names, last, last:5, FIRST..LAST, or a comma list; all by default.
    #[arg(value_name = "RUNS")]
    runs: Option<String>,
}

/// `40` or `40:9`.
fn line_and_column(text: &str) -> Result<(u32, Option<u32>), String> {
    let number =
        |text: &str| text.parse::<u32>().map_err(|_| format!("'{text}' is no number: write LINE or LINE:COLUMN"));
    match text.split_once(':') {
        Some((line, column)) => Ok((number(line)?, Some(number(column)?))),
        None => Ok((number(text)?, None)),
    }
}

pub(super) fn run(args: &ProbeArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    match &args.command {
        Command::Add(args) => add(&project, args, output),
        Command::List(args) => list(&project, args, output),
        Command::Show(args) => show(&project, &args.name, output),
        Command::Preview(args) => preview(&project, args, output),
        Command::Move(args) => move_one(&project, args, output),
        Command::Exclude(args) => {
            project.exclude_probe(&args.name, &project.select(&args.runs)?, args.statement)?;
            told(&project, &args.name, &project.select(&args.runs)?, output)
        }
        Command::Reset(args) => reset(&project, args, output),
        Command::Remove(args) => {
            project.remove_probe(&args.name)?;
            output.line(&format!("removed {}", args.name))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn add(project: &Project, args: &AddArgs, output: &mut Output) -> Result<ExitCode, Error> {
    if probe_at::add(project, &args.what, &args.at, output)? {
        output.note(&format!("`afterlog probe preview {}` shows where it lands", args.what.join(" ")));
        return Ok(ExitCode::SUCCESS);
    }
    let mut names: Vec<String> = Vec::new();
    for what in &args.what {
        for name in names_of(project, what)? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    for name in &names {
        let probe = project.add_probe(name)?;
        for (place, text) in statements(&probe) {
            output.line(&format!("{name}  {place}  {text}"))?;
        }
    }
    output.note(&format!("`afterlog probe preview {}` shows where it lands", names.join(" ")));
    Ok(ExitCode::SUCCESS)
}

/// The names that an argument means: itself, or what the lines of a file log.
fn names_of(project: &Project, what: &str) -> Result<Vec<String>, Error> {
    let Some((file, lines)) = what.rsplit_once(':') else { return Ok(vec![what.to_owned()]) };
    let (first, last) = lines.split_once('-').unwrap_or((lines, lines));
    let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { return Ok(vec![what.to_owned()]) };
    let path = Path::new(file);
    // A name may look like this, too.
    if !path.is_file() && path.extension().is_none_or(|extension| extension != "py") {
        return Ok(vec![what.to_owned()]);
    }
    let statements = project.statements_of(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))?;
    let named: Vec<String> = statements
        .iter()
        .filter(|statement| statement.first_line <= last && first <= statement.last_line)
        .map(|statement| statement.name.clone())
        .collect();
    if named.is_empty() {
        let lines = statements.iter().map(|statement| statement.first_line).collect();
        return Err(Error::NothingLogged { place: what.to_owned(), lines });
    }
    Ok(named)
}

/// Place and text of a probe's statements as they were when it was added.
fn statements(probe: &Probe) -> Vec<(String, String)> {
    let of_script = |(script, text): (&String, &String)| -> Vec<(String, String)> {
        let logs = python::log_statements(text).into_iter().filter(|statement| statement.name == probe.name);
        logs.map(|statement| (format!("{script}:{}", statement.first_line), statement.text)).collect()
    };
    probe.sources.iter().flat_map(of_script).collect()
}

fn list(project: &Project, args: &ListArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let probes = project.probes()?;
    let count = |probe: &Probe, test: fn(&Choice) -> bool| {
        probe.corrections.iter().filter(|one| test(&one.choice)).count().to_string()
    };
    let moved = |probe: &Probe| count(probe, |choice| matches!(choice, Choice::Moved(_)));
    let excluded = |probe: &Probe| count(probe, |choice| *choice == Choice::Excluded);
    let row = |probe: &Probe| {
        let (places, texts): (Vec<_>, Vec<_>) = statements(probe).into_iter().unzip();
        vec![probe.name.clone(), places.join(" "), moved(probe), excluded(probe), texts.join("; ")]
    };
    let header = ["probe", "from", "moved", "excluded", "statement"].map(str::to_owned);
    let rows: Vec<Vec<String>> = probes.iter().map(row).collect();
    match args.format {
        Format::Table if rows.is_empty() => output.note("there are no probes: `afterlog probe add NAME` makes one"),
        Format::Table => output.text(&table::lay_out(&header, &rows, output.width()))?,
        Format::Csv => output.text(&csv(&header, &rows))?,
        Format::Json => output.line(&json!(probes).to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn csv(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| cells.iter().map(|text| field(text)).collect::<Vec<_>>().join(",") + "\n";
    std::iter::once(header).chain(rows.iter().map(Vec::as_slice)).map(line).collect()
}

fn show(project: &Project, name: &str, output: &mut Output) -> Result<ExitCode, Error> {
    let probe = project.probe(name)?;
    for (place, text) in statements(&probe) {
        output.line(&format!("{place}  {text}"))?;
    }
    for one in &probe.corrections {
        let (run, which) = (&one.run, one.statement + 1);
        let choice = match one.choice {
            Choice::Excluded => "excluded".to_owned(),
            Choice::Moved(spot) => format!("moved after line {}, column {}", spot.after_line, spot.column),
            Choice::AsFound => "as found".to_owned(),
        };
        let choice = match &one.expression {
            Some(expression) => format!("{choice}, logs {expression}"),
            None => choice,
        };
        let which = if which > 1 { format!(" (statement {which})") } else { String::new() };
        output.line(&format!("{run}  {choice}{which}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn preview(project: &Project, args: &PreviewArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let names = match &args.names[..] {
        [] => project.probes()?.into_iter().map(|probe| probe.name).collect(),
        names => names.to_vec(),
    };
    if names.is_empty() {
        return Err(Error::Usage("there are no probes: name a log statement of today's script".into()));
    }
    let runs = args.runs.as_deref().map(|selection| project.select(selection)).transpose()?;
    let started = Instant::now();
    let found = project.preview(&names, runs.as_deref())?;
    let timing_ms = started.elapsed().as_secs_f64() * 1000.0;
    let versions = versions(project)?;
    match args.format {
        _ if args.diff => {
            for one in &found {
                diff_of(project, one, output)?;
            }
        }
        Format::Json => output.line(&in_json(&found, &versions, timing_ms))?,
        Format::Csv => output.text(&in_csv(&found, &versions))?,
        Format::Table => {
            output.text(&in_table(&found, &versions, output.width()))?;
        }
    }
    let mut all = found.iter().flat_map(|one| &one.propagation.placements);
    let applies = all.all(|placement| placement.status != PlacementStatus::NotApplicable);
    Ok(if applies { ExitCode::SUCCESS } else { ExitCode::from(DIVERGED) })
}

/// The version of every run.
fn versions(project: &Project) -> Result<Versions, Error> {
    Ok(project.runs()?.into_iter().map(|run| (run.id, run.version.0)).collect())
}

type Versions = HashMap<RunId, String>;

fn version<'v>(versions: &'v Versions, run: &RunId) -> &'v str {
    versions.get(run).map(String::as_str).unwrap_or_default()
}

/// A row a placement; below it why, unless it is where one would expect it.
fn in_table(found: &[Preview], versions: &Versions, width: usize) -> String {
    let header = ["run", "version", "name", "status", "line", "text", "changed"].map(str::to_owned);
    let placements = || found.iter().flat_map(|one| one.propagation.placements.iter().map(move |p| (&one.run, p)));
    let row = |(run, placement): (&RunId, &Placement)| {
        vec![
            run.to_string(),
            version(versions, run).chars().take(SHORT).collect(),
            placement.name.clone(),
            placement.status.word().to_owned(),
            placement.line.map(|line| line.to_string()).unwrap_or_default(),
            placement.text.trim().to_owned(),
            placement.changes.join(", "),
        ]
    };
    let laid_out = table::lay_out(&header, &placements().map(row).collect::<Vec<_>>(), width);
    let mut lines = laid_out.lines();
    let mut out = lines.next().map(|header| format!("{header}\n")).unwrap_or_default();
    for (line, (_, placement)) in lines.zip(placements()) {
        out.push_str(&format!("{line}\n"));
        let doubted = matches!(placement.status, PlacementStatus::Uncertain | PlacementStatus::NotApplicable);
        let reasons = placement.reasons.iter().filter(|_| doubted || placement.decided_in.is_some());
        reasons.for_each(|reason| out.push_str(&format!("    {reason}\n")));
    }
    out
}

fn in_csv(found: &[Preview], versions: &Versions) -> String {
    let header =
        ["run", "version", "script", "name", "status", "line", "column", "after_line", "text", "changes", "reasons"];
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let row = |one: &Preview, placement: &Placement| {
        vec![
            one.run.to_string(),
            version(versions, &one.run).to_owned(),
            one.script.clone(),
            placement.name.clone(),
            placement.status.word().to_owned(),
            number(placement.line),
            number(placement.column),
            number(placement.after_line),
            placement.text.trim().to_owned(),
            placement.changes.join("; "),
            placement.reasons.join("; "),
        ]
    };
    let rows: Vec<Vec<String>> =
        found.iter().flat_map(|one| one.propagation.placements.iter().map(|p| row(one, p))).collect();
    csv(&header.map(str::to_owned), &rows)
}

fn in_json(found: &[Preview], versions: &Versions, timing_ms: f64) -> String {
    let run = |one: &Preview| {
        let (placements, problems) = (&one.propagation.placements, &one.propagation.problems);
        let version = version(versions, &one.run);
        json!({"run": one.run, "version": version, "script": one.script, "placements": placements, "problems": problems})
    };
    json!({"timing_ms": timing_ms, "runs": found.iter().map(run).collect::<Vec<_>>()}).to_string()
}

/// Where a run's statements stand, in full.
fn diff_of(project: &Project, one: &Preview, output: &mut Output) -> Result<(), Error> {
    for placement in &one.propagation.placements {
        let line = placement.line.map(|line| format!(", line {line}")).unwrap_or_default();
        output.styled("1", &format!("{}  {}: {}{line}\n", one.run, placement.name, placement.status.word()))?;
        for (sign, notes) in [("~", &placement.changes), (" ", &placement.reasons)] {
            notes.iter().try_for_each(|note| output.line(&format!("  {sign} {note}")))?;
        }
        for (number, other) in (1..).zip(&placement.alternatives) {
            output.line(&format!("    --to {number}: after line {}: {}", other.after_line, other.reason))?;
        }
    }
    let before = project.source(&one.run, &one.script)?.unwrap_or_default();
    let names = [format!("{} ({})", one.script, one.run), format!("{} (with the statements)", one.script)];
    diff::one_file(&names, &before, &one.propagation.text, output)
}

fn move_one(project: &Project, args: &MoveArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let run = project.select_one(&args.run)?;
    let to = match (args.place.after, args.place.before, args.place.to) {
        (Some((line, column)), ..) => Move::To(Wish::After(line, column)),
        (None, Some(line), _) => Move::To(Wish::Before(line)),
        (None, None, Some(number)) => Move::Alternative(number),
        (None, None, None) if args.expr.is_some() => Move::Here,
        (None, None, None) => {
            let what = "say where to: --after LINE, --before LINE or --to N; or what it is to log: --expr EXPR";
            return Err(Error::Usage(what.into()));
        }
    };
    let moved = match &args.expr {
        Some(expression) => project.rewrite_probe(&args.name, &run, args.statement, to, expression)?,
        None => project.move_probe(&args.name, &run, args.statement, to)?,
    };
    diff_of(project, &moved, output)?;
    also(project, &args.name, &[run], output)?;
    Ok(ExitCode::SUCCESS)
}

fn reset(project: &Project, args: &ResetArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let runs = args.runs.as_deref().map(|selection| project.select(selection)).transpose()?;
    let taken_back = project.reset_probe(&args.name, runs.as_deref())?;
    output.line(&format!("{} taken back", counted(taken_back as u64, "decision")))?;
    match &runs {
        Some(runs) => told(project, &args.name, runs, output),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What a name's placements in some runs are now, a line each.
fn told(project: &Project, name: &str, runs: &[RunId], output: &mut Output) -> Result<ExitCode, Error> {
    for one in project.preview(&[name.to_owned()], Some(runs))? {
        for placement in &one.propagation.placements {
            let line = placement.line.map(|line| format!(", line {line}")).unwrap_or_default();
            let why = placement.reasons.first().map(|reason| format!(": {reason}")).unwrap_or_default();
            output.line(&format!("{}  {name}: {}{line}{why}", one.run, placement.status.word()))?;
        }
    }
    also(project, name, runs, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells which other runs a decision holds for.
fn also(project: &Project, name: &str, runs: &[RunId], output: &mut Output) -> Result<(), Error> {
    let decided = |placement: &Placement| placement.decided_in.as_ref().is_some_and(|run| runs.contains(run));
    let all = project.preview(&[name.to_owned()], None)?;
    let others = all.iter().filter(|one| !runs.contains(&one.run) && one.propagation.placements.iter().any(decided));
    let others: Vec<&str> = others.map(|one| one.run.as_str()).collect();
    if !others.is_empty() {
        output.note(&format!(
            "this holds for {}, too: {}",
            counted(others.len() as u64, "other run"),
            others.join(", ")
        ));
    }
    Ok(())
}
