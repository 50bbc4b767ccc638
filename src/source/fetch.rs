//! The request for a picture: redirects, retries and deadlines.

use std::time::Duration;

use reqwest::header::SET_COOKIE;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::address_guard::AddressGuard;
use super::error::FetchError;
use super::limits::{Limits, time_left};
use super::picture::Picture;
use super::redirect::{MAX_REDIRECTS, target};
use super::rest::{Rests, retry_after};
use crate::aws::excludes_all;
use crate::backoff::pauses;

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
    rests: Rests,
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
            // They are followed here, so that what is wrong with one can be told.
            .redirect(Policy::none())
            .dns_resolver(guard.clone())
            .referer(false)
            // Close idle connections after 5 s: reuse helps a load test, not ticks of 30 s.
            .pool_idle_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self { client, guard, urls, limits, rests: Rests::default() })
    }

    /// One of the URLs, picked at random among those whose hosts do not rest, if there are any.
    pub(crate) fn pick(&self) -> &Url {
        let ready: Vec<_> = self.urls.iter().filter(|url| self.rests.check(url).is_ok()).collect();
        fastrand::choice(ready).unwrap_or(&self.urls[0])
    }

    /// Asks an image host for a picture, and repeats the request while that may help and the fetch
    /// timeout lasts. Returns once the picture's kind is known; the other bytes are still arriving.
    pub(crate) async fn fetch(&self, url: &Url) -> Result<Picture, FetchError> {
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
                    if attempts == 1 {
                        let host = host(url);
                        tracing::warn!(host, %error, ?pause, "asking the image host again");
                    } else {
                        tracing::debug!(%error, ?pause, "asking the image host again");
                    }
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
        let response = timeout(time_left(deadline).min(self.limits.read), self.respond(url))
            .await
            .map_err(|_| self.limits.too_slow(time_left(deadline)))??;
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(response.headers());
            if let Some(time) = retry_after {
                self.rests.grant(response.url(), time);
            }
            return Err(FetchError::Status { status, retry_after });
        }
        Picture::open(response, self.limits, attempts, deadline).await
    }

    /// The response to which the redirects of the URL lead.
    async fn respond(&self, url: &Url) -> Result<Response, FetchError> {
        let mut url = url.clone();
        let mut sets_cookies = false;
        for _ in 0..=MAX_REDIRECTS {
            self.rests.check(&url)?;
            self.guard.check_url(&url)?;
            let response = self.client.get(url).send().await;
            let response = response.map_err(|error| self.limits.explain(error, None))?;
            sets_cookies |= response.headers().contains_key(SET_COOKIE);
            match target(&response)? {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        let why = if sets_cookies {
            "more than 5 in a row; the host sets a cookie, which the program does not send back"
        } else {
            "more than 5 in a row"
        };
        Err(FetchError::Redirect(why.to_owned()))
    }
}

/// The host of a URL, with its port if that is not the scheme's own.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
