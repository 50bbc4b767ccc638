//! The role session that EKS Auth requests for a pod.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use uuid::Uuid;

use crate::association::Association;
use crate::credentials::Issued;
use crate::service_error::ServiceError;
use crate::token::KubernetesClaims;

/// The maximum length of a session name in STS, in characters.
const LONGEST_NAME: usize = 64;

/// The space for session policy and tags, in bytes of [`packed`].
///
/// STS packs both into a binary format with a limit of its own, and publishes
/// neither. This limit is an approximation: an association that comes near it
/// may be refused here and accepted by AWS, or the other way around.
const PACKED_LIMIT: usize = 1024;

/// A session: its name, its tags and how long it lasts.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    /// Keys and values, in EKS's order. Empty if the association switches the
    /// tags off.
    pub(crate) tags: Vec<(&'static str, String)>,
    pub(crate) lifetime: Duration,
}

impl Session {
    /// The session of a pod of this cluster, with the six tags that EKS gives
    /// it (the EKS user guide, on attribute-based access control for pods).
    pub(crate) fn new(
        cluster: &str,
        cluster_arn: String,
        pod: &KubernetesClaims,
        association: &Association,
        lifetime: Duration,
    ) -> Self {
        let tags = if association.disable_session_tags {
            Vec::new()
        } else {
            vec![
                ("eks-cluster-arn", cluster_arn),
                ("eks-cluster-name", cluster.to_owned()),
                ("kubernetes-namespace", pod.namespace.clone()),
                ("kubernetes-service-account", pod.serviceaccount.name.clone()),
                ("kubernetes-pod-name", pod.pod.name.clone()),
                ("kubernetes-pod-uid", pod.pod.uid.clone()),
            ]
        };
        Self { name: name(cluster, &pod.pod.name), tags, lifetime }
    }

    /// Refuses what STS refuses as `PackedPolicyTooLarge`. The model of EKS
    /// Auth has no such error, so it comes as an invalid request with STS's
    /// code and text.
    pub(crate) fn check_size(&self, policy: Option<&str>) -> Result<(), ServiceError> {
        let percent = packed(&self.tags, policy) * 100 / PACKED_LIMIT;
        if percent <= 100 {
            return Ok(());
        }
        let what = match (policy, self.tags.is_empty()) {
            (None, _) => "session tags",
            (Some(_), true) => "session policy",
            (Some(_), false) => "session policy and session tags",
        };
        let message = format!(
            "PackedPolicyTooLarge: Packed size of {what} consumes {percent}% of allotted space."
        );
        Err(ServiceError::unusable(message))
    }
}

/// `eks-CLUSTER-POD-UUID`, as in the EKS Auth API reference. If the name is too
/// long for STS, the part before the UUID is truncated.
fn name(cluster: &str, pod: &str) -> String {
    let id = Uuid::new_v4().to_string();
    let mut name = format!("eks-{cluster}-{pod}");
    name.truncate(LONGEST_NAME - 1 - id.len());
    format!("{name}-{id}")
}

/// The size of tags and policy, compressed.
fn packed(tags: &[(&'static str, String)], policy: Option<&str>) -> usize {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
    let written = tags
        .iter()
        .try_for_each(|(key, value)| write!(packer, "{key}\0{value}\0"))
        .and_then(|()| packer.write_all(policy.unwrap_or_default().as_bytes()))
        .and_then(|()| packer.finish());
    written.map_or(0, |bytes| bytes.len())
}

/// Gives a pod the role of its association.
#[async_trait::async_trait]
pub(crate) trait Roles: fmt::Debug + Send + Sync {
    /// Assumes the association's role, and its target role if it has one.
    async fn assume(
        &self,
        association: &Association,
        session: &Session,
    ) -> Result<Issued, ServiceError>;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Session, name};

    #[test]
    fn a_long_session_name_keeps_its_uuid_and_fits() {
        let long = name("cluster", &"p".repeat(80));
        assert_eq!(long.len(), 64);
        assert!(long.starts_with("eks-cluster-ppp") && long.as_bytes()[27] == b'-');
        assert!(name("c", "p").starts_with("eks-c-p-"));
    }

    #[test]
    fn only_a_policy_that_does_not_compress_is_too_large() {
        let session = Session { name: String::new(), tags: Vec::new(), lifetime: Duration::ZERO };
        assert!(session.check_size(None).is_ok());
        assert!(session.check_size(Some(&"s3:PutObject ".repeat(150))).is_ok());
        let dense: String = (0..2000).map(|_| fastrand::alphanumeric()).collect();
        let error = session.check_size(Some(&dense)).unwrap_err();
        assert!(error.message.starts_with("PackedPolicyTooLarge: Packed size of session policy"));
        assert_eq!(error.status(), 400);
    }
}
