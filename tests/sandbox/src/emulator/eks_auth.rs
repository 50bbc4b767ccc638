//! EKS Auth, implemented with an emulator's EKS, IAM and STS, because no
//! emulator provides `AssumeRoleForPodIdentity` itself.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_eks::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_eks::types::PodIdentityAssociation;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::types::Tag;

use super::Emulator;
use super::trust;
use crate::credentials::{Credentials, Issued};
use crate::issuer::{Issuer, Refusal, session_name};
use crate::role::Role;
use crate::token::{Claims, KubernetesClaims};

/// The associations and roles of one cluster of an emulator.
#[derive(Debug)]
pub(crate) struct EksAuth {
    registry: Arc<Credentials>,
    cluster: String,
    eks: aws_sdk_eks::Client,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
}

#[async_trait::async_trait]
impl Issuer for EksAuth {
    async fn issue(&self, pod: &Claims, lifetime: Duration) -> Result<Issued, Refusal> {
        let association = self.association(&pod.kubernetes).await?;
        let arn = association.role_arn().unwrap_or_default();
        let role = self.trusted_role(arn).await?;
        let tags = if association.disable_session_tags() == Some(true) {
            Vec::new()
        } else {
            self.session_tags(&pod.kubernetes).await?
        };
        let session = session_name(&self.cluster, &pod.kubernetes.pod.name);
        let seconds = i32::try_from(lifetime.as_secs().max(1)).unwrap_or(i32::MAX);
        let assumed = self
            .sts
            .assume_role()
            .role_arn(arn)
            .role_session_name(&session)
            .duration_seconds(seconds)
            .set_transitive_tag_keys(Some(tags.iter().map(|tag| tag.key().to_owned()).collect()))
            .set_tags(Some(tags))
            .send()
            .await
            .map_err(|error| match error.code() {
                Some("AccessDenied") => Refusal::unauthorized(),
                _ => passed_on(&error),
            })?;
        let issued = read(&assumed, role, session)
            .ok_or_else(|| unavailable("STS answered without credentials"))?;
        self.registry.keep(issued.clone());
        Ok(issued)
    }
}

impl EksAuth {
    pub(crate) fn new(emulator: &Emulator, registry: Arc<Credentials>) -> Self {
        Self {
            registry,
            cluster: emulator.cluster.clone(),
            eks: emulator.eks(),
            iam: emulator.iam(),
            sts: emulator.sts(),
        }
    }

    /// The pod's association with all fields. Listing associations omits the
    /// role.
    async fn association(&self, pod: &KubernetesClaims) -> Result<PodIdentityAssociation, Refusal> {
        let listed = self
            .eks
            .list_pod_identity_associations()
            .cluster_name(&self.cluster)
            .namespace(&pod.namespace)
            .service_account(&pod.serviceaccount.name)
            .send()
            .await
            .map_err(|error| passed_on(&error))?;
        let id = listed.associations().first().and_then(|found| found.association_id());
        let id = id.ok_or_else(|| Refusal::no_association(&self.cluster, pod))?;
        let described = self
            .eks
            .describe_pod_identity_association()
            .cluster_name(&self.cluster)
            .association_id(id)
            .send()
            .await
            .map_err(|error| passed_on(&error))?;
        let association = described.association;
        let association = association.ok_or_else(|| Refusal::no_association(&self.cluster, pod))?;
        if association.target_role_arn().is_some() {
            let message = "The sandbox does not chain roles: the association has a target role.";
            return Err(Refusal::of_service(400, "InvalidRequestException", message));
        }
        Ok(association)
    }

    /// The role, if it exists and trusts EKS.
    async fn trusted_role(&self, arn: &str) -> Result<Role, Refusal> {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let got = self.iam.get_role().role_name(name).send().await;
        let got = got.map_err(|error| match error.code() {
            Some("NoSuchEntity") => Refusal::unauthorized(),
            _ => passed_on(&error),
        })?;
        let role = got.role.ok_or_else(|| unavailable("IAM answered without a role"))?;
        let document = trust::decoded(role.assume_role_policy_document().unwrap_or_default());
        if !trust::trusts_eks(&document) {
            return Err(Refusal::unauthorized());
        }
        Ok(Role { name: role.role_name, id: role.role_id })
    }

    /// The six tags that EKS gives to a pod's session, all of them transitive
    /// (the EKS user guide, on attribute-based access control for pods).
    async fn session_tags(&self, pod: &KubernetesClaims) -> Result<Vec<Tag>, Refusal> {
        let described = self.eks.describe_cluster().name(&self.cluster).send().await;
        let cluster = described.map_err(|error| passed_on(&error))?.cluster;
        let cluster_arn = cluster.and_then(|cluster| cluster.arn).unwrap_or_default();
        [
            ("eks-cluster-arn", &cluster_arn),
            ("eks-cluster-name", &self.cluster),
            ("kubernetes-namespace", &pod.namespace),
            ("kubernetes-service-account", &pod.serviceaccount.name),
            ("kubernetes-pod-name", &pod.pod.name),
            ("kubernetes-pod-uid", &pod.pod.uid),
        ]
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| unavailable(&error.to_string()))
    }
}

fn read(assumed: &AssumeRoleOutput, role: Role, session_name: String) -> Option<Issued> {
    let credentials = assumed.credentials()?;
    let arn = assumed.assumed_role_user()?.arn();
    Some(Issued {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: credentials.secret_access_key().to_owned(),
        session_token: credentials.session_token().to_owned(),
        account_id: arn.split(':').nth(4)?.to_owned(),
        expires: SystemTime::try_from(*credentials.expiration()).ok()?,
        role,
        session_name,
    })
}

/// A service's error as the agent relays it, or 500 if no service answered.
fn passed_on<E>(error: &SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match (error.raw_response(), error.code()) {
        (Some(response), Some(code)) => {
            let message = error.message().unwrap_or_default();
            Refusal::of_service(response.status().as_u16(), code, message)
        }
        _ => unavailable(&DisplayErrorContext(error).to_string()),
    }
}

/// The agent's error if it has no error of the service to relay.
fn unavailable(why: &str) -> Refusal {
    Refusal { status: 500, text: format!("unable to fetch credentials from EKS Auth: {why}") }
}
