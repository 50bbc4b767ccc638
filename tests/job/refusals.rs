//! Only whole pictures become objects: each way of not being one.

use crate::harness::World;

/// The picture from `target` is refused for `reason`, in one line, and leaves nothing in S3.
async fn refused(target: &str, words: &str, reason: &str) {
    let world = World::new().await;
    let job = world.job(target, words).start();
    job.wrote("upload failed", 1).await;
    let done = job.terminate().await.expect(143);
    let events = done.events("upload failed");
    assert_eq!(events[0]["reason"], reason, "{target}: {}", events[0]);
    assert_eq!(events[0]["level"], "WARN");
    assert!(done.events("uploaded").is_empty(), "{target}");
    assert_eq!(world.objects().await.len(), 0, "{target}");
    assert_eq!(world.sandbox.images.requests().len(), 1, "{target} was asked for again");
}

#[tokio::test]
async fn an_answer_other_than_2xx() {
    for status in [400, 401, 403, 404, 410, 304] {
        refused(&format!("/x?status={status}"), "", "status").await;
    }
}

#[tokio::test]
async fn an_empty_answer() {
    refused("/x?body=empty", "", "empty").await;
    refused("/x?body=empty&framing=chunked", "", "empty").await;
}

#[tokio::test]
async fn an_answer_that_only_claims_to_be_an_image() {
    refused("/x?body=html&type=image/jpeg", "", "not_an_image").await;
    refused("/x?body=text&type=image/png", "", "not_an_image").await;
}

#[tokio::test]
async fn a_picture_over_the_limit_declared_or_not() {
    refused("/x?size=2MiB", "--max-image-size 1MiB", "too_large").await;
    refused("/x?size=2MiB&framing=chunked", "--max-image-size 1MiB", "too_large").await;
    refused("/x?size=30MiB&framing=chunked", "--max-image-size 20MiB", "too_large").await;
}

#[tokio::test]
async fn a_picture_shorter_than_its_content_length() {
    refused("/x?size=300KiB&short=1", "", "broken").await;
    refused("/x?size=300KiB&short=100KiB", "", "broken").await;
    refused("/x?size=20MiB&short=1MiB", "", "broken").await;
}

#[tokio::test]
async fn a_picture_longer_than_its_content_length() {
    // HTTP/1.1 ends the body where Content-Length says: what is missing then is the picture's end.
    for kind in ["jpeg", "png", "webp"] {
        let target = format!("/picture?kind={kind}&width=300&height=200&long=40");
        refused(&target, "", "truncated").await;
    }
    refused("/x?size=300KiB&long=1&framing=chunked", "", "length").await;
    refused("/x?size=20MiB&long=1MiB&framing=chunked", "", "length").await;
}

#[tokio::test]
async fn a_connection_that_dies_half_way() {
    refused("/x?size=300KiB&cut=100KiB", "", "broken").await;
    refused("/x?size=300KiB&cut=100KiB&framing=chunked", "", "broken").await;
    refused("/x?size=20MiB&cut=11MiB", "", "broken").await;
    refused("/x?size=20MiB&cut=11MiB&framing=chunked", "", "broken").await;
}

#[tokio::test]
async fn a_host_that_falls_silent() {
    refused("/x?size=300KiB&stall=100KiB", "--read-timeout 300ms", "timeout").await;
    refused("/x?size=20MiB&stall=11MiB&framing=chunked", "--read-timeout 300ms", "timeout").await;
}

#[tokio::test]
async fn a_host_that_is_too_slow_over_all() {
    refused("/x?size=300KiB&drip=4KiB%2C50", "--fetch-timeout 500ms", "timeout").await;
}
