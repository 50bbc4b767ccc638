//! `pod-identity-demo identity`: what was injected, who answers, who that is, what it may do.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::caller::Caller;
use super::diagnosis::{Diagnosis, diagnose};
use super::evidence::{Evidence, Failure};
use super::injected::{Injected, Token};
use super::steady::{NoCredentials, Steady};
use super::{Requirement, Who};
use crate::aws;
use crate::config::IdentityConfig;
use crate::errors::one_line;
use crate::upload::{Destination, UploadError, Uploader};

/// What one provider may take to answer before it counts as silent.
const PATIENCE: Duration = Duration::from_secs(8);

/// All of it, in the order in which a person would want to read it. Its JSON is documented in
/// `docs/identity.md`.
#[derive(Debug, Serialize)]
pub struct Report {
    injected: Injected,
    chain: Vec<Link>,
    notes: Vec<String>,
    principal: Option<Principal>,
    access: Option<Access>,
    verdict: Verdict,
}

/// A provider of the chain.
#[derive(Debug, Serialize)]
struct Link {
    provider: &'static str,
    state: State,
    detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It has credentials, and is the first that has: the program uses these.
    Answered,
    /// It has credentials, but an earlier one has answered.
    WouldAnswer,
    /// It is not set up.
    NotConfigured,
    /// It is set up and fails; the chain ends with it.
    Failed,
}

/// Who the credentials stand for.
#[derive(Debug, Serialize)]
struct Principal {
    account: Option<String>,
    arn: Option<String>,
    role: Option<String>,
    session: Option<String>,
    access_key_ending: String,
    expires_in_seconds: Option<u64>,
    /// Why STS did not say.
    sts_error: Option<String>,
}

/// What became of the object that `--probe` puts.
#[derive(Debug, Serialize)]
struct Access {
    allowed: bool,
    key: Option<String>,
    diagnosis: Option<Diagnosis>,
}

/// Whether the identity is what was required.
#[derive(Debug, Serialize)]
struct Verdict {
    ok: bool,
    required: String,
    summary: String,
    diagnosis: Option<Diagnosis>,
}

impl Report {
    /// Looks at this pod, asks every provider of the chain, and STS; with a `probe`, S3 as well.
    pub async fn make(config: &IdentityConfig) -> Self {
        let required = config.require_identity;
        let sdk = &aws::load(config.region.as_deref(), PATIENCE).await;
        let injected = Injected::read();
        let chain = chain(sdk).await;
        let steady = sdk.credentials_provider().map(|chain| Steady::new(chain, required));
        let found = match &steady {
            Some(steady) => steady.credentials().await,
            None => Err(NoCredentials::Chain(
                CredentialsError::not_loaded("the SDK has no chain").into(),
            )),
        };
        let who = match &found {
            Ok(credentials) => Some(Who::of(credentials)),
            Err(NoCredentials::Refused { found, .. }) => Some(found.clone()),
            Err(NoCredentials::Chain(_)) => None,
        };
        let verdict = match &found {
            Ok(_) => Verdict {
                ok: true,
                required: required.to_string(),
                summary: match &who {
                    Some(who) if required == Requirement::Any => format!("{who}"),
                    Some(who) => format!("{who}: as required ({required})"),
                    None => String::new(),
                },
                diagnosis: None,
            },
            Err(error) => {
                let failure = Failure::of(error, required);
                let diagnosis = diagnose(&Evidence::gather(failure, who.clone()).await);
                Verdict {
                    ok: false,
                    required: required.to_string(),
                    summary: diagnosis.cause.clone(),
                    diagnosis: Some(diagnosis),
                }
            }
        };
        // Of an identity that was not required it is still worth knowing whose it is.
        let credentials = match (found, sdk.credentials_provider()) {
            (Ok(credentials), _) => Some(credentials),
            (Err(NoCredentials::Refused { .. }), Some(chain)) => {
                chain.provide_credentials().await.ok()
            }
            _ => None,
        };
        let principal = match credentials {
            Some(credentials) => Some(principal(sdk, &credentials).await),
            None => None,
        };
        let access = match (&config.probe, steady) {
            (Some((bucket, prefix)), Some(steady)) if verdict.ok => {
                let to = Destination::new(bucket, prefix, sdk);
                Some(access(&Uploader::new(aws::s3(sdk, steady), to), who).await)
            }
            _ => None,
        };
        let mut notes = notes(&chain);
        if config.region.is_none() {
            notes.push(
                "no region is set, so neither STS nor S3 can be asked: set AWS_REGION".to_owned(),
            );
        }
        Self { injected, chain, notes, principal, access, verdict }
    }

    /// Whether the identity is what was required.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.verdict.ok
    }

    /// The report as JSON, in one document.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

/// Asks each provider on its own, all at once, and tells them apart as the chain would.
async fn chain(sdk: &SdkConfig) -> Vec<Link> {
    let config = ProviderConfig::default().with_region(sdk.region().cloned());
    let environment = EnvironmentVariableCredentialsProvider::new();
    let profile = ProfileFileCredentialsProvider::builder().configure(&config).build();
    let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(&config).build();
    let container = EcsCredentialsProvider::builder().configure(&config).build();
    let instance = ImdsCredentialsProvider::builder().configure(&config).build();
    let providers: [(&'static str, &dyn ProvideCredentials); 5] = [
        ("environment", &environment),
        ("profile", &profile),
        ("web_identity", &web_identity),
        ("container", &container),
        ("instance", &instance),
    ];
    let asked = providers.map(|(name, provider)| async move {
        (name, timeout(PATIENCE, provider.provide_credentials()).await)
    });
    let mut ended = false;
    let link = |(provider, answer)| {
        let (state, detail) = match answer {
            Ok(Ok(_)) if ended => (State::WouldAnswer, None),
            Ok(Ok(_)) => (State::Answered, None),
            Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => (State::NotConfigured, None),
            Ok(Err(error)) => (State::Failed, Some(one_line(&error))),
            Err(_elapsed) => (State::Failed, Some(format!("no answer within {PATIENCE:?}"))),
        };
        ended |= state != State::NotConfigured;
        Link { provider, state, detail }
    };
    join_all(asked).await.into_iter().map(link).collect()
}

/// What of the chain deserves to be said aloud.
fn notes(chain: &[Link]) -> Vec<String> {
    let mut notes = Vec::new();
    let answered = chain.iter().find(|link| link.state == State::Answered);
    let container_waits = super::injected::has_pod_identity()
        && chain
            .iter()
            .any(|link| link.provider == "container" && link.state == State::WouldAnswer);
    if let Some(link) = answered {
        if container_waits {
            notes.push(format!(
                "{} comes earlier in the chain and shadows Pod Identity",
                link.provider
            ));
        }
        if link.provider == "instance" {
            notes.push(
                "the node's role is all that is left: nothing was injected into this pod"
                    .to_owned(),
            );
        }
    }
    notes
}

async fn principal(sdk: &SdkConfig, credentials: &Credentials) -> Principal {
    let (caller, sts_error) = match Caller::ask(sdk, credentials).await {
        Ok(caller) => (caller, None),
        Err(error) => (Caller::default(), Some(error)),
    };
    let Who { account, key_ending, .. } = Who::of(credentials);
    Principal {
        account: caller.account.or(account),
        arn: caller.arn,
        role: caller.role,
        session: caller.session,
        access_key_ending: key_ending,
        expires_in_seconds: credentials
            .expiry()
            .map(|expiry| expiry.duration_since(SystemTime::now()).unwrap_or_default().as_secs()),
        sts_error,
    }
}

async fn access(uploader: &Uploader, who: Option<Who>) -> Access {
    match uploader.probe().await {
        Ok(key) => Access { allowed: true, key: Some(key), diagnosis: None },
        Err(UploadError::S3(failure)) => {
            let evidence = Evidence::gather(Failure::S3(failure), who).await;
            Access { allowed: false, key: None, diagnosis: Some(diagnose(&evidence)) }
        }
        Err(_) => Access { allowed: false, key: None, diagnosis: None },
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Injected")?;
        if self.injected.variables.is_empty() {
            writeln!(f, "  nothing: no variable of Pod Identity, IRSA or the SDK is set")?;
        }
        for (name, value) in &self.injected.variables {
            writeln!(f, "  {name}={value}")?;
        }
        for (name, token) in [
            ("Pod Identity", &self.injected.pod_identity_token),
            ("IRSA", &self.injected.irsa_token),
        ] {
            if let Some(token) = token {
                write_token(f, name, token)?;
            }
        }
        writeln!(f, "\nChain")?;
        for link in &self.chain {
            let state = match link.state {
                State::Answered => "answered",
                State::WouldAnswer => "would answer, but an earlier one has",
                State::NotConfigured => "not configured",
                State::Failed => "fails",
            };
            write!(f, "  {:<13} {state}", link.provider)?;
            writeln!(
                f,
                "{}",
                link.detail.as_ref().map_or(String::new(), |why| format!(": {why}"))
            )?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        writeln!(f, "\nPrincipal")?;
        match &self.principal {
            None => writeln!(f, "  nobody: there are no credentials")?,
            Some(principal) => write_principal(f, principal)?,
        }
        if let Some(access) = &self.access {
            writeln!(f, "\nAccess")?;
            match (&access.key, &access.diagnosis) {
                (Some(key), _) => writeln!(f, "  allowed: put {key}")?,
                (None, Some(diagnosis)) => {
                    writeln!(f, "  denied: {}\n  fix: {}", diagnosis.cause, diagnosis.fix)?;
                }
                (None, None) => writeln!(f, "  not tried")?,
            }
        }
        writeln!(f, "\nVerdict")?;
        let word = if self.verdict.ok { "ok" } else { "NOT OK" };
        writeln!(f, "  {word}: {}", self.verdict.summary)?;
        match &self.verdict.diagnosis {
            Some(diagnosis) => writeln!(f, "  fix: {}", diagnosis.fix),
            None => Ok(()),
        }
    }
}

fn write_token(f: &mut fmt::Formatter<'_>, name: &str, token: &Token) -> fmt::Result {
    writeln!(f, "  {name}'s token (decoded, not verified), {}", token.path)?;
    let Some(claims) = token.claims() else {
        return writeln!(f, "    {:?}", token.content);
    };
    let bound = &claims.kubernetes;
    let left = match claims.time_left() {
        Ok(left) => {
            format!("in {}", humantime::format_duration(Duration::from_secs(left.as_secs())))
        }
        Err(past) => {
            format!("{} AGO", humantime::format_duration(Duration::from_secs(past.as_secs())))
        }
    };
    for (claim, value) in [
        ("issuer", claims.iss.as_str()),
        ("audience", &claims.aud.all().join(", ")),
        ("namespace", &bound.namespace),
        ("service account", &bound.serviceaccount.name),
        ("pod", &bound.pod.name),
        ("node", &bound.node.name),
        ("expires", &left),
    ] {
        writeln!(f, "    {claim:<15} {value}")?;
    }
    Ok(())
}

fn write_principal(f: &mut fmt::Formatter<'_>, principal: &Principal) -> fmt::Result {
    let left = principal.expires_in_seconds.map_or_else(
        || "never".to_owned(),
        |seconds| format!("in {}", humantime::format_duration(Duration::from_secs(seconds))),
    );
    for (name, value) in [
        ("account", principal.account.as_deref()),
        ("role", principal.role.as_deref()),
        ("session", principal.session.as_deref()),
        ("arn", principal.arn.as_deref()),
        ("access key", Some(format!("…{}", principal.access_key_ending)).as_deref()),
        ("expires", Some(left.as_str())),
        ("STS", principal.sts_error.as_deref()),
    ] {
        if let Some(value) = value {
            writeln!(f, "  {name:<13} {value}")?;
        }
    }
    Ok(())
}
