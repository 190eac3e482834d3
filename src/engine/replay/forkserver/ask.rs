//! The worker's side: asks the fork server for a process in the worker's place, and waits for its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};
use nix::unistd::getpgrp;
use serde::Deserialize;

use crate::engine::Error;
use crate::engine::machine::VISIBLE;
use crate::engine::spawn::{self, Descriptors, Invocation, Session, fork};

/// Longer than any answer.
const MAX_ANSWER_BYTES: usize = 1 << 16;

/// The server that this worker may ask.
pub(in crate::engine::replay) struct Asked {
    socket: OwnedFd,
    /// Whether what it forks has come to the main loop already.
    pub(in crate::engine::replay) is_prefix: bool,
}

/// Why what comes before the main loop is not shared.
pub(in crate::engine::replay) struct NotShared {
    pub(in crate::engine::replay) reason: String,
    /// Whether it lies in what the script does: then it is so the next time, too.
    pub(in crate::engine::replay) is_scripts: bool,
}

/// What came of it.
pub(in crate::engine::replay) enum Started {
    Forked(Forked),
    /// Nothing of the segment's was touched; why.
    Afresh(String),
}

/// A process that the server has forked and watches.
pub(in crate::engine::replay) struct Forked {
    answers: OwnedFd,
    process: i32,
}

/// A message from the server or from the process that it forked.
#[derive(Debug, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum Answer {
    /// The process is what a fresh start would be, and is about to run the script.
    Started { process: i32 },
    /// So may a process be that this one forks when it is asked.
    Ready { process: i32 },
    /// It cannot be, and whether it cannot be the next time either.
    Afresh {
        reason: String,
        #[serde(default)]
        stays: bool,
    },
    /// Its status, as `waitpid` gives it.
    Ended { status: i32 },
}

impl Asked {
    /// The server that the coordinator gave this worker. Enters its user namespace, in which this process must then make
    /// its own; the process must have a single thread.
    pub(in crate::engine::replay) fn join() -> Option<Result<Self, String>> {
        let (process, socket) = fork::given_server()?;
        let namespace = format!("/proc/{process}/ns/user");
        let joined = File::open(namespace).and_then(|file| Ok(setns(file, CloneFlags::CLONE_NEWUSER)?));
        Some(match (joined, socket) {
            (Ok(()), Ok(socket)) => Ok(Self { socket, is_prefix: false }),
            (Err(error), _) | (_, Err(error)) => Err(format!("the fork server cannot be joined: {error}")),
        })
    }

    /// Waits for the process that executes for several segments what comes before the main loop; then `prepares` a view
    /// for this one, and enters that one's user namespace as [`Self::join`] does.
    ///
    /// # Errors
    /// In words, why nothing can be forked from it. This process is then as it was.
    pub(in crate::engine::replay) fn at_main_loop(
        socket: io::Result<OwnedFd>,
        prepares: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Self, NotShared> {
        let other = |reason: String| NotShared { reason, is_scripts: false };
        let waited = socket.and_then(|socket| {
            let (answers, theirs) = fork::channel()?;
            let files = [theirs.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&files)];
            let bytes = [IoSlice::new(br#"{"waits": true}"#)];
            sendmsg::<()>(socket.as_raw_fd(), &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
            drop(theirs);
            Ok((socket, next(&answers)?))
        });
        match waited {
            Ok((socket, Some(Answer::Ready { process }))) => {
                prepares().map_err(|error| other(error.to_string()))?;
                let namespace = format!("/proc/{process}/ns/user");
                let joined = File::open(namespace).and_then(|file| Ok(setns(file, CloneFlags::CLONE_NEWUSER)?));
                joined.map_err(|error| other(format!("its view cannot be joined: {error}")))?;
                Ok(Self { socket, is_prefix: true })
            }
            Ok((_, Some(Answer::Afresh { reason, stays }))) => Err(NotShared { reason, is_scripts: stays }),
            // Its end, or that of whoever started it.
            Ok(_) | Err(_) => Err(other("the process that was to execute it for several has ended".into())),
        }
    }

    /// Asks for a process that is what [`spawn::session`] would start. This process must be in its view already.
    pub(in crate::engine::replay) fn start(
        &self,
        invocation: &Invocation<'_>,
        session: &Session<'_>,
        cwd: &Path,
        descriptors: &Descriptors,
    ) -> Started {
        match self.request(invocation, session, cwd, descriptors) {
            Ok(started) => started,
            Err(error) => Started::Afresh(format!("the fork server cannot be asked: {error}")),
        }
    }

    fn request(
        &self,
        invocation: &Invocation<'_>,
        session: &Session<'_>,
        cwd: &Path,
        descriptors: &Descriptors,
    ) -> io::Result<Started> {
        let mut told = spawn::told(invocation, session);
        // The one variable in which segments that share a server differ.
        told.extend(session.environment.get(VISIBLE).map(|devices| (VISIBLE, devices.into())));
        let text = |text: &std::ffi::OsStr| text.to_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidData);
        let environment: BTreeMap<String, String> =
            told.into_iter().map(|(name, value)| Ok((name.to_owned(), text(&value)?))).collect::<io::Result<_>>()?;
        let request = serde_json::json!({
            "group": getpgrp().as_raw(),
            "cwd": text(cwd.as_os_str())?,
            "script": text(invocation.script.as_os_str())?,
            "args": invocation.args.iter().map(|arg| Ok(text(arg)?)).collect::<io::Result<Vec<String>>>()?,
            "environment": environment,
        })
        .to_string();
        let (answers, theirs) = fork::channel()?;
        let (user, mounts) = (File::open("/proc/self/ns/user")?, File::open("/proc/self/ns/mnt")?);
        let Descriptors { events, output, control, buffers: [first, second], .. } = descriptors;
        let files = [theirs.as_fd(), user.as_fd(), mounts.as_fd(), events.as_fd(), output.as_fd()];
        let files = files.into_iter().chain([control.as_fd(), first.as_fd(), second.as_fd()]);
        let files = files.chain(descriptors.asked.as_ref().map(AsFd::as_fd));
        let files: Vec<i32> = files.map(|file| file.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&files)];
        let bytes = [IoSlice::new(request.as_bytes())];
        sendmsg::<()>(self.socket.as_raw_fd(), &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        drop(theirs);
        Ok(match next(&answers)? {
            Some(Answer::Started { process }) => Started::Forked(Forked { answers, process }),
            Some(Answer::Afresh { reason, .. }) => Started::Afresh(reason),
            Some(Answer::Ended { .. } | Answer::Ready { .. }) => {
                Started::Afresh("the forked process ended before it began".into())
            }
            None => Started::Afresh("the fork server has ended".into()),
        })
    }
}

impl Forked {
    /// Waits for the process's end. `None` where the server ended first: with it the kernel ends what it forked.
    ///
    /// # Errors
    /// If the server's answer makes no sense.
    pub(in crate::engine::replay) fn wait(&self) -> io::Result<Option<ExitStatus>> {
        loop {
            match next(&self.answers)? {
                Some(Answer::Ended { status }) => return Ok(Some(ExitStatus::from_raw(status))),
                Some(_) => {}
                None => {
                    until_gone(self.process);
                    return Ok(None);
                }
            }
        }
    }
}

/// Waits for the end of a process that is being killed, whoever is told of it: a last write of its may be under way.
fn until_gone(process: i32) {
    // A kill takes longer only where a disk does not answer.
    for _ in 0..2000 {
        let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let mut states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        // Those that have ended are there until somebody asks how.
        let runs = |state: String| !state.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']));
        if !states.any(runs) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The next message; `None` where there will be none.
fn next(answers: &OwnedFd) -> io::Result<Option<Answer>> {
    let mut bytes = vec![0; MAX_ANSWER_BYTES];
    loop {
        match recv(answers.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Ok(0) | Err(nix::Error::ECONNRESET) => return Ok(None),
            Ok(length) => return serde_json::from_slice(&bytes[..length]).map(Some).map_err(io::Error::other),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
