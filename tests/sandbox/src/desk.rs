//! The answers and refusals of the agent.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};

use crate::answer::Answers;
use crate::credentials::Credentials;
use crate::issuer::{Issuer, Refusal};
use crate::net::Hangup;
use crate::token::{self, OidcIssuer};

/// The addresses of the real agent.
const LINK_LOCAL: [&str; 2] = ["169.254.170.23", "fd00:ec2::23"];

/// The state of the agent, which its connections share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) registry: Arc<Credentials>,
    issuer: Box<dyn Issuer>,
    /// The OIDC issuer whose tokens are accepted.
    pub(crate) oidc: OidcIssuer,
    lifetime: Mutex<Duration>,
    pub(crate) answers: Answers,
    log: bool,
}

impl Desk {
    pub(crate) fn new(
        registry: Arc<Credentials>,
        issuer: Box<dyn Issuer>,
        oidc: OidcIssuer,
        lifetime: Duration,
        log: bool,
    ) -> Self {
        let answers = Answers::default();
        Self { registry, issuer, oidc, lifetime: Mutex::new(lifetime), answers, log }
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        *self.lifetime.lock().unwrap_or_else(PoisonError::into_inner) = lifetime;
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Full<Bytes>> {
        self.answers.refused(refusal.status, &refusal.text);
        plain(refusal)
    }

    /// Answers one request from `client` that arrived at the address `own`.
    pub(crate) async fn serve(
        &self,
        request: &Request<Incoming>,
        own: IpAddr,
        client: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Hangup> {
        if let Some((status, text)) = self.answers.next().await? {
            return Ok(self.refuse(&Refusal { status, text }));
        }
        self.log(client, "info", "Calling EKS Auth to fetch credentials");
        Ok(self.credentials(request, own).await.unwrap_or_else(|refusal| {
            self.log(client, "error", &format!("Error fetching credentials: {}", refusal.text));
            self.refuse(&refusal)
        }))
    }

    /// Logs in the format of the real agent: logrus's JSON, with the fields of
    /// its `internal/cloud/eksauth/service.go` and `internal/middleware/logger`.
    fn log(&self, client: SocketAddr, level: &str, message: &str) {
        if self.log {
            let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            let line = serde_json::json!({
                "client-addr": client.to_string(), "level": level, "msg": message, "time": time,
            });
            println!("{line}");
        }
    }

    async fn credentials(
        &self,
        request: &Request<Incoming>,
        own: IpAddr,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        if request.uri().path() != "/v1/credentials" {
            return Err(Refusal { status: 404, text: "404 page not found".to_owned() });
        }
        if request.method() != Method::GET {
            return Err(Refusal { status: 405, text: "Method Not Allowed".to_owned() });
        }
        let header = |name| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        check_host(header(HOST), &own.to_string())?;
        let claims = token::verify(header(AUTHORIZATION), &self.oidc)?;
        let lifetime = *self.lifetime.lock().unwrap_or_else(PoisonError::into_inner);
        let issued = self.issuer.issue(&claims, lifetime).await?;
        let json = serde_json::json!({
            "AccessKeyId": issued.access_key_id,
            "SecretAccessKey": issued.secret_access_key,
            "Token": issued.session_token,
            "AccountId": issued.account_id,
            "Expiration": humantime::format_rfc3339_seconds(issued.expires).to_string(),
        });
        Ok(response(200, "application/json", json.to_string()))
    }
}

/// The agent refuses other host names, which protects it from server-side
/// request forgery.
fn check_host(host: &str, own: &str) -> Result<(), Refusal> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name == own || LINK_LOCAL.contains(&name) {
        return Ok(());
    }
    let [v4, v6] = LINK_LOCAL;
    let text = format!(
        "Access Denied. Called agent through invalid address, please use either [{v4} {v6}] address not {name}"
    );
    Err(Refusal { status: 403, text })
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
