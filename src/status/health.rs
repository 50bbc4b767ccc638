//! Whether the job is alive, and whether it is ready.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::event::{Event, Observer};
use super::metrics::Metrics;
use super::outcome::Outcome;
use crate::diagnosis::Diagnosis;
use crate::identity::RefreshingCredentials;
use crate::lock::lock;

/// How late the job may be before it counts as stuck: far more than a busy machine delays it.
const SLACK: Duration = Duration::from_secs(30);

/// What has happened so far. The job reports to it, and the server shows it. Cheap to clone: all
/// clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Status(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    credentials: RefreshingCredentials,
    observer: Option<Arc<dyn Observer>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the loop will next show that it is alive.
    due: Instant,
    /// Why the job is not running, if it is not: it is starting or ending.
    not_running: Option<String>,
    /// Why the last picture did not become an object, if it did not.
    failure: Option<String>,
}

impl Status {
    /// The status of a job that begins now, with its time from tick to tick. All that the job
    /// reports is passed on to the observer.
    pub(crate) fn new(
        credentials: RefreshingCredentials,
        interval: Duration,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        Self(Arc::new(Inner {
            metrics: Metrics::new(interval, credentials.clone()),
            credentials,
            observer,
            state: Mutex::new(State {
                due: Instant::now() + SLACK,
                not_running: Some("no credentials yet".to_owned()),
                failure: None,
            }),
        }))
    }

    /// The job is alive, and will report again before `due`.
    pub(crate) fn alive_until(&self, due: Instant) {
        lock(&self.0.state).due = due + SLACK;
    }

    /// There are no credentials yet.
    pub(crate) fn waiting(&self, diagnosis: &Diagnosis) {
        let why = format!("no credentials yet: {}", diagnosis.in_short());
        lock(&self.0.state).not_running = Some(why);
        self.pass_on(&Event::Waiting(diagnosis));
    }

    /// There are credentials.
    pub(crate) fn running(&self) {
        lock(&self.0.state).not_running = None;
        self.pass_on(&Event::Running);
    }

    pub(crate) fn ending(&self) {
        lock(&self.0.state).not_running = Some("ending".to_owned());
        self.pass_on(&Event::Ending);
    }

    pub(crate) fn in_flight(&self, pictures: usize) {
        self.0.metrics.in_flight.set(i64::try_from(pictures).unwrap_or(i64::MAX));
        self.pass_on(&Event::InFlight(pictures));
    }

    /// When the next picture starts, if it does not depend on those in flight.
    pub(crate) fn next_tick(&self, due: Option<Instant>) {
        self.pass_on(&Event::NextTick(due));
    }

    /// A tick was skipped, because too many pictures were in flight.
    pub(crate) fn skipped(&self) {
        self.0.metrics.skipped_ticks.inc();
        self.pass_on(&Event::SkippedTick);
    }

    pub(crate) fn record(&self, outcome: &Outcome) {
        self.0.metrics.record(outcome);
        if !matches!(outcome, Outcome::Cancelled) {
            lock(&self.0.state).failure = outcome.failure();
        }
        self.pass_on(&Event::Ended(outcome));
    }

    fn pass_on(&self, event: &Event<'_>) {
        if let Some(observer) = &self.0.observer {
            observer.observe(event);
        }
    }

    /// Whether the loop is alive, which means no later than the settings allow. An error says how
    /// late it is.
    pub(crate) fn is_alive(&self) -> Result<(), String> {
        let late = Instant::now().saturating_duration_since(lock(&self.0.state).due);
        if late.is_zero() {
            Ok(())
        } else {
            let late = (late + SLACK).as_secs();
            Err(format!("stuck: the job should have continued {late} s ago"))
        }
    }

    /// Whether the job is ready: there are credentials, and the last picture did not fail. An error
    /// says why not.
    pub(crate) fn is_ready(&self) -> Result<(), String> {
        let state = lock(&self.0.state);
        if let Some(why) = &state.not_running {
            Err(why.clone())
        } else if let Some(why) = &state.failure {
            Err(format!("the last picture failed: {why}"))
        } else if !self.0.credentials.status().usable {
            Err("the credentials have expired, and no others are available".to_owned())
        } else {
            Ok(())
        }
    }

    pub(crate) fn metrics(&self) -> Result<String, fmt::Error> {
        self.0.metrics.text()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::*;
    use crate::identity::{Injected, Requirement, StaticChain};

    fn status(interval: Duration) -> Status {
        let chain = Arc::new(StaticChain);
        let credentials = RefreshingCredentials::new(chain, Requirement::Any, Injected::default());
        Status::new(credentials, interval, None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_come_back_in_time_is_stuck() {
        let hour = Duration::from_hours(1);
        let status = status(hour);
        assert_eq!(status.is_alive(), Ok(()));
        status.alive_until(Instant::now() + hour);
        advance(hour + SLACK).await;
        assert_eq!(status.is_alive(), Ok(()), "a busy machine's delay is no death");
        advance(Duration::from_secs(1)).await;
        assert_eq!(
            status.is_alive(),
            Err("stuck: the job should have continued 31 s ago".to_owned())
        );
        status.alive_until(Instant::now());
        assert_eq!(status.is_alive(), Ok(()), "it has come back");
    }

    #[tokio::test]
    async fn running_without_credentials_in_hand_is_not_ready() {
        let status = status(Duration::ZERO);
        status.running();
        assert!(status.is_ready().is_err_and(|why| why.contains("no others are available")));
        let _ = status.0.credentials.credentials().await;
        assert_eq!(status.is_ready(), Ok(()));
    }
}
