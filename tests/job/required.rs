//! Tests `--require-identity`, which prevents uploads with any other identity, and
//! `--startup-grace`, during which failures do not end the job.

use sandbox::{ErrorAnswer, Fault};

use crate::harness::World;

const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIASHADOWSHADOWKEYS"), ("AWS_SECRET_ACCESS_KEY", "shadow-secret")];

#[tokio::test]
async fn an_identity_other_than_the_required_one_uploads_nothing_and_ends_the_job_with_3() {
    for (required, id) in [
        ("pod-identity", "shadowed_by_static_keys"),
        ("container", "shadowed_by_static_keys"),
        ("irsa", "not_injected"),
        ("profile", "wrong_identity"),
        ("instance", "wrong_identity"),
    ] {
        let world = World::new().await;
        let mut job = world.job("/random", "").env("REQUIRE_IDENTITY", required);
        for (name, value) in KEYS {
            job = job.env(name, value);
        }
        let done = job.finish().await.expect(3);
        let text = done.lines.join("\n");
        assert!(text.contains(&format!("\"diagnosis\":\"{id}\"")), "{required}: {text}");
        assert!(!text.contains("shadow-secret"), "{text}");
        assert!(world.sandbox.images.requests().is_empty(), "{required}: a picture was fetched");
        assert!(world.sandbox.s3.requests().is_empty(), "{required}: a request went to S3");
    }
}

#[tokio::test]
async fn the_job_uploads_with_the_required_identity() {
    for required in ["any", "pod-identity", "container"] {
        let world = World::new().await;
        let arguments = format!("--count 1 --require-identity {required}");
        world.job("/random", &arguments).finish().await.expect(0);
        assert_eq!(world.objects().await.len(), 1);
    }
}

#[tokio::test]
async fn irsa_uploads_and_takes_precedence_over_pod_identity() {
    for both in [false, true] {
        let world = World::new().await;
        let mut job = world.job("/random", "--count 2 --interval 10ms --require-identity irsa");
        job = job.with_irsa();
        if !both {
            job = job.without_pod_identity();
        }
        let done = job.finish().await.expect(0);
        assert!(done.lines.iter().any(|line| line.contains("with credentials from IRSA")));
        assert_eq!(world.objects().await.len(), 2);
        assert_eq!(world.sandbox.agent.requests(), 0);
    }
}

#[tokio::test]
async fn missing_variables_end_the_job_at_once_with_3() {
    let world = World::new().await;
    let done = world
        .job("/random", "--require-identity pod-identity --startup-grace 1h")
        .without_pod_identity()
        .finish()
        .await
        .expect(3);
    let text = done.lines.join("\n");
    assert!(text.contains("not_injected") && text.contains("delete the pod"), "{text}");
}

#[tokio::test]
async fn an_association_still_missing_after_the_startup_grace_ends_the_job_with_4() {
    let world = World::new().await;
    world.sandbox.agent.dissociate("demo", "demo");
    let done = world.job("/random", "--startup-grace 2s").finish().await.expect(4);
    let last = done.events("no usable credentials");
    assert_eq!(last[0]["diagnosis"], "no_association");
    assert!(last[0]["fix"].as_str().is_some_and(|fix| fix.contains("podidentityassociation")));
}

#[tokio::test]
async fn the_job_waits_for_an_agent_that_starts_after_the_pod() {
    let world = World::new().await;
    let agent = &world.sandbox.agent;
    agent.close();
    let job = world.job("/random", "--count 1").start();
    job.wrote("\"diagnosis\":\"agent_starting\"", 1).await;
    agent.open().await.expect("the port is still free");
    job.finish().await.expect(0);
    assert_eq!(world.objects().await.len(), 1);
}

#[tokio::test]
async fn the_job_retries_a_rejected_upload_within_the_startup_grace() {
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket")] {
        let world = World::new().await;
        world.sandbox.s3.fail("PutObject", 2, Fault::Status(status, code));
        // The next tick is an hour away, so only a retry within the grace can succeed.
        let job = world.job("/random", "--count 1 --interval 1h");
        let done = job.finish().await.expect(0);
        assert_eq!(done.events("upload failed").len(), 2);
        assert_eq!(world.objects().await.len(), 1);
    }
}

#[tokio::test]
async fn an_s3_error_that_outlasts_the_startup_grace_ends_the_job_with_4() {
    for (answer, id, cause) in [
        (ErrorAnswer::new(404, "NoSuchBucket"), "no_such_bucket", "no bucket pictures"),
        (
            ErrorAnswer::denied(
                "arn:aws:sts::123456789012:assumed-role/demo/eks-demo",
                "s3:PutObject",
                "arn:aws:s3:::pictures/x.jpg",
                "because no session policy allows the s3:PutObject action",
            ),
            "session_policy",
            "because no session policy allows",
        ),
    ] {
        let world = World::new().await;
        world.sandbox.s3.fail("PutObject", 1000, Fault::Error(answer));
        let done = world.job("/random", "--startup-grace 1s").finish().await.expect(4);
        let last = done.events("upload failed").pop().expect("a line");
        assert_eq!(last["diagnosis"], id, "{last}");
        assert!(last["cause"].as_str().is_some_and(|said| said.contains(cause)), "{last}");
        assert!(last["fix"].is_string());
    }
}

#[tokio::test]
async fn failures_after_the_first_success_never_end_the_job() {
    let world = World::new().await;
    let job = world.job("/random", "--startup-grace 1s --interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    world.sandbox.s3.fail("PutObject", 3, Fault::Status(403, "AccessDenied"));
    job.wrote("upload failed", 3).await;
    job.wrote("\"uploaded\"", 3).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(done.events("upload failed")[0]["diagnosis"], "s3_access_denied");
}

#[tokio::test]
async fn the_startup_grace_for_s3_begins_with_its_first_refusal() {
    let world = World::new().await;
    world.sandbox.images.answer_with("status=404");
    world.sandbox.s3.fail("PutObject", 2, Fault::Status(403, "AccessDenied"));
    let job = world.job("/random", "--count 1 --interval 1ms --startup-grace 2s").start();
    // A second apart, so that the grace is over by then.
    job.wrote("upload failed", 4).await;
    world.sandbox.images.answer_with("");
    let done = job.finish().await.expect(0);
    let denied = done.events("upload failed").into_iter().filter(|line| line["reason"] == "s3");
    assert_eq!(denied.count(), 2);
}
