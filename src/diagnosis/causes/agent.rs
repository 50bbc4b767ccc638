//! Causes on the way to the Pod Identity Agent and in its responses.
//!
//! The agent's texts are those of `aws/eks-pod-identity-agent` 0.1.37. It passes errors of EKS Auth
//! on as `[REQUEST ID]: (CODE): TEXT, fault: client`.

use super::super::evidence::Evidence;
use super::ResolvedBy::{Never, Propagation, Wait};
use super::policy::Reason;
use super::{Cause, explanation};
use crate::aws::Ending;
use crate::errors::find_cause;
use crate::identity::{Provider, Token, Unusable};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("no_agent_on_fargate", Never, |e| {
        e.failed(Provider::PodIdentity)?;
        let claims = e.tokens.pod_identity.as_ref().and_then(Token::claims)?;
        let node = &claims.kubernetes.node.name;
        (node.starts_with("fargate-") && ending(e)?.is_without_response()).then_some(())?;
        Some(explanation(
            format!("this pod runs on Fargate (node {node}), where there is no Pod Identity Agent"),
            "use IRSA for pods on Fargate, or run this pod on EC2 nodes: \
             https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html",
        ))
    }),
    Cause::new("agent_starting", Wait, |e| {
        (ending(e)? == &Ending::Refused && e.agent_may_be_starting).then_some(())?;
        Some(explanation(
            "the Pod Identity Agent refuses connections: on a fresh node it may start after this \
             pod",
            "no action is needed: the program repeats the request; if the agent does not start within \
             two minutes, check the DaemonSet eks-pod-identity-agent in kube-system",
        ))
    }),
    Cause::new("agent_not_running", Wait, |e| {
        (ending(e)? == &Ending::Refused).then_some(())?;
        Some(explanation(
            "the Pod Identity Agent refuses connections: it is not running on this node",
            "check that the add-on is installed, and the DaemonSet eks-pod-identity-agent in \
             kube-system",
        ))
    }),
    Cause::new("agent_timeout", Wait, |e| {
        let Ending::ConnectTimeout(time) = ending(e)? else { return None };
        Some(explanation(
            format!("no connection to the Pod Identity Agent within {time:?}"),
            "allow egress to 169.254.170.23 port 80 in the network policies, and check that the agent runs on \
             this node",
        ))
    }),
    Cause::new("agent_slow", Wait, |e| {
        let Ending::ResponseTimeout(_) = ending(e)? else { return None };
        let exchange = e.exchange()?;
        Some(explanation(
            format!("the Pod Identity Agent accepts connections, but does not answer: {exchange}"),
            "check the agent's log on this pod's node, and whether it reaches EKS Auth: in a private cluster, \
             the VPC endpoint for eks-auth",
        ))
    }),
    Cause::new("agent_unreachable", Wait, |e| {
        let exchange =
            e.exchange().filter(|_| ending(e).is_some_and(Ending::is_without_response))?;
        Some(explanation(
            format!("the Pod Identity Agent cannot be reached: {exchange}"),
            "check the node's network, and whether the agent listens on the address family in \
             AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ))
    }),
    Cause::new("agent_cluster_unknown", Never, |e| {
        let (status, text) = e.response_of_agent()?;
        text.contains("No cluster found").then_some(())?;
        Some(explanation(
            format!(
                "the agent asks EKS Auth for a cluster that does not exist: it answered {status}: {text}"
            ),
            "correct the cluster's name in the arguments of the DaemonSet eks-pod-identity-agent \
             (--cluster-name): the add-on sets it, an installation of one's own must",
        ))
    }),
    Cause::new("agent_node_credentials", Wait, |e| {
        let (status, text) = e.response_of_agent()?;
        let words =
            ["no EC2 IMDS role found", "Missing Region", "failed to refresh cached credentials"];
        words.iter().any(|word| text.contains(word)).then_some(())?;
        Some(explanation(
            format!(
                "the agent has no credentials or no region of its node: it answered {status}: {text}"
            ),
            "check the instance profile of this node and its metadata options, which the agent on the host \
             network asks, and the agent's region",
        ))
    }),
    Cause::new("node_role_not_allowed", Propagation, |e| {
        let text = relayed(e, &["AccessDeniedException"])?;
        let (caller, ..) =
            denied(text).filter(|(_, action, _)| *action == "eks-auth:AssumeRoleForPodIdentity")?;
        let cause =
            format!("the node's role may not ask EKS Auth for this pod's credentials: {caller}");
        let elsewhere = Reason::of(text).filter(|reason| !reason.is_of("no identity-based"));
        Some(match elsewhere {
            Some(reason) => explanation(
                format!("{cause}, {}", reason.text),
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
        e.response_of_agent()
            .filter(|(status, text)| *status == 429 && is_the_agents(429, text))?;
        Some(explanation(
            "the Pod Identity Agent's own rate limiter answered 429: many pods start on this node \
             at the same time",
            "no action is needed: the program repeats the request",
        ))
    }),
    Cause::new("agent_refuses_address", Never, |e| {
        let (status, text) = e.response_of_agent()?;
        text.starts_with("Access Denied. Called agent through invalid address").then_some(())?;
        Some(explanation(
            format!(
                "the agent answered {status}: the request used an address other than the agent's"
            ),
            SET_URI,
        ))
    }),
    Cause::new("agent_path", Never, |e| {
        // Go's router has these for other paths than the agent's.
        let (status, text) = e.response_of_agent()?;
        let is_moved =
            (300..400).contains(&status) && (text.contains("/v1/credentials") || text.is_empty());
        (is_moved || (status == 404 && text == "404 page not found")).then_some(())?;
        Some(explanation(
            format!(
                "the agent answered {status}: the path in AWS_CONTAINER_CREDENTIALS_FULL_URI is not its own, \
                 or another program answers at its address"
            ),
            SET_URI,
        ))
    }),
    Cause::new("agent_refuses_token", Wait, |e| {
        let (status, text) = e.response_of_agent()?;
        text.starts_with("Service account token").then_some(())?;
        Some(explanation(
            format!("the agent answered {status}: {text}"),
            "delete the pod to get a new token: this one is missing, damaged or expired",
        ))
    }),
    Cause::new("not_the_agent", Wait, |e| {
        let (status, text) = e.response_of_agent()?;
        (status >= 300 && !is_the_agents(status, text)).then_some(())?;
        let said = if text.is_empty() { String::new() } else { format!(": {text}") };
        Some(explanation(
            format!(
                "something else than the Pod Identity Agent answers at its address: {status}{said}"
            ),
            IN_ITS_PLACE,
        ))
    }),
    Cause::new("agent_service_error", Wait, |e| {
        let (status, text) = e.response_of_agent().filter(|(status, _)| *status >= 500)?;
        // This is the agent's whole text if EKS Auth did not answer.
        let text = if text == "[]" { "it gets no answer from EKS Auth" } else { text };
        Some(explanation(
            format!("the agent answered {status}: {text}"),
            "no action is needed: the program repeats the request; in a private cluster, add the VPC \
             endpoint for eks-auth",
        ))
    }),
    Cause::new("not_credentials", Wait, |e| {
        let is_success = e.response_of_agent().is_some_and(|(status, _)| status < 300);
        (is_success || ending(e)? == &Ending::TooLong).then_some(())?;
        Some(explanation(
            format!("the agent's answer cannot be used as credentials: {}", flaw(e)?),
            IN_ITS_PLACE,
        ))
    }),
];

const IN_ITS_PLACE: &str = "exclude 169.254.170.23/32 and fd00:ec2::23/128 from what intercepts requests in this pod: the \
                            sidecar of a service mesh (Istio: the annotation \
                            traffic.sidecar.istio.io/excludeOutboundIPRanges), a proxy, or another program at \
                            the agent's address";

const SET_URI: &str = "set AWS_CONTAINER_CREDENTIALS_FULL_URI to \
                       http://169.254.170.23/v1/credentials or \
                       http://[fd00:ec2::23]/v1/credentials, or let the webhook inject it";

/// How the request to the agent ended.
fn ending(e: &Evidence) -> Option<&Ending> {
    e.failed(Provider::PodIdentity)?.exchange.as_ref().map(|exchange| &exchange.ending)
}

/// Whether the agent words a response so. The sources are `internal/validation/request.go`,
/// `internal/middleware` and `pkg/errors` of `aws/eks-pod-identity-agent` 0.1.37; a response of 429 is that
/// of its rate limiter, which says so or nothing.
fn is_the_agents(status: u16, text: &str) -> bool {
    let of_eks_auth = text.starts_with('[') && text.contains("]: (") && text.contains("fault:");
    let begins = [
        "Service account token",
        "Access Denied. Called agent",
        "unable to fetch credentials",
        "Missing Region",
        "no EC2 IMDS role found",
    ];
    let relayed = text.contains("Exception)") && text.starts_with(['[', '(']);
    of_eks_auth
        || relayed
        || begins.iter().any(|begin| text.contains(begin))
        || (status == 500 && (text == "[]" || text.starts_with('[')))
        || (status == 429
            && (text.is_empty()
                || text.to_lowercase().contains("too many requests")
                || text.contains("rate limit")))
}

/// What is wrong with a response that should have credentials. It shows at most names of fields.
fn flaw(e: &Evidence) -> Option<String> {
    let failure = e.failed(Provider::PodIdentity)?;
    if ending(e) == Some(&Ending::TooLong) {
        return Some("it is too long".to_owned());
    }
    if let Some(flaw) = find_cause::<Unusable>(&*failure.error) {
        return Some(flaw.to_string());
    }
    let text = failure.to_string();
    let fields = ["AccessKeyId", "SecretAccessKey", "Expiration", "Token"];
    Some(match fields.into_iter().find(|field| text.contains(field)) {
        Some(field) => format!("it has no usable {field}"),
        None if text.contains("JSON") || text.contains("json") => "it is not JSON".to_owned(),
        None => "it is no document of credentials".to_owned(),
    })
}

/// The agent's text, if it passes on an error of EKS Auth with one of these codes.
pub(super) fn relayed<'a>(e: &'a Evidence, codes: &[&str]) -> Option<&'a str> {
    let (_, text) = e.response_of_agent()?;
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
