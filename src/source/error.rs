//! Why there is no picture.

use std::time::Duration;

use reqwest::StatusCode;

use super::address_guard::AddressRefused;

/// Why the image host gave no whole picture.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the image host answered {status}")]
    Status {
        status: StatusCode,
        /// The pause that its `Retry-After` header asks for.
        retry_after: Option<Duration>,
    },
    #[error("no answer from the image host: {0}")]
    Connect(String),
    #[error("the image host was too slow: more than {setting} {limit:?}")]
    Timeout { setting: &'static str, limit: Duration },
    /// The URL, a redirect or a DNS answer leads to an address that an image host may not use.
    #[error("address refused: {0}")]
    Address(#[from] AddressRefused),
    #[error("redirect refused: {0}")]
    Redirect(String),
    /// The host answered with `Retry-After`, and that time is not over.
    #[error(
        "{host} is not asked for another {}: it answered with Retry-After",
        humantime::format_duration(*left)
    )]
    Resting { host: String, left: Duration },
    /// A part that was not asked for.
    #[error("a part of the picture, which was not asked for: status 206 with {0}")]
    Partial(String),
    /// A 2xx without a body.
    #[error("the answer is empty")]
    Empty,
    #[error("not an image: the content is {0}")]
    NotAnImage(&'static str),
    #[error("larger than --max-image-size, {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("{received} bytes arrived, but Content-Length declared {declared}")]
    Length { received: u64, declared: u64 },
    #[error("the {kind} is incomplete: its end is missing after {received} bytes")]
    Truncated {
        received: u64,
        /// The media type.
        kind: &'static str,
    },
    #[error("the connection broke after {received} bytes: {cause}")]
    Broken { received: u64, cause: String },
}

impl FetchError {
    /// The kind of failure, as the log names it.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Connect(_) => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Address(_) => "address",
            Self::Redirect(_) => "redirect",
            Self::Resting { .. } => "resting",
            Self::Partial(_) => "partial",
            Self::Empty => "empty",
            Self::NotAnImage(_) => "not_an_image",
            Self::TooLarge { .. } => "too_large",
            Self::Length { .. } => "length",
            Self::Truncated { .. } => "truncated",
            Self::Broken { .. } => "broken",
        }
    }

    /// The pause before another attempt, if one may succeed: the network failed, or the host is busy
    /// and may have said for how long.
    pub(crate) fn pause(&self, backoff: Duration) -> Option<Duration> {
        match self {
            Self::Status { status, retry_after } => matches!(status.as_u16(), 408 | 429 | 500..)
                .then_some(backoff.max(retry_after.unwrap_or_default())),
            Self::Connect(_) | Self::Timeout { .. } => Some(backoff),
            _ => None,
        }
    }
}
