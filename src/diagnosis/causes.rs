//! Why a request failed and what to do: the causes that the evidence can show, as one table.
//!
//! A cause is a row: an id, what may resolve it, and a function that looks at the [`Evidence`] and
//! returns cause and fix, or nothing. The first row that returns something is the diagnosis, so the
//! rows are in the order of certainty: faults that are visible in the pod precede those that are
//! told from the responses of services. To add a cause, add a row to its group and a case to its test.

mod agent;
mod association;
mod image_host;
mod injection;
mod network;
mod policy;
mod profile;
mod s3;
mod sts;
#[cfg(test)]
mod tests;
mod token;

use std::fmt::Write as _;

use serde::Serialize;
use tokio::time::Instant;

use super::evidence::{Evidence, Failure};
use crate::identity::{Provider, RefreshingCredentials, Requirement};

/// The groups of causes, in order.
const GROUPS: [&[Cause]; 9] = [
    injection::CAUSES,
    profile::CAUSES,
    network::CAUSES,
    token::CAUSES,
    association::CAUSES,
    agent::CAUSES,
    sts::CAUSES,
    s3::CAUSES,
    image_host::CAUSES,
];

/// A row of the table.
struct Cause {
    /// Its name in JSON, metrics and logs.
    id: &'static str,
    resolved_by: ResolvedBy,
    explain: Explain,
}

/// Cause and fix, if the evidence shows the cause.
type Explain = fn(&Evidence) -> Option<Explanation>;

impl Cause {
    const fn new(id: &'static str, resolved_by: ResolvedBy, explain: Explain) -> Self {
        Self { id, resolved_by, explain }
    }
}

/// Cause and fix, one line each.
struct Explanation {
    cause: String,
    fix: String,
    /// What resolves it, if that differs from the row's.
    resolved_by: Option<ResolvedBy>,
}

/// What may resolve a failure without a person's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResolvedBy {
    /// Nothing: something must be changed.
    Never,
    /// A person; waiting helps only while a change to IAM or EKS propagates.
    Propagation,
    /// Time: services recover.
    Wait,
    /// Other credentials, which the provider must be asked for.
    FreshCredentials,
}

/// The cause of a failure and how to fix it, one line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Diagnosis {
    pub(crate) id: &'static str,
    pub(crate) cause: String,
    pub(crate) fix: String,
    pub(crate) resolved_by: ResolvedBy,
}

impl Diagnosis {
    /// Explains a failure with these credentials. A program that keeps running says when it was
    /// `started`: the agent may just be starting too.
    pub(crate) fn of(
        failure: Failure,
        credentials: &RefreshingCredentials,
        started: Option<Instant>,
    ) -> Self {
        diagnose(&Evidence::gather(failure, credentials, started))
    }

    /// The diagnosis of a panic, which is a bug.
    pub(crate) fn of_panic(panic: &str) -> Self {
        Self {
            id: "bug",
            cause: format!("the program has a bug: {panic}"),
            fix: "report it, with the log; the program goes on with the next picture".to_owned(),
            resolved_by: ResolvedBy::Never,
        }
    }

    /// The ids of all causes that are the image host's.
    pub(crate) fn of_image_hosts() -> impl Iterator<Item = &'static str> {
        image_host::CAUSES.iter().map(|cause| cause.id)
    }

    /// Id and cause, where there is no room for the fix.
    pub(crate) fn in_short(&self) -> String {
        format!("{}: {}", self.id, self.cause)
    }

    /// Whether a setting is the cause, such as keys in a profile that no request can carry.
    pub(crate) fn is_unusable_setting(&self) -> bool {
        self.id == injection::UNUSABLE_VALUE && self.resolved_by == ResolvedBy::Never
    }
}

/// What the evidence shows. If no row matches, this is the failure's own text.
fn diagnose(evidence: &Evidence) -> Diagnosis {
    let found = GROUPS.into_iter().flatten().find_map(|row| {
        let Explanation { cause, fix, resolved_by } = (row.explain)(evidence)?;
        Some(Diagnosis {
            id: row.id,
            cause,
            fix,
            resolved_by: resolved_by.unwrap_or(row.resolved_by),
        })
    });
    let mut diagnosis = found.unwrap_or_else(|| unknown(evidence));
    if let Some(others) = pod_identity_behind(evidence) {
        diagnosis.fix.push_str(&others);
    }
    if let Some(id) = authorization_id(evidence) {
        let _ = write!(
            diagnosis.fix,
            "; for what IAM evaluated, run `aws iam-toolbox get-request-authorization-details \
             --authorization-id {id}`"
        );
    }
    diagnosis
}

/// A failure that no row explains: what was tried, what was seen, and where to look.
fn unknown(e: &Evidence) -> Diagnosis {
    let (cause, fix) = match &e.failure {
        Failure::Chain { failure, .. } => {
            let text = failure.to_string();
            let seen = match &failure.exchange {
                Some(exchange) if !text.contains(&exchange.to_string()) => format!(" ({exchange})"),
                _ => String::new(),
            };
            let who = failure.provider.map_or_else(|| "the chain".to_owned(), |by| by.to_string());
            let look = match failure.provider {
                Some(Provider::PodIdentity) => {
                    "look at the agent's log on this pod's node (kubectl logs --namespace kube-system \
                     --selector app.kubernetes.io/name=eks-pod-identity-agent)"
                }
                Some(Provider::Irsa) => {
                    "look at the role's trust policy, and in CloudTrail at AssumeRoleWithWebIdentity"
                }
                Some(Provider::Profile) => "look at the profile in the AWS configuration files",
                Some(Provider::Instance) => {
                    "look at the metadata options and the role of this node"
                }
                _ => "look at the variables of this pod that begin with AWS_",
            };
            (format!("{who} was asked for credentials and failed: {text}{seen}"), look)
        }
        Failure::Refused(required, found) => {
            (format!("{found}, not {required}"), "look at the variables of this pod")
        }
        Failure::OtherRole { expected, found } | Failure::OtherAccount { expected, found } => {
            (format!("role {found}, not {expected}"), "look at the association")
        }
        Failure::S3(failure) => (
            format!("{} failed: {}", failure.operation, failure.text),
            "look up S3's code in its list of error responses, and the request in CloudTrail's data \
             events or in the log of the store",
        ),
        Failure::Fetch { host, error } => {
            (format!("{host} gave no whole picture: {error}"), "check IMAGE_URL")
        }
    };
    Diagnosis { id: "unknown", cause, fix: fix.to_owned(), resolved_by: ResolvedBy::Wait }
}

/// A remark if Pod Identity is there and an earlier provider fails, although nothing special is required.
fn pod_identity_behind(e: &Evidence) -> Option<String> {
    let earlier = [Provider::Environment, Provider::Profile, Provider::Irsa];
    let failed = e.chain()?.provider.filter(|failed| earlier.contains(failed))?;
    (e.injected.has_pod_identity() && e.required() == Some(Requirement::Any)).then(|| {
        format!(
            "; Pod Identity is injected too, but comes after {failed} in the chain: if it is meant, remove \
             what is set for {failed}"
        )
    })
}

/// IAM's id of the decision that denied a request, with which it explains it:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>.
fn authorization_id(e: &Evidence) -> Option<String> {
    let text = match &e.failure {
        Failure::S3(failure) => failure.text.clone(),
        Failure::Chain { failure, .. } => {
            let agent = e.response_of_agent().map(|(_, text)| text.to_owned());
            let sts = || e.sts(failure.provider?).map(|failure| failure.text);
            agent.or_else(sts).unwrap_or_else(|| failure.to_string())
        }
        _ => return None,
    };
    let id = text.split("authorization id: ").nth(1)?;
    let id: String =
        id.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:/+=.".contains(*c)).collect();
    let id = id.trim_end_matches(['.', ',', ':']);
    (!id.is_empty()).then(|| id.to_owned())
}

const NEW_POD: &str =
    "then delete the pod instead of restarting it, because only a new pod passes admission again";

fn explanation(cause: impl Into<String>, fix: impl Into<String>) -> Explanation {
    Explanation { cause: cause.into(), fix: fix.into(), resolved_by: None }
}

/// What holds for all texts of services: for property tests and `fuzz/`.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz_logic;
