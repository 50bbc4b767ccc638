//! Tests that each cause is found by its evidence, and that the table in `docs/identity.md` agrees.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::agent::Answer;
use super::super::causes::{GROUPS, ResolvedBy, diagnose};
use super::super::evidence::{Failure, StsFailure};
use super::super::injected::{FULL_URI, Injected};
use super::super::provider::Provider;
use super::super::reach::Reach;
use super::super::s3_failure::S3Failure;
use super::super::untrusted::agent_answer;
use super::cases::cases;
use super::samples::{IRSA, NEVER, agent, claims, irsa, refusal, refused, s3, with_irsa_token};
use crate::fuzzing::{TEXT, s3_refusal};

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
    for (kind, place) in [
        ("identity-based policy", "the role's policy"),
        ("resource-based policy", "the bucket's policy"),
        ("permissions boundary", "the role's permissions boundary"),
        ("service control policy", "the organization's service control policy"),
        ("resource control policy", "the organization's resource control policy"),
        ("VPC endpoint policy", "the policy of the VPC endpoint"),
    ] {
        let allow = format!("because no {kind} allows the s3:PutObject action");
        let deny = format!("with an explicit deny in a {kind}");
        for (reason, fix) in [
            (allow, format!("allow s3:PutObject on arn:aws:s3:::pictures/* in {place}")),
            (deny, format!("s3:PutObject on arn:aws:s3:::pictures/*: change {place}")),
        ] {
            let text = format!("AccessDenied: User: x is not authorized to perform: y {reason}");
            let diagnosis = diagnose(&s3("AccessDenied", &text));
            assert_eq!(diagnosis.id, "s3_access_denied");
            assert!(diagnosis.cause.ends_with(&reason), "{diagnosis:?}");
            assert!(diagnosis.fix.starts_with(&fix), "{diagnosis:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_key_is_told_apart() {
    let of_key = diagnose(&s3("KMS.DisabledException", "KMS.DisabledException: k is disabled"));
    assert!(of_key.fix.contains("exists and is enabled"), "{of_key:?}");
    let text =
        "AccessDenied: x is not authorized to perform: kms:GenerateDataKey on this resource ";
    let session = format!("{text}because no session policy allows the kms:GenerateDataKey action");
    let by_session = diagnose(&s3("AccessDenied", &session));
    assert_eq!(by_session.id, "kms");
    assert!(by_session.fix.ends_with("in the session policy of the association"), "{by_session:?}");
    let denied = format!("{text}with an explicit deny in an identity-based policy");
    let by_deny = diagnose(&s3("AccessDenied", &denied));
    assert!(by_deny.fix.ends_with("the role's policy, which denies it explicitly"), "{by_deny:?}");
    let throttled = s3("KMS.ThrottlingException", "KMS.ThrottlingException: slow down");
    assert_eq!(diagnose(&throttled).id, "s3_service_error");
    let identity = format!("{text}because no identity-based policy allows it");
    let by_role = diagnose(&s3("AccessDenied", &identity));
    assert!(by_role.fix.ends_with("in the key's policy and in the role's"), "{by_role:?}");
}

#[test]
fn the_nodes_own_token_is_not_taken_for_the_pods() {
    let expired = |text: &str| format!("[id]: (ExpiredTokenException): {text}, fault: client");
    let of_node = expired("The security token included in the request is expired");
    assert_eq!(diagnose(&refusal(403, &of_node)).id, "node_credentials_rejected");
    let of_pod = expired("The token included in the request is expired: current date/time 1");
    assert_eq!(diagnose(&refusal(400, &of_pod)).id, "token_rejected");
}

#[test]
fn sts_rejects_tokens_for_reasons_that_only_its_text_tells() {
    for (text, id) in [
        ("Incorrect token audience", "irsa_audience"),
        ("No OpenIDConnect provider found in your account for https://x", "irsa_provider"),
        ("Couldn't retrieve verification key from your identity provider", "irsa_issuer"),
        (
            "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
            "irsa_issuer",
        ),
        ("The ID Token provided is not a valid JWT.", "irsa_token_rejected"),
    ] {
        assert_eq!(diagnose(&irsa("InvalidIdentityToken", text)).id, id, "{text}");
    }
}

#[test]
fn what_denies_the_node_is_named() {
    let diagnosis = diagnose(&refusal(
        403,
        "[id]: (AccessDeniedException): User: arn:aws:sts::1:assumed-role/node/i-1 is not authorized to \
         perform: eks-auth:AssumeRoleForPodIdentity on resource: arn:aws:eks:us-east-1:1:cluster/demo with \
         an explicit deny in a service control policy, fault: client",
    ));
    assert_eq!(diagnosis.id, "node_role_not_allowed");
    assert!(diagnosis.cause.ends_with("in a service control policy"), "{diagnosis:?}");
    assert!(diagnosis.fix.ends_with("which denies it explicitly"), "{diagnosis:?}");
}

#[test]
fn a_chain_that_took_too_long_is_not_irsas_where_there_is_no_irsa() {
    let mut evidence = agent(Answer::Credentials);
    if let Failure::Chain { sts, text, .. } = &mut evidence.failure {
        *sts = Some(StsFailure { reach: Reach::NoAnswer, code: None, status: None });
        "credentials provider timed out".clone_into(text);
    }
    let diagnosis = diagnose(&evidence);
    assert_eq!((diagnosis.id, &*diagnosis.cause), ("unknown", "credentials provider timed out"));
}

#[test]
fn a_role_of_the_node_is_no_cause_where_irsa_is_required() {
    let mut evidence = refused(IRSA, Provider::Instance);
    evidence.injected = Injected::default();
    let diagnosis = diagnose(&evidence);
    assert_eq!(diagnosis.id, "not_injected");
    assert!(diagnosis.fix.starts_with("annotate the service account"), "{diagnosis:?}");
}

#[test]
fn an_answer_that_may_have_secrets_is_not_shown() {
    for text in ["Authorization: eyJhbGciOiJSUzI1NiJ9.e30.c2ln", r#"{"SecretAccessKey": "x"}"#] {
        let diagnosis = diagnose(&refusal(418, text));
        assert!(diagnosis.cause.ends_with("is not shown)"), "{diagnosis:?}");
    }
}

#[test]
fn a_denial_without_a_kind_of_policy_also_points_at_session_tags_that_are_switched_off() {
    let diagnosis = diagnose(&s3("AccessDenied", "AccessDenied: Access Denied"));
    assert_eq!(diagnosis.id, "s3_access_denied");
    assert!(diagnosis.fix.contains("aws:PrincipalTag"), "{diagnosis:?}");
    assert!(diagnosis.fix.contains("disableSessionTags is off"), "{diagnosis:?}");
}

#[test]
fn a_gateway_in_front_of_s3_that_fails_is_told_by_its_status() {
    for status in ["408", "429", "500", "501", "503", "599"] {
        assert_eq!(diagnose(&s3(status, "HTTP status")).id, "s3_service_error", "{status}");
    }
    // A server that says what it lacks is not told to recover by itself.
    let mut full = s3("XMinioStorageFull", "XMinioStorageFull: no space");
    if let Failure::S3(failure) = &mut full.failure {
        failure.status = Some(507);
    }
    assert_eq!(diagnose(&full).id, "unknown");
}

#[test]
fn an_agent_without_an_answer_of_eks_auth_is_told() {
    let diagnosis = diagnose(&refusal(500, "[]"));
    assert_eq!(diagnosis.id, "agent_service_error");
    assert!(diagnosis.cause.contains("no answer from EKS Auth"), "{diagnosis:?}");
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

#[test]
fn an_audience_of_irsa_is_no_cause_unless_sts_refuses_the_token() {
    let mut evidence = with_irsa_token(claims("vault", NEVER));
    assert_eq!(diagnose(&evidence).id, "irsa_audience");
    if let Failure::Chain { sts, .. } = &mut evidence.failure {
        *sts = None;
    }
    assert_eq!(diagnose(&evidence).id, "unknown");
}

#[test]
fn what_is_between_the_pod_and_the_agent_is_no_cause_where_irsa_failed() {
    let mut evidence = irsa("AccessDenied", "Not authorized");
    evidence.proxied = true;
    evidence.injected = evidence.injected.set(FULL_URI, "http://agent.example/v1/credentials");
    assert_eq!(diagnose(&evidence).id, "irsa_trust_policy");
}

#[test]
fn the_objects_of_a_bucket_have_the_partition_of_the_region() {
    let objects = |bucket: &str, region: &str| {
        let (bucket, region) = (bucket.to_owned(), region.to_owned());
        S3Failure { bucket, region, ..S3Failure::default() }.objects()
    };
    assert_eq!(objects("pictures", "eu-west-1"), "arn:aws:s3:::pictures/*");
    assert_eq!(objects("pictures", "cn-north-1"), "arn:aws-cn:s3:::pictures/*");
    assert_eq!(objects("pictures", "us-gov-west-1"), "arn:aws-us-gov:s3:::pictures/*");
    assert_eq!(objects("pictures", "us-isob-east-1"), "arn:aws-iso-b:s3:::pictures/*");
    assert_eq!(objects("pictures", "eusc-de-east-1"), "arn:aws-eusc:s3:::pictures/*");
    let access_point = "arn:aws:s3:us-east-1:123456789012:accesspoint/pictures";
    assert_eq!(objects(access_point, "us-east-1"), format!("{access_point}/object/*"));
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

proptest! {
    #[test]
    fn any_answer_of_the_agent_has_a_diagnosis_in_one_line(
        status in 100..1000_u16,
        text in TEXT,
        known in prop::sample::select(vec![
            "",
            "Service account token ",
            "(AccessDeniedException): User: a is not authorized to perform: ",
            "(AccessDeniedException): User: a is not authorized to perform: b on resource: ",
            "(ResourceNotFoundException)",
        ]),
    ) {
        agent_answer(status, &format!("{known}{text}"));
    }

    #[test]
    fn any_refusal_of_s3_has_a_diagnosis_in_one_line(
        status in 300..600_u16,
        code in TEXT,
        known in prop::sample::select(vec![
            "",
            "AccessDenied",
            "AuthorizationHeaderMalformed",
            "KMS.NotFoundException",
            "SlowDown",
        ]),
        text in TEXT,
    ) {
        let code = if known.is_empty() { code } else { known.to_owned() };
        s3_refusal(status, &code, &format!("because no {text}, expecting '{text}'"));
    }
}
