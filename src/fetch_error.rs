//! Why a picture did not come.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::Instant;

use crate::address_guard::AddressRefused;
use crate::errors::{causes, innermost};

/// Why there is no picture. [`FetchError::reason`] names each kind in a word.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The host answered, but not with 2xx.
    #[error("the image host answered {status}")]
    Status {
        /// What it answered.
        status: StatusCode,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// No connection, or none that lasted to the answer.
    #[error("no answer from the image host: {0}")]
    Connect(String),
    /// It took longer than a setting allows.
    #[error("the image host was too slow: more than {setting} {limit:?}")]
    Timeout {
        /// The setting's flag.
        setting: &'static str,
        /// Its value.
        limit: Duration,
    },
    /// The URL, a redirect or a DNS answer leads where no image host may.
    #[error("address refused: {0}")]
    Address(#[from] AddressRefused),
    /// A redirect that is not followed.
    #[error("redirect refused: {0}")]
    Redirect(&'static str),
    /// A 2xx without a body.
    #[error("the answer is empty")]
    Empty,
    /// By its first bytes the body is something else.
    #[error("not an image: the first bytes say {0}")]
    NotAnImage(&'static str),
    /// Larger than `--max-image-size`.
    #[error("larger than --max-image-size, {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body's length is not what was declared.
    #[error("{received} bytes came, Content-Length declared {declared}")]
    Length {
        /// Bytes that came.
        received: u64,
        /// Bytes declared.
        declared: u64,
    },
    /// All that was declared came, and yet the picture's end did not.
    #[error("{received} bytes came, as declared, but the {kind} is not all there")]
    Truncated {
        /// Bytes that came.
        received: u64,
        /// The picture's media type.
        kind: &'static str,
    },
    /// The connection died half-way.
    #[error("the connection broke after {received} bytes: {cause}")]
    Broken {
        /// Bytes that came.
        received: u64,
        /// What the transport says.
        cause: String,
    },
}

impl FetchError {
    /// Every word that [`Self::reason`] has.
    pub const REASONS: [&str; 11] = [
        "status",
        "connect",
        "timeout",
        "address",
        "redirect",
        "empty",
        "not_an_image",
        "too_large",
        "length",
        "truncated",
        "broken",
    ];

    /// A word for the kind of failure, from a closed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Connect(_) => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Address(_) => "address",
            Self::Redirect(_) => "redirect",
            Self::Empty => "empty",
            Self::NotAnImage(_) => "not_an_image",
            Self::TooLarge { .. } => "too_large",
            Self::Length { .. } => "length",
            Self::Truncated { .. } => "truncated",
            Self::Broken { .. } => "broken",
        }
    }

    /// Whether asking again may help: the transport failed, or the host said "not now".
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Connect(_) | Self::Timeout { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What a picture may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) size: u64,
    pub(crate) fetch: Duration,
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
}

impl Limits {
    /// What a transport error means. `received` is how much of the body came, if it had begun.
    pub(crate) fn explain(
        self,
        error: reqwest::Error,
        deadline: Instant,
        received: Option<u64>,
    ) -> FetchError {
        // A query or userinfo may be secret; the caller knows the URL.
        let error = error.without_url();
        if let Some(refused) = causes(&error).find_map(|e| e.downcast_ref::<AddressRefused>()) {
            return FetchError::Address(refused.clone());
        }
        if let Some(refused) = causes(&error).find_map(|e| e.downcast_ref::<FetchError>()) {
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
        // The innermost cause is the one that says something: "Connection refused".
        let cause = innermost(&error);
        match received {
            Some(received) => FetchError::Broken { received, cause },
            None => FetchError::Connect(cause),
        }
    }
}
