//! What one picture may take, and what the errors of a fetch mean.

use std::time::Duration;

use tokio::time::Instant;

use super::address_guard::AddressRefused;
use super::error::FetchError;
use crate::errors::{find_cause, innermost};

/// What one picture may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The largest picture, in bytes.
    pub(crate) size: u64,
    /// The total time to wait for the image host, including retries.
    pub(crate) fetch: Duration,
    /// The maximum time to establish a connection.
    pub(crate) connect: Duration,
    /// The maximum time without data.
    pub(crate) read: Duration,
}

impl Limits {
    /// What an error of the HTTP client means. `received` is how many bytes of the body had
    /// arrived, or `None` before the answer.
    pub(super) fn explain(self, error: reqwest::Error, received: Option<u64>) -> FetchError {
        // The URL's query or user information may be secret, and the caller knows the URL.
        let error = error.without_url();
        if let Some(refused) = find_cause::<AddressRefused>(&error) {
            return FetchError::Address(refused.clone());
        }
        if let Some(refused) = find_cause::<FetchError>(&error) {
            return refused.clone();
        }
        if error.is_timeout() && error.is_connect() {
            return FetchError::Timeout { setting: "--connect-timeout", limit: self.connect };
        }
        let cause = match find_cause::<hyper::Error>(&error) {
            // Servers send a hundred at most, and so many are read.
            Some(error) if error.is_parse_too_large() => {
                "its head has more than 100 headers or is longer than 400 kB".to_owned()
            }
            _ => innermost(&error),
        };
        match received {
            Some(received) => FetchError::Broken { received, cause },
            None => FetchError::Connect(cause),
        }
    }

    /// The error for a host that was silent for too long, when `left` remains of the fetch timeout.
    pub(super) fn too_slow(self, left: Duration) -> FetchError {
        let (setting, limit) = if left.is_zero() {
            ("--fetch-timeout", self.fetch)
        } else {
            ("--read-timeout", self.read)
        };
        FetchError::Timeout { setting, limit }
    }
}

/// The time until the deadline, which is zero after it.
pub(super) fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
