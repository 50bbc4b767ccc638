//! A job that fetches a random picture at each tick and streams it to S3, with the identity that the
//! AWS default credential chain finds, and that explains why it has none. Each picture passes through the modules in one direction:
//!
//! `cli` → `config` → `app` → `job` → `source` → `upload` → S3.
//!
//! `app` builds the parts and connects them. `identity` stands beside that path: it resolves
//! credentials before the first tick and keeps them fresh behind the S3 client. `diagnosis` stands above
//! both: it explains a failure by what was recorded. `aws` is below them: the SDK's settings, the HTTP
//! client that records each request, redaction. `status` knows what has happened, and `server` serves
//! health, metrics and the `page` from it.

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
