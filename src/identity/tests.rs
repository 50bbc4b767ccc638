//! A test for each row of the table: the evidence by which it is told apart from the others.

use super::agent::Answer;
use super::diagnosis::{ROWS, diagnose};
use super::evidence::{Evidence, Failure, S3Failure};
use super::injected::{Audience, Binding, Claims, Content, Injected, Named, Token};
use super::{Provider, Requirement, Who};

fn who(provider: Provider) -> Who {
    Who { provider, account: Some("123456789012".to_owned()), key_ending: "WXYZ".to_owned() }
}

fn token(content: Content) -> Token {
    Token { path: "/var/run/secrets/token".to_owned(), content }
}

fn claims(audience: &str, expiry: u64) -> Content {
    let named = |name: &str| Named { name: name.to_owned() };
    Content::Claims(Box::new(Claims {
        iss: "https://oidc.example/id/1".to_owned(),
        aud: Audience::Many(vec![audience.to_owned()]),
        sub: "system:serviceaccount:shop:till".to_owned(),
        exp: expiry,
        kubernetes: Binding {
            namespace: "shop".to_owned(),
            serviceaccount: named("till"),
            pod: named("till-1"),
            node: named("node-1"),
        },
    }))
}

const NEVER: u64 = 1 << 40;

/// A pod with Pod Identity in order, whose container provider failed.
fn pod() -> Evidence {
    let good = token(claims("pods.eks.amazonaws.com", NEVER));
    Evidence {
        failure: Failure::Chain {
            none: false,
            required: Requirement::PodIdentity,
            text: "the container provider failed".to_owned(),
        },
        injected: Injected {
            variables: Vec::new(),
            pod_identity_token: Some(good),
            irsa_token: None,
        },
        pod_identity: true,
        irsa: false,
        proxied: false,
        agent: None,
        who: None,
    }
}

/// Nothing was injected, and nobody answered.
fn bare(required: Requirement) -> Evidence {
    Evidence {
        failure: Failure::Chain { none: true, required, text: String::new() },
        injected: Injected { variables: Vec::new(), pod_identity_token: None, irsa_token: None },
        pod_identity: false,
        ..pod()
    }
}

fn refused(required: Requirement, provider: Provider) -> Evidence {
    Evidence { failure: Failure::Refused(required, who(provider)), ..pod() }
}

fn with_token(content: Content) -> Evidence {
    let mut pod = pod();
    pod.injected.pod_identity_token = Some(token(content));
    pod
}

fn agent(answer: Answer) -> Evidence {
    Evidence { agent: Some(answer), ..pod() }
}

fn refusal(status: u16, text: &str) -> Evidence {
    agent(Answer::Refusal { status, text: text.to_owned() })
}

fn irsa(text: &str) -> Evidence {
    let mut pod = pod();
    pod.irsa = true;
    pod.injected.irsa_token = Some(token(claims("sts.amazonaws.com", NEVER)));
    let required = Requirement::Irsa;
    pod.failure = Failure::Chain { none: false, required, text: text.to_owned() };
    pod
}

fn s3(code: &str, text: &str) -> Evidence {
    Evidence {
        failure: Failure::S3(S3Failure {
            operation: "PutObject",
            bucket: "pictures".to_owned(),
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: "us-east-1".to_owned(),
            code: Some(code.to_owned()).filter(|code| !code.is_empty()),
            bucket_region: Some("eu-west-1".to_owned()),
            text: text.to_owned(),
        }),
        who: Some(who(Provider::Container)),
        ..pod()
    }
}

/// Row, evidence, and what cause and fix must say.
type Case = (&'static str, Evidence, &'static str, &'static str);

fn cases() -> Vec<Case> {
    [pod_cases(), agent_cases(), s3_cases()].into_iter().flatten().collect()
}

fn pod_cases() -> Vec<Case> {
    use Requirement::PodIdentity;
    vec![
        ("shadowed_by_irsa", refused(PodIdentity, Provider::WebIdentity), "IRSA", "role-arn"),
        (
            "shadowed_by_static_keys",
            refused(PodIdentity, Provider::Environment),
            "environment",
            "AWS_ACCESS_KEY_ID",
        ),
        ("shadowed_by_profile", refused(PodIdentity, Provider::Profile), "profile", "AWS_PROFILE"),
        (
            "node_role_fallback",
            Evidence { pod_identity: false, ..refused(PodIdentity, Provider::Instance) },
            "node's role",
            "delete the pod",
        ),
        ("not_injected", bare(PodIdentity), "not injected", "delete the pod, do not restart"),
        (
            "wrong_identity",
            refused(Requirement::Profile, Provider::Environment),
            "demands profile",
            "remove",
        ),
        ("no_identity", bare(Requirement::Any), "no provider", "association"),
        ("token_missing", with_token(Content::Missing), "is not there", "volume"),
        (
            "token_unreadable",
            with_token(Content::Unreadable("mode 0600, owner 0".to_owned())),
            "mode 0600",
            "fsGroup",
        ),
        ("token_empty", with_token(Content::Empty), "empty", "kubelet"),
        ("token_malformed", with_token(Content::Malformed), "no JWT", "projected"),
        (
            "token_wrong_audience",
            with_token(claims("sts.amazonaws.com", NEVER)),
            "for sts.amazonaws.com",
            "pods.eks.amazonaws.com",
        ),
        ("token_expired", with_token(claims("pods.eks.amazonaws.com", 1)), "expired", "kubelet"),
        (
            "proxy",
            Evidence { proxied: true, ..pod() },
            "proxy",
            "169.254.170.23 and [fd00:ec2::23]",
        ),
    ]
}

fn agent_cases() -> Vec<Case> {
    let exception = |code: &str| format!("[id]: ({code}): text, fault: client");
    vec![
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
            "no_association",
            refusal(404, &exception("ResourceNotFoundException")),
            "namespace shop, service account till",
            "podidentityassociation",
        ),
        (
            "trust_policy",
            refusal(400, &exception("AccessDeniedException")),
            "may not assume",
            "sts:TagSession",
        ),
        (
            "token_rejected",
            refusal(400, &exception("ExpiredTokenException")),
            "rejects",
            "Delete the pod",
        ),
        (
            "agent_throttled",
            refusal(429, &exception("ThrottlingException")),
            "throttles",
            "asked again",
        ),
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
            irsa("InvalidIdentityToken: No OpenIDConnect provider found"),
            "STS rejects",
            "associate-iam-oidc-provider",
        ),
        (
            "irsa_trust_policy",
            irsa("AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"),
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
        ("credentials_rejected", s3("ExpiredToken", ""), "does not accept", "asked for"),
        ("s3_service_error", s3("SlowDown", "SlowDown: reduce"), "bad moment", "tried again"),
        (
            "endpoint_unreachable",
            s3("", "connection refused"),
            "http://127.0.0.1:1 does not answer",
            "AWS_ENDPOINT_URL",
        ),
    ]
}

#[test]
fn each_cause_is_told_by_its_evidence_with_what_to_do() {
    for (id, evidence, cause, fix) in cases() {
        let diagnosis = diagnose(&evidence);
        assert_eq!(diagnosis.id, id, "{diagnosis:?}");
        assert!(diagnosis.cause.contains(cause), "{cause:?} is not in {diagnosis:?}");
        assert!(diagnosis.fix.contains(fix), "{fix:?} is not in {diagnosis:?}");
        assert!(!diagnosis.cause.contains('\n') && !diagnosis.fix.contains('\n'), "{diagnosis:?}");
    }
}

#[test]
fn every_row_has_its_case() {
    let tested: Vec<_> = cases().into_iter().map(|(id, ..)| id).collect();
    let rows: Vec<_> = ROWS.iter().map(|(id, ..)| *id).collect();
    assert_eq!(tested, rows);
}

#[test]
fn what_no_row_knows_is_told_in_its_own_words() {
    let diagnosis = diagnose(&s3("TeapotException", "TeapotException: short and stout"));
    assert_eq!(diagnosis.id, "unknown");
    assert!(diagnosis.cause.contains("short and stout"));
}
