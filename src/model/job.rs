//! A replay job and the state of its segments.

use serde::{Deserialize, Serialize};

use crate::base::ids::{JobId, RunId};
use crate::base::units::counted;
use crate::model::plan::{Cost, GivenVariable, Isolation, ReplayPlan, Segment, Stop, Work};
use crate::model::position::Position;
use crate::model::value::Value;
use crate::model::verdict::Verdict;

/// How a segment stands. Legal transitions: `Queued → Running → {Done, Failed, Cancelled}`, `Queued → Cancelled`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SegmentState {
    Queued,
    Running { done_steps: u64 },
    Done { check: CheckReport },
    Failed { message: String, traceback: Option<String> },
    Cancelled,
}

impl SegmentState {
    /// The word shown to users.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The deferred check of one segment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Values logged again that equal the record.
    pub equal_values: u64,
    /// Lines printed again that equal the record, where they hold computed numbers.
    #[serde(default)]
    pub equal_lines: u64,
    /// The first lines printed that differ, the record's and the replay's. That proves nothing.
    #[serde(default)]
    pub different_lines: Option<(Option<String>, Option<String>)>,
    /// Captured variables whose digest at an executed block's end equals the record.
    pub equal_states: u64,
    pub first_difference: Option<Difference>,
    /// What the replay was not allowed to do to the user's files, and went on without.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Iterations of the main loop that were asked for and that nothing bears out (inclusive ranges, ascending): nothing
    /// in them equals the record, nor anything that they led to.
    #[serde(default)]
    pub unproven: Vec<(u64, u64)>,
}

impl CheckReport {
    /// How far the values of a segment can be trusted that did all it was to do.
    pub fn verdict(&self) -> Verdict {
        match self.verdict_of_proven() {
            Verdict::Verified if !self.unproven.is_empty() => Verdict::Unverified,
            verdict => verdict,
        }
    }

    /// How far the values of those iterations can be trusted that are not among the unproven.
    pub fn verdict_of_proven(&self) -> Verdict {
        if self.first_difference.is_some() {
            Verdict::Diverged
        } else if !self.refused.is_empty() || self.equal_values + self.equal_states + self.equal_lines == 0 {
            // What the script did without may be what an unlogged value depends on.
            Verdict::Unverified
        } else {
            Verdict::Verified
        }
    }

    /// The verdict and why, in words for a line.
    pub fn words(&self) -> String {
        let verdict = self.verdict().word();
        let why = match &self.first_difference {
            Some(difference) => format!("{} at {}", difference.name, difference.position),
            None if !self.refused.is_empty() => format!("it was refused to {}", self.refused.join(", ")),
            None => {
                let equal =
                    [(self.equal_values, "value"), (self.equal_lines, "printed line"), (self.equal_states, "state")];
                let equal = equal.map(|(n, what)| (n > 0).then(|| counted(n, what)));
                let equal: Vec<String> = equal.into_iter().flatten().collect();
                let range = |(a, b): &(u64, u64)| if a == b { a.to_string() } else { format!("{a}..{b}") };
                let unproven: Vec<String> = self.unproven.iter().map(range).collect();
                match (equal.is_empty(), unproven.is_empty()) {
                    (true, _) => match &self.different_lines {
                        Some((recorded, replayed)) => {
                            let line = |line: &Option<String>| {
                                line.as_ref().map_or("nothing".to_owned(), |l| format!("“{l}”"))
                            };
                            format!("it printed {} where the run printed {}", line(replayed), line(recorded))
                        }
                        None => "nothing was logged again to compare".into(),
                    },
                    (_, true) => format!("{} equal the record", joined(&equal)),
                    _ => format!(
                        "{} equal the record, nothing to compare from iteration {} on",
                        joined(&equal),
                        unproven.join(", ")
                    ),
                }
            }
        };
        format!("{verdict}: {why}")
    }
}

/// `a, b and c`.
fn joined(parts: &[String]) -> String {
    match parts {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => parts.concat(),
    }
}

/// The first thing in which a replay differs from its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Logged name, or variable for a state difference.
    pub name: String,
    pub position: Position,
    /// `None` where the run logged nothing here.
    pub recorded: Option<Value>,
    /// `None` where the replay logged nothing here.
    pub replayed: Option<Value>,
}

/// One segment as listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentStatus {
    pub id: u32,
    pub run: RunId,
    /// First and last iteration executed.
    pub span: Option<(u64, u64)>,
    pub steps: u64,
    #[serde(default)]
    pub stop: Stop,
    pub state: SegmentState,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub estimated_ns: u64,
    /// The same in parts, and what it was estimated from.
    #[serde(default)]
    pub estimate: Cost,
    #[serde(default)]
    pub work: Work,
    /// How long each part took, once it is done.
    #[serde(default)]
    pub took: Option<Cost>,
    #[serde(default)]
    pub isolation: Isolation,
    /// Of a segment that differs from the record or failed: what it may come from.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// What the user should know of how it was performed.
    #[serde(default)]
    pub notes: Vec<String>,
    #[serde(default)]
    pub imports: Imports,
    /// Variables that the user set instead of what was recorded.
    #[serde(default)]
    pub given: Vec<GivenVariable>,
}

/// Who imported what a segment's script imports at its top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imports {
    /// It did so itself.
    #[default]
    Own,
    /// A process that does it for several, for which it may have waited.
    Awaited,
    /// That process, before.
    Shared,
}

/// Something that a difference or a failure may come from. Nothing is said without something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub kind: CauseKind,
    /// What was seen.
    pub evidence: String,
    /// What may follow from it, and what the user can do, as a sentence without a full stop.
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    Python,
    Package,
    Machine,
    Threads,
    DataFile,
    /// The added statement itself changes what comes after it.
    Statement,
    /// A state was restored without something that could not be captured.
    NotCaptured,
    /// Devices compute the same sums in another order.
    Device,
    /// The script takes something that no seed fixes.
    Unseeded,
    /// There is no room for what a replay writes.
    Disk,
}

impl SegmentStatus {
    /// A segment that waits for its turn.
    pub fn queued(plan: &ReplayPlan, segment: &Segment) -> Self {
        Self {
            id: segment.id,
            run: segment.run.clone(),
            span: segment.steps.first().zip(segment.steps.last()).map(|(a, b)| (a.iteration, b.iteration)),
            steps: segment.steps.len() as u64,
            state: SegmentState::Queued,
            started_ms: None,
            ended_ms: None,
            stop: segment.stop,
            estimated_ns: segment.cost.total_ns(),
            estimate: segment.cost,
            work: segment.work,
            took: None,
            isolation: plan.isolation.clone(),
            causes: Vec::new(),
            notes: Vec::new(),
            imports: Imports::Own,
            given: plan.given(&segment.run).to_vec(),
        }
    }

    /// Nanoseconds that it will still take: what is measured beats what was estimated. 0 once it has ended.
    pub fn left_ns(&self, now_ms: i64) -> u64 {
        let SegmentState::Running { done_steps } = self.state else {
            return if self.state == SegmentState::Queued { self.estimated_ns } else { 0 };
        };
        let elapsed_ms = now_ms - self.started_ms.unwrap_or(now_ms);
        let elapsed_ns = u64::try_from(elapsed_ms).unwrap_or(0).saturating_mul(1_000_000);
        match elapsed_ns.checked_div(done_steps) {
            Some(each) => each.saturating_mul(self.steps.saturating_sub(done_steps)),
            None => self.estimated_ns.saturating_sub(elapsed_ns),
        }
    }
}

/// A job as listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    pub id: JobId,
    pub names: Vec<String>,
    pub started_ms: i64,
    /// Whether its coordinator is alive.
    pub active: bool,
    pub segments: Vec<SegmentStatus>,
}

/// How a job stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Running,
    /// All segments did what they were to do, and nothing differs from the record.
    Done,
    Diverged,
    Failed,
    /// Some segments were cancelled, or never begun since the coordinator was killed.
    Cancelled,
}

impl JobState {
    /// The word shown to users.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How many segments of a job stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub total: usize,
    pub queued: usize,
    pub running: usize,
    pub verified: usize,
    pub unverified: usize,
    pub diverged: usize,
    pub failed: usize,
    pub cancelled: usize,
}

impl Counts {
    /// Segments that did all they were to do.
    pub fn done(&self) -> usize {
        self.verified + self.unverified + self.diverged
    }

    /// Segments that nothing more will come of.
    pub fn ended(&self) -> usize {
        self.done() + self.failed + self.cancelled
    }

    /// How the ended ones ended: `2 verified, 1 failed`.
    pub fn words(&self) -> String {
        let counts = [
            ("verified", self.verified),
            ("unverified", self.unverified),
            ("diverged", self.diverged),
            ("failed", self.failed),
            ("cancelled", self.cancelled),
        ];
        let some = counts.iter().filter(|(_, count)| *count > 0);
        some.map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }
}

impl JobStatus {
    /// From the start of its first segment to the end of its last one, in nanoseconds; `None` where not all are done.
    pub fn took_ns(&self) -> Option<u64> {
        let done = |segment: &&SegmentStatus| matches!(segment.state, SegmentState::Done { .. });
        if self.segments.iter().filter(done).count() != self.segments.len() {
            return None;
        }
        let started = self.segments.iter().filter_map(|segment| segment.started_ms).min()?;
        let ended = self.segments.iter().filter_map(|segment| segment.ended_ms).max()?;
        Some(u64::try_from(ended - started).ok()? * 1_000_000)
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts { total: self.segments.len(), ..Counts::default() };
        for segment in &self.segments {
            *match &segment.state {
                SegmentState::Queued => &mut counts.queued,
                SegmentState::Running { .. } => &mut counts.running,
                SegmentState::Done { check } => match check.verdict() {
                    Verdict::Diverged => &mut counts.diverged,
                    Verdict::Unverified => &mut counts.unverified,
                    Verdict::Verified | Verdict::Recorded => &mut counts.verified,
                },
                SegmentState::Failed { .. } => &mut counts.failed,
                SegmentState::Cancelled => &mut counts.cancelled,
            } += 1;
        }
        counts
    }

    /// The worst that is true of it, once it has ended.
    pub fn state(&self) -> JobState {
        let counts = self.counts();
        // Without any segment it has not been looked at yet.
        if counts.queued + counts.running > 0 || self.active && self.segments.is_empty() {
            JobState::Running
        } else if counts.failed > 0 {
            JobState::Failed
        } else if counts.cancelled > 0 {
            JobState::Cancelled
        } else if counts.diverged > 0 {
            JobState::Diverged
        } else {
            JobState::Done
        }
    }

    /// The runs of its segments, each once, in order.
    pub fn runs(&self) -> Vec<&RunId> {
        let mut runs: Vec<&RunId> = Vec::new();
        for segment in &self.segments {
            if !runs.contains(&&segment.run) {
                runs.push(&segment.run);
            }
        }
        runs
    }
}
