//! A running job that serves its page.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{Job, Running, World};

pub const TIMEOUT: Duration = Duration::from_mins(4);

pub struct Served<'w> {
    world: &'w World,
    pub job: Running<'w>,
    pub at: SocketAddr,
}

impl<'w> Served<'w> {
    pub async fn start(world: &'w World, target: &str, arguments: &str) -> Self {
        Self::of(world, world.job(target, arguments)).await
    }

    pub async fn of(world: &'w World, job: Job<'w>) -> Self {
        let job = job.env("LISTEN_ADDR", "127.0.0.1:0").start();
        let event = job.event("health and metrics are served").await;
        let at = event["address"].as_str().and_then(|at| at.parse().ok()).expect("an address");
        Self { world, job, at }
    }

    /// The URL of the page, which ends with a slash.
    pub fn url(&self) -> String {
        format!("http://{}/", self.at)
    }

    pub async fn get(&self, path: &str) -> Response {
        // As the program does; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://{}{path}", self.at);
        client.get(url).timeout(TIMEOUT).send().await.expect("an answer")
    }

    /// The status as JSON. Fails the test if it contains a secret.
    pub async fn status(&self) -> Value {
        let text = self.get("/api/status").await.text().await.expect("text");
        for secret in self.world.sandbox.agent.secrets() {
            assert!(!text.contains(&secret), "a secret: {text}");
        }
        serde_json::from_str(&text).expect("JSON")
    }

    /// Waits until the status is as wanted, and returns it.
    pub async fn status_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let poll = async {
            loop {
                let status = self.status().await;
                if wanted(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let Ok(status) = timeout(TIMEOUT, poll).await else {
            panic!("not within {TIMEOUT:?}; the status is {}", self.status().await);
        };
        status
    }
}
