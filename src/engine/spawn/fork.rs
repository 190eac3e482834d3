//! Fork servers: a Python each, isolated, that forks processes for workers (`engine::replay::forkserver`).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socketpair, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{SpawnError, duplicate, end_group, given, ourselves, recorded_path, start, take_away};

/// Tells a worker which process is its fork server; where to ask it is the worker's standard input.
pub(super) const SERVER: &str = "AFTERLOG_FORK_SERVER";
/// So long a server may take to isolate itself.
const PATIENCE_SECONDS: i64 = 60;

/// A fork server. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    pub(super) child: Child,
    pub(super) socket: OwnedFd,
}

/// What a fork server is to be.
#[derive(Debug)]
pub struct Order<'a> {
    pub python: &'a Path,
    pub flags: &'a [String],
    pub runtime: &'a Path,
    pub cwd: &'a Path,
    pub hash_seed: &'a str,
    pub environment: &'a BTreeMap<String, String>,
    /// Inherited variables that are taken away.
    pub without: &'a [String],
    /// What `serve.py` is told, as JSON.
    pub what: &'a str,
}

/// Starts a fork server: `afterlog __serve WHAT PYTHON…`, which isolates itself and becomes Python. It prints to `log`.
///
/// # Errors
/// If this program cannot be started again, or cannot isolate itself.
pub fn server(order: &Order<'_>, log: &File) -> Result<Server, SpawnError> {
    let (socket, theirs) = channel().map_err(|source| SpawnError::Descriptor { what: "a channel", source })?;
    let mut command = ourselves(order.cwd)?;
    command.args(["__serve", order.what]).arg(order.python).args(order.flags).arg(order.runtime.join("serve.py"));
    take_away(&mut command, order.without);
    let users_path = recorded_path(order.environment);
    command.envs(given(order.runtime, users_path, order.hash_seed, order.environment));
    let copy = || log.try_clone().map_err(duplicate);
    command.process_group(0).stdin(theirs).stdout(copy()?).stderr(copy()?);
    let child = start(&mut command)?;
    // It holds the other end until then.
    drop(command);
    let server = Server { child, socket };
    match server.await_isolation() {
        Ok(()) => Ok(server),
        Err(source) => Err(SpawnError::Start { program: order.python.to_owned(), source }),
    }
}

impl Server {
    fn await_isolation(&self) -> io::Result<()> {
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
        match recv(self.socket.as_raw_fd(), &mut [0; 16], MsgFlags::empty())? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end_group(&mut self.child);
    }
}

/// Says to whom started this process that all is prepared, and becomes Python with `serve.py`; returns only if it cannot.
pub fn become_server(what: &str, python: &[OsString]) -> SpawnError {
    let (program, words) = python.split_first().map_or_else(Default::default, |(p, words)| (PathBuf::from(p), words));
    let inherited = || -> io::Result<OwnedFd> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        send(socket.as_raw_fd(), b"ready", MsgFlags::MSG_NOSIGNAL)?;
        Ok(socket)
    };
    let source = match inherited() {
        Ok(socket) => {
            let mut command = Command::new(&program);
            command.args(words).arg(socket.as_raw_fd().to_string()).arg(what).stdin(Stdio::null());
            command.exec()
        }
        Err(source) => source,
    };
    SpawnError::Start { program, source }
}

/// The fork server that this worker was given: its process id, and where to ask.
pub fn given_server() -> Option<(u32, io::Result<OwnedFd>)> {
    let process = std::env::var(SERVER).ok()?.parse().ok()?;
    Some((process, io::stdin().as_fd().try_clone_to_owned()))
}

/// Two ends of a channel of messages that also carry open files.
///
/// # Errors
/// If the system gives no more descriptors.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}
