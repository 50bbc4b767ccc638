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

mod app;
mod aws;
mod backoff;
mod cli;
mod config;
mod core_dump;
mod diagnosis;
mod errors;
mod exit;
mod identity;
mod job;
mod lock;
mod page;
#[cfg(test)]
mod seeds;
mod server;
mod source;
mod status;
mod telemetry;
mod upload;

pub use app::run;
pub use cli::{Cli, VERSION};
pub use core_dump::keep_secrets_out_of_core_dumps;

/// The properties that `fuzz/` tests. Each is defined beside the parser that it is about.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz_logic {
    pub use crate::config::fuzz_logic::setting;
    pub use crate::diagnosis::fuzz_logic::{agent_response, s3_refusal};
    pub use crate::identity::fuzz_logic::token;
    pub use crate::source::fuzz_logic::picture;
}
