//! Credentials that stay fresh whatever the agent does.

use std::time::Duration;

use sandbox::Answer;

use crate::harness::{World, until};

#[tokio::test]
async fn a_hundred_rotations_under_load_cost_no_upload() {
    // Told in whole seconds, as AWS does: a second each, far below anything real.
    let world = World::with_lifetime(Duration::from_millis(600)).await;
    let agent = &world.sandbox.agent;
    let words = "--interval 20ms --concurrency 4";
    let job = world.job("/picture?kind=gif&width=8&height=8", words).start();
    for rotations in [25, 50, 75, 100] {
        until((rotations, "rotations"), || agent.requests() >= rotations).await;
    }
    let done = job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty(), "{:?}", done.events("upload failed"));
    assert!(done.events("uploaded").len() > 100);
}

#[tokio::test]
async fn an_outage_shorter_than_what_is_left_costs_nothing() {
    // So long that a refresh, which the SDK tries three times itself, fails before they end.
    let world = World::with_lifetime(Duration::from_secs(20)).await;
    let agent = &world.sandbox.agent;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    agent.set_answer(Answer::Status(500, "down".to_owned()));
    job.wrote("those in use are still valid", 1).await;
    agent.set_answer(Answer::Normal);
    let before = agent.issued().len();
    until("a refresh that works", || agent.issued().len() > before).await;
    let done = job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty(), "{:?}", done.events("upload failed"));
}

#[tokio::test]
async fn a_longer_outage_costs_uploads_only_until_the_agent_is_back() {
    let world = World::with_lifetime(Duration::from_secs(2)).await;
    let agent = &world.sandbox.agent;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    agent.set_answer(Answer::Status(500, "down".to_owned()));
    job.wrote("upload failed", 1).await;
    agent.set_answer(Answer::Normal);
    let before = world.objects().await.len();
    until("uploads again", || world.sandbox.s3.objects().len() > before + 3).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(done.events("upload failed")[0]["diagnosis"], "agent_service_error");
}

#[tokio::test]
async fn a_slow_agent_costs_nothing_in_steady_state() {
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
async fn one_refresh_at_a_time_whatever_the_concurrency() {
    let world = World::new().await;
    world.sandbox.agent.set_answer(Answer::Delay(Duration::from_millis(500)));
    world.job("/random", "--count 32 --interval 0s --concurrency 16").finish().await.expect(0);
    assert_eq!(world.sandbox.agent.requests(), 1);
}

#[tokio::test]
async fn credentials_that_s3_calls_expired_are_replaced() {
    let world = World::new().await;
    let job = world.job("/random", "--interval 100ms").start();
    job.wrote("\"uploaded\"", 1).await;
    world.sandbox.credentials.expire_all();
    job.wrote("credentials_rejected", 1).await;
    let before = world.sandbox.s3.objects().len();
    until("uploads again", || world.sandbox.s3.objects().len() > before + 3).await;
    job.terminate().await.expect(143);
    assert_eq!(world.sandbox.agent.requests(), 2);
}
