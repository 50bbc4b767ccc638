//! When the next picture is due.

use std::time::Duration;

use tokio::time::Instant;

/// The least pause after a failed picture, where the interval is shorter than that: nothing loops
/// without a pause, however it is set.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// When the next picture is due, and whether one may start.
pub(crate) struct Ticks {
    pub(crate) due: Instant,
    interval: Duration,
    concurrency: usize,
    wanted: Option<u64>,
    done: u64,
}

impl Ticks {
    pub(crate) fn new(interval: Duration, concurrency: usize, wanted: Option<u64>) -> Self {
        Self { due: Instant::now(), interval, concurrency, wanted, done: 0 }
    }

    /// Whether there is a tick to wait for: not while those in flight may reach the count, nor, with
    /// no interval between ticks, while no more may be in flight.
    pub(crate) fn awaited(&self, in_flight: usize) -> bool {
        let wanted = self.wanted.is_none_or(|wanted| self.done + (in_flight as u64) < wanted);
        wanted && (self.interval > Duration::ZERO || in_flight < self.concurrency)
    }

    /// Takes the tick that is due and sets the next one, in step with the first: ticks that are past
    /// already are left out. Says whether a picture may start.
    pub(crate) fn tick(&mut self, in_flight: usize) -> bool {
        let late = Instant::now().saturating_duration_since(self.due);
        if self.interval.is_zero() {
            self.due += late;
        } else {
            let whole = late.as_nanos() / self.interval.as_nanos() + 1;
            self.due += self.interval.saturating_mul(u32::try_from(whole).unwrap_or(u32::MAX));
        }
        in_flight < self.concurrency
    }

    pub(crate) fn uploaded(&mut self) {
        self.done += 1;
    }

    pub(crate) fn failed(&mut self) {
        if self.interval < PAUSE_AFTER_FAILURE {
            self.due = self.due.max(Instant::now() + PAUSE_AFTER_FAILURE);
        }
    }

    /// Does not wait for the next tick, which may be far off.
    pub(crate) fn retry_in(&mut self, pause: Duration) {
        self.due = Instant::now() + pause;
    }

    pub(crate) fn count_reached(&self) -> bool {
        self.wanted == Some(self.done)
    }
}

/// How long it may take at the start until credentials and policies have propagated, and the pauses
/// between attempts: exponential, with jitter.
pub(crate) struct Grace {
    until: Instant,
    pause: Duration,
}

impl Grace {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { until: Instant::now() + grace, pause: Duration::from_millis(500) }
    }

    /// The pause before the next attempt, if there is time for one.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.pause = (self.pause * 2).min(Duration::from_secs(10));
        (Instant::now() + pause < self.until).then_some(pause)
    }
}
