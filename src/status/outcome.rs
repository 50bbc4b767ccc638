//! The outcome of one attempt.

use crate::diagnosis::Diagnosis;
use crate::source::ImageKind;
use crate::upload::Uploaded;

/// How an attempt to upload a picture ended. The loop, the log and the state all depend on it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Uploaded {
        object: Uploaded,
        kind: ImageKind,
        /// Where the picture came from, without secrets.
        source: String,
        fetch_attempts: u32,
    },
    Failed(Failed),
    /// The program ended first.
    Cancelled,
}

/// Why there is no object.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) stage: Stage,
    /// The kind of failure, as the log names it.
    pub(crate) reason: &'static str,
    pub(crate) error: String,
    pub(crate) diagnosis: Diagnosis,
}

/// Where an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The image host gave no whole picture.
    Fetch,
    /// S3 did not store the picture, or there were no credentials for it.
    Upload,
    /// In the program itself.
    Bug,
}
