//! What the job will do, and the first line of its log, which says so.

use std::time::Duration;

use crate::identity::{Diagnosis, Principal};

/// What the job will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The image URLs without their secrets.
    pub(crate) sources: String,
    /// The beginning of the objects' URLs.
    pub(crate) destination: String,
    /// The endpoint or region of S3.
    pub(crate) at: String,
    /// From the start of one picture to the start of the next; zero means at once.
    pub(crate) interval: Duration,
    /// The number of uploads that ends the job, if any does.
    pub(crate) count: Option<u64>,
    /// The largest number of pictures in flight.
    pub(crate) concurrency: usize,
    /// How long credentials and permissions may take at the start.
    pub(crate) startup_grace: Duration,
    /// How long pictures in flight may take at the end.
    pub(crate) shutdown_grace: Duration,
    /// The longest time that one picture can take.
    pub(crate) longest_picture: Duration,
}

impl Plan {
    /// Logs the plan and whose credentials there are, or why there are none yet.
    pub(super) fn announce(&self, identity: Result<&Principal, &Diagnosis>) {
        let Self { sources, destination, at, count, .. } = self;
        let interval = humantime::format_duration(self.interval);
        let (principal, diagnosis) = (identity.ok(), identity.err());
        let identity = match principal {
            Some(principal) => format!("with {principal}"),
            None => "but there are no credentials yet".to_owned(),
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            commit = env!("GIT_COMMIT"),
            sources,
            destination,
            at,
            %interval,
            count,
            provider = principal.map(|principal| principal.provider.name()),
            account = principal.and_then(|principal| principal.account.as_deref()),
            access_key_ending = principal.map(|principal| principal.access_key_ending.as_str()),
            diagnosis = diagnosis.map(|diagnosis| diagnosis.id),
            cause = diagnosis.map(|diagnosis| diagnosis.cause.as_str()),
            fix = diagnosis.map(|diagnosis| diagnosis.fix.as_str()),
            "uploading a picture every {interval} from {sources} to {destination} at {at}, {identity}"
        );
    }
}
