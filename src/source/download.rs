//! The bytes of one answer, within its limits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use reqwest::Response;
use reqwest::header::CONTENT_LENGTH;
use tokio::time::Instant;

use super::address_guard::AddressRefused;
use super::error::FetchError;
use crate::errors::{find_cause, innermost};

/// What one picture may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The largest picture, in bytes.
    pub(crate) size: u64,
    /// For the whole fetch, retries included.
    pub(crate) fetch: Duration,
    /// For one connection.
    pub(crate) connect: Duration,
    /// For silence between two bytes.
    pub(crate) read: Duration,
}

impl Limits {
    /// What an error of the HTTP client means. `received` is how many bytes of the body had
    /// arrived, or `None` before the answer.
    pub(super) fn explain(
        self,
        error: reqwest::Error,
        deadline: Instant,
        received: Option<u64>,
    ) -> FetchError {
        // The URL's query or user information may be secret, and the caller knows the URL.
        let error = error.without_url();
        if let Some(refused) = find_cause::<AddressRefused>(&error) {
            return FetchError::Address(refused.clone());
        }
        if let Some(refused) = find_cause::<FetchError>(&error) {
            return refused.clone();
        }
        if error.is_timeout() {
            let (setting, limit) = if Instant::now() >= deadline {
                ("--fetch-timeout", self.fetch)
            } else if error.is_connect() {
                ("--connect-timeout", self.connect)
            } else {
                ("--read-timeout", self.read)
            };
            return FetchError::Timeout { setting, limit };
        }
        let cause = innermost(&error);
        match received {
            Some(received) => FetchError::Broken { received, cause },
            None => FetchError::Connect(cause),
        }
    }
}

/// The body of one answer, held to its declared length and to the limits.
#[derive(Debug)]
pub(super) struct Download {
    /// The length in bytes that the host declared. The header counts, not the framing: a chunked
    /// body that declares a length as well is held to it.
    pub(super) declared: Option<u64>,
    pub(super) limits: Limits,
    deadline: Instant,
    body: reqwest::Body,
    received: u64,
    /// When the last byte arrived, if it has.
    pub(super) ended: Option<Instant>,
}

impl Download {
    pub(super) fn new(
        response: Response,
        limits: Limits,
        deadline: Instant,
    ) -> Result<Self, FetchError> {
        let declared = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length| length > limits.size) {
            return Err(FetchError::TooLarge { limit: limits.size });
        }
        let body = response.into();
        Ok(Self { declared, limits, deadline, body, received: 0, ended: None })
    }

    /// The next bytes, never empty, or `None` after the last.
    pub(super) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, FetchError>>> {
        while self.ended.is_none() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // A frame is either bytes or trailers, which are of no interest.
                    if let Some(chunk) = frame.into_data().ok().filter(|data| !data.is_empty()) {
                        return Poll::Ready(Some(self.check(&chunk).map(|()| chunk)));
                    }
                }
                Some(Err(error)) => {
                    let error = self.limits.explain(error, self.deadline, Some(self.received));
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.ended = Some(Instant::now()),
            }
        }
        Poll::Ready(None)
    }

    fn check(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        self.received += chunk.len() as u64;
        if self.received > self.limits.size {
            return Err(FetchError::TooLarge { limit: self.limits.size });
        }
        match self.declared {
            Some(declared) if self.received > declared => {
                Err(FetchError::Length { received: self.received, declared })
            }
            _ => Ok(()),
        }
    }

    /// How many bytes the body had and when it ended: an error if it has not ended, or not where
    /// it was declared to.
    pub(super) fn finish(&self) -> Result<(u64, Instant), FetchError> {
        let received = self.received;
        match (self.ended, self.declared) {
            (Some(_), Some(declared)) if received < declared => {
                Err(FetchError::Length { received, declared })
            }
            (Some(ended), _) => Ok((received, ended)),
            (None, _) => {
                Err(FetchError::Broken { received, cause: "it was not read to its end".to_owned() })
            }
        }
    }
}
