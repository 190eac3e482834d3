//! Recording a run: the version, the script under the runtime, the checkpoints it hands over.
//!
//! Training comes first: whatever fails here, the script runs to its end and gives its own exit code.

mod data;
mod environment;
mod interpreter;
mod launcher;
mod priority;
mod ranks;
mod recorder;
mod signals;
mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use environment::{may_be_secret, not_in_replays};
pub use interpreter::{Command, find_python, parse};

use crate::analysis::python;
use crate::base::files::{self, FileError, at};
use crate::base::ids::RunId;
use crate::base::units::{bytes, counted};
use crate::engine::project::Project;
use crate::engine::record::ranks::{Ranks, Socket};
use crate::engine::record::recorder::Recorder;
use crate::engine::record::storage::Storage;
use crate::engine::retention::GcReport;
use crate::engine::spawn::{
    self, Channels, Checkpoints, Descriptors, Handover, Invocation, Mode, Session, SpawnError, Streams,
};
use crate::engine::{Error, runtime, sources};
use crate::model::run::RunMeta;
use crate::store::journal::{Event, Writer};
use crate::store::layout::{Layout, Lock, names};
use crate::store::versions::Versions;

/// How a recorded script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// `None` where the script ran unrecorded.
    pub run: Option<RunId>,
    /// The script's own, or 128 + the signal that ended it.
    pub exit_code: i32,
    /// What was lost, in words.
    pub problems: Vec<String>,
}

/// What a user asks to record.
#[derive(Debug, Clone)]
pub struct Request {
    pub name: Option<String>,
    pub checkpoints: Checkpoints,
    pub command: Command,
    pub cwd: PathBuf,
}

/// Runs a script and records it. If it cannot be recorded, `warn` is told why before the script starts.
///
/// # Errors
/// If there is no such script, it lies outside the project, or Python cannot be started: nothing ran.
pub fn record(request: &Request, warn: &mut dyn FnMut(&str)) -> Result<Recorded, Error> {
    let command = &request.command;
    let prepared = Project::open_or_create(&request.cwd).and_then(|project| {
        let script = sources::relative_to(project.root(), &request.cwd.join(&request.command.script))?;
        Prepared::new(project, request, script)
    });
    match prepared {
        Ok(prepared) => prepared.run(request),
        Err(error @ Error::OutsideProject { .. }) => Err(error),
        Err(error) => {
            warn(&format!("not recorded: {error}"));
            Ok(Recorded { run: None, exit_code: unrecorded(command)?, problems: Vec::new() })
        }
    }
}

/// Runs the script with the runtime importable and nothing recorded.
fn unrecorded(command: &Command) -> Result<i32, Error> {
    let folder = std::env::temp_dir().join(format!("afterlog-runtime-{}", RunId::generate()));
    let runtime = runtime::write(&folder, |_| true).is_ok().then_some(folder.as_path());
    let child = spawn::plain_python(&invocation(command), runtime);
    let outcome = child.map_err(Error::from).and_then(|mut child| wait(&mut child, &command.python));
    // Temporary, and only of use to the script that has ended.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(outcome?.0)
}

fn invocation(command: &Command) -> Invocation<'_> {
    let Command { python, flags, launcher, module, script, args } = command;
    Invocation { python, flags, launcher, module: module.as_deref(), script, args }
}

fn wait(child: &mut Child, python: &Path) -> Result<(i32, Option<i32>), Error> {
    let forwarding = signals::forward_to(child.id());
    let status = child.wait().map_err(at("wait for", python))?;
    drop(forwarding);
    Ok(spawn::outcome(status))
}

/// A run about to start: everything is in place but the script's process.
struct Prepared {
    project: Project,
    meta: RunMeta,
    folder: PathBuf,
    runtime: PathBuf,
    lock: Lock,
    descriptors: Descriptors,
    channels: Channels,
    journal: Writer,
    /// Where the processes of a launcher ask for their files.
    socket: Option<Socket>,
}

/// What keeps what the script hands over.
enum Recording {
    One(Recorder),
    Several(Ranks),
}

impl Prepared {
    fn new(project: Project, request: &Request, script: String) -> Result<Self, Error> {
        let id = RunId::generate();
        let folder = project.layout().run(&id);
        Self::fill(project, request, script, id).inspect_err(|_| {
            // It is no run; what cannot be removed either is told from one by the missing meta.
            let _ = std::fs::remove_dir_all(&folder);
        })
    }

    fn fill(project: Project, request: &Request, script: String, id: RunId) -> Result<Self, Error> {
        let layout = project.layout();
        let launched = !request.command.launcher.is_empty();
        let socket = launched.then(|| Socket::bind(&id)).transpose()?;
        let folder = layout.run(&id);
        files::create_dir_all(&folder)?;
        // Before the run can be seen: whoever lists it must find it running.
        let path = folder.join(names::LOCK);
        let lock = Lock::acquire(&path)?.ok_or_else(|| at("lock", &path)(std::io::ErrorKind::WouldBlock.into()))?;
        let committed = Versions::open(layout)?.commit_worktree(&id)?;
        let instrumentation = python::instrument(&script, &sources::of_worktree(project.root(), &script), &[]);
        let json = serde_json::to_vec(&instrumentation).unwrap_or_default();
        files::write_atomic(&folder.join(names::INSTRUMENTATION), &json)?;
        let runtime = runtime::unpack(layout)?;
        let (environment, others) = environment::kept(std::env::vars_os());
        let meta = RunMeta {
            id,
            name: request.name.clone(),
            started_ms: now_ms(),
            python: request.command.python.clone(),
            python_flags: request.command.flags.clone(),
            launcher: request.command.launcher.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            module: request.command.module.clone(),
            script,
            args: request.command.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            project_root: project.root().to_owned(),
            cwd: request.cwd.clone(),
            hash_seed: hash_seed(layout),
            entropy_seed: random(),
            environment,
            others: Some(others),
            hostname: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            version: committed.version,
            left_out: committed.left_out,
            head: committed.head,
            afterlog_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let json = serde_json::to_vec_pretty(&meta).unwrap_or_default();
        let inherited: File = lock.file().try_clone().map_err(at("lock", &path))?;
        let (descriptors, channels) = Descriptors::open(&folder, Some(inherited))?;
        let journal = Writer::open(&folder.join(names::RECORDER))?;
        // Last: a folder without it is no run yet.
        files::write_atomic(&folder.join(names::META), &json)?;
        Ok(Self { project, meta, folder, runtime, lock, descriptors, channels, journal, socket })
    }

    /// Starts the script; gives its process, what records it, and what is needed at its end.
    fn start(self, request: &Request) -> Result<(Child, Recording, Project, RunId, Lock), Error> {
        let Self { project, meta, folder, runtime, lock, descriptors, channels, mut journal, socket } = self;
        let session = Session {
            mode: Mode::Record { checkpoints: request.checkpoints },
            runtime: &runtime,
            directory: &folder,
            project_root: project.root(),
            hash_seed: &meta.hash_seed,
            entropy_seed: meta.entropy_seed,
            environment: &BTreeMap::new(),
            without: &[],
            streams: Streams::Inherited,
            guard: None,
        };
        let invocation = invocation(&request.command);
        let not_started = |journal: &mut Writer, error: SpawnError| {
            // The run is there already: it says why nothing came of it, with the code that shells give.
            let ending = serde_json::json!({ "exit_code": 127, "unix_ms": now_ms() }).to_string();
            let _ = journal.append(&[Event::Note(error.to_string()), Event::End(ending)]);
            Err(error.into())
        };
        let storage = Arc::new(Storage::new(project.layout().clone(), meta.id.clone(), request.checkpoints));
        if let Some(socket) = socket {
            let shared = lock.file().try_clone().map_err(at("lock", &folder.join(names::LOCK)))?;
            return match spawn::session(&invocation, &session, Handover::Asked(&socket.path())) {
                Ok(child) => {
                    let main = ranks::Main { storage, folder, lock: shared, descriptors, channels, journal };
                    Ok((child, Recording::Several(ranks::start(socket, main)), project, meta.id, lock))
                }
                Err(error) => not_started(&mut journal, error),
            };
        }
        match spawn::session(&invocation, &session, Handover::Inherited(descriptors)) {
            Ok(child) => {
                let recorder = recorder::start(&storage, channels, journal);
                Ok((child, Recording::One(recorder), project, meta.id, lock))
            }
            Err(error) => not_started(&mut journal, error),
        }
    }

    fn run(self, request: &Request) -> Result<Recorded, Error> {
        let meta = self.meta.clone();
        let (mut child, recording, project, run, lock) = self.start(request)?;
        let data = data::start(project.layout(), &meta);
        let (exit_code, signal) = wait(&mut child, &request.command.python)?;
        let (journal, mut problems) = match recording {
            Recording::One(recorder) => recorder.finish(),
            Recording::Several(ranks) => ranks.finish(),
        };
        let ending = serde_json::json!({ "exit_code": exit_code, "signal": signal, "unix_ms": now_ms() });
        match journal.map(|mut journal| journal.append(&[Event::End(ending.to_string())])) {
            Some(Ok(())) => {}
            Some(Err(error)) => problems.push(error.to_string()),
            None => problems.push("the recorder failed".into()),
        }
        data.finish();
        if let Err(error) = settle(project.layout(), &run) {
            problems.push(error.to_string());
        }
        // A process that the script left behind may have inherited it.
        lock.release();
        // The journals are written: what the database cannot take now, it takes when it is next opened.
        if let Err(error) = project.refresh() {
            problems.push(error.to_string());
        }
        // At the recorder's own low priority: whoever trains beside this run comes first.
        priority::low();
        match project.keep_budget(&run) {
            Ok(None) => {}
            Ok(Some(report)) => problems.extend(told(&report)),
            Err(error) => problems.push(format!("checkpoints were not kept within the budget: {error}")),
        }
        // What the script's side could not log or capture stands in its journal.
        let noted = project.run_detail(&run).map(|detail| detail.summary.notes).unwrap_or_default();
        problems.extend(noted);
        let mut told = BTreeSet::new();
        problems.retain(|problem| told.insert(problem.clone()));
        Ok(Recorded { run: Some(run), exit_code, problems })
    }
}

/// Has what was recorded survive a power cut, now that the run is about to be called recorded.
fn settle(layout: &Layout, run: &RunId) -> Result<(), FileError> {
    for folder in layout.ranks(run).into_iter().map(|rank| layout.rank(run, rank)) {
        [names::EVENTS, names::RECORDER].iter().try_for_each(|name| files::sync(&folder.join(name)))?;
        files::sync(&folder)?;
    }
    files::sync(&layout.runs())
}

/// What was removed to keep the budget, in words.
fn told(report: &GcReport) -> Option<String> {
    let iterations: usize = report.dropped.iter().map(|drop| drop.iterations.len()).sum();
    let iterations = counted(iterations as u64, "iteration");
    let freed = bytes(report.swept.freed_bytes);
    let what =
        format!("to stay within the budget the checkpoints of {iterations} were removed ({freed}): `afterlog du`");
    (!report.dropped.is_empty()).then_some(what)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The seed of string hashes, and so of the order of sets: the user's own, or the project's, so that replays of several
/// runs can share what is done at start-up.
fn hash_seed(layout: &Layout) -> String {
    match std::env::var("PYTHONHASHSEED") {
        Ok(seed) if !seed.is_empty() && seed != "random" => seed,
        _ => {
            let own = || (random() & 0xffff_ffff).to_string();
            let kept = layout.hash_seed();
            if !kept.exists() {
                // Of two runs that begin at once, each keeps the seed that it took; a later one takes what stays.
                let _ = files::write_atomic(&kept, own().as_bytes());
            }
            let seed = files::read_text(&kept).ok().and_then(|seed| seed.trim().parse::<u32>().ok());
            seed.map_or_else(own, |seed| seed.to_string())
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without a source of randomness, time and process id still differ from run to run.
    match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => u64::from_le_bytes(bytes) >> 1,
        Err(_) => now_ms().cast_unsigned() ^ u64::from(std::process::id()) << 40,
    }
}
