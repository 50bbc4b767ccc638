//! When the next picture is due.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{Pauses, pauses};
use crate::diagnosis::{Diagnosis, ResolvedBy};

/// The shortest pause after a failed picture, if the interval is shorter: no setting makes the job
/// loop without a pause.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The pauses between attempts while credentials and policies propagate.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// When the next picture is due, and whether one may start.
pub(super) struct Ticks {
    pub(super) due: Instant,
    interval: Duration,
    concurrency: usize,
    wanted: Option<u64>,
    done: u64,
}

impl Ticks {
    pub(super) fn new(interval: Duration, concurrency: usize, wanted: Option<u64>) -> Self {
        Self { due: Instant::now(), interval, concurrency, wanted, done: 0 }
    }

    /// Whether to wait for the next tick: not while the pictures in flight may reach the count, and,
    /// without an interval, not while no more pictures may be in flight.
    pub(super) fn awaited(&self, in_flight: usize) -> bool {
        let wanted = self.wanted.is_none_or(|wanted| self.done + (in_flight as u64) < wanted);
        wanted && (self.interval > Duration::ZERO || in_flight < self.concurrency)
    }

    /// Takes the tick that is due and schedules the next one, in step with the first; ticks that
    /// have passed already are skipped. Returns whether a picture may start.
    pub(super) fn tick(&mut self, in_flight: usize) -> bool {
        let late = Instant::now().saturating_duration_since(self.due);
        if self.interval.is_zero() {
            self.due += late;
        } else {
            let whole = late.as_nanos() / self.interval.as_nanos() + 1;
            self.due += self.interval.saturating_mul(u32::try_from(whole).unwrap_or(u32::MAX));
        }
        in_flight < self.concurrency
    }

    pub(super) fn uploaded(&mut self) {
        self.done += 1;
    }

    pub(super) fn failed(&mut self) {
        if self.interval < PAUSE_AFTER_FAILURE {
            self.due = self.due.max(Instant::now() + PAUSE_AFTER_FAILURE);
        }
    }

    /// Schedules the next picture after a pause instead of at the next tick, which may be far off.
    pub(super) fn retry_in(&mut self, pause: Duration) {
        self.due = Instant::now() + pause;
    }

    pub(super) fn count_reached(&self) -> bool {
        self.wanted == Some(self.done)
    }
}

/// The time that credentials and policies have at the start to propagate, and the pauses between
/// attempts in it.
pub(super) struct Grace {
    until: Instant,
    pauses: Pauses,
}

impl Grace {
    pub(super) fn new(grace: Duration) -> Self {
        Self { until: Instant::now() + grace, pauses: pauses(FIRST_PAUSE, LONGEST_PAUSE) }
    }

    /// The pause before the next attempt, if another may succeed and there is time for it.
    pub(super) fn pause_after(&mut self, failure: &Diagnosis) -> Option<Duration> {
        if failure.resolved_by == ResolvedBy::Never {
            return None;
        }
        self.pauses.next().filter(|pause| Instant::now() + *pause < self.until)
    }
}
