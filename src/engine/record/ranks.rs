//! The processes of a script that a launcher starts (torchrun, accelerate): each connects to a socket when it begins, says
//! its rank, and is handed its open files.
//!
//! Rank 0 is the run: its journal, output and checkpoints are the run's. Every other rank on this machine keeps the same in
//! `ranks/N` of the run's folder; the chunks of all checkpoints lie in the run's packs. Which iterations all of them take
//! is what rank 0 writes into a memory file that all hold.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use serde::Deserialize;
use serde_json::json;

use crate::base::files::{self, at};
use crate::base::ids::RunId;
use crate::engine::Error;
use crate::engine::record::recorder::{self, Recorder};
use crate::engine::record::storage::Storage;
use crate::engine::spawn::{self, Channels, Descriptors};
use crate::store::journal::{Event, Writer, read_from};
use crate::store::layout::names;

/// A process that has connected must say its rank within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Milliseconds after which the thread that answers looks whether all is over.
const WAKING_MS: u16 = 200;
/// So many ranks that never came are named.
const NAMED: usize = 8;

/// The socket that the processes connect to, made before the first of them starts.
pub(super) struct Socket {
    listener: UnixListener,
    folder: PathBuf,
}

impl Socket {
    /// Binds a socket that only this user can reach.
    ///
    /// # Errors
    /// If neither the temporary folder nor `/tmp` takes one.
    pub(super) fn bind(run: &RunId) -> Result<Self, Error> {
        let bind = |place: PathBuf| {
            let folder = place.join(format!("afterlog-{run}"));
            DirBuilder::new().mode(0o700).create(&folder).map_err(at("create", &folder))?;
            let socket = Self { listener: bound(&folder)?, folder };
            Ok(socket)
        };
        // Addresses of sockets are short, and a TMPDIR may be long.
        bind(std::env::temp_dir()).or_else(|_: Error| bind("/tmp".into()))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("socket")
    }
}

fn bound(folder: &Path) -> Result<UnixListener, Error> {
    let path = folder.join("socket");
    UnixListener::bind(&path).map_err(|source| {
        // Empty; what is left of it is in nobody's way.
        let _ = std::fs::remove_dir(folder);
        at("listen at", &path)(source).into()
    })
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Temporary, and of no use to anyone without the recorder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The recorder of all ranks at work.
pub(super) struct Ranks {
    thread: JoinHandle<Members>,
    path: PathBuf,
    over: Arc<AtomicBool>,
}

/// What rank 0's recorder is made of.
pub(super) struct Main {
    pub storage: Arc<Storage>,
    pub folder: PathBuf,
    pub lock: File,
    pub descriptors: Descriptors,
    pub channels: Channels,
    pub journal: Writer,
}

/// Starts answering.
pub(super) fn start(socket: Socket, main: Main) -> Ranks {
    let (path, over) = (socket.path(), Arc::new(AtomicBool::new(false)));
    let ended = over.clone();
    let Main { storage, folder, lock, descriptors, channels, journal } = main;
    let mut members = Members {
        folder,
        lock,
        storage,
        waiting: Some((descriptors, channels, journal)),
        recorders: BTreeMap::new(),
        agreed: None,
        worlds: BTreeMap::new(),
        problems: Vec::new(),
    };
    let thread = std::thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            let mut listening = [PollFd::new(socket.listener.as_fd(), PollFlags::POLLIN)];
            // With a limit: a script that clears the temporary folder takes away by what this thread is woken.
            if poll(&mut listening, WAKING_MS).unwrap_or(0) == 0 || ended.load(Ordering::SeqCst) {
                continue;
            }
            // One that leaves before it is answered runs unrecorded, and says so itself.
            if let Ok((stream, _)) = socket.listener.accept()
                && let Err(error) = members.welcome(&stream)
            {
                members.problems.push(format!("a process of the script was not recorded: {error}"));
            }
        }
        members
    });
    Ranks { thread, path, over }
}

impl Ranks {
    /// Waits until what all ranks handed over is stored; gives the run's journal back, and what was lost on any rank.
    pub(super) fn finish(self) -> (Option<Writer>, Vec<String>) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread at once where it can.
        let _ = UnixStream::connect(&self.path);
        match self.thread.join() {
            Ok(members) => members.finish(),
            Err(_) => (None, Vec::new()),
        }
    }
}

struct Members {
    folder: PathBuf,
    lock: File,
    storage: Arc<Storage>,
    /// What rank 0 gets when it comes.
    waiting: Option<(Descriptors, Channels, Writer)>,
    recorders: BTreeMap<u64, Recorder>,
    /// The iterations of which rank 0 decided that every rank keeps them; made for the first that comes.
    agreed: Option<File>,
    /// The ranks that came, and how many each said there are.
    worlds: BTreeMap<u64, u64>,
    problems: Vec<String>,
}

/// What a process says when it connects.
#[derive(Debug, Deserialize)]
struct Hello {
    rank: u64,
    world: u64,
}

impl Members {
    fn welcome(&mut self, stream: &UnixStream) -> Result<(), Error> {
        let failed = at("answer at", &self.folder);
        let hello = hello(stream).map_err(failed)?;
        let refused = self.worlds.insert(hello.rank, hello.world).is_some();
        if refused {
            let what = format!("a second process of rank {} began: what it did is not recorded", hello.rank);
            let answer = json!({ "refused": what }).to_string();
            self.problems.push(what);
            return Ok(Descriptors::refuse(stream, &answer)?);
        }
        let (descriptors, channels, journal) = match self.waiting.take_if(|_| hello.rank == 0) {
            Some(own) => own,
            None => {
                let folder = self.folder.join(names::RANKS).join(hello.rank.to_string());
                files::create_dir_all(&folder)?;
                let lock = self.lock.try_clone().map_err(at("lock", &folder))?;
                let (descriptors, channels) = Descriptors::open(&folder, Some(lock))?;
                (descriptors, channels, Writer::open(&folder.join(names::RECORDER))?)
            }
        };
        let agreed = match &self.agreed {
            Some(agreed) => agreed,
            None => self.agreed.insert(spawn::memory_file("afterlog-agreed")?),
        };
        self.recorders.insert(hello.rank, recorder::start(&self.storage, channels, journal));
        Ok(descriptors.hand_over(stream, agreed, "{}")?)
    }

    fn finish(self) -> (Option<Writer>, Vec<String>) {
        let mut problems = self.problems;
        let mut journal = None;
        if let Some((.., unused)) = self.waiting {
            problems.push("the launcher started no process of rank 0 here that could be recorded".into());
            journal = Some(unused);
        }
        for (rank, recorder) in self.recorders {
            let (written, lost) = recorder.finish();
            if rank == 0 {
                journal = written;
                problems.extend(lost);
            } else {
                problems.extend(lost.into_iter().map(|what| format!("rank {rank}: {what}")));
            }
        }
        for rank in self.worlds.keys().filter(|rank| **rank > 0) {
            let events = self.folder.join(names::RANKS).join(rank.to_string()).join(names::EVENTS);
            problems.extend(problems_of(*rank, &events));
        }
        // How many there are said to be may be any number.
        let world = self.worlds.values().copied().max().unwrap_or(0);
        let absent = (1..world).filter(|rank| !self.worlds.contains_key(rank));
        problems.extend(
            absent.take(NAMED).map(|rank| format!("rank {rank} was not recorded: it ran elsewhere, or never began")),
        );
        let Some(mut journal) = journal else { return (None, problems) };
        let notes: Vec<Event> = problems.iter().cloned().map(Event::Note).collect();
        // What cannot be noted is said at the end in any case.
        let _ = journal.append(&notes);
        (Some(journal), problems)
    }
}

fn hello(stream: &UnixStream) -> io::Result<Hello> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

/// How a rank ended.
#[derive(Debug, Deserialize)]
struct End {
    exit_code: Option<i32>,
    exception: Option<String>,
}

/// What went wrong on a rank, from its journal.
fn problems_of(rank: u64, events: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut offset, mut end) = (0, None);
    loop {
        let batch = match read_from(events, offset) {
            Ok(batch) => batch,
            Err(error) => return vec![format!("rank {rank}: {error}")],
        };
        for event in batch.events {
            match event {
                Event::Note(note) => problems.push(format!("rank {rank}: {note}")),
                Event::End(json) => end = serde_json::from_str::<End>(&json).ok(),
                _ => {}
            }
        }
        offset = batch.next_offset;
        if !batch.more {
            break;
        }
    }
    match end {
        None => problems.push(format!("rank {rank} ended without saying so")),
        Some(End { exception: Some(exception), .. }) => problems.push(format!("rank {rank} failed: {exception}")),
        Some(End { exit_code: Some(code), .. }) if code != 0 => {
            problems.push(format!("rank {rank} ended with exit code {code}"));
        }
        Some(_) => {}
    }
    problems
}
