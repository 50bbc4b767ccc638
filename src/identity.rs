//! The program's identity: which provider of the default credential chain answers, for which principal,
//! and if that is not the required identity, why not and what to do.

mod agent;
mod causes;
mod chain;
mod credentials;
mod evidence;
mod expected_role;
mod held;
mod injected;
mod no_credentials;
mod principal;
mod provider;
mod reach;
mod report;
mod report_text;
mod s3_failure;
mod token;

#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod untrusted;

pub(crate) use causes::{Diagnosis, ResolvedBy};
pub(crate) use chain::{Link, chain};
pub(crate) use credentials::{CHAIN_TIME, RefreshingCredentials, Standing};
pub(crate) use evidence::Failure;
pub(crate) use expected_role::ExpectedRole;
pub(crate) use injected::Injected;
pub(crate) use no_credentials::NoCredentials;
pub(crate) use principal::Principal;
pub(crate) use provider::Requirement;
pub(crate) use reach::Reach;
pub(crate) use report::Report;
pub(crate) use s3_failure::S3Failure;
pub(crate) use token::Subject;
