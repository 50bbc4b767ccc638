//! Tests the report, the verdict and the exit code of `pod-identity-demo identity`.

use sandbox::{Answer, Fault};
use serde_json::Value;

use crate::harness::{Finished, Job, World};

/// Runs the program, which must end with this exit code, and returns its report.
pub async fn report(job: Job<'_>, code: i32) -> Value {
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
        .without_pod_identity();
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
    job = job.with_irsa();
    let report = report(job, 3).await;
    assert_eq!(link(&report, "irsa")["state"], "answered", "{report:#}");
    assert_eq!(link(&report, "pod-identity")["state"], "would_answer");
    assert_eq!(report["verdict"]["diagnosis"]["id"], "shadowed_by_irsa");
}

#[tokio::test]
async fn irsa_satisfies_require_identity_irsa() {
    let world = World::new().await;
    let mut job =
        world.job("/random", "identity --json --require-identity irsa").without_pod_identity();
    job = job.with_irsa();
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

#[tokio::test]
async fn a_role_other_than_the_expected_one_ends_the_report_with_3() {
    let world = World::new().await;
    let arn = "arn:aws:iam::123456789012:role/service/demo";
    for (expected, code, id) in [
        ("demo", 0, ""),
        (arn, 0, ""),
        ("other", 3, "stale_role"),
        ("arn:aws:iam::123456789012:role/other", 3, "stale_role"),
        ("arn:aws:iam::999999999999:role/demo", 3, "wrong_account"),
        ("arn:aws:iam::999999999999:role/service/demo", 3, "wrong_account"),
        ("arn:aws-cn:iam::123456789012:role/demo", 3, "wrong_account"),
        ("arn:aws-us-gov:iam::123456789012:role/demo", 3, "wrong_account"),
    ] {
        let arguments = format!("identity --json --expect-role {expected}");
        let report = report(world.job("/random", &arguments), code).await;
        assert_eq!(report["principal"]["role"], "demo", "{report:#}");
        assert_eq!(report["verdict"]["ok"], code == 0);
        if code != 0 {
            assert_eq!(report["verdict"]["diagnosis"]["id"], id, "{expected}: {report:#}");
            assert_eq!(report["verdict"]["diagnosis"]["resolved_by"], "never");
        }
    }
    for (expected, why) in [
        ("arn:aws:iam::1:user/me", "not the ARN of a role"),
        ("arn:aws:iam::1:role/me", "12 digits"),
        ("arn:amazon:iam::123456789012:role/me", "none of aws, aws-cn"),
        ("arn:aws:sts::123456789012:assumed-role/demo/pod", "arn:aws:iam::123456789012:role/demo"),
    ] {
        let done = world.job("/random", &format!("identity --expect-role {expected}"));
        let done = done.finish().await.expect(2);
        let [line] = &done.lines[..] else { panic!("{:?}", done.lines) };
        assert!(line.starts_with("error: --expect-role: ") && line.contains(why), "{line}");
    }
}
