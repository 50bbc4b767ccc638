//! Credentials that are fresh before they must be.
//!
//! The SDK's own cache refreshes ten seconds before expiry, and a refresh that fails is an error
//! although the credentials in hand still hold. Here a refresh begins well before, beside the
//! requests, one at a time whatever the concurrency; what is in hand is used until it expires, and a
//! refresh that failed is tried again, with backoff. Time is counted on the monotonic clock, so that
//! a step of the wall clock neither ends credentials early nor keeps dead ones.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Requirement, Who};

/// The longest time before expiry at which a refresh begins; for short-lived credentials it is a
/// third of what they last.
const EARLY: Duration = Duration::from_mins(15);

/// Between refreshes that fail while the credentials in hand still hold.
const BACKOFF: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_mins(1);

/// How long credentials are used that have expired by this machine's clock the moment they come:
/// then the clock is wrong, and to ask for others again and again would not mend it.
const LEAST_HOLD: Duration = Duration::from_secs(1);

/// Why there are no credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoCredentials {
    /// No provider of the chain has any, or the one that should have failed.
    #[error(transparent)]
    Chain(Arc<CredentialsError>),
    /// Somebody answered, but not who was required.
    #[error("the identity is {found}, not what --require-identity {required} demands")]
    Refused {
        /// What was required.
        required: Requirement,
        /// Who answered.
        found: Who,
    },
}

/// The default chain's credentials, kept fresh. Cheap to clone: all clones share them.
#[derive(Clone)]
pub struct Steady(Arc<Inner>);

struct Inner {
    chain: SharedCredentialsProvider,
    required: Requirement,
    refused: CancellationToken,
    renewed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    refresh: Option<Refresh>,
    failures: u32,
    not_before: Option<Instant>,
    refreshes: Refreshes,
}

/// How often the chain was asked for credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshes {
    /// And gave some that could be used.
    pub succeeded: u64,
    /// And did not.
    pub failed: u64,
}

/// How the credentials stand, for those who watch.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who those in hand are from.
    pub who: Option<Who>,
    /// When they end; static ones do not.
    pub expiry: Option<SystemTime>,
    /// Whether requests can be signed: there are some, and if they have ended while nothing was to
    /// be done, the next request is the first to ask for others.
    pub in_hand: bool,
    /// So far.
    pub refreshes: Refreshes,
}

type Refresh = Shared<BoxFuture<'static, Result<Credentials, NoCredentials>>>;

struct Held {
    credentials: Credentials,
    /// When they end and when to have others; never, for static ones.
    ends: Option<Ends>,
}

struct Ends {
    due: Instant,
    dead: Instant,
    due_by_the_clock: SystemTime,
}

impl Held {
    fn new(credentials: Credentials) -> Self {
        let ends = credentials.expiry().map(|expiry| {
            let lasts = expiry.duration_since(SystemTime::now()).unwrap_or_default();
            let early = (lasts / 3).min(EARLY).mul_f64(0.75 + fastrand::f64() / 2.0);
            let now = Instant::now();
            Ends {
                due: now + lasts.saturating_sub(early),
                dead: now + if lasts.is_zero() { LEAST_HOLD } else { lasts },
                due_by_the_clock: expiry - early,
            }
        });
        Self { credentials, ends }
    }

    fn is_dead(&self) -> bool {
        self.ends.as_ref().is_some_and(|ends| Instant::now() >= ends.dead)
    }

    /// By either clock: the monotonic one stands still while a machine is suspended.
    fn is_due(&self) -> bool {
        self.ends.as_ref().is_some_and(|ends| {
            Instant::now() >= ends.due || SystemTime::now() >= ends.due_by_the_clock
        })
    }
}

impl Steady {
    /// Keeps fresh what `chain` provides, and refuses it if it is not what is `required`.
    #[must_use]
    pub fn new(chain: SharedCredentialsProvider, required: Requirement) -> Self {
        Self(Arc::new(Inner {
            chain,
            required,
            refused: CancellationToken::new(),
            renewed: Notify::new(),
            state: Mutex::default(),
        }))
    }

    /// Credentials that hold: those in hand, or new ones.
    pub async fn credentials(&self) -> Result<Credentials, NoCredentials> {
        let refresh = {
            let mut state = self.0.state();
            match state.held.as_ref().filter(|held| !held.is_dead()) {
                Some(held) => {
                    let credentials = held.credentials.clone();
                    let due = held.is_due()
                        && state.refresh.is_none()
                        && state.not_before.is_none_or(|time| Instant::now() >= time);
                    if due {
                        tokio::spawn(self.refresh(&mut state));
                    }
                    return Ok(credentials);
                }
                None => self.refresh(&mut state),
            }
        };
        refresh.await
    }

    /// The refresh that is under way, or a new one.
    fn refresh(&self, state: &mut State) -> Refresh {
        let inner = Arc::clone(&self.0);
        state
            .refresh
            .get_or_insert_with(|| async move { inner.refresh().await }.boxed().shared())
            .clone()
    }

    /// Who the credentials in hand are from.
    #[must_use]
    pub fn in_hand(&self) -> Option<Who> {
        self.0.state().held.as_ref().map(|held| Who::of(&held.credentials))
    }

    /// How they stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.0.state();
        let held = state.held.as_ref();
        Standing {
            who: held.map(|held| Who::of(&held.credentials)),
            expiry: held.and_then(|held| held.credentials.expiry()),
            in_hand: held.is_some_and(|held| state.failures == 0 || !held.is_dead()),
            refreshes: state.refreshes,
        }
    }

    /// Ends when credentials have come since it last ended. For one who waits.
    pub async fn renewed(&self) {
        self.0.renewed.notified().await;
    }

    #[cfg(test)]
    pub(super) fn step_wall_clock_past_expiry(&self) {
        if let Some(ends) = self.0.state().held.as_mut().and_then(|held| held.ends.as_mut()) {
            ends.due_by_the_clock = SystemTime::UNIX_EPOCH;
        }
    }

    /// S3 says that the credentials in hand have ended: whatever the clocks say, they are dropped.
    pub fn forget(&self) {
        self.0.state().held = None;
    }

    /// Ends once a provider has answered that is not the required one.
    pub async fn refused(&self) {
        self.0.refused.cancelled().await;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(&self) -> Result<Credentials, NoCredentials> {
        let result = self.ask().await;
        let mut state = self.state();
        state.refresh = None;
        match &result {
            Ok(credentials) => {
                tracing::debug!(expiry = ?credentials.expiry(), "credentials refreshed");
                state.failures = 0;
                state.not_before = None;
                state.refreshes.succeeded += 1;
                state.held = Some(Held::new(credentials.clone()));
                self.renewed.notify_one();
            }
            Err(error) => {
                state.refreshes.failed += 1;
                if matches!(error, NoCredentials::Refused { .. }) {
                    state.held = None;
                    self.refused.cancel();
                }
                let cap = BACKOFF.start * 2_u32.saturating_pow(state.failures);
                let pause = cap.min(BACKOFF.end).mul_f64(0.5 + fastrand::f64() / 2.0);
                state.failures = state.failures.saturating_add(1).min(16);
                state.not_before = Some(Instant::now() + pause);
                if state.held.as_ref().is_some_and(|held| !held.is_dead()) {
                    tracing::warn!(
                        error = crate::errors::one_line(error),
                        "credentials could not be refreshed; those in hand still hold"
                    );
                }
            }
        }
        result
    }

    async fn ask(&self) -> Result<Credentials, NoCredentials> {
        let credentials = self
            .chain
            .provide_credentials()
            .await
            .map_err(|error| NoCredentials::Chain(Arc::new(error)))?;
        let found = Who::of(&credentials);
        if self.required.is_met_by(found.provider) {
            Ok(credentials)
        } else {
            Err(NoCredentials::Refused { required: self.required, found })
        }
    }
}

impl ProvideCredentials for Steady {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.credentials().await.map_err(CredentialsError::provider_error)
        })
    }
}

impl fmt::Debug for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steady").field("required", &self.0.required).finish_non_exhaustive()
    }
}
