//! Causes in the credential chain: the wrong provider answered, or none did.

use super::super::evidence::{Evidence, Failure};
use super::super::provider::{Provider, Requirement};
use super::ResolvedBy::Never;
use super::{Cause, Explanation, NEW_POD, explanation};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("shadowed_by_irsa", Never, |e| {
        // Where there is an association, the webhook injects no IRSA, whatever the service account's
        // annotations: `buildPodPatchConfig` in amazon-eks-pod-identity-webhook 0.6.17.
        let fix =
            "remove AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE from the pod's specification";
        shadowed(e, Provider::Irsa, fix)
    }),
    Cause::new("shadowed_by_static_keys", Never, |e| {
        let fix = "remove AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from the pod's specification";
        shadowed(e, Provider::Environment, fix)
    }),
    Cause::new("shadowed_by_profile", Never, |e| {
        let fix = "remove AWS_PROFILE and the AWS configuration files from the pod";
        shadowed(e, Provider::Profile, fix)
    }),
    Cause::new("container_skipped", Never, container_skipped),
    Cause::new("node_role_fallback", Never, node_role_fallback),
    Cause::new("not_injected", Never, not_injected),
    Cause::new("wrong_identity", Never, wrong_identity),
    Cause::new("wrong_account", Never, wrong_account),
    Cause::new("stale_role", Never, stale_role),
    Cause::new("no_identity", Never, no_identity),
];

fn shadowed(e: &Evidence, by: Provider, fix: &str) -> Option<Explanation> {
    let Failure::Refused(required, found) = &e.failure else { return None };
    let is_injected = required.wants_pod_identity() && e.injected.has_pod_identity();
    (is_injected && found.provider == by).then_some(())?;
    Some(explanation(
        format!("Pod Identity is injected, but a provider earlier in the chain answered: {by}"),
        format!("{fix}, {NEW_POD}"),
    ))
}

/// What is required, if a webhook should have injected it and did not.
fn not_there(e: &Evidence) -> Option<Requirement> {
    let (Failure::Refused(required, _) | Failure::Chain { none: true, required, .. }) = &e.failure
    else {
        return None;
    };
    let is_there = match required {
        Requirement::Provider(Provider::Irsa) => e.injected.has_irsa(),
        required => !required.wants_pod_identity() || e.injected.has_pod_identity(),
    };
    (!is_there).then_some(*required)
}

/// What should have been injected, as sentences name it.
fn injection(required: Requirement) -> String {
    match required {
        Requirement::Provider(provider) if provider != Provider::PodIdentity => {
            provider.to_string()
        }
        _ => "Pod Identity".to_owned(),
    }
}

fn container_skipped(e: &Evidence) -> Option<Explanation> {
    let required = not_there(e)?;
    let skipped = e.injected.skipped_by()?;
    Some(explanation(
        format!(
            "{} was not injected into this container, because the pod's annotation \
             eks.amazonaws.com/skip-containers names it: {skipped}",
            injection(required)
        ),
        "remove this container's name from the annotation in the pod's template, which creates a \
         new pod",
    ))
}

fn node_role_fallback(e: &Evidence) -> Option<Explanation> {
    let Failure::Refused(required, found) = &e.failure else { return None };
    let is_node = found.provider == Provider::Instance && required.wants_pod_identity();
    is_node.then_some(())?;
    Some(explanation(
        "only the node's role answered: Pod Identity was not injected into this pod (there was no \
         association when it was created, or the webhook missed it)",
        format!(
            "check that the association exists (aws eks list-pod-identity-associations) and that \
             no annotation skips this container, {NEW_POD}"
        ),
    ))
}

fn not_injected(e: &Evidence) -> Option<Explanation> {
    let (what, missing, check) = match not_there(e)? {
        Requirement::Provider(Provider::Irsa) => (
            "IRSA",
            "its service account had no annotation",
            "annotate the service account with eks.amazonaws.com/role-arn",
        ),
        _ => (
            "Pod Identity",
            "there was no association",
            "check that the association exists (aws eks list-pod-identity-associations) and that \
             the pod's annotation eks.amazonaws.com/skip-containers does not name this container",
        ),
    };
    Some(explanation(
        format!(
            "{what} was not injected into this pod: {missing} when it was created, or the webhook \
             missed it"
        ),
        format!("{check}, {NEW_POD}"),
    ))
}

fn wrong_identity(e: &Evidence) -> Option<Explanation> {
    let Failure::Refused(required, found) = &e.failure else { return None };
    Some(explanation(
        format!("{} answered, but --require-identity asks for {required}", found.provider),
        "remove the provider that is earlier in the chain, or require the one that is meant to \
         answer",
    ))
}

fn wrong_account(e: &Evidence) -> Option<Explanation> {
    let Failure::OtherAccount { expected, found } = &e.failure else { return None };
    let provider = e.principal.as_ref().map_or(Provider::PodIdentity, |found| found.provider);
    let check = match provider {
        Provider::PodIdentity => {
            "check which account's role the association names, its target role included".to_owned()
        }
        provider => format!("check which account's role is set for {provider}"),
    };
    Some(explanation(
        format!(
            "these credentials are for {found}, which is in another account or partition than \
             {expected}, which --expect-role names"
        ),
        format!("{check}, or correct --expect-role"),
    ))
}

fn stale_role(e: &Evidence) -> Option<Explanation> {
    let Failure::OtherRole { expected, found } = &e.failure else { return None };
    if found.starts_with("arn:") {
        return Some(explanation(
            format!(
                "these credentials are of no role, but of {found}, and --expect-role names {expected}"
            ),
            "remove the provider that answered, for example static keys, so that the one with the \
             role answers",
        ));
    }
    let cause =
        format!("these credentials are for the role {found}, but --expect-role names {expected}");
    let provider = e.principal.as_ref().map_or(Provider::PodIdentity, |found| found.provider);
    if provider != Provider::PodIdentity {
        return Some(explanation(cause, format!("check which role is set for {provider}")));
    }
    Some(explanation(
        cause,
        "check which role the association names now, and delete the pod: a new one gets that role \
         at once, while the agent may serve the earlier one from its cache for up to 3 hours",
    ))
}

fn no_identity(e: &Evidence) -> Option<Explanation> {
    let Failure::Chain { none: true, .. } = &e.failure else { return None };
    (!e.injected.has_pod_identity() && !e.injected.has_irsa()).then_some(())?;
    Some(explanation(
        "no provider of the chain has credentials: there are no keys, no profile, no IRSA, no Pod \
         Identity and no node role",
        format!(
            "on EKS, create an association for this namespace and service account, {NEW_POD}; \
             elsewhere, set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ),
    ))
}
