//! What a diagnosis is based on.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use tokio::time::Instant;

use crate::aws::{Ending, Exchange, clean, explain};
use crate::errors::find_cause;
use crate::identity::{
    ChainFailure, CredentialStatus, Injected, NoCredentials, Principal, Provider,
    RefreshingCredentials, Requirement, Token, Tokens,
};
use crate::source::FetchError;
use crate::upload::S3Failure;

/// How long after the program's start an agent that refuses connections may just be starting: on a
/// fresh node its pod may start after this one.
const AGENT_START: Duration = Duration::from_mins(2);

#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No provider of the chain gave credentials.
    Chain { failure: ChainFailure, required: Requirement },
    /// A provider responded that is not the required one.
    Refused(Requirement, Box<Principal>),
    /// The role is in another account or partition than the one that `identity --expect-role` names.
    OtherAccount { expected: String, found: String },
    /// The role is not the one that `identity --expect-role` names.
    OtherRole { expected: String, found: String },
    /// S3 refused a request or did not respond.
    S3(Box<S3Failure>),
    /// An image host gave no whole picture.
    Fetch { host: String, error: FetchError },
}

impl Failure {
    /// Why there are no credentials although `required` ones are needed.
    pub(crate) fn of(error: &NoCredentials, required: Requirement) -> Self {
        match error {
            NoCredentials::Refused { required, found, .. } => {
                Self::Refused(*required, found.clone())
            }
            NoCredentials::Chain(failure) => Self::Chain { failure: failure.clone(), required },
        }
    }
}

#[derive(Clone)]
pub(super) struct Evidence {
    pub(super) failure: Failure,
    pub(super) injected: Injected,
    pub(super) tokens: Tokens,
    /// The principal of the credentials in use.
    pub(super) principal: Option<Principal>,
    /// Whether the agent may not have started yet.
    pub(super) agent_may_be_starting: bool,
}

/// What STS said of a request for the credentials of a role.
pub(super) struct StsFailure {
    /// STS's error code, if it responded with one.
    pub(super) code: Option<String>,
    /// The HTTP status, if there was a response.
    pub(super) status: Option<u16>,
    /// Everything in one line, with STS's own words.
    pub(super) text: String,
}

impl Evidence {
    /// Collects what was recorded, and reads the files of the tokens.
    pub(super) fn gather(
        failure: Failure,
        credentials: &RefreshingCredentials,
        started: Option<Instant>,
    ) -> Self {
        let CredentialStatus { principal, refreshes, .. } = credentials.status();
        let injected = credentials.injected().clone();
        Self {
            tokens: Tokens::read(&injected),
            agent_may_be_starting: started
                .is_some_and(|started| may_be_starting(started, refreshes.succeeded)),
            principal: match &failure {
                Failure::S3(s3) => s3.signer.clone().or(principal),
                _ => principal,
            },
            failure,
            injected,
        }
    }

    /// Why the chain has no credentials, if it is the chain that failed.
    pub(super) fn chain(&self) -> Option<&ChainFailure> {
        match &self.failure {
            Failure::Chain { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// The same, if it is this provider that failed.
    pub(super) fn failed(&self, provider: Provider) -> Option<&ChainFailure> {
        self.chain().filter(|failure| failure.provider == Some(provider))
    }

    /// What happened to the request that failed.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match &self.failure {
            Failure::Chain { failure, .. } => failure.exchange.as_ref(),
            Failure::S3(s3) => Some(&s3.exchange),
            _ => None,
        }
    }

    /// Who was asked, as sentences name it, and what happened to the request.
    pub(super) fn peer(&self) -> Option<(String, &Exchange)> {
        let exchange = self.exchange()?;
        let who = match &self.failure {
            Failure::S3(_) => exchange.host.clone(),
            Failure::Chain { failure, .. } => match failure.provider? {
                Provider::PodIdentity => "the Pod Identity Agent".to_owned(),
                Provider::Ecs => format!("ECS's credential endpoint {}", exchange.host),
                Provider::Instance => "the instance metadata service".to_owned(),
                Provider::Irsa => format!("STS at {}", exchange.host),
                Provider::Profile | Provider::Environment => exchange.host.clone(),
            },
            _ => return None,
        };
        Some((who, exchange))
    }

    /// Status and text of the response that the Pod Identity provider got.
    pub(super) fn response_of_agent(&self) -> Option<(u16, &str)> {
        match &self.failed(Provider::PodIdentity)?.exchange.as_ref()?.ending {
            Ending::Response { status, text } => Some((*status, text)),
            _ => None,
        }
    }

    /// What STS said, if it is one of these providers that failed because of it.
    pub(super) fn sts(&self, provider: Provider) -> Option<StsFailure> {
        let error = &*self.failed(provider)?.error;
        of_sts::<AssumeRoleWithWebIdentityError>(error).or_else(|| of_sts::<AssumeRoleError>(error))
    }

    /// S3's failure, if its code is one of these. With a status of 500 and more, which is what it says
    /// whatever code it carries, only that of 501 counts.
    pub(super) fn s3(&self, codes: &[&str]) -> Option<&S3Failure> {
        let Failure::S3(s3) = &self.failure else { return None };
        let code = s3.code.as_deref()?;
        let counts = code == "NotImplemented" || s3.status().is_none_or(|status| status < 500);
        Some(&**s3).filter(|_| counts && codes.contains(&code))
    }

    /// The image host, and why it gave no picture, if it is that what failed.
    pub(super) fn fetch(&self) -> Option<(&str, &FetchError)> {
        match &self.failure {
            Failure::Fetch { host, error } => Some((host, error)),
            _ => None,
        }
    }

    /// What is required of the identity, if the failure is about that.
    pub(super) fn required(&self) -> Option<Requirement> {
        match &self.failure {
            Failure::Chain { required, .. } | Failure::Refused(required, _) => Some(*required),
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

fn of_sts<E>(error: &(dyn Error + 'static)) -> Option<StsFailure>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let error = find_cause::<SdkError<E>>(error)?;
    Some(StsFailure {
        code: error.code().map(clean),
        status: error.raw_response().map(|response| response.status().as_u16()),
        text: explain(error),
    })
}

/// Whether the agent may not have started yet: the program started a short while ago, and nothing has
/// been answered so far.
fn may_be_starting(started: Instant, answers: u64) -> bool {
    started.elapsed() < AGENT_START && answers == 0
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
