//! For each cause, the evidence that distinguishes it from the others.

use super::super::agent::Answer;
use super::super::evidence::{Evidence, Failure};
use super::super::injected::Injected;
use super::super::provider::{Provider, Requirement};
use super::super::token::Content;
use super::samples::*;

/// Id, evidence, and what cause and fix must contain.
pub(super) type Case = (&'static str, Evidence, &'static str, &'static str);

pub(super) fn cases() -> Vec<Case> {
    [pod_cases(), association_cases(), agent_cases(), s3_cases()].into_iter().flatten().collect()
}

fn pod_cases() -> Vec<Case> {
    let skipped = Injected::default().set("SKIP_CONTAINERS", "proxy, pod-identity-demo");
    let other_role =
        Failure::OtherRole { expected: "uploader".to_owned(), found: "reader".to_owned() };
    vec![
        ("shadowed_by_irsa", refused(POD_IDENTITY, Provider::Irsa), "IRSA", "role-arn"),
        (
            "shadowed_by_static_keys",
            refused(POD_IDENTITY, Provider::Environment),
            "environment",
            "AWS_ACCESS_KEY_ID",
        ),
        ("shadowed_by_profile", refused(POD_IDENTITY, Provider::Profile), "profile", "AWS_PROFILE"),
        (
            "container_skipped",
            Evidence { injected: skipped, ..bare(POD_IDENTITY) },
            "eks.amazonaws.com/skip-containers",
            "annotation",
        ),
        (
            "node_role_fallback",
            Evidence { injected: Injected::default(), ..refused(POD_IDENTITY, Provider::Instance) },
            "node's role",
            "delete the pod",
        ),
        (
            "not_injected",
            bare(POD_IDENTITY),
            "not injected",
            "delete the pod instead of restarting",
        ),
        (
            "wrong_identity",
            refused(Requirement::Provider(Provider::Profile), Provider::Environment),
            "asks for profile",
            "remove",
        ),
        (
            "stale_role",
            Evidence { failure: other_role, ..pod() },
            "for the role reader",
            "delete the pod",
        ),
        ("no_identity", bare(Requirement::Any), "no provider", "association"),
        ("token_missing", with_token(Content::Missing), "does not exist", "volume"),
        (
            "token_unreadable",
            with_token(Content::Unreadable("mode 0600, owner 0".to_owned())),
            "mode 0600",
            "fsGroup",
        ),
        (
            "too_many_open_files",
            with_token(Content::TooManyOpenFiles),
            "may open no more files",
            "ulimit -n",
        ),
        ("token_empty", with_token(Content::Empty), "empty", "kubelet"),
        ("token_malformed", with_token(Content::Malformed), "not contain a JWT", "projected"),
        (
            "token_wrong_audience",
            with_token(claims("sts.amazonaws.com", NEVER)),
            "audience is sts.amazonaws.com",
            "pods.eks.amazonaws.com",
        ),
        ("token_expired", with_token(claims("pods.eks.amazonaws.com", 1)), "expired", "kubelet"),
    ]
}

fn association_cases() -> Vec<Case> {
    let exception = |code: &str, text: &str| format!("[id]: ({code}): {text}, fault: client");
    let denied = |text: &str| refusal(400, &exception("AccessDeniedException", text));
    let link = |action: &str, account: &str, reason: &str| {
        denied(&format!(
            "User: arn:aws:sts::123456789012:assumed-role/first/eks is not authorized to perform: \
             {action} on resource: arn:aws:iam::{account}:role/second{reason}"
        ))
    };
    vec![
        (
            "no_association",
            refusal(404, &exception("ResourceNotFoundException", "text")),
            "namespace shop, service account till",
            "podidentityassociation",
        ),
        (
            "trust_policy",
            denied(
                "Unauthorized Exception! EKS does not have permissions to assume the associated \
                 role.",
            ),
            "may not assume",
            "sts:TagSession",
        ),
        (
            "target_role_permission",
            link(
                "sts:AssumeRole",
                "123456789012",
                " because no identity-based policy allows the sts:AssumeRole action",
            ),
            "is not allowed to perform sts:AssumeRole on the target role \
             arn:aws:iam::123456789012:role/second because no identity-based policy allows",
            "in the policy of the associated role",
        ),
        (
            "target_role_trust",
            link("sts:TagSession", "123456789012", ""),
            "is not allowed to perform sts:TagSession on the target role",
            "trust policy of arn:aws:iam::123456789012:role/second",
        ),
        (
            "target_role",
            link("sts:AssumeRole", "210987654321", ""),
            "arn:aws:iam::210987654321:role/second",
            "external ID",
        ),
        (
            "session_too_large",
            refusal(
                400,
                &exception(
                    "InvalidRequestException",
                    "PackedPolicyTooLarge: Packed size of session policy consumes 105% of allotted \
                     space.",
                ),
            ),
            "the packed size of the association's session policy exceeds",
            "shorten",
        ),
        (
            "session_policy_rejected",
            refusal(
                400,
                &exception(
                    "InvalidRequestException",
                    "MalformedPolicyDocument: Policy document is not valid JSON",
                ),
            ),
            "not valid JSON",
            "disableSessionTags",
        ),
    ]
}

fn agent_cases() -> Vec<Case> {
    let exception = |code: &str| format!("[id]: ({code}): text, fault: client");
    let denied =
        |text: &str| refusal(400, &format!("[id]: (AccessDeniedException): {text}, fault: client"));
    let starting = Evidence { agent_may_be_starting: true, ..agent(Answer::ConnectionRefused) };
    vec![
        (
            "proxy",
            Evidence { proxied: true, ..pod() },
            "proxy",
            "169.254.170.23 and [fd00:ec2::23]",
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
            "irsa_provider",
            irsa("InvalidIdentityToken", "No OpenIDConnect provider found"),
            "STS rejects",
            "associate-iam-oidc-provider",
        ),
        (
            "irsa_trust_policy",
            irsa("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            "assume the role",
            "trust policy",
        ),
    ]
}

fn s3_cases() -> Vec<Case> {
    vec![
        (
            "kms",
            s3("AccessDenied", "not authorized to perform: kms:GenerateDataKey"),
            "KMS",
            "kms:GenerateDataKey",
        ),
        (
            "session_policy",
            s3(
                "AccessDenied",
                "AccessDenied: User: arn is not authorized to perform: s3:PutObject on resource: \
                 \"x\" because no session policy allows the s3:PutObject action",
            ),
            "no session policy allows",
            "session policy of the association",
        ),
        (
            "s3_access_denied",
            s3("AccessDenied", "Access Denied"),
            "s3:PutObject on bucket pictures",
            "arn:aws:s3:::pictures/*",
        ),
        ("no_such_bucket", s3("NoSuchBucket", ""), "no bucket pictures", "S3_BUCKET_NAME"),
        (
            "wrong_region",
            s3("PermanentRedirect", ""),
            "not in us-east-1, but in eu-west-1",
            "AWS_REGION to eu-west-1",
        ),
        ("clock_skew", s3("RequestTimeTooSkewed", ""), "clock", "chrony"),
        (
            "credentials_rejected",
            s3("ExpiredToken", ""),
            "does not accept",
            "requests new credentials",
        ),
        ("s3_service_error", s3("SlowDown", "SlowDown: reduce"), "at the moment", "tries again"),
        (
            "endpoint_unreachable",
            s3("", "connection refused"),
            "http://127.0.0.1:1 does not answer",
            "AWS_ENDPOINT_URL",
        ),
    ]
}
