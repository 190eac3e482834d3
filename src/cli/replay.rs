//! `afterlog replay`: values of a log statement that nobody wrote at the time.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::base::units::{counted, duration_ns};
use crate::cli::error::{DIVERGED, Error};
use crate::cli::follow::{self, OnInterrupt};
use crate::cli::output::Output;
use crate::cli::{check, condition, project};
use crate::engine::given::Given;
use crate::engine::plan::{Iterations, ReplayRequest};
use crate::engine::project::Project;
use crate::engine::sample::CheckRequest;
use crate::model::plan::{Environment, ReplayPlan, RunPlan, RunPlanState, Stop};
use crate::model::probe::PlacementStatus;

/// Compute the values of log statements of today's script for past runs, from their checkpoints.
///
/// Shows the plan and asks before anything is executed. Your files are not touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog replay grad_norm                        plan, ask, replay over all runs
  afterlog replay grad_norm --dry-run              only the plan
  afterlog replay grad_norm --runs last:3 --yes    without asking
  afterlog replay grad_norm --iters 5..9,12        some iterations of the main loop
  afterlog replay --check last --sample 5          can that run be replayed at all?
  afterlog replay grad_norm --env DATA_DIR=/new    the data have been moved
  afterlog replay grad_norm --yes --detach         writes the job's id: `afterlog jobs attach`
  afterlog replay grad_norm --where 'val_acc < 0.8 and lr > 1e-3 and epoch >= 3'

Runs: ids, their unique beginnings, names, last, last:5, a..b, comma lists.
Iterations: all, last, 3, 2..5, 0,4 (counted from 0; ranges include both ends), or epoch=2..5 where the main loop has
that name.
Conditions: comparisons of names, loops, arguments, and run, status, name, with numbers, 'texts', true and false; in (…),
  like 'a%', is null, and, or, not, ( ). Names that hold spaces stand in backticks. A name that is a logged value and an
  argument is written log.NAME or arg.NAME. What a run did not log, or what was not replayed yet, is null, and what is
  compared with it is not fulfilled.")]
pub struct ReplayArgs {
    /// Names that a log statement of the working tree's script logs; with --check, runs.
    #[arg(value_name = "NAME", required_unless_present = "check")]
    names: Vec<String>,
    /// Execute samples of the runs again as they were, to find out whether they can be replayed at all. Without a run:
    /// of the last one. What is computed is compared with the record and not kept.
    #[arg(long, conflicts_with_all = ["runs", "iters", "condition"])]
    check: bool,
    /// So many pieces of each run that is checked, evenly spread over it, the last one included.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "check", value_parser = clap::value_parser!(u16).range(1..))]
    sample: u16,
    /// Only these runs.
    #[arg(long, value_name = "SEL")]
    runs: Option<String>,
    /// Only these iterations of the main loop.
    #[arg(long, value_name = "SPEC|LOOP=SPEC")]
    iters: Vec<Iterations>,
    /// Only runs and iterations of the main loop that fulfil this condition: an iteration does if anything logged in it
    /// does, together with what was logged around it.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Worker processes at a time; as many as the cores are enough for by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Compute again what is known already.
    #[arg(long)]
    force: bool,
    /// The interpreter to replay with, instead of the runs' own.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Set a variable of the environment in the replay, whatever the run had (a folder of data that was moved). What looks
    /// like a secret is not kept.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    given: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// What is done with a plan.
#[derive(Debug, Default, clap::Args)]
pub(super) struct How {
    /// Show the plan and stop.
    #[arg(long)]
    dry_run: bool,
    /// How the plan is written with --dry-run, and otherwise what came of it.
    #[arg(long, value_enum, default_value_t)]
    format: PlanFormat,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Start the replay, write its job's id and do not wait: `afterlog jobs attach` follows it.
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum PlanFormat {
    #[default]
    Text,
    Json,
}

/// Replays a name over all runs without asking.
pub(super) fn replay_all(name: &str, output: &mut Output) -> Result<ExitCode, Error> {
    let args = ReplayArgs {
        names: vec![name.to_owned()],
        check: false,
        sample: 1,
        python: None,
        given: Vec::new(),
        runs: None,
        iters: Vec::new(),
        condition: None,
        jobs: None,
        force: false,
        how: How { yes: true, ..How::default() },
    };
    run(&args, output)
}

pub(super) fn run(args: &ReplayArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    if args.check {
        let request = CheckRequest {
            runs: check::select(&project, &args.names)?,
            sample: usize::from(args.sample),
            workers: args.jobs.map(usize::from),
            python: args.python.clone(),
            given: Given::read(&args.given)?,
        };
        return perform(&project, &project.plan_check(&request)?, &args.how, output);
    }
    if args.iters.len() > 1 {
        return Err(Error::Usage("--iters chooses iterations of the main loop: give it once".into()));
    }
    let request = ReplayRequest {
        names: args.names.clone(),
        runs: args.runs.as_deref().map(|selection| project.select(selection)).transpose()?,
        iterations: args.iters.first().cloned(),
        condition: args.condition.as_deref().map(condition).transpose()?,
        workers: args.jobs.map(usize::from),
        force: args.force,
        python: args.python.clone(),
        given: Given::read(&args.given)?,
    };
    perform(&project, &project.plan(&request)?, &args.how, output)
}

/// Shows a plan, asks, and follows what comes of it.
pub(super) fn perform(project: &Project, plan: &ReplayPlan, how: &How, output: &mut Output) -> Result<ExitCode, Error> {
    let json = how.format == PlanFormat::Json;
    if how.dry_run && json {
        output.line(&serde_json::to_string_pretty(plan).unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    // What a program is to read stands alone on standard output.
    let for_people = !(json || how.detach && how.yes);
    if for_people {
        show_plan(plan, output)?;
        output.finish()?;
    }
    let lacking = plan.runs.iter().any(|run| run.state == RunPlanState::NotApplicable);
    if how.dry_run || plan.segments.is_empty() {
        if json {
            output.line(&follow::in_json(plan, None))?;
        } else if !for_people {
            output.note("nothing to replay");
        }
        let incomplete = lacking && !how.dry_run;
        return Ok(if incomplete { ExitCode::from(DIVERGED) } else { ExitCode::SUCCESS });
    }
    if !how.yes && (json || !confirmed(output)?) {
        return if json { Err(unasked()) } else { Ok(ExitCode::from(crate::cli::error::USER)) };
    }
    let job = project.start(plan)?;
    if how.detach {
        follow::await_listing(project, &job)?;
        output.line(&if json { serde_json::json!({ "job": job }).to_string() } else { job.to_string() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let followed = follow::follow(project, &job, OnInterrupt::Cancel, output)?;
    if json {
        output.line(&follow::in_json(plan, followed.as_ref().map(|followed| &followed.status)))?;
    }
    if let (Some(followed), false) = (&followed, json) {
        check::of(plan, &followed.status).iter().try_for_each(|check| output.line(&check.sentence))?;
    }
    let took = followed.as_ref().and_then(|followed| followed.status.took_ns());
    let code = follow::conclude(followed, lacking, !json, output)?;
    if let Some(took) = took.filter(|_| !json) {
        let (low, high) = plan.makespan_ns;
        let range = format!("{} to {}", duration_ns(low), duration_ns(high));
        output.line(&format!("Took {}, estimated {range}.", duration_ns(took)))?;
    }
    Ok(code)
}

fn unasked() -> Error {
    Error::Refused("replay asks before it executes anything, and there is no terminal to ask on".into())
}

fn confirmed(output: &mut Output) -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        return Err(unasked());
    }
    output.text("Replay? [y/N] ")?;
    output.finish()?;
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The plan in words.
pub(super) fn show_plan(plan: &ReplayPlan, output: &mut Output) -> Result<(), Error> {
    for run in &plan.runs {
        output.line(&format!("{}  {}", run.run, headline(plan, run)))?;
        for (number, placement) in run.placements.iter().enumerate() {
            let levels = run.levels_of(number);
            let line = placement.line.map(|line| format!(" line {line}")).unwrap_or_default();
            let changes: String = placement.changes.iter().map(|change| format!("; {change}")).collect();
            let level = levels.map(|levels| format!(", {levels}")).unwrap_or_default();
            output.line(&format!("    {} {}{line}{level}{changes}", placement.name, placement.status.word()))?;
            if !matches!(placement.status, PlacementStatus::Exact | PlacementStatus::Adapted) {
                placement.reasons.iter().try_for_each(|reason| output.line(&format!("      {reason}")))?;
            }
        }
        let environment = run.environment.as_ref().and_then(Environment::notice);
        run.notes.iter().chain(&environment).try_for_each(|note| output.line(&format!("    note: {note}")))?;
    }
    for left_out in &plan.left_out {
        output.line(&format!("{}  left out by --where: {}", left_out.run, left_out.why))?;
    }
    if plan.segments.is_empty() {
        return output.line("Nothing to replay.");
    }
    if let Some(notice) = plan.isolation.notice() {
        output.line(&format!("note: {notice}"))?;
    }
    if let Some(why) = &plan.fewer_workers {
        output.line(&format!("note: {why}"))?;
    }
    let (low, high) = plan.makespan_ns;
    output.line(&format!(
        "{} on {}, about {} to {}.",
        counted(plan.segments.len() as u64, "segment"),
        counted(plan.workers as u64, "worker"),
        duration_ns(low),
        duration_ns(high)
    ))
}

fn headline(plan: &ReplayPlan, run: &RunPlan) -> String {
    match run.state {
        RunPlanState::Complete if run.placements.iter().all(|p| p.status == PlacementStatus::Excluded) => {
            "not replayed: excluded".into()
        }
        RunPlanState::Complete => "complete: nothing to replay".into(),
        RunPlanState::NotApplicable => "cannot be replayed".into(),
        RunPlanState::Replay => {
            let segments: Vec<_> = plan.segments.iter().filter(|segment| segment.run == run.run).collect();
            let steps = segments.iter().flat_map(|segment| &segment.steps);
            let (mut executed, mut skipped, mut restored) = (0_u64, 0_u64, 0_u64);
            for step in steps {
                executed += 1;
                skipped += step.skip.len() as u64;
                restored += u64::from(step.restore.is_some());
            }
            let cost = segments.iter().map(|segment| segment.cost.total_ns()).sum();
            let only_prefix = segments.iter().all(|segment| segment.stop == Stop::AtMainLoop);
            let what = if only_prefix {
                "runs up to the main loop".to_owned()
            } else {
                let from = if restored > 0 { format!(", {restored} from a checkpoint") } else { String::new() };
                let without =
                    if skipped > 0 { format!(", {} skipped", counted(skipped, "block")) } else { String::new() };
                format!("{}{from}{without}", counted(executed, "iteration"))
            };
            format!("{what}, about {}", duration_ns(cost))
        }
    }
}
