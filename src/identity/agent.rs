//! A direct request to the Pod Identity Agent, for diagnosis.
//!
//! The SDK's provider does not pass on the agent's error text, so the agent is asked once more after
//! the provider has failed. A successful answer is not read.

use std::fs;
use std::io;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};

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

/// Asks the agent as the SDK's provider does, but not through a proxy. Returns `None` if no agent is
/// injected or its token cannot be read.
pub(super) async fn ask(injected: &Injected) -> Option<Answer> {
    let uri = injected.variable(FULL_URI)?;
    let token = fs::read_to_string(injected.variable(TOKEN_FILE)?).ok()?;
    let mut token = HeaderValue::from_str(token.trim()).ok()?;
    token.set_sensitive(true);
    let client = Client::builder().no_proxy().timeout(TIMEOUT).build().ok()?;
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
