//! Proxies that refuse, are dead, or would get what is not meant for them.

use std::time::Duration;

use sandbox::{Reply, metadata};

use super::{Right, Wrong, always, bare, identity, irsa, scripted};
use crate::harness::World;

const PASSWORD: &str = "hunter2-hunter2-hunter2";

fn through(proxy: &str) -> String {
    proxy.replacen("http://", &format!("http://me:{PASSWORD}@"), 1)
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_is_named_without_its_password() {
    let mut wrong = Wrong::default();
    for status in [400, 403, 407, 502, 503, 504] {
        let world = World::new().await;
        let proxy = always(Reply::new(status, "<html>not here</html>")).await;
        let host = proxy.address().to_string();
        let says = status.to_string();
        let right = Right {
            id: "proxy_refuses",
            cause: &[&host, &says],
            never: &[PASSWORD, "allow egress"],
            ..Right::default()
        };
        let job = identity(&world, "--probe")
            .env("HTTPS_PROXY", through(&proxy.url("")))
            .env("AWS_ENDPOINT_URL_S3", "https://s3.example.com");
        wrong.probed(&format!("S3, {status}"), job, right).await;
        let asked = proxy.asked();
        wrong.expect("CONNECT", asked.iter().any(|asked| asked.method == "CONNECT"), asked.len());
        let job = irsa(&world, "")
            .env("https_proxy", through(&proxy.url("")))
            .env("AWS_ENDPOINT_URL_STS", "https://sts.example.com");
        wrong.told(&format!("STS, {status}"), job, Right { code: 3, ..right }).await;
    }
    wrong.none();
}

#[tokio::test]
async fn a_dead_or_unknown_proxy_is_unreachable() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    for (proxy, host) in [
        ("http://127.0.0.1:1", "127.0.0.1:1"),
        ("http://no-such-proxy.invalid:3128", "no-such-proxy.invalid"),
    ] {
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
            let right = Right {
                id: "proxy_unreachable",
                cause: &[host],
                never: &[PASSWORD, "allow egress to S3"],
                ..Right::default()
            };
            let job = identity(&world, "--probe")
                .env(variable, through(proxy))
                .env("NO_PROXY", "127.0.0.1")
                .env("AWS_ENDPOINT_URL_S3", "https://s3.example.com");
            wrong.probed(&format!("{variable}={proxy}"), job, right).await;
        }
    }
    wrong.none();
}

#[tokio::test]
async fn credential_endpoints_are_never_asked_through_a_proxy() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    let theirs = world.sandbox.credentials.issue(Duration::from_hours(1));
    // The proxy's own machine has a metadata service too.
    let proxy = scripted(move |asked| {
        let mut own = asked.clone();
        if let Some((_, path)) = own.target.split_once("/latest") {
            own.target = format!("/latest{path}");
        }
        metadata("of-the-proxy", theirs.clone())(&own)
    })
    .await;
    let ours = world.sandbox.credentials.issue(Duration::from_hours(1));
    let key = ours.access_key_id[16..].to_owned();
    let service = scripted(metadata("node", ours)).await;
    let job = bare(&world, "")
        .env("HTTP_PROXY", through(&proxy.url("")))
        .without("AWS_EC2_METADATA_DISABLED")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url(""));
    let report = wrong.told("metadata", job, Right::default()).await;
    let found = &report["principal"]["access_key_ending"];
    wrong.expect("whose role", *found == key.as_str(), found);
    let job = identity(&world, "").env("HTTP_PROXY", through(&proxy.url("")));
    let report = wrong.told("agent", job, Right::default()).await;
    let notes = report["notes"].to_string();
    wrong.expect("the note", notes.contains("NO_PROXY"), notes);
    let asked = proxy.asked();
    for part in ["/latest/", "/v1/credentials"] {
        let passed = asked.iter().any(|asked| asked.target.contains(part));
        wrong.expect("the proxy was asked", !passed, part);
    }
    let token = std::fs::read_to_string(world.sandbox.agent.token_file()).expect("a token");
    let got = asked.iter().any(|asked| asked.headers.values().any(|value| value.contains(&token)));
    wrong.expect("the token", !got, "the proxy got it");
    wrong.none();
}

#[tokio::test]
async fn no_proxy_with_an_asterisk_means_no_proxy() {
    for variable in ["NO_PROXY", "no_proxy"] {
        let world = World::new().await;
        let job = world.job("/random", "--count 1 --interval 10ms");
        let job = job.env("HTTP_PROXY", "http://127.0.0.1:1").env(variable, "*");
        job.finish().await.expect(0);
        assert_eq!(world.objects().await.len(), 1, "{variable}");
    }
}
