//! A recorded run, as kept (`meta.json`) and as summed up for lists.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::ids::RunId;
use crate::model::position::Position;
use crate::model::source::{LeftOut, VersionId};
use crate::model::value::Value;

/// What is known of a run before its script starts: `runs/<id>/meta.json`, written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMeta {
    pub id: RunId,
    pub name: Option<String>,
    /// Unix time in milliseconds.
    pub started_ms: i64,
    /// The interpreter as started, absolute.
    pub python: PathBuf,
    /// Interpreter flags before the script, such as `-u`.
    pub python_flags: Vec<String>,
    /// The program that started the script's processes, with what stood before the script; empty where Python ran it.
    #[serde(default)]
    pub launcher: Vec<String>,
    /// What `python -m` was asked for, if the script ran as a module.
    #[serde(default)]
    pub module: Option<String>,
    /// The script, relative to the project's root with `/`.
    pub script: String,
    /// What follows the script on the command line.
    pub args: Vec<String>,
    pub project_root: PathBuf,
    pub cwd: PathBuf,
    /// `PYTHONHASHSEED` of the run; replay sets the same.
    pub hash_seed: String,
    /// Seeds of `random` and `numpy.random` where the script sets none.
    pub entropy_seed: u64,
    /// Environment variables that decide how any script computes (thread counts, CUDA, Python); never secrets.
    pub environment: BTreeMap<String, String>,
    /// `None`: recorded before they were kept, and nothing is known of them.
    #[serde(default)]
    pub others: Option<OtherVariables>,
    pub hostname: String,
    pub version: VersionId,
    pub left_out: Vec<LeftOut>,
    /// The commit that HEAD was at, if the project is a git repository with commits.
    pub head: Option<VersionId>,
    pub afterlog_version: String,
}

impl RunMeta {
    /// What of the command line can make two runs of a script differ: launcher, interpreter flags, `-m`, arguments.
    pub fn command(&self) -> Vec<String> {
        let module = self.module.iter().map(|module| format!("-m {module}"));
        let before = self.launcher.iter().chain(&self.python_flags).cloned();
        before.chain(module).chain(self.args.iter().cloned()).collect()
    }
}

/// What a run has of its environment beside those variables that decide how any script computes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherVariables {
    pub kept: BTreeMap<String, String>,
    /// Names of those whose values may be secrets, or are too long.
    pub withheld: Vec<String>,
}

/// What a file of data held from before a run started until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub bytes: u64,
    /// In nanoseconds since 1970.
    pub modified_ns: i64,
    /// As git tells files from another.
    pub hash: String,
}

/// What a script's process said of itself and of what it computed with, at its start and its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Version numbers, most significant first.
    pub python: Vec<u32>,
    pub implementation: String,
    /// The processor's name, as the system gives it.
    pub cpu: Option<String>,
    /// Versions of the imported modules that tell theirs.
    pub packages: BTreeMap<String, String>,
    /// Threads that torch computed with.
    pub threads: Option<u32>,
    /// Devices that torch saw, if it computed on one.
    pub devices: Vec<String>,
    /// Cores that the process could use.
    pub cores: Option<u32>,
    /// Processor time of the process and its children, from the script's first line to its last.
    pub processor_ns: Option<u64>,
    /// When it ended, after the journal's begin.
    pub t_ns: Option<u64>,
}

impl Facts {
    /// How many cores it kept busy on average, in thousandths, at least one. Where that was not measured, its threads.
    pub fn busy_thousandths(&self) -> u32 {
        const ONE: u32 = 1000;
        let (Some(processor), Some(wall)) = (self.processor_ns, self.t_ns.filter(|wall| *wall > 0)) else {
            return self.threads.unwrap_or(1).max(1).saturating_mul(ONE);
        };
        let busy = u128::from(processor) * u128::from(ONE) / u128::from(wall);
        let most = self.cores.map_or(u32::MAX, |cores| cores.saturating_mul(ONE));
        u32::try_from(busy).unwrap_or(u32::MAX).min(most).max(ONE)
    }

    /// `3.11.7`, with the implementation's name where it is not CPython; empty if nobody knows.
    pub fn python_version(&self) -> String {
        let version: Vec<String> = self.python.iter().map(u32::to_string).collect();
        let other = if ["", "cpython"].contains(&self.implementation.as_str()) {
            String::new()
        } else {
            format!("{} ", self.implementation)
        };
        format!("{other}{}", version.join("."))
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Finished,
    /// The script ended with a non-zero code, an exception or a signal.
    Failed,
    /// The process ended without saying so (`kill -9`, power loss); what was journalled is kept.
    Lost,
}

impl RunStatus {
    /// The word shown to users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// One row of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub id: RunId,
    pub name: Option<String>,
    pub started_ms: i64,
    /// From start to end, or to the last event while running.
    pub duration_ms: i64,
    pub status: RunStatus,
    pub exit_code: Option<i32>,
    pub script: String,
    /// `arg` values in the order in which the script asked for them.
    pub args: Vec<(String, Value)>,
    /// What the command line held beside the script: see [`RunMeta::command`].
    #[serde(default)]
    pub command: Vec<String>,
    pub version: VersionId,
    /// Iterations of the main loop begun.
    pub iterations: u64,
    pub checkpoints: u64,
    pub checkpoint_bytes: u64,
    /// Names logged by the run, in order of first appearance.
    pub names: Vec<String>,
    /// The last value of the first float-valued name, for the list.
    pub last_metric: Option<(String, Value)>,
    /// The last number logged under each name, of the first names, for filters.
    #[serde(default)]
    pub last_values: BTreeMap<String, Value>,
    /// Up to 24 values of that name over the run, evenly spaced, for a sparkline.
    pub spark: Vec<f64>,
    /// What went wrong with recording itself, if anything did.
    pub notes: Vec<String>,
}

/// Timing of the main loop, from the journal. All in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunTimings {
    /// Interpreter start to the main loop's first iteration.
    pub prefix_ns: u64,
    /// One per main-loop iteration begun; the last one of a lost run is partial.
    pub iterations: Vec<IterationTiming>,
    /// Main loop's exit to the end.
    pub suffix_ns: u64,
    /// Whether the main loop ran once more after it was left: iterations are those of the first time.
    #[serde(default)]
    pub entered_again: bool,
}

/// One iteration of the main loop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IterationTiming {
    pub total_ns: u64,
    /// Time inside blocks: key and nanoseconds, in order of execution.
    pub blocks: Vec<(String, u64)>,
    /// Whether the iteration was completed.
    pub complete: bool,
}

/// A stored checkpoint: which state of the run it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number within its run, in order of capture.
    pub seq: u64,
    pub kind: CheckpointKind,
    /// Index of the main loop's iteration.
    pub iteration: u64,
    pub position: Position,
    /// Bytes before compression and deduplication.
    pub bytes: u64,
    /// Bytes that this checkpoint added to the packs.
    pub stored_bytes: u64,
    /// Stall of the training thread.
    pub stall_ns: u64,
    /// Variables that could not be captured, with the reason. Keys are as in `instrument::Variable::key`.
    pub missing: Vec<(String, String)>,
    /// Digest of each captured variable, for comparing states.
    pub digests: BTreeMap<String, String>,
}

/// The two moments at which state is captured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum CheckpointKind {
    /// Before the main loop fetches the item of the iteration.
    IterationStart,
    /// After the `occurrence`-th (0-based) execution of block `block` within the iteration.
    BlockEnd { block: String, occurrence: u64 },
}

/// All of a run that its panel shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    pub summary: RunSummary,
    pub meta: RunMeta,
    pub timings: RunTimings,
    pub checkpoints: Vec<Checkpoint>,
}

#[cfg(test)]
mod tests {
    use super::Facts;

    #[test]
    fn cores_kept_busy_are_measured_or_else_as_many_as_threads() {
        let facts =
            |threads, cores, processor_ns, t_ns| Facts { threads, cores, processor_ns, t_ns, ..Facts::default() };
        for (facts, busy) in [
            (facts(Some(8), Some(8), Some(6_000), Some(4_000)), 1500),
            (facts(Some(8), Some(8), Some(1_000), Some(4_000)), 1000),
            (facts(None, Some(2), Some(9_000), Some(1_000)), 2000),
            (facts(Some(8), None, None, Some(4_000)), 8000),
            (facts(None, None, Some(1), Some(0)), 1000),
        ] {
            assert_eq!(facts.busy_thousandths(), busy, "{facts:?}");
        }
    }
}
