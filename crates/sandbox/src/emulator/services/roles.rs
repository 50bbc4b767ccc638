//! The roles of an emulator's IAM, which its STS gives to pods: what EKS does
//! with STS for `AssumeRoleForPodIdentity`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::Tag;
use percent_encoding::percent_decode_str;

use super::failure::failure;
use super::trust;
use crate::association::Association;
use crate::credentials::{Credentials, Issued};
use crate::emulator::Emulator;
use crate::role::Role;
use crate::service_error::ServiceError;
use crate::session::{Roles, Session};

/// STS limits the session of a role that another role assumed to one hour:
/// "role chaining" in its `AssumeRole` reference.
const LONGEST_CHAINED: Duration = Duration::from_hours(1);
/// The least lifetime that STS accepts, which the first of two sessions gets.
const SHORTEST: Duration = Duration::from_mins(15);

/// Assumes roles with the emulator's STS.
#[derive(Debug)]
pub(crate) struct EmulatedRoles {
    registry: Arc<Credentials>,
    emulator: Emulator,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
}

impl EmulatedRoles {
    pub(crate) fn new(emulator: &Emulator, registry: Arc<Credentials>) -> Self {
        Self { registry, iam: emulator.iam(), sts: emulator.sts(None), emulator: emulator.clone() }
    }
}

#[async_trait::async_trait]
impl Roles for EmulatedRoles {
    async fn assume(
        &self,
        association: &Association,
        session: &Session,
    ) -> Result<Issued, ServiceError> {
        let issued = self.assume_roles(association, session).await?;
        self.registry.keep(issued.clone());
        Ok(issued)
    }
}

impl EmulatedRoles {
    async fn assume_roles(
        &self,
        association: &Association,
        session: &Session,
    ) -> Result<Issued, ServiceError> {
        self.check_trust(&association.role_arn, session).await?;
        let (role, policy) = (&association.role_arn, association.policy.as_deref());
        let Some(target) = &association.target_role_arn else {
            session.check_size(policy)?;
            let request = requested(&self.sts, role, session, session.lifetime)?;
            return sent(request.set_policy(policy.map(str::to_owned)))
                .await
                .map_err(first_role_refused);
        };
        // With a target role, the policy restricts the target's session only.
        session.check_size(None)?;
        let first = sent(requested(&self.sts, role, session, SHORTEST)?).await;
        let first = first.map_err(first_role_refused)?;
        self.assume_target(&first, target, association, session).await
    }

    /// Refuses a role that does not exist or does not trust EKS.
    ///
    /// This calls the emulator as the root user. When that user assumes a role,
    /// `MiniStack` treats it as any service that the trust policy names.
    async fn check_trust(&self, arn: &str, session: &Session) -> Result<(), ServiceError> {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let got = self.iam.get_role().role_name(name).send().await;
        let got = got.map_err(|error| match error.code() {
            Some("NoSuchEntity") => ServiceError::unauthorized(),
            _ => failure(&error),
        })?;
        let role = got.role.filter(|role| role.arn == arn);
        let role = role.ok_or_else(ServiceError::unauthorized)?;
        let document = role.assume_role_policy_document().unwrap_or_default();
        let document = percent_decode_str(document).decode_utf8_lossy();
        let actions: &[&str] = if session.tags.is_empty() {
            &["sts:AssumeRole"]
        } else {
            &["sts:AssumeRole", "sts:TagSession"]
        };
        if trust::trusts_eks(&document, actions) {
            Ok(())
        } else {
            Err(ServiceError::unauthorized())
        }
    }

    /// Assumes the target role with the session of the first one. The tags are
    /// transitive, so that the second session has them too; `MiniStack` does
    /// not pass them on by itself.
    async fn assume_target(
        &self,
        first: &Issued,
        target: &str,
        association: &Association,
        session: &Session,
    ) -> Result<Issued, ServiceError> {
        if !session.tags.is_empty() {
            self.check_tag_permission(first, target, association).await?;
        }
        let policy = association.policy.as_deref();
        session.check_size(policy)?;
        let sts = self.emulator.sts(Some(first));
        let request = requested(&sts, target, session, session.lifetime.min(LONGEST_CHAINED))?
            .set_external_id(association.external_id.clone())
            .set_policy(policy.map(str::to_owned));
        sent(request).await.map_err(|error| target_refused(&error, first, target))
    }

    /// `MiniStack` requires a permission for `sts:AssumeRole` from a session
    /// that assumes a role, but none for `sts:TagSession`.
    async fn check_tag_permission(
        &self,
        first: &Issued,
        target: &str,
        association: &Association,
    ) -> Result<(), ServiceError> {
        let action = "sts:TagSession";
        let simulated = self
            .iam
            .simulate_principal_policy()
            .policy_source_arn(&association.role_arn)
            .action_names("sts:AssumeRole")
            .action_names(action)
            .resource_arns(target)
            .send()
            .await
            .map_err(|error| failure(&error))?;
        let allowed = |action: &str| {
            let mut results = simulated.evaluation_results().iter();
            let result = results.find(|result| result.eval_action_name() == action);
            result.is_some_and(|result| result.eval_decision().as_str() == "allowed")
        };
        // The request for the role comes first, and STS answers that itself.
        if allowed("sts:AssumeRole") && !allowed(action) {
            return Err(not_permitted(first, action, target));
        }
        Ok(())
    }
}

fn not_permitted(first: &Issued, action: &str, target: &str) -> ServiceError {
    let reason = format!("because no identity-based policy allows the {action} action");
    ServiceError::denied(&first.arn(), action, target, Some(&reason))
}

/// A request for a role, with the session's name and tags.
fn requested(
    sts: &aws_sdk_sts::Client,
    role_arn: &str,
    session: &Session,
    lifetime: Duration,
) -> Result<AssumeRoleFluentBuilder, ServiceError> {
    let tags = session.tags.iter().map(|(key, value)| Tag::builder().key(*key).value(value));
    let tags = tags.map(aws_sdk_sts::types::builders::TagBuilder::build);
    let tags: Vec<_> = tags.collect::<Result<_, _>>().map_err(|error| {
        ServiceError::new("InternalServerException", format!("the session tags: {error}"))
    })?;
    let keys = session.tags.iter().map(|(key, _)| (*key).to_owned()).collect();
    let seconds = i32::try_from(lifetime.as_secs().max(1)).unwrap_or(i32::MAX);
    Ok(sts
        .assume_role()
        .role_arn(role_arn)
        .role_session_name(&session.name)
        .duration_seconds(seconds)
        .set_transitive_tag_keys(Some(keys))
        .set_tags(Some(tags)))
}

type Refused = Option<SdkError<AssumeRoleError>>;

/// Sends the request. The error is `None` if STS answered without credentials.
async fn sent(request: AssumeRoleFluentBuilder) -> Result<Issued, Refused> {
    let assumed = request.send().await.map_err(Some)?;
    let read = || {
        let credentials = assumed.credentials()?;
        let user = assumed.assumed_role_user()?;
        let mut parts = user.arn().split([':', '/']);
        let (account, role) = (parts.nth(4)?, parts.nth(1)?);
        let (role_id, session) = user.assumed_role_id().split_once(':')?;
        Some(Issued {
            access_key_id: credentials.access_key_id().to_owned(),
            secret_access_key: credentials.secret_access_key().to_owned(),
            session_token: credentials.session_token().to_owned(),
            account_id: account.to_owned(),
            expires: SystemTime::try_from(*credentials.expiration()).ok()?,
            role: Role { name: role.to_owned(), id: role_id.to_owned() },
            session_name: session.to_owned(),
        })
    };
    read().ok_or(None)
}

/// STS refused the first role, which EKS Auth does not explain: the trust
/// policy has a condition or a denial, for example.
fn first_role_refused(error: Refused) -> ServiceError {
    match error {
        Some(error) if error.code() == Some("AccessDenied") => ServiceError::unauthorized(),
        error => policy_refused(error.as_ref()),
    }
}

/// STS refused the target role. Its text says whether the first role's policies
/// do not allow the request, or the target's trust policy does not.
fn target_refused(error: &Refused, first: &Issued, target: &str) -> ServiceError {
    let denied = error.as_ref().filter(|error| error.code() == Some("AccessDenied"));
    let Some(message) = denied.and_then(ProvideErrorMetadata::message) else {
        return policy_refused(error.as_ref());
    };
    let tags = "sts:TagSession";
    let action = if message.contains(tags) { tags } else { "sts:AssumeRole" };
    match message.find("because no ").or_else(|| message.find("with an explicit deny")) {
        Some(reason) => {
            ServiceError::denied(&first.arn(), action, target, Some(&message[reason..]))
        }
        None => ServiceError::denied(&first.arn(), action, target, None),
    }
}

/// STS did not accept the session policy, or failed.
fn policy_refused(error: Option<&SdkError<AssumeRoleError>>) -> ServiceError {
    let Some(error) = error else {
        return ServiceError::unavailable("STS answered without credentials");
    };
    match error.code() {
        Some(code @ ("MalformedPolicyDocument" | "PackedPolicyTooLarge" | "ValidationError")) => {
            let message = error.message().unwrap_or_default();
            ServiceError::unusable(format!("{code}: {message}"))
        }
        _ => failure(error),
    }
}
