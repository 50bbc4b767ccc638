//! What has happened so far. Metrics, health, the page and `/api/status` all read it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;
use tokio::task::Id;
use tokio::time::Instant;

use super::activity::Activity;
use super::attempts::Attempts;
use super::event::Event;
use super::outcome::{Failed, Outcome, Stage};
use super::scrape::unix;
use crate::diagnosis::Diagnosis;
use crate::identity::Subject;

/// How late the job may be before it counts as stuck: far more than a busy machine delays it.
const SLACK: Duration = Duration::from_secs(30);

/// Upper bounds in seconds: from a picture on this machine to one that takes its whole timeout.
const BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What the job is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It has no credentials.
    Waiting,
    Running,
    /// Pictures in flight finish, and no other starts.
    Ending,
    Ended,
}

/// The counts of the whole run, under the names that the metrics have.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(super) success: u64,
    pub(super) failure: u64,
    pub(super) cancelled: u64,
    pub(super) consecutive_failures: u64,
    pub(super) skipped_ticks: u64,
    pub(super) bytes_uploaded: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    /// When the program started.
    pub(crate) started: SystemTime,
    pub(crate) phase: Phase,
    pub(crate) exit_code: Option<u8>,
    /// What is wrong at the moment.
    pub(crate) diagnosis: Option<Diagnosis>,
    /// The pod, as its token names it.
    pub(crate) subject: Option<Subject>,
    /// When the loop will next show that it is alive, at the latest.
    due: Instant,
    pub(crate) next_tick: Option<Instant>,
    /// The pictures in flight, and when they started, the oldest first.
    in_flight: Vec<(Id, Instant)>,
    pub(crate) totals: Totals,
    /// The number of failures by place and diagnosis.
    pub(super) failures: BTreeMap<(Stage, &'static str), u64>,
    pub(super) last_success: Option<SystemTime>,
    /// Of stored pictures.
    pub(super) fetch_time: Histogram,
    pub(super) upload_time: Histogram,
    pub(crate) activity: Activity,
    pub(crate) attempts: Attempts,
}

impl State {
    /// The state of a job that begins now, with its time from tick to tick.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            started: SystemTime::now(),
            phase: Phase::Waiting,
            exit_code: None,
            diagnosis: None,
            subject: None,
            due: Instant::now() + SLACK,
            next_tick: None,
            in_flight: Vec::new(),
            totals: Totals::default(),
            failures: BTreeMap::new(),
            last_success: None,
            fetch_time: Histogram::new(BUCKETS),
            upload_time: Histogram::new(BUCKETS),
            activity: Activity::new(interval),
            attempts: Attempts::default(),
        }
    }

    /// Returns whether there is something new to see.
    pub(super) fn apply(&mut self, event: Event<'_>) -> bool {
        match event {
            Event::Waiting(diagnosis) => {
                self.phase = Phase::Waiting;
                self.diagnosis = Some(diagnosis.clone());
            }
            Event::Running => {
                self.phase = Phase::Running;
                self.diagnosis = None;
            }
            Event::Credentials(subject) => self.subject = subject,
            Event::AliveUntil(due) => {
                self.due = due + SLACK;
                return false;
            }
            Event::NextTick(due) => return std::mem::replace(&mut self.next_tick, due) != due,
            Event::Started(id) => self.in_flight.push((id, Instant::now())),
            Event::SkippedTick => self.totals.skipped_ticks += 1,
            Event::Ended(id, outcome) => {
                self.in_flight.retain(|(other, _)| *other != id);
                self.count(outcome);
            }
            Event::Ending => {
                self.phase = Phase::Ending;
                self.next_tick = None;
            }
            Event::Exit(code) => {
                self.phase = Phase::Ended;
                self.exit_code = Some(code);
                self.next_tick = None;
            }
        }
        true
    }

    fn count(&mut self, outcome: &Outcome) {
        let now = SystemTime::now();
        let totals = &mut self.totals;
        match outcome {
            Outcome::Uploaded { object, .. } => {
                totals.success += 1;
                totals.consecutive_failures = 0;
                totals.bytes_uploaded += object.size;
                self.fetch_time.observe(object.fetch_time.as_secs_f64());
                self.upload_time.observe(object.upload_time.as_secs_f64());
                self.last_success = Some(now);
                self.diagnosis = None;
                self.activity.uploaded(unix(now), object.size);
            }
            Outcome::Failed(Failed { stage, diagnosis, .. }) => {
                totals.failure += 1;
                totals.consecutive_failures += 1;
                *self.failures.entry((*stage, diagnosis.id)).or_default() += 1;
                self.diagnosis = Some(diagnosis.clone());
                self.activity.failed(unix(now));
            }
            Outcome::Cancelled => totals.cancelled += 1,
        }
        self.attempts.add(unix(now), outcome);
    }

    /// When each picture in flight started, the oldest first.
    pub(crate) fn in_flight(&self) -> impl ExactSizeIterator<Item = Instant> {
        self.in_flight.iter().map(|(_, started)| *started)
    }

    /// How long the oldest picture in flight has been under way.
    pub(crate) fn oldest_in_flight(&self) -> Option<Duration> {
        self.in_flight().next().map(|started| started.elapsed())
    }

    /// Whether the loop is alive, which means no later than the settings allow. An error says how
    /// late it is.
    pub(super) fn is_alive(&self) -> Result<(), String> {
        let late = Instant::now().saturating_duration_since(self.due);
        if late.is_zero() {
            Ok(())
        } else {
            let late = (late + SLACK).as_secs();
            Err(format!("stuck: the job should have continued {late} s ago"))
        }
    }

    /// Whether the job does what it is for: a picture has been stored, and the last one did not fail. An
    /// error says why not. `usable` is whether requests can be signed.
    pub(crate) fn is_ready(&self, usable: bool) -> Result<(), String> {
        let diagnosis = || self.diagnosis.as_ref().map(Diagnosis::in_short);
        let why = match self.phase {
            Phase::Waiting => match diagnosis() {
                Some(why) => format!("waiting for credentials: {why}"),
                None => "waiting for credentials".to_owned(),
            },
            Phase::Ending => "ending".to_owned(),
            Phase::Ended => "ended".to_owned(),
            Phase::Running if self.totals.consecutive_failures > 0 => {
                format!("the last picture failed: {}", diagnosis().unwrap_or_default())
            }
            Phase::Running if !usable => {
                "the credentials have expired, and no others are available".to_owned()
            }
            Phase::Running if self.totals.success == 0 => match self.oldest_in_flight() {
                Some(age) => format!(
                    "no picture has been stored yet: the first has been under way for {} s",
                    age.as_secs()
                ),
                None => "no picture has been stored yet".to_owned(),
            },
            Phase::Running => return Ok(()),
        };
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_come_back_in_time_is_stuck() {
        let hour = Duration::from_hours(1);
        let mut state = State::new(hour);
        assert_eq!(state.is_alive(), Ok(()));
        state.apply(Event::AliveUntil(Instant::now() + hour));
        advance(hour + SLACK).await;
        assert_eq!(state.is_alive(), Ok(()), "a busy machine's delay is no death");
        advance(Duration::from_secs(1)).await;
        assert_eq!(
            state.is_alive(),
            Err("stuck: the job should have continued 31 s ago".to_owned())
        );
        state.apply(Event::AliveUntil(Instant::now()));
        assert_eq!(state.is_alive(), Ok(()), "it has come back");
    }
}
