//! Tests that only complete pictures become objects. Each test covers one kind of invalid response.

use crate::harness::World;

/// Checks that the picture from `target` is requested once and rejected for `reason`, and leaves
/// nothing in S3.
async fn rejected(target: &str, arguments: &str, reason: &str) {
    let world = World::new().await;
    let job = world.job(target, arguments).start();
    job.wrote("upload failed", 1).await;
    let done = job.terminate().await.expect(143);
    let events = done.events("upload failed");
    assert_eq!(events[0]["reason"], reason, "{target}: {}", events[0]);
    assert_eq!(events[0]["level"], "WARN");
    assert!(done.events("uploaded").is_empty(), "{target}");
    assert_eq!(world.objects().await.len(), 0, "{target}");
    assert_eq!(world.sandbox.images.requests().len(), 1, "{target} was not requested exactly once");
}

#[tokio::test]
async fn a_response_with_a_status_other_than_2xx_never_becomes_an_object() {
    for status in [400, 401, 403, 404, 410, 304] {
        rejected(&format!("/x?status={status}"), "", "status").await;
    }
}

#[tokio::test]
async fn an_empty_response_never_becomes_an_object() {
    rejected("/x?body=empty", "", "empty").await;
    rejected("/x?body=empty&framing=chunked", "", "empty").await;
}

#[tokio::test]
async fn a_response_that_only_claims_to_be_an_image_never_becomes_an_object() {
    rejected("/x?body=html&type=image/jpeg", "", "not_an_image").await;
    rejected("/x?body=text&type=image/png", "", "not_an_image").await;
}

#[tokio::test]
async fn a_picture_over_the_size_limit_never_becomes_an_object() {
    rejected("/x?size=2MiB", "--max-image-size 1MiB", "too_large").await;
    rejected("/x?size=2MiB&framing=chunked", "--max-image-size 1MiB", "too_large").await;
    rejected("/x?size=30MiB&framing=chunked", "--max-image-size 20MiB", "too_large").await;
}

#[tokio::test]
async fn a_picture_shorter_than_its_content_length_never_becomes_an_object() {
    rejected("/x?size=300KiB&short=1", "", "broken").await;
    rejected("/x?size=300KiB&short=100KiB", "", "broken").await;
    rejected("/x?size=20MiB&short=1MiB", "", "broken").await;
}

#[tokio::test]
async fn a_picture_longer_than_its_content_length_never_becomes_an_object() {
    // HTTP/1.1 ends the body where Content-Length says, so that the end of the picture is missing.
    for kind in ["jpeg", "png", "webp"] {
        let target = format!("/picture?kind={kind}&width=300&height=200&long=40");
        rejected(&target, "", "truncated").await;
    }
    rejected("/x?size=300KiB&long=1&framing=chunked", "", "length").await;
    rejected("/x?size=20MiB&long=1MiB&framing=chunked", "", "length").await;
}

#[tokio::test]
async fn a_picture_cut_off_by_a_lost_connection_never_becomes_an_object() {
    rejected("/x?size=300KiB&cut=100KiB", "", "broken").await;
    rejected("/x?size=300KiB&cut=100KiB&framing=chunked", "", "broken").await;
    rejected("/x?size=20MiB&cut=11MiB", "", "broken").await;
    rejected("/x?size=20MiB&cut=11MiB&framing=chunked", "", "broken").await;
}

#[tokio::test]
async fn a_picture_that_stalls_never_becomes_an_object() {
    rejected("/x?size=300KiB&stall=100KiB", "--read-timeout 300ms", "timeout").await;
    rejected("/x?size=20MiB&stall=11MiB&framing=chunked", "--read-timeout 300ms", "timeout").await;
}

#[tokio::test]
async fn a_picture_that_exceeds_the_fetch_timeout_never_becomes_an_object() {
    rejected("/x?size=300KiB&drip=4KiB%2C50", "--fetch-timeout 500ms", "timeout").await;
}
