//! A replay job and the state of its segments.

use serde::{Deserialize, Serialize};

use crate::base::ids::{JobId, RunId};
use crate::model::plan::{Isolation, ReplayPlan, Segment};
use crate::model::position::Position;
use crate::model::value::Value;

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
    /// Captured variables whose digest at an executed block's end equals the record.
    pub equal_states: u64,
    pub first_difference: Option<Difference>,
    /// What the replay was not allowed to do to the user's files, and went on without.
    #[serde(default)]
    pub refused: Vec<String>,
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
    pub state: SegmentState,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    pub estimated_ns: u64,
    #[serde(default)]
    pub isolation: Isolation,
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
            estimated_ns: segment.cost.total_ns(),
            isolation: plan.isolation.clone(),
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
