//! The last attempts, and the last pictures themselves.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;

use crate::diagnosis::Diagnosis;
use crate::source::ImageKind;
use crate::status::Outcome;

/// Attempts that are kept.
const ATTEMPTS: usize = 60;

/// The largest picture that is kept, and all that are kept together, in bytes.
pub(super) const LARGEST_PICTURE: usize = 1 << 20;
const ALL_PICTURES: usize = 9 << 18;

/// The longest text that a server's answer may add, in characters.
const LONGEST_TEXT: usize = 500;

#[derive(Debug)]
pub(super) struct Timeline {
    /// The newest first.
    attempts: VecDeque<Attempt>,
    /// The newest first.
    pictures: VecDeque<Kept>,
    keep: usize,
    count: u64,
    /// Tells the pictures of this run from those of others at the same address.
    run: u128,
}

#[derive(Debug, Serialize)]
pub(super) struct Attempt {
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
        /// The path at which the picture is served, as long as it is.
        picture: Option<String>,
    },
    Failure {
        reason: &'static str,
        error: String,
        diagnosis: Option<Diagnosis>,
    },
    Cancelled,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    kind: ImageKind,
    bytes: Bytes,
}

impl Timeline {
    /// The empty timeline of a run that started at this time and keeps this many pictures.
    pub(super) fn new(started: SystemTime, keep: usize) -> Self {
        let run = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            attempts: VecDeque::new(),
            pictures: VecDeque::new(),
            keep,
            count: 0,
            run: run.as_millis(),
        }
    }

    pub(super) fn attempts(&self) -> &VecDeque<Attempt> {
        &self.attempts
    }

    /// The picture with this identifier, and its kind.
    pub(super) fn picture(&self, id: &str) -> Option<(ImageKind, Bytes)> {
        let kept = self.pictures.iter().find(|kept| self.id(kept.number) == id)?;
        Some((kept.kind, kept.bytes.clone()))
    }

    pub(super) fn add(&mut self, at: f64, outcome: &Outcome) {
        self.count += 1;
        let number = self.count;
        let failure = |reason, error: &str, diagnosis| Ended::Failure {
            reason,
            error: shortened(error),
            diagnosis,
        };
        let result = match outcome {
            Outcome::Uploaded { object, kind, source, fetch_attempts, copy } => {
                let copy = copy.clone().filter(|copy| self.keep > 0 && !copy.is_empty());
                let picture = copy.map(|bytes| {
                    self.keep(Kept { number, kind: *kind, bytes });
                    format!("/pictures/{}", self.id(number))
                });
                Ended::Success {
                    key: object.key.clone(),
                    size: object.size,
                    kind: kind.media_type,
                    source: shortened(source),
                    fetch_seconds: seconds(object.fetch_time),
                    upload_seconds: seconds(object.upload_time),
                    fetch_attempts: *fetch_attempts,
                    upload_attempts: object.attempts,
                    picture,
                }
            }
            Outcome::NotFetched(error) => failure(error.reason(), &error.to_string(), None),
            Outcome::NotStored { reason, error, diagnosis } => {
                failure(reason, error, Some(diagnosis.clone()))
            }
            Outcome::Panicked(panic) => failure("bug", panic, None),
            Outcome::Cancelled => Ended::Cancelled,
        };
        self.attempts.push_front(Attempt { number, at, result });
        self.attempts.truncate(ATTEMPTS);
    }

    /// Keeps a picture, and drops the oldest until there is room for it.
    fn keep(&mut self, new: Kept) {
        let mut total =
            new.bytes.len() + self.pictures.iter().map(|kept| kept.bytes.len()).sum::<usize>();
        while self.pictures.len() >= self.keep || total > ALL_PICTURES {
            let Some(oldest) = self.pictures.pop_back() else { break };
            total -= oldest.bytes.len();
            let mut attempts = self.attempts.iter_mut();
            if let Some(attempt) = attempts.find(|attempt| attempt.number == oldest.number)
                && let Ended::Success { picture, .. } = &mut attempt.result
            {
                *picture = None;
            }
        }
        self.pictures.push_front(new);
    }

    fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", self.run)
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
