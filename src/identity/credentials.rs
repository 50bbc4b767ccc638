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
use aws_credential_types::provider::{ProvideCredentials, future};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::cached::CachedCredentials;
use super::chain::{AskChain, Asked, ChainFailure, Link};
use super::injected::Injected;
use super::no_credentials::NoCredentials;
use super::principal::Principal;
use super::provider::{Provider, Requirement};
use crate::backoff::{Pauses, pauses};
use crate::lock::lock;

/// The pauses between refreshes that fail while the credentials in use are still valid.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The pauses between questions to STS for the role, which is only shown. Where the network does not allow
/// them, they should cost nothing to speak of.
const FIRST_NAMING_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_NAMING_PAUSE: Duration = Duration::from_hours(1);

/// The shortest time between two questions to STS, and between two refreshes that succeed but bring
/// credentials that have expired. The latter doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// The default chain's credentials, refreshed before they expire. Cheap to clone: all clones share
/// them.
#[derive(Clone)]
pub(crate) struct RefreshingCredentials(Arc<Inner>);

struct Inner {
    chain: Arc<dyn AskChain>,
    required: Requirement,
    injected: Injected,
    /// The wall clock.
    now: fn() -> SystemTime,
    renewed: Notify,
    changes: watch::Sender<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<CachedCredentials>,
    refresh: Option<Refresh>,
    /// How each provider of the chain responded last.
    links: Vec<Link>,
    /// How long credentials that come expired are used, which doubles as long as they do.
    if_expired: Duration,
    /// The pauses between refreshes, while they fail.
    pauses: Option<Pauses>,
    not_before: Option<Instant>,
    refreshes: Refreshes,
    /// Why the last refresh failed, if it did.
    failure: Option<NoCredentials>,
}

/// Credentials and whose they are.
type Found = (Credentials, Principal);

type Refresh = Shared<BoxFuture<'static, Result<Found, NoCredentials>>>;

/// How often the chain was asked for credentials, by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refreshes {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

/// The state of the credentials, for status and metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct CredentialStatus {
    /// The principal of the credentials in use.
    pub(crate) principal: Option<Principal>,
    /// Whether requests can be signed. Credentials that expired while there was nothing to do
    /// count: the next request is the first to ask for others.
    pub(crate) usable: bool,
    pub(crate) refreshes: Refreshes,
    /// Why the last refresh failed, if it did.
    pub(crate) failure: Option<NoCredentials>,
    /// How each provider of the chain responded last, in the chain's order; empty before that.
    pub(crate) links: Vec<Link>,
    /// When the credentials in use arrived.
    pub(crate) since: Option<SystemTime>,
    /// When their refresh is due, unless they are static. The first request after that asks.
    pub(crate) refresh_due: Option<SystemTime>,
}

impl RefreshingCredentials {
    /// Refreshes what `chain` provides, and refuses it if it is not what is `required`.
    pub(crate) fn new(chain: Arc<dyn AskChain>, required: Requirement, injected: Injected) -> Self {
        Self::with_clock(chain, required, injected, SystemTime::now)
    }

    fn with_clock(
        chain: Arc<dyn AskChain>,
        required: Requirement,
        injected: Injected,
        now: fn() -> SystemTime,
    ) -> Self {
        let state = State { links: chain.unasked(), ..State::default() };
        Self(Arc::new(Inner {
            chain,
            now,
            required,
            injected,
            renewed: Notify::new(),
            changes: watch::Sender::new(()),
            state: Mutex::new(state),
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
        self.current().await.map(|(credentials, _)| credentials)
    }

    /// The principal of valid credentials, with which a request that is sent now is signed.
    pub(crate) async fn signer(&self) -> Result<Principal, NoCredentials> {
        self.current().await.map(|(_, principal)| principal)
    }

    async fn current(&self) -> Result<Found, NoCredentials> {
        let refresh = {
            let mut state = lock(&self.0.state);
            match state.held.as_ref().filter(|held| !held.has_ended()) {
                Some(held) => {
                    let found = (held.credentials.clone(), held.principal.clone());
                    let is_due = held.needs_refresh((self.0.now)())
                        && state.refresh.is_none()
                        && state.not_before.is_none_or(|time| Instant::now() >= time);
                    if is_due {
                        tokio::spawn(self.refresh(&mut state));
                    }
                    return Ok(found);
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

    pub(crate) fn status(&self) -> CredentialStatus {
        let state = lock(&self.0.state);
        let held = state.held.as_ref();
        CredentialStatus {
            principal: held.map(|held| held.principal.clone()),
            usable: held.is_some_and(|held| state.pauses.is_none() || !held.has_ended()),
            refreshes: state.refreshes,
            failure: state.failure.clone(),
            since: held.map(|held| held.since),
            links: state.links.clone(),
            refresh_due: held.and_then(CachedCredentials::refresh_due),
        }
    }

    /// Changes whenever [`RefreshingCredentials::status`] may.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Asks STS after each refresh which role this is, for status and metrics. Never returns, and never
    /// makes the chain be asked.
    pub(crate) async fn keep_named(self, sdk: SdkConfig) {
        let mut pauses_to_ask = None;
        loop {
            // While STS does not respond, it is asked again, and soon about new credentials.
            match pauses_to_ask.as_mut().and_then(Pauses::next) {
                Some(pause) => drop(timeout(pause, self.0.renewed.notified()).await),
                None => self.0.renewed.notified().await,
            }
            let held = lock(&self.0.state)
                .held
                .as_ref()
                .map(|held| (held.credentials.clone(), held.principal.clone()));
            let Some((credentials, mut principal)) = held else { continue };
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
            sleep(SHORTEST_PAUSE).await;
        }
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
    async fn refresh(&self) -> Result<Found, NoCredentials> {
        let Asked { links, result } = self.chain.ask().await;
        let answer = self.check(result);
        let mut state = lock(&self.state);
        state.refresh = None;
        // While credentials are in use, the chain is shown as it was when it gave them.
        if answer.is_ok() || state.held.as_ref().is_none_or(CachedCredentials::has_ended) {
            state.links.clone_from(&links);
        }
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
                let if_expired = state.if_expired.max(SHORTEST_PAUSE);
                let found = (credentials.clone(), principal.clone());
                let held = CachedCredentials::new(credentials, principal, (self.now)(), if_expired);
                state.if_expired = if held.came_expired() {
                    (if_expired * 2).min(LONGEST_PAUSE)
                } else {
                    SHORTEST_PAUSE
                };
                state.held = Some(held);
                self.renewed.notify_one();
                self.changes.send_replace(());
                Ok(found)
            }
            Err(error) => {
                state.refreshes.failed += 1;
                state.failure = Some(error.clone());
                self.changes.send_replace(());
                if matches!(error, NoCredentials::Refused { .. }) {
                    state.held = None;
                    state.links = links;
                }
                let pauses = state.pauses.get_or_insert_with(|| pauses(FIRST_PAUSE, LONGEST_PAUSE));
                state.not_before = pauses.next().map(|pause| Instant::now() + pause);
                Err(error)
            }
        }
    }

    fn check(
        &self,
        result: Result<(Provider, Credentials), ChainFailure>,
    ) -> Result<Found, NoCredentials> {
        let (provider, credentials) = result.map_err(NoCredentials::Chain)?;
        let principal = Principal::of(provider, &credentials);
        if self.required.is_met_by(provider) {
            Ok((credentials, principal))
        } else {
            let (required, found) = (self.required, Box::new(principal));
            Err(NoCredentials::Refused { required, found, credentials })
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
