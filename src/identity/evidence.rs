//! What a diagnosis is drawn from, and what it says.

use super::agent::{self, Answer};
use super::injected::{Injected, Token, has_irsa, has_pod_identity};
use super::steady::NoCredentials;
use super::{Requirement, Who};
use crate::errors::{causes, one_line};

/// What failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// No provider of the chain had credentials, or the one that should have could not get them.
    Chain {
        /// Whether it is that none was set up at all.
        none: bool,
        /// What was required.
        required: Requirement,
        /// The SDK's words.
        text: String,
    },
    /// Somebody answered who was not asked for.
    Refused(Requirement, Who),
    /// S3 said no, or nothing.
    S3(S3Failure),
}

/// What is known of a request to S3 that failed.
#[derive(Clone, Debug, Default)]
pub struct S3Failure {
    /// The API operation.
    pub operation: &'static str,
    /// The bucket that it was for.
    pub bucket: String,
    /// The endpoint that was set, if one was.
    pub endpoint: Option<String>,
    /// The region that was asked.
    pub region: String,
    /// S3's error code, if it answered.
    pub code: Option<String>,
    /// The region that S3 says the bucket is in.
    pub bucket_region: Option<String>,
    /// All of it in one line.
    pub text: String,
}

/// All that the diagnosis is drawn from.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What failed.
    pub failure: Failure,
    /// What was injected into this pod.
    pub injected: Injected,
    /// Whether Pod Identity's variables are there.
    pub pod_identity: bool,
    /// Whether IRSA's are.
    pub irsa: bool,
    /// Whether a proxy stands between this pod and the agent.
    pub proxied: bool,
    /// What the agent says, where it was asked.
    pub agent: Option<Answer>,
    /// Who the credentials in hand are from.
    pub who: Option<Who>,
}

impl Evidence {
    /// Looks at the pod, and asks the agent where that may help.
    pub async fn gather(failure: Failure, who: Option<Who>) -> Self {
        let ask = matches!(failure, Failure::Chain { .. }) && has_pod_identity();
        Self {
            failure,
            injected: Injected::read(),
            pod_identity: has_pod_identity(),
            irsa: has_irsa(),
            proxied: agent::is_proxied(),
            agent: if ask { agent::ask().await } else { None },
            who,
        }
    }

    /// The chain's words, if it is the chain that failed.
    pub(super) fn chain(&self) -> Option<&str> {
        match &self.failure {
            Failure::Chain { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The agent's refusal, if it was the agent that refused.
    pub(super) fn refusal(&self) -> Option<(u16, &str)> {
        match &self.agent {
            Some(Answer::Refusal { status, text }) => Some((*status, text)),
            _ => None,
        }
    }

    pub(super) fn s3(&self) -> Option<(&S3Failure, &str)> {
        match &self.failure {
            Failure::S3(failure) => Some((failure, failure.code.as_deref().unwrap_or_default())),
            _ => None,
        }
    }

    /// "namespace N, service account S", as the token has it.
    pub(super) fn subject(&self) -> String {
        let token = self.injected.pod_identity_token.as_ref().or(self.injected.irsa_token.as_ref());
        match token.and_then(Token::claims) {
            Some(claims) => format!(
                "namespace {}, service account {}",
                claims.kubernetes.namespace, claims.kubernetes.serviceaccount.name
            ),
            None => "this pod's namespace and service account".to_owned(),
        }
    }

    /// Whose credentials were used, for a policy to be looked up.
    pub(super) fn identity(&self) -> String {
        self.who.as_ref().map_or_else(|| "unknown credentials".to_owned(), ToString::to_string)
    }
}

impl Failure {
    /// Why there are no credentials, where these were `required`.
    #[must_use]
    pub fn of(error: &NoCredentials, required: Requirement) -> Self {
        match error {
            NoCredentials::Refused { required, found } => Self::Refused(*required, found.clone()),
            NoCredentials::Chain(error) => {
                Self::Chain {
                    none: matches!(
                    **error,
                    aws_credential_types::provider::error::CredentialsError::CredentialsNotLoaded(_)
                ),
                    required,
                    text: one_line(&**error),
                }
            }
        }
    }
}

/// The reason inside an error of the SDK, if it is that there are no credentials.
pub fn no_credentials<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a NoCredentials> {
    causes(error).find_map(|cause| cause.downcast_ref::<NoCredentials>())
}

/// Cause and fix, one line each.
pub(super) type Said = Option<(String, String)>;

/// A row's words.
pub(super) fn say(cause: impl Into<String>, fix: impl Into<String>) -> (String, String) {
    (cause.into(), fix.into())
}
