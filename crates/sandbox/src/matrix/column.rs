//! What is set, and the attempts with it.

use std::io;

use serde_json::{Value, json};

use super::Access;
use super::account::{Account, Pod, allow};
use crate::association::Association;
use crate::emulator::{pod_identity_policy, pod_identity_trust};

/// The emulator's reason where no policy allows an upload.
const NO_POLICY: &str = "no identity-based policy allows s3:PutObject";

/// What was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    RoleOnly,
    TagBound,
    SessionPolicy,
    TargetRole,
}

impl Column {
    /// The names of the roles that it creates.
    pub(super) fn roles(self, account: &Account) -> Vec<String> {
        let mut roles = vec![format!("{}-{self:?}", account.name)];
        if self == Self::TargetRole {
            roles.push(format!("{}-target", account.name));
        }
        roles
    }

    /// Sets it, and lets everybody try. Removes the associations again.
    pub(super) async fn tried(self, account: &Account) -> io::Result<Vec<Access>> {
        let admin = &account.admin;
        let role = format!("{}-{self:?}", account.name);
        let role_arn = admin.create_role(&role, &pod_identity_trust()).await?;
        let target = self.target(account, &role_arn).await?;
        let policy = self.policy(account, target.as_deref());
        admin.set_policy(&role, &policy).await?;
        account.set_user_policy(&policy).await?;

        let mut made = Vec::new();
        for pod in &account.pods {
            let wanted = self.association(account, pod, &role_arn, target.clone());
            made.push(pod.admin.create_association(&wanted).await?);
        }
        if target.is_some() {
            self.demand_external_id(account, &role_arn, &made[0]).await?;
        }
        let mut column = Vec::new();
        for pod in &account.pods {
            column.push(self.upload(account, pod).await?);
        }
        for (pod, association) in account.pods.iter().zip(&made) {
            pod.admin.dissociate(&association.association_id).await?;
        }
        for issued in [&account.node, &account.keys] {
            column.push(match &target {
                Some(target) => account.upload_as(issued, target).await?,
                None => account.upload(issued).await?,
            });
        }
        Ok(column)
    }

    /// Uploads as a pod.
    async fn upload(self, account: &Account, pod: &Pod) -> io::Result<Access> {
        let issued = match pod.credentials().await? {
            Ok(issued) => issued,
            Err(why) => return Ok(Access::denied("EKS Auth", &why)),
        };
        let access = account.upload(&issued).await?;
        if self == Self::SessionPolicy { with_session_policy(access) } else { Ok(access) }
    }

    /// The permissions of the associated role.
    fn policy(self, account: &Account, target: Option<&str>) -> Value {
        let bucket = &account.name;
        match (self, target) {
            (Self::TagBound, _) => pod_identity_policy(bucket, bucket, "demo", "demo"),
            (_, Some(target)) => json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": target,
            }] }),
            _ => allow("s3:PutObject", &format!("arn:aws:s3:::{bucket}/*")),
        }
    }

    fn association(
        self,
        account: &Account,
        pod: &Pod,
        role_arn: &str,
        target_role_arn: Option<String>,
    ) -> Association {
        let with_policy = self == Self::SessionPolicy;
        let own = format!("arn:aws:s3:::{}/{}/*", account.name, pod.prefix());
        Association {
            target_role_arn,
            policy: with_policy.then(|| allow("s3:PutObject", &own).to_string()),
            disable_session_tags: with_policy,
            ..Association::new(pod.namespace, pod.account, role_arn)
        }
    }

    /// The target role, which may upload, if there is one. It trusts nobody
    /// until the external ID is known.
    async fn target(self, account: &Account, role_arn: &str) -> io::Result<Option<String>> {
        if self != Self::TargetRole {
            return Ok(None);
        }
        let name = format!("{}-target", account.name);
        let arn = account.admin.create_role(&name, &trust(role_arn, "unknown")).await?;
        let upload = allow("s3:PutObject", &format!("arn:aws:s3:::{}/*", account.name));
        account.admin.set_policy(&name, &upload).await?;
        Ok(Some(arn))
    }

    async fn demand_external_id(
        self,
        account: &Account,
        role_arn: &str,
        of: &Association,
    ) -> io::Result<()> {
        let id = of.external_id.as_deref();
        let id = id.ok_or_else(|| io::Error::other("EKS chose no external ID"))?;
        let name = format!("{}-target", account.name);
        account.admin.set_trust(&name, &trust(role_arn, id)).await
    }
}

/// The denial of a session with a session policy, as AWS words it: `MiniStack`
/// names the role's policy, which allows the upload, where AWS names the
/// session policy.
///
/// # Errors
///
/// It was denied for another reason, which must not look like this one.
fn with_session_policy(access: Access) -> io::Result<Access> {
    match access {
        Access::Allowed => Ok(access),
        Access::Denied { by: "S3", why } if why == NO_POLICY => {
            let why = NO_POLICY.replace("identity-based", "session");
            Ok(Access::Denied { by: "S3", why })
        }
        Access::Denied { by, why } => {
            Err(io::Error::other(format!("a session policy should deny this, not {by}: {why}")))
        }
    }
}

/// The trust policy of a target role, from the EKS user guide.
fn trust(role_arn: &str, external_id: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "AWS": role_arn },
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": { "StringEquals": { "sts:ExternalId": external_id } },
    }] })
}

#[cfg(test)]
mod tests {
    use super::{Access, NO_POLICY, with_session_policy};

    #[test]
    fn only_the_expected_reason_becomes_that_of_the_session_policy() {
        let denied = |by, why: &str| Access::Denied { by, why: why.to_owned() };
        assert_eq!(with_session_policy(Access::Allowed).unwrap(), Access::Allowed);
        let session = denied("S3", "no session policy allows s3:PutObject");
        assert_eq!(with_session_policy(denied("S3", NO_POLICY)).unwrap(), session);
        for other in [
            denied("S3", "no resource-based policy allows s3:PutObject"),
            denied("EKS Auth", NO_POLICY),
        ] {
            let error = with_session_policy(other).unwrap_err().to_string();
            assert!(error.starts_with("a session policy should deny this, not "), "{error}");
        }
    }
}
