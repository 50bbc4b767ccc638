//! One picture from the image host: redirects, address guard, retries, limits and deadlines.
//!
//! The host is not trusted. Whatever it sends, what comes out of here is either exactly one whole
//! picture or an error that says why not.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use tokio::time::Instant;
use url::Url;

use crate::address_guard::{AddressGuard, AddressRefused};
use crate::config::Config;
use crate::errors::{causes, innermost};
use crate::picture::Picture;

/// Redirects that are followed for one picture.
const MAX_REDIRECTS: usize = 5;

/// Why there is no picture. [`FetchError::reason`] names each kind in a word.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The host answered, but not with 2xx.
    #[error("the image host answered {status}")]
    Status {
        /// What it answered.
        status: StatusCode,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// No connection, or none that lasted to the answer.
    #[error("no answer from the image host: {0}")]
    Connect(String),
    /// It took longer than a setting allows.
    #[error("the image host was too slow: more than {setting} {limit:?}")]
    Timeout {
        /// The setting's flag.
        setting: &'static str,
        /// Its value.
        limit: Duration,
    },
    /// The URL, a redirect or a DNS answer leads where no image host may.
    #[error("address refused: {0}")]
    Address(#[from] AddressRefused),
    /// A redirect that is not followed.
    #[error("redirect refused: {0}")]
    Redirect(&'static str),
    /// A 2xx without a body.
    #[error("the answer is empty")]
    Empty,
    /// By its first bytes the body is something else.
    #[error("not an image: the first bytes say {0}")]
    NotAnImage(&'static str),
    /// Larger than `--max-image-size`.
    #[error("larger than --max-image-size, {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body's length is not what was declared.
    #[error("{received} bytes came, Content-Length declared {declared}")]
    Length {
        /// Bytes that came.
        received: u64,
        /// Bytes declared.
        declared: u64,
    },
    /// The connection died half-way.
    #[error("the connection broke after {received} bytes: {cause}")]
    Broken {
        /// Bytes that came.
        received: u64,
        /// What the transport says.
        cause: String,
    },
}

impl FetchError {
    /// A word for the kind of failure, from a closed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Connect(_) => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Address(_) => "address",
            Self::Redirect(_) => "redirect",
            Self::Empty => "empty",
            Self::NotAnImage(_) => "not_an_image",
            Self::TooLarge { .. } => "too_large",
            Self::Length { .. } => "length",
            Self::Broken { .. } => "broken",
        }
    }

    /// Whether asking again may help: the transport failed, or the host said "not now".
    fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Connect(_) | Self::Timeout { .. } => true,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The image hosts, and how to fetch from them.
#[derive(Clone, Debug)]
pub struct Source {
    client: Client,
    guard: AddressGuard,
    urls: Vec<Url>,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) size: u64,
    pub(crate) fetch: Duration,
    connect: Duration,
    read: Duration,
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
                (Instant::now() + pause < deadline).then_some(pause)
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

impl Limits {
    /// What a transport error means. `received` is how much of the body came, if it had begun.
    pub(crate) fn explain(
        self,
        error: reqwest::Error,
        deadline: Instant,
        received: Option<u64>,
    ) -> FetchError {
        // A query or userinfo may be secret; the caller knows the URL.
        let error = error.without_url();
        if let Some(refused) = causes(&error).find_map(|e| e.downcast_ref::<AddressRefused>()) {
            return FetchError::Address(refused.clone());
        }
        if let Some(refused) = causes(&error).find_map(|e| e.downcast_ref::<FetchError>()) {
            return refused.clone();
        }
        if error.is_timeout() {
            let (setting, limit) = if Instant::now() >= deadline {
                ("--fetch-timeout", self.fetch)
            } else if error.is_connect() {
                ("--connect-timeout", self.connect)
            } else {
                ("--read-timeout", self.read)
            };
            return FetchError::Timeout { setting, limit };
        }
        // The innermost cause is the one that says something: "Connection refused".
        let cause = innermost(&error);
        match received {
            Some(received) => FetchError::Broken { received, cause },
            None => FetchError::Connect(cause),
        }
    }
}
