//! Causes in what is set for the chain: the wrong provider responded, none did, or one cannot work.

use super::super::evidence::{Evidence, Failure};
use super::ResolvedBy::{Never, Wait};
use super::{Cause, Explanation, NEW_POD, explanation};
use crate::aws::{Ending, Exchange, clean};
use crate::errors::find_cause;
use crate::identity::{FULL_URI, Principal, Provider, RELATIVE_URI, Requirement, Unusable};

/// The row whose failures of a setting end the program with exit code 2.
pub(super) const UNUSABLE_VALUE: &str = "unusable_value";

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
    Cause::new("shadowed_by_ecs", Never, |e| {
        e.injected.variable(RELATIVE_URI)?;
        let fix = "remove AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, which is ECS's, from the pod's specification";
        shadowed(e, Provider::Ecs, fix)
    }),
    Cause::new("empty_variable", Never, |e| {
        let provider = e.chain()?.provider?;
        let name = e.injected.empty_variable(provider)?;
        Some(explanation(
            format!(
                "{name} is set to an empty text, which the AWS SDKs take for a setting: {provider} fails"
            ),
            format!("remove {name} from the pod's specification, or give it its value"),
        ))
    }),
    Cause::new(UNUSABLE_VALUE, Wait, |e| {
        let failure = e.chain()?;
        let flaw = find_cause::<Unusable>(&*failure.error)
            .filter(|flaw| matches!(flaw, Unusable::Unsendable(_)))?;
        let provider = failure.provider?;
        let (fix, is_setting) = match provider {
            Provider::Profile => ("correct the keys in the AWS configuration files", true),
            Provider::Environment => ("correct the keys in the pod's variables", true),
            _ => ("check what gives these credentials: no AWS service gives such ones", false),
        };
        Some(Explanation {
            resolved_by: is_setting.then_some(Never),
            ..explanation(format!("{provider}: {flaw}"), fix)
        })
    }),
    Cause::new("agent_uri", Never, |e| {
        let failure = e.failed(Provider::PodIdentity).or(e.failed(Provider::Ecs))?;
        let text = failure.to_string();
        let name = [FULL_URI, RELATIVE_URI].into_iter().find(|name| {
            let what = if *name == FULL_URI { "full URI" } else { "relative URI" };
            text.contains(name) || text.contains(what)
        })?;
        Some(explanation(
            format!(
                "{name} cannot be used: {text}; over plain HTTP the AWS SDKs ask only this machine and the addresses of ECS and EKS"
            ),
            SET_URI,
        ))
    }),
    Cause::new("container_skipped", Never, container_skipped),
    Cause::new("incomplete_static_keys", Never, |e| {
        let (there, missing) = e.injected.half_of_a_key()?;
        let is_it = match &e.failure {
            Failure::Chain { failure, .. } => {
                matches!(failure.provider, None | Some(Provider::Instance))
            }
            Failure::Refused(required, _) => {
                *required == Requirement::Provider(Provider::Environment)
            }
            _ => false,
        };
        is_it.then(|| {
            explanation(
                format!("{there} is set, but {missing} is not, so the SDK ignores it"),
                format!("set {missing} as well, or remove {there}"),
            )
        })
    }),
    Cause::new("profile_not_found", Never, |e| {
        let failure = e
            .chain()
            .filter(|failure| matches!(failure.provider, None | Some(Provider::Instance)))?;
        let (_, why) =
            failure.not_configured.iter().find(|(provider, _)| *provider == Provider::Profile)?;
        let profile = e.injected.variable("AWS_PROFILE").filter(|name| !name.is_empty());
        let cause = match profile {
            Some(profile) => format!(
                "AWS_PROFILE names a profile that no file has, or that has no credentials: {}",
                clean(profile)
            ),
            None if why.contains("was not defined") => {
                "the profile names another one that no file has".to_owned()
            }
            None => return None,
        };
        Some(explanation(
            format!("{cause} ({why})"),
            "mount the AWS configuration files that have the profile (AWS_CONFIG_FILE, \
             AWS_SHARED_CREDENTIALS_FILE), or remove AWS_PROFILE",
        ))
    }),
    Cause::new("node_role_fallback", Never, node_role_fallback),
    Cause::new("not_injected", Never, not_injected),
    Cause::new("no_instance_metadata", Wait, |e| {
        let required = e.required()?;
        let is_it = required == Requirement::Provider(Provider::Instance)
            && e.chain()
                .is_some_and(|failure| matches!(failure.provider, None | Some(Provider::Instance)));
        is_it.then(|| {
            explanation(
                format!("there are no credentials of the node's role{}", metadata_said(e)),
                "check that AWS_EC2_METADATA_DISABLED is not set, that the node has an instance profile, and \
                 that its metadata options are on with a hop limit of 2 for pods (aws ec2 \
                 modify-instance-metadata-options)",
            )
        })
    }),
    Cause::new("wrong_identity", Never, wrong_identity),
    Cause::new("wrong_account", Never, wrong_account),
    Cause::new("stale_role", Never, stale_role),
    Cause::new("no_identity", Never, no_identity),
];

const SET_URI: &str = "set AWS_CONTAINER_CREDENTIALS_FULL_URI to \
                       http://169.254.170.23/v1/credentials or \
                       http://[fd00:ec2::23]/v1/credentials, or let the webhook inject it";

/// Pod Identity is there and wanted, and this provider is earlier in the chain.
fn shadowed(e: &Evidence, by: Provider, fix: &str) -> Option<Explanation> {
    let required = e.required()?;
    let is_wanted = match required {
        // Where either will do, ECS shadows nothing.
        Requirement::Container => by != Provider::Ecs,
        required => required.wants_pod_identity(),
    };
    (is_wanted && e.injected.has_pod_identity()).then_some(())?;
    let cause = match &e.failure {
        Failure::Refused(_, found) if found.provider == by => {
            format!("Pod Identity is injected, but a provider earlier in the chain answered: {by}")
        }
        Failure::Chain { failure, .. } if failure.provider == Some(by) => {
            let said = match e.sts(by) {
                Some(sts) => sts.text,
                None => failure.to_string(),
            };
            format!(
                "Pod Identity is injected, but a provider before it in the chain is set and fails: {by}: {said}"
            )
        }
        _ => return None,
    };
    Some(explanation(cause, format!("{fix}, {NEW_POD}")))
}

/// What is required, if a webhook should have injected it and did not.
fn not_there(e: &Evidence) -> Option<Requirement> {
    let required = match &e.failure {
        Failure::Refused(required, _) => required,
        Failure::Chain { failure, required }
            if matches!(failure.provider, None | Some(Provider::Instance)) =>
        {
            required
        }
        _ => return None,
    };
    let is_there = match required {
        Requirement::Provider(Provider::Irsa) => e.injected.has_irsa(),
        required => !required.wants_pod_identity() || e.injected.has_pod_identity(),
    };
    (!is_there).then_some(*required)
}

/// What should have been injected, as sentences name it.
fn injection(required: Requirement) -> &'static str {
    match required {
        Requirement::Provider(Provider::Irsa) => "IRSA",
        _ => "Pod Identity",
    }
}

/// What the instance metadata service said, which the chain asks last.
fn metadata_said(e: &Evidence) -> String {
    let Some(failure) = e.chain() else { return String::new() };
    let said = match &failure.exchange {
        Some(Exchange { ending: Ending::Response { status, text }, .. }) => {
            let text = if text.is_empty() { String::new() } else { format!(": {text}") };
            Some(format!("answered {status}{text}"))
        }
        Some(exchange) => Some(format!("did not answer: {exchange}")),
        None => failure
            .not_configured
            .iter()
            .find(|(provider, why)| *provider == Provider::Instance && why.contains("disabled"))
            .map(|_| "is switched off by AWS_EC2_METADATA_DISABLED".to_owned()),
    };
    said.map(|said| format!("; the instance metadata service {said}")).unwrap_or_default()
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
             missed it{}",
            metadata_said(e)
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

fn provider_of(principal: Option<&Principal>) -> Provider {
    principal.map_or(Provider::PodIdentity, |found| found.provider)
}

fn wrong_account(e: &Evidence) -> Option<Explanation> {
    let Failure::OtherAccount { expected, found } = &e.failure else { return None };
    let check = match provider_of(e.principal.as_ref()) {
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
    let provider = provider_of(e.principal.as_ref());
    if provider != Provider::PodIdentity {
        return Some(explanation(cause, format!("check which role is set for {provider}")));
    }
    Some(explanation(
        cause,
        "check which role the association names now, and delete the pod: a new one gets that role, \
         while the agent may serve the earlier one from its cache for up to 3 hours",
    ))
}

/// One explanation for each requirement.
fn no_identity(e: &Evidence) -> Option<Explanation> {
    let Failure::Chain { failure, required } = &e.failure else { return None };
    matches!(failure.provider, None | Some(Provider::Instance)).then_some(())?;
    let said = metadata_said(e);
    Some(match required {
        Requirement::Provider(Provider::Environment) => explanation(
            "there are no keys in the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "set both, or require another identity",
        ),
        Requirement::Provider(Provider::Profile) => explanation(
            "no profile has credentials: there are no AWS configuration files, or the profile has none",
            "mount the files and name the profile (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, \
             AWS_PROFILE), or require another identity",
        ),
        Requirement::Provider(Provider::Ecs) => explanation(
            "there is no ECS task role: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set",
            "give the task definition a task role, or require another identity",
        ),
        _ => explanation(
            format!(
                "no provider of the chain has credentials: there are no keys, no profile, no IRSA, no \
                 Pod Identity and no node role{said}"
            ),
            format!(
                "on EKS, create an association for this namespace and service account, {NEW_POD}; \
                 elsewhere, set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ),
        ),
    })
}
