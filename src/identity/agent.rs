//! A direct request to the Pod Identity Agent, for diagnosis.
//!
//! The SDK's provider does not pass on the agent's error text, so the agent is asked once more after
//! the provider has failed. Of a successful answer, only what is missing in it is kept.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, redirect};
use serde_json::Value;
use url::{Host, Url};

use super::injected::{FULL_URI, Injected, TOKEN_FILE};
use crate::errors::{beginning, find_cause, innermost, printable};

/// The SDK's provider waits two seconds for a connection; a slow agent is given more here.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes: credentials have some 2 KB.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The longest text of the agent that is kept, in bytes.
const LONGEST_TEXT: usize = 500;

/// What is in a token, which is a JWT, and in a document of credentials; and what is shown instead.
const SECRETS: [&str; 3] = ["eyJ", "SecretAccessKey", "SessionToken"];
const HIDDEN: &str = "(a text that may contain secrets is not shown)";

/// How the agent answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With credentials.
    Credentials,
    /// With success, but without credentials that the SDK can use, and why not.
    Unusable(String),
    /// With an HTTP status and a plain text that says why; a long text is cut.
    Refusal { status: u16, text: String },
    /// Nothing listens at its address.
    ConnectionRefused,
    /// There was no answer within [`TIMEOUT`].
    Timeout,
    /// Another error of the network.
    Unreachable(String),
}

impl Answer {
    /// A refusal with this text in one line, of printable characters.
    pub(super) fn refusal(status: u16, text: &str) -> Self {
        let text = printable(text.trim());
        // What answers in the agent's place may send back what it got, or credentials.
        let is_secret = SECRETS.iter().any(|secret| text.contains(secret));
        let text = if is_secret { HIDDEN } else { beginning(&text, LONGEST_TEXT) };
        Self::Refusal { status, text: text.to_owned() }
    }

    /// An answer with success, which should be a document with these texts:
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
    /// None of them is kept.
    pub(super) fn success(body: &[u8]) -> Self {
        let unusable = |why: &str| Self::Unusable(format!("it {why}"));
        if body.len() >= LONGEST_ANSWER {
            return unusable("is too long");
        }
        let Ok(document) = serde_json::from_slice::<Value>(body) else {
            return unusable("is not JSON");
        };
        let text = |field: &str| document[field].as_str().unwrap_or_default();
        let fields = ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"];
        if let Some(field) = fields.into_iter().find(|field| text(field).is_empty()) {
            return unusable(&format!("has no {field}"));
        }
        match DateTime::from_str(text("Expiration"), Format::DateTime) {
            Ok(_) => Self::Credentials,
            Err(_) => unusable("has an Expiration that is no time"),
        }
    }

    fn failure(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        let error = error.without_url();
        match find_cause::<io::Error>(&error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => Self::ConnectionRefused,
            _ => Self::Unreachable(innermost(&error)),
        }
    }
}

/// Whether the token may be sent there. These are the rules of the SDK's provider: over plain HTTP only
/// to this machine and to the addresses of ECS and EKS
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>).
pub(super) fn may_have_token(uri: &str) -> bool {
    const OF_ECS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
    const OF_EKS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 23);
    const OF_EKS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);
    let Ok(url) = Url::parse(uri) else { return false };
    let is_local = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || [OF_ECS, OF_EKS].contains(&ip),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip == OF_EKS_V6,
        // The SDK resolves other names too, and accepts them if they are this machine's.
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || is_local
}

/// Asks the agent as the SDK's provider does, but not through a proxy. Returns `None` if no agent is
/// injected, if its token cannot be read or may not be sent there.
pub(super) async fn ask(injected: &Injected) -> Option<Answer> {
    let uri = injected.variable(FULL_URI).filter(|uri| may_have_token(uri))?;
    let token = fs::read_to_string(injected.variable(TOKEN_FILE)?).ok()?;
    let mut token = HeaderValue::from_str(token.trim()).ok()?;
    token.set_sensitive(true);
    let client = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .ok()?;
    let answer = async {
        let mut response = client.get(uri).header(AUTHORIZATION, token).send().await?;
        let status = response.status();
        let mut body = Vec::new();
        let read = read(&mut response, &mut body).await;
        if status.is_success() {
            return read.map(|()| Answer::success(&body));
        }
        // A refusal of which the end is missing still says why.
        Ok(Answer::refusal(status.as_u16(), &String::from_utf8_lossy(&body)))
    };
    Some(answer.await.unwrap_or_else(Answer::failure))
}

/// Reads the whole answer, or the beginning of one that is too long.
async fn read(response: &mut Response, body: &mut Vec<u8>) -> reqwest::Result<()> {
    while body.len() < LONGEST_ANSWER
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(())
}

/// Whether the proxy variables send requests for the agent through a proxy, which cannot reach a
/// link-local address of this node.
pub(super) fn is_proxied(injected: &Injected) -> bool {
    injected
        .variable(FULL_URI)
        .and_then(|uri| uri.parse().ok())
        .is_some_and(|uri| Matcher::from_env().intercept(&uri).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_says_what_its_credentials_lack() {
        let whole = json!({
            "AccessKeyId": "ASIA", "SecretAccessKey": "secret", "Token": "token",
            "Expiration": "2026-01-01T00:00:00Z",
        });
        let judged = |document: &Value| Answer::success(document.to_string().as_bytes());
        assert_eq!(judged(&whole), Answer::Credentials);
        for field in ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"] {
            for value in [Value::Null, json!(""), json!({ "secret": "secret" })] {
                let mut lacking = whole.clone();
                lacking[field] = value;
                assert_eq!(judged(&lacking), Answer::Unusable(format!("it has no {field}")));
            }
        }
        let mut never = whole.clone();
        never["Expiration"] = json!("never");
        let no_time = "it has an Expiration that is no time".to_owned();
        assert_eq!(judged(&never), Answer::Unusable(no_time));
        let long = " ".repeat(LONGEST_ANSWER);
        for (text, why) in [("<html>", "is not JSON"), (&long, "is too long")] {
            let answer = Answer::success(text.as_bytes());
            assert_eq!(answer, Answer::Unusable(format!("it {why}")));
        }
        assert_eq!(judged(&json!(["a"])), Answer::Unusable("it has no AccessKeyId".to_owned()));
    }

    #[test]
    fn the_token_goes_only_where_the_sdk_sends_it() {
        for uri in [
            "http://169.254.170.23/v1/credentials",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost/",
            "https://agent.example/",
        ] {
            assert!(may_have_token(uri), "{uri}");
        }
        for uri in [
            "http://agent.example/v1/credentials",
            "http://169.254.170.24/",
            "http://[fd00:ec2::24]/",
            "http://localhost.example/",
            "ftp://agent.example/",
            "/v1/credentials",
        ] {
            assert!(!may_have_token(uri), "{uri}");
        }
    }
}
