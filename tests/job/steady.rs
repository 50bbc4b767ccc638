//! Tests that uploads continue while credentials rotate and while the agent is slow or fails.

use std::time::Duration;

use sandbox::Answer;

use crate::harness::{World, until};

#[tokio::test]
async fn no_upload_fails_during_a_hundred_credential_rotations() {
    // The agent rounds expiration times up to whole seconds, so that each set of credentials lasts
    // about a second, far less than real ones.
    let world = World::with_lifetime(Duration::from_millis(600)).await;
    let agent = &world.sandbox.agent;
    let arguments = "--interval 20ms --concurrency 4";
    let job = world.job("/picture?kind=gif&width=8&height=8", arguments).start();
    for rotations in [25, 50, 75, 100] {
        until(format!("{rotations} rotations"), || agent.requests() >= rotations).await;
    }
    let done = job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty(), "{:?}", done.events("upload failed"));
    assert!(done.events("uploaded").len() > 100);
}

#[tokio::test]
async fn an_outage_of_the_agent_fails_no_upload_while_the_credentials_are_valid() {
    // Long enough for a refresh, which the SDK attempts three times, to fail before they expire.
    let world = World::with_lifetime(Duration::from_secs(20)).await;
    let agent = &world.sandbox.agent;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    agent.set_answer(Answer::Status(500, "[]".to_owned()));
    job.wrote("those in use are still valid", 1).await;
    agent.set_answer(Answer::Normal);
    let before = agent.issued().len();
    until("a successful refresh", || agent.issued().len() > before).await;
    let done = job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty(), "{:?}", done.events("upload failed"));
}

#[tokio::test]
async fn a_slow_agent_delays_no_upload_while_the_credentials_are_valid() {
    let world = World::with_lifetime(Duration::from_secs(20)).await;
    let agent = &world.sandbox.agent;
    let job = world.job("/random", "--interval 200ms").start();
    job.wrote("\"uploaded\"", 1).await;
    agent.set_answer(Answer::Delay(Duration::from_secs(4)));
    let before = agent.issued().len();
    until("a slow refresh", || agent.issued().len() > before).await;
    let done = job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty());
    // No upload waited for the agent.
    for event in done.events("uploaded") {
        assert!(event["upload_ms"].as_u64().is_some_and(|time| time < 3000), "{event}");
    }
}

#[tokio::test]
async fn concurrent_uploads_share_one_request_for_credentials() {
    let world = World::new().await;
    world.sandbox.agent.set_answer(Answer::Delay(Duration::from_millis(500)));
    world.job("/random", "--count 32 --interval 0s --concurrency 16").finish().await.expect(0);
    assert_eq!(world.sandbox.agent.requests(), 1);
}

#[tokio::test]
async fn credentials_that_s3_rejects_as_expired_are_replaced() {
    let world = World::new().await;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    world.sandbox.credentials.expire_all();
    job.wrote("credentials_rejected", 1).await;
    let before = world.sandbox.s3.objects().len();
    until("uploads resume", || world.sandbox.s3.objects().len() > before + 3).await;
    job.terminate().await.expect(143);
    assert_eq!(world.sandbox.agent.requests(), 2);
}
