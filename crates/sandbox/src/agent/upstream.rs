//! The agent's client of EKS Auth.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value, json};

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
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    account_id: String,
    expires: SystemTime,
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
}

/// Why there are no credentials.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    /// What the agent logs.
    pub(crate) reason: String,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { reason: refusal.text.clone(), refusal }
    }
}

impl Failure {
    /// EKS Auth's answer, or that there is none, tells the agent's SDK nothing that the agent can
    /// pass on: see [`Refusal::unreadable`].
    fn unreadable(id: &str, status: u16, why: &str) -> Self {
        let reason = format!("unable to fetch credentials from EKS Auth: {why}");
        Self { refusal: Refusal::unreadable(id, status), reason }
    }

    fn no_answer(error: &reqwest::Error) -> Self {
        Self::unreadable("", 500, &in_one_line(error))
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
    credentials: Option<OutputCredentials>,
    assumed_role_user: Option<OutputUser>,
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
        let is_timeout = (failure.refusal.status, failure.refusal.text.as_str()) == (500, "[]");
        let price = if is_timeout { 2 * REPETITION } else { REPETITION };
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
        let answer = answer.map_err(|error| Failure::no_answer(&error))?;
        let (status, id, code) = (
            answer.status().as_u16(),
            header(&answer, "x-amzn-requestid"),
            header(&answer, "x-amzn-errortype"),
        );
        let body = answer.bytes().await.map_err(|error| Failure::no_answer(&error))?;
        let unreadable = |error: serde_json::Error| {
            Failure::unreadable(&id, status, &format!("deserialization failed: {error}"))
        };
        if !(200..300).contains(&status) {
            let error = error(&code, &body).map_err(unreadable)?;
            return Err(Refusal::of_service(&id, status, &error).into());
        }
        let output: Output = serde_json::from_slice(&body).map_err(unreadable)?;
        let (Some(credentials), Some(OutputUser { arn })) =
            (output.credentials, output.assumed_role_user)
        else {
            let text = "invalid response from server: credentials or assumed role empty";
            return Err(Refusal { status: 500, text: text.to_owned() }.into());
        };
        let expires = Duration::try_from_secs_f64(credentials.expiration).unwrap_or_default();
        Ok(Received {
            account_id: arn.split(':').nth(4).unwrap_or_default().to_owned(),
            access_key_id: credentials.access_key_id,
            secret_access_key: credentials.secret_access_key,
            session_token: credentials.session_token,
            expires: SystemTime::UNIX_EPOCH + expires,
        })
    }

    /// Asks EKS Auth for a pod's credentials.
    pub(crate) async fn assume_role(&self, token: &str) -> Result<Received, Failure> {
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

/// The error in a body of `restJson1`, as the SDK for Go reads it
/// (`awsRestjson1_deserializeOpErrorAssumeRoleForPodIdentity` in `service/eksauth/deserializers.go`,
/// `GetErrorInfo` and `SanitizeErrorCode` in `aws/protocol/restjson/decoder_util.go`): a body that
/// is neither empty nor an object is unreadable. A code may have a namespace before it, or a URL
/// after it.
fn error(code: &str, body: &Bytes) -> serde_json::Result<ServiceError> {
    let body: Map<String, Value> =
        if body.is_empty() { Map::new() } else { serde_json::from_slice(body)? };
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let code = Some(code).filter(|code| !code.is_empty());
    let code = code.or_else(|| text("code")).or_else(|| text("__type")).unwrap_or("UnknownError");
    let code = code.split(':').next().unwrap_or_default();
    let code = code.split_once('#').map_or(code, |(_, code)| code);
    let error = ServiceError::new(code, text("message").unwrap_or_default());
    let is_bare = error.message.is_empty() && error.fault() == "unknown";
    Ok(if is_bare { ServiceError::new(code, "UnknownError") } else { error })
}
