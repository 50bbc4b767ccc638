//! Tests the server whose answers a test writes, and the metadata service that is one.

use std::time::Duration;

use sandbox::{Credentials, Reply, Scripted, metadata};

fn client() -> reqwest::Client {
    // The client wants a provider of TLS, although it uses none here; another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client")
}

#[tokio::test]
async fn instance_metadata_gives_credentials_only_for_a_session_token() {
    let issued = Credentials::new().issue(Duration::from_hours(1));
    let key = issued.access_key_id.clone();
    let server = Scripted::start(metadata("node", issued)).await.expect("it starts");
    let url = |path: &str| server.url(&format!("/latest{path}"));
    let credentials = url("/meta-data/iam/security-credentials/");
    let without = client().get(&credentials).send().await.expect("an answer");
    assert_eq!(without.status(), 401);
    let token = client().put(url("/api/token"));
    let token = token.header("x-aws-ec2-metadata-token-ttl-seconds", "60").send().await;
    let token = token.expect("an answer").text().await.expect("a text");
    let get = async |url: String| {
        let answer = client().get(url).header("x-aws-ec2-metadata-token", &token).send().await;
        answer.expect("an answer").text().await.expect("a text")
    };
    assert_eq!(get(credentials.clone()).await, "node");
    assert!(get(credentials + "node").await.contains(&key));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_script_answers_late_with_headers_and_closes() {
    let server = Scripted::start(|asked| match asked.target.as_str() {
        "/late" => {
            let reply = Reply::Late(Duration::from_millis(1), Reply::new(503, "text").into());
            reply.header("server", "envoy")
        }
        _ => Reply::Close,
    });
    let server = server.await.expect("it starts");
    let late = client().get(server.url("/late")).send().await.expect("an answer");
    assert_eq!(
        (late.status().as_u16(), &late.headers()["server"]),
        (503, &"envoy".parse().expect("a value"))
    );
    assert!(client().get(server.url("/")).send().await.is_err());
}
