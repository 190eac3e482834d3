//! Workers: processes of this program that perform one segment each.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use super::{SpawnError, duplicate, fork, ourselves, start};
use crate::base::ids::JobId;

/// One segment of a job, for its worker.
#[derive(Debug)]
pub struct Segment<'a> {
    pub job: &'a JobId,
    pub number: u32,
    /// The GPUs that it has for itself.
    pub devices: Option<&'a str>,
    pub sharing: Sharing<'a>,
}

/// What a segment shares with others of its run.
#[derive(Debug)]
pub enum Sharing<'a> {
    Nothing,
    /// Its process is forked from the one that is asked here: that has executed what comes before the main loop.
    Asks(&'a OwnedFd),
    /// It is itself that process, and is asked here.
    Serves(OwnedFd),
}

/// Tells a worker which GPUs its script may see.
const DEVICES: &str = "AFTERLOG_DEVICES";

/// Tells a worker that its standard output is where what comes before the main loop is asked for, or asked of it.
const SHARES: &str = "AFTERLOG_SHARES";

/// Where this worker asks for a process that has executed what comes before the main loop, or is asked for one.
pub fn given_prefix() -> Option<io::Result<OwnedFd>> {
    std::env::var_os(SHARES).map(|_| io::stdout().as_fd().try_clone_to_owned())
}

/// The GPUs that this worker was given.
pub fn given_devices() -> Option<String> {
    std::env::var(DEVICES).ok()
}

/// Starts the process that performs one segment of a job: `afterlog __worker JOB N`. Its messages go to `log`. It leads a
/// process group of its own, which everything that it starts belongs to, or that is forked for it.
///
/// # Errors
/// If this program cannot be started again.
pub fn worker(
    project_root: &Path,
    segment: Segment<'_>,
    log: &File,
    server: Option<&fork::Server>,
) -> Result<Child, SpawnError> {
    let mut command = ourselves(project_root)?;
    let log = log.try_clone().map_err(duplicate)?;
    command.args(["__worker", segment.job.as_str(), &segment.number.to_string()]).stdin(Stdio::null());
    command.env_remove(fork::SERVER).env_remove(DEVICES).envs(segment.devices.map(|devices| (DEVICES, devices)));
    if let Some(server) = server {
        command.stdin(server.socket.try_clone().map_err(duplicate)?).env(fork::SERVER, server.child.id().to_string());
    }
    let shared = match segment.sharing {
        Sharing::Nothing => None,
        Sharing::Asks(socket) => Some(socket.try_clone().map_err(duplicate)?),
        Sharing::Serves(socket) => {
            command.arg("--prefix");
            Some(socket)
        }
    };
    command.env_remove(SHARES).envs(shared.as_ref().map(|_| (SHARES, "1")));
    start(command.process_group(0).stdout(shared.map_or_else(Stdio::null, Stdio::from)).stderr(log))
}
