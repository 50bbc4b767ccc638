//! Causes in the association: which of its roles EKS Auth could not assume.
//!
//! EKS assumes the role of the association, whose session assumes the target role if there is one.
//! The session policy applies to the last of these sessions. If it denies a request to S3, S3's answer
//! says so: `session_policy`.

use super::super::evidence::Evidence;
use super::ResolvedBy::Propagation;
use super::agent::{denied, relayed};
use super::policy::Reason;
use super::{Cause, explanation};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("no_association", Propagation, |e| {
        let text = relayed(e, &["ResourceNotFoundException"])?;
        (!text.contains("No cluster found")).then_some(())?;
        Some(explanation(
            format!("there is no association for {} in this cluster", e.subject()),
            "create it with `eksctl create podidentityassociation` or `aws eks \
             create-pod-identity-association`",
        ))
    }),
    Cause::new("trust_policy", Propagation, |e| {
        let text = relayed(e, &["AccessDeniedException"])?;
        text.contains("permissions to assume the associated role").then_some(())?;
        Some(explanation(
            format!("EKS may not assume the role that is associated with {}", e.subject()),
            "allow sts:AssumeRole and sts:TagSession to pods.eks.amazonaws.com in the role's trust \
             policy; if that is right, check whether the pod uses hostNetwork, for which this was \
             reported too (issue 139 of the agent)",
        ))
    }),
    Cause::new("target_role_permission", Propagation, |e| {
        let denial = ChainingDenial::of(e).filter(|denial| denial.side() == Side::First)?;
        Some(explanation(
            denial.cause(),
            format!(
                "allow {} on {} in the policy of the associated role",
                denial.action, denial.target
            ),
        ))
    }),
    Cause::new("target_role_trust", Propagation, |e| {
        let denial = ChainingDenial::of(e).filter(|denial| denial.side() == Side::Target)?;
        let (action, target) = (denial.action, denial.target);
        Some(explanation(
            denial.cause(),
            format!(
                "allow the associated role to perform {action} in the trust policy of {target}; an \
                 sts:ExternalId there must be the association's external ID"
            ),
        ))
    }),
    Cause::new("target_role", Propagation, |e| {
        let denial = ChainingDenial::of(e)?;
        let (action, target) = (denial.action, denial.target);
        Some(explanation(
            format!("{}, which is in another account", denial.cause()),
            format!(
                "allow {action} on {target} in the policy of the associated role, and allow the \
                 associated role to perform it in the trust policy of the target role; an \
                 sts:ExternalId there must be the association's external ID"
            ),
        ))
    }),
    Cause::new("session_too_large", Propagation, |e| {
        let text = relayed(e, &["InvalidRequestException", "InvalidParameterException"])?;
        ["PackedPolicyTooLarge", "acked size"].iter().find(|word| text.contains(**word))?;
        let what =
            text.split("acked size of ").nth(1).and_then(|rest| rest.split(" consume").next());
        let what = what.unwrap_or("session tags and session policy");
        Some(explanation(
            format!("the packed size of the association's {what} exceeds STS's limit"),
            "shorten the session policy, or switch the association's session tags off",
        ))
    }),
    Cause::new("session_policy_rejected", Propagation, |e| {
        let text = relayed(e, &["InvalidRequestException", "InvalidParameterException"])?;
        let words = ["MalformedPolicyDocument", "at 'policy'", "disableSessionTags"];
        words.iter().find(|word| text.contains(**word))?;
        Some(explanation(
            format!("the session policy of the association cannot be used: {text}"),
            "correct the association's policy (aws eks describe-pod-identity-association): a JSON \
             policy of at most 2,048 characters, with disableSessionTags on",
        ))
    }),
];

/// A denial of role chaining: the association's role may not assume the target role, or tag its session.
struct ChainingDenial<'a> {
    first: &'a str,
    action: &'a str,
    target: &'a str,
    reason: Option<&'a str>,
}

/// Whose policy denies it.
#[derive(PartialEq, Eq)]
enum Side {
    /// One of the first role's: its own, a boundary, or its organization's.
    First,
    /// The target's trust policy.
    Target,
    /// The roles are in different accounts, and then IAM does not say whose policy it is.
    Unknown,
}

impl<'a> ChainingDenial<'a> {
    fn of(e: &'a Evidence) -> Option<Self> {
        let text = relayed(e, &["AccessDeniedException"])?;
        let (first, action, target) = denied(text)?;
        ["sts:AssumeRole", "sts:TagSession"].contains(&action).then_some(())?;
        let reason = Reason::of(text).map(|reason| reason.text);
        Some(Self { first, action, target, reason })
    }

    /// IAM names the kind of policy, except that for a trust policy it often says nothing.
    fn side(&self) -> Side {
        let account = |arn: &'a str| arn.split(':').nth(4);
        match self.reason {
            Some(reason)
                if reason.contains("trust policy") || reason.contains("resource-based") =>
            {
                Side::Target
            }
            Some(_) => Side::First,
            None if account(self.first) == account(self.target) => Side::Target,
            None => Side::Unknown,
        }
    }

    fn cause(&self) -> String {
        let Self { first, action, target, reason } = self;
        let reason = reason.map(|reason| format!(" {reason}")).unwrap_or_default();
        format!(
            "the association's role ({first}) is not allowed to perform {action} on the target role \
             {target}{reason}"
        )
    }
}
