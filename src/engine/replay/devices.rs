//! GPUs for segments: each has its own, so that none takes memory or time from another.

use std::collections::BTreeMap;

/// The GPUs of this machine, and which segments have them.
pub(super) struct Devices {
    /// As `CUDA_VISIBLE_DEVICES` names them.
    all: Vec<String>,
    taken: BTreeMap<u32, Vec<String>>,
}

impl Devices {
    pub(super) fn of(all: Vec<String>) -> Self {
        Self { all, taken: BTreeMap::new() }
    }

    /// Whether a segment could have so many now. One that wants more than there are has all of them.
    pub(super) fn are_free(&self, count: u32) -> bool {
        if self.all.is_empty() {
            // There may be some that cannot be counted: one segment at a time.
            return self.taken.is_empty();
        }
        self.free().count() >= self.share(count)
    }

    /// Gives a segment its devices, as `CUDA_VISIBLE_DEVICES` is to be; `None` where it stays as the run had it.
    pub(super) fn take(&mut self, segment: u32, count: u32) -> Option<String> {
        let given: Vec<String> = self.free().take(self.share(count)).cloned().collect();
        let visible = given.join(",");
        self.taken.insert(segment, given);
        (!visible.is_empty()).then_some(visible)
    }

    pub(super) fn give_back(&mut self, segment: u32) {
        self.taken.remove(&segment);
    }

    fn share(&self, count: u32) -> usize {
        self.all.len().min(count as usize)
    }

    fn free(&self) -> impl Iterator<Item = &String> {
        self.all.iter().filter(|device| !self.taken.values().flatten().any(|taken| taken == *device))
    }
}

#[cfg(test)]
mod tests {
    use super::Devices;

    fn devices(names: &[&str]) -> Devices {
        Devices::of(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn no_two_segments_have_the_same_device() {
        let mut devices = devices(&["0", "GPU-7", "5"]);
        assert_eq!(devices.take(1, 1).as_deref(), Some("0"));
        assert_eq!(devices.take(2, 1).as_deref(), Some("GPU-7"));
        assert!(devices.are_free(1) && !devices.are_free(2));
        devices.give_back(1);
        assert_eq!(devices.take(3, 2).as_deref(), Some("0,5"));
        assert!(!devices.are_free(1));
    }

    #[test]
    fn who_wants_more_than_there_are_waits_for_all() {
        let mut devices = devices(&["0", "1"]);
        assert_eq!(devices.take(1, 1).as_deref(), Some("0"));
        assert!(!devices.are_free(8));
        devices.give_back(1);
        assert!(devices.are_free(8));
        assert_eq!(devices.take(2, 8).as_deref(), Some("0,1"));
    }

    #[test]
    fn where_none_can_be_counted_one_segment_computes_at_a_time() {
        let mut devices = devices(&[]);
        assert!(devices.are_free(1));
        assert_eq!(devices.take(1, 1), None);
        assert!(!devices.are_free(1));
        devices.give_back(1);
        assert!(devices.are_free(1));
    }
}
