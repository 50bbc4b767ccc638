//! Tests that a multipart upload leaves either an object or nothing.

use sandbox::Fault;

use crate::harness::{World, until};

#[tokio::test]
async fn a_failed_abort_is_logged_with_the_key_and_id_of_the_upload() {
    let world = World::new().await;
    world.sandbox.s3.fail("AbortMultipartUpload", 100, Fault::Status(403, "AccessDenied"));
    let target = "/large?size=30MiB&cut=17MiB&framing=chunked";
    let done = world.job(target, "").until_failed().await;
    let left =
        done.lines.iter().find(|line| line.contains("could not be aborted")).expect("a line");
    let left: serde_json::Value = serde_json::from_str(left).expect("JSON");
    assert!(left["cause"].as_str().is_some_and(|cause| cause.contains("AccessDenied")));
    assert!(left["upload_id"].is_string() && left["key"].is_string());
    assert_eq!(done.events("upload failed")[0]["reason"], "broken");
    assert_eq!(world.sandbox.s3.leftovers().uploads, 1);
}

#[tokio::test]
async fn at_most_two_parts_are_in_flight() {
    let world = World::new().await;
    world.sandbox.s3.fail("UploadPart", 2, Fault::Hang);
    let job = world.job("/large?size=60MiB&framing=chunked", "--shutdown-grace 0s").start();
    until("two parts hang", || world.s3_requests("UploadPart") == 2).await;
    job.terminate().await.expect(143);
    assert_eq!(world.s3_requests("UploadPart"), 2);
    // The program stops reading while both parts hang, so the image host cannot send everything.
    let served = world.sandbox.images.served();
    assert!(served.iter().all(|picture| !picture.whole), "{served:?}");
    assert_eq!(world.objects().await.len(), 0);
}
