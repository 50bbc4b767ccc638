//! Tests that credentials come from the default chain and are refreshed.

use std::time::Duration;

use sandbox::{Answer, ErrorAnswer, Fault};
use serde_json::Value;

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
    job.wrote("agent_service_error", 1).await;
    assert_eq!(world.objects().await.len(), 0);
    agent.set_answer(Answer::Normal);
    let done = job.finish().await.expect(0);
    assert!(done.lines[0].contains("waiting for credentials"), "{}", done.lines[0]);
    assert_eq!(done.events("waiting for credentials").len(), 1);
    assert_eq!(world.objects().await.len(), 2);
}

#[tokio::test]
async fn a_refresh_that_fails_is_explained_once_for_each_cause() {
    const FAILED: &str = "credentials could not be refreshed; those in use are still valid";
    let mut lifetime = Duration::from_secs(6);
    let world = World::with_lifetime(lifetime).await;
    let agent = &world.sandbox.agent;
    let job = world.job("/random", "--interval 100ms").start();
    let count = |text: &str| job.lines().iter().filter(|line| line.contains(text)).count();
    // Both causes must come between two refreshes that succeed. On a busy machine the credentials may
    // expire before that, which an upload shows that fails; then others come, and they last longer.
    loop {
        let uploaded = count("\"uploaded\"");
        job.wrote("\"uploaded\"", uploaded + 1).await;
        let (explained, expired) = (count(FAILED), count("\"upload failed\""));
        let explained_or_expired = async |causes| {
            until("a refresh fails", || {
                count(FAILED) >= explained + causes || count("\"upload failed\"") > expired
            })
            .await;
            // The same cause comes again, and is not explained again.
            let refused = agent.refusals().len();
            until("more refusals", || agent.refusals().len() > refused + 2).await;
            count(FAILED) >= explained + causes
        };
        agent.set_answer(Answer::trust_denied());
        let first = explained_or_expired(1).await;
        agent.dissociate("demo", "demo");
        agent.set_answer(Answer::Normal);
        if first && explained_or_expired(2).await {
            break;
        }
        lifetime *= 2;
        agent.set_lifetime(lifetime);
        agent.associate("demo", "demo");
    }
    let expired = count("\"upload failed\"");
    job.wrote("\"upload failed\"", expired + 1).await;
    let done = job.terminate().await.expect(143);
    let events = done.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut failed = Vec::new();
    for event in events {
        match event["message"].as_str() {
            Some("credentials refreshed") => failed.clear(),
            Some(FAILED) => failed.push(event),
            _ => {}
        }
    }
    let ids: Vec<_> = failed.iter().map(|event| &event["diagnosis"]).collect();
    assert_eq!(ids, ["trust_policy", "no_association"]);
    let uploads = done.events("upload failed");
    let upload = uploads.last().expect("it failed without credentials");
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
