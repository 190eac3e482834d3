//! Starting processes: Python under a session, Python by itself, and this program's own helpers. Nobody else does.
//!
//! What a session's Python inherits is listed here in full: open files by number, and variables that the runtime
//! removes before the script sees its environment. Everything else of the parent's is closed on exec.

#![allow(clippy::disallowed_methods, reason = "this is the one home of Command::new")]

mod editor;
pub mod fork;
mod worker;

pub use self::editor::editor;
pub use self::worker::{Segment, Sharing, given_devices, given_prefix, worker};

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::base::files::{FileError, at};
use crate::base::ids::JobId;
use crate::store::journal::{self, JournalError};
use crate::store::layout::names;

/// Why a process cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("cannot start {}: {source}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("cannot make {what}: {source}")]
    Descriptor { what: &'static str, source: io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// A Python command line: interpreter, its flags, the script and the script's arguments. With a launcher, that program
/// and what stands before the script take the place of interpreter and flags.
#[derive(Debug, Clone)]
pub struct Invocation<'a> {
    pub python: &'a Path,
    pub flags: &'a [String],
    pub launcher: &'a [OsString],
    /// What `python -m` is asked for, if the script is run as a module.
    pub module: Option<&'a str>,
    pub script: &'a Path,
    pub args: &'a [OsString],
}

/// What a session's Python is told.
#[derive(Debug)]
pub struct Session<'a> {
    pub mode: Mode<'a>,
    /// The unpacked runtime.
    pub runtime: &'a Path,
    /// The run's or the segment's folder, absolute.
    pub directory: &'a Path,
    pub project_root: &'a Path,
    pub hash_seed: &'a str,
    pub entropy_seed: u64,
    /// Variables set on top of the inherited environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Inherited variables that are taken away: a replay has those of its run.
    pub without: &'a [String],
    pub streams: Streams<'a>,
    /// What the runtime must refuse the script: see `engine::replay::isolation`.
    pub guard: Option<&'a str>,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode<'a> {
    Record {
        checkpoints: Checkpoints,
    },
    Replay {
        /// The file that holds the `SegmentOrder`.
        order: &'a Path,
    },
}

/// When a recorded run takes checkpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Checkpoints {
    /// Where the pause is small against the training time since the last one.
    #[default]
    Adaptive,
    /// At every iteration.
    All,
    /// Never.
    Off,
}

/// Where a process's standard streams lead.
#[derive(Debug, Clone, Copy)]
pub enum Streams<'a> {
    /// Where this process's lead.
    Inherited,
    /// No input; output and errors are appended to the file.
    AppendedTo(&'a File),
}

/// How a session's Python comes by its open files.
#[derive(Debug)]
pub enum Handover<'a> {
    /// It inherits them.
    Inherited(Descriptors),
    /// Each process that the launcher starts asks for them at this socket.
    Asked(&'a Path),
}

/// The open files that a session's Python inherits.
#[derive(Debug)]
pub struct Descriptors {
    /// The journal, its header written.
    pub events: File,
    /// The copy of what the script prints.
    pub output: File,
    /// The script's end of the control channel.
    pub control: UnixStream,
    /// Shared memory for state.
    pub buffers: [File; 2],
    /// The run's or the job's lock, held for as long as the script runs.
    pub lock: Option<File>,
    /// Where segments ask for a process, if this one is to execute for them what comes before the main loop.
    pub asked: Option<OwnedFd>,
}

/// This process's side of a session's channels.
#[derive(Debug)]
pub struct Channels {
    pub control: UnixStream,
    pub buffers: [File; 2],
}

impl Descriptors {
    /// Opens the journal and the output file in `directory`, and makes the control channel and the shared buffers.
    ///
    /// # Errors
    /// If a file cannot be opened, or the system gives no more descriptors or memory files.
    pub fn open(directory: &Path, lock: Option<File>) -> Result<(Self, Channels), SpawnError> {
        let events = journal::Writer::open(&directory.join(names::EVENTS))?.into_file();
        let output = directory.join(names::OUTPUT);
        let output = OpenOptions::new().create(true).append(true).open(&output).map_err(at("open", &output))?;
        let failed = |what| move |source| SpawnError::Descriptor { what, source };
        let (ours, theirs) = UnixStream::pair().map_err(failed("a control channel"))?;
        let buffer = |name: &str| -> Result<(File, File), SpawnError> {
            let file = memory_file(name)?;
            let shared = file.try_clone().map_err(failed("a shared buffer"))?;
            Ok((file, shared))
        };
        let (first, first_shared) = buffer("afterlog-0")?;
        let (second, second_shared) = buffer("afterlog-1")?;
        let buffers = [first_shared, second_shared];
        let channels = Channels { control: ours, buffers: [first, second] };
        Ok((Self { events, output, control: theirs, buffers, lock, asked: None }, channels))
    }

    /// Sends these files to a process that asked for them, with the one that all processes of the run hold, and what else
    /// it is to know, as a JSON object.
    ///
    /// # Errors
    /// If it is gone.
    pub fn hand_over(&self, to: &UnixStream, agreed: &File, word: &str) -> Result<(), SpawnError> {
        let [first, second] = &self.buffers;
        let files = [self.events.as_raw_fd(), self.output.as_raw_fd(), self.control.as_raw_fd()]
            .into_iter()
            .chain([first.as_raw_fd(), second.as_raw_fd(), agreed.as_raw_fd()])
            .chain(self.lock.iter().map(AsRawFd::as_raw_fd));
        answer(to, word, &files.collect::<Vec<_>>())
    }

    /// Tells a process that asked that it gets none.
    ///
    /// # Errors
    /// If it is gone.
    pub fn refuse(to: &UnixStream, word: &str) -> Result<(), SpawnError> {
        answer(to, word, &[])
    }

    /// Lets the next process inherit these files; gives the runtime's table of them.
    fn release(&self) -> Result<String, SpawnError> {
        for descriptor in [self.events.as_fd(), self.output.as_fd(), self.control.as_fd()]
            .into_iter()
            .chain(self.buffers.iter().map(AsFd::as_fd))
            .chain(self.lock.iter().map(AsFd::as_fd))
            .chain(self.asked.iter().map(AsFd::as_fd))
        {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))
                .map_err(|errno| SpawnError::Descriptor { what: "a descriptor inheritable", source: errno.into() })?;
        }
        let [first, second] = self.buffers.each_ref().map(AsRawFd::as_raw_fd);
        let mut table = serde_json::json!({
            "events": self.events.as_raw_fd(),
            "output": self.output.as_raw_fd(),
            "control": self.control.as_raw_fd(),
            "buffers": [first, second],
            // Nothing to use; only to be kept from the script's own children.
            "keep": self.lock.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(),
        });
        if let Some(asked) = &self.asked {
            table["asked"] = asked.as_raw_fd().into();
        }
        Ok(table.to_string())
    }
}

/// A file that is on no disk, for processes to share.
///
/// # Errors
/// If the system gives no more memory files.
pub fn memory_file(name: &str) -> Result<File, SpawnError> {
    let memory = memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(io::Error::from);
    memory.map(File::from).map_err(|source| SpawnError::Descriptor { what: "a shared buffer", source })
}

fn answer(to: &UnixStream, word: &str, files: &[i32]) -> Result<(), SpawnError> {
    let rights = [ControlMessage::ScmRights(files)];
    let rights = if files.is_empty() { &[][..] } else { &rights };
    let bytes = [IoSlice::new(word.as_bytes())];
    let sent = sendmsg::<()>(to.as_raw_fd(), &bytes, rights, MsgFlags::MSG_NOSIGNAL, None);
    let failed = |errno: nix::Error| SpawnError::Descriptor { what: "a process's files", source: errno.into() };
    sent.map(drop).map_err(failed)
}

/// Starts a script under the runtime. Descriptors that it inherits are the child's alone afterwards.
///
/// # Errors
/// If the interpreter cannot be started.
pub fn session(
    invocation: &Invocation<'_>,
    session: &Session<'_>,
    handover: Handover<'_>,
) -> Result<Child, SpawnError> {
    let mut command = interpreter(invocation);
    command.arg(session.runtime.join("launch.py")).arg(invocation.script).args(invocation.args);
    take_away(&mut command, session.without);
    let users_path = match session.mode {
        Mode::Record { .. } => std::env::var_os("PYTHONPATH"),
        Mode::Replay { .. } => recorded_path(session.environment),
    };
    command.envs(given(session.runtime, users_path, session.hash_seed, session.environment));
    command.envs(told(invocation, session));
    if let Streams::AppendedTo(file) = session.streams {
        let copy = || file.try_clone().map(Stdio::from).map_err(duplicate);
        command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
    }
    match &handover {
        Handover::Inherited(descriptors) => command.env("AFTERLOG_FDS", descriptors.release()?),
        Handover::Asked(socket) => command.env("AFTERLOG_SOCKET", socket).env("AFTERLOG_OUTER", outer_ranks()),
    };
    start(&mut command)
}

/// Before any are set.
fn take_away(command: &mut Command, without: &[String]) {
    for name in without {
        command.env_remove(name);
    }
}

/// The variables that the script sees on top of the inherited ones; `path` is the user's own `PYTHONPATH`.
fn given(
    runtime: &Path,
    path: Option<OsString>,
    hash_seed: &str,
    environment: &BTreeMap<String, String>,
) -> Vec<(String, OsString)> {
    let own = [
        ("PYTHONHASHSEED".to_owned(), OsString::from(hash_seed)),
        ("PYTHONPATH".to_owned(), python_path(runtime, path)),
    ];
    environment.iter().map(|(name, value)| (name.clone(), value.into())).chain(own).collect()
}

/// The `PYTHONPATH` that a recorded run had itself, whatever the shell has now.
fn recorded_path(environment: &BTreeMap<String, String>) -> Option<OsString> {
    environment.get("PYTHONPATH").map(OsString::from)
}

/// The variables that tell the runtime what to do; it removes them before the script begins.
pub fn told(invocation: &Invocation<'_>, session: &Session<'_>) -> Vec<(&'static str, OsString)> {
    let mut told: Vec<(&str, OsString)> = vec![
        ("AFTERLOG_DIR", session.directory.into()),
        ("AFTERLOG_ROOT", session.project_root.into()),
        ("AFTERLOG_PLAN", session.directory.join(names::INSTRUMENTATION).into()),
        ("AFTERLOG_SEED", session.entropy_seed.to_string().into()),
    ];
    told.extend(std::env::current_exe().ok().map(|program| ("AFTERLOG_EXE", program.into())));
    match session.mode {
        Mode::Record { checkpoints } => {
            let word = match checkpoints {
                Checkpoints::Adaptive => "adaptive",
                Checkpoints::All => "all",
                Checkpoints::Off => "off",
            };
            told.extend([("AFTERLOG_MODE", "record".into()), ("AFTERLOG_CHECKPOINTS", word.into())]);
        }
        Mode::Replay { order } => {
            told.extend([("AFTERLOG_MODE", "replay".into()), ("AFTERLOG_ORDER", order.into())]);
            // Nobody else would end it, should this process be killed.
            let parent = std::process::id().to_string();
            told.extend([("AFTERLOG_CHECKPOINTS", "off".into()), ("AFTERLOG_PARENT", parent.into())]);
        }
    }
    told.extend(invocation.module.map(|module| ("AFTERLOG_MODULE", module.into())));
    told.extend(session.guard.map(|guard| ("AFTERLOG_GUARD", guard.into())));
    told
}

/// The variables by which processes are numbered, as they are for this one: a launcher inside numbers its own anew.
fn outer_ranks() -> String {
    let names = ["RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"];
    let set = names.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    serde_json::json!(set.collect::<BTreeMap<_, _>>()).to_string()
}

/// What runs the script: Python with its flags, or a launcher.
fn interpreter(invocation: &Invocation<'_>) -> Command {
    match invocation.launcher {
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words);
            command
        }
        [] => {
            let mut command = Command::new(invocation.python);
            command.args(invocation.flags);
            command
        }
    }
}

/// Starts a script unrecorded; with a runtime, `import afterlog` works in it and records nothing.
///
/// # Errors
/// If the interpreter cannot be started.
pub fn plain_python(invocation: &Invocation<'_>, runtime: Option<&Path>) -> Result<Child, SpawnError> {
    let mut command = interpreter(invocation);
    match invocation.module {
        Some(module) => command.args(["-m", module]),
        None => command.arg(invocation.script),
    };
    command.args(invocation.args);
    if let Some(runtime) = runtime {
        command.env("PYTHONPATH", python_path(runtime, std::env::var_os("PYTHONPATH")));
    }
    // Silences the inert calls' advice to do what was just tried.
    command.env("AFTERLOG_CHILD", "1");
    start(&mut command)
}

/// Runs a line of Python, isolated from the user's settings, and gives what it printed.
///
/// # Errors
/// If the interpreter cannot be started or fails; then with what it wrote to standard error.
pub fn ask_python(python: &Path, code: &str) -> Result<String, SpawnError> {
    let mut command = Command::new(python);
    let failed = |source| SpawnError::Start { program: python.to_owned(), source };
    let output = command.args(["-I", "-c", code]).stdin(Stdio::null()).output().map_err(failed)?;
    if !output.status.success() {
        return Err(failed(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts the process that performs a job and outlives this one: `afterlog __coordinate JOB`. It calls
/// [`leave_terminal`] first.
///
/// The job's lock becomes its standard input: so the lock is held from before the process exists until it is gone,
/// however it ends, and whoever finds it free knows that nobody works on the job any more. What is `secret` is in its
/// environment, and so in that of all that it starts.
///
/// # Errors
/// If this program cannot be started again.
pub fn coordinator(project_root: &Path, job: &JobId, lock: &File) -> Result<Child, SpawnError> {
    let mut command = ourselves(project_root)?;
    let lock = lock.try_clone().map_err(duplicate)?;
    command.args(["__coordinate", job.as_str()]);
    start(command.stdin(lock).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Has the kernel end this process when the one that started it ends, however that happens.
pub fn die_with_parent() {
    // Refused by no system that this runs on; without it a worker goes on until it next talks to its parent.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Whether a child has ended. Ends what it left behind in its process group, before the group's number can be another's.
///
/// # Errors
/// If it is not a child any more.
pub fn ended_with_group(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    if waitid(Id::Pid(pid), flags)? == WaitStatus::StillAlive {
        return Ok(None);
    }
    // Usually nothing but the child itself is left of it.
    let _ = killpg(pid, Signal::SIGKILL);
    child.wait().map(Some)
}

/// Ends a child and its process group.
pub fn end_group(child: &mut Child) {
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let _ = child.wait();
}

/// Tries whether a process of this program can have a file system view of its own; gives why not.
///
/// # Errors
/// If this program cannot be started again.
pub fn try_isolation(project_root: &Path, scratch: &Path) -> Result<Option<String>, SpawnError> {
    let mut command = ourselves(project_root)?;
    command.arg("__isolate").arg(scratch).stdin(Stdio::null());
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| SpawnError::Start { program, source })?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let failed = || format!("trying it ended with {}: {}", output.status, said(&output.stderr));
    let reason = if output.status.success() { said(&output.stdout) } else { failed() };
    Ok((!reason.is_empty()).then_some(reason))
}

/// Takes this process out of its terminal's session, so that neither Ctrl-C nor closing the terminal ends it.
pub fn leave_terminal() {
    // Fails only for a leader of a process group, which is not its terminal's to interrupt either.
    let _ = nix::unistd::setsid();
}

/// The signal-free answer of a finished child: its exit code, or 128 + the signal that ended it, and that signal.
pub fn outcome(status: std::process::ExitStatus) -> (i32, Option<i32>) {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal();
    (status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0)), signal)
}

fn ourselves(project_root: &Path) -> Result<Command, SpawnError> {
    let failed = |source| SpawnError::Descriptor { what: "out which program this is", source };
    let name = std::env::current_exe().map_err(failed)?;
    // The very file that this process runs, also where another has been put in its place since: their plans and messages
    // are the same.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).current_dir(project_root);
    Ok(command)
}

fn start(command: &mut Command) -> Result<Child, SpawnError> {
    let program = PathBuf::from(command.get_program());
    command.spawn().map_err(|source| SpawnError::Start { program, source })
}

fn duplicate(source: io::Error) -> SpawnError {
    SpawnError::Descriptor { what: "a second descriptor of a file", source }
}

/// The runtime first, then what the user had.
fn python_path(runtime: &Path, users: Option<OsString>) -> OsString {
    let mut path = OsString::from(runtime);
    if let Some(users) = users.filter(|users| !users.is_empty()) {
        path.push(OsStr::new(":"));
        path.push(users);
    }
    path
}
