//! The agent's client of EKS Auth.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::cache::Delegate;
use crate::keys::in_one_line;
use crate::refusal::Refusal;
use crate::service_error::ServiceError;

/// How often the SDK for Go sends a request.
const ATTEMPTS: u32 = 3;
/// Its quota for repetitions, what one costs (twice that after a timeout), and what a success without
/// one returns (`aws/retry/standard.go` of aws-sdk-go-v2).
const QUOTA: u32 = 500;
const REPETITION: u32 = 5;
const RETURNED: u32 = 1;
/// The agent's timeout for a connection (`internal/cloud/eksauth/service.go`).
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Its timeout for a request.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Credentials from EKS Auth, as the agent hands them out.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) access_key_id: String,
    secret_access_key: String,
    session_token: String,
    account_id: String,
    pub(crate) expires: SystemTime,
}

impl Received {
    /// The agent's answer.
    pub(crate) fn json(&self) -> String {
        json!({
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key,
            "Token": self.session_token,
            "AccountId": self.account_id,
            "Expiration": humantime::format_rfc3339_seconds(self.expires).to_string(),
        })
        .to_string()
    }

    /// How long they are still valid.
    pub(crate) fn left(&self) -> Duration {
        self.expires.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// The same in seconds, which are negative if they have expired.
    pub(crate) fn seconds_left(&self) -> f64 {
        match self.expires.duration_since(SystemTime::now()) {
            Ok(left) => left.as_secs_f64(),
            Err(past) => -past.duration().as_secs_f64(),
        }
    }

    /// Credentials of a test, which last this long.
    #[cfg(test)]
    pub(crate) fn lasting(access_key_id: String, lifetime: Duration) -> Self {
        let (secret_access_key, session_token) = (String::new(), String::new());
        let (account_id, expires) = (String::new(), SystemTime::now() + lifetime);
        Self { access_key_id, secret_access_key, session_token, account_id, expires }
    }
}

/// Why there are no credentials.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    /// What the agent logs.
    pub(crate) reason: String,
    /// Whether the association or the token is gone, so that the agent drops
    /// the credentials that it has (`internal/cloud/eksauth/errors.go`).
    pub(crate) is_final: bool,
}

impl Failure {
    /// The agent's own failure: 500 with its reason.
    pub(crate) fn own(reason: String) -> Self {
        let refusal = Refusal { status: 500, text: reason.clone() };
        Self { refusal, reason, is_final: false }
    }

    /// A failure of EKS Auth while the cache asks. Only the log has these words:
    /// the answer is that of the service (`refreshing_cache.go:200`,
    /// `pkg/errors/errors.go:61-107` of 0.1.37).
    pub(crate) fn while_caching(self) -> Self {
        let reason = format!("error getting credentials to cache: {}", self.reason);
        Self { reason, ..self }
    }

    fn no_answer(why: &str) -> Self {
        let reason = format!("unable to fetch credentials from EKS Auth: {why}");
        Self { refusal: Refusal::no_answer(), reason, is_final: false }
    }

    fn of_service(id: &str, status: u16, error: &ServiceError) -> Self {
        let refusal = Refusal::of_service(id, status, error);
        let is_final = [
            "ResourceNotFoundException",
            "ExpiredTokenException",
            "InvalidTokenException",
            "AccessDeniedException",
        ]
        .contains(&error.code.as_str());
        Self { reason: refusal.text.clone(), refusal, is_final }
    }

    /// Whether the SDK sends the request again: after a throttled request, an
    /// error of the server, or none at all.
    fn is_worth_repeating(&self) -> bool {
        [429, 500, 502, 503, 504].contains(&self.refusal.status)
    }
}

/// The client. It does not sign its requests, which the real agent does with
/// the credentials of the node's role.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: reqwest::Client,
    url: String,
    quota: Mutex<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    credentials: OutputCredentials,
    assumed_role_user: OutputUser,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutputCredentials {
    session_token: String,
    secret_access_key: String,
    access_key_id: String,
    expiration: f64,
}

#[derive(Deserialize)]
struct OutputUser {
    arn: String,
}

impl Upstream {
    pub(crate) fn new(endpoint: &str, cluster: &str, timeout: Duration) -> io::Result<Self> {
        crate::ring::install();
        let mut client =
            reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).timeout(timeout);
        if endpoint.starts_with("http://") {
            // An image without certificates needs none then.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(io::Error::other)?;
        let endpoint = endpoint.trim_end_matches('/');
        let url = format!("{endpoint}/clusters/{cluster}/assume-role-for-pod-identity");
        Ok(Self { client, url, quota: Mutex::new(QUOTA) })
    }

    /// Takes the price of a repetition out of the quota, if there is enough.
    fn may_repeat(&self, failure: &Failure) -> Option<u32> {
        // Without any answer, it is a timeout mostly.
        let price = if failure.refusal.text == "[]" { 2 * REPETITION } else { REPETITION };
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        *quota = quota.checked_sub(price)?;
        Some(price)
    }

    fn refund(&self, tokens: u32) {
        let mut quota = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        *quota = QUOTA.min(*quota + tokens);
    }

    async fn ask(&self, token: &str) -> Result<Received, Failure> {
        let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json");
        let answer = request.body(json!({ "token": token }).to_string()).send().await;
        let answer = answer.map_err(|error| Failure::no_answer(&in_one_line(&error)))?;
        let (status, id, code) = (
            answer.status(),
            header(&answer, "x-amzn-requestid"),
            header(&answer, "x-amzn-errortype"),
        );
        let body =
            answer.bytes().await.map_err(|error| Failure::no_answer(&in_one_line(&error)))?;
        if status != StatusCode::OK {
            return Err(Failure::of_service(&id, status.as_u16(), &error(&code, &body)));
        }
        let output: Output = serde_json::from_slice(&body)
            .map_err(|error| Failure::no_answer(&format!("deserialization failed: {error}")))?;
        let (credentials, arn) = (output.credentials, output.assumed_role_user.arn);
        let expires = Duration::try_from_secs_f64(credentials.expiration).unwrap_or_default();
        Ok(Received {
            account_id: arn.split(':').nth(4).unwrap_or_default().to_owned(),
            access_key_id: credentials.access_key_id,
            secret_access_key: credentials.secret_access_key,
            session_token: credentials.session_token,
            expires: SystemTime::UNIX_EPOCH + expires,
        })
    }
}

#[async_trait::async_trait]
impl Delegate for Upstream {
    /// Asks EKS Auth for a pod's credentials.
    async fn assume_role(&self, token: &str) -> Result<Received, Failure> {
        let (mut attempt, mut paid) = (1, None);
        loop {
            let failure = match self.ask(token).await {
                Ok(received) => {
                    self.refund(paid.unwrap_or(RETURNED));
                    return Ok(received);
                }
                Err(failure) => failure,
            };
            if attempt == ATTEMPTS || !failure.is_worth_repeating() {
                return Err(failure);
            }
            paid = self.may_repeat(&failure);
            if paid.is_none() {
                return Err(failure);
            }
            // The SDK's backoff: a random part of 2 and then of 4 seconds.
            let pause = fastrand::f64() * f64::from(1 << attempt);
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            attempt += 1;
        }
    }
}

fn header(answer: &Response, name: &str) -> String {
    let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// The error in a body of `restJson1`. A code may have a namespace before it,
/// or a URL after it.
fn error(code: &str, body: &Bytes) -> ServiceError {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default();
    let code = if code.is_empty() { "UnknownError" } else { code };
    ServiceError::new(code, body["message"].as_str().unwrap_or_default())
}
