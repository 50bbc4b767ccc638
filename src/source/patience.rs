//! How long the image host may keep the program waiting.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::error::FetchError;
use super::limits::{Limits, time_left};

/// What is left of the timeouts of a picture whose bytes are arriving.
///
/// Only the time in which the program waits for the host counts. While S3 takes no bytes, or is asked
/// again, the host has nothing to do with the delay.
#[derive(Debug)]
pub(super) struct Patience {
    limits: Limits,
    /// Of [`Limits::fetch`].
    left: Duration,
    /// Since when the program waits, if it does.
    since: Option<Instant>,
    /// The end of that wait. It is kept, because each wait needs one.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Of a fetch that may last until `deadline` if it waits for nothing but the host.
    pub(super) fn until(deadline: Instant, limits: Limits) -> Self {
        Self { limits, left: time_left(deadline), since: None, alarm: None }
    }

    /// Waits on; ready when the host has been silent for too long. To be polled whenever the host
    /// has nothing to read.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<FetchError> {
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

    /// Ends the wait, if there is one: something has arrived, or nobody wants it at the moment.
    pub(super) fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }
}
