//! Tests which failures are retried, which are not, and that there is always a pause in between.

use std::time::Duration;

use sandbox::{Answer, Fault, Network, Wire};
use tokio::time::sleep;

use crate::harness::{Finished, World, until};

#[tokio::test]
async fn a_fetch_with_a_transient_failure_is_retried() {
    for target in [
        "/x?status=503&times=2",
        "/x?status=500&times=2",
        "/x?status=429&times=2",
        "/x?status=408&times=2",
        "/x?refuse=2",
        "/x?delay=60s&times=2",
    ] {
        let world = World::new().await;
        // A busy machine may be late itself, but not for so long.
        let timeout = if target.contains("delay") { "3s" } else { "30s" };
        let arguments = format!("--count 1 --read-timeout {timeout}");
        let done = world.job(target, &arguments).finish().await.expect(0);
        assert_eq!(done.events("uploaded")[0]["fetch_attempts"], 3, "{target}");
        assert!(done.events("upload failed").is_empty(), "{target}");
        assert_eq!(world.objects().await.len(), 1, "{target}");
    }
}

/// The events that tell of a retry.
fn retries(done: &Finished, message: &str, host: &str) -> Vec<String> {
    let warnings = done.events(message).into_iter().filter(|event| event["level"] == "WARN");
    warnings
        .map(|event| {
            assert_eq!(event["host"], host, "{event}");
            event["error"].as_str().expect("why").to_owned()
        })
        .collect()
}

#[tokio::test]
async fn the_first_retry_of_a_picture_is_one_warning_with_the_host() {
    for (target, why) in [
        ("/x?status=503&times=3", "the image host answered 503 Service Unavailable"),
        ("/x?refuse=3", "no answer from the image host: "),
    ] {
        let world = World::new().await;
        let done = world.job(target, "--count 1").finish().await.expect(0);
        let host = world.sandbox.images.address().to_string();
        let warnings = retries(&done, "asking the image host again", &host);
        assert_eq!(warnings.len(), 1, "{target}: {warnings:?}");
        assert!(warnings[0].starts_with(why), "{target}: {warnings:?}");
    }
}

#[tokio::test]
async fn the_first_retry_of_an_upload_is_one_warning_with_the_host() {
    for (fault, why) in [
        (Fault::Status(503, "SlowDown"), "HTTP status 503"),
        (Fault::ResetAfter(1000), "closed the connection before its response was complete"),
    ] {
        let world = World::new().await;
        world.sandbox.s3.fail("PutObject", 3, fault);
        let done = world.job("/x?size=300KB", "--count 1").finish().await.expect(0);
        let host = world.sandbox.s3.address().to_string();
        let warnings = retries(&done, "asking S3 again", &host);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(why), "{warnings:?}");
    }
}

#[tokio::test]
async fn an_agent_that_does_not_answer_is_one_warning_long_before_it_is_given_up() {
    let world = World::new().await;
    let agent = &world.sandbox.agent;
    agent.set_answer(Answer::Hang);
    let job = world.job("/random", "--interval 1h").start();
    job.wrote("asking for credentials again", 1).await;
    agent.set_answer(Answer::Normal);
    job.wrote("\"uploaded\"", 1).await;
    let done = job.terminate().await.expect(143);
    let first: serde_json::Value = serde_json::from_str(&done.lines[0]).expect("JSON");
    assert_eq!(first["message"], "waiting for credentials");
    assert_eq!(done.events("waiting for credentials").len(), 1);
    let host = agent.address().to_string();
    let warnings = retries(&done, "asking for credentials again", &host);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("no response from"), "{warnings:?}");
}

#[tokio::test]
async fn retry_after_is_respected() {
    let world = World::new().await;
    world.job("/x?status=429&times=1&retry_after=2", "--count 1").finish().await.expect(0);
    let arrivals = world.sandbox.images.arrivals();
    assert_eq!(arrivals.len(), 2);
    assert!(arrivals[1].at - arrivals[0].at >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_retry_after_beyond_the_fetch_timeout_fails_the_picture_at_once() {
    // A number of seconds, the largest 64-bit number, and a date.
    for after in ["3600", "18446744073709551615", "Fri,%2031%20Dec%209999%2023:59:59%20GMT"] {
        let world = World::new().await;
        let target = format!("/x?status=503&retry_after={}", after.replace(',', "%2C"));
        let done = world.job(&target, "").until_failed().await;
        assert_eq!(done.events("upload failed")[0]["reason"], "status");
        assert_eq!(world.sandbox.images.requests().len(), 1, "{after}");
    }
}

#[tokio::test]
async fn an_attempt_that_the_fetch_timeout_cuts_short_does_not_hide_the_failure_before_it() {
    let world = World::new().await;
    // The first request gets no answer, and the second one waits for longer than is left.
    let job = world
        .job("/x?refuse=1&delay=60s", "--fetch-timeout 3s --read-timeout 20s --interval 1h")
        .start();
    let failed = job.event("upload failed").await;
    assert_eq!(failed["reason"], "connect", "{failed}");
    assert_eq!(world.sandbox.images.requests().len(), 2);
    job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_failed_picture_is_logged_and_the_next_tick_comes_on_time() {
    let world = World::new().await;
    let done =
        world.job("/x?status=404&times=2", "--count 2 --interval 1s").finish().await.expect(0);
    assert_eq!(done.events("upload failed").len(), 2);
    let arrivals = world.sandbox.images.arrivals();
    for pair in arrivals.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(600), "{arrivals:?}");
    }
}

#[tokio::test]
async fn there_is_a_pause_after_a_failure_even_without_an_interval() {
    let world = World::new().await;
    let job = world.job("/x?status=404", "--interval 0s").start();
    job.wrote("upload failed", 3).await;
    job.terminate().await.expect(143);
    for pair in world.sandbox.images.arrivals().windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(900));
    }
}

/// Checks that the picture is uploaded, and fetched only once, although the first request for
/// `operation` fails.
async fn recovers(target: &str, operation: &str, fault: Fault) {
    let world = World::new().await;
    world.sandbox.s3.fail(operation, 1, fault.clone());
    let done = world.job(target, "--count 1").finish().await.expect(0);
    assert!(done.events("upload failed").is_empty(), "{operation} {fault:?}");
    assert_eq!(done.events("uploaded")[0]["upload_attempts"], 2, "{operation} {fault:?}");
    let (objects, served) = (world.objects().await, world.sandbox.images.served());
    assert_eq!(world.sandbox.images.requests().len(), 1, "the picture was fetched again");
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].crc32().expect("readable"), served[0].crc32, "{operation} {fault:?}");
}

#[tokio::test]
async fn an_upload_that_fails_half_way_is_retried_with_the_same_bytes() {
    for fault in [
        Fault::ResetAfter(100_000),
        Fault::StatusAfter(100_000, 503, "SlowDown"),
        Fault::Status(500, "InternalError"),
    ] {
        recovers("/x?size=300KB", "PutObject", fault.clone()).await;
        recovers("/x?size=300KB&framing=chunked", "PutObject", fault.clone()).await;
        recovers("/x?size=12MiB", "UploadPart", fault).await;
    }
}

#[tokio::test]
async fn an_upload_that_fails_while_the_picture_arrives_is_retried_with_the_same_bytes() {
    recovers("/x?size=200KB&drip=16KiB%2C20", "PutObject", Fault::ResetAfter(50_000)).await;
}

/// A job whose only picture has arrived in part when S3 has taken no bytes for longer than the fetch
/// timeout. After that, S3 is like `network`.
async fn stalled(network: Network) -> Finished {
    let world = World::new().await;
    let wire = Wire::start(world.sandbox.s3.address()).await.expect("a port");
    wire.set(Network::Deaf).await.expect("a port");
    let fetch_timeout = Duration::from_secs(5);
    let job = world
        .job("/x?size=7MiB", "--fetch-timeout 5s --interval 1h")
        .env("AWS_ENDPOINT_URL_S3", format!("http://{}", wire.address()))
        .start();
    until("the picture is fetched", || !world.sandbox.images.requests().is_empty()).await;
    sleep(fetch_timeout + Duration::from_secs(1)).await;
    wire.set(network).await.expect("the port is free");
    tokio::select! {
        _ = job.event("uploaded") => {}
        _ = job.event("upload failed") => {}
    }
    job.terminate().await.expect(143)
}

#[tokio::test]
async fn an_s3_that_stalls_beyond_the_fetch_timeout_does_not_make_the_image_host_slow() {
    let done = stalled(Network::Good).await;
    assert_eq!(done.events("uploaded").len(), 1, "the picture was there to be read");

    let done = stalled(Network::Refuse).await;
    let failed = &done.events("upload failed")[0];
    assert_eq!(failed["reason"], "s3", "{failed}");
    assert_eq!(failed["diagnosis"], "endpoint_unreachable", "{failed}");
}

#[tokio::test]
async fn a_denied_upload_is_not_retried() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", 1, Fault::Status(403, "AccessDenied"));
    let done = world.job("/random", "").until_failed().await;
    let events = done.events("upload failed");
    assert_eq!(events[0]["reason"], "s3");
    assert!(events[0]["error"].as_str().is_some_and(|error| error.contains("AccessDenied")));
    assert_eq!(world.s3_requests("PutObject"), 1);
    assert_eq!(world.objects().await.len(), 0);
}
