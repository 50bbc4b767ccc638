//! A job whose server the tests request.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::harness::{Running, World};
use crate::openmetrics::{Family, parse, value};

pub const TIMEOUT: Duration = Duration::from_mins(4);

/// A running job that serves health and metrics, and the address of its server.
pub struct Served<'w> {
    pub world: &'w World,
    pub job: Running<'w>,
    pub at: SocketAddr,
}

impl<'w> Served<'w> {
    pub async fn start(world: &'w World, target: &str, arguments: &str) -> Self {
        let job = world.job(target, arguments).env("LISTEN_ADDR", "127.0.0.1:0").start();
        let event = job.event("health and metrics are served").await;
        let at = event["address"].as_str().and_then(|at| at.parse().ok()).expect("an address");
        Self { world, job, at }
    }

    /// Requests a path, and returns status and body. Fails the test if the body contains a secret.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.at);
        // As the program does; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(url).timeout(TIMEOUT).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let metrics = path == "/metrics";
        assert_eq!(kind.starts_with("application/openmetrics-text; version=1.0.0"), metrics);
        let body = answer.text().await.expect("text");
        for secret in self.world.sandbox.agent.secrets() {
            assert!(!body.contains(&secret), "{path} contains a secret: {body}");
        }
        (status, body)
    }

    /// Waits until a path returns this status, and returns the body.
    pub async fn wait_for(&self, path: &str, status: u16) -> String {
        let poll = async {
            loop {
                let (now, body) = self.get(path).await;
                if now == status {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(TIMEOUT, poll)
            .await
            .unwrap_or_else(|_| panic!("{path} did not return {status} within {TIMEOUT:?}"))
    }

    pub async fn metrics(&self) -> Vec<Family> {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        parse(&text).await
    }

    pub async fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        value(&self.metrics().await, name, labels)
    }
}
