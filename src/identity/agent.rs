//! A direct request to the Pod Identity Agent, for diagnosis.
//!
//! The SDK's provider does not pass on the agent's error text, so the agent is asked once more after
//! the provider has failed. A successful answer is not read.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, redirect};
use url::{Host, Url};

use super::injected::{FULL_URI, Injected, TOKEN_FILE};
use crate::errors::{find_cause, innermost, printable};

/// The SDK's provider waits two seconds for a connection; a slow agent is given more here.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest text of the agent that is kept, in bytes.
const LONGEST_TEXT: usize = 500;

/// How the agent answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With credentials.
    Credentials,
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
        let mut text = printable(text.trim());
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        Self::Refusal { status, text }
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
    Some(match client.get(uri).header(AUTHORIZATION, token).send().await {
        Ok(response) if response.status().is_success() => Answer::Credentials,
        Ok(mut response) => {
            let status = response.status().as_u16();
            let mut text = Vec::new();
            while text.len() < LONGEST_TEXT
                && let Ok(Some(chunk)) = response.chunk().await
            {
                text.extend_from_slice(&chunk);
            }
            Answer::refusal(status, &String::from_utf8_lossy(&text))
        }
        Err(error) if error.is_timeout() => Answer::Timeout,
        Err(error) => {
            let error = error.without_url();
            match find_cause::<io::Error>(&error).map(io::Error::kind) {
                Some(io::ErrorKind::ConnectionRefused) => Answer::ConnectionRefused,
                _ => Answer::Unreachable(innermost(&error)),
            }
        }
    })
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
    use super::*;

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
