//! A replay job and the state of its segments.

use serde::{Deserialize, Serialize};

use crate::base::ids::{JobId, RunId};
use crate::base::units::counted;
use crate::model::plan::{Isolation, ReplayPlan, Segment, Stop};
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
    #[serde(default)]
    pub isolation: Isolation,
    /// What its process noted: what slowed it down, what could not be done.
    #[serde(default)]
    pub notes: Vec<String>,
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
            isolation: plan.isolation.clone(),
            notes: Vec::new(),
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
