//! How much happened when, for the plots.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// Slots that are kept: ten minutes of ten seconds each, or more with a longer interval.
const SLOTS: usize = 60;
const SHORTEST_SLOT: u64 = 10;

/// Counts in slots of equal length. Slots in which nothing happened are left out.
#[derive(Debug, Serialize)]
pub(crate) struct Activity {
    slot_seconds: u64,
    slots: VecDeque<Slot>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Slot {
    /// Seconds since 1970.
    start: u64,
    success: u64,
    failure: u64,
    bytes_uploaded: u64,
}

impl Activity {
    /// Has no counts yet. Its slots are long enough that a picture is due in each.
    pub(super) fn new(interval: Duration) -> Self {
        let slot_seconds = interval.as_secs_f64().ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a year at most"
        )]
        let slot_seconds = (slot_seconds as u64).max(SHORTEST_SLOT);
        Self { slot_seconds, slots: VecDeque::new() }
    }

    pub(super) fn uploaded(&mut self, now: f64, size: u64) {
        if let Some(slot) = self.slot(now) {
            slot.success += 1;
            slot.bytes_uploaded += size;
        }
    }

    pub(super) fn failed(&mut self, now: f64) {
        if let Some(slot) = self.slot(now) {
            slot.failure += 1;
        }
    }

    fn slot(&mut self, now: f64) -> Option<&mut Slot> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "after 1970")]
        let now = now as u64;
        // By the wall clock, which may have been set back: then the last slot is still the one.
        let start = now - now % self.slot_seconds;
        if self.slots.back().is_none_or(|last| last.start < start) {
            self.slots.push_back(Slot { start, ..Slot::default() });
            let oldest = start.saturating_sub(self.slot_seconds * (SLOTS as u64 - 1));
            self.slots.retain(|slot| slot.start >= oldest);
        }
        self.slots.back_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_for_sixty_slots() {
        let mut activity = Activity::new(Duration::from_millis(500));
        activity.uploaded(1003.5, 7);
        activity.uploaded(1009.9, 5);
        activity.failed(1010.0);
        let slot = |start, success, failure, bytes_uploaded| Slot {
            start,
            success,
            failure,
            bytes_uploaded,
        };
        assert_eq!(activity.slots, [slot(1000, 2, 0, 12), slot(1010, 0, 1, 0)]);
        activity.failed(995.0);
        assert_eq!(activity.slots[1], slot(1010, 0, 2, 0), "the clock was set back");
        activity.uploaded(1605.0, 1);
        assert_eq!(activity.slots, [slot(1010, 0, 2, 0), slot(1600, 1, 0, 1)]);
    }

    #[test]
    fn a_slot_is_no_shorter_than_the_interval() {
        assert_eq!(Activity::new(Duration::from_secs(30)).slot_seconds, 30);
        assert_eq!(Activity::new(Duration::from_millis(10_500)).slot_seconds, 11);
        assert_eq!(Activity::new(Duration::ZERO).slot_seconds, SHORTEST_SLOT);
    }
}
