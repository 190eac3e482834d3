//! `afterlog jobs`: replays that are going on or were made, followed, stopped and repeated.

use std::process::ExitCode;

use crate::base::ids::JobId;
use crate::base::units::{age_ms, counted, duration_ns};
use crate::cli::args::Format;
use crate::cli::error::Error;
use crate::cli::follow::{self, OnInterrupt};
use crate::cli::output::Output;
use crate::cli::replay::{self, How};
use crate::cli::{now_ms, project};
use crate::engine;
use crate::engine::export::{field, table};
use crate::engine::project::Project;
use crate::model::job::{JobState, JobStatus, SegmentState, SegmentStatus};

/// List replays, follow one, stop it, or compute what it left undone.
///
/// A replay is a job of its own: it goes on when the terminal is closed.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  afterlog jobs                       all of them, newest last
  afterlog jobs attach                follows the one that is going on
  afterlog jobs retry last --yes      computes what failed or was cancelled
  afterlog jobs log 6xk2 3            what segment 3 wrote, with its traceback

JOB: an id, a unique beginning of one, or last."
)]
pub struct JobsArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show a job with all its segments.
    Show(ShowArgs),
    /// Follow a job to its end. Ctrl-C stops following; the job goes on.
    Attach(AttachArgs),
    /// Stop a job. What is finished is kept.
    Cancel(CancelArgs),
    /// Compute what a job failed to compute or was stopped at: the same request, planned anew.
    Retry(RetryArgs),
    /// What a segment's script wrote, and the error that ended it.
    Log(LogArgs),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[arg(value_name = "JOB", default_value = "last")]
    job: String,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AttachArgs {
    /// The newest one that is going on, if there is one, else the last.
    #[arg(value_name = "JOB")]
    job: Option<String>,
}

#[derive(Debug, clap::Args)]
struct CancelArgs {
    /// The one that is going on, if there is only one.
    #[arg(value_name = "JOB")]
    job: Option<String>,
    /// All that are going on.
    #[arg(long, conflicts_with = "job")]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct RetryArgs {
    #[arg(value_name = "JOB", default_value = "last")]
    job: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct LogArgs {
    #[arg(value_name = "JOB")]
    job: String,
    /// The segment's number; those that failed by default, or the only one.
    #[arg(value_name = "SEGMENT")]
    segment: Option<u32>,
    /// Lines from the end of what it wrote.
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 100)]
    lines: usize,
}

pub(super) fn run(args: &JobsArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    match &args.command {
        None => list(&project, args.format, output),
        Some(Command::Show(args)) => show(&project, args, output),
        Some(Command::Attach(args)) => attach(&project, args, output),
        Some(Command::Cancel(args)) => cancel(&project, args, output),
        Some(Command::Retry(args)) => retry(&project, args, output),
        Some(Command::Log(args)) => log(&project, args, output),
    }
}

fn list(project: &Project, format: Format, output: &mut Output) -> Result<ExitCode, Error> {
    let now = now_ms();
    let jobs = project.jobs()?;
    let text = match format {
        Format::Table => {
            let header = ["job", "names", "age", "state", "done", "failed", "running", "segments", "left", "runs"];
            let rows: Vec<Vec<String>> = jobs.iter().map(|job| row(project, job, now)).collect();
            table::lay_out(&header.map(str::to_owned), &rows, output.width())
        }
        Format::Csv => {
            let header = "job,names,started_ms,state,done,failed,cancelled,running,segments,left_ns,runs\n";
            header.to_owned() + &jobs.iter().map(|job| csv(project, job, now)).collect::<String>()
        }
        Format::Json => {
            let rows: Vec<String> = jobs.iter().map(|job| format!("  {}", json(project, job, now))).collect();
            if rows.is_empty() { "[]\n".into() } else { format!("[\n{}\n]\n", rows.join(",\n")) }
        }
    };
    output.text(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn row(project: &Project, job: &JobStatus, now_ms: i64) -> Vec<String> {
    let counts = job.counts();
    let runs = job.runs();
    let more = if runs.len() > 3 { format!(" and {} more", runs.len() - 3) } else { String::new() };
    let first: Vec<&str> = runs.iter().take(3).map(|run| run.as_str()).collect();
    vec![
        job.id.to_string(),
        names(job),
        age_ms(now_ms - job.started_ms),
        job.state().word().to_owned(),
        counts.done().to_string(),
        counts.failed.to_string(),
        counts.running.to_string(),
        counts.total.to_string(),
        project.job_left_ns(job, now_ms).map(duration_ns).unwrap_or_default(),
        format!("{}{more}", first.join(" ")),
    ]
}

fn csv(project: &Project, job: &JobStatus, now_ms: i64) -> String {
    let counts = job.counts();
    let runs: Vec<&str> = job.runs().iter().map(|run| run.as_str()).collect();
    let fields = [
        job.id.to_string(),
        names(job),
        job.started_ms.to_string(),
        job.state().word().to_owned(),
        counts.done().to_string(),
        counts.failed.to_string(),
        counts.cancelled.to_string(),
        counts.running.to_string(),
        counts.total.to_string(),
        project.job_left_ns(job, now_ms).map(|left| left.to_string()).unwrap_or_default(),
        runs.join(" "),
    ];
    fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(",") + "\n"
}

fn json(project: &Project, job: &JobStatus, now_ms: i64) -> serde_json::Value {
    serde_json::json!({
        "id": job.id, "names": job.names, "started_ms": job.started_ms, "state": job.state(), "counts": job.counts(),
        "left_ns": project.job_left_ns(job, now_ms), "runs": job.runs(), "took_ns": job.took_ns(),
        "estimate": project.job_plan(&job.id).ok().as_ref().map(follow::estimate_json),
    })
}

fn show(project: &Project, args: &ShowArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let job = project.job(&args.job)?;
    if args.json {
        let mut object = follow::job_json(&job, project.job_plan(&job.id).ok().as_ref());
        object["left_ns"] = serde_json::json!(project.job_left_ns(&job, now_ms()));
        output.line(&object.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let counts = job.counts();
    let words = counts.words();
    let ended = if words.is_empty() { String::new() } else { format!(" ({words})") };
    let left = project.job_left_ns(&job, now_ms()).map(|left| format!(", about {} left", duration_ns(left)));
    output.line(&format!("job       {}", job.id))?;
    output.line(&format!("names     {}", names(&job)))?;
    output.line(&format!("state     {}{}", job.state().word(), left.unwrap_or_default()))?;
    output.line(&format!("segments  {}{ended}", counts.total))?;
    for segment in &job.segments {
        output.line(&format!("  {:>3} {}", segment.id, follow::segment_line(segment)))?;
        let notice = segment.isolation.notice();
        segment.notes.iter().chain(&notice).try_for_each(|note| output.line(&format!("      note: {note}")))?;
        segment.causes.iter().try_for_each(|cause| output.line(&format!("      likely: {}", cause.sentence)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a job computes: a check, nothing new.
fn names(job: &JobStatus) -> String {
    if job.names.is_empty() { "(check)".into() } else { job.names.join(" ") }
}

fn attach(project: &Project, args: &AttachArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let job = match &args.job {
        Some(selection) => project.job(selection)?,
        None => match active(project)?.pop() {
            Some(job) => job,
            None => project.job("last")?,
        },
    };
    output.note(&format!("{} computes {}", job.id, names(&job)));
    let followed = follow::follow(project, &job.id, OnInterrupt::Detach, output)?;
    follow::conclude(followed, false, true, output)
}

fn active(project: &Project) -> Result<Vec<JobStatus>, Error> {
    Ok(project.jobs()?.into_iter().filter(|job| job.state() == JobState::Running).collect())
}

fn cancel(project: &Project, args: &CancelArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let jobs = match &args.job {
        Some(selection) => vec![project.job(selection)?],
        None => active(project)?,
    };
    if args.job.is_none() && !args.all && jobs.len() > 1 {
        let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
        return Err(Error::Usage(format!("several are going on, name one or give --all: {}", ids.join(", "))));
    }
    let (running, ended): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job.state() == JobState::Running);
    for job in ended {
        output.note(&format!("{} has ended already", job.id));
    }
    if running.is_empty() {
        output.note("nothing is going on that could be cancelled");
    }
    for job in running {
        project.cancel(&job.id)?;
        wait_for_end(project, &job.id)?;
        let counts = project.job(job.id.as_str())?.counts();
        output.line(&format!("{}: {}", job.id, counts.words()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until a job's coordinator has taken note of the wish to stop.
fn wait_for_end(project: &Project, job: &JobId) -> Result<(), Error> {
    loop {
        project.refresh()?;
        if project.job(job.as_str())?.state() != JobState::Running {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn retry(project: &Project, args: &RetryArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let job = project.job(&args.job)?;
    if job.state() == JobState::Running {
        return Err(Error::Engine(engine::Error::Unsupported {
            what: format!("{} is still going on", job.id),
            instead: format!("`afterlog jobs attach {0}` follows it, `afterlog jobs cancel {0}` ends it", job.id),
        }));
    }
    match project.retry(&job)? {
        Some(request) => replay::perform(project, &project.plan(&request)?, &args.how, output),
        None => {
            let done = counted(job.segments.len() as u64, "segment");
            output.note(&format!("nothing of {} failed or was cancelled ({done})", job.id));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn log(project: &Project, args: &LogArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let job = project.job(&args.job)?;
    let failed = |segment: &&SegmentStatus| matches!(segment.state, SegmentState::Failed { .. });
    let chosen: Vec<&SegmentStatus> = match args.segment {
        Some(number) => job.segments.iter().filter(|segment| segment.id == number).collect(),
        None if job.segments.len() == 1 => job.segments.iter().collect(),
        None => job.segments.iter().filter(failed).collect(),
    };
    if let (Some(number), true) = (args.segment, chosen.is_empty()) {
        let last = job.segments.len().saturating_sub(1);
        return Err(Error::Engine(engine::Error::Unsupported {
            what: format!("{} has no segment {number}", job.id),
            instead: format!("its segments are 0 to {last}: `afterlog jobs show {}`", job.id),
        }));
    }
    if chosen.is_empty() {
        output.note(&format!("no segment of {} failed: name the one you want to read", job.id));
    }
    for segment in &chosen {
        if chosen.len() > 1 {
            output.styled("1", &format!("== segment {} of {}\n", segment.id, segment.run))?;
        }
        let text = project.segment_log(&job.id, segment.id)?;
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(args.lines)..].iter().try_for_each(|line| output.line(line))?;
        if let SegmentState::Failed { message, traceback } = &segment.state {
            let error = traceback.as_deref().unwrap_or(message).trim_end();
            // Python writes it too, unless it came to no output of the script's.
            if !text.contains(error.lines().last().unwrap_or_default()) {
                output.line(error)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
