//! One line in the log for each attempt.

use std::time::Duration;

use crate::identity::Diagnosis;
use crate::status::Outcome;
use crate::upload::{UploadError, Uploaded};

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
        Outcome::NotFetched(error) => {
            tracing::warn!(reason = error.reason(), %error, "upload failed");
        }
        Outcome::NotStored { reason, error, diagnosis } => {
            let Diagnosis { id, cause, fix, .. } = diagnosis;
            tracing::warn!(reason, %error, diagnosis = id, cause, fix, "upload failed");
        }
        Outcome::Cancelled => {
            let error = UploadError::Cancelled;
            tracing::warn!(reason = error.reason(), %error, "upload failed");
        }
        Outcome::Panicked(panic) => {
            tracing::error!(reason = "bug", error = %panic, "upload failed");
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
