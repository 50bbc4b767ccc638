//! The last attempts.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use super::outcome::{Failed, Outcome};
use crate::diagnosis::Diagnosis;

/// Attempts that are kept.
const ATTEMPTS: usize = 60;

/// The longest text that a server's answer may add, in characters.
const LONGEST_TEXT: usize = 500;

/// The last attempts that ended, the newest first.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    list: VecDeque<Attempt>,
    count: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Attempt {
    /// Counts all attempts that ended, from 1.
    number: u64,
    /// When it ended, in seconds since 1970.
    at: f64,
    #[serde(flatten)]
    result: Ended,
}

#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum Ended {
    Success {
        key: String,
        /// In bytes.
        size: u64,
        kind: &'static str,
        source: String,
        fetch_seconds: f64,
        upload_seconds: f64,
        fetch_attempts: u32,
        upload_attempts: u32,
    },
    Failure {
        reason: &'static str,
        error: String,
        diagnosis: Diagnosis,
    },
    Cancelled,
}

impl Attempts {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.list.iter()
    }

    /// Adds an attempt that ended `at` this time, in seconds since 1970.
    pub(super) fn add(&mut self, at: f64, outcome: &Outcome) {
        self.count += 1;
        let result = match outcome {
            Outcome::Uploaded { object, kind, source, fetch_attempts } => Ended::Success {
                key: object.key.clone(),
                size: object.size,
                kind: kind.media_type,
                source: shortened(source),
                fetch_seconds: seconds(object.fetch_time),
                upload_seconds: seconds(object.upload_time),
                fetch_attempts: *fetch_attempts,
                upload_attempts: object.attempts,
            },
            Outcome::Failed(Failed { reason, error, diagnosis, .. }) => {
                Ended::Failure { reason, error: shortened(error), diagnosis: diagnosis.clone() }
            }
            Outcome::Cancelled => Ended::Cancelled,
        };
        self.list.push_front(Attempt { number: self.count, at, result });
        self.list.truncate(ATTEMPTS);
    }
}

impl Attempt {
    /// The key of its object, if there is one.
    pub(crate) fn key(&self) -> Option<&str> {
        match &self.result {
            Ended::Success { key, .. } => Some(key),
            Ended::Failure { .. } | Ended::Cancelled => None,
        }
    }
}

/// Rounds to a microsecond, because more digits say nothing.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
