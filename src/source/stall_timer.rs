//! How long the image host may be silent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::error::FetchError;
use super::limits::{Limits, time_left};

/// The time that the image host has left to send the bytes of a picture.
///
/// Only the time in which the program waits for the host counts. The host is not responsible for
/// delays while S3 takes no bytes or a request to S3 is repeated.
#[derive(Debug)]
pub(super) struct StallTimer {
    limits: Limits,
    /// What is left of [`Limits::fetch`].
    left: Duration,
    /// When the program began to wait for the host, if it is waiting.
    since: Option<Instant>,
    /// The end of that wait. It is reused, because a picture has many waits.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StallTimer {
    /// Starts with the time that is left until `deadline`.
    pub(super) fn until(deadline: Instant, limits: Limits) -> Self {
        Self { limits, left: time_left(deadline), since: None, alarm: None }
    }

    /// Ready, with the error to report, once the host has been silent for too long. Polled whenever
    /// nothing can be read from the host.
    pub(super) fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<FetchError> {
        let since = *self.since.get_or_insert_with(|| {
            let now = Instant::now();
            let end = now + self.left.min(self.limits.read);
            match &mut self.alarm {
                Some(alarm) => alarm.as_mut().reset(end),
                None => self.alarm = Some(Box::pin(sleep_until(end))),
            }
            now
        });
        let alarm = self.alarm.as_mut().map(|alarm| alarm.as_mut().poll(context));
        if alarm.is_none_or(|alarm| alarm.is_pending()) {
            return Poll::Pending;
        }
        let left = self.left.saturating_sub(since.elapsed());
        self.pause();
        Poll::Ready(self.limits.too_slow(left))
    }

    /// Stops counting: something has arrived, or nobody reads at the moment.
    pub(super) fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }
}
