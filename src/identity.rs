//! The program's identity: which provider of the default credential chain responds, for which principal,
//! and what was injected into the pod.

mod cached;
mod chain;
mod credentials;
mod expected_role;
mod injected;
mod no_credentials;
mod principal;
mod provider;
mod token;
mod usable;

#[cfg(test)]
pub(crate) use chain::StaticChain;
pub(crate) use chain::{CHAIN_TIME, Chain, ChainFailure, Link, LinkState};
pub(crate) use credentials::{CredentialStatus, RefreshingCredentials};
pub(crate) use expected_role::ExpectedRole;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use injected::TOKEN_FILE;
#[cfg(test)]
pub(crate) use injected::WEB_IDENTITY_TOKEN_FILE;
pub(crate) use injected::{FULL_URI, Injected, RELATIVE_URI, ROLE_ARN};
pub(crate) use no_credentials::NoCredentials;
pub(crate) use principal::Principal;
pub(crate) use provider::{Provider, Requirement};
#[cfg(feature = "fuzzing")]
pub use token::fuzz_logic;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use token::with_claims;
pub(crate) use token::{Content, Subject, Token, Tokens};
pub(crate) use usable::Unusable;
