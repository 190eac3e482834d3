//! Workers: processes of this program that perform one segment each.

use std::fs::File;
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
}

/// Tells a worker which GPUs its script may see.
const DEVICES: &str = "AFTERLOG_DEVICES";

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
    segment: &Segment<'_>,
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
    start(command.process_group(0).stdout(Stdio::null()).stderr(log))
}
