//! One picture from the image host: redirects, address guard, retries, limits and deadlines.
//!
//! The host is not trusted. Whatever it sends, what comes out of here is either exactly one whole
//! picture or an error that says why not.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, redirect};
use tokio::time::Instant;
use url::Url;

use crate::address_guard::AddressGuard;
use crate::config::Config;
use crate::fetch_error::{FetchError, Limits};
use crate::picture::Picture;

/// Redirects that are followed for one picture.
const MAX_REDIRECTS: usize = 5;

/// The image hosts, and how to fetch from them.
#[derive(Clone, Debug)]
pub struct Source {
    client: Client,
    guard: AddressGuard,
    urls: Vec<Url>,
    limits: Limits,
}

impl Source {
    /// Prepares the HTTP client. Fails only where TLS cannot be set up.
    pub fn new(config: &Config) -> Result<Self, reqwest::Error> {
        let guard = AddressGuard::new(config.allow_private_source);
        let client = Client::builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.read_timeout)
            .redirect(redirect_policy(guard.clone()))
            .dns_resolver(guard.clone())
            .referer(false)
            // An idle connection is worth keeping for a load test, not for half a minute.
            .pool_idle_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self {
            client,
            guard,
            urls: config.image_urls.clone(),
            limits: Limits {
                size: config.max_image_size,
                fetch: config.fetch_timeout,
                connect: config.connect_timeout,
                read: config.read_timeout,
            },
        })
    }

    /// Asks one of the image hosts, picked at random, for a picture: again while that may help, with
    /// exponential backoff and full jitter, as long as `--fetch-timeout` lasts. Comes back once the
    /// picture's kind is known; its other bytes are in [`Picture`], still arriving.
    pub async fn fetch(&self) -> Result<Picture, FetchError> {
        let Some(url) = fastrand::choice(&self.urls) else {
            return Err(FetchError::Connect("no image URL is set".to_owned()));
        };
        let deadline = Instant::now() + self.limits.fetch;
        let mut attempts = 0;
        let attempt = || {
            attempts += 1;
            self.attempt(url, attempts, deadline)
        };
        attempt
            .retry(Backoff)
            .when(FetchError::is_transient)
            .adjust(|error, backoff| {
                let pause = error.retry_after().max(backoff)?;
                tracing::debug!(%error, ?pause, "asking the image host again");
                (pause < deadline.saturating_duration_since(Instant::now())).then_some(pause)
            })
            .await
    }

    async fn attempt(
        &self,
        url: &Url,
        attempts: u32,
        deadline: Instant,
    ) -> Result<Picture, FetchError> {
        self.guard.check_url(url)?;
        let response = self
            .client
            .get(url.clone())
            .timeout(deadline.saturating_duration_since(Instant::now()))
            .send()
            .await
            .map_err(|error| self.limits.explain(error, deadline, None))?;
        if !response.status().is_success() {
            return Err(FetchError::Status {
                status: response.status(),
                retry_after: retry_after(response.headers()),
            });
        }
        Picture::open(response, self.limits, attempts, deadline).await
    }
}

/// At most [`MAX_REDIRECTS`], none from https to http, none to a refused address.
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

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok(),
    }
}

/// Exponential backoff with full jitter: from nothing up to 0.2 s, 0.4 s, … 10 s, for as long as the
/// caller's deadline allows.
struct Backoff;

impl BackoffBuilder for Backoff {
    type Backoff = std::iter::Map<backon::ExponentialBackoff, fn(Duration) -> Duration>;

    fn build(self) -> Self::Backoff {
        ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(10))
            .without_max_times()
            .build()
            // Never quite nothing: a host that refuses at once is not to be asked in a tight loop.
            .map(|cap| cap.mul_f64(fastrand::f64()).max(Duration::from_millis(10)))
    }
}
