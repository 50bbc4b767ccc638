//! Tests which faults `pod-identity-demo identity` diagnoses, and how.

use std::os::unix::fs::PermissionsExt;

use sandbox::Answer;
use serde_json::Value;

use crate::harness::World;
use crate::identity::report;

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
        (403, exception("InvalidSignatureException"), "node_credentials_rejected"),
        (403, "Forbidden".to_owned(), "not_the_agent"),
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
    assert_eq!(silent["id"], "agent_slow", "it accepts connections: {silent}");
    let disconnected =
        diagnosis_after(|world| world.sandbox.agent.set_answer(Answer::CloseConnection)).await;
    assert_eq!(disconnected["id"], "agent_unreachable");
}

#[tokio::test]
async fn the_agent_is_never_asked_through_a_proxy_and_the_report_says_that_other_sdks_would() {
    let world = World::new().await;
    let job = world.job("/random", "identity --json").env("HTTP_PROXY", "http://127.0.0.1:1");
    let job = job.env("NO_PROXY", world.sandbox.sts.endpoint().replace("http://", ""));
    let report = report(job, 0).await;
    let note = report["notes"].to_string();
    assert!(note.contains("127.0.0.1:1") && note.contains("NO_PROXY"), "{report:#}");
}

#[tokio::test]
async fn the_agent_is_asked_once_for_a_report() {
    let world = World::new().await;
    report(world.job("/random", "identity --json"), 0).await;
    assert_eq!(world.sandbox.agent.requests(), 1);
    let failing = World::new().await;
    failing.sandbox.agent.set_answer(Answer::trust_denied());
    report(failing.job("/random", "identity --json"), 3).await;
    assert_eq!(failing.sandbox.agent.refusals().len(), 1, "{:?}", failing.sandbox.agent.refusals());
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

#[tokio::test]
async fn the_token_is_not_sent_to_hosts_to_which_the_sdk_sends_none() {
    let world = World::new().await;
    let recorder = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = recorder.local_addr().expect("an address").port();
    // An address of this machine that is neither loopback nor the agent's.
    let job = world
        .job("/random", "identity --json")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://0.0.0.0:{port}/v1/credentials"));
    let report = report(job, 3).await;
    assert_eq!(report["verdict"]["diagnosis"]["id"], "agent_uri", "{report:#}");
    let connection = tokio::time::timeout(std::time::Duration::ZERO, recorder.accept()).await;
    assert!(connection.is_err(), "the program connected: {connection:?}");
}
