//! The agent's server: a proxy in front of EKS Auth.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use tokio::task::JoinHandle;

use super::bucket::Bucket;
use super::cache::Cache;
use super::request::{check_host, check_token};
use super::upstream::{Failure, REQUEST_TIMEOUT, Upstream};
use crate::answer::Answers;
use crate::net::{Answering, Hangup, Server, serve_http};
use crate::refusal::Refusal;

/// Requests a second (`RequestRate` in `configuration/config.go`), and half as
/// many at once.
const REQUESTS: u32 = 1000;

/// The configuration of an [`AgentProxy`].
#[derive(Clone, Debug)]
pub struct AgentProxyOptions {
    /// The address to listen on, which is 127.0.0.1 at a free port by default.
    pub listen: SocketAddr,
    /// The URL of EKS Auth.
    pub endpoint: String,
    /// The name of the cluster.
    pub cluster: String,
    /// After how long cached credentials are renewed, at most: 3 hours. Zero
    /// switches the cache off.
    pub retention: Duration,
    /// How often the agent looks for credentials to renew: once a minute.
    pub sweep: Duration,
    /// The timeout of a request to EKS Auth: a second.
    pub timeout: Duration,
    /// Whether the agent logs each request to stdout, as the real one does.
    pub log: bool,
}

impl AgentProxyOptions {
    /// The options of the real agent, with this EKS Auth and cluster.
    #[must_use]
    pub fn new(endpoint: &str, cluster: &str) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            endpoint: endpoint.to_owned(),
            cluster: cluster.to_owned(),
            retention: Duration::from_hours(3),
            sweep: Duration::from_mins(1),
            timeout: REQUEST_TIMEOUT,
            log: false,
        }
    }
}

/// A stand-in for the EKS Pod Identity Agent: a proxy in front of EKS Auth with
/// a cache by token. Its checks, texts, statuses and limits are those of
/// `aws/eks-pod-identity-agent` 0.1.37. It serves `/v1/credentials`, where
/// the whole `Authorization` header is the service account token.
#[derive(Debug)]
pub struct AgentProxy {
    pub(super) server: Server,
    pub(super) answers: Arc<Answers>,
    sweeper: JoinHandle<()>,
}

impl AgentProxy {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// The port cannot be bound, or the client of EKS Auth cannot be made.
    pub async fn start(options: AgentProxyOptions) -> io::Result<Self> {
        let upstream = Upstream::new(&options.endpoint, &options.cluster, options.timeout)?;
        let desk = Arc::new(Desk {
            answers: Arc::default(),
            cache: Cache::new(upstream, options.retention),
            limiter: Mutex::new(Bucket::new(REQUESTS, REQUESTS / 2)),
            log: options.log,
        });
        let answers = Arc::clone(&desk.answers);
        let (shared, swept) = (Arc::clone(&desk), desk);
        let server = Server::start_at(options.listen, move |stream| {
            let desk = Arc::clone(&shared);
            let addresses = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?)));
            async move {
                // The peer may have gone away already.
                let Ok((own, client)) = addresses else { return };
                let handle = move |request| -> Answering<Full<Bytes>> {
                    let desk = Arc::clone(&desk);
                    Box::pin(async move { desk.serve(&request, own.ip(), client).await })
                };
                serve_http(stream, handle).await;
            }
        })
        .await?;
        let sweeper = tokio::spawn(async move {
            loop {
                tokio::time::sleep(options.sweep).await;
                swept.cache.sweep(|message| swept.log(None, "info", message)).await;
            }
        });
        Ok(Self { server, answers, sweeper })
    }

    /// The URL of the credentials.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}/v1/credentials", self.server.address())
    }
}

impl Drop for AgentProxy {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

/// The state of the agent, which its connections share.
#[derive(Debug)]
struct Desk {
    answers: Arc<Answers>,
    cache: Cache,
    limiter: Mutex<Bucket>,
    log: bool,
}

impl Desk {
    fn refuse(&self, refusal: &Refusal) -> Response<Full<Bytes>> {
        self.answers.refused(refusal.status, &refusal.text);
        plain(refusal)
    }

    /// Answers one request from `client` that arrived at the address `own`.
    async fn serve(
        &self,
        request: &Request<Incoming>,
        own: IpAddr,
        client: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Hangup> {
        if let Some((status, text)) = self.answers.next().await? {
            return Ok(self.refuse(&Refusal { status, text }));
        }
        if request.uri().path() != "/v1/credentials" {
            let text = "404 page not found".to_owned();
            return Ok(self.refuse(&Refusal { status: 404, text }));
        }
        if !self.limiter.lock().unwrap_or_else(PoisonError::into_inner).allow() {
            let text = "Too Many Requests".to_owned();
            return Ok(self.refuse(&Refusal { status: 429, text }));
        }
        Ok(self.credentials(request, own, client).await.unwrap_or_else(|failure| {
            let message = format!("Error fetching credentials: {}", failure.reason);
            self.log(Some(client), "error", &message);
            self.refuse(&failure.refusal)
        }))
    }

    /// Logs in the format of the real agent: logrus's JSON, with the fields of
    /// its `internal/cloud/eksauth/service.go` and `internal/middleware/logger`.
    fn log(&self, client: Option<SocketAddr>, level: &str, message: &str) {
        if self.log {
            let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            let mut line = serde_json::json!({ "level": level, "msg": message, "time": time });
            if let Some(client) = client {
                line["client-addr"] = client.to_string().into();
            }
            println!("{line}");
        }
    }

    async fn credentials(
        &self,
        request: &Request<Incoming>,
        own: IpAddr,
        client: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Failure> {
        let refused =
            |refusal: Refusal| Failure { reason: refusal.text.clone(), refusal, is_final: false };
        let header = |name| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        check_host(header(HOST), &own.to_string()).map_err(refused)?;
        let token = header(AUTHORIZATION);
        check_token(token).map_err(refused)?;
        let asking = || self.log(Some(client), "info", "Calling EKS Auth to fetch credentials");
        let received = self.cache.get(token, asking).await?;
        Ok(response(200, "application/json", received.json()))
    }
}

/// A plain-text answer, like that of Go's `http.Error`.
fn plain(refusal: &Refusal) -> Response<Full<Bytes>> {
    response(refusal.status, "text/plain; charset=utf-8", format!("{}\n", refusal.text))
}

fn response(status: u16, media_type: &str, text: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, media_type)
        .body(Full::from(text))
        .expect("a status that a test asks for is a status")
}
