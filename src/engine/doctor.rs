//! What this machine allows, and what follows from it for recording and replaying.
//!
//! Everything is tried rather than guessed; nothing of the user's is changed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Serialize;

use crate::base::files;
use crate::base::ids::JobId;
use crate::base::units::{bytes, counted};
use crate::engine::machine::Machine;
use crate::engine::replay::isolation;
use crate::engine::{Error, project, record, spawn};
use crate::model::plan::Isolation;
use crate::store::layout::Layout;
use crate::store::versions::{Versions, work_tree_root};

/// Less than this is soon full.
const LITTLE_DISK: u64 = 2_000_000_000;
const NO_DISK: u64 = 50_000_000;
const LITTLE_MEMORY: u64 = 1_000_000_000;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ok,
    /// Something works less well.
    Warn,
    /// Something that is needed does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub level: Level,
    pub found: String,
    /// What follows from it; empty where there is nothing to say.
    pub follows: String,
}

fn finding(what: &'static str, level: Level, found: impl Into<String>, follows: impl Into<String>) -> Finding {
    Finding { what, level, found: found.into(), follows: follows.into() }
}

/// Looks at everything, for the project that `start` lies in or would be recorded in.
pub fn examine(start: &Path) -> Vec<Finding> {
    let root = project::root_of(start);
    let mut findings = vec![store(&root), isolation(&root), shared_memory()];
    findings.extend(python());
    findings.extend([git(&root), disk(&root), memory(), cores(), gpus()]);
    findings
}

fn store(root: &Path) -> Finding {
    match Layout::open(root) {
        Ok(Some(layout)) if layout.is_read_only() => {
            let follows = "what was recorded can be read; nothing more can be recorded or replayed here";
            finding("store", Level::Warn, format!("{} cannot be written", layout.store().display()), follows)
        }
        Ok(Some(layout)) => finding("store", Level::Ok, layout.store().display().to_string(), ""),
        Ok(None) if nix::unistd::access(root, nix::unistd::AccessFlags::W_OK).is_err() => {
            let found = format!("{} cannot be written", root.display());
            finding("store", Level::Fail, found, "scripts run here unrecorded")
        }
        Ok(None) => {
            let found = format!("none yet in {}", root.display());
            finding("store", Level::Ok, found, "`afterlog run` makes it")
        }
        Err(error) => {
            let error = Error::from(error);
            finding("store", Level::Fail, error.to_string(), error.hint().unwrap_or_default())
        }
    }
}

/// How replays are kept from the user's files. Tried in the project, or where there is no store yet in a folder of its own.
fn isolation(root: &Path) -> Finding {
    let elsewhere = std::env::temp_dir().join(format!("afterlog-doctor-{}", JobId::generate()));
    let layout = match Layout::open(root) {
        Ok(Some(layout)) if !layout.is_read_only() => Ok(layout),
        _ => files::create_dir_all(&elsewhere).map_err(Error::from).and_then(|()| Ok(Layout::create(&elsewhere)?)),
    };
    let chosen = layout.and_then(|layout| isolation::choose(&layout));
    // Only there if it was made above.
    let _ = std::fs::remove_dir_all(&elsewhere);
    match chosen {
        Ok(Isolation::Namespace) => {
            let follows = "replays run at the project's own path, and every write is caught";
            finding("isolation", Level::Ok, "user namespaces with overlays", follows)
        }
        Ok(Isolation::Scratch { reason, kernel }) => {
            let limits = if kernel {
                "the kernel refuses writes outside it"
            } else {
                "only Python's own writes outside it are refused, and no other program can be started"
            };
            let follows = format!("replays run in a scratch copy at another path; {limits}");
            finding("isolation", Level::Warn, format!("no namespaces ({reason})"), follows)
        }
        Err(error) => finding("isolation", Level::Fail, error.to_string(), error.hint().unwrap_or_default()),
    }
}

fn shared_memory() -> Finding {
    const TRIED: usize = 1 << 20;
    let tried = memfd_create("afterlog-doctor", MFdFlags::MFD_CLOEXEC).map_err(std::io::Error::from);
    match tried.and_then(|memory| File::from(memory).write_all_at(&vec![1; TRIED], 0)) {
        Ok(()) => finding(
            "shared memory",
            Level::Ok,
            "works",
            "checkpoints are handed over without pausing training for the disk",
        ),
        Err(error) => finding(
            "shared memory",
            Level::Fail,
            error.to_string(),
            "no checkpoints can be taken, and no state restored",
        ),
    }
}

#[derive(serde::Deserialize)]
struct Asked {
    version: (u32, u32, u32),
    executable: String,
    torch: Option<String>,
}

fn python() -> Vec<Finding> {
    const CODE: &str = "
import json, sys
torch = None
try:
    from importlib.metadata import version
    torch = version('torch')
except Exception:
    pass
print(json.dumps({'version': sys.version_info[:3], 'executable': sys.executable, 'torch': torch}))";
    let asked = record::find_python(None).and_then(|python| {
        let said = spawn::ask_python(&python, CODE)?;
        serde_json::from_str::<Asked>(&said).map_err(|error| Error::BadFile { path: python, what: error.to_string() })
    });
    let Asked { version: (major, minor, micro), executable, torch } = match asked {
        Ok(asked) => asked,
        Err(error) => {
            return vec![finding("python", Level::Fail, error.to_string(), error.hint().unwrap_or_default())];
        }
    };
    let found = format!("{major}.{minor}.{micro} ({executable})");
    let python = if (major, minor) < (3, 8) {
        finding("python", Level::Fail, found, "3.8 or newer is needed")
    } else {
        finding("python", Level::Ok, found, "")
    };
    let torch = match torch {
        Some(version) => finding("torch", Level::Ok, version, ""),
        None => finding("torch", Level::Ok, "not installed there", "only scripts that import it need it"),
    };
    vec![python, torch]
}

fn git(root: &Path) -> Finding {
    let Some(tree) = work_tree_root(root) else {
        let follows = "versions go to a private repository in the store; nothing else is lost";
        return finding("git", Level::Ok, "the project is no repository", follows);
    };
    let found = format!("the repository of {}", tree.display());
    match Layout::open(root) {
        Ok(Some(layout)) => match Versions::open(&layout) {
            Ok(_) => finding("git", Level::Ok, found, "versions are kept under refs/afterlog/"),
            Err(error) => finding("git", Level::Fail, error.to_string(), "runs cannot be recorded"),
        },
        _ => finding("git", Level::Ok, found, "versions will be kept under refs/afterlog/"),
    }
}

fn disk(root: &Path) -> Finding {
    let Ok(found) = nix::sys::statvfs::statvfs(root) else {
        return finding("disk", Level::Warn, format!("nobody knows what is free in {}", root.display()), "");
    };
    let free = found.blocks_available().saturating_mul(found.fragment_size());
    let (level, follows) = match free {
        0..NO_DISK => (Level::Fail, "nothing more can be recorded: `afterlog gc` frees some"),
        NO_DISK..LITTLE_DISK => (Level::Warn, "checkpoints may take half of it, so that few are kept"),
        _ => (Level::Ok, "checkpoints may take half of it, unless .afterlog/config.toml says otherwise"),
    };
    finding("disk", level, format!("{} free", bytes(free)), follows)
}

fn memory() -> Finding {
    let text = files::read_text(Path::new("/proc/meminfo")).unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    match available.map(|kilobytes| kilobytes.saturating_mul(1024)) {
        Some(free) if free < LITTLE_MEMORY => finding(
            "memory",
            Level::Warn,
            format!("{} free", bytes(free)),
            "states that do not fit twice are not captured",
        ),
        Some(free) => finding("memory", Level::Ok, format!("{} free", bytes(free)), ""),
        None => finding("memory", Level::Warn, "nobody knows what is free", ""),
    }
}

fn cores() -> Finding {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let follows =
        format!("so many segments are replayed at a time, or fewer where a run computed with several threads: {count}");
    finding("cores", Level::Ok, counted(count as u64, "core"), follows)
}

fn gpus() -> Finding {
    match Machine::here().gpus.len() as u64 {
        0 => finding("GPUs", Level::Ok, "none of NVIDIA's", "runs that computed on one diverge here, or fail"),
        count => {
            finding("GPUs", Level::Ok, counted(count, "GPU"), "each replay of a run that saw one has it for itself")
        }
    }
}
