//! How long a replay still takes: from the clock and from when its steps ended, so that it counts down between two of them.

use std::collections::HashMap;

use crate::base::ids::JobId;
use crate::model::job::{JobStatus, SegmentState, SegmentStatus};
use crate::tui::app::replay::Stage;
use crate::tui::app::{App, Panel};

/// Of running segments: how many steps are done, and when that many were first seen.
#[derive(Debug, Default)]
pub struct Steps(HashMap<(JobId, u32), (u64, i64)>);

impl Steps {
    /// Takes new states of jobs.
    pub(super) fn see(&mut self, jobs: &[JobStatus], now_ms: i64) {
        let mut seen = HashMap::new();
        for job in jobs.iter().filter(|job| job.active) {
            for segment in &job.segments {
                let SegmentState::Running { done_steps } = segment.state else { continue };
                let key = (job.id.clone(), segment.id);
                let before = self.0.get(&key).filter(|(done, _)| *done == done_steps).copied();
                seen.insert(key, before.unwrap_or((done_steps, now_ms)));
            }
        }
        self.0 = seen;
    }

    /// What a running segment still takes. What is measured beats what was estimated.
    pub fn of_segment(&self, job: &JobId, segment: &SegmentStatus, now_ms: i64) -> Option<u64> {
        let (done, at_ms) = self.0.get(&(job.clone(), segment.id)).copied()?;
        let started_ms = segment.started_ms?;
        Some(match ns(at_ms - started_ms).checked_div(done) {
            // A step that takes longer than those before is not counted as done.
            Some(each) => (each * segment.steps.saturating_sub(done)).saturating_sub(ns(now_ms - at_ms).min(each)),
            None => segment.estimated_ns.saturating_sub(ns(now_ms - started_ms)),
        })
    }

    /// What a job still takes with as many workers as are at work now; `None` where none is.
    pub fn of_job(&self, job: &JobStatus, now_ms: i64) -> Option<u64> {
        let running: Vec<u64> =
            job.segments.iter().filter_map(|segment| self.of_segment(&job.id, segment, now_ms)).collect();
        let (mut estimated, mut took, mut queued) = (0_u128, 0_u128, 0_u128);
        for segment in &job.segments {
            match (&segment.state, segment.started_ms, segment.ended_ms) {
                (SegmentState::Done { .. }, Some(start), Some(end)) => {
                    estimated += u128::from(segment.estimated_ns);
                    took += u128::from(ns(end - start));
                }
                (SegmentState::Queued, ..) => queued += u128::from(segment.estimated_ns),
                _ => {}
            }
        }
        // The others will be as far from what was estimated as those that are done.
        let queued = (queued * took).checked_div(estimated).filter(|_| took > 0).unwrap_or(queued);
        let all = u64::try_from(queued).unwrap_or(u64::MAX).saturating_add(running.iter().sum());
        let longest = running.iter().max().copied()?;
        Some(longest.max(all / u64::try_from(running.len()).unwrap_or(1)))
    }
}

fn ns(ms: i64) -> u64 {
    u64::try_from(ms.max(0)).unwrap_or(0) * 1_000_000
}

impl App {
    /// Whether something is shown that changes with the clock alone: only then is there a reason to draw without news.
    pub fn counts_down(&self) -> bool {
        let on_screen = self.panel == Panel::Replay && self.replay.stage == Stage::Job;
        let running = |segment: &SegmentStatus| matches!(segment.state, SegmentState::Running { .. });
        on_screen && self.replay.current_job().is_some_and(|job| job.active && job.segments.iter().any(running))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::app::fixture::{app, job, press, survey};
    use crate::tui::event::{Event, Survey};

    const SECOND: u64 = 1_000_000_000;

    /// A job whose second segment began ten seconds after the epoch, will take 10 steps, and has done some.
    fn running(done_steps: u64) -> JobStatus {
        let mut job = job(true);
        job.segments.truncate(2);
        let segment = &mut job.segments[1];
        (segment.started_ms, segment.state) = (Some(10_000), SegmentState::Running { done_steps });
        job
    }

    #[test]
    fn what_is_left_counts_down_between_steps_and_waits_for_one_that_is_late() {
        let mut steps = Steps::default();
        let left = |steps: &Steps, done, now_ms| {
            let job = running(done);
            steps.of_segment(&job.id, &job.segments[1], now_ms)
        };
        assert_eq!(left(&steps, 0, 10_000), None, "nothing was seen yet");
        steps.see(&[running(0)], 10_000);
        assert_eq!(left(&steps, 0, 10_000), Some(9 * SECOND), "as estimated");
        assert_eq!(left(&steps, 0, 12_000), Some(7 * SECOND));
        assert_eq!(left(&steps, 0, 60_000), Some(0));
        steps.see(&[running(2)], 14_000);
        assert_eq!(left(&steps, 2, 14_000), Some(16 * SECOND), "two seconds a step");
        steps.see(&[running(2)], 15_000);
        assert_eq!(left(&steps, 2, 15_000), Some(15 * SECOND));
        assert_eq!(left(&steps, 2, 16_000), Some(14 * SECOND));
        assert_eq!(left(&steps, 2, 19_000), Some(14 * SECOND));
    }

    #[test]
    fn what_a_job_leaves_to_do_is_shared_by_those_at_work_and_scaled_by_what_others_took() {
        let mut steps = Steps::default();
        let mut job = running(2);
        // It was estimated at nine seconds.
        (job.segments[0].started_ms, job.segments[0].ended_ms) = (Some(0), Some(18_000));
        steps.see(std::slice::from_ref(&job), 14_000);
        assert_eq!(steps.of_job(&job, 14_000), Some(16 * SECOND));
        let queued = SegmentStatus { id: 7, state: SegmentState::Queued, ..job.segments[1].clone() };
        job.segments.push(queued);
        assert_eq!(steps.of_job(&job, 14_000), Some((16 + 18) * SECOND));
        assert_eq!(Steps::default().of_job(&job, 14_000), None, "nobody is at work");
    }

    #[test]
    fn only_a_running_replay_on_the_screen_is_drawn_anew_by_the_clock() {
        let mut app = app(80, 24);
        assert!(!app.counts_down());
        app.update(Event::Changed(Box::new(Survey { jobs: vec![job(true)], ..survey() })));
        press(&mut app, "4");
        assert!(app.counts_down());
        press(&mut app, "1");
        assert!(!app.counts_down());
        press(&mut app, "4");
        app.update(Event::Changed(Box::new(Survey { jobs: vec![job(false)], ..survey() })));
        assert!(!app.counts_down());
    }
}
