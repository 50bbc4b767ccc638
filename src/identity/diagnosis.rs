//! Why it fails and what to do: one table for all that can be told from the evidence.
//!
//! Each row is a function that looks at the [`Evidence`] and says cause and fix, or nothing. The
//! first row that speaks is the diagnosis, so the order is that of certainty: what is plainly wrong
//! in the pod before what others say of it.

use serde::Serialize;

use super::evidence::{Evidence, Failure, Said};
use super::{Provider, rows, s3_rows};

/// What a failure comes from, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// A name for the row, from a closed set.
    pub id: &'static str,
    /// What is wrong, in one line.
    pub cause: String,
    /// What to do, in one line.
    pub fix: String,
    /// Whether waiting may mend it: things propagate, and services have bad minutes.
    pub transient: bool,
}

/// The row that says that S3 does not accept the credentials in hand.
pub const CREDENTIALS_REJECTED: &str = "credentials_rejected";

/// What the evidence says. Always something: the last row takes the failure's own words.
#[must_use]
pub fn diagnose(evidence: &Evidence) -> Diagnosis {
    let found = ROWS.iter().find_map(|(id, transient, row)| {
        let (cause, fix) = row(evidence)?;
        Some(Diagnosis { id, cause, fix, transient: *transient })
    });
    found.unwrap_or_else(|| Diagnosis {
        id: "unknown",
        cause: match &evidence.failure {
            Failure::Chain { text, .. } => text.clone(),
            Failure::Refused(required, found) => format!("{found}, not {required}"),
            Failure::S3(failure) => failure.text.clone(),
        },
        fix: "run `pod-identity-demo identity` in this pod, and look at each step".to_owned(),
        transient: true,
    })
}

/// Its name, whether waiting may help, and the row itself.
pub(super) type Row = (&'static str, bool, fn(&Evidence) -> Said);

/// The order is that of certainty: who answered instead, what is wrong in the pod, what the agent
/// says, what S3 says.
pub(super) const ROWS: &[Row] = &[
    ("shadowed_by_irsa", false, |e| rows::shadowed(e, Provider::WebIdentity)),
    ("shadowed_by_static_keys", false, |e| rows::shadowed(e, Provider::Environment)),
    ("shadowed_by_profile", false, |e| rows::shadowed(e, Provider::Profile)),
    ("node_role_fallback", false, rows::node_role_fallback),
    ("not_injected", false, rows::not_injected),
    ("wrong_identity", false, rows::wrong_identity),
    ("no_identity", false, rows::no_identity),
    ("token_missing", false, rows::token_missing),
    ("token_unreadable", false, rows::token_unreadable),
    ("token_empty", true, rows::token_empty),
    ("token_malformed", false, rows::token_malformed),
    ("token_wrong_audience", false, rows::token_wrong_audience),
    ("token_expired", true, rows::token_expired),
    ("proxy", false, rows::proxy),
    ("agent_not_running", true, rows::agent_not_running),
    ("agent_timeout", true, rows::agent_timeout),
    ("agent_unreachable", true, rows::agent_unreachable),
    ("no_association", true, rows::no_association),
    ("trust_policy", true, rows::trust_policy),
    ("token_rejected", true, rows::token_rejected),
    ("agent_throttled", true, rows::agent_throttled),
    ("agent_refuses_address", false, rows::agent_refuses_address),
    ("agent_refuses_token", true, rows::agent_refuses_token),
    ("agent_service_error", true, rows::agent_service_error),
    ("irsa_provider", true, rows::irsa_provider),
    ("irsa_trust_policy", true, rows::irsa_trust_policy),
    ("kms", true, s3_rows::kms),
    ("s3_access_denied", true, s3_rows::s3_access_denied),
    ("no_such_bucket", true, s3_rows::no_such_bucket),
    ("wrong_region", false, s3_rows::wrong_region),
    ("clock_skew", false, s3_rows::clock_skew),
    (CREDENTIALS_REJECTED, true, s3_rows::credentials_rejected),
    ("s3_service_error", true, s3_rows::s3_service_error),
    ("endpoint_unreachable", true, s3_rows::endpoint_unreachable),
];
