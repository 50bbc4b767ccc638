//! Credentials that cannot be used, although a provider gave them.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;

use crate::aws::keep_secret;

/// Credentials that lack a part, or have one that no request can carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// A part is empty.
    #[error("the credentials have no {0}")]
    Missing(&'static str),
    /// A part has a character that no header of HTTP may have.
    #[error("the {0} of the credentials has a line break or another character that cannot be sent")]
    Unsendable(&'static str),
}

/// The credentials, unless something is wrong with them. Of a response of STS that lacks a part or is cut
/// off, the SDK makes credentials with empty texts, and an expiry in 1970; at a text that no header may
/// have, it panics when it signs a request. From here on, no text from outside shows them.
pub(super) fn usable(credentials: Credentials) -> Result<Credentials, CredentialsError> {
    let parts = [
        ("access key ID", Some(credentials.access_key_id())),
        ("secret access key", Some(credentials.secret_access_key())),
        ("session token", credentials.session_token()),
    ];
    for (_, part) in parts {
        keep_secret(part.unwrap_or_default());
    }
    let is_sendable = |c: char| c.is_ascii_graphic();
    let flaw = parts.into_iter().find_map(|(name, part)| match part {
        Some("") => Some(Unusable::Missing(name)),
        Some(part) if !part.chars().all(is_sendable) => Some(Unusable::Unsendable(name)),
        _ => None,
    });
    let has_no_expiry = || {
        (credentials.expiry() == Some(SystemTime::UNIX_EPOCH))
            .then_some(Unusable::Missing("expiry"))
    };
    match flaw.or_else(has_no_expiry) {
        Some(flaw) => Err(CredentialsError::provider_error(flaw)),
        None => Ok(credentials),
    }
}
