//! What has happened so far, and whether that is as it should be, for kubelets, Prometheus and
//! people.

mod health;
mod metrics;
mod outcome;
mod scrape;
mod server;

pub(crate) use health::Status;
pub(crate) use outcome::Outcome;
pub(crate) use server::serve;
