//! Why a request failed and what to do: the causes that the evidence can show, as one table.
//!
//! A cause is a row: an id, what may resolve it, and a function that looks at the [`Evidence`] and
//! returns cause and fix, or nothing. The first row that returns something is the diagnosis, so the
//! rows are in the order of certainty: faults that are visible in the pod precede those that are
//! concluded from answers of other services. To add a cause, add a row to its group and a case to its
//! test.

mod agent;
mod association;
mod chain;
mod network;
mod policy;
mod s3;
mod sts;
mod token;

use serde::Serialize;
use tokio::time::Instant;

use super::credentials::RefreshingCredentials;
use super::evidence::{Evidence, Failure};

/// The groups of causes, in order.
pub(super) const GROUPS: [&[Cause]; 7] = [
    chain::CAUSES,
    token::CAUSES,
    association::CAUSES,
    agent::CAUSES,
    network::CAUSES,
    sts::CAUSES,
    s3::CAUSES,
];

/// A row of the table.
pub(super) struct Cause {
    /// Its name in JSON, metrics and logs.
    pub(super) id: &'static str,
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
type Explanation = (String, String);

/// What may resolve a failure without a person's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResolvedBy {
    /// Nothing: something must be changed.
    Never,
    /// Time: changes to IAM and EKS propagate, and services recover.
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
    pub(crate) async fn of(
        failure: Failure,
        credentials: &RefreshingCredentials,
        started: Option<Instant>,
    ) -> Self {
        diagnose(&Evidence::gather(failure, credentials, started).await)
    }

    /// Id and cause, where there is no room for the fix.
    pub(crate) fn in_short(&self) -> String {
        format!("{}: {}", self.id, self.cause)
    }
}

/// What the evidence shows. If no row matches, this is the failure's own text.
pub(super) fn diagnose(evidence: &Evidence) -> Diagnosis {
    let found = GROUPS.into_iter().flatten().find_map(|row| {
        let (cause, fix) = (row.explain)(evidence)?;
        Some(Diagnosis { id: row.id, cause, fix, resolved_by: row.resolved_by })
    });
    found.unwrap_or_else(|| Diagnosis {
        id: "unknown",
        cause: match (&evidence.failure, evidence.refusal()) {
            (Failure::Chain { .. }, Some((status, text))) => {
                format!("the Pod Identity Agent answered {status}: {text}")
            }
            (Failure::Chain { sts: Some(_), text, .. }, None) if evidence.injected.has_irsa() => {
                format!("IRSA's request to STS failed: {text}")
            }
            (Failure::Chain { text, .. }, None) => text.clone(),
            (Failure::Refused(required, found), _) => format!("{found}, not {required}"),
            (
                Failure::OtherRole { expected, found } | Failure::OtherAccount { expected, found },
                _,
            ) => format!("role {found}, not {expected}"),
            (Failure::S3(failure), _) => failure.text.clone(),
        },
        fix: "run `pod-identity-demo identity` in this pod, and check each step".to_owned(),
        resolved_by: ResolvedBy::Wait,
    })
}

const NEW_POD: &str =
    "then delete the pod instead of restarting it, because only a new pod passes admission again";

fn explanation(cause: impl Into<String>, fix: impl Into<String>) -> Explanation {
    (cause.into(), fix.into())
}
