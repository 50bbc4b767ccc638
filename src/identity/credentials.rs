//! Credentials that are refreshed before they expire.
//!
//! The SDK's own cache refreshes ten seconds before expiry, and a refresh that fails is an error
//! although the credentials in use are still valid. Here a refresh begins well before that, next to
//! the requests and one at a time. Credentials are used until they expire, and a refresh that failed
//! is repeated with backoff. Time is counted on the monotonic clock, so that a step of the wall clock
//! neither ends credentials early nor keeps expired ones.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::held::Held;
use super::injected::Injected;
use super::no_credentials::{self, NoCredentials};
use super::principal::Principal;
use super::provider::Requirement;
use crate::backoff::{Pauses, pauses};
use crate::lock::lock;

/// The pauses between refreshes that fail while the credentials in use are still valid.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The pauses between questions to STS for the role, which is only shown. Where the network does not allow
/// them, they should cost nothing to speak of.
const FIRST_NAMING_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_NAMING_PAUSE: Duration = Duration::from_hours(1);

/// How long the chain may take to answer, with all its providers and retries: they have no limit of
/// their own for an answer that stops in its middle.
pub(crate) const CHAIN_TIME: Duration = Duration::from_secs(30);

/// The default chain's credentials, refreshed before they expire. Cheap to clone: all clones share
/// them.
#[derive(Clone)]
pub(crate) struct RefreshingCredentials(Arc<Inner>);

struct Inner {
    chain: SharedCredentialsProvider,
    required: Requirement,
    injected: Injected,
    renewed: Notify,
    changes: watch::Sender<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    refresh: Option<Refresh>,
    /// The pauses between refreshes, while they fail.
    pauses: Option<Pauses>,
    not_before: Option<Instant>,
    refreshes: Refreshes,
    /// Why the last refresh failed, if it did.
    failure: Option<NoCredentials>,
}

type Refresh = Shared<BoxFuture<'static, Result<Credentials, NoCredentials>>>;

/// How often the chain was asked for credentials, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refreshes {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

/// The state of the credentials, for status and metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The principal of the credentials in use.
    pub(crate) principal: Option<Principal>,
    /// Whether requests can be signed. Credentials that expired while there was nothing to do
    /// count: the next request is the first to ask for others.
    pub(crate) usable: bool,
    pub(crate) refreshes: Refreshes,
    /// Why the last refresh failed, if it did.
    pub(crate) failure: Option<NoCredentials>,
    /// When the credentials in use arrived.
    pub(crate) since: Option<SystemTime>,
    /// When their refresh is due, unless they are static. The first request after that asks.
    pub(crate) refresh_due: Option<SystemTime>,
}

impl RefreshingCredentials {
    /// Refreshes what `chain` provides, and refuses it if it is not what is `required`.
    pub(crate) fn new(
        chain: SharedCredentialsProvider,
        required: Requirement,
        injected: Injected,
    ) -> Self {
        Self(Arc::new(Inner {
            chain,
            required,
            injected,
            renewed: Notify::new(),
            changes: watch::Sender::new(()),
            state: Mutex::default(),
        }))
    }

    pub(crate) fn required(&self) -> Requirement {
        self.0.required
    }

    pub(crate) fn injected(&self) -> &Injected {
        &self.0.injected
    }

    /// Valid credentials: those in use, or new ones.
    pub(crate) async fn credentials(&self) -> Result<Credentials, NoCredentials> {
        let refresh = {
            let mut state = lock(&self.0.state);
            match state.held.as_ref().filter(|held| !held.has_ended()) {
                Some(held) => {
                    let credentials = held.credentials.clone();
                    let is_due = held.needs_refresh()
                        && state.refresh.is_none()
                        && state.not_before.is_none_or(|time| Instant::now() >= time);
                    if is_due {
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

    pub(crate) fn standing(&self) -> Standing {
        let state = lock(&self.0.state);
        let held = state.held.as_ref();
        Standing {
            principal: held.map(|held| held.principal.clone()),
            usable: held.is_some_and(|held| state.pauses.is_none() || !held.has_ended()),
            refreshes: state.refreshes,
            failure: state.failure.clone(),
            since: held.map(|held| held.since),
            refresh_due: held.and_then(Held::refresh_due),
        }
    }

    /// Changes whenever [`RefreshingCredentials::standing`] may.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Asks STS at each refresh which role this is, for status and metrics. Never returns.
    pub(crate) async fn keep_named(self, sdk: SdkConfig) {
        let mut pauses_to_ask = None;
        loop {
            // While STS does not answer, it is asked again, and at once about new credentials.
            match pauses_to_ask.as_mut().and_then(Pauses::next) {
                Some(pause) => drop(timeout(pause, self.0.renewed.notified()).await),
                None => self.0.renewed.notified().await,
            }
            let Ok(credentials) = self.credentials().await else {
                continue;
            };
            let mut principal = Principal::of(&credentials, &self.0.injected);
            match principal.ask_sts(&sdk, &credentials).await {
                Ok(()) => {
                    if let Some(held) = &mut lock(&self.0.state).held {
                        held.principal.name_like(&principal);
                    }
                    self.0.changes.send_replace(());
                    pauses_to_ask = None;
                }
                Err(error) => {
                    tracing::debug!(error, "STS did not return the role");
                    pauses_to_ask
                        .get_or_insert_with(|| pauses(FIRST_NAMING_PAUSE, LONGEST_NAMING_PAUSE));
                }
            }
        }
    }

    /// The principal of valid credentials, with which a request that is sent now is signed.
    pub(crate) async fn signer(&self) -> Result<Principal, NoCredentials> {
        let credentials = self.credentials().await?;
        let found = Principal::of(&credentials, &self.0.injected);
        // The same, with the names that STS has told.
        let held = lock(&self.0.state).held.as_ref().map(|held| held.principal.clone());
        Ok(held.filter(|held| held.has_keys_of(&found)).unwrap_or(found))
    }

    /// Drops these credentials if they are in use: S3 says that they are not valid, whatever the clocks say.
    /// Another request may have got new ones meanwhile, which stay.
    pub(crate) fn forget(&self, rejected: &Principal) {
        let mut state = lock(&self.0.state);
        let dropped = state.held.take_if(|held| rejected.has_keys_of(&held.principal));
        drop(state);
        if dropped.is_some() {
            self.0.changes.send_replace(());
        }
    }

    /// Returns once a provider has answered that is not the required one.
    pub(crate) async fn refused(&self) -> Option<NoCredentials> {
        let mut changes = self.changes();
        loop {
            let failure = lock(&self.0.state).failure.clone();
            if let Some(NoCredentials::Refused { .. }) = failure {
                return failure;
            }
            changes.changed().await.ok()?;
        }
    }
}

impl Inner {
    async fn refresh(&self) -> Result<Credentials, NoCredentials> {
        let answer = self.ask().await;
        let mut state = lock(&self.state);
        state.refresh = None;
        match answer {
            Ok((credentials, mut principal)) => {
                tracing::debug!(expiry = ?credentials.expiry(), "credentials refreshed");
                state.pauses = None;
                state.not_before = None;
                state.refreshes.succeeded += 1;
                state.failure = None;
                if let Some(earlier) = &state.held {
                    principal.name_like(&earlier.principal);
                }
                state.held = Some(Held::new(credentials.clone(), principal));
                self.renewed.notify_one();
                self.changes.send_replace(());
                Ok(credentials)
            }
            Err(error) => {
                state.refreshes.failed += 1;
                state.failure = Some(error.clone());
                self.changes.send_replace(());
                if matches!(error, NoCredentials::Refused { .. }) {
                    state.held = None;
                }
                let pauses = state.pauses.get_or_insert_with(|| pauses(FIRST_PAUSE, LONGEST_PAUSE));
                state.not_before = pauses.next().map(|pause| Instant::now() + pause);
                Err(error)
            }
        }
    }

    async fn ask(&self) -> Result<(Credentials, Principal), NoCredentials> {
        let credentials = timeout(CHAIN_TIME, self.chain.provide_credentials())
            .await
            .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(CHAIN_TIME)))
            .and_then(no_credentials::complete)
            .map_err(|error| NoCredentials::Chain(Arc::new(error)))?;
        let principal = Principal::of(&credentials, &self.injected);
        if self.required.is_met_by(principal.provider) {
            Ok((credentials, principal))
        } else {
            Err(NoCredentials::Refused { required: self.required, found: Box::new(principal) })
        }
    }
}

impl ProvideCredentials for RefreshingCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.credentials().await.map_err(CredentialsError::provider_error)
        })
    }
}

impl fmt::Debug for RefreshingCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshingCredentials")
            .field("required", &self.0.required)
            .finish_non_exhaustive()
    }
}
