//! The rows of the table that are about having credentials. A row looks at the evidence and says
//! cause and fix, or nothing.
//!
//! Texts of the agent are those of `aws/eks-pod-identity-agent` 0.1.37.

use super::agent::Answer;
use super::evidence::{Evidence, Failure, Said, say};
use super::injected::{Content, Token};
use super::{Provider, Requirement};

const AUDIENCE: &str = "pods.eks.amazonaws.com";
const IRSA_AUDIENCE: &str = "sts.amazonaws.com";
const ANEW: &str = "then delete the pod, do not restart it: only a new pod passes admission again";

// Who answered instead.

pub(super) fn shadowed(e: &Evidence, by: Provider) -> Said {
    let Failure::Refused(Requirement::PodIdentity | Requirement::Container, found) = &e.failure
    else {
        return None;
    };
    if found.provider != by || !e.pod_identity {
        return None;
    }
    let fix = match by {
        Provider::WebIdentity => {
            "remove the annotation eks.amazonaws.com/role-arn from the service account, "
        }
        Provider::Environment => {
            "remove AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from the pod's spec, "
        }
        _ => "remove AWS_PROFILE and the AWS configuration files from the pod, ",
    };
    Some(say(
        format!("Pod Identity is injected, but {by} comes earlier in the chain and answered"),
        format!("{fix}{ANEW}"),
    ))
}

pub(super) fn node_role_fallback(e: &Evidence) -> Said {
    match &e.failure {
        Failure::Refused(required, found)
            if found.provider == Provider::Instance && *required != Requirement::Instance =>
        {
            Some(say(
                format!(
                    "only the node's role answered: {required} was not injected into this pod (no \
                     association when it was created, or the webhook missed it)"
                ),
                format!(
                    "check that the association is there (aws eks list-pod-identity-associations), {ANEW}"
                ),
            ))
        }
        _ => None,
    }
}

pub(super) fn not_injected(e: &Evidence) -> Said {
    let wanted = match &e.failure {
        Failure::Refused(required, _) | Failure::Chain { none: true, required, .. } => *required,
        _ => return None,
    };
    let (what, check) = match wanted {
        Requirement::PodIdentity | Requirement::Container if !e.pod_identity => (
            "Pod Identity",
            "check that the association is there (aws eks list-pod-identity-associations)",
        ),
        Requirement::Irsa if !e.irsa => {
            ("IRSA", "annotate the service account with eks.amazonaws.com/role-arn")
        }
        _ => return None,
    };
    Some(say(
        format!(
            "{what} was not injected into this pod: there was no association when it was created, or \
             the webhook missed it"
        ),
        format!("{check}, {ANEW}"),
    ))
}

pub(super) fn wrong_identity(e: &Evidence) -> Said {
    let Failure::Refused(required, found) = &e.failure else { return None };
    Some(say(
        format!("{} answered, but --require-identity demands {required}", found.provider),
        "remove what comes earlier in the chain, or require what is meant to answer",
    ))
}

pub(super) fn no_identity(e: &Evidence) -> Said {
    match &e.failure {
        Failure::Chain { none: true, .. } if !e.pod_identity && !e.irsa => Some(say(
            "no provider of the chain has credentials: no keys, no profile, no IRSA, no Pod Identity, \
             no node role",
            format!(
                "on EKS create an association for this namespace and service account, {ANEW}; \
                 elsewhere set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ),
        )),
        _ => None,
    }
}

// The token in the pod.

/// The token that the provider that failed reads: IRSA's if that is injected, because it comes first.
fn token(e: &Evidence) -> Option<&Token> {
    e.chain()?;
    e.injected.irsa_token.as_ref().or(e.injected.pod_identity_token.as_ref())
}

pub(super) fn token_missing(e: &Evidence) -> Said {
    let token = token(e)?;
    matches!(token.content, Content::Missing).then_some(())?;
    Some(say(
        format!("the token file {} is not there: its projected volume is not mounted", token.path),
        format!("see that nothing removes the volume the webhook adds, {ANEW}"),
    ))
}

pub(super) fn token_unreadable(e: &Evidence) -> Said {
    let token = token(e)?;
    let Content::Unreadable(why) = &token.content else { return None };
    Some(say(
        format!("the token file {} cannot be read: {why}", token.path),
        "set securityContext.fsGroup to the group that the container runs with",
    ))
}

pub(super) fn token_empty(e: &Evidence) -> Said {
    let token = token(e)?;
    matches!(token.content, Content::Empty).then_some(())?;
    Some(say(
        format!("the token file {} is empty", token.path),
        "look at the kubelet of this node (journalctl -u kubelet): it writes the file",
    ))
}

pub(super) fn token_malformed(e: &Evidence) -> Said {
    let token = token(e)?;
    matches!(token.content, Content::Malformed).then_some(())?;
    Some(say(
        format!("the token file {} holds no JWT", token.path),
        "see what is mounted there: it should be a projected service account token",
    ))
}

pub(super) fn token_wrong_audience(e: &Evidence) -> Said {
    let token = token(e)?;
    let claims = token.claims()?;
    let wanted = if e.irsa { IRSA_AUDIENCE } else { AUDIENCE };
    let found = claims.aud.all();
    if found.iter().any(|audience| audience == wanted) {
        return None;
    }
    Some(say(
        format!("the token is for {}, not for {wanted}", found.join(", ")),
        format!("set the projected token's audience to {wanted}, or let the webhook inject it"),
    ))
}

pub(super) fn token_expired(e: &Evidence) -> Said {
    let token = token(e)?;
    let since = token.claims()?.time_left().err()?;
    Some(say(
        format!("the token in {} expired {} s ago", token.path, since.as_secs()),
        "the kubelet renews it: look at this node's kubelet and clock",
    ))
}

// The way to the agent, and what it says.

pub(super) fn proxy(e: &Evidence) -> Said {
    e.chain()?;
    (e.proxied && e.pod_identity).then_some(())?;
    Some(say(
        "the proxy variables send requests for the Pod Identity Agent through a proxy, which cannot \
         reach it",
        "add 169.254.170.23 and [fd00:ec2::23] to NO_PROXY",
    ))
}

pub(super) fn agent_not_running(e: &Evidence) -> Said {
    (e.agent == Some(Answer::ConnectionRefused)).then_some(())?;
    Some(say(
        "the Pod Identity Agent refuses connections: it is not running on this node",
        "look at the DaemonSet eks-pod-identity-agent in kube-system; is the add-on installed?",
    ))
}

pub(super) fn agent_timeout(e: &Evidence) -> Said {
    (e.agent == Some(Answer::Timeout)).then_some(())?;
    Some(say(
        "the Pod Identity Agent does not answer in time",
        "allow egress to 169.254.170.23 port 80 in the network policies; look at the agent's log",
    ))
}

pub(super) fn agent_unreachable(e: &Evidence) -> Said {
    let Some(Answer::Unreachable(why)) = &e.agent else { return None };
    Some(say(
        format!("the Pod Identity Agent cannot be reached: {why}"),
        "look at the node's network, and whether the agent listens on the address family in \
         AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ))
}

/// The agent relays EKS Auth's errors as `(CODE): text`.
fn relayed<'a>(e: &'a Evidence, codes: &[&str]) -> Option<&'a str> {
    let (_, text) = e.refusal()?;
    codes.iter().any(|code| text.contains(&format!("({code})"))).then_some(text)
}

pub(super) fn no_association(e: &Evidence) -> Said {
    relayed(e, &["ResourceNotFoundException"])?;
    Some(say(
        format!("there is no association for {} in this cluster", e.subject()),
        "create it: eksctl create podidentityassociation, or aws eks \
         create-pod-identity-association",
    ))
}

pub(super) fn trust_policy(e: &Evidence) -> Said {
    relayed(e, &["AccessDeniedException"])?;
    Some(say(
        format!("EKS may not assume the role associated with {}", e.subject()),
        "let pods.eks.amazonaws.com do sts:AssumeRole and sts:TagSession in the role's trust policy; \
         a pod with hostNetwork is refused too",
    ))
}

pub(super) fn token_rejected(e: &Evidence) -> Said {
    let text = relayed(e, &["ExpiredTokenException", "InvalidTokenException"])?;
    Some(say(
        format!("EKS Auth rejects this pod's token: {text}"),
        "is it this cluster's own? Delete the pod to have a new one; look at the node's clock",
    ))
}

pub(super) fn agent_throttled(e: &Evidence) -> Said {
    relayed(e, &["ThrottlingException"])?;
    Some(say(
        "EKS Auth throttles: too many pods ask for credentials at once",
        "nothing: it is asked again. If it stays, start fewer pods at a time",
    ))
}

pub(super) fn agent_refuses_address(e: &Evidence) -> Said {
    let (status, _) = e.refusal().filter(|(status, _)| *status == 403)?;
    Some(say(
        format!("the agent answered {status}: it was called by another address than its own"),
        "set AWS_CONTAINER_CREDENTIALS_FULL_URI to http://169.254.170.23/v1/credentials, or \
         http://[fd00:ec2::23]/v1/credentials",
    ))
}

pub(super) fn agent_refuses_token(e: &Evidence) -> Said {
    let (status, text) = e.refusal().filter(|(status, _)| (400..500).contains(status))?;
    Some(say(
        format!("the agent answered {status}: {text}"),
        "the token is missing, damaged or expired: delete the pod to have a new one",
    ))
}

pub(super) fn agent_service_error(e: &Evidence) -> Said {
    let (status, text) = e.refusal()?;
    Some(say(
        format!("the agent answered {status}: {text}"),
        "nothing, it is asked again; in a private cluster add the VPC endpoint for eks-auth",
    ))
}

// IRSA.

pub(super) fn irsa_provider(e: &Evidence) -> Said {
    let text = e.chain().filter(|text| e.irsa && text.contains("InvalidIdentityToken"))?;
    Some(say(
        format!("STS rejects IRSA's token: {text}"),
        "associate the cluster's OIDC provider: eksctl utils associate-iam-oidc-provider",
    ))
}

pub(super) fn irsa_trust_policy(e: &Evidence) -> Said {
    e.chain().filter(|text| e.irsa && text.contains("AccessDenied"))?;
    Some(say(
        format!("STS does not let {} assume the role of IRSA", e.subject()),
        "the role's trust policy must name this cluster's OIDC provider, namespace and service account",
    ))
}
