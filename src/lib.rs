//! The reference workload for AWS workload identity on Kubernetes.
//!
//! A job that fetches a random picture at each tick and streams it to S3, with the identity that the
//! AWS default credential chain finds. Each picture passes through the modules in one direction:
//!
//! `cli` → `config` → `app` → `job` → `source` → `upload` → S3.
//!
//! `app` builds the parts and connects them. Each attempt has one outcome, which `job` logs and
//! reports to `status`. `status` keeps health and metrics and passes every event on to `page`; `server`
//! serves all of these. `identity` is not on the picture's path: it resolves credentials, refreshes
//! them for the S3 client, and explains failures. It imports none of the others.

mod answer_limit;
mod app;
mod backoff;
mod cli;
mod config;
mod errors;
mod exit;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod job;
mod lock;
mod page;
mod partition;
mod sdk;
mod server;
mod source;
mod status;
mod telemetry;
mod upload;

pub use app::run;
pub use cli::{Cli, VERSION};
