//! `afterlog replay`: values of a log statement that nobody wrote at the time; and its hidden helpers.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::base::ids::JobId;
use crate::base::units::{counted, duration_ns};
use crate::cli::error::{DIVERGED, Error, INTERRUPTED};
use crate::cli::output::Output;
use crate::cli::{condition, project};
use crate::engine::plan::{Iterations, ReplayRequest};
use crate::engine::project::Project;
use crate::engine::replay::{coordinator, forkserver, isolation, worker};
use crate::model::job::{JobStatus, SegmentState};
use crate::model::plan::{ReplayPlan, RunPlan, RunPlanState, Stop};
use crate::model::probe::PlacementStatus;
use crate::model::verdict::Verdict;

/// Compute the values of log statements of today's script for past runs, from their checkpoints.
///
/// Shows the plan and asks before anything is executed. Your files are not touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog replay grad_norm                        plan, ask, replay over all runs
  afterlog replay grad_norm --dry-run              only the plan
  afterlog replay grad_norm --runs last:3 --yes    without asking
  afterlog replay grad_norm --iters 5..9,12        some iterations of the main loop
  afterlog replay grad_norm --where 'val_acc < 0.8 and lr > 1e-3 and epoch >= 3'

Runs: ids, their unique beginnings, names, last, last:5, a..b, comma lists.
Iterations: all, last, 3, 2..5, 0,4 (counted from 0; ranges include both ends), or epoch=2..5 where the main loop has
that name.
Conditions: comparisons of names, loops, arguments, and run, status, name, with numbers, 'texts', true and false; in (…),
  like 'a%', is null, and, or, not, ( ). Names that hold spaces stand in backticks. A name that is a logged value and an
  argument is written log.NAME or arg.NAME. What a run did not log, or what was not replayed yet, is null, and what is
  compared with it is not fulfilled.")]
pub struct ReplayArgs {
    /// Names that a log statement of the working tree's script logs.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
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
    /// Worker processes at a time; as many as there are cores by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Show the plan and stop.
    #[arg(long)]
    dry_run: bool,
    /// How the plan is written with --dry-run.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PlanFormat {
    Text,
    Json,
}

/// Replays a name over all runs without asking.
pub(super) fn replay_all(name: &str, output: &mut Output) -> Result<ExitCode, Error> {
    let args = ReplayArgs {
        names: vec![name.to_owned()],
        runs: None,
        iters: Vec::new(),
        condition: None,
        jobs: None,
        dry_run: false,
        format: PlanFormat::Text,
        yes: true,
    };
    run(&args, output)
}

pub(super) fn run(args: &ReplayArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    if args.iters.len() > 1 {
        return Err(Error::Usage("--iters chooses iterations of the main loop: give it once".into()));
    }
    let request = ReplayRequest {
        names: args.names.clone(),
        runs: args.runs.as_deref().map(|selection| project.select(selection)).transpose()?,
        iterations: args.iters.first().cloned(),
        condition: args.condition.as_deref().map(condition).transpose()?,
        workers: args.jobs.map(usize::from),
    };
    let plan = project.plan(&request)?;
    if args.dry_run && args.format == PlanFormat::Json {
        output.line(&serde_json::to_string_pretty(&plan).unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    show_plan(&plan, output)?;
    output.finish()?;
    let lacking = plan.runs.iter().any(|run| run.state == RunPlanState::NotApplicable);
    if args.dry_run || plan.segments.is_empty() {
        let incomplete = lacking && !args.dry_run;
        return Ok(if incomplete { ExitCode::from(DIVERGED) } else { ExitCode::SUCCESS });
    }
    if !args.yes && !confirmed(output)? {
        return Ok(ExitCode::from(crate::cli::error::USER));
    }
    let job = project.start(&plan)?;
    let (status, interrupted) = follow(&project, &job, output)?;
    let diverged = summary(&status, output)?;
    if interrupted {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if diverged || lacking { ExitCode::from(DIVERGED) } else { ExitCode::SUCCESS })
}

fn confirmed(output: &mut Output) -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::Refused(
            "replay asks before it executes anything, and there is no terminal to ask on".into(),
        ));
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
        for placement in &run.placements {
            let line = placement.line.map(|line| format!(" line {line}")).unwrap_or_default();
            let changes: String = placement.changes.iter().map(|change| format!("; {change}")).collect();
            output.line(&format!("    {} {}{line}{changes}", placement.name, placement.status.word()))?;
            if !matches!(placement.status, PlacementStatus::Exact | PlacementStatus::Adapted) {
                placement.reasons.iter().try_for_each(|reason| output.line(&format!("      {reason}")))?;
            }
        }
        run.notes.iter().try_for_each(|note| output.line(&format!("    note: {note}")))?;
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

/// Follows a job to its end, a line for each segment that ends. Ctrl-C cancels it.
fn follow(project: &Project, job: &JobId, output: &mut Output) -> Result<(JobStatus, Interrupted), Error> {
    const POLL: Duration = Duration::from_millis(40);
    let interrupted = Arc::new(AtomicBool::new(false));
    // The first one is taken in below, a second one ends this process at once. Without handlers Ctrl-C only stops following.
    let _ = flag::register_conditional_shutdown(SIGINT, i32::from(INTERRUPTED), Arc::clone(&interrupted));
    let _ = flag::register(SIGINT, Arc::clone(&interrupted));
    let mut cancelled = false;
    let mut told: Vec<u32> = Vec::new();
    loop {
        if interrupted.load(Ordering::Relaxed) && !cancelled {
            cancelled = true;
            output.note("cancelling the replay; what is finished is kept");
            project.cancel(job)?;
        }
        // Also marks as cancelled what is left undone where the coordinator was killed.
        project.refresh()?;
        if let Some(status) = project.jobs()?.into_iter().find(|status| status.id == *job) {
            let total = status.segments.len();
            for segment in &status.segments {
                let ended = !matches!(segment.state, SegmentState::Queued | SegmentState::Running { .. });
                if ended && !told.contains(&segment.id) {
                    told.push(segment.id);
                    output.note(&segment_line(segment, told.len(), total));
                }
            }
            if told.len() == total {
                return Ok((status, cancelled));
            }
        }
        std::thread::sleep(POLL);
    }
}

/// Whether the user cancelled with Ctrl-C.
type Interrupted = bool;

fn segment_line(segment: &crate::model::job::SegmentStatus, number: usize, total: usize) -> String {
    let span = segment.span.map(|(a, b)| if a == b { format!(" {a}") } else { format!(" {a}..{b}") });
    let outcome = match &segment.state {
        SegmentState::Done { check } => check.words(),
        SegmentState::Failed { message, .. } => format!("failed: {}", message.lines().last().unwrap_or_default()),
        other => other.word().to_owned(),
    };
    format!("[{number}/{total}] {}{} {outcome}", segment.run, span.unwrap_or_default())
}

/// Counts what became of the segments; true if not all is well.
fn summary(status: &JobStatus, output: &mut Output) -> Result<bool, Error> {
    let (mut verified, mut unverified, mut diverged, mut failed, mut cancelled) = (0, 0, 0, 0, 0);
    for segment in &status.segments {
        match &segment.state {
            SegmentState::Done { check } => match check.verdict() {
                Verdict::Diverged => diverged += 1,
                Verdict::Unverified => unverified += 1,
                Verdict::Verified | Verdict::Recorded => verified += 1,
            },
            SegmentState::Cancelled => cancelled += 1,
            _ => failed += 1,
        }
        if let SegmentState::Failed { traceback: Some(traceback), .. } = &segment.state {
            output.note(traceback);
        }
    }
    let counts = [
        ("verified", verified),
        ("unverified", unverified),
        ("diverged", diverged),
        ("failed", failed),
        ("cancelled", cancelled),
    ];
    let words: Vec<String> =
        counts.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}")).collect();
    output.line(&format!("Segments: {}.", words.join(", ")))?;
    if cancelled > 0 {
        output.note("the replay was cancelled, or its process killed: the same command computes what is left");
    }
    Ok(diverged + failed + cancelled > 0)
}

/// The process that performs a job and outlives its starter.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct CoordinateArgs {
    job: JobId,
}

pub(super) fn coordinate(args: &CoordinateArgs) -> Result<ExitCode, Error> {
    coordinator::run(project()?.layout(), &args.job)?;
    Ok(ExitCode::SUCCESS)
}

/// The process that performs one segment.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct WorkerArgs {
    job: JobId,
    segment: u32,
}

pub(super) fn work(args: &WorkerArgs) -> Result<ExitCode, Error> {
    let project = project()?;
    match worker::run(project.layout(), &args.job, args.segment) {
        Ok(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        Err(error) => {
            // The reason belongs to the segment, where the user looks for it.
            // Once isolated it cannot be written there; the worker's own messages hold it too.
            let _ = worker::note_failure(project.layout(), &args.job, args.segment, &error.to_string());
            Err(error.into())
        }
    }
}

/// The process that becomes a fork server for segments.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct ServeArgs {
    what: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    python: Vec<OsString>,
}

pub(super) fn serve(args: &ServeArgs) -> Result<ExitCode, Error> {
    forkserver::serve(&args.what, &args.python)?;
    Ok(ExitCode::SUCCESS)
}

/// The process that tries whether replays can have a file system view of their own here.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct IsolateArgs {
    scratch: PathBuf,
}

pub(super) fn isolate(args: &IsolateArgs, output: &mut Output) -> Result<ExitCode, Error> {
    if let Some(reason) = isolation::attempt(project()?.layout(), &args.scratch) {
        output.line(&reason)?;
    }
    Ok(ExitCode::SUCCESS)
}
