//! Tests that a hostile image host cannot make the program send requests to private addresses.

use crate::harness::World;

/// Checks that the picture from `url` is rejected for `reason`, and returns the text of the error.
async fn rejected(world: &World, url: &str, reason: &str) -> String {
    let done = world
        .job_from(url, "")
        .env("ALLOW_PRIVATE_SOURCE", "false")
        .env("HTTP_PROXY", world.sandbox.images.url(""))
        .env("NO_PROXY", "localhost,127.0.0.1,169.254.0.0/16,fd00:ec2::/32,::1")
        .until_failed()
        .await;
    let event = &done.events("upload failed")[0];
    assert_eq!(event["reason"], reason, "{url}: {event}");
    assert_eq!(world.objects().await.len(), 0, "{url}");
    event["error"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn private_addresses_are_rejected_in_every_notation() {
    let world = World::new().await;
    let port = world.sandbox.images.url("").rsplit(':').next().expect("a port").to_owned();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]"] {
        let said = rejected(&world, &format!("http://{host}:{port}/random"), "address").await;
        assert!(said.contains("loopback"), "{said}");
    }
    for (url, class) in [
        ("http://169.254.170.23/v1/credentials", "link-local"),
        ("http://[fd00:ec2::23]/v1/credentials", "private"),
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
    ] {
        let said = rejected(&world, url, "address").await;
        assert!(said.contains(class), "{said}");
    }
    assert!(world.sandbox.images.requests().is_empty(), "the program sent a request");
}

// In the following tests, the image host also acts as an HTTP proxy. A URL can therefore have a
// public host name, although the test uses only the loopback address.

#[tokio::test]
async fn a_redirect_to_a_private_address_is_not_followed() {
    let world = World::new().await;
    for (target, class) in [
        ("http://169.254.170.23/v1/credentials", "link-local"),
        ("http://[fd00:ec2::23]/v1/credentials", "private"),
        ("http://[::ffff:169.254.170.23]/v1/credentials", "link-local"),
        ("http://localhost:1/", "loopback"),
    ] {
        let url = format!("http://pictures.example/x?redirect={target}");
        let said = rejected(&world, &url, "address").await;
        assert!(said.contains(class), "{said}");
    }
}

#[tokio::test]
async fn every_redirect_in_a_chain_is_checked() {
    let world = World::new().await;
    let last = "http%3A%2F%2F169.254.170.23%2Fv1%2Fcredentials";
    let url = format!("http://a.example/x?redirect=http://b.example/y%3Fredirect%3D{last}");
    rejected(&world, &url, "address").await;
    assert_eq!(world.sandbox.images.requests().len(), 2);
}

#[tokio::test]
async fn more_than_five_redirects_are_not_followed() {
    let world = World::new().await;
    world.job("/x?hops=5", "--count 1").finish().await.expect(0);
    assert_eq!(world.objects().await.len(), 1);

    let world = World::new().await;
    let done = world.job("/x?hops=6", "").until_failed().await;
    assert_eq!(done.events("upload failed")[0]["reason"], "redirect");
    assert_eq!(world.sandbox.images.requests().len(), 6);
}

#[tokio::test]
async fn the_image_host_is_reached_through_the_proxy() {
    let world = World::new().await;
    world
        .job_from("http://pictures.example/random", "--count 1")
        .env("ALLOW_PRIVATE_SOURCE", "false")
        .env("HTTP_PROXY", world.sandbox.images.url(""))
        .env("NO_PROXY", "127.0.0.1")
        .finish()
        .await
        .expect(0);
    assert_eq!(world.sandbox.images.requests(), ["http://pictures.example/random"]);
    assert_eq!(world.objects().await[0].metadata["source"], "http://pictures.example/random");
}
