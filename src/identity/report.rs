//! `pod-identity-demo identity`: what was injected, which provider answers, for whom, and whether
//! that is the required identity.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::causes::Diagnosis;
use super::chain::{Link, State};
use super::credentials::{CHAIN_TIME, RefreshingCredentials};
use super::evidence::Failure;
use super::expected_role::ExpectedRole;
use super::injected::Injected;
use super::no_credentials::NoCredentials;
use super::principal::Principal;
use super::provider::{Provider, Requirement};
use super::token::Tokens;
use crate::errors::one_line;

const PROVIDER_TIMEOUT: Duration = Duration::from_secs(8);

/// The report, in the order in which it is shown. `docs/identity.md` documents its JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) injected: InjectedReport,
    pub(super) chain: Vec<Link>,
    pub(super) notes: Vec<String>,
    pub(super) principal: Option<PrincipalReport>,
    pub(super) access: Option<Access>,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Serialize)]
pub(super) struct InjectedReport {
    pub(super) variables: Vec<(&'static str, String)>,
    #[serde(flatten)]
    pub(super) tokens: Tokens,
}

#[derive(Debug, Serialize)]
pub(super) struct PrincipalReport {
    #[serde(flatten)]
    pub(super) principal: Principal,
    /// How long the credentials are still valid; `None` for static ones.
    pub(super) expires_in_seconds: Option<u64>,
    /// Why STS did not return the role.
    pub(super) sts_error: Option<String>,
}

/// What happened to the object that `--probe` uploads.
#[derive(Debug, Serialize)]
pub(super) struct Access {
    pub(super) allowed: bool,
    pub(super) key: Option<String>,
    pub(super) diagnosis: Option<Diagnosis>,
}

#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) ok: bool,
    pub(super) required: String,
    pub(super) summary: String,
    pub(super) diagnosis: Option<Diagnosis>,
}

impl Report {
    /// Looks at this pod, and asks every provider of the chain and STS. `role` is the expected
    /// role, if one is.
    pub(crate) async fn make(
        sdk: &SdkConfig,
        credentials: &RefreshingCredentials,
        role: Option<&ExpectedRole>,
    ) -> Self {
        let required = credentials.required();
        let injected = credentials.injected();
        let chain = ask_each_provider(sdk, injected).await;
        let answer = credentials.credentials().await;
        let principal = find_principal(sdk, credentials, &answer).await;
        let failure = match (&answer, role) {
            (Err(error), _) => Some(Failure::of(error, required)),
            (Ok(_), Some(role)) => other_role(role, principal.as_ref()),
            (Ok(_), None) => None,
        };
        let diagnosis = match failure {
            Some(failure) => Some(Diagnosis::of(failure, credentials, None).await),
            None => None,
        };
        let summary = match (&diagnosis, &principal) {
            (Some(diagnosis), _) => diagnosis.cause.clone(),
            (None, Some(found)) if required == Requirement::Any => found.principal.to_string(),
            (None, Some(found)) => format!("{}: as required ({required})", found.principal),
            (None, None) => String::new(),
        };
        let verdict =
            Verdict { ok: diagnosis.is_none(), required: required.to_string(), summary, diagnosis };
        let notes = notes(&chain, injected, sdk.region().is_some());
        let variables = injected.shown();
        let injected = InjectedReport { variables, tokens: Tokens::read(injected) };
        Self { injected, chain, notes, principal, access: None, verdict }
    }

    /// Adds what the probe showed: the key of the object that it stored, or why it stored none.
    pub(crate) fn with_access(self, probe: Result<String, Diagnosis>) -> Self {
        let allowed = probe.is_ok();
        let (key, diagnosis) = match probe {
            Ok(key) => (Some(key), None),
            Err(diagnosis) => (None, Some(diagnosis)),
        };
        Self { access: Some(Access { allowed, key, diagnosis }), ..self }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.verdict.ok
    }
}

/// The principal of the credentials. If they are not the required ones, the chain is asked once more
/// without the requirement, so that the report can still name the principal.
async fn find_principal(
    sdk: &SdkConfig,
    credentials: &RefreshingCredentials,
    answer: &Result<aws_credential_types::Credentials, NoCredentials>,
) -> Option<PrincipalReport> {
    let found = match (answer, sdk.credentials_provider()) {
        (Ok(found), _) => found.clone(),
        (Err(NoCredentials::Refused { .. }), Some(chain)) => {
            timeout(CHAIN_TIME, chain.provide_credentials()).await.ok()?.ok()?
        }
        _ => return None,
    };
    let mut principal = Principal::of(&found, credentials.injected());
    let sts_error = principal.ask_sts(sdk, &found).await.err();
    let left = |expiry: SystemTime| expiry.duration_since(SystemTime::now()).unwrap_or_default();
    let expires_in_seconds = principal.expiry.map(|expiry| left(expiry).as_secs());
    Some(PrincipalReport { principal, expires_in_seconds, sts_error })
}

/// Another role than the expected one, or something else than a role. Without an answer of STS nothing
/// can be said.
fn other_role(expected: &ExpectedRole, found: Option<&PrincipalReport>) -> Option<Failure> {
    let Principal { arn, role, .. } = &found?.principal;
    let arn = arn.as_deref()?;
    if expected.matches(arn) {
        return None;
    }
    let expected_text = expected.to_string();
    Some(if role.is_some() && !expected.has_account_of(arn) {
        Failure::OtherAccount { expected: expected_text, found: arn.to_owned() }
    } else {
        let found = role.as_deref().unwrap_or(arn).to_owned();
        Failure::OtherRole { expected: expected_text, found }
    })
}

/// Asks each provider on its own, all at the same time, and classifies them as the chain would.
async fn ask_each_provider(sdk: &SdkConfig, injected: &Injected) -> Vec<Link> {
    let mut config = ProviderConfig::default().with_region(sdk.region().cloned());
    if let Some(client) = sdk.http_client() {
        config = config.with_http_client(client);
    }
    let environment = EnvironmentVariableCredentialsProvider::new();
    let profile = ProfileFileCredentialsProvider::builder().configure(&config).build();
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
    let container = EcsCredentialsProvider::builder().configure(&config).build();
    let instance = ImdsCredentialsProvider::builder().configure(&config).build();
    let providers: [(Provider, &dyn ProvideCredentials); 5] = [
        (Provider::Environment, &environment),
        (Provider::Profile, &profile),
        (Provider::Irsa, &web_identity),
        (Provider::of_container(injected), &container),
        (Provider::Instance, &instance),
    ];
    let answers = providers.map(|(provider, asked)| async move {
        (provider, timeout(PROVIDER_TIMEOUT, asked.provide_credentials()).await)
    });
    let mut ended = false;
    let link = |(provider, answer): (Provider, _)| {
        let (state, detail) = match answer {
            Ok(Ok(_)) if ended => (State::WouldAnswer, None),
            Ok(Ok(_)) => (State::Answered, None),
            Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => (State::NotConfigured, None),
            Ok(Err(error)) => (State::Failed, Some(one_line(&error))),
            Err(_elapsed) => {
                (State::Failed, Some(format!("no answer within {PROVIDER_TIMEOUT:?}")))
            }
        };
        ended |= state != State::NotConfigured;
        Link { provider, state, detail }
    };
    join_all(answers).await.into_iter().map(link).collect()
}

/// Remarks on the chain and on the region, one sentence each.
fn notes(chain: &[Link], injected: &Injected, has_region: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let would_answer =
        |link: &Link| link.provider == Provider::PodIdentity && link.state == State::WouldAnswer;
    if let Some(link) = chain.iter().find(|link| link.state == State::Answered) {
        if injected.has_pod_identity() && chain.iter().any(would_answer) {
            let provider = link.provider.name();
            notes.push(format!("{provider} is earlier in the chain and shadows Pod Identity"));
        }
        if link.provider == Provider::Instance {
            let note = "only the node's role answered: nothing was injected into this pod";
            notes.push(note.to_owned());
        }
    }
    if !has_region {
        let note = "no region is set, so STS and S3 cannot be asked: set AWS_REGION";
        notes.push(note.to_owned());
    }
    notes
}
