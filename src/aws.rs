//! What lies between the program and AWS: the SDK's settings, the HTTP client that limits responses and
//! records what happened to each request, the texts of errors without secrets, and partitions.

mod connect;
mod ends;
mod error;
mod exchange;
mod first_retry;
mod http;
mod partition;
mod progress;
mod redact;
mod retry;
mod settings;

pub(crate) use connect::has_certificates;
pub(crate) use error::explain;
pub(crate) use exchange::{Ending, Exchange};
pub(crate) use first_retry::FirstRetry;
pub(crate) use http::{LongestResponse, Record, excludes_all, keep_password, unusable_proxies};
pub(crate) use partition::Partition;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use redact::does_something;
pub(crate) use redact::{clean, keep_secret};
pub(crate) use retry::RetriedStatus;
pub(crate) use settings::{
    Settings, UnusableEndpoint, endpoint, is_at_amazon, longest_picture, region, unusable_endpoints,
};
