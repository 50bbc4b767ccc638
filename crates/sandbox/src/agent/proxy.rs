//! The agent's server: a proxy in front of EKS Auth.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Request, Response, Uri};

use super::request::{check_host, check_token};
use super::upstream::{Failure, REQUEST_TIMEOUT, Upstream};
use crate::answer::Answers;
use crate::net::{Answering, Hangup, Server, serve_http};
use crate::refusal::Refusal;

/// The path of the credentials.
const PATH: &str = "/v1/credentials";

/// The configuration of an [`AgentProxy`].
#[derive(Clone, Debug)]
pub struct AgentProxyOptions {
    /// The address to listen on, which is 127.0.0.1 at a free port by default.
    pub listen: SocketAddr,
    /// The URL of EKS Auth.
    pub endpoint: String,
    /// The name of the cluster.
    pub cluster: String,
    /// Whether the address that a request came to is accepted as its host too.
    /// The real agent accepts 169.254.170.23 and `fd00:ec2::23` alone.
    pub accept_own_address: bool,
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
            accept_own_address: false,
            timeout: REQUEST_TIMEOUT,
            log: false,
        }
    }
}

/// A stand-in for the EKS Pod Identity Agent: a proxy in front of EKS Auth. Its
/// checks, texts and statuses are those of `aws/eks-pod-identity-agent` 0.1.37
/// without its cache (`--max-credential-retention-before-renewal 0`) and its
/// limit of 1,000 requests a second. It serves `/v1/credentials`, where
/// the whole `Authorization` header is the service account token.
#[derive(Debug)]
pub struct AgentProxy {
    pub(super) server: Server,
    pub(super) answers: Arc<Answers>,
}

impl AgentProxy {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// The port cannot be bound, or the client of EKS Auth cannot be made.
    pub async fn start(options: AgentProxyOptions) -> io::Result<Self> {
        let handler = Arc::new(Handler {
            answers: Arc::default(),
            upstream: Upstream::new(&options.endpoint, &options.cluster, options.timeout)?,
            accept_own_address: options.accept_own_address,
            log: options.log,
        });
        let answers = Arc::clone(&handler.answers);
        let server = Server::start_at(options.listen, move |stream| {
            let handler = Arc::clone(&handler);
            let addresses = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?)));
            async move {
                // The peer may have gone away already.
                let Ok((own, client)) = addresses else { return };
                let handle = move |request| -> Answering<Full<Bytes>> {
                    let handler = Arc::clone(&handler);
                    Box::pin(async move { handler.serve(&request, own.ip(), client).await })
                };
                serve_http(stream, handle).await;
            }
        })
        .await?;
        Ok(Self { server, answers })
    }

    /// The URL of the credentials.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}{PATH}", self.server.address())
    }
}

/// The state of the agent, which its connections share.
#[derive(Debug)]
struct Handler {
    answers: Arc<Answers>,
    upstream: Upstream,
    accept_own_address: bool,
    log: bool,
}

impl Handler {
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
        if let Some(path) = cleaned(request.uri()) {
            return Ok(redirect(&path));
        }
        if request.uri().path() != PATH {
            let text = "404 page not found".to_owned();
            return Ok(self.refuse(&Refusal { status: 404, text }));
        }
        Ok(self.credentials(request, own, client).await.unwrap_or_else(|failure| {
            let message = format!("Error fetching credentials: {}", failure.reason);
            self.log(client, "error", &message);
            self.refuse(&failure.refusal)
        }))
    }

    /// Logs in the format of the real agent: logrus's JSON, with the fields of
    /// its `internal/cloud/eksauth/service.go` and `internal/middleware/logger`.
    fn log(&self, client: SocketAddr, level: &str, message: &str) {
        if self.log {
            let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            let client = client.to_string();
            println!(
                "{}",
                serde_json::json!({ "client-addr": client, "level": level, "msg": message, "time": time })
            );
        }
    }

    async fn credentials(
        &self,
        request: &Request<Incoming>,
        own: IpAddr,
        client: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Failure> {
        let header = |name| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let own = self.accept_own_address.then(|| own.to_string());
        check_host(header(HOST), own.as_deref())?;
        let token = header(AUTHORIZATION);
        check_token(token)?;
        self.log(client, "info", "Calling EKS Auth to fetch credentials");
        let received = self.upstream.assume_role(token).await?;
        Ok(response(200, "application/json", received.json()))
    }
}

/// The path and query to which Go's `ServeMux` redirects a request whose path has empty segments,
/// `.` or `..` (`findHandler` in `net/http/server.go` of Go 1.26, which built 0.1.37).
fn cleaned(uri: &Uri) -> Option<String> {
    let path = uri.path();
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut clean = format!("/{}", segments.join("/"));
    if path.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    (clean != path).then(|| clean + &query)
}

/// What Go's `http.Redirect` answers to a GET.
fn redirect(to: &str) -> Response<Full<Bytes>> {
    let page = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", to.replace('&', "&amp;"));
    let mut response = response(307, "text/html; charset=utf-8", page);
    if let Ok(to) = to.try_into() {
        response.headers_mut().insert(LOCATION, to);
    }
    response
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
