//! How long the parts of a replayed segment took, from its journal and from when its worker started and ended.

use serde::{Deserialize, Serialize};

use crate::model::job::SegmentStatus;
use crate::model::plan::Cost;
use crate::store::journal::Event;

/// Times in nanoseconds since the segment's start event.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Clock {
    /// When the main loop was entered.
    entered_ns: Option<u64>,
    /// Spent before each restored state was in place, since whatever came last before it.
    restoring_ns: u64,
    last_ns: u64,
}

/// Starts and ends are known to the millisecond, by a clock that may be set meanwhile.
const ROUNDING_NS: u64 = 20_000_000;

#[derive(Deserialize)]
struct End {
    t_ns: Option<u64>,
}

impl Clock {
    /// Takes in an event; `is_main` says whether it enters the main loop.
    pub(super) fn take(&mut self, event: &Event, is_main: bool) {
        let time_ns = match event {
            Event::LoopEnter { time_ns, .. } => {
                if is_main && self.entered_ns.is_none() {
                    self.entered_ns = Some(*time_ns);
                }
                Some(*time_ns)
            }
            Event::Iteration { time_ns, .. } | Event::LoopExit { time_ns, .. } => Some(*time_ns),
            Event::Restored { time_ns, .. } => {
                self.restoring_ns += time_ns.saturating_sub(self.last_ns);
                Some(*time_ns)
            }
            Event::End(json) => serde_json::from_str::<End>(json).ok().and_then(|end| end.t_ns),
            _ => None,
        };
        self.last_ns = time_ns.unwrap_or(self.last_ns);
    }

    /// The parts of a segment that is done. What comes before the main loop took nothing where it was executed for several
    /// and was there; `None` where more is told of than was waited for.
    pub(super) fn took(&self, segment: &SegmentStatus) -> Option<Cost> {
        let wall_ms = segment.ended_ms?.checked_sub(segment.started_ms?)?;
        let wall_ns = u64::try_from(wall_ms).ok()?.saturating_mul(1_000_000);
        let entered_ns = self.entered_ns.unwrap_or(0);
        let inside_ns = self.last_ns.saturating_sub(entered_ns);
        let restore_ns = self.restoring_ns.min(inside_ns);
        let prefix_ns = if wall_ns.saturating_add(ROUNDING_NS) < self.last_ns { 0 } else { entered_ns };
        if wall_ns.saturating_add(ROUNDING_NS) < prefix_ns + inside_ns {
            return None;
        }
        Some(Cost {
            start_ns: wall_ns.saturating_sub(prefix_ns + inside_ns),
            prefix_ns,
            restore_ns,
            execute_ns: inside_ns - restore_ns,
        })
    }
}
