//! A running job that serves health, metrics and its page.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{Job, Running, World};

pub const TIMEOUT: Duration = Duration::from_mins(4);

/// The job, and the address of its server.
pub struct Served<'w> {
    pub world: &'w World,
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

    pub async fn response(&self, path: &str) -> Response {
        // As the program does; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let url = format!("http://{}{path}", self.at);
        client.get(url).timeout(TIMEOUT).send().await.expect("an answer")
    }

    /// Requests a path, and returns status and body. Fails the test if the body contains a secret.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.response(path).await;
        let status = response.status().as_u16();
        let body = response.text().await.expect("text");
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

    /// The status as JSON.
    pub async fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/status").await.1).expect("JSON")
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
