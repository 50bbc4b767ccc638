//! A test for each cause: the evidence by which it is told apart from the others. The same evidence
//! gives the table in `docs/identity.md`.

use std::fmt::Write as _;

use super::agent::Answer;
use super::causes::{GROUPS, ResolvedBy, diagnose};
use super::evidence::{Evidence, Failure, S3Failure};
use super::injected::{FULL_URI, Injected, TOKEN_FILE, WEB_IDENTITY_TOKEN_FILE};
use super::principal::Principal;
use super::provider::{Provider, Requirement};
use super::token::{Audience, Binding, Claims, Content, Named, Token, Tokens};

const POD_IDENTITY: Requirement = Requirement::Provider(Provider::PodIdentity);
const IRSA: Requirement = Requirement::Provider(Provider::Irsa);
const TOKEN_PATH: &str =
    "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token";

fn principal(provider: Provider) -> Principal {
    Principal {
        provider,
        account: Some("123456789012".to_owned()),
        arn: None,
        role: None,
        session: None,
        access_key_ending: "WXYZ".to_owned(),
        expiry: None,
    }
}

fn token(content: Content) -> Token {
    Token { path: TOKEN_PATH.to_owned(), content }
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
            required: POD_IDENTITY,
            text: "the container provider failed".to_owned(),
        },
        injected: Injected::default()
            .set(FULL_URI, "http://169.254.170.23/v1/credentials")
            .set(TOKEN_FILE, TOKEN_PATH),
        tokens: Tokens { pod_identity: Some(good), irsa: None },
        proxied: false,
        agent: None,
        principal: None,
        agent_may_be_starting: false,
    }
}

/// Nothing was injected, and no provider answered.
fn bare(required: Requirement) -> Evidence {
    Evidence {
        failure: Failure::Chain { none: true, required, text: String::new() },
        injected: Injected::default(),
        tokens: Tokens::default(),
        ..pod()
    }
}

fn refused(required: Requirement, provider: Provider) -> Evidence {
    Evidence { failure: Failure::Refused(required, Box::new(principal(provider))), ..pod() }
}

fn with_token(content: Content) -> Evidence {
    let mut pod = pod();
    pod.tokens.pod_identity = Some(token(content));
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
    pod.injected = pod
        .injected
        .set(WEB_IDENTITY_TOKEN_FILE, "/token")
        .set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/till");
    pod.tokens.irsa = Some(token(claims("sts.amazonaws.com", NEVER)));
    pod.failure = Failure::Chain { none: false, required: IRSA, text: text.to_owned() };
    pod
}

fn s3(code: &str, text: &str) -> Evidence {
    Evidence {
        failure: Failure::S3(Box::new(S3Failure {
            operation: "PutObject",
            bucket: "pictures".to_owned(),
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: "us-east-1".to_owned(),
            code: Some(code.to_owned()).filter(|code| !code.is_empty()),
            bucket_region: Some("eu-west-1".to_owned()),
            text: text.to_owned(),
        })),
        principal: Some(principal(Provider::PodIdentity)),
        ..pod()
    }
}

/// Id, evidence, and what cause and fix must contain.
type Case = (&'static str, Evidence, &'static str, &'static str);

fn cases() -> Vec<Case> {
    [pod_cases(), agent_cases(), s3_cases()].into_iter().flatten().collect()
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
        ("token_empty", with_token(Content::Empty), "empty", "kubelet"),
        ("token_malformed", with_token(Content::Malformed), "not contain a JWT", "projected"),
        (
            "token_wrong_audience",
            with_token(claims("sts.amazonaws.com", NEVER)),
            "audience is sts.amazonaws.com",
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
    let denied =
        |text: &str| refusal(400, &format!("[id]: (AccessDeniedException): {text}, fault: client"));
    let starting = Evidence { agent_may_be_starting: true, ..agent(Answer::ConnectionRefused) };
    vec![
        ("agent_starting", starting, "may start after", "the request is repeated"),
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
            "target_role",
            denied(
                "User: arn:aws:sts::123456789012:assumed-role/first/eks is not authorized to \
                 perform: sts:AssumeRole on resource: arn:aws:iam::210987654321:role/second",
            ),
            "arn:aws:iam::210987654321:role/second",
            "external ID",
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
            "trust_policy",
            denied(
                "Unauthorized Exception! EKS does not have permissions to assume the associated \
                 role.",
            ),
            "may not assume",
            "sts:TagSession",
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
            "repeated",
        ),
        ("agent_busy", refusal(429, "Too Many Requests"), "rate limiter", "repeated"),
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
        ("credentials_rejected", s3("ExpiredToken", ""), "does not accept", "asked for"),
        ("s3_service_error", s3("SlowDown", "SlowDown: reduce"), "at the moment", "tried again"),
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
fn every_cause_has_its_case() {
    let tested: Vec<_> = cases().into_iter().map(|(id, ..)| id).collect();
    let causes: Vec<_> = GROUPS.into_iter().flatten().map(|cause| cause.id).collect();
    assert_eq!(tested, causes);
}

#[test]
fn each_kind_of_policy_that_denies_has_its_own_fix() {
    for (reason, fix) in [
        ("because no identity-based policy allows the s3:PutObject action", "the role's policy"),
        ("with an explicit deny in a resource-based policy", "the bucket's policy, which denies"),
        ("because no permissions boundary allows the s3:PutObject action", "boundary"),
        ("with an explicit deny in a service control policy", "administrators"),
        ("because no resource control policy allows the s3:PutObject action", "administrators"),
        ("because no VPC endpoint policy allows the s3:PutObject action", "VPC endpoint"),
    ] {
        let text = format!("AccessDenied: User: x is not authorized to perform: y {reason}");
        let diagnosis = diagnose(&s3("AccessDenied", &text));
        assert_eq!(diagnosis.id, "s3_access_denied");
        assert!(diagnosis.cause.ends_with(reason), "{diagnosis:?}");
        assert!(diagnosis.fix.contains(fix), "{diagnosis:?}");
    }
}

#[test]
fn what_no_cause_explains_is_told_in_its_own_words() {
    let diagnosis = diagnose(&s3("TeapotException", "TeapotException: short and stout"));
    assert_eq!(diagnosis.id, "unknown");
    assert!(diagnosis.cause.contains("short and stout"));
    let diagnosis = diagnose(&refusal(400, "[id]: (AccessDeniedException): no, fault: client"));
    assert_eq!(diagnosis.id, "unknown", "a denial without a known text is not guessed at");
    assert!(diagnosis.cause.contains("answered 400: [id]"), "{diagnosis:?}");
}

/// The table of `docs/identity.md`, written from the causes.
fn table() -> String {
    let mut table = "| id | cause | fix | resolved by |\n|---|---|---|---|\n".to_owned();
    for (id, evidence, ..) in cases() {
        let diagnosis = diagnose(&evidence);
        let resolved_by = match diagnosis.resolved_by {
            ResolvedBy::Never => "you",
            ResolvedBy::Wait => "waiting",
            ResolvedBy::FreshCredentials => "fresh credentials",
        };
        let seconds_ago = diagnosis.cause.split(" expired ").nth(1);
        let cause = match seconds_ago {
            Some(ago) => diagnosis.cause.replace(ago, "N s ago"),
            None => diagnosis.cause,
        };
        let _ = writeln!(table, "| `{id}` | {cause} | {} | {resolved_by} |", diagnosis.fix);
    }
    table
}

#[test]
fn the_table_in_the_documentation_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/identity.md");
    let text = std::fs::read_to_string(path).expect("docs/identity.md");
    let (before, rest) = text.split_once("<!-- causes -->\n").expect("the table's beginning");
    let (found, after) = rest.split_once("<!-- end of causes -->").expect("the table's end");
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}<!-- causes -->\n{table}<!-- end of causes -->{after}");
        std::fs::write(path, text).expect("docs/identity.md can be written");
    } else {
        assert!(found == table, "run UPDATE_DOCS=1 cargo test --lib, and read the difference");
    }
}
