//! `afterlog checkpoint`: a run's checkpoints, and one of them as a file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::base::units::{bytes, counted, duration_ns};
use crate::cli::args::Format;
use crate::cli::error::Error;
use crate::cli::output::Output;
use crate::cli::project;
use crate::engine::export::{field, table};
use crate::engine::portable::{FileFormat, Moment};
use crate::model::run::{Checkpoint, CheckpointKind, RunDetail};

/// List a run's checkpoints, or write one to a file for torch, safetensors or NumPy.
#[derive(Debug, clap::Args)]
pub struct CheckpointArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ls(LsArgs),
    Export(ExportArgs),
}

/// List a run's checkpoints.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog checkpoint ls last
  afterlog checkpoint ls last --rank 1
  afterlog checkpoint ls 6xk2 --format csv")]
struct LsArgs {
    /// The run: its id, a unique beginning of it, its name, or `last`.
    #[arg(value_name = "RUN")]
    run: String,
    /// Of a run with several processes, only those of this one.
    #[arg(long, value_name = "N")]
    rank: Option<u64>,
    /// How to write the list.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Write the state after an iteration of the main loop to a file that needs no afterlog to be opened.
///
/// Modules, optimizers and schedulers are written as their `state_dict()`, under the names of the script's variables:
/// `model.load_state_dict(torch.load("FILE", weights_only=True)["model"])`. In safetensors and npz each tensor has its path
/// as its name: `model.fc.weight`, `optimizer.state.0.exp_avg`. Code, open files and pickled objects are left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  afterlog checkpoint export last 3                        the state after epoch 3, for torch
  afterlog checkpoint export 6xk2 0 --at start --format npz -o before.npz")]
struct ExportArgs {
    /// The run: its id, a unique beginning of it, its name, or `last`.
    #[arg(value_name = "RUN")]
    run: String,
    /// Iteration of the main loop.
    #[arg(value_name = "EPOCH", required_unless_present = "seq")]
    epoch: Option<u64>,
    /// Of a run with several processes, the one whose state it is.
    #[arg(long, value_name = "N", default_value_t = 0)]
    rank: u64,
    /// The state after the iteration, before it, or as its blocks left it.
    #[arg(long, value_enum, default_value_t)]
    at: At,
    /// One checkpoint by its number in `afterlog checkpoint ls`.
    #[arg(long, value_name = "N", conflicts_with_all = ["epoch", "at"])]
    seq: Option<u64>,
    /// By default as the file's name ends, or `pt`.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// The file to write; by default one named after run and iteration, here.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum At {
    /// Before the iteration.
    Start,
    /// After the iteration: as the next one found it.
    #[default]
    End,
    /// As the blocks of the iteration left it; what the code after them did is missing.
    Blocks,
}

pub(super) fn run(args: &CheckpointArgs, output: &mut Output) -> Result<ExitCode, Error> {
    match &args.command {
        Command::Ls(args) => list(args, output),
        Command::Export(args) => export(args, output),
    }
}

fn list(args: &LsArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    let detail = project.run_detail(&project.select_one(&args.run)?)?;
    let mut ranks = vec![(0, detail.checkpoints.clone())];
    ranks.extend(project.checkpoints_of_others(&detail.summary.id));
    let is_one = ranks.len() == 1;
    ranks.retain(|(rank, _)| args.rank.is_none_or(|only| only == *rank));
    if ranks.is_empty() {
        let rank = args.rank.unwrap_or_default();
        return Err(Error::Usage(format!("run {} has no rank {rank}", detail.summary.id)));
    }
    let listed: Vec<Listed> =
        ranks.iter().flat_map(|(rank, found)| found.iter().map(|checkpoint| (*rank, checkpoint))).collect();
    let text = match args.format {
        Format::Table => in_table(&detail, &listed, is_one, output.width()),
        Format::Csv => in_csv(&detail, &listed),
        Format::Json => in_json(&listed),
    };
    output.text(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A checkpoint and the rank that it is of.
type Listed<'c> = (u64, &'c Checkpoint);

fn kind(checkpoint: &Checkpoint, detail: &RunDetail) -> (&'static str, String) {
    match &checkpoint.kind {
        CheckpointKind::IterationStart if checkpoint.iteration >= detail.summary.iterations => ("final", String::new()),
        CheckpointKind::IterationStart => ("start", String::new()),
        CheckpointKind::BlockEnd { block, .. } => ("end", block.clone()),
    }
}

fn in_table(detail: &RunDetail, listed: &[Listed<'_>], is_one: bool, width: usize) -> String {
    // Most runs have one process, and then its number says nothing.
    let skipped = usize::from(is_one);
    let header = ["rank", "seq", "position", "kind", "size", "stored", "stall", "without", "block"];
    let header: Vec<String> = header[skipped..].iter().map(|name| (*name).to_owned()).collect();
    let row = |(rank, checkpoint): &Listed<'_>| {
        let (kind, block) = kind(checkpoint, detail);
        let cells = vec![
            rank.to_string(),
            checkpoint.seq.to_string(),
            checkpoint.position.to_string(),
            kind.to_owned(),
            bytes(checkpoint.bytes),
            bytes(checkpoint.stored_bytes),
            duration_ns(checkpoint.stall_ns),
            checkpoint.missing.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(" "),
            block,
        ];
        cells[skipped..].to_vec()
    };
    table::lay_out(&header, &listed.iter().map(row).collect::<Vec<_>>(), width)
}

fn in_json(listed: &[Listed<'_>]) -> String {
    let object = |(rank, checkpoint): &Listed<'_>| {
        let mut object = serde_json::json!(checkpoint);
        object["rank"] = (*rank).into();
        object
    };
    format!("{}\n", serde_json::Value::Array(listed.iter().map(object).collect()))
}

fn in_csv(detail: &RunDetail, listed: &[Listed<'_>]) -> String {
    let mut out = String::from("seq,position,iteration,kind,block,bytes,stored_bytes,stall_ns,missing,rank\n");
    for (rank, checkpoint) in listed {
        let (kind, block) = kind(checkpoint, detail);
        let fields = [
            checkpoint.seq.to_string(),
            checkpoint.position.to_string(),
            checkpoint.iteration.to_string(),
            kind.to_owned(),
            block,
            checkpoint.bytes.to_string(),
            checkpoint.stored_bytes.to_string(),
            checkpoint.stall_ns.to_string(),
            checkpoint.missing.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(" "),
            rank.to_string(),
        ];
        out.push_str(&fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(","));
        out.push('\n');
    }
    out
}

fn export(args: &ExportArgs, output: &mut Output) -> Result<ExitCode, Error> {
    let project = project()?;
    project.refresh()?;
    let run = project.select_one(&args.run)?;
    let whose = if args.rank == 0 { run.to_string() } else { format!("{run}-rank-{}", args.rank) };
    let (moment, name) = match (args.seq, args.epoch, args.at) {
        (Some(seq), ..) => (Moment::Sequence(seq), format!("{whose}-seq-{seq}")),
        (None, Some(epoch), At::Start) => (Moment::Start(epoch), format!("{whose}-{epoch}-start")),
        (None, Some(epoch), At::End) => (Moment::End(epoch), format!("{whose}-{epoch}")),
        (None, Some(epoch), At::Blocks) => (Moment::Blocks(epoch), format!("{whose}-{epoch}-blocks")),
        (None, None, _) => return Err(Error::Usage("name an iteration of the main loop".into())),
    };
    let named = args.output.as_ref().and_then(|path| FileFormat::from_str(path.extension()?.to_str()?, true).ok());
    let format = args.format.or(named).unwrap_or(FileFormat::Pt);
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.{}", format.extension())));
    let written = project.export_checkpoint(&run, args.rank, moment, format, &path, args.force)?;
    output.line(&written.path.display().to_string())?;
    let left_out = written.left_out.len();
    output.note(&format!("{}: {}", counted(written.variables.len() as u64, "variable"), written.variables.join(", ")));
    if left_out > 0 {
        let some: Vec<&str> = written.left_out.iter().take(5).map(String::as_str).collect();
        let more = if left_out > some.len() { ", …" } else { "" };
        output.note(&format!("left out, being no plain data: {}{more}", some.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}
