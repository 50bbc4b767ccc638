//! The outcome of one attempt.

use bytes::Bytes;

use crate::diagnosis::Diagnosis;
use crate::source::{FetchError, ImageKind};
use crate::upload::Uploaded;

/// How an attempt to upload a picture ended. The loop, the log, health and metrics all depend on it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Uploaded {
        object: Uploaded,
        kind: ImageKind,
        /// Where the picture came from, without secrets.
        source: String,
        fetch_attempts: u32,
        /// The picture itself, if it was copied.
        copy: Option<Bytes>,
    },
    /// The image host gave no whole picture.
    NotFetched(FetchError),
    /// S3 did not store the picture, or there were no credentials for it.
    NotStored { reason: &'static str, error: String, diagnosis: Diagnosis },
    /// The program ended first.
    Cancelled,
    /// The attempt panicked, which is a bug.
    Panicked(String),
}

impl Outcome {
    /// The values of `result` in `uploads_total`.
    pub(super) const RESULTS: [&str; 3] = ["success", "failure", "cancelled"];

    pub(crate) const fn result(&self) -> &'static str {
        match self {
            Self::Uploaded { .. } => Self::RESULTS[0],
            Self::NotFetched(_) | Self::NotStored { .. } | Self::Panicked(_) => Self::RESULTS[1],
            Self::Cancelled => Self::RESULTS[2],
        }
    }

    /// Why there is no object, in one line; `None` if that is no failure.
    pub(super) fn failure(&self) -> Option<String> {
        match self {
            Self::Uploaded { .. } | Self::Cancelled => None,
            Self::NotFetched(error) => Some(format!("{}: {error}", error.reason())),
            Self::NotStored { diagnosis, .. } => Some(diagnosis.in_short()),
            Self::Panicked(panic) => Some(format!("a bug: {panic}")),
        }
    }
}
