//! The sandbox of `pod-identity-demo`: local servers that replace the internet
//! and AWS in its tests, its local run and its benchmark.
//!
//! - [`ImageHost`] serves pictures over HTTP, with the faults that the URL
//!   requests;
//! - [`EksAuth`] is EKS Auth's API: it exchanges tokens for short-lived
//!   credentials, according to associations of its own or those of an
//!   [`Emulator`] of AWS, which an [`Admin`] sets up;
//! - [`AgentProxy`] is a stand-in for the EKS Pod Identity Agent in front of it,
//!   and [`Agent`] is both with a pod;
//! - [`Sts`] is a stand-in for STS: it identifies callers, and issues the
//!   credentials of IRSA;
//! - [`S3Store`] is an S3 server on a folder that accepts only those
//!   credentials, and produces faults on demand;
//! - [`OddStore`] is a store that knows less of S3;
//! - [`Scripted`] answers as a test says: as the metadata service of an instance
//!   ([`metadata`]), a proxy that refuses, or whatever is in a service's place;
//! - [`Wire`] is a TCP proxy in front of any of them, over a network that can be
//!   made to fail;
//! - [`Sandbox`] combines them with one registry of [`Credentials`].
//!
//! Without the feature `emulator`, as for the local run, [`Emulator`] is an error,
//! and AWS's clients are not compiled.
//!
//! Each server listens on 127.0.0.1 at a free port, and ends when it is dropped.
//! The program under test never depends on this crate.

mod access;
mod agent;
mod answer;
mod arguments;
mod association;
mod body;
mod checked;
mod credentials;
mod eks_auth;
mod emulator;
mod error_answer;
mod fault;
mod image_host;
mod keys;
mod ledger;
#[cfg(feature = "emulator")]
mod matrix;
mod metadata;
mod net;
mod objects;
mod odd_store;
mod picture;
mod recipe;
mod refusal;
mod ring;
mod role;
mod s3_store;
mod scripted;
mod service_error;
mod session;
mod store;
mod sts;
mod token;
mod token_file;
mod uploads;
mod wire;
mod world;
mod writer;

pub use agent::{Agent, AgentOptions, AgentProxy, AgentProxyOptions};
pub use answer::Answer;
pub use arguments::{AgentArguments, EksAuthArguments};
pub use association::Association;
pub use credentials::{Credentials, Issued};
pub use eks_auth::{EksAuth, EksAuthOptions};
#[cfg(feature = "emulator")]
pub use emulator::{
    Admin, MiniStack, irsa_policy, pod_identity_policy, pod_identity_trust, trust_of,
};
pub use emulator::{Emulator, WebIdentity};
pub use error_answer::ErrorAnswer;
pub use fault::{Fault, Request};
pub use image_host::ImageHost;
pub use keys::KeySource;
pub use ledger::{Arrival, Served};
#[cfg(feature = "emulator")]
pub use matrix::{Access, Matrix};
pub use metadata::metadata;
pub use objects::{Leftovers, Stored};
pub use odd_store::{OddStore, Oddity};
pub use picture::Kind;
pub use role::Role;
pub use s3_store::{S3Options, S3Store};
pub use scripted::{Asked, Reply, Scripted};
pub use sts::{Sts, StsOptions};
pub use token::{Claims, KubernetesClaims, Named};
pub use wire::{Network, Wire};
pub use world::{PAGE_NOTE, Sandbox, SandboxOptions, guard_env};
