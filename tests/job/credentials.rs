//! Tests that credentials come from the default chain and are refreshed.

use std::time::Duration;

use sandbox::{Answer, ErrorAnswer, Fault};

use crate::harness::{World, until};

#[tokio::test]
async fn the_rotated_token_file_is_read_at_each_refresh() {
    let world = World::with_lifetime(Duration::from_secs(5)).await;
    let agent = &world.sandbox.agent;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    let rotated = agent.mint_token(|claims| claims.jti = "rotated".to_owned());
    agent.write_token(&rotated).expect("the token file can be written");
    let before = agent.requests();
    until("a refresh", || agent.requests() > before).await;
    job.wrote("\"uploaded\"", 5).await;
    let done = job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty());
}

#[tokio::test]
async fn uploads_start_when_the_first_credentials_arrive() {
    let world = World::new().await;
    let agent = &world.sandbox.agent;
    agent.set_answer(Answer::Status(500, "unable to fetch credentials from EKS Auth".to_owned()));
    let job = world.job("/random", "--interval 100ms --count 2").without("RUST_LOG").start();
    job.wrote("no credentials yet", 1).await;
    assert_eq!(world.objects().await.len(), 0);
    agent.set_answer(Answer::Normal);
    let done = job.finish().await.expect(0);
    assert!(done.lines[0].contains("no credentials yet"), "{}", done.lines[0]);
    assert!(done.lines[0].contains("agent_service_error"), "{}", done.lines[0]);
    assert_eq!(world.objects().await.len(), 2);
}

#[tokio::test]
async fn a_refresh_that_fails_is_explained_once_for_each_cause() {
    const FAILED: &str = "credentials could not be refreshed; those in use are still valid";
    let world = World::with_lifetime(Duration::from_secs(9)).await;
    let agent = &world.sandbox.agent;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    agent.set_answer(Answer::trust_denied());
    job.wrote(FAILED, 1).await;
    agent.set_answer(Answer::Normal);
    agent.dissociate("demo", "demo");
    job.wrote("\"upload failed\"", 1).await;
    let done = job.terminate().await.expect(143);
    assert!(agent.refusals().len() > 4, "{:?}", agent.refusals());
    let failed = done.events(FAILED);
    let ids: Vec<_> = failed.iter().map(|event| &event["diagnosis"]).collect();
    assert_eq!(ids, ["trust_policy", "no_association"]);
    let upload = &done.events("upload failed")[0];
    for field in ["diagnosis", "cause", "fix"] {
        assert_eq!(failed[1][field], upload[field], "{field}");
    }
}

#[tokio::test]
async fn a_session_token_in_an_s3_error_is_not_logged() {
    // S3 quotes the token in the element Token-0. The harness searches the output for the token.
    let world = World::new().await;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    let quoted = ErrorAnswer::new(400, "ExpiredToken")
        .message("The provided token has expired.")
        .element("Token-0", &world.sandbox.agent.issued()[0].session_token);
    world.sandbox.s3.fail("PutObject", 1, Fault::Error(quoted));
    job.wrote("upload failed", 1).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(done.events("upload failed")[0]["diagnosis"], "credentials_rejected");
}
