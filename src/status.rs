//! What has happened so far, and whether that is as it should be.
//!
//! The job tells it once a tick; [`crate::server`] shows it to kubelets, Prometheus and people.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::time::Instant;

use crate::identity::caller::Caller;
use crate::identity::diagnosis::Diagnosis;
use crate::identity::steady::{Standing, Steady};
use crate::metrics::{Metrics, Outcome, Scrape, unix};
use crate::upload::{UploadError, Uploaded};

/// By how much the job may be late before it counts as stuck: far more than a busy machine delays it.
const SLACK: Duration = Duration::from_secs(30);

/// What has happened so far. Cheap to clone: all clones share it.
#[derive(Clone, Debug)]
pub struct Status(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    identity: Arc<Identity>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the loop shows next that it is alive.
    due: Instant,
    phase: Phase,
    /// Why the last picture is no object, if it is none.
    failure: Option<String>,
}

#[derive(Debug)]
enum Phase {
    /// Without credentials yet, and why.
    Starting(Option<String>),
    Running,
    Ending,
}

impl Status {
    /// Of a job that begins now, with this identity and this time from tick to tick.
    #[must_use]
    pub fn new(identity: Steady, interval: Duration) -> Self {
        let identity = Arc::new(Identity { steady: identity, caller: Mutex::default() });
        Self(Arc::new(Inner {
            metrics: Metrics::new(interval, Arc::clone(&identity)),
            identity,
            state: Mutex::new(State {
                due: Instant::now() + SLACK,
                phase: Phase::Starting(None),
                failure: None,
            }),
        }))
    }

    /// The job has gone on, and will again by then.
    pub fn alive_until(&self, due: Instant) {
        self.0.state().due = due + SLACK;
    }

    /// There are no credentials yet.
    pub fn waiting(&self, diagnosis: &Diagnosis) {
        self.0.state().phase = Phase::Starting(Some(in_short(diagnosis)));
    }

    /// There are credentials.
    pub fn running(&self) {
        self.0.state().phase = Phase::Running;
    }

    /// The job has been told to end, or has come to its end.
    pub fn ending(&self) {
        self.0.state().phase = Phase::Ending;
    }

    /// STS says who the credentials stand for.
    pub fn known_as(&self, caller: Caller) {
        *self.0.identity.caller() = Some(caller);
    }

    /// So many pictures are in flight.
    pub fn in_flight(&self, pictures: usize) {
        self.0.metrics.in_flight.set(i64::try_from(pictures).unwrap_or(i64::MAX));
    }

    /// A tick found no free slot.
    pub fn skipped(&self) {
        self.0.metrics.skipped_ticks.inc();
    }

    /// A picture has become an object.
    pub fn uploaded(&self, uploaded: &Uploaded) {
        self.0.metrics.uploaded(uploaded.size, uploaded.fetch_time, uploaded.upload_time);
        self.0.state().failure = None;
    }

    /// A picture has not become an object.
    pub fn failed(&self, error: &UploadError, diagnosis: Option<&Diagnosis>) {
        let metrics = &self.0.metrics;
        match error {
            UploadError::Cancelled => return metrics.count(Outcome::Cancelled),
            UploadError::Fetch(error) => metrics.fetch_failed(error.reason()),
            UploadError::Credentials(_) | UploadError::S3(_) => {
                metrics.upload_failed(diagnosis.map_or(error.reason(), |diagnosis| diagnosis.id));
            }
        }
        let why = diagnosis.map_or_else(|| format!("{}: {error}", error.reason()), in_short);
        self.broken(why);
    }

    /// A picture has come to nothing, as it never should.
    pub fn broken(&self, why: String) {
        self.0.metrics.count(Outcome::Failure);
        self.0.metrics.consecutive_failures.inc();
        self.0.state().failure = Some(why);
    }

    /// Whether the loop is alive: not late by more than the settings allow. Otherwise, how late.
    pub fn is_alive(&self) -> Result<(), String> {
        let late = Instant::now().saturating_duration_since(self.0.state().due);
        if late.is_zero() {
            Ok(())
        } else {
            Err(format!("stuck: the job should have gone on {} s ago", (late + SLACK).as_secs()))
        }
    }

    /// Whether the job does what it is for: credentials are in hand and the last picture was not a
    /// failure. Otherwise, why not.
    pub fn is_ready(&self) -> Result<(), String> {
        let state = self.0.state();
        match (&state.phase, &state.failure) {
            (Phase::Starting(None), _) => Err("no credentials yet".to_owned()),
            (Phase::Starting(Some(why)), _) => Err(format!("no credentials yet: {why}")),
            (Phase::Ending, _) => Err("ending".to_owned()),
            (Phase::Running, Some(why)) => Err(format!("the last picture failed: {why}")),
            (Phase::Running, None) if !self.0.identity.steady.standing().in_hand => {
                Err("the credentials have ended, and no others were to be had".to_owned())
            }
            (Phase::Running, None) => Ok(()),
        }
    }

    /// All metrics, as [`crate::metrics::CONTENT_TYPE`].
    pub fn metrics(&self) -> Result<String, fmt::Error> {
        self.0.metrics.text()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_short(diagnosis: &Diagnosis) -> String {
    format!("{}: {}", diagnosis.id, diagnosis.cause)
}

/// Who we are, as metrics.
#[derive(Debug)]
struct Identity {
    steady: Steady,
    caller: Mutex<Option<Caller>>,
}

impl Identity {
    fn caller(&self) -> MutexGuard<'_, Option<Caller>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Identity {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let Standing { who, expiry, refreshes, .. } = self.steady.standing();
        let mut scrape = Scrape(encoder);
        scrape.counts(
            "credentials_refreshes",
            "Times that the credential chain was asked, by whether it gave what could be used",
            "result",
            &[("success", refreshes.succeeded), ("failure", refreshes.failed)],
        )?;
        if let Some(expiry) = expiry {
            let help = "Unix time at which the credentials in hand end";
            scrape.seconds("credentials_expiry_timestamp", help, unix(expiry))?;
        }
        let Some(who) = who else {
            return Ok(());
        };
        let caller = self.caller();
        let caller = caller.as_ref();
        let role = caller.and_then(|caller| caller.role.as_deref()).unwrap_or_default();
        let account = caller.and_then(|caller| caller.account.as_deref());
        let account = account.or(who.account.as_deref()).unwrap_or_default();
        scrape.info(
            "identity",
            "Whose credentials are in hand; the role is empty until STS has named it",
            &[("provider", who.provider.name()), ("role", role), ("account", account)],
        )
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use tokio::time::advance;

    use super::*;
    use crate::identity::Requirement;

    fn status(interval: Duration) -> Status {
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let chain = SharedCredentialsProvider::new(keys);
        Status::new(Steady::new(chain, Requirement::Any), interval)
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
            Err("stuck: the job should have gone on 31 s ago".to_owned())
        );
        status.alive_until(Instant::now());
        assert_eq!(status.is_alive(), Ok(()), "it has come back");
    }

    #[tokio::test]
    async fn running_without_credentials_in_hand_is_not_ready() {
        let status = status(Duration::ZERO);
        status.running();
        assert!(status.is_ready().is_err_and(|why| why.contains("no others were to be had")));
        let _ = status.0.identity.steady.credentials().await;
        assert_eq!(status.is_ready(), Ok(()));
    }
}
