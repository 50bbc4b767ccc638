//! The lines of the log: what the job will do, then one line for each picture.

use std::mem::replace;
use std::time::Duration;

use super::pipeline::Pipeline;
use crate::config::Config;
use crate::diagnosis::Diagnosis;
use crate::errors::one_line;
use crate::identity::{CredentialStatus, Principal};
use crate::status::{Failed, Outcome, Stage};
use crate::upload::{Destination, Uploaded, without_secrets};

/// Logs once that the job waits for credentials, and once why.
#[derive(Default)]
pub(super) struct Waiting {
    is_said: bool,
    is_explained: bool,
}

impl Waiting {
    pub(super) fn say(&mut self) {
        if !replace(&mut self.is_said, true) {
            tracing::warn!("waiting for credentials");
        }
    }

    pub(super) fn explain(&mut self, Diagnosis { id, cause, fix, .. }: &Diagnosis) {
        if replace(&mut self.is_explained, true) {
            return;
        }
        let is_said = replace(&mut self.is_said, true);
        let message = if is_said { "no credentials yet" } else { "waiting for credentials" };
        tracing::warn!(diagnosis = id, cause, fix, "{message}");
    }
}

/// Logs what the job will do, and with which credentials.
pub(super) fn announce(config: &Config, to: &Destination, principal: &Principal) {
    let sources: Vec<_> = config.image_urls.iter().map(without_secrets).collect();
    let sources = sources.join(" ");
    let destination = to.place.url();
    let at = to.endpoint.as_ref().unwrap_or(&to.region);
    let interval = humantime::format_duration(config.interval);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("GIT_COMMIT"),
        sources,
        destination,
        at,
        %interval,
        count = config.count,
        provider = principal.provider.name(),
        account = principal.account,
        access_key_ending = principal.access_key_ending,
        "uploading a picture every {interval} from {sources} to {destination} at {at}, with {principal}"
    );
}

pub(super) fn log(outcome: &Outcome) {
    match outcome {
        Outcome::Uploaded { object, kind, source, fetch_attempts } => {
            let Uploaded { key, size, fetch_time, upload_time, attempts } = object;
            tracing::info!(
                key,
                size,
                kind = kind.media_type,
                source,
                fetch_ms = millis(*fetch_time),
                upload_ms = millis(*upload_time),
                bytes_per_second = per_second(*size, *fetch_time.max(upload_time)),
                fetch_attempts,
                upload_attempts = attempts,
                "uploaded"
            );
        }
        Outcome::Failed(Failed { stage, reason, error, diagnosis }) => {
            let Diagnosis { id, cause, fix, .. } = diagnosis;
            match stage {
                Stage::Bug => {
                    tracing::error!(reason, %error, diagnosis = id, cause, fix, "upload failed");
                }
                Stage::Fetch | Stage::Upload => {
                    tracing::warn!(reason, %error, diagnosis = id, cause, fix, "upload failed");
                }
            }
        }
        Outcome::Cancelled => {
            tracing::warn!(reason = "cancelled", error = %"the program is ending", "upload failed");
        }
    }
}

/// Logs why credentials cannot be refreshed while those in use are still valid: once for each cause,
/// until a refresh succeeds again. Never returns.
pub(super) async fn log_failed_refreshes(pipeline: Pipeline) {
    let mut changes = pipeline.credentials.changes();
    let mut logged = None;
    while changes.changed().await.is_ok() {
        let CredentialStatus { usable, refreshes, failure, .. } = pipeline.credentials.status();
        let Some(error) = failure.filter(|_| usable) else { continue };
        let Diagnosis { id, cause, fix, .. } = pipeline.explain(&error);
        let this = Some((id, refreshes.succeeded));
        if logged != this {
            tracing::warn!(
                error = one_line(&error),
                diagnosis = id,
                cause,
                fix,
                "credentials could not be refreshed; those in use are still valid"
            );
            logged = this;
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn per_second(size: u64, time: Duration) -> u64 {
    let per_second = u128::from(size) * 1_000_000 / time.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}
