//! What has happened so far, and whether that is as it should be, for kubelets, Prometheus and
//! people.

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
