//! The request for a picture: redirects, retries and deadlines.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, redirect};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::address_guard::AddressGuard;
use super::error::FetchError;
use super::limits::{Limits, time_left};
use super::picture::Picture;
use crate::aws::excludes_all;
use crate::backoff::pauses;

/// Redirects that are followed for one picture.
const MAX_REDIRECTS: usize = 5;

/// The pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The image hosts, and the HTTP client that asks them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    client: Client,
    guard: AddressGuard,
    urls: Vec<Url>,
    limits: Limits,
}

impl Source {
    /// Prepares the HTTP client for these URLs. `allow_private` allows loopback, private and
    /// link-local addresses. Fails only if TLS cannot be set up.
    pub(crate) fn new(
        urls: Vec<Url>,
        allow_private: bool,
        limits: Limits,
    ) -> Result<Self, reqwest::Error> {
        let guard = AddressGuard::new(allow_private);
        let client = if excludes_all() { Client::builder().no_proxy() } else { Client::builder() };
        let client = client
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .redirect(redirect_policy(guard.clone()))
            .dns_resolver(guard.clone())
            .referer(false)
            // Close idle connections after 5 s: reuse helps a load test, not ticks of 30 s.
            .pool_idle_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self { client, guard, urls, limits })
    }

    /// Asks one of the image hosts, picked at random, for a picture, and repeats the request while
    /// that may help and the fetch timeout lasts. Returns once the picture's kind is known; the
    /// other bytes are still arriving.
    pub(crate) async fn fetch(&self) -> Result<Picture, FetchError> {
        let Some(url) = fastrand::choice(&self.urls) else {
            return Err(FetchError::Connect("no image URL is set".to_owned()));
        };
        let deadline = Instant::now() + self.limits.fetch;
        let mut pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE);
        let mut attempts = 0;
        let mut earlier = None;
        loop {
            attempts += 1;
            let had = time_left(deadline);
            let error = match self.attempt(url, attempts, deadline).await {
                Ok(picture) => return Ok(picture),
                Err(error) => error,
            };
            // If the deadline cut this attempt short, report the earlier failure.
            if let (FetchError::Timeout { .. }, Some(earlier)) = (&error, earlier)
                && had < self.limits.read
                && time_left(deadline).is_zero()
            {
                return Err(earlier);
            }
            match pauses.next().and_then(|backoff| error.pause(backoff)) {
                Some(pause) if pause < time_left(deadline) => {
                    tracing::debug!(%error, ?pause, "asking the image host again");
                    sleep(pause).await;
                }
                _ => return Err(error),
            }
            earlier = Some(error);
        }
    }

    async fn attempt(
        &self,
        url: &Url,
        attempts: u32,
        deadline: Instant,
    ) -> Result<Picture, FetchError> {
        self.guard.check_url(url)?;
        let answer = self.client.get(url.clone()).send();
        let response = timeout(time_left(deadline).min(self.limits.read), answer)
            .await
            .map_err(|_| self.limits.too_slow(time_left(deadline)))?
            .map_err(|error| self.limits.explain(error, None))?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(response.headers());
            return Err(FetchError::Status { status, retry_after });
        }
        Picture::open(response, self.limits, attempts, deadline).await
    }
}

/// Follows at most [`MAX_REDIRECTS`], none from https to http and none to a refused address.
fn redirect_policy(guard: AddressGuard) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let downgrade = attempt.url().scheme() == "http"
            && attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        let refused = if attempt.previous().len() > MAX_REDIRECTS {
            Some(FetchError::Redirect("more than 5 in a row"))
        } else if downgrade {
            Some(FetchError::Redirect("from https to http"))
        } else {
            guard.check_url(attempt.url()).err().map(FetchError::from)
        };
        match refused {
            Some(error) => attempt.error(error),
            None => attempt.follow(),
        }
    })
}

/// The pause that `Retry-After` asks for, in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok(),
    }
}
