//! The local world of `pod-identity-demo`: what its tests, its one-command
//! local run and its benchmark talk to instead of the internet and AWS.
//!
//! - [`ImageHost`] serves pictures over HTTP, whole or broken in the way that
//!   the URL asks for;
//! - [`Agent`] stands in for the EKS Pod Identity Agent: a token against
//!   short-lived credentials, by associations of its own or by those of an
//!   [`Emulator`] of AWS, which an [`Admin`] sets up;
//! - [`Sts`] stands in for STS: who a caller is, and IRSA's credentials;
//! - [`S3Store`] is an S3 server on a folder that accepts those credentials
//!   and no others, and fails on demand;
//! - [`Sandbox`] is the four of them with one [`Credentials`] registry.
//!
//! Each server listens on 127.0.0.1 at a free port and ends when it is
//! dropped. The program under test never depends on this crate.

mod access;
mod agent;
mod answer;
mod associations;
mod body;
mod checked;
mod credentials;
mod desk;
mod emulator;
mod error_answer;
mod fault;
mod image_host;
mod issuer;
mod ledger;
mod net;
mod objects;
mod picture;
mod recipe;
mod role;
mod s3_store;
mod store;
mod sts;
mod token;
mod token_file;
mod uploads;
mod world;
mod writer;

pub use agent::{Agent, AgentOptions};
pub use answer::Answer;
pub use credentials::{Credentials, Issued};
pub use emulator::{
    Admin, Emulator, MiniStack, WebIdentity, irsa_policy, pod_identity_policy, pod_identity_trust,
    trust_of,
};
pub use error_answer::ErrorAnswer;
pub use fault::{Fault, Request};
pub use image_host::ImageHost;
pub use ledger::{Arrival, Served};
pub use objects::{Leftovers, Stored};
pub use picture::Kind;
pub use role::Role;
pub use s3_store::{S3Options, S3Store};
pub use sts::{Sts, StsOptions};
pub use token::{Claims, KubernetesClaims, Named};
pub use world::{Sandbox, SandboxOptions, guard_env};
