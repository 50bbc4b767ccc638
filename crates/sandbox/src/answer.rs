//! How a server of credentials answers: normally, or with a fault.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::net::Hangup;
use crate::refusal::Refusal;
use crate::service_error::ServiceError;

/// How an [`crate::Agent`], an [`crate::EksAuth`] or an [`crate::Sts`] answers
/// requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// As the real service would.
    #[default]
    Normal,
    /// Every request gets this status and text. The agent sends the text as it
    /// is; EKS Auth and STS send an error, and the text has the form
    /// `CODE: MESSAGE`.
    Status(u16, String),
    /// As the agent answers while its own rate limiter refuses requests, before
    /// it asks EKS Auth: status 429 and the plain text `Too Many Requests`
    /// (`RateLimitMiddleware` in `internal/middleware/rate_limiter/rate_limiter.go`
    /// of `aws/eks-pod-identity-agent` 0.1.37). This is an answer of the agent
    /// only: STS has no such limiter.
    Busy,
    /// A normal answer, after this delay.
    Delay(Duration),
    /// No answer ever comes.
    Hang,
    /// The connection is closed without an answer.
    CloseConnection,
}

impl Answer {
    /// The agent's answer when the trust policy of the associated role does not
    /// allow EKS to assume it.
    #[must_use]
    pub fn trust_denied() -> Self {
        relayed(&ServiceError::unauthorized())
    }

    /// The agent's answer when the role of its node may not call EKS Auth.
    /// `node_role_session_arn` is the ARN of the node's session:
    /// `arn:aws:sts::ACCOUNT:assumed-role/NODE_ROLE/INSTANCE_ID`.
    #[must_use]
    pub fn node_role_denied(node_role_session_arn: &str) -> Self {
        let cluster = "arn:aws:eks:us-east-1:123456789012:cluster/demo";
        let action = "eks-auth:AssumeRoleForPodIdentity";
        relayed(&ServiceError::denied(node_role_session_arn, action, cluster, None))
    }
}

/// The agent's answer to an error of EKS Auth.
fn relayed(error: &ServiceError) -> Answer {
    let refusal = Refusal::of_service(&Uuid::new_v4().to_string(), error.status(), error);
    Answer::Status(refusal.status, refusal.text)
}

/// The configured answer, and the record of requests and refusals.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    answer: Mutex<Answer>,
    requests: AtomicUsize,
    refusals: Mutex<Vec<String>>,
}

impl Answers {
    pub(crate) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Records a refusal.
    pub(crate) fn refused(&self, status: u16, text: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.push(format!("{status} {text}"));
    }

    /// The refusals in order, each as `STATUS TEXT`.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a request, and waits if the answer is delayed. Returns the status
    /// and the text to answer with, or `None` if the request gets a normal
    /// answer.
    pub(crate) async fn next(&self) -> Result<Option<(u16, String)>, Hangup> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match answer {
            Answer::Normal => Ok(None),
            Answer::Status(status, text) => Ok(Some((status, text))),
            Answer::Busy => Ok(Some((429, "Too Many Requests".to_owned()))),
            Answer::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            Answer::Hang => std::future::pending().await,
            Answer::CloseConnection => Err(Hangup::Close),
        }
    }
}
