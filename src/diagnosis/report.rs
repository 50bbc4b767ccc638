//! `pod-identity-demo identity`: what was injected, which provider answers, for whom, and whether
//! that is the required identity.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use serde::Serialize;

use super::causes::Diagnosis;
use super::evidence::Failure;
use crate::aws::Settings;
use crate::identity::{
    Chain, ExpectedRole, FULL_URI, Injected, Link, LinkState, NoCredentials, Principal, Provider,
    RefreshingCredentials, Requirement, Tokens,
};
use crate::upload::Probed;

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
    /// The form of the checksum that the store takes.
    pub(super) checksum: Option<&'static str>,
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
    /// Looks at this pod, asks the chain once, then those providers that it did not ask, and STS. `role` is
    /// the expected role, if one is.
    pub(crate) async fn make(
        settings: &Settings,
        chain: &Chain,
        credentials: &RefreshingCredentials,
        role: Option<&ExpectedRole>,
    ) -> Self {
        let required = credentials.required();
        let injected = credentials.injected();
        let answer = credentials.credentials().await;
        let mut links = credentials.status().links;
        chain.ask_the_others(&mut links).await;
        let principal = find_principal(settings, credentials, &answer).await;
        let failure = match (&answer, role) {
            (Err(error), _) => Some(Failure::of(error, required)),
            (Ok(_), Some(role)) => other_role(role, principal.as_ref()),
            (Ok(_), None) => None,
        };
        let diagnosis = failure.map(|failure| Diagnosis::of(failure, credentials, None));
        let summary = match (&diagnosis, &principal) {
            (Some(diagnosis), _) => diagnosis.cause.clone(),
            (None, Some(found)) if required == Requirement::Any => found.principal.to_string(),
            (None, Some(found)) => format!("{}: as required ({required})", found.principal),
            (None, None) => String::new(),
        };
        let verdict =
            Verdict { ok: diagnosis.is_none(), required: required.to_string(), summary, diagnosis };
        let notes = notes(&links, injected, settings);
        let variables = injected.shown();
        let injected = InjectedReport { variables, tokens: Tokens::read(injected) };
        Self { injected, chain: links, notes, principal, access: None, verdict }
    }

    /// Adds what the probe showed: the object that it stored, or why it stored none.
    pub(crate) fn with_access(mut self, probe: Result<Probed, Diagnosis>) -> Self {
        self.access = Some(match probe {
            Ok(Probed { key, checksum, was_found }) => {
                if was_found {
                    self.notes.push(format!(
                        "S3 takes no checksum behind a picture, so the job would find out with the first one: \
                         set S3_CHECKSUM={checksum}"
                    ));
                }
                let (key, checksum) = (Some(key), Some(checksum));
                Access { allowed: true, key, checksum, diagnosis: None }
            }
            Err(diagnosis) => {
                let diagnosis = Some(diagnosis);
                Access { allowed: false, key: None, checksum: None, diagnosis }
            }
        });
        self
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.verdict.ok
    }

    /// Whether a setting is what prevents the identity.
    pub(crate) fn is_unusable_setting(&self) -> bool {
        self.verdict.diagnosis.as_ref().is_some_and(Diagnosis::is_unusable_setting)
    }
}

/// The principal of the credentials, also if they are not the required ones.
async fn find_principal(
    settings: &Settings,
    credentials: &RefreshingCredentials,
    answer: &Result<Credentials, NoCredentials>,
) -> Option<PrincipalReport> {
    let (mut principal, found) = match answer {
        Ok(found) => (credentials.status().principal?, found),
        Err(NoCredentials::Refused { found, credentials, .. }) => ((**found).clone(), credentials),
        Err(NoCredentials::Chain(_)) => return None,
    };
    let sts_error = principal.ask_sts(&settings.sdk, found).await.err();
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

/// Remarks on the chain and on the region, one sentence each.
fn notes(chain: &[Link], injected: &Injected, settings: &Settings) -> Vec<String> {
    let mut notes = Vec::new();
    let would_answer = |link: &Link| {
        link.provider == Provider::PodIdentity && link.state == LinkState::WouldAnswer
    };
    if let Some(link) = chain.iter().find(|link| link.state == LinkState::Answered) {
        if injected.has_pod_identity() && chain.iter().any(would_answer) {
            let provider = link.provider.name();
            notes.push(format!("{provider} is earlier in the chain and shadows Pod Identity"));
        }
        if link.provider == Provider::Instance {
            let note = "only the node's role answered: nothing was injected into this pod";
            notes.push(note.to_owned());
        }
    }
    let endpoint = injected.variable(FULL_URI).unwrap_or_default();
    if let Some(proxy) = settings.http.proxy_for(endpoint).filter(|_| endpoint.starts_with("http:"))
    {
        notes.push(format!(
            "HTTP_PROXY sends requests for {endpoint} to the proxy {proxy}; this program asks without it, other \
             SDKs do not: add 169.254.170.23 and [fd00:ec2::23] to NO_PROXY"
        ));
    }
    if settings.sdk.region().is_none() {
        let note = "no region is set, so STS and S3 cannot be asked: set AWS_REGION";
        notes.push(note.to_owned());
    }
    notes
}
