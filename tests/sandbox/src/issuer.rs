//! Who turns a proven identity into credentials.
//!
//! In EKS that is EKS Auth's `AssumeRoleForPodIdentity`: it looks up the
//! association of the namespace and service account, and has STS assume the
//! associated role. Here it is a table and the registry, or an emulator's
//! associations, roles and STS ([`crate::emulator`]).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::associations::Associations;
use crate::credentials::{Credentials, Issued};
use crate::role::Role;
use crate::token::{Claims, KubernetesClaims};

/// The longest name that STS gives to a session, in characters.
const LONGEST_SESSION_NAME: usize = 64;

/// A refusal, with the status and the text that the agent passes on.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Refusal {
    /// An error of the service, worded as the agent words it
    /// (`HandleCredentialFetchingError` in its `pkg/errors/errors.go`).
    pub(crate) fn of_service(status: u16, code: &str, message: &str) -> Self {
        let id = Uuid::new_v4();
        let fault = if status < 500 { "client" } else { "server" };
        Self { status, text: format!("[{id}]: ({code}): {message}, fault: {fault}") }
    }

    /// There is no association: EKS Auth's code and status, by its API model.
    /// AWS publishes no text for it; this one is EKS's for a missing cluster,
    /// reworded.
    pub(crate) fn no_association(cluster: &str, pod: &KubernetesClaims) -> Self {
        let (namespace, account) = (&pod.namespace, &pod.serviceaccount.name);
        let message = format!(
            "No association found for service account {account} in namespace {namespace} of cluster {cluster}."
        );
        Self::of_service(404, "ResourceNotFoundException", &message)
    }

    /// The role does not trust EKS: AWS's own text, and its status by the API
    /// model of EKS Auth.
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

/// Gives credentials to the pod that a checked token speaks of.
#[async_trait::async_trait]
pub(crate) trait Issuer: fmt::Debug + Send + Sync {
    async fn issue(&self, pod: &Claims, lifetime: Duration) -> Result<Issued, Refusal>;
}

/// Associations of its own, all with the same role, and the registry's own
/// credentials.
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

/// `eks-CLUSTER-POD-UUID`, as the EKS Auth API's reference has it; names that
/// are too long for STS are cut in the middle.
pub(crate) fn session_name(cluster: &str, pod: &str) -> String {
    let id = Uuid::new_v4().to_string();
    let mut name = format!("eks-{cluster}-{pod}");
    name.truncate(LONGEST_SESSION_NAME - 1 - id.len());
    format!("{name}-{id}")
}
