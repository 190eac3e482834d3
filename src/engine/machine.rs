//! The cores and GPUs of this machine, and what of them a run's replay needs to compute as the run did.

use std::fs;

use crate::model::run::{Facts, RunMeta};

/// Which devices CUDA may see, by number or by name; nothing or `-1`: none.
pub const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
/// Where these are set, threads are as the run's environment has them.
const THREADS: [&str; 2] = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"];

/// What there is here to compute with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub hostname: String,
    /// That may be kept busy: a container's share of them may be less than what it sees.
    pub cores: usize,
    /// That this process may be put on, as runs note it.
    seen: usize,
    /// As `CUDA_VISIBLE_DEVICES` names them.
    pub gpus: Vec<String>,
}

impl Machine {
    /// This one, as this process may use it. A driver that hides its devices' files (WSL) is not seen.
    pub fn here() -> Self {
        let visible = std::env::var(VISIBLE).ok();
        Self {
            hostname: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            cores: cores(),
            seen: rustix::thread::sched_getaffinity(None).map_or_else(|_| cores(), |seen| seen.count() as usize),
            gpus: chosen(visible.as_deref(), nodes()),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// NVIDIA's devices: containers are given files of those only that they may use, and else the driver lists them.
fn nodes() -> usize {
    let names = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_device = |name: &str| name.strip_prefix("nvidia").is_some_and(is_number);
    let files = names("/dev").filter(|name| name.to_str().is_some_and(is_device)).count();
    if files > 0 { files } else { names("/proc/driver/nvidia/gpus").count() }
}

/// The devices that CUDA would see. It ignores what follows a number that there is no device for.
fn chosen(visible: Option<&str>, nodes: usize) -> Vec<String> {
    let Some(visible) = visible else { return (0..nodes).map(|number| number.to_string()).collect() };
    let is_there = |name: &&str| match name.parse::<usize>() {
        Ok(number) => number < nodes,
        Err(_) => !name.is_empty() && !name.starts_with('-'),
    };
    visible.split(',').map(str::trim).take_while(is_there).map(str::to_owned).collect()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The threads that a replay here has to be told to compute with, since it would by itself take as many as there are cores.
pub fn threads(recorded: &Facts, meta: &RunMeta, here: &Machine) -> Option<u32> {
    let is_chosen = THREADS.iter().any(|name| meta.environment.contains_key(*name));
    recorded.threads.filter(|_| !is_chosen && !is_alike(recorded, &meta.hostname, here))
}

/// Whether a process here sees as many cores as the run did.
fn is_alike(recorded: &Facts, hostname: &str, here: &Machine) -> bool {
    // What older runs did not note is taken to be the same on the same machine.
    recorded.cores.map_or(hostname == here.hostname, |cores| cores as usize == here.seen)
}

/// The GPUs that a replay is to see: as many as the run did, since scripts choose by what they see. `None`: those that its
/// environment says.
pub fn devices(recorded: &Facts, meta: &RunMeta, here: &Machine) -> Option<u32> {
    let count = u32::try_from(recorded.devices.len()).unwrap_or(u32::MAX);
    // One that had none to choose, on another machine, would choose one here.
    let may_choose = recorded.threads.is_some() && meta.hostname != here.hostname && !here.gpus.is_empty();
    (count > 0 || may_choose).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::{Machine, chosen, is_alike};
    use crate::model::run::Facts;

    #[test]
    fn devices_are_those_that_cuda_would_see() {
        let check =
            |visible, nodes, expected: &[&str]| assert_eq!(chosen(visible, nodes), expected, "{visible:?} of {nodes}");
        check(None, 2, &["0", "1"]);
        check(None, 0, &[]);
        check(Some(""), 2, &[]);
        check(Some("-1"), 2, &[]);
        check(Some("1"), 2, &["1"]);
        check(Some("1, 0"), 2, &["1", "0"]);
        check(Some("1,2,0"), 2, &["1"]);
        check(Some("GPU-8932f937,MIG-3"), 1, &["GPU-8932f937", "MIG-3"]);
    }

    #[test]
    fn a_machine_is_alike_by_the_cores_that_a_process_sees_whatever_its_share_of_them_is() {
        let here = Machine { hostname: "here".into(), cores: 4, seen: 64, gpus: Vec::new() };
        let check = |cores, hostname, expected| {
            let recorded = Facts { cores, ..Facts::default() };
            assert_eq!(is_alike(&recorded, hostname, &here), expected, "{cores:?} of {hostname}");
        };
        check(Some(64), "there", true);
        check(Some(4), "here", false);
        check(None, "here", true);
        check(None, "there", false);
    }
}
