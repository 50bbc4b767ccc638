//! What the Pod Identity Agent says when it is asked directly.
//!
//! For diagnosis alone, after the SDK's provider has failed: the provider keeps the agent's words to
//! itself. What the agent answers with success is not read.

use std::fs;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};

use super::injected::{FULL_URI, TOKEN_FILE, variable};
use crate::errors::innermost;

/// The SDK's provider waits two seconds for a connection; an agent that is only slow is given more.
const PATIENCE: Duration = Duration::from_secs(5);

/// The agent's words that are kept, in bytes.
const LONGEST_TEXT: usize = 500;

/// How the agent answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With credentials.
    Credentials,
    /// With a status, and a text that says why.
    Refusal {
        /// HTTP's.
        status: u16,
        /// Plain text, cut if it is long.
        text: String,
    },
    /// Nobody listens there.
    ConnectionRefused,
    /// Nothing came within [`PATIENCE`].
    Timeout,
    /// Something else kept it from answering.
    Unreachable(String),
}

/// Asks the agent as the SDK's provider does, but past any proxy; `None` if no agent is named.
pub async fn ask() -> Option<Answer> {
    let uri = variable(FULL_URI)?;
    let token = fs::read_to_string(variable(TOKEN_FILE)?).ok()?;
    let mut token = HeaderValue::from_str(token.trim()).ok()?;
    token.set_sensitive(true);
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().ok()?;
    Some(match client.get(uri).header(AUTHORIZATION, token).send().await {
        Ok(response) if response.status().is_success() => Answer::Credentials,
        Ok(response) => {
            let status = response.status().as_u16();
            let mut text = response.text().await.unwrap_or_default().trim().replace('\n', " ");
            let end = text.floor_char_boundary(LONGEST_TEXT);
            text.truncate(end);
            Answer::Refusal { status, text }
        }
        Err(error) if error.is_timeout() => Answer::Timeout,
        Err(error) => {
            let error = error.without_url();
            match innermost(&error) {
                cause if cause.contains("refused") => Answer::ConnectionRefused,
                cause => Answer::Unreachable(cause),
            }
        }
    })
}

/// Whether the environment's proxy variables send requests for the agent through a proxy, which has
/// no way to a link-local address on this node.
#[must_use]
pub fn is_proxied() -> bool {
    variable(FULL_URI)
        .and_then(|uri| uri.parse().ok())
        .is_some_and(|uri| Matcher::from_env().intercept(&uri).is_some())
}
