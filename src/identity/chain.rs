//! The default credential chain, provider by provider.
//!
//! These are the SDK's own providers in the order of its `DefaultCredentialsChain`, asked one after the
//! other as that does. Asked here, it is known which provider gave credentials or failed, and what
//! happened to its last request: the SDK's chain tells neither. A test compares the two.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::time::timeout;

use super::injected::Injected;
use super::provider::Provider;
use super::usable::usable;
use crate::aws::{Exchange, Record, Settings};
use crate::errors::one_line;
use crate::lock::lock;

/// How long the chain may take to respond, with all its providers and retries: they have no limit of
/// their own for a response that stops in its middle. The Pod Identity Agent's slowest errors, of which the
/// SDK asks for three, take 27 s.
pub(crate) const CHAIN_TIME: Duration = Duration::from_secs(40);

/// How long a provider may take that `identity` asks although an earlier one has responded.
const PROVIDER_TIME: Duration = Duration::from_secs(8);

/// A provider of the chain, and how it responded when the chain was asked last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Link {
    pub(crate) provider: Provider,
    pub(crate) state: LinkState,
    /// Why it failed, or why it is not configured if that is not plain.
    pub(crate) detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LinkState {
    /// It has credentials and is the first that has: the program uses these.
    Answered,
    /// It has credentials, but an earlier provider responded.
    WouldAnswer,
    NotConfigured,
    /// It is configured and fails. The chain ends with the first that does.
    Failed,
    /// The chain ended before it.
    NotAsked,
}

/// What the chain answered.
#[derive(Debug)]
pub(crate) struct Asked {
    /// All providers, in the chain's order.
    pub(crate) links: Vec<Link>,
    pub(crate) result: Result<(Provider, Credentials), ChainFailure>,
}

/// Why the chain has no credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", one_line(&**.error))]
pub(crate) struct ChainFailure {
    /// The provider that failed. `None` if none is configured.
    pub(crate) provider: Option<Provider>,
    pub(crate) error: Arc<CredentialsError>,
    /// What happened to the last request of that provider, or if there is none, to that of the instance
    /// metadata provider, which is asked last.
    pub(crate) exchange: Option<Exchange>,
    /// Why providers that were asked are not configured, as they say.
    pub(crate) not_configured: Vec<(Provider, String)>,
}

/// Something that gives credentials as the chain does.
pub(crate) trait AskChain: Send + Sync {
    /// The providers before any is asked.
    fn unasked(&self) -> Vec<Link>;

    /// Asks the providers in order, until one responds with something else than that it is not configured.
    fn ask(&self) -> BoxFuture<'_, Asked>;
}

/// The chain.
pub(crate) struct Chain {
    settings: Settings,
    injected: Injected,
    providers: Mutex<Providers>,
}

/// The providers that have been asked so far. They are made late, because the SDK reads the profile's
/// endpoints for all of them when it is asked for that of the profile.
struct Providers {
    config: ProviderConfig,
    made: [Option<(SharedCredentialsProvider, Record)>; 5],
}

impl Chain {
    pub(crate) fn new(settings: Settings, injected: Injected) -> Self {
        let providers = Mutex::new(Providers::new(&settings));
        Self { settings, injected, providers }
    }

    pub(crate) fn order(&self) -> [Provider; 5] {
        [
            Provider::Environment,
            Provider::Profile,
            Provider::Irsa,
            self.injected.of_container(),
            Provider::Instance,
        ]
    }

    fn provider(&self, place: usize) -> (SharedCredentialsProvider, Record) {
        lock(&self.providers).get(place, &self.settings)
    }

    async fn ask_one(&self, place: usize) -> (Result<Credentials, CredentialsError>, Record) {
        let (provider, record) = self.provider(place);
        drop(record.take());
        let answer = match self.injected.unusable(self.order()[place]) {
            // The SDK panics at these values.
            Some(why) => Err(CredentialsError::invalid_configuration(why)),
            None => provider.provide_credentials().await.and_then(usable),
        };
        // A provider of profiles keeps its first error only once, and files may change.
        if answer.is_err() && self.order()[place] == Provider::Profile {
            *lock(&self.providers) = Providers::new(&self.settings);
        }
        (answer, record)
    }

    /// Asks those providers that the chain did not ask, each on its own: which would answer if the earlier
    /// ones did not.
    pub(crate) async fn ask_the_others(&self, links: &mut [Link]) {
        let not_asked: Vec<_> = links
            .iter()
            .enumerate()
            .filter_map(|(place, link)| (link.state == LinkState::NotAsked).then_some(place))
            .collect();
        let asking = not_asked.into_iter().map(|place| async move {
            (place, timeout(PROVIDER_TIME, self.ask_one(place)).await.map(|(answer, _)| answer))
        });
        for (place, answer) in join_all(asking).await {
            let link = &mut links[place];
            (link.state, link.detail) = match answer {
                Ok(Ok(_)) => (LinkState::WouldAnswer, None),
                Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => {
                    (LinkState::NotConfigured, None)
                }
                Ok(Err(error)) => (LinkState::Failed, Some(one_line(&error))),
                Err(_) => {
                    (LinkState::Failed, Some(format!("no response within {PROVIDER_TIME:?}")))
                }
            };
        }
    }
}

impl AskChain for Chain {
    fn unasked(&self) -> Vec<Link> {
        let link = |provider| Link { provider, state: LinkState::NotAsked, detail: None };
        self.order().map(link).into()
    }

    fn ask(&self) -> BoxFuture<'_, Asked> {
        Box::pin(async {
            let order = self.order();
            let mut links = self.unasked();
            let mut not_configured = Vec::new();
            let mut last = None;
            let deadline = tokio::time::Instant::now() + CHAIN_TIME;
            for (place, provider) in order.into_iter().enumerate() {
                let asked = tokio::time::timeout_at(deadline, self.ask_one(place)).await;
                let (answer, record) = asked.unwrap_or_else(|_elapsed| {
                    let error = CredentialsError::provider_timed_out(CHAIN_TIME);
                    (Err(error), self.provider(place).1)
                });
                let exchange = record.take();
                match answer {
                    Ok(credentials) => {
                        links[place].state = LinkState::Answered;
                        return Asked { links, result: Ok((provider, credentials)) };
                    }
                    Err(error @ CredentialsError::CredentialsNotLoaded(_)) => {
                        links[place].state = LinkState::NotConfigured;
                        not_configured.push((provider, one_line(&error)));
                        last = exchange;
                    }
                    Err(error) => {
                        let failure = ChainFailure {
                            provider: Some(provider),
                            error: Arc::new(error),
                            exchange,
                            not_configured,
                        };
                        links[place].state = LinkState::Failed;
                        links[place].detail = Some(failure.to_string());
                        return Asked { links, result: Err(failure) };
                    }
                }
            }
            let error =
                Arc::new(CredentialsError::not_loaded("no provider of the chain is configured"));
            let failure = ChainFailure { provider: None, error, exchange: last, not_configured };
            Asked { links, result: Err(failure) }
        })
    }
}

impl Providers {
    fn new(Settings { sdk, .. }: &Settings) -> Self {
        let mut config = ProviderConfig::without_region()
            .with_region(sdk.region().cloned())
            .with_use_fips(sdk.use_fips())
            .with_use_dual_stack(sdk.use_dual_stack())
            .with_behavior_version(Some(BehaviorVersion::latest()));
        if let Some(retries) = sdk.retry_config() {
            config = config.with_retry_config(retries.clone());
        }
        if let Some(timeouts) = sdk.timeout_config() {
            config = config.with_timeout_config(timeouts.clone());
        }
        if let Some(sleep) = sdk.sleep_impl() {
            config = config.with_sleep_impl(sleep);
        }
        Self { config, made: Default::default() }
    }

    fn get(&mut self, place: usize, settings: &Settings) -> (SharedCredentialsProvider, Record) {
        let config = &self.config;
        let make = || {
            let record = Record::default();
            let client = settings.http.for_provider(record.clone());
            let config = config.clone().with_http_client(client);
            (make(place, &config), record)
        };
        self.made[place].get_or_insert_with(make).clone()
    }
}

fn make(place: usize, config: &ProviderConfig) -> SharedCredentialsProvider {
    let environment = EnvironmentVariableCredentialsProvider::new;
    let container = || EcsCredentialsProvider::builder().configure(config).build();
    let instance = || ImdsCredentialsProvider::builder().configure(config).build();
    match place {
        0 => SharedCredentialsProvider::new(environment()),
        1 => SharedCredentialsProvider::new(
            ProfileFileCredentialsProvider::builder().configure(config).build(),
        ),
        2 => SharedCredentialsProvider::new(
            WebIdentityTokenCredentialsProvider::builder().configure(config).build(),
        ),
        3 => SharedCredentialsProvider::new(container()),
        _ => SharedCredentialsProvider::new(instance()),
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain")
    }
}

/// A chain with static keys of the environment, for tests.
#[cfg(test)]
pub(crate) struct StaticChain;

#[cfg(test)]
impl AskChain for StaticChain {
    fn unasked(&self) -> Vec<Link> {
        Vec::new()
    }

    fn ask(&self) -> BoxFuture<'_, Asked> {
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let result = Ok((Provider::Environment, keys));
        Box::pin(std::future::ready(Asked { links: Vec::new(), result }))
    }
}
