//! The providers of the default credential chain in their order, and the result of each.

use serde::Serialize;

use super::credentials::Standing;
use super::injected::Injected;
use super::no_credentials::NoCredentials;
use super::provider::Provider;

/// A provider of the chain, and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Link {
    pub(super) provider: Provider,
    pub(super) state: State,
    pub(super) detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It has credentials and is the first that has: the program uses these.
    Answered,
    /// It has credentials, but an earlier provider answered.
    WouldAnswer,
    NotConfigured,
    /// It is configured and fails, and the chain ends with it.
    Failed,
    /// The chain ended before it.
    NotAsked,
}

/// The state of each provider according to the chain's last answer; no provider is asked again. If
/// the chain failed, it ended with the first provider that is configured.
pub(crate) fn chain(standing: &Standing, injected: &Injected) -> Vec<Link> {
    let providers = [
        Provider::Environment,
        Provider::Profile,
        Provider::Irsa,
        Provider::of_container(injected),
        Provider::Instance,
    ];
    let place = |provider| providers.iter().position(|&each| each == provider);
    let in_use = standing.principal.as_ref().map(|principal| principal.provider);
    let (end, state) = match (in_use, &standing.failure) {
        (Some(provider), _) => (place(provider), State::Answered),
        (None, Some(NoCredentials::Refused { found, .. })) => {
            (place(found.provider), State::Answered)
        }
        (None, Some(error)) if error.is_without_providers() => {
            (Some(providers.len()), State::NotConfigured)
        }
        (None, Some(_)) => {
            (providers.iter().position(|&each| is_configured(each, injected)), State::Failed)
        }
        (None, None) => (Some(0), State::NotAsked),
    };
    let states = providers.into_iter().enumerate().map(|(place, provider)| {
        let state = match end {
            Some(end) if place == end => state,
            Some(end) if place > end => State::NotAsked,
            _ => State::NotConfigured,
        };
        Link { provider, state, detail: None }
    });
    states.collect()
}

/// Whether something is set for this provider. A profile may be in files too, which are not looked
/// at here, and the instance metadata needs no setting.
fn is_configured(provider: Provider, injected: &Injected) -> bool {
    match provider {
        Provider::Environment => injected.variable("AWS_ACCESS_KEY_ID").is_some(),
        Provider::Profile => injected.variable("AWS_PROFILE").is_some(),
        Provider::Irsa => injected.has_irsa(),
        Provider::PodIdentity => injected.has_pod_identity(),
        Provider::Ecs => injected.has_ecs(),
        Provider::Instance => true,
        Provider::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::error::CredentialsError;

    use super::State::{Answered, Failed, NotAsked, NotConfigured};
    use super::*;
    use crate::identity::injected::{FULL_URI, TOKEN_FILE};
    use crate::identity::principal::Principal;

    fn states(provider: Option<Provider>, failure: Option<CredentialsError>) -> Vec<State> {
        let injected = Injected::default().set(FULL_URI, "http://agent").set(TOKEN_FILE, "/token");
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let principal =
            provider.map(|provider| Principal { provider, ..Principal::of(&keys, &injected) });
        let failure = failure.map(|error| NoCredentials::Chain(Arc::new(error)));
        let standing = Standing { principal, failure, ..Standing::default() };
        chain(&standing, &injected).into_iter().map(|link| link.state).collect()
    }

    #[test]
    fn the_one_that_answered_stands_between_those_that_had_nothing_and_those_not_asked() {
        assert_eq!(
            states(Some(Provider::PodIdentity), None),
            [NotConfigured, NotConfigured, NotConfigured, Answered, NotAsked]
        );
        assert_eq!(
            states(Some(Provider::Environment), Some(CredentialsError::unhandled("late"))),
            [Answered, NotAsked, NotAsked, NotAsked, NotAsked]
        );
    }

    #[test]
    fn a_failing_chain_ends_with_the_provider_that_is_configured() {
        assert_eq!(
            states(None, Some(CredentialsError::provider_error("no route"))),
            [NotConfigured, NotConfigured, NotConfigured, Failed, NotAsked]
        );
        assert_eq!(states(None, Some(CredentialsError::not_loaded("nothing"))), [NotConfigured; 5]);
        assert_eq!(states(None, None), [NotAsked; 5]);
    }
}
