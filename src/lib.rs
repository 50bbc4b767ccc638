//! The reference workload for AWS workload identity on Kubernetes.
//!
//! A job that fetches a random picture at each tick and streams it to S3, with whatever identity
//! the AWS default credential chain finds. The way of one picture is one direction through the
//! modules:
//!
//! [`cli`] → [`config`] → [`job`] → [`source`] → [`picture`] ([`image_kind`]) → [`upload`] (over
//! [`replay`]) → S3.
//!
//! What happens on it is told once a tick to [`status`], which [`metrics`] and [`server`] show.
//!
//! [`identity`] stands beside that way: it answers who we are, and why we are nobody. [`aws`] holds the SDK's settings,
//! [`address_guard`] what the image host may not point at.

pub mod address_guard;
pub mod aws;
pub mod checksum_trailer;
pub mod cli;
pub mod config;
pub mod errors;
pub mod fetch_error;
pub mod identity;
pub mod image_kind;
pub mod job;
pub mod metrics;
mod multipart;
pub mod picture;
pub mod replay;
pub mod server;
pub mod shutdown;
pub mod source;
pub mod status;
pub mod telemetry;
mod ticks;
pub mod upload;
mod worker;

/// Version and commit, as `--version` prints them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("GIT_COMMIT"), ")");
