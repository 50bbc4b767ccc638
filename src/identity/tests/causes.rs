//! Tests that each cause is found by its evidence, and that the table in `docs/identity.md` agrees.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::causes::{GROUPS, ResolvedBy, diagnose};
use super::super::evidence::Failure;
use super::super::injected::FULL_URI;
use super::super::s3_failure::S3Failure;
use super::super::untrusted::agent_answer;
use super::cases::cases;
use super::samples::{NEVER, claims, irsa, refusal, s3, with_irsa_token};
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
fn a_denial_without_a_kind_of_policy_also_points_at_session_tags_that_are_switched_off() {
    let diagnosis = diagnose(&s3("AccessDenied", "AccessDenied: Access Denied"));
    assert_eq!(diagnosis.id, "s3_access_denied");
    assert!(diagnosis.fix.contains("aws:PrincipalTag"), "{diagnosis:?}");
    assert!(diagnosis.fix.contains("disableSessionTags is off"), "{diagnosis:?}");
}

#[test]
fn a_gateway_in_front_of_s3_that_fails_is_told_by_its_status() {
    for status in ["500", "502", "503", "504"] {
        assert_eq!(diagnose(&s3(status, "HTTP status")).id, "s3_service_error", "{status}");
    }
    assert_eq!(diagnose(&s3("501", "HTTP status")).id, "unknown");
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
