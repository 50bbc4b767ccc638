//! How long hosts want no request: what `Retry-After` asks for holds for the pictures after this one too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;
use url::Url;

use super::error::FetchError;
use crate::lock::lock;

/// The longest rest that a host gets: one that asks for years is as likely wrong as busy.
const LONGEST: Duration = Duration::from_hours(24);

/// The hosts that want no request, and until when. Cheap to clone: all clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Rests(Arc<Mutex<HashMap<String, Instant>>>);

impl Rests {
    /// The host of this URL asked for no request within this time.
    pub(super) fn grant(&self, url: &Url, time: Duration) {
        let until = Instant::now() + time.min(LONGEST);
        lock(&self.0).insert(host(url), until);
    }

    /// An error if the host of this URL wants no request now.
    pub(super) fn check(&self, url: &Url) -> Result<(), FetchError> {
        let mut hosts = lock(&self.0);
        let now = Instant::now();
        hosts.retain(|_, until| *until > now);
        let host = host(url);
        match hosts.get(&host) {
            Some(until) => {
                // In whole seconds, and not fewer than there are.
                let left = Duration::from_secs((*until - now).as_secs() + 1);
                Err(FetchError::Resting { host, left })
            }
            None => Ok(()),
        }
    }
}

/// Host and port.
fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

/// The pause that `Retry-After` asks for, in seconds or as a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_rests_as_long_as_it_asks_for_and_a_day_at_most() {
        let rests = Rests::default();
        let url = |text: &str| Url::parse(text).expect("a URL");
        let busy = url("https://busy.example.com/a");
        rests.grant(&busy, Duration::from_hours(1));
        assert!(rests.check(&url("https://busy.example.com/b?c")).is_err());
        assert!(rests.check(&url("https://busy.example.com:8443/")).is_ok());
        assert!(rests.check(&url("https://other.example.com/")).is_ok());
        advance(Duration::from_mins(59)).await;
        let told = rests.check(&busy).expect_err("it rests").to_string();
        assert!(told.contains("busy.example.com") && told.contains("1m"), "{told}");
        advance(Duration::from_mins(1)).await;
        assert!(rests.check(&busy).is_ok());
        rests.grant(&busy, Duration::from_secs(u64::MAX));
        advance(LONGEST).await;
        assert!(rests.check(&busy).is_ok());
    }
}
