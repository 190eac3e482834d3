//! The replay plan: what will be executed, from which state, at what cost. Data only; the coordinator performs it.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign, Sub};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::ids::{JobId, RunId};
use crate::base::units::counted;
use crate::model::instrument::Reach;
use crate::model::probe::Placement;
use crate::model::run::Held;
use crate::model::source::VersionId;
use crate::model::value::Value;

/// Everything that a replay of some names over some runs will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayPlan {
    pub job: JobId,
    pub names: Vec<String>,
    pub workers: usize,
    /// Why they are fewer than there are cores, or than were asked for, if so.
    #[serde(default)]
    pub fewer_workers: Option<String>,
    pub runs: Vec<RunPlan>,
    pub segments: Vec<Segment>,
    /// Wall time of all segments on `workers` workers, in nanoseconds: low and high estimate.
    pub makespan_ns: (u64, u64),
    /// The estimate itself.
    #[serde(default)]
    pub expected_ns: u64,
    /// Replayed segments of this project that the estimates were learnt from; 0: they are the recorded times.
    #[serde(default)]
    pub learnt_from: usize,
    #[serde(default)]
    pub isolation: Isolation,
    /// When runs of this project trained, from and to, in milliseconds since 1970: what files were written then, they wrote.
    #[serde(default)]
    pub training_ms: Vec<(i64, i64)>,
    /// Runs of which a condition left nothing.
    #[serde(default)]
    pub left_out: Vec<LeftOutRun>,
    /// What was asked for, so that it can be asked again; `None` in plans of older versions.
    #[serde(default)]
    pub asked: Option<Asked>,
}

impl ReplayPlan {
    /// What the user sets for a run's replay.
    pub fn given(&self, run: &RunId) -> &[GivenVariable] {
        let environment = self.runs.iter().find(|plan| plan.run == *run).and_then(|plan| plan.environment.as_ref());
        environment.map(|environment| &environment.given[..]).unwrap_or_default()
    }
}

/// What a user asked for beside the names, as text that can be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Every run in question.
    pub runs: Vec<RunId>,
    /// As `--iters` takes them.
    pub iterations: Option<String>,
    /// As `--where` takes it.
    pub condition: Option<String>,
    pub workers: Option<usize>,
    /// Whether what was known already was computed again.
    pub force: bool,
    /// Another interpreter than the runs' own.
    pub python: Option<PathBuf>,
    /// Variables set instead of what was recorded.
    pub given: Vec<GivenVariable>,
}

/// A run of which a condition left nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutRun {
    pub run: RunId,
    pub why: String,
}

/// How a replay is kept away from the user's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Isolation {
    /// In a view of the file system of its own: the version's files at the project's path, every write caught.
    #[default]
    Namespace,
    /// In a scratch copy of the version, with links to the user's other files; writes outside it are refused.
    Scratch {
        /// Why not in a view of its own.
        reason: String,
        /// Whether the kernel refuses them too. Otherwise only Python's own calls are guarded.
        kernel: bool,
    },
}

impl Isolation {
    /// What the user should know of it, if anything.
    pub fn notice(&self) -> Option<String> {
        let Self::Scratch { reason, kernel } = self else { return None };
        let limits = if *kernel { "" } else { ", as far as Python's own calls go; it can start no other program" };
        Some(format!("runs in a scratch copy at another path, where writes outside it are refused{limits} ({reason})"))
    }
}

/// What replay means for one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    pub run: RunId,
    pub version: VersionId,
    pub script: String,
    pub placements: Vec<Placement>,
    /// The script with the statements in place; `None` where nothing applies.
    pub probed_source: Option<String>,
    /// Lines of it (1-based, inclusive ranges) that the version does not have.
    #[serde(default)]
    pub inserted: Vec<(u32, u32)>,
    /// BLAKE3 of version and probed source: values computed for the same are reused.
    pub probe_hash: String,
    pub reach: Reach,
    /// Where each of `placements` can run; empty for what has no place.
    #[serde(default)]
    pub levels: Vec<Vec<Level>>,
    /// What becomes of the blocks in the iterations that are executed.
    #[serde(default)]
    pub blocks: Vec<BlockUse>,
    /// Main-loop iterations asked for.
    pub wanted: Vec<u64>,
    /// Of these, already known from an earlier replay of the same content.
    pub known: Vec<u64>,
    pub state: RunPlanState,
    /// What its replay is executed with; `None` in plans of older versions: what the run was.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// What comes before the main loop takes so long, where it is executed once for several segments.
    #[serde(default)]
    pub shared_prefix_ns: Option<u64>,
    /// What the user should know: missing checkpoints, blocks that must run and why.
    pub notes: Vec<String>,
}

impl RunPlan {
    /// Where a placement can run, in words; `None` where it has no place.
    pub fn levels_of(&self, placement: usize) -> Option<String> {
        let levels = self.levels.get(placement).filter(|levels| !levels.is_empty())?;
        Some(levels.iter().map(Level::words).collect::<Vec<_>>().join(" and "))
    }
}

/// Where a statement runs, relative to the main loop. It decides what has to be executed for its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Only what comes before the loop is executed.
    BeforeLoop,
    /// Iterations are executed, blocks are skipped.
    LoopBody,
    /// The block of this name is executed.
    InBlock(String),
    /// The script is executed from the last iteration on.
    AfterLoop,
}

impl Level {
    /// In words for a line.
    pub fn words(&self) -> String {
        match self {
            Self::BeforeLoop => "before the loop".to_owned(),
            Self::LoopBody => "in the loop".to_owned(),
            Self::InBlock(name) => format!("in {name}"),
            Self::AfterLoop => "after the loop".to_owned(),
        }
    }
}

/// The interpreter that replays a run, and how what it has differs from what the run had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub python: PathBuf,
    /// Why it is not the run's own, if so.
    pub instead: Option<String>,
    pub differences: Vec<PackageDifference>,
    /// Threads to compute with, where this machine has another number of cores than the run's.
    #[serde(default)]
    pub threads: Option<u32>,
    /// GPUs to see; `None`: those that the run's environment says.
    #[serde(default)]
    pub devices: Option<u32>,
    /// GPUs that there are, where that is fewer.
    #[serde(default)]
    pub devices_here: Option<u32>,
    /// Variables that the user sets instead of what was recorded.
    #[serde(default)]
    pub given: Vec<GivenVariable>,
}

/// A variable that a user sets for a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenVariable {
    pub name: String,
    pub value: String,
    /// What the run had, where that is known of it.
    #[serde(default)]
    pub recorded: Option<String>,
}

impl GivenVariable {
    /// In words for a line.
    pub fn words(&self) -> String {
        let set = format!("{} is set to {:?} by --env", self.name, self.value);
        match &self.recorded {
            Some(recorded) => format!("{set}, the run had {recorded:?}"),
            None => set,
        }
    }
}

/// A package that is not there as the run had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageDifference {
    /// As it is imported; `python` is the interpreter itself.
    pub name: String,
    pub recorded: String,
    /// `None`: it is not there.
    pub now: Option<String>,
}

impl Environment {
    /// What the user should know of it, if anything.
    pub fn notice(&self) -> Option<String> {
        let difference = |found: &PackageDifference| match &found.now {
            Some(now) => format!("{} {} (the run had {})", found.name, now, found.recorded),
            None => format!("no {} (the run had {})", found.name, found.recorded),
        };
        let differences: Vec<String> = self.differences.iter().map(difference).collect();
        let uses = self.instead.as_ref().map(|why| format!("{why}: {} is used", self.python.display()));
        let packages = match (uses, differences.is_empty()) {
            (None, true) => None,
            (Some(uses), true) => Some(uses),
            (None, false) => Some(format!("its environment has changed: {}", differences.join(", "))),
            (Some(uses), false) => Some(format!("{uses}, with {}", differences.join(", "))),
        };
        let given = self.given.iter().map(GivenVariable::words);
        let notices: Vec<String> = packages.into_iter().chain(self.computes_elsewhere()).chain(given).collect();
        (!notices.is_empty()).then(|| notices.join("; "))
    }

    /// What it computes with that this machine would not have taken by itself, or does not have.
    fn computes_elsewhere(&self) -> Vec<String> {
        let threads =
            self.threads.map(|threads| format!("it computes with {} as the run did", counted(threads, "thread")));
        let devices = match (self.devices, self.devices_here) {
            (Some(0), _) => Some("it sees no GPU, as the run did not".to_owned()),
            (Some(saw), Some(0)) => Some(format!("the run saw {}, and none was found here", counted(saw, "GPU"))),
            (Some(saw), Some(here)) => Some(format!("the run saw {}, and there are {here} here", counted(saw, "GPU"))),
            _ => None,
        };
        threads.into_iter().chain(devices).collect()
    }
}

/// What becomes of a block in the iterations that a plan executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockUse {
    /// Its key in the instrumentation plan.
    pub block: String,
    pub name: String,
    /// Its first line, 1-based, in the script with the statements in place, or in the module that holds it.
    pub line: u32,
    /// How often it is executed, and how often its end is restored instead.
    pub executed: u64,
    pub restored: u64,
    /// Why it is executed, where it is.
    pub why: Option<String>,
    /// Whether that is because a statement that is asked for can run in it.
    pub is_asked_for: bool,
}

impl BlockUse {
    /// What the user should know of it: a block that nothing is asked of and that is executed all the same.
    pub fn note(&self) -> Option<String> {
        let why = self.why.as_ref().filter(|_| !self.is_asked_for)?;
        Some(format!("{} (line {}) is executed: {why}", self.name, self.line))
    }
}

/// Whether a run has anything to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPlanState {
    Replay,
    /// The run logged the names itself, or an earlier replay filled everything asked for.
    Complete,
    /// No statement applies to this version, or the run cannot be replayed; `notes` say why.
    NotApplicable,
}

/// One process: a run, some iterations, a starting state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Number within the job, from 0.
    pub id: u32,
    pub run: RunId,
    /// Iterations of the main loop to execute, ascending; empty when only the prefix is wanted.
    pub steps: Vec<ReplayStep>,
    pub stop: Stop,
    /// Iterations among `steps` that were asked for; the others only lead up to them.
    pub wanted: Vec<u64>,
    pub cost: Cost,
    /// Between these its time most likely lies, in nanoseconds.
    #[serde(default)]
    pub range_ns: (u64, u64),
    #[serde(default)]
    pub work: Work,
}

impl Segment {
    /// Whether states of the run are restored in it.
    pub fn restores(&self) -> bool {
        self.steps.iter().any(|step| step.restore.is_some() || !step.skip.is_empty())
    }
}

/// One iteration of the main loop in a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayStep {
    pub iteration: u64,
    /// Checkpoint to restore at the iteration's start; `None` continues from the state that is there.
    pub restore: Option<u64>,
    /// Blocks to skip in this iteration, and the checkpoint that holds each one's end. All others are executed.
    pub skip: Vec<SkippedBlock>,
    /// Checkpoints of executed blocks' ends whose digests are compared with what was recorded.
    pub expect: Vec<ExpectedState>,
}

/// A block that is not executed; its effects are restored instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedBlock {
    pub block: String,
    pub occurrence: u64,
    pub checkpoint: u64,
}

/// A checkpoint of the end of a block that replay executes: its recorded digests are with the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedState {
    pub block: String,
    pub occurrence: u64,
    pub checkpoint: u64,
}

/// Where a segment's process ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// On entering the main loop.
    AtMainLoop,
    /// After the last step.
    #[default]
    AfterLastStep,
    /// When the script ends.
    AtEnd,
}

/// Estimated cost of a segment, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Starting and ending the process.
    #[serde(default)]
    pub start_ns: u64,
    pub prefix_ns: u64,
    pub restore_ns: u64,
    pub execute_ns: u64,
}

impl Cost {
    /// All of it.
    pub fn total_ns(self) -> u64 {
        self.start_ns + self.prefix_ns + self.restore_ns + self.execute_ns
    }
}

/// What a segment does, as far as the record tells: what its cost is estimated from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Recorded time of what comes before the main loop.
    pub prefix_ns: u64,
    /// Recorded time of what is executed from there on.
    pub execute_ns: u64,
    /// Checkpoints that are loaded, and their bytes.
    pub restores: u64,
    pub restored_bytes: u64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.prefix_ns += other.prefix_ns;
        self.execute_ns += other.execute_ns;
        self.restores += other.restores;
        self.restored_bytes += other.restored_bytes;
    }
}

impl Add for Work {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

/// Of sums, the later one without the earlier one.
impl Sub for Work {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            prefix_ns: self.prefix_ns - other.prefix_ns,
            execute_ns: self.execute_ns - other.execute_ns,
            restores: self.restores - other.restores,
            restored_bytes: self.restored_bytes - other.restored_bytes,
        }
    }
}

/// What the Python runtime needs to perform one segment: `segment.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentOrder {
    pub run: RunId,
    /// Recorded `arg` values by name.
    pub args: Vec<(String, Value)>,
    pub entropy_seed: u64,
    /// When the run began, and when runs trained: a file that one of them wrote since then is not what this run read.
    pub started_ms: i64,
    pub training_ms: Vec<(i64, i64)>,
    /// What files held from before the run started until its end.
    pub held: BTreeMap<String, Held>,
    /// What variables were in the run, and what the user sets instead: paths of a state that begin so are elsewhere now.
    pub moved: Vec<(String, String)>,
    pub steps: Vec<ReplayStep>,
    pub stop: Stop,
    /// Whether what the inserted lines do to the training counts: not where all that they do is done again.
    pub watches: bool,
    /// Lines of the script (1-based, inclusive) that the version does not have.
    pub inserted: Vec<(u32, u32)>,
}
