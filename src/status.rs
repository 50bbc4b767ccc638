//! What has happened to the job: one state, which the job's events change, and which health checks for
//! the kubelet, metrics for Prometheus and the page read.

mod activity;
mod attempts;
mod event;
mod metrics;
mod outcome;
mod scrape;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

pub(crate) use activity::Activity;
pub(crate) use attempts::Attempt;
pub(crate) use event::Event;
pub(crate) use metrics::CONTENT_TYPE;
pub(crate) use outcome::{Failed, Outcome, Stage};
pub(crate) use scrape::unix;
pub(crate) use state::{Phase, State, Totals};

use crate::identity::{RefreshingCredentials, Subject};
use crate::lock::lock;

/// The state of the job, and who reads it. Cheap to clone: all clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Status(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    interval: Duration,
    credentials: RefreshingCredentials,
    state: Mutex<State>,
    /// Counts the changes that there are to see.
    version: watch::Sender<u64>,
}

impl Status {
    /// The status of a job that begins now, with its time from tick to tick.
    pub(crate) fn new(credentials: RefreshingCredentials, interval: Duration) -> Self {
        let state = Mutex::new(State::new(interval));
        Self(Arc::new(Inner { interval, credentials, state, version: watch::Sender::new(0) }))
    }

    /// Something has happened.
    pub(crate) fn report(&self, event: Event<'_>) {
        let mut state = lock(&self.0.state);
        if state.apply(event) {
            self.0.version.send_modify(|version| *version += 1);
        }
    }

    /// Reports each change of the credentials. Never returns.
    pub(crate) async fn follow_credentials(self) {
        let mut changes = self.0.credentials.changes();
        loop {
            self.report(Event::Credentials(Subject::read(self.0.credentials.injected())));
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// What has happened so far. Nothing is reported as long as it is held.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Counts the changes that there are to see.
    pub(crate) fn version(&self) -> &watch::Sender<u64> {
        &self.0.version
    }

    /// Whether the loop is alive; an error says how late it is.
    pub(crate) fn is_alive(&self) -> Result<(), String> {
        self.state().is_alive()
    }

    /// Whether the job does what it is for; an error says why not.
    pub(crate) fn is_ready(&self) -> Result<(), String> {
        let usable = self.0.credentials.status().usable;
        self.state().is_ready(usable)
    }

    /// All metrics, as [`CONTENT_TYPE`].
    pub(crate) fn metrics(&self) -> Result<String, fmt::Error> {
        metrics::text(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Injected, Requirement, StaticChain};

    #[tokio::test]
    async fn running_without_credentials_in_hand_is_not_ready() {
        let credentials = RefreshingCredentials::new(
            Arc::new(StaticChain),
            Requirement::Any,
            Injected::default(),
        );
        let status = Status::new(credentials.clone(), Duration::ZERO);
        assert_eq!(status.is_ready(), Err("waiting for credentials".to_owned()));
        status.report(Event::Running);
        assert!(status.is_ready().is_err_and(|why| why.contains("no others are available")));
        let _ = credentials.credentials().await;
        assert_eq!(status.is_ready(), Err("no picture has been stored yet".to_owned()));
    }
}
