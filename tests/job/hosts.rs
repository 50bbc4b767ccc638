//! Tests with image hosts that answer what nobody asked for, want to be left alone, or redirect to places
//! that are none: the reason names what it was.

use std::time::Duration;

use sandbox::{Asked, Network, Reply, Scripted, Wire};
use serde_json::Value;

use crate::harness::{Finished, World};

/// The smallest JPEG that counts as one.
const JPEG: &[u8] =
    b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xda\0\x02data\xff\xd9";

async fn host(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::start(script).await.expect("a port")
}

/// A host that sends these bytes to each request.
async fn raw(head: &[u8], body: &[u8]) -> (Scripted, Wire) {
    let behind = host(|_| Reply::Close).await;
    let wire = Wire::start(behind.address()).await.expect("a port");
    let answer = [head, b"\r\n\r\n", body].concat();
    wire.set(Network::Answer(answer)).await.expect("a port");
    (behind, wire)
}

/// The first failure of a job with this URL, which stores nothing.
async fn failure(world: &World, url: &str) -> Value {
    let job = world.job_from(url, "--interval 1h").start();
    let failed = job.event("upload failed").await;
    let done = job.terminate().await.expect(143);
    assert!(done.events("uploaded").is_empty(), "{url}");
    assert_eq!(world.objects().await.len(), 0, "{url}");
    failed
}

#[track_caller]
fn names(failed: &Value, reason: &str, words: &str) {
    assert_eq!(failed["reason"], reason, "{failed}");
    let error = failed["error"].as_str().expect("an error");
    assert!(error.contains(words), "{words:?} is not in {error:?}");
    assert!(error.len() < 300, "{error}");
}

fn reasons(done: &Finished) -> Vec<String> {
    let failed = done.events("upload failed");
    failed.iter().map(|event| event["reason"].as_str().expect("a reason").to_owned()).collect()
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_no_picture_unless_it_is_all() {
    let whole = format!("bytes 0-{}/{}", JPEG.len() - 1, JPEG.len());
    for range in [
        "bytes 0-40/1000",
        "bytes 0-40/*",
        "bytes 1-40/40",
        "bytes */1000",
        "bytes 0-18446744073709551615/18446744073709551615",
        "pages 0-40/41",
        "",
    ] {
        let world = World::new().await;
        let range = range.to_owned();
        let host = host(move |_| match range.as_str() {
            "" => Reply::new(206, JPEG),
            range => Reply::new(206, JPEG).header("content-range", range),
        })
        .await;
        let failed = failure(&world, &host.url("/")).await;
        names(&failed, "partial", "206");
        assert_eq!(host.asked().len(), 1);
    }
    let world = World::new().await;
    let host = host(move |_| Reply::new(206, JPEG).header("content-range", &whole)).await;
    world.job_from(&host.url("/"), "--count 1").finish().await.expect(0);
    assert_eq!(std::fs::read(&world.objects().await[0].path).expect("an object"), JPEG);
}

#[tokio::test]
async fn a_part_that_says_that_it_is_all_must_be() {
    let world = World::new().await;
    let head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-999/1000";
    let (_behind, wire) = raw(head, JPEG).await;
    let failed = failure(&world, &format!("http://{}/", wire.address())).await;
    names(&failed, "length", "1000");
}

#[tokio::test]
async fn a_host_that_asks_for_an_hour_is_not_asked_at_the_next_ticks() {
    let world = World::new().await;
    let busy = host(|_| Reply::new(503, "").header("retry-after", "3600")).await;
    let job = world.job_from(&busy.url("/"), "--interval 100ms").start();
    job.wrote("upload failed", 4).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(busy.asked().len(), 1);
    assert_eq!(reasons(&done)[..4], ["status", "resting", "resting", "resting"]);
    let told = done.events("upload failed")[1]["error"].as_str().expect("an error").to_owned();
    assert!(told.contains("59m") && told.contains("Retry-After"), "{told}");
    assert!(told.contains(&busy.address().to_string()), "{told}");
}

#[tokio::test]
async fn a_host_is_asked_again_when_its_time_is_over_and_others_meanwhile() {
    let world = World::new().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let busy = host(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::new(429, "").header("retry-after", "4"),
        _ => Reply::new(200, JPEG),
    })
    .await;
    let job = world.job_from(&busy.url("/"), "--count 1 --interval 100ms --fetch-timeout 2s");
    let done = job.finish().await.expect(0);
    assert_eq!(busy.asked().len(), 2);
    assert!(reasons(&done).contains(&"resting".to_owned()), "{:?}", reasons(&done));

    let world = World::new().await;
    let busy = host(|_| Reply::new(503, "").header("retry-after", "3600")).await;
    let other = host(|_| Reply::new(200, JPEG)).await;
    let urls = format!("{},{}", busy.url("/"), other.url("/"));
    let done = world.job_from(&urls, "--count 20 --interval 0s").finish().await.expect(0);
    assert!(busy.asked().len() <= 1);
    assert!(!reasons(&done).contains(&"resting".to_owned()), "another host could be asked");
}

#[tokio::test]
async fn a_redirect_to_a_host_that_rests_is_not_followed() {
    let world = World::new().await;
    let busy = host(|_| Reply::new(503, "").header("retry-after", "3600")).await;
    let to = busy.url("/");
    let redirecting = host(move |_| Reply::new(302, "").header("location", &to)).await;
    let job = world.job_from(&redirecting.url("/"), "--interval 100ms").start();
    job.wrote("upload failed", 3).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(busy.asked().len(), 1);
    assert_eq!(reasons(&done)[..3], ["status", "resting", "resting"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_redirect_is_named() {
    let world = World::new().await;
    let cookies = host(|_| {
        Reply::new(302, "").header("location", "/again").header("set-cookie", "session=secret")
    })
    .await;
    let failed = failure(&world, &cookies.url("/")).await;
    names(&failed, "redirect", "sets a cookie");
    assert!(!failed.to_string().contains("secret"), "{failed}");
    assert_eq!(cookies.asked().len(), 6, "five redirects are followed");

    let to = format!("/{}", "x".repeat(70_000));
    let long = host(move |_| Reply::new(302, "").header("location", &to)).await;
    names(&failure(&world, &long.url("/")).await, "redirect", "70001 bytes");

    let (_behind, wire) =
        raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /caf\xe9", b"").await;
    names(&failure(&world, &format!("http://{}/", wire.address())).await, "redirect", "Latin-1");

    for (location, words) in [
        ("file:///etc/passwd", "neither http nor https"),
        ("http://", "not a URL"),
        ("http://[::ffff:0:a9fe:aa17]/", "link-local"),
        ("http://169.254.170.23/v1/credentials", "link-local"),
    ] {
        let host = host(move |_| Reply::new(302, "").header("location", location)).await;
        // The guard is on, so the host itself has a name that only a proxy resolves.
        let job = world
            .job_from("http://pictures.invalid/", "--interval 1h --allow-private-source=false")
            .env("HTTP_PROXY", host.url(""))
            .env("NO_PROXY", "127.0.0.1")
            .start();
        let failed = job.event("upload failed").await;
        job.terminate().await.expect(143);
        let reason = if words == "link-local" { "address" } else { "redirect" };
        names(&failed, reason, words);
    }
}

#[tokio::test]
async fn a_head_with_too_many_headers_is_named() {
    let world = World::new().await;
    let head = [b"HTTP/1.1 200 OK".to_vec(), b"\r\nX-Many: x".repeat(101)].concat();
    let (_behind, wire) = raw(&head, JPEG).await;
    let url = format!("http://{}/", wire.address());
    let job = world.job_from(&url, "--interval 1h --fetch-timeout 2s").start();
    let failed = job.event("upload failed").await;
    job.terminate().await.expect(143);
    names(&failed, "connect", "more than 100 headers");
}

#[tokio::test]
async fn a_relative_and_a_utf8_redirect_are_followed() {
    let world = World::new().await;
    let host = host(|asked| match asked.target.as_str() {
        "/a/b?c" => Reply::new(301, "").header("location", "d?e"),
        "/a/d?e" => Reply::new(307, "").header("location", "/caf\u{e9}"),
        "/caf%C3%A9" => Reply::new(200, JPEG),
        _ => Reply::new(404, ""),
    })
    .await;
    let done = world.job_from(&host.url("/a/b?c"), "--count 1").finish().await.expect(0);
    let source = done.events("uploaded")[0]["source"].as_str().expect("a source").to_owned();
    assert!(source.ends_with("/caf%C3%A9"), "{source}");
}

#[tokio::test]
async fn texts_and_cut_pictures_that_look_whole_are_not_stored() {
    let chunk = |name: &[u8], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        [&length[..], name, data, b"crc."].concat()
    };
    let start = [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &[1; 13])[..]].concat();
    let inner = [&start[..], &chunk(b"IDAT", &[2; 200]), &chunk(b"IEND", b"")].concat();
    let signed = [&start[..], &chunk(b"caBX", &inner), &chunk(b"IDAT", &[3; 400])].concat();
    let webp = b"RIFF\0\0\0\0WEBPVP8 \x08\0\0\x0012345678";
    let webp_beyond = b"RIFF\x14\0\0\0WEBPVP8 \x40\0\0\x0012345678";
    for (what, bytes, reason) in [
        ("a PNG in a chunk of a cut PNG", &signed[..], "truncated"),
        ("a cut PNG that ends with its embedded PNG", &signed[..signed.len() - 412], "truncated"),
        ("a RIFF of the length 0", webp, "not_an_image"),
        ("a chunk beyond the length of its RIFF", webp_beyond, "truncated"),
        ("a text", b"BMW builds cars, and this text is longer than a header", "not_an_image"),
        ("a text", b"GIF is a format, and this text is longer than a header", "not_an_image"),
        ("a text", b"GIF89a is a version of it, and this text goes on and on", "not_an_image"),
        ("a text", b"II*lalala, a text that is none", "not_an_image"),
        ("a text", b"RIFF is a container, in which WEBP may be", "not_an_image"),
    ] {
        let world = World::new().await;
        let content = bytes.to_vec();
        let host = host(move |_| Reply::new(200, content.clone())).await;
        let failed = failure(&world, &host.url("/")).await;
        assert_eq!(failed["reason"], reason, "{what}: {failed}");
    }
}

#[tokio::test]
async fn a_slow_answer_of_a_host_with_redirects_counts_as_one() {
    let world = World::new().await;
    let slow = host(|_| {
        let reply = Reply::new(302, "").header("location", "/again");
        Reply::Late(Duration::from_millis(700), Box::new(reply))
    })
    .await;
    let job = world
        .job_from(&slow.url("/"), "--interval 1h --read-timeout 1s --fetch-timeout 1s")
        .start();
    let failed = job.event("upload failed").await;
    job.terminate().await.expect(143);
    names(&failed, "timeout", "timeout");
}
