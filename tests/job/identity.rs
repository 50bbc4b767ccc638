//! Tests the report, the verdict and the exit code of `pod-identity-demo identity`.

use std::os::unix::fs::PermissionsExt;

use sandbox::{Answer, Fault};
use serde_json::Value;

use crate::harness::{Finished, Job, World};

/// Runs the program, which must end with this exit code, and returns its report.
async fn report(job: Job<'_>, code: i32) -> Value {
    json(&job.finish().await.expect(code))
}

fn json(done: &Finished) -> Value {
    serde_json::from_str(&done.lines.join("\n")).unwrap_or_else(|why| panic!("{why}: {done:?}"))
}

/// The entry of this provider in the report's provider chain.
fn link<'r>(report: &'r Value, provider: &str) -> &'r Value {
    let chain = report["chain"].as_array().expect("an array");
    chain.iter().find(|link| link["provider"] == provider).expect(provider)
}

#[tokio::test]
async fn the_report_of_a_pod_with_pod_identity_is_complete() {
    let world = World::new().await;
    let arguments = "identity --json --require-identity pod-identity --probe";
    let report = report(world.job("/random", arguments), 0).await;

    let variables = report["injected"]["variables"].to_string();
    assert!(variables.contains(&world.sandbox.agent.uri()), "{variables}");
    let claims = &report["injected"]["pod_identity_token"]["claims"];
    assert_eq!(claims["audience"][0], "pods.eks.amazonaws.com");
    assert!(claims["issuer"].as_str().is_some_and(|issuer| issuer.starts_with("https://")));
    assert_eq!(claims["kubernetes.io"]["namespace"], "demo");
    assert!(claims["kubernetes.io"]["pod"]["name"].is_string());

    let order = report["chain"].as_array().expect("an array").iter();
    let order: Vec<_> = order.map(|link| link["provider"].as_str().expect("a name")).collect();
    assert_eq!(order, ["environment", "profile", "irsa", "pod-identity", "instance"]);
    assert_eq!(link(&report, "pod-identity")["state"], "answered");
    assert_eq!(link(&report, "environment")["state"], "not_configured");

    let principal = &report["principal"];
    assert_eq!(principal["provider"], "pod-identity");
    assert!(principal["arn"].as_str().is_some_and(|arn| arn.contains(":assumed-role/")));
    assert!(principal["role"].is_string() && principal["session"].is_string(), "{principal}");
    assert_eq!(principal["access_key_ending"].as_str().map(str::len), Some(4));
    assert!(principal["expires_in_seconds"].as_u64().is_some_and(|left| left > 3600));

    assert_eq!(report["access"]["allowed"], true);
    let objects = world.objects().await;
    assert_eq!(report["access"]["key"], objects[0].key);
    assert_eq!(report["verdict"]["ok"], true);
    assert_eq!(report["verdict"]["required"], "pod-identity");
}

#[tokio::test]
async fn without_json_the_report_is_text_in_four_sections() {
    let world = World::new().await;
    let done = world.job("/random", "identity").finish().await.expect(0);
    let heads = ["Injected", "Chain", "Principal", "Verdict"];
    let lines = done.lines.iter().filter(|line| heads.contains(&line.as_str()));
    assert_eq!(lines.collect::<Vec<_>>(), heads);
    let text = done.lines.join("\n");
    assert!(text.contains("decoded, not verified") && text.contains("ok: "), "{text}");
    let key = &world.sandbox.agent.issued()[0].access_key_id;
    assert!(!text.contains(key), "the access key ID is not masked");
}

#[tokio::test]
async fn missing_variables_end_the_report_with_3_and_a_fix() {
    let world = World::new().await;
    let job = world
        .job("/random", "identity --json --require-identity pod-identity")
        .without("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .without("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let report = report(job, 3).await;
    assert_eq!(report["verdict"]["ok"], false);
    assert_eq!(report["verdict"]["diagnosis"]["id"], "not_injected");
    assert_eq!(report["principal"], Value::Null);
    assert!(
        report["verdict"]["diagnosis"]["fix"].as_str().is_some_and(|fix| fix.contains("delete"))
    );
}

#[tokio::test]
async fn static_keys_that_shadow_pod_identity_are_reported_and_rejected() {
    let world = World::new().await;
    let job = world
        .job("/random", "identity --json --require-identity pod-identity")
        .env("AWS_ACCESS_KEY_ID", "AKIASHADOWSHADOWKEYS")
        .env("AWS_SECRET_ACCESS_KEY", "shadow-secret");
    let done = job.finish().await.expect(3);
    let text = done.lines.join("\n");
    assert!(!text.contains("shadow-secret") && !text.contains("AKIASHADOW"), "{text}");
    let report = json(&done);
    assert_eq!(link(&report, "environment")["state"], "answered");
    assert_eq!(link(&report, "pod-identity")["state"], "would_answer");
    assert!(report["notes"][0].as_str().is_some_and(|note| note.contains("shadows Pod Identity")));
    assert_eq!(report["verdict"]["diagnosis"]["id"], "shadowed_by_static_keys");
}

#[tokio::test]
async fn irsa_that_shadows_pod_identity_is_reported_and_rejected() {
    let world = World::new().await;
    let mut job = world.job("/random", "identity --json --require-identity pod-identity");
    for (name, value) in world.sandbox.sts.env() {
        job = job.env(&name, value);
    }
    let report = report(job, 3).await;
    assert_eq!(link(&report, "irsa")["state"], "answered", "{report:#}");
    assert_eq!(link(&report, "pod-identity")["state"], "would_answer");
    assert_eq!(report["verdict"]["diagnosis"]["id"], "shadowed_by_irsa");
}

#[tokio::test]
async fn irsa_satisfies_require_identity_irsa() {
    let world = World::new().await;
    let mut job = world
        .job("/random", "identity --json --require-identity irsa")
        .without("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        .without("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    for (name, value) in world.sandbox.sts.env() {
        job = job.env(&name, value);
    }
    let report = report(job, 0).await;
    let audience = &report["injected"]["irsa_token"]["claims"]["audience"];
    assert_eq!(audience[0], "sts.amazonaws.com");
    assert!(report["principal"]["arn"].as_str().is_some_and(|arn| arn.contains("assumed-role")));
}

#[tokio::test]
async fn an_error_of_sts_is_reported_but_not_fatal() {
    let world = World::new().await;
    world.sandbox.sts.set_answer(Answer::Status(400, "no".to_owned()));
    let report = report(world.job("/random", "identity --json"), 0).await;
    assert!(report["principal"]["sts_error"].is_string(), "{report:#}");
    assert!(report["principal"]["account"].is_string());
    assert_eq!(report["verdict"]["ok"], true);
}

#[tokio::test]
async fn a_denied_probe_names_the_action_that_is_not_allowed() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", 9, Fault::Status(403, "AccessDenied"));
    let report = report(world.job("/random", "identity --json --probe"), 0).await;
    assert_eq!(report["access"]["allowed"], false);
    let diagnosis = &report["access"]["diagnosis"];
    assert_eq!(diagnosis["id"], "s3_access_denied");
    assert!(diagnosis["cause"].as_str().is_some_and(|cause| cause.contains("s3:PutObject")));
}

#[tokio::test]
async fn a_missing_region_is_noted_and_prevents_only_the_probe() {
    let world = World::new().await;
    let job =
        world.job("/random", "identity --json").without("AWS_REGION").without("AWS_DEFAULT_REGION");
    let report = report(job, 0).await;
    assert_eq!(link(&report, "pod-identity")["state"], "answered");
    assert!(report["notes"][0].as_str().is_some_and(|note| note.contains("AWS_REGION")));
    let job = world.job("/random", "identity --probe").without("AWS_REGION");
    job.without("AWS_DEFAULT_REGION").finish().await.expect(2);
}

/// The diagnosis in the verdict after `change` has introduced a fault into the world.
async fn diagnosis_after(change: impl FnOnce(&World)) -> Value {
    let world = World::new().await;
    change(&world);
    let report = report(world.job("/random", "identity --json"), 3).await;
    report["verdict"]["diagnosis"].clone()
}

/// A change after which the agent answers with this status and text.
fn answer(status: u16, text: &str) -> impl FnOnce(&World) {
    let text = text.to_owned();
    move |world| world.sandbox.agent.set_answer(Answer::Status(status, text))
}

#[tokio::test]
async fn each_error_text_of_the_agent_leads_to_its_diagnosis() {
    let exception = |code: &str| format!("[0f-1]: ({code}): Some text., fault: client");
    let denied = |text: &str| format!("[0f-1]: (AccessDeniedException): {text}, fault: client");
    for (status, text, id) in [
        (404, exception("ResourceNotFoundException"), "no_association"),
        (400, denied("Something else."), "unknown"),
        (400, exception("ExpiredTokenException"), "token_rejected"),
        (400, exception("InvalidTokenException"), "token_rejected"),
        (429, exception("ThrottlingException"), "agent_throttled"),
        (500, exception("InternalServerException"), "agent_service_error"),
        (500, "unable to fetch credentials from EKS Auth".to_owned(), "agent_service_error"),
        (400, "Service account token cannot be empty".to_owned(), "agent_refuses_token"),
        (
            403,
            "Access Denied. Called agent through invalid address".to_owned(),
            "agent_refuses_address",
        ),
    ] {
        let diagnosis = diagnosis_after(answer(status, &text)).await;
        assert_eq!(diagnosis["id"], id, "{status} {text}: {diagnosis}");
    }
}

#[tokio::test]
async fn the_rate_limiter_and_each_denied_role_lead_to_their_diagnoses() {
    let role = |name: &str| format!("arn:aws:sts::123456789012:assumed-role/{name}/eks-demo");
    let (near, far) =
        ("arn:aws:iam::123456789012:role/second", "arn:aws:iam::210987654321:role/second");
    let denied = |action: &str, target: &str, reason: Option<&str>| {
        Answer::target_role_denied(&role("first"), action, target, reason)
    };
    let boundary = Some("because no permissions boundary allows the sts:AssumeRole action");
    let trust = Some("because no role trust policy allows the sts:TagSession action");
    for (answer, id, cause) in [
        (Answer::Busy, "agent_busy", "rate limiter"),
        (Answer::trust_denied(), "trust_policy", "service account demo"),
        (Answer::node_role_denied(&role("node")), "node_role_not_allowed", "assumed-role/node/"),
        (denied("sts:AssumeRole", near, boundary), "target_role_permission", near),
        (denied("sts:TagSession", near, trust), "target_role_trust", near),
        (denied("sts:AssumeRole", near, None), "target_role_trust", near),
        (denied("sts:TagSession", far, None), "target_role", far),
    ] {
        let diagnosis = diagnosis_after(|world| world.sandbox.agent.set_answer(answer)).await;
        assert_eq!(diagnosis["id"], id, "{diagnosis}");
        assert!(
            diagnosis["cause"].as_str().is_some_and(|said| said.contains(cause)),
            "{diagnosis}"
        );
    }
}

#[tokio::test]
async fn an_eks_auth_that_does_not_answer_is_told_as_such() {
    let diagnosis = diagnosis_after(|world| world.sandbox.agent.eks_auth().close()).await;
    assert_eq!(diagnosis["id"], "agent_service_error", "{diagnosis}");
    let cause = diagnosis["cause"].as_str().expect("a text");
    assert!(cause.contains("answered 500: it gets no answer from EKS Auth"), "{cause}");
}

#[tokio::test]
async fn the_diagnosis_of_a_deleted_association_names_namespace_and_service_account() {
    let diagnosis = diagnosis_after(|world| world.sandbox.agent.dissociate("demo", "demo")).await;
    assert_eq!(diagnosis["id"], "no_association", "{diagnosis}");
    let cause = diagnosis["cause"].as_str().expect("a text");
    assert!(cause.contains("namespace demo, service account demo"), "{cause}");
}

#[tokio::test]
async fn each_fault_of_the_token_file_has_a_diagnosis_of_its_own() {
    let file = |world: &World| world.sandbox.agent.token_file();
    let diagnosis =
        diagnosis_after(|world| std::fs::remove_file(file(world)).expect("removed")).await;
    assert_eq!(diagnosis["id"], "token_missing");
    let diagnosis =
        diagnosis_after(|world| std::fs::write(file(world), "").expect("written")).await;
    assert_eq!(diagnosis["id"], "token_empty");
    let diagnosis =
        diagnosis_after(|world| std::fs::write(file(world), "no.jwt").expect("written")).await;
    assert_eq!(diagnosis["id"], "token_malformed");
    let mint = |world: &World, change: fn(&mut sandbox::Claims)| {
        let agent = &world.sandbox.agent;
        agent.write_token(&agent.mint_token(change)).expect("written");
    };
    let expired = diagnosis_after(|world| mint(world, |claims| claims.exp = claims.iat - 60)).await;
    assert_eq!(expired["id"], "token_expired");
    let other = diagnosis_after(|world| {
        mint(world, |claims| claims.aud = vec!["sts.amazonaws.com".to_owned()]);
    })
    .await;
    assert_eq!(other["id"], "token_wrong_audience");
}

#[tokio::test]
async fn the_fix_for_an_unreadable_token_file_mentions_fs_group() {
    let world = World::new().await;
    let mut job = world.job("/random", "identity --json");
    if rustix::process::geteuid().is_root() {
        // Root can read every file, so the program runs as nobody, who cannot read root's file.
        job = job.run_by(65534);
    } else {
        let none = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(world.sandbox.agent.token_file(), none).expect("set");
    }
    let report = report(job, 3).await;
    let diagnosis = &report["verdict"]["diagnosis"];
    assert_eq!(diagnosis["id"], "token_unreadable", "{report:#}");
    assert!(diagnosis["fix"].as_str().is_some_and(|fix| fix.contains("fsGroup")));
}

#[tokio::test]
async fn a_missing_a_silent_and_a_disconnecting_agent_have_diagnoses_of_their_own() {
    let world = World::new().await;
    let job = world
        .job("/random", "identity --json")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/v1/credentials");
    let gone = report(job, 3).await;
    assert_eq!(gone["verdict"]["diagnosis"]["id"], "agent_not_running");
    let silent = diagnosis_after(|world| world.sandbox.agent.set_answer(Answer::Hang)).await;
    assert_eq!(silent["id"], "agent_timeout");
    let disconnected =
        diagnosis_after(|world| world.sandbox.agent.set_answer(Answer::CloseConnection)).await;
    assert_eq!(disconnected["id"], "agent_unreachable");
}

#[tokio::test]
async fn a_proxy_that_covers_the_agent_is_diagnosed() {
    let world = World::new().await;
    let job = world.job("/random", "identity --json").env("HTTP_PROXY", "http://127.0.0.1:1");
    let report = report(job, 3).await;
    assert_eq!(report["verdict"]["diagnosis"]["id"], "proxy", "{report:#}");
}

#[tokio::test]
async fn a_role_other_than_the_expected_one_ends_the_report_with_3() {
    let world = World::new().await;
    let arn = "arn:aws:iam::123456789012:role/service/demo";
    for (expected, code) in [("demo", 0), (arn, 0), ("other", 3)] {
        let arguments = format!("identity --json --expect-role {expected}");
        let report = report(world.job("/random", &arguments), code).await;
        assert_eq!(report["principal"]["role"], "demo", "{report:#}");
        assert_eq!(report["verdict"]["ok"], code == 0);
        if code != 0 {
            assert_eq!(report["verdict"]["diagnosis"]["id"], "stale_role");
            assert_eq!(report["verdict"]["diagnosis"]["resolved_by"], "never");
        }
    }
    let done = world.job("/random", "identity --expect-role arn:aws:iam::1:user/me").finish().await;
    let done = done.expect(2);
    assert!(done.lines[0].starts_with("error: --expect-role: "), "{:?}", done.lines);
}

#[tokio::test]
async fn a_container_that_the_annotation_skips_is_diagnosed() {
    let world = World::new().await;
    let skipped = |names: &str| {
        world
            .job("/random", "identity --json --require-identity pod-identity")
            .without("AWS_CONTAINER_CREDENTIALS_FULL_URI")
            .without("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
            .env("SKIP_CONTAINERS", names)
    };
    for (names, id) in [
        ("proxy, pod-identity-demo", "container_skipped"),
        ("proxy", "not_injected"),
        ("", "not_injected"),
    ] {
        let report = report(skipped(names), 3).await;
        assert_eq!(report["verdict"]["diagnosis"]["id"], id, "{names:?}");
    }
}
