//! What the page knows of the job.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;

use super::activity::Activity;
use super::timeline::Timeline;
use crate::diagnosis::Diagnosis;
use crate::identity::Subject;
use crate::status::{Event, Outcome, unix};

/// What the job is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It has no credentials.
    Waiting,
    Running,
    /// Pictures in flight finish, and no other starts.
    Ending,
    Ended,
}

/// The counts of the whole run, under the names that the metrics have.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Totals {
    success: u64,
    failure: u64,
    cancelled: u64,
    consecutive_failures: u64,
    skipped_ticks: u64,
    bytes_uploaded: u64,
}

#[derive(Debug)]
pub(super) struct State {
    /// When the program started.
    pub(super) started: SystemTime,
    pub(super) phase: Phase,
    pub(super) exit_code: Option<u8>,
    /// What is wrong at the moment, if it could be told.
    pub(super) diagnosis: Option<Diagnosis>,
    pub(super) in_flight: usize,
    pub(super) next_tick: Option<Instant>,
    /// The pod, as its token names it.
    pub(super) subject: Option<Subject>,
    pub(super) totals: Totals,
    pub(super) activity: Activity,
    pub(super) timeline: Timeline,
}

impl State {
    pub(super) fn new(started: SystemTime, interval: Duration, keep_pictures: usize) -> Self {
        Self {
            started,
            phase: Phase::Waiting,
            exit_code: None,
            diagnosis: None,
            in_flight: 0,
            next_tick: None,
            subject: None,
            totals: Totals::default(),
            activity: Activity::new(interval),
            timeline: Timeline::new(started, keep_pictures),
        }
    }

    /// Whether the job does what it is for.
    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Running && self.totals.consecutive_failures == 0
    }

    /// Returns whether there is something new to see.
    pub(super) fn see(&mut self, event: &Event<'_>) -> bool {
        match *event {
            Event::Waiting(diagnosis) => {
                self.phase = Phase::Waiting;
                self.diagnosis = Some(diagnosis.clone());
            }
            Event::Running => {
                self.phase = Phase::Running;
                self.diagnosis = None;
            }
            Event::Ending => {
                self.phase = Phase::Ending;
                self.next_tick = None;
            }
            Event::InFlight(pictures) => {
                return std::mem::replace(&mut self.in_flight, pictures) != pictures;
            }
            Event::NextTick(due) => return std::mem::replace(&mut self.next_tick, due) != due,
            Event::SkippedTick => self.totals.skipped_ticks += 1,
            Event::Ended(outcome) => self.record(outcome),
        }
        true
    }

    pub(super) fn end(&mut self, exit_code: u8) {
        self.phase = Phase::Ended;
        self.exit_code = Some(exit_code);
        self.next_tick = None;
        self.in_flight = 0;
    }

    fn record(&mut self, outcome: &Outcome) {
        let now = unix(SystemTime::now());
        let totals = &mut self.totals;
        match outcome {
            Outcome::Uploaded { object, .. } => {
                totals.success += 1;
                totals.bytes_uploaded += object.size;
                totals.consecutive_failures = 0;
                self.diagnosis = None;
                self.activity.uploaded(now, object.size);
            }
            Outcome::Cancelled => totals.cancelled += 1,
            Outcome::NotFetched(_) | Outcome::NotStored { .. } | Outcome::Panicked(_) => {
                totals.failure += 1;
                totals.consecutive_failures += 1;
                self.diagnosis = match outcome {
                    Outcome::NotStored { diagnosis, .. } => Some(diagnosis.clone()),
                    _ => None,
                };
                self.activity.failed(now);
            }
        }
        self.timeline.add(now, outcome);
    }
}
