//! Access to the S3, which requires valid credentials.

use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::credentials::{Credentials, Refused};

/// Answers s3s from the registry: the secret key for `SigV4`, then the checks
/// of the session token and the expiration. Codes, texts and statuses are those
/// of S3.
#[derive(Clone, Debug)]
pub(crate) struct Gate(pub(crate) Arc<Credentials>);

#[async_trait::async_trait]
impl S3Auth for Gate {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.0.secret_key(access_key).ok_or_else(|| refuse(Refused::Unknown))?;
        Ok(secret.into())
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(signer) = request.credentials() else {
            return Err(S3Error::with_message(S3ErrorCode::AccessDenied, "Access Denied"));
        };
        let token = request.headers().get("x-amz-security-token").map(|token| token.to_str());
        let token = token.transpose().map_err(|_| refuse(Refused::WrongToken))?;
        self.0.check(&signer.access_key, token).map(drop).map_err(refuse)
    }
}

fn refuse(why: Refused) -> S3Error {
    let (code, text) = match why {
        Refused::Unknown => (
            S3ErrorCode::InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        Refused::WrongToken => {
            (S3ErrorCode::InvalidToken, "The provided token is malformed or otherwise invalid.")
        }
        Refused::Expired => (S3ErrorCode::ExpiredToken, "The provided token has expired."),
    };
    S3Error::with_message(code, text)
}
