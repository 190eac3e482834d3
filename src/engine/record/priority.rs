//! How little the recorder's threads ask for. Where the system refuses, recording still works.

use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

/// A niceness: the largest, and so the smallest share of a core that others want too (about one part in seventy).
const NICEST: i32 = 19;

/// Has the calling thread, and no other, give way to others. It still gets on where they take every core.
pub(super) fn low() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICEST);
}

/// Has the calling thread run where a core is idle, and hardly at all elsewhere. Its requests to the disk then come last,
/// too. Without privileges a thread cannot come back from this.
pub(super) fn idle() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    // For where that is refused.
    low();
}
