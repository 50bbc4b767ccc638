//! Why there are no credentials, or none that may be used.

use aws_credential_types::Credentials;

use super::chain::ChainFailure;
use super::principal::Principal;
use super::provider::Requirement;

/// Why there are no credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoCredentials {
    /// No provider of the chain has any, or the one that should have failed.
    #[error(transparent)]
    Chain(ChainFailure),
    /// A provider responded that is not the required one.
    #[error("the identity is {found}, but --require-identity asks for {required}")]
    Refused { required: Requirement, found: Box<Principal>, credentials: Credentials },
}
