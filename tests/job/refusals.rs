//! Tests that a response that is no complete picture is asked for once, and becomes no object. The
//! fault suite has more of them.

use crate::harness::World;

#[tokio::test]
async fn what_is_no_complete_picture_is_requested_once_and_never_becomes_an_object() {
    for (target, arguments, reason) in [
        ("/x?status=304", "", "status"),
        ("/x?status=404", "", "status"),
        ("/x?body=empty", "", "empty"),
        ("/x?body=empty&framing=chunked", "", "empty"),
        ("/x?body=html&type=image/jpeg", "", "not_an_image"),
        ("/x?size=2MiB", "--max-image-size 1MiB", "too_large"),
        ("/x?size=2MiB&framing=chunked", "--max-image-size 1MiB", "too_large"),
        ("/x?size=30MiB&framing=chunked", "--max-image-size 20MiB", "too_large"),
        ("/x?size=300KiB&short=1", "", "broken"),
        // HTTP/1.1 ends the body where Content-Length says, so that the end of the picture is missing.
        ("/picture?kind=jpeg&width=300&height=200&long=40", "", "truncated"),
        ("/picture?kind=png&width=300&height=200&long=40", "", "truncated"),
        ("/picture?kind=webp&width=300&height=200&long=40", "", "truncated"),
        ("/x?size=20MiB&long=1MiB&framing=chunked", "", "length"),
        ("/x?size=300KiB&cut=100KiB&framing=chunked", "", "broken"),
        ("/x?size=300KiB&stall=100KiB", "--read-timeout 300ms", "timeout"),
        ("/x?size=300KiB&drip=4KiB%2C50", "--fetch-timeout 500ms", "timeout"),
    ] {
        let world = World::new().await;
        let done = world.job(target, arguments).until_failed().await;
        let events = done.events("upload failed");
        assert_eq!(events[0]["reason"], reason, "{target}: {}", events[0]);
        assert_eq!(events[0]["level"], "WARN");
        let id = events[0]["diagnosis"].as_str().expect("a diagnosis");
        assert!(id.starts_with("image_host_") || id.starts_with("picture_"), "{target}: {id}");
        let cause = events[0]["cause"].as_str().expect("a cause");
        let host = world.sandbox.images.address().to_string();
        assert!(cause.contains(&host), "{target}: {cause}");
        assert!(events[0]["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{target}");
        assert!(done.events("uploaded").is_empty(), "{target}");
        assert_eq!(world.objects().await.len(), 0, "{target}");
        assert_eq!(world.sandbox.images.requests().len(), 1, "{target}");
    }
}
