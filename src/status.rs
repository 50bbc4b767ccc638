//! The state of the job, as health checks for the kubelet, as metrics for Prometheus, and as events
//! for the page.

mod event;
mod health;
mod metrics;
mod outcome;
mod scrape;

pub(crate) use event::{Event, Observer};
pub(crate) use health::Status;
pub(crate) use metrics::CONTENT_TYPE;
pub(crate) use outcome::Outcome;
pub(crate) use scrape::unix;
