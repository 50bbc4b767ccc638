//! The issuers of credentials for a verified identity.
//!
//! In EKS, `AssumeRoleForPodIdentity` of EKS Auth issues them: it looks up the
//! association of the namespace and service account, and assumes the associated
//! role through STS. The sandbox uses either a table of its own and the
//! registry, or the associations, roles and STS of an emulator
//! ([`crate::emulator`]).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::associations::Associations;
use crate::credentials::{Credentials, Issued};
use crate::role::Role;
use crate::token::{Claims, KubernetesClaims};

/// The maximum length of a session name in STS, in characters.
const LONGEST_SESSION_NAME: usize = 64;

/// A refusal, with the status and the text that the agent relays.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Refusal {
    /// An error of the service in the form that the agent relays it
    /// (`HandleCredentialFetchingError` in its `pkg/errors/errors.go`).
    pub(crate) fn of_service(status: u16, code: &str, message: &str) -> Self {
        let id = Uuid::new_v4();
        let fault = if status < 500 { "client" } else { "server" };
        Self { status, text: format!("[{id}]: ({code}): {message}, fault: {fault}") }
    }

    /// There is no association. Code and status are those of EKS Auth's API
    /// model. AWS does not publish the text, so this one follows EKS's text for
    /// a missing cluster.
    pub(crate) fn no_association(cluster: &str, pod: &KubernetesClaims) -> Self {
        let (namespace, account) = (&pod.namespace, &pod.serviceaccount.name);
        let message = format!(
            "No association found for service account {account} in namespace {namespace} of cluster {cluster}."
        );
        Self::of_service(404, "ResourceNotFoundException", &message)
    }

    /// The role does not trust EKS. The text is AWS's own, and the status is
    /// that of EKS Auth's API model.
    pub(crate) fn unauthorized() -> Self {
        let message =
            "Unauthorized Exception! EKS does not have permissions to assume the associated role.";
        Self::of_service(400, "AccessDeniedException", message)
    }

    /// A policy does not allow a principal to perform an action: IAM's own
    /// text, with the same status as [`Refusal::unauthorized`].
    pub(crate) fn not_authorized(principal: &str, action: &str, resource: &str) -> Self {
        let message = format!(
            "User: {principal} is not authorized to perform: {action} on resource: {resource}"
        );
        Self::of_service(400, "AccessDeniedException", &message)
    }
}

/// Issues credentials to the pod that a verified token identifies.
#[async_trait::async_trait]
pub(crate) trait Issuer: fmt::Debug + Send + Sync {
    async fn issue(&self, pod: &Claims, lifetime: Duration) -> Result<Issued, Refusal>;
}

/// An issuer with a table of associations, all with the same role, and with
/// credentials from the registry.
#[derive(Debug)]
pub(crate) struct OwnTable {
    pub(crate) registry: Arc<Credentials>,
    pub(crate) associations: Arc<Associations>,
    pub(crate) cluster: String,
    pub(crate) role: Role,
}

#[async_trait::async_trait]
impl Issuer for OwnTable {
    async fn issue(&self, pod: &Claims, lifetime: Duration) -> Result<Issued, Refusal> {
        let pod = &pod.kubernetes;
        if !self.associations.has(&pod.namespace, &pod.serviceaccount.name) {
            return Err(Refusal::no_association(&self.cluster, pod));
        }
        let session = session_name(&self.cluster, &pod.pod.name);
        Ok(self.registry.issue_to(&self.role, &session, lifetime))
    }
}

/// `eks-CLUSTER-POD-UUID`, as in the EKS Auth API reference. If the name is too
/// long for STS, the part before the UUID is truncated.
pub(crate) fn session_name(cluster: &str, pod: &str) -> String {
    let id = Uuid::new_v4().to_string();
    let mut name = format!("eks-{cluster}-{pod}");
    name.truncate(LONGEST_SESSION_NAME - 1 - id.len());
    format!("{name}-{id}")
}
