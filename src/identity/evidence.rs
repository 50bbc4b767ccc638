//! What a diagnosis is based on.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use tokio::time::Instant;

use super::agent::{self, Answer};
use super::credentials::{RefreshingCredentials, Standing};
use super::injected::Injected;
use super::no_credentials::{Incomplete, NoCredentials};
use super::principal::Principal;
use super::provider::Requirement;
use super::reach::Reach;
use super::s3_failure::S3Failure;
use super::token::{Token, Tokens};
use crate::errors::{explain, find_cause, one_line};

/// How long after the program's start an agent that refuses connections may just be starting: on a
/// fresh node its pod may start after this one.
const AGENT_START: Duration = Duration::from_mins(2);

#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No provider of the chain gave credentials.
    Chain {
        /// Whether no provider is configured at all.
        none: bool,
        required: Requirement,
        /// What is known of IRSA's request to STS, if it was that which failed.
        sts: Option<StsFailure>,
        /// The SDK's text.
        text: String,
    },
    /// A provider answered that is not the required one.
    Refused(Requirement, Box<Principal>),
    /// The role is not the one that `identity --expect-role` names.
    OtherRole { expected: String, found: String },
    /// The role is in another account or partition than the one of that ARN.
    OtherAccount { expected: String, found: String },
    /// S3 refused a request or did not answer.
    S3(Box<S3Failure>),
}

/// What is known of a failed request to STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StsFailure {
    pub(super) reach: Reach,
    /// STS's error code, if STS answered.
    pub(super) code: Option<String>,
    /// The HTTP status, if there was an answer.
    pub(super) status: Option<u16>,
}

#[derive(Clone)]
pub(super) struct Evidence {
    pub(super) failure: Failure,
    pub(super) injected: Injected,
    pub(super) tokens: Tokens,
    /// Whether a proxy is between this pod and the agent.
    pub(super) proxied: bool,
    /// How the agent answered, if it was asked.
    pub(super) agent: Option<Answer>,
    /// The principal of the credentials in use.
    pub(super) principal: Option<Principal>,
    /// Whether the agent may not have started yet.
    pub(super) agent_may_be_starting: bool,
}

impl Evidence {
    /// Looks at the pod, and asks the agent if that may help.
    pub(super) async fn gather(
        failure: Failure,
        credentials: &RefreshingCredentials,
        started: Option<Instant>,
    ) -> Self {
        let Standing { principal, refreshes, .. } = credentials.standing();
        let injected = credentials.injected();
        let ask = matches!(failure, Failure::Chain { .. }) && injected.leads_to_agent();
        Self {
            tokens: Tokens::read(injected),
            proxied: agent::is_proxied(injected),
            agent_may_be_starting: started
                .is_some_and(|started| may_be_starting(started, refreshes.succeeded)),
            agent: if ask { agent::ask(injected).await } else { None },
            principal: match &failure {
                Failure::S3(s3) => s3.signer.clone().or(principal),
                _ => principal,
            },
            failure,
            injected: injected.clone(),
        }
    }

    /// The chain's text, if it is the chain that failed.
    pub(super) fn chain(&self) -> Option<&str> {
        match &self.failure {
            Failure::Chain { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Status and text of the agent's refusal, if there was one.
    pub(super) fn refusal(&self) -> Option<(u16, &str)> {
        match &self.agent {
            Some(Answer::Refusal { status, text }) => Some((*status, text)),
            _ => None,
        }
    }

    /// S3's failure, if its code is one of these.
    pub(super) fn s3(&self, codes: &[&str]) -> Option<&S3Failure> {
        match &self.failure {
            Failure::S3(s3) => Some(&**s3)
                .filter(|s3| s3.code.as_deref().is_some_and(|code| codes.contains(&code))),
            _ => None,
        }
    }

    /// "namespace N, service account S", as the token has it.
    pub(super) fn subject(&self) -> String {
        let token = self.tokens.pod_identity.as_ref().or(self.tokens.irsa.as_ref());
        match token.and_then(Token::claims) {
            Some(claims) => format!(
                "namespace {}, service account {}",
                claims.kubernetes.namespace, claims.kubernetes.serviceaccount.name
            ),
            None => "this pod's namespace and service account".to_owned(),
        }
    }

    /// Whose credentials were used.
    pub(super) fn identity(&self) -> String {
        self.principal
            .as_ref()
            .map_or_else(|| "unknown credentials".to_owned(), ToString::to_string)
    }
}

/// Whether the agent may not have started yet: the program started a short while ago, and nothing has
/// been answered so far.
fn may_be_starting(started: Instant, answers: u64) -> bool {
    started.elapsed() < AGENT_START && answers == 0
}

impl Failure {
    /// Why there are no credentials although `required` ones are needed.
    pub(crate) fn of(error: &NoCredentials, required: Requirement) -> Self {
        match error {
            NoCredentials::Refused { required, found } => Self::Refused(*required, found.clone()),
            NoCredentials::Chain(cause) => Self::Chain {
                none: error.is_without_providers(),
                required,
                sts: StsFailure::of(cause),
                text: sts_error(cause).map_or_else(|| one_line(&**cause), explain),
            },
        }
    }
}

fn sts_error(cause: &CredentialsError) -> Option<&SdkError<AssumeRoleWithWebIdentityError>> {
    find_cause(cause)
}

impl StsFailure {
    fn of(cause: &CredentialsError) -> Option<Self> {
        let without_answer = |reach| Self { reach, code: None, status: None };
        if let Some(error) = sts_error(cause) {
            Some(Self {
                reach: Reach::of(error),
                code: error.code().map(str::to_owned),
                status: error.raw_response().map(|response| response.status().as_u16()),
            })
        } else if find_cause::<Incomplete>(cause).is_some() {
            Some(without_answer(Reach::Other))
        } else if matches!(cause, CredentialsError::ProviderTimedOut(_)) {
            Some(without_answer(Reach::NoAnswer))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_agent_may_be_starting_for_two_minutes_until_it_has_answered() {
        let started = Instant::now();
        assert!(may_be_starting(started, 0));
        assert!(!may_be_starting(started, 1), "it has answered");
        advance(AGENT_START).await;
        assert!(!may_be_starting(started, 0));
    }
}
