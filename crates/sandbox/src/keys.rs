//! The keys that a cluster's service account tokens are signed with.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::JwkSet;
use reqwest::header::AUTHORIZATION;

/// How long to wait for the server of the keys.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The least time between two requests for keys: tokens with unknown key IDs
/// must not cause a request each.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a cluster publishes its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JSON Web Key Set, which does not change.
    Json(String),
    /// The URL of a JSON Web Key Set: a cluster's OIDC issuer, or a Kubernetes
    /// API server's `/openid/v1/jwks`.
    Url {
        /// The URL.
        url: String,
        /// A file with a bearer token, which is read for each request, because
        /// the kubelet replaces it.
        bearer_token_file: Option<PathBuf>,
        /// The PEM certificates to trust instead of the system's.
        ca: Option<Vec<u8>>,
    },
}

/// Why a token's key is not there.
#[derive(Debug)]
pub(crate) enum NoKey {
    /// The token is not one of this cluster.
    Token(Error),
    /// The server of the keys did not answer with keys.
    Server(String),
}

impl From<Error> for NoKey {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

/// The keys of one cluster.
#[derive(Debug)]
pub(crate) enum Keys {
    /// The public key of this process, as a point of the curve P-256.
    Own(Vec<u8>),
    Fixed(JwkSet),
    Fetched(Box<Fetched>),
}

impl Keys {
    /// The keys of this source. Keys that come from a URL are fetched when a
    /// token first needs them.
    pub(crate) fn of(source: KeySource) -> io::Result<Self> {
        Ok(match source {
            KeySource::Json(json) => Self::Fixed(serde_json::from_str(&json)?),
            KeySource::Url { url, bearer_token_file, ca } => {
                crate::ring::install();
                let mut client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
                if url.starts_with("http://") {
                    client = client.tls_certs_only([]);
                } else if let Some(ca) = ca {
                    let trusted =
                        reqwest::Certificate::from_pem_bundle(&ca).map_err(io::Error::other)?;
                    client = client.tls_certs_only(trusted);
                }
                let client = client.build();
                let client = client.map_err(|error| io::Error::other(in_one_line(&error)))?;
                let cached = Mutex::new((JwkSet { keys: Vec::new() }, None));
                Self::Fetched(Box::new(Fetched { client, url, bearer_token_file, cached }))
            }
        })
    }

    /// The key that a token names in its header.
    pub(crate) async fn find(&self, token: &str) -> Result<DecodingKey, NoKey> {
        let keys = match self {
            Self::Own(key) => return Ok(DecodingKey::from_ec_der(key)),
            Self::Fixed(keys) => keys,
            Self::Fetched(fetched) => return fetched.find(&kid(token)?).await,
        };
        Ok(in_set(keys, &kid(token)?)?)
    }
}

fn kid(token: &str) -> Result<String, Error> {
    Ok(jsonwebtoken::decode_header(token)?.kid.unwrap_or_default())
}

fn in_set(keys: &JwkSet, kid: &str) -> Result<DecodingKey, Error> {
    DecodingKey::from_jwk(keys.find(kid).ok_or(ErrorKind::InvalidSignature)?)
}

/// Keys from a URL, and the time of the last request.
#[derive(Debug)]
pub(crate) struct Fetched {
    client: reqwest::Client,
    url: String,
    bearer_token_file: Option<PathBuf>,
    cached: Mutex<(JwkSet, Option<Instant>)>,
}

impl Fetched {
    /// Looks in the cache, and asks the server for a key that is not there:
    /// clusters replace their keys.
    async fn find(&self, kid: &str) -> Result<DecodingKey, NoKey> {
        {
            let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
            let (keys, asked) = &mut *cached;
            if keys.find(kid).is_some() || asked.is_some_and(|at| at.elapsed() < PAUSE) {
                return Ok(in_set(keys, kid)?);
            }
            *asked = Some(Instant::now());
        }
        let fetched = self.fetch().await;
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => cached.0 = keys,
            Err(why) => {
                cached.1 = None;
                return Err(NoKey::Server(why));
            }
        }
        Ok(in_set(&cached.0, kid)?)
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let url = &self.url;
        let mut request = self.client.get(url);
        if let Some(file) = &self.bearer_token_file {
            let token = std::fs::read_to_string(file)
                .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let body = match answer {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        };
        let body = body.map_err(|error| format!("no keys: {}", in_one_line(&error)))?;
        serde_json::from_slice(&body).map_err(|error| format!("{url} has no JSON keys: {error}"))
    }
}

/// An error and its causes in one line.
pub(crate) fn in_one_line(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
