//! Causes on the way to the agent and in its answers.

use super::super::super::agent::Answer;
use super::super::super::evidence::Evidence;
use super::super::super::injected::FULL_URI;
use super::super::samples::*;
use super::Case;

pub(super) fn cases() -> Vec<Case> {
    let exception = |code: &str| format!("[id]: ({code}): text, fault: client");
    let denied =
        |text: &str| refusal(400, &format!("[id]: (AccessDeniedException): {text}, fault: client"));
    let starting = Evidence { agent_may_be_starting: true, ..agent(Answer::ConnectionRefused) };
    let elsewhere = pod().injected.set(FULL_URI, "http://agent.example/v1/credentials");
    vec![
        (
            "proxy",
            Evidence { proxied: true, ..pod() },
            "proxy",
            "169.254.170.23 and [fd00:ec2::23]",
        ),
        (
            "agent_uri",
            Evidence { injected: elsewhere, ..pod() },
            "not the agent's address",
            "http://169.254.170.23/v1/credentials",
        ),
        ("agent_starting", starting, "may start after", "the program repeats the request"),
        (
            "agent_not_running",
            agent(Answer::ConnectionRefused),
            "not running",
            "eks-pod-identity-agent",
        ),
        ("agent_timeout", agent(Answer::Timeout), "in time", "network polic"),
        (
            "agent_unreachable",
            agent(Answer::Unreachable("no route".to_owned())),
            "no route",
            "address family",
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
        (
            "agent_refuses_token",
            refusal(400, "Service account token cannot be empty"),
            "400",
            "delete the pod",
        ),
        (
            "agent_service_error",
            refusal(500, "unable to fetch credentials from EKS Auth"),
            "500",
            "eks-auth",
        ),
        (
            "agent_redirects",
            refusal(302, ""),
            "answered 302",
            "nothing answers in the agent's place",
        ),
        (
            "not_credentials",
            agent(Answer::Unusable("it is not JSON".to_owned())),
            "not JSON",
            "nothing answers in the agent's place",
        ),
    ]
}
