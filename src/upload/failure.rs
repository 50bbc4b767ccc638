//! Why there is no object, and what S3 said.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::create_session::CreateSessionError;

use super::destination::Destination;
use crate::aws::{Ending, Exchange, clean, explain};
use crate::errors::find_cause;
use crate::identity::{NoCredentials, Principal};
use crate::source::FetchError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There were no credentials to sign the request with.
    #[error(transparent)]
    Credentials(#[from] NoCredentials),
    /// S3 refused the request or could not be reached.
    #[error("{} failed: {}", .0.operation, .0.text)]
    S3(Box<S3Failure>),
    #[error("the program is ending")]
    Cancelled,
}

/// What is known of a failed request to S3.
#[derive(Clone, Debug)]
pub(crate) struct S3Failure {
    pub(crate) operation: &'static str,
    /// The action that IAM must allow for the operation.
    pub(crate) action: &'static str,
    /// Who was asked, and what happened to the request.
    pub(crate) exchange: Exchange,
    pub(crate) bucket: String,
    /// The endpoint, if one is set.
    pub(crate) endpoint: Option<String>,
    /// The region that was asked.
    pub(crate) region: String,
    /// S3's error code, if S3 responded with one.
    pub(crate) code: Option<String>,
    /// Whose credentials were in use, if any were.
    pub(crate) signer: Option<Principal>,
    /// The region in which the bucket is, if S3 says so.
    pub(crate) bucket_region: Option<String>,
    /// Everything in one line, with S3's own words.
    pub(crate) text: String,
    /// Why a success is none.
    pub(crate) doubt: Option<Doubt>,
}

/// Why an object that S3 says to have stored does not count as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It is not what was sent.
    Damaged,
    /// Nothing shows that it is what was sent.
    Unproven,
}

impl S3Failure {
    /// The HTTP status, if there was a response.
    pub(crate) fn status(&self) -> Option<u16> {
        match self.exchange.ending {
            Ending::Response { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether S3 says that the credentials in use are not valid. Others may be.
    pub(crate) fn rejects_credentials(&self) -> bool {
        if self.status().is_some_and(|status| status >= 500) {
            return false;
        }
        let code = self.code.as_deref().unwrap_or_default();
        let codes = [
            "ExpiredToken",
            "InvalidToken",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnrecognizedClientException",
        ];
        // S3 has the same code for a wrong region, which its text names.
        let is_about_key = || {
            code == "AuthorizationHeaderMalformed"
                && self.bucket_region.is_none()
                && ["credential", "access key", "accesskey"]
                    .iter()
                    .any(|word| self.text.to_ascii_lowercase().contains(word))
        };
        codes.contains(&code) || is_about_key()
    }

    /// Whether something responded that is not S3: with success but without what S3 always sends, or with an
    /// error without a code. A gateway in front of S3 may respond with a status of 500 and more.
    pub(crate) fn is_of_another_service(&self) -> bool {
        match self.exchange.ending {
            Ending::TooLong => true,
            Ending::Response { status, .. } => status < 500 && self.code.is_none(),
            _ => false,
        }
    }
}

/// The codes of refusals that have nothing to do with the form of a request's body.
const OF_OTHER_THINGS: [&str; 22] = [
    "AccessDenied",
    "AccessDeniedException",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "BucketAlreadyExists",
    "EntityTooLarge",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "InvalidToken",
    "KeyTooLongError",
    "NoSuchBucket",
    "NoSuchUpload",
    "PermanentRedirect",
    "QuotaExceeded",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SlowDown",
    "TokenRefreshRequired",
];

impl UploadError {
    /// Whether the same picture with its checksum in another form may be stored. A form that the store is
    /// known to take is no reason for a refusal.
    pub(super) fn may_be_about_the_checksum(&self, is_taken: bool) -> bool {
        let Self::S3(failure) = self else { return false };
        if failure.doubt.is_some() {
            return true;
        }
        let status = failure.status().unwrap_or_default();
        let code = failure.code.as_deref().unwrap_or_default();
        let is_refusal = matches!(status, 400 | 403 | 405 | 406 | 411..=417 | 422 | 501);
        let is_of_other_things = OF_OTHER_THINGS.contains(&code) || code.starts_with("KMS.");
        is_refusal && !is_taken && !is_of_other_things && failure.bucket_region.is_none()
    }

    /// The kind of failure, as the log names it.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.reason(),
            Self::Credentials(_) => "credentials",
            Self::S3(_) => "s3",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whose credentials were in use, if S3 says that they are not valid.
    pub(super) fn rejected_signer(&self) -> Option<&Principal> {
        match self {
            Self::S3(failure) if failure.rejects_credentials() => failure.signer.as_ref(),
            _ => None,
        }
    }

    /// What is known of a request to S3 that failed, for which these credentials were in use.
    pub(crate) fn of<E>(
        operation: &'static str,
        to: &Destination,
        signer: Option<Principal>,
        error: &SdkError<E>,
    ) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if let Some(none) = find_cause::<NoCredentials>(error) {
            return Self::Credentials(none.clone());
        }
        // S3 Express wants a session before anything else.
        if let Some(error) = find_cause::<SdkError<CreateSessionError>>(error) {
            return of("CreateSession", "s3express:CreateSession", to, signer, error);
        }
        of(operation, "s3:PutObject", to, signer, error)
    }

    /// A success of which is not known, or known to be untrue, that the object is what was sent.
    pub(super) fn doubted(
        operation: &'static str,
        to: &Destination,
        doubt: Doubt,
        text: String,
    ) -> Self {
        let ending = Ending::Response { status: 200, text: text.clone() };
        let exchange = Exchange { host: to.host(), ending };
        let failure = failure(operation, "s3:GetObject", to, exchange, text);
        Self::S3(Box::new(S3Failure { doubt: Some(doubt), ..failure }))
    }

    /// A successful response that lacks what S3 always sends, for example of a proxy or a portal.
    pub(super) fn not_of_s3(operation: &'static str, to: &Destination, missing: &str) -> Self {
        let text = format!("the response has no {missing}");
        let exchange = Exchange {
            host: to.host(),
            ending: Ending::Response { status: 200, text: text.clone() },
        };
        Self::S3(Box::new(failure(operation, "s3:PutObject", to, exchange, text)))
    }
}

fn of<E>(
    operation: &'static str,
    action: &'static str,
    to: &Destination,
    signer: Option<Principal>,
    error: &SdkError<E>,
) -> UploadError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let text = explain(error);
    // The body of an error may not have come whole.
    let response = error.raw_response().filter(|response| {
        !matches!(error, SdkError::ResponseError(_)) || response.status().as_u16() >= 500
    });
    let exchange = match response {
        Some(response) => {
            let status = response.status().as_u16();
            Exchange { host: to.host(), ending: Ending::Response { status, text: text.clone() } }
        }
        None => Exchange::of_sdk(&to.host(), error),
    };
    let region_header = response.and_then(|response| response.headers().get("x-amz-bucket-region"));
    let expected_region = || error.message()?.split("expecting '").nth(1)?.split('\'').next();
    let is_name = |region: &&str| region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let bucket_region = region_header.or_else(expected_region).filter(is_name);
    // The SDK has a name of its own for a 404 without a code.
    let code = error.code().filter(|code| *code != "NotFound").map(clean);
    UploadError::S3(Box::new(S3Failure {
        code,
        signer,
        bucket_region: bucket_region.map(str::to_owned),
        ..failure(operation, action, to, exchange, text)
    }))
}

fn failure(
    operation: &'static str,
    action: &'static str,
    to: &Destination,
    exchange: Exchange,
    text: String,
) -> S3Failure {
    S3Failure {
        operation,
        action,
        exchange,
        bucket: to.place.bucket.clone(),
        endpoint: to.endpoint.clone(),
        region: to.region.clone(),
        code: None,
        signer: None,
        bucket_region: None,
        text,
        doubt: None,
    }
}
