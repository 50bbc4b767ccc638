//! Causes on the way to the agent and in its responses.

use std::time::Duration;

use super::super::samples::*;
use super::Case;
use crate::aws::Ending;
use crate::diagnosis::evidence::Evidence;
use crate::identity::Provider;

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn cases() -> Vec<Case> {
    let exception = |code: &str| format!("[id]: ({code}): text, fault: client");
    let denied =
        |text: &str| refusal(400, &format!("[id]: (AccessDeniedException): {text}, fault: client"));
    let starting = Evidence { agent_may_be_starting: true, ..agent(Ending::Refused) };
    let mut on_fargate = agent(Ending::ConnectTimeout(Duration::from_secs(2)));
    on_fargate.tokens.pod_identity =
        Some(token(claims_on("fargate-ip-10-0-0-1", "pods.eks.amazonaws.com", NEVER)));
    vec![
        ("no_agent_on_fargate", on_fargate, "fargate-ip-10-0-0-1", "IRSA"),
        ("agent_starting", starting, "may start after", "the program repeats the request"),
        ("agent_not_running", agent(Ending::Refused), "not running", "eks-pod-identity-agent"),
        (
            "agent_timeout",
            agent(Ending::ConnectTimeout(Duration::from_secs(2))),
            "no connection",
            "network polic",
        ),
        (
            "agent_slow",
            agent(Ending::ResponseTimeout(Duration::from_secs(12))),
            "does not answer",
            "EKS Auth",
        ),
        (
            "agent_unreachable",
            agent(Ending::Network("no route".to_owned())),
            "no route",
            "address family",
        ),
        (
            "agent_cluster_unknown",
            refusal(
                404,
                &exception("ResourceNotFoundException")
                    .replace("text", "No cluster found for name: x."),
            ),
            "No cluster found",
            "--cluster-name",
        ),
        (
            "agent_node_credentials",
            refusal(500, "unable to sign request: no EC2 IMDS role found"),
            "no EC2 IMDS role found",
            "instance profile",
        ),
        (
            "node_role_not_allowed",
            denied(
                "User: arn:aws:sts::123456789012:assumed-role/node/i-1 is not authorized to \
                 perform: eks-auth:AssumeRoleForPodIdentity on resource: \
                 arn:aws:eks:us-east-1:123456789012:cluster/demo",
            ),
            "assumed-role/node/i-1",
            "AmazonEKSWorkerNodePolicy",
        ),
        (
            "node_credentials_rejected",
            refusal(403, &exception("InvalidSignatureException")),
            "with which the node asks",
            "the node's clock",
        ),
        (
            "token_rejected",
            refusal(400, &exception("ExpiredTokenException")),
            "rejects",
            "delete the pod",
        ),
        (
            "agent_throttled",
            refusal(429, &exception("ThrottlingException")),
            "throttles",
            "repeats the request",
        ),
        ("agent_busy", refusal(429, "Too Many Requests"), "rate limiter", "repeats the request"),
        (
            "agent_refuses_address",
            refusal(403, "Access Denied. Called agent through invalid address"),
            "403",
            "169.254.170.23",
        ),
        ("agent_path", refusal(404, "404 page not found"), "path", "/v1/credentials"),
        (
            "agent_refuses_token",
            refusal(400, "Service account token cannot be empty"),
            "400",
            "delete the pod",
        ),
        (
            "not_the_agent",
            refusal(403, "RBAC: access denied"),
            "403: RBAC: access denied",
            "169.254.170.23/32 and fd00:ec2::23/128",
        ),
        (
            "agent_service_error",
            refusal(500, "unable to fetch credentials from EKS Auth"),
            "500",
            "eks-auth",
        ),
        (
            "not_credentials",
            pod_after(
                Provider::PodIdentity,
                "invalid JSON in response",
                Some(Ending::Response { status: 200, text: String::new() }),
            ),
            "not JSON",
            "169.254.170.23/32",
        ),
    ]
}
