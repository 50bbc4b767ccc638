//! Tests that each cause is found by its evidence, and that the table in `docs/identity.md` agrees.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::fuzz_logic::{agent_response, s3_refusal};
use super::{GROUPS, ResolvedBy, diagnose};
use crate::aws::Ending;
use crate::diagnosis::evidence::Failure;
use crate::identity::{Injected, Provider, Requirement};
use crate::seeds::{TEXT, each_seed};
use cases::cases;
use samples::*;

mod cases;
mod samples;

#[test]
fn the_properties_hold_for_the_seeds() {
    each_seed("agent_response", agent_response);
    each_seed("s3_refusal", s3_refusal);
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
fn a_role_of_the_node_is_no_cause_where_irsa_is_required() {
    let mut evidence = refused(IRSA, Provider::Instance);
    evidence.injected = Injected::default();
    let diagnosis = diagnose(&evidence);
    assert_eq!(diagnosis.id, "not_injected");
    assert!(diagnosis.fix.starts_with("annotate the service account"), "{diagnosis:?}");
}

#[test]
fn a_denial_without_a_kind_of_policy_also_points_at_session_tags_that_are_switched_off() {
    let diagnosis = diagnose(&s3("AccessDenied", "AccessDenied: Access Denied"));
    assert_eq!(diagnosis.id, "s3_access_denied");
    assert!(diagnosis.fix.contains("aws:PrincipalTag"), "{diagnosis:?}");
    assert!(diagnosis.fix.contains("disableSessionTags is off"), "{diagnosis:?}");
}

#[test]
fn a_server_error_is_told_by_its_status_whatever_its_code() {
    for status in [408, 429, 500, 501, 503, 507, 599] {
        let misleading =
            ["AccessDenied", "NoSuchBucket", "ExpiredToken", "BadDigest", "KMS.Whatever"];
        let misleading = misleading.into_iter().filter(|_| status >= 500).map(Some);
        let codes = [None, Some("XMinioStorageFull"), Some("Whatever")];
        for code in codes.into_iter().chain(misleading) {
            let diagnosis = diagnose(&s3_status(status, code, "HTTP status"));
            assert_eq!(diagnosis.id, "s3_service_error", "{status} {code:?}");
        }
    }
}

#[test]
fn an_agent_without_an_answer_of_eks_auth_is_told() {
    let diagnosis = diagnose(&refusal(500, "[]"));
    assert_eq!(diagnosis.id, "agent_service_error");
    assert!(diagnosis.cause.contains("no answer from EKS Auth"), "{diagnosis:?}");
}

#[test]
fn what_no_cause_explains_is_told_in_its_own_words_and_never_asks_to_run_this_again() {
    let s3 = diagnose(&s3("TeapotException", "TeapotException: short and stout"));
    assert_eq!(s3.id, "unknown");
    assert!(s3.cause.contains("short and stout"));
    let denied = diagnose(&refusal(400, "[id]: (AccessDeniedException): no, fault: client"));
    assert_eq!(denied.id, "unknown", "a denial without a known text is not guessed at");
    assert!(denied.cause.contains("400: [id]"), "{denied:?}");
    let timed_out = diagnose(&pod_after(Provider::PodIdentity, "timed out", None));
    assert!(timed_out.cause.contains("EKS Pod Identity was asked"), "{timed_out:?}");
    for diagnosis in [s3, denied, timed_out] {
        assert!(!diagnosis.fix.contains("pod-identity-demo identity"), "{diagnosis:?}");
    }
}

#[test]
fn an_authorization_id_is_shown_with_the_command_that_explains_it() {
    let text = "AccessDenied: User: x is not authorized to perform: s3:PutObject on resource: y because no \
                identity-based policy allows the s3:PutObject action. Go to https://a.example/1 for complete \
                details, or call the GetRequestAuthorizationDetails API with the following authorization id: \
                ab-12/c3.";
    let diagnosis = diagnose(&s3("AccessDenied", text));
    let fix = "allow s3:PutObject on arn:aws:s3:::pictures/* in the role's policy";
    assert!(diagnosis.fix.starts_with(fix), "{diagnosis:?}");
    let command = "`aws iam-toolbox get-request-authorization-details --authorization-id ab-12/c3`";
    assert!(diagnosis.fix.ends_with(command), "{diagnosis:?}");
}

#[test]
fn a_provider_before_pod_identity_that_fails_is_what_shadows_it() {
    let failing = |provider| pod_after(provider, "it is broken", None);
    for (provider, id) in [
        (Provider::Environment, "shadowed_by_static_keys"),
        (Provider::Profile, "shadowed_by_profile"),
        (Provider::Irsa, "shadowed_by_irsa"),
    ] {
        let diagnosis = diagnose(&failing(provider));
        assert_eq!(diagnosis.id, id);
        assert!(diagnosis.cause.ends_with("it is broken"), "{diagnosis:?}");
    }
    let mut any = failing(Provider::Profile);
    if let Failure::Chain { required, .. } = &mut any.failure {
        *required = Requirement::Any;
    }
    let diagnosis = diagnose(&any);
    assert_eq!(diagnosis.id, "profile_failed");
    assert!(diagnosis.fix.contains("Pod Identity is injected too"), "{diagnosis:?}");
}

#[test]
fn only_what_the_agent_itself_says_is_taken_for_the_agents() {
    for (status, text) in [
        (403, "RBAC: access denied"), // Envoy
        (503, "no healthy upstream"), // Envoy
        (503, "upstream connect error or disconnect/reset before headers"), // Envoy
        (404, "<html> <head><title>404 Not Found</title></head>"), // nginx
        (403, "ERR_ACCESS_DENIED"),   // Squid
        (429, "local_rate_limited"),  // Envoy
        (502, "Bad Gateway"),
        (504, "Gateway Time-out"),
        (401, ""),
        (500, "Internal Server Error"),
    ] {
        assert_eq!(diagnose(&refusal(status, text)).id, "not_the_agent", "{status} {text}");
    }
    assert_eq!(diagnose(&agent(Ending::Refused)).id, "agent_not_running");
}

#[test]
fn the_objects_of_a_bucket_have_the_partition_of_the_region() {
    for (bucket, region, objects) in [
        ("pictures", "eu-west-1", "arn:aws:s3:::pictures/*"),
        ("pictures", "cn-north-1", "arn:aws-cn:s3:::pictures/*"),
        ("pictures", "us-gov-west-1", "arn:aws-us-gov:s3:::pictures/*"),
        ("pictures", "us-isob-east-1", "arn:aws-iso-b:s3:::pictures/*"),
        ("pictures", "eusc-de-east-1", "arn:aws-eusc:s3:::pictures/*"),
        (
            "arn:aws:s3:us-east-1:123456789012:accesspoint/pictures",
            "us-east-1",
            "arn:aws:s3:us-east-1:123456789012:accesspoint/pictures/object/*",
        ),
    ] {
        let mut denied = s3("AccessDenied", "Access Denied");
        if let Failure::S3(failure) = &mut denied.failure {
            bucket.clone_into(&mut failure.bucket);
            region.clone_into(&mut failure.region);
        }
        let diagnosis = diagnose(&denied);
        assert!(diagnosis.fix.contains(objects), "{diagnosis:?}");
    }
}

/// The table of `docs/identity.md`, written from the causes.
fn table() -> String {
    let mut table = "| id | cause | fix | resolved by |\n|---|---|---|---|\n".to_owned();
    for (id, evidence, ..) in cases() {
        let diagnosis = diagnose(&evidence);
        let resolved_by = match diagnosis.resolved_by {
            ResolvedBy::Never => "you",
            ResolvedBy::Propagation => "you; waiting helps only while a change propagates",
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
    fn any_response_of_the_agent_has_a_diagnosis_in_one_line(
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
        agent_response(&[&status.to_be_bytes()[..], known.as_bytes(), text.as_bytes()].concat());
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
        let rest = format!("{code}\nbecause no {text}, expecting '{text}'");
        s3_refusal(&[&status.to_be_bytes()[..], rest.as_bytes()].concat());
    }
}
