//! Causes on the way to the Pod Identity Agent and in its answers.
//!
//! The agent's texts are those of `aws/eks-pod-identity-agent` 0.1.37. It passes errors of EKS Auth
//! on as `[REQUEST ID]: (CODE): TEXT, fault: client`.

use super::super::agent::{self, Answer};
use super::super::evidence::Evidence;
use super::super::injected::FULL_URI;
use super::ResolvedBy::{Never, Wait};
use super::policy::Reason;
use super::{Cause, explanation};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("proxy", Never, |e| {
        e.chain()?;
        (e.proxied && e.injected.leads_to_agent()).then_some(())?;
        Some(explanation(
            "the proxy variables send requests for the Pod Identity Agent through a proxy, which \
             cannot reach it",
            "add 169.254.170.23 and [fd00:ec2::23] to NO_PROXY",
        ))
    }),
    Cause::new("agent_uri", Never, |e| {
        e.chain()?;
        let uri = e.injected.variable(FULL_URI).filter(|_| e.injected.leads_to_agent())?;
        (!agent::may_have_token(uri)).then_some(())?;
        Some(explanation(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is not the agent's address, and the AWS SDK sends \
             the token to no other host over plain HTTP",
            SET_URI,
        ))
    }),
    Cause::new("agent_starting", Wait, |e| {
        answered(e, &Answer::ConnectionRefused).filter(|()| e.agent_may_be_starting)?;
        Some(explanation(
            "the Pod Identity Agent refuses connections: on a fresh node it may start after this \
             pod",
            "no action is needed: the program repeats the request; if the agent does not start within \
             two minutes, check the DaemonSet eks-pod-identity-agent in kube-system",
        ))
    }),
    Cause::new("agent_not_running", Wait, |e| {
        answered(e, &Answer::ConnectionRefused)?;
        Some(explanation(
            "the Pod Identity Agent refuses connections: it is not running on this node",
            "check that the add-on is installed, and the DaemonSet eks-pod-identity-agent in \
             kube-system",
        ))
    }),
    Cause::new("agent_timeout", Wait, |e| {
        answered(e, &Answer::Timeout)?;
        Some(explanation(
            "the Pod Identity Agent does not answer in time",
            "allow egress to 169.254.170.23 port 80 in the network policies, and check the agent's \
             log",
        ))
    }),
    Cause::new("agent_unreachable", Wait, |e| {
        let Some(Answer::Unreachable(why)) = &e.agent else { return None };
        Some(explanation(
            format!("the Pod Identity Agent cannot be reached: {why}"),
            "check the node's network, and whether the agent listens on the address family in \
             AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ))
    }),
    Cause::new("node_role_not_allowed", Wait, |e| {
        let text = relayed(e, &["AccessDeniedException"])?;
        let (caller, ..) =
            denied(text).filter(|(_, action, _)| *action == "eks-auth:AssumeRoleForPodIdentity")?;
        let cause =
            format!("the node's role may not ask EKS Auth for this pod's credentials: {caller}");
        let elsewhere = Reason::of(text).filter(|reason| !reason.is_of("no identity-based"));
        Some(match elsewhere {
            Some(reason) => explanation(
                format!("{cause}, {}", reason.text.split(", fault").next().unwrap_or_default()),
                reason.fix(
                    "eks-auth:AssumeRoleForPodIdentity",
                    reason
                        .place("the policy that IAM names")
                        .unwrap_or("the policy that IAM names"),
                ),
            ),
            None => explanation(
                cause,
                "allow eks-auth:AssumeRoleForPodIdentity in the node's role, for example with the \
                 policy AmazonEKSWorkerNodePolicy",
            ),
        })
    }),
    Cause::new("node_credentials_rejected", Wait, |e| {
        // The agent signs with the node's credentials, whose token AWS calls the security token.
        let expired = || {
            relayed(e, &["ExpiredTokenException"]).filter(|text| text.contains("security token"))
        };
        let codes = ["InvalidSignatureException", "UnrecognizedClientException"];
        let text = relayed(e, &codes).or_else(expired)?;
        Some(explanation(
            format!("EKS Auth rejects the credentials with which the node asks: {text}"),
            "check the node's clock, and the role of its instance profile",
        ))
    }),
    Cause::new("token_rejected", Wait, |e| {
        let text = relayed(e, &["ExpiredTokenException", "InvalidTokenException"])?;
        Some(explanation(
            format!("EKS Auth rejects this pod's token: {text}"),
            "check that the token is this cluster's and that the node's clock is right, and delete \
             the pod to get a new token",
        ))
    }),
    Cause::new("agent_throttled", Wait, |e| {
        relayed(e, &["ThrottlingException"])?;
        Some(explanation(
            "EKS Auth throttles requests: too many pods ask for credentials at the same time",
            "no action is needed: the program repeats the request; if it continues, start fewer pods \
             at a time",
        ))
    }),
    Cause::new("agent_busy", Wait, |e| {
        e.refusal().filter(|(status, _)| *status == 429)?;
        Some(explanation(
            "the Pod Identity Agent's own rate limiter answered 429: many pods start on this node \
             at the same time",
            "no action is needed: the program repeats the request",
        ))
    }),
    Cause::new("agent_refuses_address", Never, |e| {
        let (status, text) = e.refusal()?;
        text.starts_with("Access Denied. Called agent through invalid address").then_some(())?;
        Some(explanation(
            format!(
                "the agent answered {status}: the request used an address other than the agent's"
            ),
            SET_URI,
        ))
    }),
    Cause::new("agent_refuses_token", Wait, |e| {
        let (status, text) = e.refusal()?;
        text.starts_with("Service account token").then_some(())?;
        Some(explanation(
            format!("the agent answered {status}: {text}"),
            "delete the pod to get a new token: this one is missing, damaged or expired",
        ))
    }),
    Cause::new("agent_service_error", Wait, |e| {
        let (status, text) = e.refusal().filter(|(status, _)| *status >= 500)?;
        // This is the agent's whole text if EKS Auth did not answer.
        let text = if text == "[]" { "it gets no answer from EKS Auth" } else { text };
        Some(explanation(
            format!("the agent answered {status}: {text}"),
            "no action is needed: the program repeats the request; in a private cluster, add the VPC \
             endpoint for eks-auth",
        ))
    }),
    Cause::new("agent_redirects", Wait, |e| {
        let (status, _) = e.refusal().filter(|(status, _)| (300..400).contains(status))?;
        Some(explanation(
            format!(
                "the agent answered {status}, a redirect, which the Pod Identity Agent never does"
            ),
            IN_ITS_PLACE,
        ))
    }),
    Cause::new("not_credentials", Wait, |e| {
        let Some(Answer::Unusable(why)) = &e.agent else { return None };
        Some(explanation(
            format!("the agent's answer cannot be used as credentials: {why}"),
            IN_ITS_PLACE,
        ))
    }),
];

const IN_ITS_PLACE: &str = "check that nothing answers in the agent's place: no proxy, and no other program at its address";

const SET_URI: &str = "set AWS_CONTAINER_CREDENTIALS_FULL_URI to \
                       http://169.254.170.23/v1/credentials or \
                       http://[fd00:ec2::23]/v1/credentials, or let the webhook inject it";

fn answered(e: &Evidence, answer: &Answer) -> Option<()> {
    (e.agent.as_ref() == Some(answer)).then_some(())
}

/// The agent's text, if it passes on an error of EKS Auth with one of these codes.
pub(super) fn relayed<'a>(e: &'a Evidence, codes: &[&str]) -> Option<&'a str> {
    let (_, text) = e.refusal()?;
    codes.iter().any(|code| text.contains(&format!("({code})"))).then_some(text)
}

/// Caller, action and resource in IAM's text "User: CALLER is not authorized to perform: ACTION on
/// resource: RESOURCE":
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>.
pub(super) fn denied(text: &str) -> Option<(&str, &str, &str)> {
    let (caller, rest) =
        text.split_once("User: ")?.1.split_once(" is not authorized to perform: ")?;
    let (action, rest) = rest.split_once(" on resource: ")?;
    let resource = rest.split([' ', ',']).next()?;
    Some((caller, action, resource))
}
