//! Why there are no credentials, or none that can be used.

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;

use super::principal::Principal;
use super::provider::Requirement;

/// Why there are no credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoCredentials {
    /// No provider of the chain has any, or the one that should have failed.
    #[error(transparent)]
    Chain(Arc<CredentialsError>),
    /// A provider answered that is not the required one.
    #[error("the identity is {found}, but --require-identity asks for {required}")]
    Refused { required: Requirement, found: Box<Principal> },
}

impl NoCredentials {
    /// Whether no provider of the chain is configured at all.
    pub(super) fn is_without_providers(&self) -> bool {
        matches!(self, Self::Chain(error) if matches!(**error, CredentialsError::CredentialsNotLoaded(_)))
    }
}

/// An answer with success that lacks a part of the credentials.
#[derive(Debug, thiserror::Error)]
#[error("the provider's answer has no {missing}")]
pub(super) struct Incomplete {
    missing: &'static str,
}

/// The credentials, unless something is missing in them. Of an answer of STS that lacks a part or is cut
/// off, the SDK makes credentials with empty texts, and an expiry in 1970.
pub(super) fn complete(credentials: Credentials) -> Result<Credentials, CredentialsError> {
    let missing = if credentials.access_key_id().is_empty() {
        "access key ID"
    } else if credentials.secret_access_key().is_empty() {
        "secret access key"
    } else if credentials.session_token() == Some("") {
        "session token"
    } else if credentials.expiry() == Some(SystemTime::UNIX_EPOCH) {
        "expiry"
    } else {
        return Ok(credentials);
    };
    Err(CredentialsError::provider_error(Incomplete { missing }))
}
